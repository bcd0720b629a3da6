"""The red team on digits, and what it refuses."""

import pytest
import torch

from backend.experiments.watermark_red_team import VICTIMS, RedTeam
from backend.inference.run import run
from backend.request import BadInput, Failed

SECRET = "a key for digits"
REQUEST = RedTeam(
    model="digits", passphrase=SECRET, inner=1.0, outer=4.0, strength=2.0, channels="luma", steps=6, pictures=40
)  # fmt: skip


@pytest.fixture(scope="module")
def found():
    *_, result = run(REQUEST)
    assert not isinstance(result, Failed), result
    return result


def test_powers_of_two_and_the_number_itself_are_averaged(found):
    assert found.counts == (1, 2, 4, 8, 16, 32, 40) and RedTeam(pictures=2).counts() == (1, 2)
    for arm in (found.one_key, found.sub_keys):
        for curve in (*arm.removed.values(), *arm.forged.values()):
            assert len(curve.z) == len(curve.psnr) == 7 and curve.z[0].n == VICTIMS


def test_under_one_key_averaging_removes_and_forges(found):
    arm = found.one_key
    assert arm.before.value > found.nothing.value + 2
    assert arm.removed["originals"].found[-1].value < 0.5 < arm.forged["originals"].found[-1].value
    for box in ("originals", "others"):
        assert arm.removed[box].z[-1].value < arm.before.value - 2
        assert arm.forged[box].z[-1].value > found.nothing.value + 1
    losses = [
        a.value - b.value
        for a, b in zip(arm.forged["originals"].psnr, arm.forged["others"].psnr, strict=True)
    ]
    assert losses[0] > 0.5 and losses[-1] < losses[0] / 2, "content averages out"


def test_under_sub_keys_it_does_neither(found):
    one, arm = found.one_key, found.sub_keys
    assert arm.removed["originals"].z[-1].value > one.removed["originals"].z[-1].value + 2
    assert arm.bar > one.bar == pytest.approx(3.403, abs=1e-3)
    assert arm.forged["originals"].z[-1].value < arm.forged["originals"].z[0].value, "copying one still works"


def test_the_pictures_are_of_one_example(found):
    assert set(found.pictures) == {"original", "cover", "copied"}
    for arm in (found.one_key, found.sub_keys):
        words = {
            f"{word}, {box}" for word in ("delta", "removed", "forged") for box in ("originals", "others")
        }
        assert set(arm.pictures) == words | {"marked"}
        assert all(
            picture.shape == (1, 8, 8) and picture.abs().max() <= 1 for picture in arm.pictures.values()
        )
    assert not torch.equal(found.pictures["copied"], found.pictures["cover"])


def test_the_passphrase_stays_private(found):
    assert SECRET not in str(found) and REQUEST.to_query() is None and SECRET not in REQUEST.to_python()


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"pictures": 1}, "Average 2 to 64"),
        ({"pictures": 65}, "Average 2 to 64"),
        ({"strength": 0.0}, "strength must be above 0"),
        ({"passphrase": ""}, "passphrase"),
        ({"model": "small_faces", "pictures": 9}, "average at most 8"),
    ],
)
def test_what_cannot_be_is_a_sentence(fields, sentence):
    with pytest.raises(BadInput, match=sentence):
        run(RedTeam(**REQUEST.values() | fields))
