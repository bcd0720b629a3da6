"""Whose mark it is, on patches of photographs, which are quick."""

import io
import json

import pytest
import torch
from PIL import Image

from backend.experiments.watermark import EmbedWatermark
from backend.experiments.watermark_identify import IdentifyWatermark
from backend.experiments.watermark_verify import VerifyWatermark
from backend.inference import intake
from backend.inference.load import load
from backend.inference.run import run
from backend.request import BadInput, Failed, Progress
from backend.watermark import detection
from backend.watermark.verdict import ALPHA

SECRET, OTHERS = "a sentence that nobody else has", ("somebody else", "and a third")
HERE = {"model": "patches", "inner": 1.0, "outer": 7.0, "steps": 3, "passphrase": SECRET}


def last(request):
    *_, found = run(request)
    assert not isinstance(found, Failed), found
    return found


def marked(**fields):
    """The reference of a marked patch in 8 bits, and what embedding gave."""
    found = last(EmbedWatermark(**HERE | {"strength": 1.5} | fields))
    pixels = ((found.marked.expand(3, -1, -1).permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).byte()
    buffer = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(buffer, "PNG")
    return intake.store(buffer.getvalue()), found


@pytest.fixture(scope="module")
def third():
    return marked(sub_key=3)


def test_a_sub_key_is_found_among_others_and_verified(third):
    reference, embedded = third
    found = last(IdentifyWatermark(**HERE, image=reference, sub_keys=20, others=OTHERS))
    assert (found.found, found.sub_key, found.fingerprint) == ("sub-key 3", 3, embedded.fingerprint)
    assert found.p < ALPHA and found.others == () and not found.revoked
    assert len(found.names) == len(found.z) == 23 and int(found.z.argmax()) == 4
    assert found.tries == 69 and detection.analytic(found.bar, 69) == pytest.approx(ALPHA)
    assert f"the mark of sub-key 3, {embedded.fingerprint}" in found.sentence and "forged" in found.sentence
    verified = last(VerifyWatermark(**HERE, image=reference, sub_key=3))
    assert verified.fingerprint == embedded.fingerprint and verified.z == pytest.approx(
        float(found.z[4]), abs=1e-5
    )
    for number in (-1, 4):
        assert last(VerifyWatermark(**HERE, image=reference, sub_key=number)).z < found.bar


def test_the_key_itself_and_another_passphrase_are_found_too():
    reference, own = marked()
    found = last(IdentifyWatermark(**HERE, image=reference, sub_keys=5, others=OTHERS))
    assert (found.found, found.sub_key) == (f"key {own.fingerprint}", -1) and found.names[0] == found.found
    reference, other = marked(passphrase=OTHERS[1])
    found = last(IdentifyWatermark(**HERE, image=reference, sub_keys=5, others=OTHERS))
    assert (found.found, found.sub_key) == (f"key {other.fingerprint}", -1)
    assert found.names[-1] == found.found and int(found.z.argmax()) == 7
    alone = last(IdentifyWatermark(**HERE, image=reference))
    assert (
        alone.names == (f"key {own.fingerprint}",)
        and alone.found == ""
        and "This key does not show" in alone.sentence
    )


def test_a_picture_without_a_mark_has_no_owner():
    found = last(IdentifyWatermark(**HERE, sub_keys=300))
    assert (found.found, found.fingerprint, found.sub_key, found.others) == ("", "", -1, ())
    assert found.p > ALPHA and float(found.z.max()) < found.bar
    assert (
        found.sentence.startswith("None of these 301 keys shows")
        and "Bonferroni over 301 keys" in found.sentence
    )


def test_a_revoked_key_is_named_and_said_to_be_revoked(third):
    reference, embedded = third
    spelled = embedded.fingerprint.upper().replace(" ", "")
    found = last(IdentifyWatermark(**HERE, image=reference, sub_keys=20, revoked=(spelled, "00" * 8)))
    assert found.revoked and found.sub_key == 3 and "revoked" in found.sentence
    assert not last(IdentifyWatermark(**HERE, image=reference, sub_keys=20, revoked=("00" * 8,))).revoked


def test_rings_agree_by_chance_and_all_are_named():
    ring = {"family": "rings", "image": marked(family="rings", sub_key=2)[0]}
    found = last(IdentifyWatermark(**HERE | ring, sub_keys=2000))
    assert found.z[3] == found.z.max() and len(found.others) > 5
    same = {found.names[i] for i in (found.z >= found.bar).nonzero().flatten().tolist()}
    assert same == {found.found, *found.others}
    assert (
        "as keys of rings often do" in found.sentence
        and "more" in found.sentence
        and len(found.sentence) < 900
    )


def test_many_keys_come_in_steps_and_score_as_few(third, monkeypatch):
    monkeypatch.setattr(detection, "KEYS", 7)
    reference, _ = third
    request = IdentifyWatermark(**HERE, image=reference, sub_keys=30, others=OTHERS)
    events = list(request.run(load("patches")))
    told = [(e.done, e.total) for e in events if isinstance(e, Progress) and e.what == "keys"]
    assert told == [(7, 33), (14, 33), (21, 33), (28, 33), (33, 33)]
    assert [e.done for e in events if isinstance(e, Progress) and e.what == "passphrases"] == [1, 2]
    few = last(IdentifyWatermark(**HERE, image=reference, sub_keys=10))
    torch.testing.assert_close(few.z, events[-1].z[:11])


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"passphrase": " "}, "give a passphrase"),
        ({"sub_keys": -1}, "0 to 10,000 sub-keys"),
        ({"sub_keys": 10_001}, "0 to 10,000 sub-keys"),
        ({"sub_key": 3}, "how many sub-keys to try"),
        ({"sub_key": 10_000}, "from 0 to 9,999"),
        ({"others": tuple(f"passphrase {i}" for i in range(51))}, "at most 50 further"),
        ({"others": (SECRET,)}, "are the same"),
        ({"others": ("e\u0301t\u00e9 1", "\u00e9te\u0301 1")}, "are the same"),  # one text by two keyboards
        ({"others": ("abc",)}, "at least 4 characters"),
        ({"revoked": ("nobody",)}, "by its fingerprint"),
        ({"revoked": ("00" * 8,) * 1001}, "at most 1,000 revoked"),
        ({"inner": 90.0, "outer": 91.0}, "between these radii"),
    ],
)
def test_what_cannot_be_is_a_sentence(fields, sentence):
    try:
        words = list(run(IdentifyWatermark(**HERE | fields)))[-1].sentence
    except BadInput as error:
        words = str(error)
    assert sentence in words and SECRET not in words and "abc" not in words


@pytest.mark.parametrize("number", [-2, 10_000])
def test_a_sub_key_that_is_none_is_refused(number):
    with pytest.raises(BadInput, match="from 0 to 9,999"):
        EmbedWatermark(**HERE, sub_key=number).checked()


def test_no_passphrase_is_given_away():
    request = IdentifyWatermark(**HERE, others=OTHERS)
    shown = str([request.to_python(), request.why_no_link(), json.dumps(request.to_json()), repr(request)])
    assert request.to_query() is None and "getpass" in shown
    assert not any(word in shown for word in (SECRET, *OTHERS))
