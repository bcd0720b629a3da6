"""Pictures along singular vectors, and the way to the edit tab."""

import pytest
import torch

from backend.editing import direction_file
from backend.editing.directions import STEP
from backend.experiments.edit_set import EditSet
from backend.experiments.spectrum_slide import SlideAlong, saved_of
from backend.inference import intake
from backend.inference.run import run
from backend.request import BadInput


def strips(**fields):
    request = SlideAlong.parse({"model": "gaussian", "image": "gallery:0", "frames": 5} | fields)
    return [event for event in run(request) if hasattr(event, "pictures")]


def test_a_slide_is_predicted_and_then_drawn():
    predicted, drawn = strips(span=1.0)
    assert predicted.predicted and not drawn.predicted
    assert drawn.pictures.shape == (5, 1, 8, 8) and drawn.strengths == (-1.0, -0.5, 0.0, 0.5, 1.0)
    change = (predicted.pictures[3] - predicted.pictures[2]).square().mean().sqrt()
    assert float(change) == pytest.approx(
        0.5 * STEP, rel=0.05
    )  # a Gaussian is linear; clamping takes a little off


def test_a_vector_travels_to_the_edit_tab_as_a_set():
    request = SlideAlong.parse({"model": "gaussian", "image": "gallery:0", "index": 2})
    *_, j = run(request.decomposition())
    file = intake.keep(direction_file.dump(saved_of(request, j)))
    *_, strips = run(EditSet(model="gaussian", image="gallery:0", file=file, frames=5))
    assert strips.found.names == ("v3 at t = 0.5",)
    *_, own = run(SlideAlong("gaussian", "gallery:0", 0.5, 2, span=4.0, frames=5))
    assert torch.allclose(strips.strips[0].pictures, own.pictures, atol=1e-3)


def test_no_more_triplets_are_found_than_the_vector_needs():
    assert [SlideAlong(index=i).decomposition().k for i in (0, 4, 5, 19, 20, 49, 50)] == [
        5,
        5,
        20,
        20,
        50,
        50,
        100,
    ]
    assert SlideAlong("gaussian", "gallery:0", index=60).decomposition().k == 64


def test_a_jacobian_of_smaller_rank_has_no_such_vector():
    with pytest.raises(BadInput, match="64 leading"):
        SlideAlong.parse({"model": "gaussian", "index": 64})
    with pytest.raises(BadInput, match="no noise"):
        SlideAlong.parse({"t": 0.0})
