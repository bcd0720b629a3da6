import math
from functools import cache

import pytest
import torch

from backend.experiments.guidance_mixture import GuideMixture
from backend.guidance import mixtures
from backend.inference.run import run
from backend.jobs import result_file
from backend.request import BadInput, Failed, Request
from backend.schedule import VESchedule
from tests.experiments.guidance_input import BAD

EARLY = {"weight": "interval", "low": 2.0, "high": 100.0}
MIDDLE = {"weight": "interval", "low": 0.3, "high": 2.0}
LATE = {"weight": "interval", "low": 0.0, "high": 0.3}
BROAD = {"unconditional": "broad"}


@cache
def cached(request):
    *_, last = request.run(None)
    return last


def result(**values):
    return cached(GuideMixture.parse(values))


def test_early_guidance_erodes_the_weak_mode_and_late_guidance_leaves_it():
    """Measured before with another program: none .258, constant .051, above 2 .061, from .3 to 2 .158, below .3 .258."""
    for values, expected in (({}, 0.051), (EARLY, 0.061), (MIDDLE, 0.158), (LATE, 0.258)):
        found = result(**values)
        assert found.guided.weak.low - 0.01 < expected < found.guided.weak.high + 0.01
        assert found.plain.weak.low < 0.25 < found.plain.weak.high
    assert result(**LATE).guided.weak == result().plain.weak
    assert result(**EARLY).guided.mean[-1, 0] > result().plain.mean[-1, 0] + 0.4


def test_late_guidance_narrows_modes_where_all_data_stay_broader():
    """Beside a broad Gaussian; in a mixture of well separated modes it does nothing, and where they overlap it narrows again."""
    late = result(**LATE, **BROAD).guided.within
    variance_u, u = result(**BROAD).unconditional_variance, 0.09
    closed_form = (0.09 * (variance_u + u) / ((0.09 + u) * variance_u)) ** 4
    assert late.value == pytest.approx(closed_form, rel=0.3) and late.high < 0.15
    apart = result(**LATE, spacing=4.0, side=2, variance=0.04)
    assert apart.guided.within.value == pytest.approx(apart.plain.within.value, rel=0.02)
    assert result(**LATE).guided.within.high < 0.75


def test_denser_classes_are_narrowed_more_and_the_ode_forgets_nothing():
    """Measured before: 9, 25 and 81 classes, the SDE at gamma 4, .875, .535 and .142 of the variance."""
    for (spacing, side), expected in (((3.0, 3), 0.875), ((1.5, 5), 0.535), ((0.75, 9), 0.142)):
        one = {"spacing": spacing, "side": side, "distance": 0.0, "weak": 0.0}
        found = result(**one, solver="sde")
        share = found.guided.within.value / found.plain.within.value
        assert share == pytest.approx(expected, rel=0.15)
        assert found.classes == side**2 and found.guided.weak is None
        assert result(**one).guided.within.high < 0.01


def test_a_negative_window_gives_variance_back():
    """The closed-form switch is exact for the ODE, one mode and a broad Gaussian; the SDE leaves the class there instead."""
    one = {**BROAD, "distance": 0.0, "weak": 0.0, "samples": 200, "steps": 200}
    constant, switch = result(**one), result(**one, weight="switch")
    assert constant.guided.within.high < 0.01
    assert switch.guided.within.value == pytest.approx(switch.plain.within.value, rel=0.1)
    assert switch.guided.own.low > 0.9
    assert result(**one, weight="switch", solver="sde").guided.own.high < 0.5
    two, least = result(weight="switch"), result()
    assert two.guided.within.low > 0.5 > 2 * least.guided.within.high and two.guided.own.low > 0.85
    linear, floor = (result(**BROAD, weight="linear", end=end) for end in (-1.0, 0.0))
    assert linear.guided.within.low > floor.guided.within.high and linear.guided.own.low > 0.98


def test_paths():
    found = result()
    assert found.guided.x.shape == found.plain.x.shape == found.guided.responsibilities.shape == (500, 65, 2)
    assert torch.equal(found.guided.x[:, 0], found.plain.x[:, 0])
    ones = torch.ones(500, 65)
    torch.testing.assert_close(found.guided.responsibilities.sum(-1), ones)
    assert found.levels[0] == pytest.approx(80) and found.levels[-1] == 0 and found.weight.shape == (65,)
    assert found.guided.norm.shape == (65,) and found.guided.mean.shape == (65, 2)
    early = (found.levels < 3) & (found.levels > 1.5)
    assert (found.guided.norm > found.plain.norm)[early].all()  # norm growth
    bands = found.guided.stages
    assert bands.separation == pytest.approx(math.sqrt(0.75 * 0.25 * 9 - 0.09))
    assert 0 < found.plain.stages.resolved < bands.resolved < bands.separation
    assert bands.definition.startswith("Our definition")
    assert found.area == pytest.approx(4 * math.log(8000))
    assert found.own.tolist() == [0, 1] and found.classes == 8 and len(found.means) == 9
    other = result(label=3)
    assert other.guided.weak is None and other.own.tolist() == [4]
    off = other.plain.x[:, -1] - other.means[4].float()
    assert off.mean(0).abs().max() < 0.1


def test_without_guidance_the_runs_agree():
    found = result(gamma=0.0)
    assert torch.equal(found.guided.x, found.plain.x)
    assert torch.equal(result(gamma=0.0, seed=1).plain.x[0], found.plain.x[1])


@pytest.mark.parametrize("unconditional", ["mixture", "broad"])
def test_the_portrait_is_of_the_exact_fields(unconditional):
    portrait = result(unconditional=unconditional).portrait
    parts = portrait.mean_shift + portrait.positive + portrait.negative
    torch.testing.assert_close(parts, portrait.conditional - portrait.unconditional, rtol=1e-5, atol=1e-5)
    assert portrait.points.shape == (21**2, 2) and portrait.divergence.shape == (8, 21**2)
    assert portrait.negative.any() == (unconditional == "broad")
    D = mixtures.grid(1.5, 3, 3.0, 0.25, 0.09, unconditional).given(VESchedule(), 0)
    t = VESchedule().time(-2 * portrait.levels[3].double().log())
    torch.testing.assert_close(D(portrait.points, t), portrait.unconditional[3], rtol=1e-4, atol=1e-4)
    near = (portrait.points - torch.tensor([1.5, 0])).norm(dim=1).argmin()
    assert (portrait.divergence[-1, near] < -0.05) == (
        unconditional == "broad"
    )  # late guidance narrows a mode, or not


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"gamma": 0.0}, "Nothing is guided, because gamma is 0."),
        (
            {"weight": "interval", "low": 100.0, "high": 200.0},
            "Nothing is guided, because the weight is 0 at every step of the sampler.",
        ),
        ({"low": 1.0}, "The window changes nothing, because the weight is constant."),
        (
            {"weight": "curve", "curve": (1.0, 2.0), "gamma": 3.0},
            "gamma changes nothing, because the drawn curve is the weight.",
        ),
        (
            {**LATE, "spacing": 4.0, "side": 2, "variance": 0.01},
            "Guidance moved no sample by more than a thousandth of a mode's deviation, as where every mode is "
            "already settled among those of all classes.",
        ),
    ],
    ids=str,
)
def test_a_setting_that_changes_nothing_says_so(values, sentence):
    found = result(**values, samples=100)
    assert found.idle == sentence
    if "window" not in sentence and "curve" not in sentence:
        torch.testing.assert_close(found.guided.x[:, -1], found.plain.x[:, -1], rtol=0, atol=1e-3)
    assert result(samples=100).idle == result(samples=100).unstable == ""


def test_steps_that_are_too_long_say_so():
    found = result(gamma=20.0, steps=30, **BROAD, samples=20)
    assert found.unstable.startswith("The steps are too long")
    least = int(found.unstable.split()[-2])
    assert result(gamma=20.0, steps=least, **BROAD, samples=20).unstable == ""


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"label": 8}, "There is no such class; the classes are 0 to 7"),
        ({"label": -1}, "There is no such class"),
        ({"spacing": 0.1}, "spacing"),
        ({"side": 1}, "2 to 9 sites"),
        ({"side": 9, "spacing": 3.0}, "reaches too far"),
        ({"distance": -1.0}, "distance"),
        ({"distance": 0.0}, "Two modes need a distance"),
        ({"weak": 0.6}, "weak mode"),
        ({"variance": 0.0}, "variance of a mode"),
        ({"unconditional": "narrow"}, "one of mixture, broad"),
        *BAD,
    ],
    ids=str,
)
def test_bad_input_is_a_sentence(values, sentence):
    with pytest.raises(BadInput, match=sentence + r".*\.$"):
        GuideMixture.parse(values)


def test_a_result_survives_the_gateway_the_disk_and_a_link(tmp_path):
    request = GuideMixture(samples=20, steps=5, weight="curve", curve=(0.5, 2.0, 5.0, -0.5))
    *_, found = run(request)
    assert not isinstance(found, Failed)
    result_file.save(tmp_path, request, found)
    loaded = result_file.load(tmp_path, request)
    assert type(loaded) is type(found) and loaded.idle == found.idle
    assert Request.from_query(request.to_query()) == request
