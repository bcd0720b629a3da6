import pytest
import torch

from backend.experiments.edit_directions import FindDirections
from backend.experiments.edit_linearity import MeasureLinearity
from backend.inference.load import load
from backend.inference.pictures import Invert
from backend.inference.run import run
from backend.request import BadInput

GAUSSIAN = {"model": "gaussian", "image": "gallery:3", "region": "box:2,1,6,4", "k": 2}
FACE = {"region": "box:24,40,40,52", "k": 1}


def result(request):
    *_, last = run(request)
    return last


def test_a_gaussian_is_linear():
    found = result(MeasureLinearity(**GAUSSIAN, strengths=(0.5, 8.0)))
    assert max(found.residual + found.random) < 1e-4
    assert found.norm_ratio == pytest.approx((1, 1), abs=1e-4) and found.cosine == pytest.approx((1, 1))


def test_a_network_is_linear_near_and_not_far_and_the_papers_measures_hardly_tell():
    found = result(MeasureLinearity(**FACE, strengths=(0.05, 8.0)))
    near, far = found.residual
    assert near < 0.1 < far
    assert all(abs(value - 1) < 0.1 for value in (*found.norm_ratio, *found.cosine))
    v = result(FindDirections(**FACE))
    D, x_t = load("avatars").denoiser, result(Invert()).x_t
    label = load("avatars").condition(label=result(Invert()).label)["label"][0]
    moved = v.length(0) * 8.0 * v.v[0]
    h = 1e-2
    slope = (D(x_t + h * v.v[0], 0.5, label=label) - D(x_t - h * v.v[0], 0.5, label=label)) / (2 * h)
    step = slope * v.length(0) * 8.0
    expected = (D(x_t + moved, 0.5, label=label) - D(x_t, 0.5, label=label) - step).norm() / step.norm()
    torch.testing.assert_close(torch.tensor(far), expected, rtol=2e-2, atol=0)


@pytest.mark.parametrize(
    "wrong", [{"strengths": ()}, {"strengths": (0.0,)}, {"strengths": (1e9,)}, {"slide": 5}]
)
def test_bad_input_is_a_sentence(wrong):
    with pytest.raises(BadInput, match=r"\.$"):
        run(MeasureLinearity(**GAUSSIAN | wrong))
