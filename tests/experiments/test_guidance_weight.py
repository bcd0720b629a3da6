"""Predictions against the exact moments of the run, against samples, and of their areas against sums."""

import math

import numpy as np
import pytest
import torch

from backend.denoiser.base import given
from backend.denoiser.combine import Guided
from backend.experiments import guidance_weight as tool
from backend.experiments.guidance_dimension import GuideHighDimension
from backend.experiments.guidance_mixture import GuideMixture
from backend.experiments.guidance_theory import GuideGaussian
from backend.experiments.guidance_weight import PredictGuidance, of_dimension, of_mixture
from backend.guidance import class_statistics, mixtures, readouts, theory, weights
from backend.guidance.terms import PairDenoiser, term
from backend.inference.load import load
from backend.request import BadInput, Request
from backend.sampling import ancestral, dpm_solver, last
from backend.sampling.noise import noise

CURVE = (0.05, 1.0, 0.5, 3.0, 4.0, -0.5, 30.0, 0.2)


def predicted(**values):
    *_, last_one = PredictGuidance.parse(values).run(None)
    return last_one


@pytest.mark.parametrize("solver", ["ode", "ddim", "sde"])
@pytest.mark.parametrize(
    "values",
    [
        {"gamma": 2.0},
        {"gamma": 2.0, "weight": "interval", "low": 1.0, "positive": False},
        {"weight": "curve", "curve": CURVE, "mean_shift": False},
        {"gamma": 0.7, "weight": "late", "equal_area": True},
        {"method": "classifier", "gamma": 3.0, "weight": "triangle"},
        {"data": "sliders", "gamma": 1.5, "weight": "switch", "mode": 2, "angle": 25.0, "distance": 3.0},
        {"data": "avatars", "label": "wink", "gamma": 2.0, "weight": "linear", "steps": 30},
    ],
    ids=str,
)
def test_it_is_what_the_run_calls_exact(solver, values):
    found = predicted(**values, solver=solver)
    *_, run = GuideGaussian.parse(values | {"solver": solver, "samples": 2}).run(None)
    modes = run.modes
    own = modes.variance_c.sum()
    moved = (modes.predicted.mean - modes.predicted_plain.mean).norm() / modes.delta.norm()
    assert found.variance == pytest.approx(float(modes.predicted.variance.sum() / own), rel=1e-9)
    assert found.variance_plain == pytest.approx(float(modes.predicted_plain.variance.sum() / own), rel=1e-9)
    assert found.shift == pytest.approx(float(moved), rel=1e-9, abs=1e-12)
    assert found.area == pytest.approx(run.curves.area) and found.unstable == run.unstable
    assert (found.low, found.high) == (run.curves.low, run.curves.high)


def test_samples_have_the_predicted_variance_and_shift():
    n, values = 1000, {"gamma": 1.5, "weight": "curve", "curve": CURVE}
    found = predicted(**values)
    *_, run = GuideGaussian.parse(values | {"samples": n}).run(None)
    exact, sampled, own = run.modes.predicted, run.modes.sampled, run.modes.variance_c.sum()
    error = (2 / (n - 1) * exact.variance.square().sum()).sqrt() / own
    assert abs(float(sampled.variance.sum() / own) - found.variance) < 4 * error
    assert abs(found.variance - found.variance_plain) > 10 * error  # the weight is seen
    moved = (run.samples - run.plain).double().flatten(1)
    error = (moved.var(0).sum() / n).sqrt() / run.modes.delta.norm()
    assert abs(float(moved.mean(0).norm() / run.modes.delta.norm()) - found.shift) < 4 * error < found.shift


@pytest.mark.parametrize(("solver", "steps"), [("ode", 12), ("sde", 40)])
def test_the_networks_own_sampler_on_its_linear_model(solver, steps):
    """DPM-Solver++ from 4,000 noises, which sees neither M nor m; ancestral steps likewise."""
    values = {"sampler": "network", "solver": solver, "steps": steps, "gamma": 1.5, "low": 0.3}
    found = predicted(**values, weight="interval")
    n, stats, schedule = 4000, class_statistics.of_class("digits", "3"), load("digits").denoiser.schedule
    assert torch.equal(schedule(torch.linspace(0, 1, 50))[0], tool._network()(torch.linspace(0, 1, 50))[0])
    step = "dpm" if solver == "ode" else "ancestral"
    _, times = tool.Way("network", (0.02, 100.0), steps, step).grid
    weight = weights.interval(1.5, 0.3, 10.0)
    ends = []
    for gamma in (weight, weights.constant(0.0)):
        denoiser = Guided(PairDenoiser(stats.pair, schedule), [term(stats.pair, schedule)], [gamma])
        denoiser = given(denoiser, label=torch.tensor(0))
        x = noise(range(n), (64,), dtype=torch.float64)
        if solver == "ode":
            ends.append(last(dpm_solver.solve(denoiser, x, times)))
        else:
            ends.append(last(ancestral.solve(denoiser, x, times, range(n))))
    guided, plain = ends
    own = float(stats.pair.conditional.variances.sum())
    for x, exact in ((guided, found.variance), (plain, found.variance_plain)):
        trace, spread = float(torch.cov(x.mT).trace()) / own, torch.linalg.eigvalsh(torch.cov(x.mT)) / own
        assert abs(trace - exact) < 4 * float((2 / (n - 1) * spread.square().sum()).sqrt())
    moved = guided - plain
    error = float((moved.var(0).sum() / n).sqrt() / stats.pair.difference.norm())
    share = float(moved.mean(0).norm() / stats.pair.difference.norm())
    assert abs(share - found.shift) < 4 * error < found.shift


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"weight": "interval", "low": 0.5, "high": 5.0},
        {"weight": "triangle"},
        {"weight": "early"},
        {"weight": "late", "equal_area": True, "gamma": 1.0},
        {"weight": "linear", "end": -0.8},
        {"weight": "switch"},
        {"weight": "curve", "curve": CURVE},
        {"weight": "curve", "curve": (2.0, 3.0)},
        {"weight": "interval", "low": 0.0, "high": 1e6},
    ],
    ids=str,
)
@pytest.mark.parametrize("sampler", ["gaussians", "network"])
def test_the_drawn_weight_has_the_area_that_is_told(values, sampler):
    if sampler == "network" and values.get("weight") == "switch":
        return
    found = predicted(**values, sampler=sampler)
    assert (found.level.diff() > 0).all()
    assert (found.level[0].item(), found.level[-1].item()) == (found.low, found.high)
    area = np.trapezoid(found.weight.numpy(), np.log(found.level.numpy()))
    assert area == pytest.approx(found.area, rel=1e-5)


def test_the_kernels_are_those_of_the_leading_modes():
    found, stats = predicted(), class_statistics.of_class("digits", "3")
    variance_u, _ = readouts.modes_of(stats)
    modes = stats.pair.conditional.variances[:4], variance_u[:4]
    variance, mean = theory.kernels(*modes, found.level)
    torch.testing.assert_close(found.kernel_variance, variance)
    torch.testing.assert_close(found.kernel_mean, mean)
    whole = torch.trapezoid(found.kernel_variance, found.level.log())
    torch.testing.assert_close(whole, (modes[1] / modes[0]).log(), rtol=0.02, atol=0.01)


def test_a_class_of_one_mode_beside_a_broad_gaussian_is_linear_and_exact():
    request = GuideMixture(weak=0.0, unconditional="broad", gamma=2.0, weight="early", samples=2000)
    found = of_mixture(request)
    *_, run = request.run(None)
    ends, plain = (paths.x[:, -1].double() for paths in (run.guided, run.plain))
    own = 2 * request.variance
    assert float(ends.var(0).sum()) / own == pytest.approx(found.variance, rel=4 * (1 / 2000) ** 0.5)
    assert float(plain.var(0).sum()) / own == pytest.approx(found.variance_plain, rel=4 * (1 / 2000) ** 0.5)
    apart = run.means[0] - run.masses @ run.means
    moved = (ends - plain).mean(0).norm() / apart.norm()
    assert float(moved) == pytest.approx(found.shift, rel=0.02) and found.area == pytest.approx(run.area)


def test_a_mixture_counts_by_its_mean_and_covariance():
    classes = GuideMixture().classes()
    pair = tool._matched(classes.own(0), classes.unconditional)
    modes = classes.modes
    off = modes.means - modes.weights @ modes.means
    covariance = sum(
        w * (torch.outer(m, m) + v * torch.eye(2))
        for w, m, v in zip(modes.weights, off, modes.variances, strict=True)
    )
    torch.testing.assert_close(pair.unconditional.covariance, covariance.double())
    torch.testing.assert_close(pair.conditional.mean, torch.tensor([0.75, 0.0], dtype=torch.float64))
    assert of_mixture(GuideMixture(gamma=0.0)).idle == "Nothing is guided, because gamma is 0."


def test_two_classes_in_many_dimensions_differ_along_one_axis():
    request = GuideHighDimension(dimensions=(6,), classes="two", gamma=1.0)
    found, v = of_dimension(request), request.variance
    assert mixtures.number("two", 6, 1.0, 1.0)[0] == 2
    ratio = v / (v + 6)  # along m; all other axes have no kernel
    assert found.variance == pytest.approx((5 + ratio) / 6, rel=0.02)
    assert (found.kernel_variance.abs().amax(1) > 1e-9).sum() == 1


def test_without_a_distance_there_is_no_share():
    assert predicted(data="sliders", distance=0.0).shift is None


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"gamma": 0.0}, "Nothing is guided, because gamma is 0."),
        (
            {"mean_shift": False, "positive": False, "negative": False},
            "Nothing is guided, because all three parts are switched off.",
        ),
        (
            {"weight": "interval", "low": 200.0, "high": 300.0},
            "Nothing is guided, because the weight is 0 at every step of the sampler.",
        ),
        ({"low": 1.0}, "The window changes nothing, because the weight is constant."),
    ],
    ids=str,
)
@pytest.mark.parametrize("sampler", ["gaussians", "network"])
def test_a_setting_that_changes_nothing_says_so(values, sentence, sampler):
    found = predicted(**values, sampler=sampler)
    assert found.idle == sentence
    if sentence.startswith("Nothing"):
        assert found.shift == pytest.approx(0, abs=1e-9)
        assert found.variance == pytest.approx(found.variance_plain)


def test_steps_that_are_too_long_say_so():
    assert predicted(gamma=10.0, positive=False, steps=30).unstable.endswith("It takes 47 steps.")
    assert predicted(gamma=10.0, positive=False, steps=47).unstable == ""


@pytest.mark.parametrize("sampler", ["gaussians", "network"])
@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"gamma": math.nan}, "gamma must be a finite number"),
        ({"gamma": 1e6}, "gamma must be a number from -1 to 100"),
        ({"gamma": -1.5}, "gamma must be a number from -1 to 100"),
        ({"low": 5.0, "high": 1.0}, "window is empty"),
        ({"low": 1.0, "high": 1.0}, "window is empty"),
        ({"low": -1.0}, "noise levels of 0 or more"),
        ({"weight": "triangle", "low": 0.0}, "log scale"),
        ({"weight": "curve"}, "Draw at least one point"),
        ({"weight": "curve", "curve": (1.0, 2.0, 3.0)}, "a noise level and a gamma"),
        ({"weight": "curve", "curve": (1.0, 2.0, 1.0, 3.0)}, "same noise level"),
        ({"weight": "curve", "curve": (0.0, 1.0)}, "above 0"),
        ({"weight": "curve", "curve": (1.0, -3.0)}, "-1 to 100"),
        ({"weight": "curve", "curve": (1.0, math.inf)}, "finite number"),
        ({"label": "ten"}, "There is no such class; the classes are 0, 1"),
        ({"steps": 1}, "steps"),
    ],
    ids=str,
)
def test_bad_input_is_a_sentence(values, sentence, sampler):
    with pytest.raises(BadInput, match=sentence + r".*\.$"):
        PredictGuidance.parse(values | {"sampler": sampler})


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"data": "sliders"}, "no network"),
        ({"solver": "ddim"}, "ode and sde"),
        ({"method": "classifier"}, "method is cfg"),
        ({"weight": "switch"}, "no switch"),
        ({"steps": 201}, "3 to 200"),
    ],
    ids=str,
)
def test_what_a_network_cannot_do_is_a_sentence(values, sentence):
    with pytest.raises(BadInput, match=sentence + r".*\.$"):
        PredictGuidance.parse(values | {"sampler": "network"})


def test_a_link_names_it():
    request = PredictGuidance(weight="curve", curve=CURVE, sampler="network")
    assert Request.from_query(request.to_query()) == request
