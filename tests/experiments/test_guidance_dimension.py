import math
from functools import cache

import pytest
import torch

from backend.experiments.guidance_dimension import GuideHighDimension
from backend.inference.run import run
from backend.jobs import result_file
from backend.request import BadInput, Failed, Request
from tests.experiments.guidance_input import BAD

MANY = {"dimensions": (16,), "samples": 400, "steps": 40}


@cache
def cached(request):
    *_, last = request.run(None)
    return last


def high(**values):
    return cached(GuideHighDimension.parse(values))


def test_distortion_stays_with_exponentially_many_classes_and_vanishes_with_fewer():
    """Overshoot over |m|, and squared distance over d, from few to many dimensions."""
    exponential = high(dimensions=(8, 24), samples=200)
    polynomial = high(dimensions=(8, 128), classes="polynomial", samples=200)
    two = high(dimensions=(8, 128), classes="two", samples=200)
    for found, grows in ((exponential, True), (polynomial, False), (two, False)):
        share = found.guided.overshoot / found.dimensions.sqrt()
        assert (share[1] > share[0]) == grows == (found.guided.w2[1] > found.guided.w2[0])
        floor = found.plain_error
        assert (found.plain.overshoot.abs() < 4 * floor.overshoot).all()
        assert ((found.plain.across - 1).abs() < 5 * floor.across + 0.02).all()
    assert exponential.guided.across[1] + 0.05 < exponential.guided.across[0]
    assert polynomial.guided.across[1] > polynomial.guided.across[0] + 0.05
    assert exponential.classes.tolist() == [7, 403] and polynomial.classes.tolist() == [8, 128]
    assert two.predicted_variance.isnan().all() and two.potential.guided.shape == (6, 161)
    assert two.transition.tolist() == pytest.approx([math.sqrt(d - 0.25) for d in (8, 128)])


@pytest.mark.parametrize("solver", ["ode", "sde"])
@pytest.mark.parametrize(
    "values",
    [
        {"dimensions": (24,)},
        {"dimensions": (20,), "gamma": 4.0, "rate": 0.3},
        {"dimensions": (48,), "classes": "polynomial"},
        {"dimensions": (20,), "rate": 0.3, "weight": "linear"},
        {"dimensions": (20,), "rate": 0.3, "weight": "early", "low": 1.0, "high": 30.0},
    ],
    ids=str,
)
def test_many_classes_are_as_predicted_for_many_dimensions(solver, values):
    """Beside the runs without guidance, which carry the solver's own error. The SDE's overshoot at gamma 4 is still half again
    as large in 20 dimensions, with 400 steps too."""
    if solver == "sde":
        values = {**values, "gamma": 2.0}
    found = high(**values, solver=solver, steps={"ode": 60, "sde": 150}[solver], samples=200)
    across = found.guided.across / found.plain.across
    assert across.item() == pytest.approx(found.predicted_variance.item(), abs=0.05)
    moved = found.guided.overshoot - found.plain.overshoot
    error = found.guided_error.overshoot.item()
    assert moved.item() == pytest.approx(found.predicted_overshoot.item(), rel=0.12, abs=4 * error)
    assert found.guided_transition > found.transition


def test_two_classes_are_one_dimensional():
    """Across m nothing is guided; along it the ODE's overshoot is the same in all dimensions, the SDE's falls as 1 / |m|."""
    ode = high(dimensions=(16, 64), classes="two", samples=400)
    sde = high(dimensions=(16, 64), classes="two", samples=400, solver="sde", steps=150)
    torch.testing.assert_close(ode.guided.across, ode.plain.across, rtol=1e-6, atol=1e-6)
    gap = ode.guided.overshoot[0] - ode.guided.overshoot[1]
    assert gap.abs() < 4 * ode.guided_error.overshoot.norm() < 0.5 * ode.guided.overshoot[0]
    assert (sde.guided.overshoot < 0.4 * ode.guided.overshoot).all()
    assert (ode.guided.along < 0.6).all() and (sde.guided.along > 0.7).all()


def test_a_negative_window_among_many_classes():
    """It gives some of the variance back, and the classes stay apart; a positive weight of any shape only takes."""
    negative, floor, constant = (
        high(**MANY, **values) for values in ({"weight": "linear"}, {"weight": "linear", "end": 0.0}, {})
    )
    for name in ("along", "across"):
        less, none, most = (getattr(f.guided, name).item() for f in (negative, floor, constant))
        assert less > none + 0.03 and none > most and less < 1
    assert negative.guided.accuracy.item() > 0.99
    assert negative.guided.separability > negative.plain.separability
    switch = high(**MANY, weight="switch")
    assert switch.guided.along > 1.3 * constant.guided.along and switch.guided.accuracy > 0.95


def test_a_setting_of_other_classes_says_so():
    small = {"dimensions": (4,), "samples": 20, "steps": 10}
    assert "rate changes nothing" in high(**small, classes="two", rate=0.5).idle
    assert "power changes nothing" in high(**small, power=2.0).idle
    assert high(**small).idle == high(**small).note == ""
    cut = high(**small, rate=2.0)
    assert cut.note == "The number of classes is cut to 2 to 1,000, which changes it for d = 4."
    assert cut.capped.tolist() == [True] and cut.classes.tolist() == [1000]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"dimensions": ()}, "1 to 12 dimensions"),
        ({"dimensions": (1,)}, "between 2 and 256"),
        ({"classes": "ten"}, "one of two, exponential, polynomial"),
        ({"rate": 0.0}, "rate a"),
        ({"power": 0.0}, "power p"),
        ({"variance": 0.0}, "variance of a class"),
        ({"dimensions": (256, 250), "samples": 1000}, "takes too long"),
        ({"classes": "two", "weight": "switch"}, "many classes"),
        *BAD,
    ],
    ids=str,
)
def test_bad_input_is_a_sentence(values, sentence):
    with pytest.raises(BadInput, match=sentence + r".*\.$"):
        GuideHighDimension.parse(values)


def test_a_result_survives_the_gateway_the_disk_and_a_link(tmp_path):
    request = GuideHighDimension(samples=20, steps=5, dimensions=(2, 3), classes="two")
    *_, found = run(request)
    assert not isinstance(found, Failed)
    result_file.save(tmp_path, request, found)
    loaded = result_file.load(tmp_path, request)
    assert type(loaded) is type(found) and loaded.idle == found.idle
    assert Request.from_query(request.to_query()) == request
