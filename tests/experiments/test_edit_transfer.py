"""Transfer on the closed-form Gaussian of the digits, whose flow is affine, and on the embedded faces."""

import pytest
import torch

from backend.denoiser.base import given
from backend.experiments.edit import Edit
from backend.experiments.edit_directions import FindDirections
from backend.experiments.edit_transfer import Transfer, relative_lengths
from backend.inference.load import load
from backend.inference.pictures import Invert
from backend.inference.run import run
from backend.request import BadInput

WHERE = {"model": "gaussian", "image": "gallery:3", "t": 0.5, "region": "box:2,1,6,4", "k": 2}


def result(request):
    *_, last = run(request)
    return last


def test_onto_itself_it_is_the_edit():
    moved = result(Transfer(**WHERE, strength=2.0, onto=("gallery:3",)))
    strip = result(Edit(**WHERE, span=2.0, frames=3))
    torch.testing.assert_close(moved.edited[0], strip.pictures[2], atol=2e-2, rtol=0)  # two inversions


def test_an_affine_flow_changes_every_picture_alike():
    """Between both signs, since the way there and back is not exact; where nothing was clipped."""
    onto = ("gallery:5", "gallery:7", "gallery:9")
    plus, minus = (result(Transfer(**WHERE, strength=s, onto=onto)) for s in (0.5, -0.5))
    free = ((plus.edited.abs() < 0.999) & (minus.edited.abs() < 0.999)).all(0)
    change = (plus.edited - minus.edited)[:, free]
    assert free.sum() > 5 and plus.factor == "" and plus.amounts == ()
    torch.testing.assert_close(change, change[:1].expand_as(change), atol=1e-3, rtol=0)


def test_faces_move_the_factor_that_the_source_moves():
    moved = result(
        Transfer(image="gallery:1", region="part:mouth", k=1, strength=3.0, onto=("gallery:7", "gallery:13"))
    )
    assert moved.factor in ("mouth curve", "mouth width", "mouth opening", "lip colour")
    assert len(moved.amounts) == 2 and abs(moved.amount) > 0.5
    assert all(amount * moved.amount > 0 for amount in moved.amounts)


def test_the_same_change_is_the_same_step_where_the_jacobian_is_the_same():
    change, step = (
        result(Transfer(**WHERE, strength=0.5, onto=("gallery:5",), same=same)) for same in ("change", "step")
    )
    torch.testing.assert_close(change.edited, step.edited, atol=1e-4, rtol=0)


def test_on_faces_the_same_change_is_predicted_in_each():
    onto = ("gallery:7", "gallery:13")
    found = result(FindDirections(image="gallery:1", region="part:mouth", k=1))
    v, gain, model = found.v[0], float(found.gain[0]), load("avatars")
    for image in onto:
        there = result(Invert(image=image, steps=20))
        denoiser = given(model.denoiser, **model.condition(label=there.label))
        (times,) = relative_lengths(denoiser, there.x_t[None], 0.5, v, found.mask, gain)
        h = 1e-2
        with torch.no_grad():
            ahead, behind = denoiser(there.x_t + h * v, 0.5), denoiser(there.x_t - h * v, 0.5)
        slope = ((ahead - behind) / (2 * h) * found.mask).norm()
        assert 1 < times < 5 and float(times * slope) == pytest.approx(gain, rel=2e-2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"onto": ()},
        {"onto": ("gallery:1",) * 201},
        {"strength": 0.0},
        {"strength": 1e9},
        {"slide": 2},
        {"onto_t": 3.0},
        {"same": "look"},
    ],
)
def test_bad_input_is_a_sentence(wrong):
    with pytest.raises(BadInput, match=r"\.$"):
        run(Transfer(**WHERE | wrong))


def test_a_picture_that_is_not_there_is_a_sentence():
    try:
        sentence = result(Transfer(**WHERE, onto=("gallery:99",))).sentence
    except BadInput as refused:
        sentence = str(refused)
    assert "gallery" in sentence
