"""What the request of guidance on networks refuses, what it says, and what it keeps."""

import math

import pytest
import torch

from backend.experiments.guide import GuideNetwork
from backend.inference.run import run
from backend.jobs import result_file
from backend.request import BadInput, Failed, Request
from tests.experiments.guiding import TINY, own_results, result  # noqa: F401  a fixture


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, ""),
        ({"gamma": 0.0}, "Nothing is guided, because gamma is 0."),
        (
            {"weight": "interval", "low": 200.0, "high": 300.0},
            "Nothing is guided, because the weight is 0 at every step of the sampler.",
        ),
        (
            {"residual": False},
            "The parts change nothing, because the network's whole difference is added.",
        ),
        (
            {"mode": "linear", "residual": False},
            "The residual changes nothing, because the linear direction has none.",
        ),
        (
            {"mode": "projected"},
            "With all parts the projection changes nothing: their sum is the whole difference.",
        ),
        (
            {"weight": "curve", "curve": (1.0, 2.0), "gamma": 1.0},
            "gamma changes nothing, because the drawn curve is the weight.",
        ),
        ({"low": 1.0}, "The window changes nothing, because the weight is constant."),
    ],
    ids=str,
)
def test_a_setting_that_changes_nothing_says_so(values, sentence):
    found = result(**values)
    assert found.idle == sentence
    if sentence.startswith("Nothing"):
        assert torch.equal(found.guided.samples, found.plain.samples)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"gamma": math.nan}, "gamma must be a finite number"),
        ({"gamma": 1e6}, "gamma must be a number from -1 to 100"),
        ({"gamma": -1.5}, "gamma must be a number from -1 to 100"),
        ({"guidance_scale": 3.0}, "no setting called"),
        ({"low": 5.0, "high": 1.0}, "window is empty"),
        ({"low": 1.0, "high": 1.0}, "window is empty"),
        ({"low": -1.0}, "noise levels of 0 or more"),
        ({"weight": "triangle", "low": 0.0}, "log scale"),
        ({"label": "ten"}, "There is no such class; the classes are 0, 1"),
        ({"model": "avatars"}, "There is no such class; the classes are neutral, happy"),
        ({"model": "patches"}, "The model must be one of avatars, digits"),
        ({"mode": "whole"}, "The mode must be one of network, linear, projected"),
        ({"weight": "curve"}, "Draw at least one point"),
        ({"weight": "curve", "curve": (1.0,)}, "a noise level and a gamma"),
        ({"weight": "linear", "end": -2.0}, "-1 to 100"),
        ({"weight": "interval", "low": 1.0, "high": 1.01, "equal_area": True}, "stay from -1 to 100"),
        ({"steps": 2}, "3 to 200 steps"),
        ({"samples": 1}, "2 to 200 samples"),
        ({"samples": 200, "steps": 21}, "at most 4,000"),
        ({"seed": -1}, "seed"),
        ({"solver": "heun"}, "The solver must be one of ode, sde"),
    ],
    ids=str,
)
def test_bad_input_is_a_sentence(values, sentence):
    with pytest.raises(BadInput, match=sentence + r".*\.$"):
        GuideNetwork.parse(TINY | values)


def test_a_result_survives_the_disk_and_a_link(tmp_path):
    request = GuideNetwork(**TINY, weight="curve", curve=(0.5, 2.0, 5.0, -0.5))
    *_, found = run(request)
    assert not isinstance(found, Failed)
    result_file.save(tmp_path, request, found)
    loaded = result_file.load(tmp_path, request)
    assert (
        torch.equal(loaded.guided.states, found.guided.states) and loaded.plain.quality == found.plain.quality
    )
    assert loaded.guided.quality == found.guided.quality
    assert Request.from_query(request.to_query()) == request
