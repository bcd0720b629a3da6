"""What the panel of the keyring reads and shows, from numbers written by hand."""

from dataclasses import replace

import pytest
import torch

from backend.experiments.watermark_identify import IdentifyWatermark, Owner
from components import watermark_keyring_panel as panel

NONE = Owner(
    ("key ab12", *(f"sub-key {i}" for i in range(49))), torch.linspace(-2, 2, 50), "", "", -1, 1.0, 150, 4.35, (), False, "",
    "None of these 50 keys shows in this picture (p = 1 at best; Bonferroni). It does not show that there is no mark.",
)  # fmt: skip


def found(**fields):
    z = NONE.z.clone()
    z[18], z[21] = 12.0, 5.0
    words = "This picture carries the mark of sub-key 17 (p at most 1e-20; Bonferroni). It shows that <b>somebody</b> did."
    return replace(
        NONE, z=z, found="sub-key 17", sub_key=17, others=("sub-key 20",), sentence=words, **fields
    )


def test_lines_are_passphrases_and_fingerprints():
    values = panel._read({"further": "one \n\n  \ntwo", "gone": " ab12 cd34 ef56 7890 \n", "sub_keys": 3})
    assert values == {"others": ("one ", "two"), "revoked": ("ab12 cd34 ef56 7890",), "sub_keys": 3}
    assert panel._read({"further": None, "gone": ""}) == {"others": (), "revoked": ()}
    request = IdentifyWatermark.parse(values | {"passphrase": "long enough"})
    assert request.others == ("one ", "two")


@pytest.mark.parametrize(
    ("result", "kind"),
    [(NONE, "none"), (found(), "found"), (found(revoked=True), "gone")],
    ids=["none", "found", "gone"],
)
def test_the_sentence_is_escaped_and_marked_by_what_it_says(result, kind):
    words = panel._words(result)
    assert f"class='{kind}'" in words and "<b>somebody" not in words
    assert words.count("<b>") == 1 and "Bonferroni).</b>" in words


def test_every_key_is_a_point_and_those_above_the_bar_stand_out():
    figure = panel.scores(found())
    rest, passing = figure.data
    assert (
        len(rest.x) == 48
        and list(passing.x) == [17, 20]
        and list(passing.text) == ["sub-key 17", "sub-key 20"]
    )
    assert list(passing.y) == [12.0, 5.0] and passing.marker.color == panel.ORANGE
    assert figure.layout.shapes[0].y0 == 4.35 and "150" in figure.layout.annotations[0].text
    low, high = figure.layout.yaxis.range
    assert low < -2 and high > 12


def test_without_an_owner_no_point_stands_out_and_the_bar_is_seen():
    rest, passing = panel.scores(NONE).data
    assert len(rest.x) == 50 and len(passing.x) == 0
    assert panel.scores(NONE).layout.yaxis.range[1] > 4.35


def test_ten_thousand_keys_are_light():
    many = replace(NONE, names=tuple(f"sub-key {i}" for i in range(10_000)), z=torch.randn(10_000))
    assert len(panel.scores(many).to_json()) < 1_000_000
