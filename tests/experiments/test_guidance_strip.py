"""The strip over gamma is GuideGaussian at each of its weights."""

from dataclasses import replace

import pytest
import torch

from backend.experiments.guidance_strip import WEIGHTS, SweepGamma
from backend.experiments.guidance_theory import GuideGaussian
from backend.request import BadInput, Request


def strip(**values):
    *_, found = SweepGamma.parse({"steps": 20, "samples": 3} | values).run(None)
    return found


def single(gamma, **values):
    *_, found = GuideGaussian.parse({"steps": 20, "samples": 3, "gamma": gamma} | values).run(None)
    return found


@pytest.mark.parametrize(
    "values", [{}, {"positive": False}, {"data": "sliders", "weight": "triangle"}, {"solver": "sde"}]
)
def test_every_weight_of_the_strip_is_a_run_of_its_own(values):
    found = strip(**values)
    assert found.pictures.shape[:2] == (WEIGHTS, 3)
    for i in (0, 4, WEIGHTS - 1):
        alone = single(float(found.gamma[i]), **values)
        torch.testing.assert_close(found.pictures[i], alone.samples, rtol=1e-5, atol=1e-5)
        modes = alone.modes
        assert float(found.variance[i]) == pytest.approx(
            float(modes.predicted.variance.sum() / modes.variance_c.sum())
        )
        assert float(found.shift[i]) == pytest.approx(
            float(modes.predicted.mean.norm() / modes.delta.norm()), rel=1e-6
        )


def test_it_begins_at_all_data_and_ends_at_gamma():
    found = strip(gamma=2.0)
    assert (found.gamma[0], found.gamma[-1]) == (-1, 2) and (found.gamma.diff() > 0).all()
    unconditional = single(0.0, method="classifier")
    torch.testing.assert_close(found.pictures[0], unconditional.samples, rtol=1e-4, atol=1e-4)


def test_the_switch_begins_above_0():
    assert strip(weight="switch", gamma=6.0).gamma[0] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "values",
    [
        {"weight": "curve", "curve": (1.0, 2.0)},
        {"gamma": -1.0},
        {"gamma": 1e6},
        {"samples": 17},
        {"low": 3.0, "high": 2.0},
    ],
)
def test_bad_input_is_a_sentence(values):
    with pytest.raises(BadInput, match=r"\.$"):
        SweepGamma.parse(values)


def test_a_link_reopens_it():
    request = SweepGamma(gamma=4.0, label="8")
    assert Request.from_query(request.to_query()) == request
    assert request.key() != replace(request, gamma=5.0).key()
