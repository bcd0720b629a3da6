"""What the panel says of the red team, from numbers written by hand."""

import dataclasses

import torch

from backend.experiments.watermark_red_team import Averaged, Curve, RedTeam, RedTeamed
from backend.metrics.intervals import Estimate
from components import watermark_red_team_panel as panel

COUNTS = (1, 2, 4)
PICTURE = torch.zeros(3, 8, 8)


def estimate(value):
    return Estimate(value, value - 0.5, value + 0.5, 8)


def curve(level, *z):
    found = tuple(Estimate(float(one > level), 0.0, 1.0, 8) for one in z)
    return Curve(tuple(map(estimate, z)), found, tuple(map(estimate, (30.0, 31.0, 32.0))))


def arm(removed, forged, bar):
    pictures = {f"{word}, {box}": PICTURE for word in ("delta", "removed", "forged") for box in panel.BOXES}
    both = [dict.fromkeys(panel.BOXES, curve(bar, *z)) for z in (removed, forged)]
    return Averaged(estimate(12.0), *both, bar, pictures | {"marked": PICTURE})


def result(sub=((12, 12, 11), (9, 5, 2))):
    examples = dict.fromkeys(("original", "cover", "copied"), PICTURE)
    one = arm((6, 3, 1), (8, 9, 10), 3.4)
    return RedTeamed(COUNTS, one, arm(*sub, 4.0), estimate(0.5), estimate(7.0), estimate(28.0), examples)


def test_the_sentence_says_what_the_numbers_do():
    words = " ".join(panel._sentences(result()))
    assert (
        "4 pictures of one key and the originals of its pictures leaves z 1.0 of 12.0 when removing the mark (0 of 8"
        in words
    )
    assert "reaches 10.0 when forging it (8 of 8 count as marked, 32 dB)" in words
    assert "8 and 8 of 8 are still found, and 0 and 0 forged ones" in words
    assert "One marked picture and the model are enough to forge (z 7.0, 28 dB" in words
    broken = " ".join(panel._sentences(result(sub=((12, 8, 1), (9, 9, 9)))))
    assert "0 and 0 of 8 are still found, and 8 and 8 forged ones" in broken
    safe = dataclasses.replace(result(), copied=estimate(2.0))
    assert "are not enough to forge here (z 2.0)" in " ".join(panel._sentences(safe))


def test_the_curves_are_the_numbers():
    for box in panel.BOXES:
        figure = panel.curves(result(), box)
        shown = {trace.name: list(trace.y) for trace in figure.data if trace.showlegend is not False}
        assert shown == {
            "removed, one key": [6, 3, 1], "forged, one key": [8, 9, 10],
            "removed, sub-keys": [12, 12, 11], "forged, sub-keys": [9, 5, 2],
        }  # fmt: skip
        assert [shape.y0 for shape in figure.layout.shapes] == [3.4, 4.0]


def test_what_is_shown_fits_the_outputs():
    shown = panel._show(result(), RedTeam(passphrase="nobody knows"))
    assert len(shown) == 5 and shown[3].count("<img") == 10
    assert "nobody knows" not in shown[0] + shown[3] + shown[4] and shown[4].count("8 of 8") == 4
