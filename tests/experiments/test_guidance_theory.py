import math

import pytest
import torch

from backend.experiments.guidance_theory import GuideGaussian
from backend.guidance import theory
from backend.inference.run import run
from backend.jobs import result_file
from backend.request import BadInput, Failed, Request

ROUNDING = 1e-12  # variances that are 0 up to it have no standard error


def result(**values):
    *_, last = GuideGaussian.parse(values).run(None)
    return last


def deviations(sampled, predicted, n):
    """Of sampled means and variances from their prediction, in standard errors."""
    kept = predicted.variance > ROUNDING
    mean = (sampled.mean - predicted.mean) / (predicted.variance / n).sqrt()
    variance = (sampled.variance / predicted.variance - 1) / (2 / (n - 1)) ** 0.5
    return torch.cat([mean[kept], variance[kept]]).abs()


@pytest.mark.parametrize("solver", ["ode", "ddim", "sde"])
@pytest.mark.parametrize(
    "values",
    [
        {"gamma": 2.0},
        {"gamma": 4.0, "positive": False},
        {"gamma": 4.0, "mean_shift": False, "negative": False, "weight": "interval", "low": 1.0},
        {"method": "classifier", "gamma": 3.0, "weight": "triangle"},
        {"data": "sliders", "gamma": 3.0, "angle": 25.0, "distance": 3.0},
        {"data": "avatars", "label": "wink", "gamma": 2.0, "weight": "linear"},
    ],
    ids=str,
)
def test_samples_have_the_predicted_moments(solver, values):
    n = 500
    found = result(**values, solver=solver, samples=n, seed=1000)
    modes = found.modes
    assert found.unstable == "" and found.idle == ""
    from_predicted = deviations(modes.sampled, modes.predicted, n)
    assert from_predicted.max() < 4
    if len(from_predicted) > 50:  # all at once
        assert 0.5 < from_predicted.square().mean() < 1.5
    assert deviations(modes.sampled_plain, modes.predicted_plain, n).max() < 4
    projections = found.projections
    on = theory.Mode(projections.guided.mean(1), projections.guided.var(1))
    assert deviations(on, projections.predicted, n).max() < 4
    kept = modes.predicted.variance > ROUNDING
    scaled = (modes.sampled.mean - modes.predicted.mean) / modes.mean_error
    scaled_variance = (modes.sampled.variance - modes.predicted.variance) / modes.variance_error
    assert torch.cat([scaled[kept], scaled_variance[kept]]).abs().max() < 4


@pytest.mark.parametrize("weight", ["constant", "interval", "linear"])
def test_where_the_gaussians_commute_many_steps_reach_the_closed_forms(weight):
    found = result(data="sliders", gamma=1.5, weight=weight, steps=400, samples=4)
    modes = found.modes
    assert modes.mixing.max() < 1e-9
    torch.testing.assert_close(modes.predicted.variance, modes.ode.variance, rtol=0.03, atol=1e-3)
    torch.testing.assert_close(modes.predicted.mean, modes.ode.mean, rtol=0.03, atol=0.02)
    assert modes.tilted.mean.isnan().all() == (weight != "constant")
    turned = result(data="sliders", gamma=1.5, angle=30.0, samples=4).modes
    assert turned.mixing.min() > 0.1


def test_the_same_noises_without_guidance_are_plain_sampling():
    found = result(gamma=0.0)
    assert torch.equal(found.samples, found.plain)
    assert found.samples.shape == (64, 1, 8, 8)
    paths = found.trajectories
    assert torch.equal(paths.guided, paths.plain) and paths.guided.shape == (41, 64, 2)
    torch.testing.assert_close(paths.conditional[0], paths.guided[0])
    assert (
        paths.conditional[-1] - paths.guided[-1]
    ).abs().max() < 0.05  # the ODE in closed form, and its steps
    other = result(gamma=4.0)
    torch.testing.assert_close(other.plain, found.plain)
    assert torch.equal(other.trajectories.plain[0], other.trajectories.guided[0])
    assert (result(gamma=0.0, seed=1).samples[0] == found.samples[1]).all()


def test_classifier_guidance_is_cfg_with_one_less():
    cfg, classifier = result(gamma=2.0), result(gamma=3.0, method="classifier")
    torch.testing.assert_close(cfg.samples, classifier.samples, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(cfg.modes.ode.variance, classifier.modes.ode.variance)
    alone = result(gamma=1.0, method="classifier")
    torch.testing.assert_close(alone.samples, cfg.plain, rtol=1e-4, atol=1e-4)
    assert alone.modes.predicted_plain.variance.sum() > 1.5 * alone.modes.predicted.variance.sum()  # all data
    assert result(gamma=3.0, method="classifier", negative=False).modes.ode.mean.isnan().all()


def test_the_mean_shift_alone_moves_every_sample_alike():
    """It costs no diversity here, whatever the lecture says of it."""
    found = result(positive=False, negative=False)
    shift = found.samples - found.plain
    torch.testing.assert_close(shift, shift[:1].expand_as(shift), rtol=0, atol=1e-5)
    assert shift.abs().max() > 0.5
    torch.testing.assert_close(found.modes.predicted.variance, found.modes.predicted_plain.variance)


def test_the_histograms_show_what_each_part_does():
    """Pos-CPC widens along its first component, Neg-CPC narrows along its own, the mean shift moves along the difference."""
    for values, row, of, direction in [
        ({"mean_shift": False, "negative": False}, 0, "variance", 1),
        ({"mean_shift": False, "positive": False}, 1, "variance", -1),
        ({"positive": False, "negative": False}, 2, "mean", 1),
    ]:
        projections = result(gamma=2.0, **values).projections
        guided, plain = (getattr(p, of)[row] for p in (projections.predicted, projections.predicted_plain))
        assert (guided - plain) * direction > 0.3 * abs(plain)
    assert projections.guided.shape == projections.plain.shape == (3, 64)


def test_components():
    found = result(label="0")
    parts = found.components
    assert parts.principal.shape == parts.positive.shape == parts.negative.shape == (4, 1, 8, 8)
    for name in ("principal", "positive", "negative"):
        flat = getattr(parts, name).flatten(1)
        torch.testing.assert_close(flat @ flat.T, torch.eye(4), rtol=1e-5, atol=1e-5)
    assert (parts.positive_values.diff() < 0).all() and (parts.positive_values > 0).all()
    assert (parts.negative_values.diff() > 0).all() and (parts.negative_values < 0).all()
    torch.testing.assert_close(parts.mean_c - parts.mean_u, parts.difference)
    assert 1 < parts.largest_ratio < found.bound  # no direction beats 1 / pi_c
    assert 0 < parts.overlap < 1 and 0 < parts.pattern < 1
    faces = result(data="avatars", label="sad", samples=2).components
    assert faces.principal.shape == (4, 3, 64, 64) and faces.mean_c.abs().max() < 2


def test_curves():
    found = result(weight="interval", low=0.5, high=5.0).curves
    assert found.area == pytest.approx(4 * math.log(10))
    inside = (found.steps > 0.5) & (found.steps <= 5)
    assert torch.equal(found.steps_weight, 4.0 * inside)
    assert found.norms.shape == (4, 40) and (found.norms > 0).all()
    assert (found.norms[3] <= found.norms[:3].sum(0) + 1e-9).all()
    assert found.kernel_variance.shape == found.kernel_mean.shape == (64, len(found.level))
    assert (found.level[0].item(), found.level[-1].item()) == pytest.approx((found.low, found.high))
    equal = result(weight="late", equal_area=True, gamma=0.5).curves
    assert equal.area == pytest.approx(0.5 * math.log(4000))


def test_the_switch_keeps_its_own_mode():
    found = result(data="sliders", weight="switch", gamma=3.0, steps=400, samples=2, mode=2)
    assert found.switch == pytest.approx(
        theory.switch_level(*(float(v[1]) for v in (found.modes.variance_c, found.modes.variance_u)), 3.0)
    )
    assert found.modes.ode.variance[1].item() == pytest.approx(float(found.modes.variance_c[1]))
    assert found.modes.predicted.variance[1].item() == pytest.approx(
        float(found.modes.variance_c[1]), rel=0.05
    )
    assert found.modes.ode.mean[1].abs() > 1.5 * result(data="sliders", gamma=3.0).modes.ode.mean[1].abs()


def test_few_pictures_are_said_to_be_few():
    found = result(pictures=20)
    assert found.pictures == 20 and found.shrinkage == pytest.approx(45 / 64)
    assert found.note == (
        "The class's covariance is from 20 pictures in 64 dimensions, which is too few: "
        "70% of it is the covariance of all data."
    )
    assert result().note == ""
    *_, failed = run(GuideGaussian(pictures=500))
    assert failed == Failed("This class has 121 pictures.")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"gamma": 0.0}, "Nothing is guided, because gamma is 0."),
        (
            {"mean_shift": False, "positive": False, "negative": False},
            "Nothing is guided, because all three parts are switched off.",
        ),
        (
            {"weight": "interval", "low": 100.0, "high": 200.0},
            "Nothing is guided, because the weight is 0 at every step of the sampler.",
        ),
        (
            {"data": "sliders", "ratio": 1.0, "mean_shift": False},
            "Nothing is guided, because the parts that are switched on vanish for these two Gaussians.",
        ),
        ({"data": "sliders", "distance": 0.0}, "The mean shift vanishes for these two Gaussians."),
        (
            {"weight": "curve", "curve": (1.0, 2.0), "gamma": 3.0},
            "gamma changes nothing, because the drawn curve is the weight.",
        ),
        ({"low": 1.0}, "The window changes nothing, because the weight is constant."),
        (
            {"weight": "switch", "high": 1.0},
            "The window changes nothing, because the weight is a switch.",
        ),
        (
            {"data": "sliders", "pictures": 9},
            "The number of pictures changes nothing, because these Gaussians are given.",
        ),
    ],
    ids=str,
)
def test_a_setting_that_changes_nothing_says_so(values, sentence):
    found = result(samples=8, **values)
    assert found.idle == sentence
    if sentence.startswith("Nothing"):
        torch.testing.assert_close(found.samples, found.plain, rtol=1e-5, atol=1e-5)


def test_steps_that_are_too_long_say_so():
    found = result(gamma=10.0, positive=False, samples=8, steps=30)
    assert found.unstable.endswith("It takes 47 steps.")
    assert found.modes.predicted.variance.sum() > 10 * found.modes.variance_c.sum()
    enough = result(gamma=10.0, positive=False, samples=8, steps=47)
    assert enough.unstable == ""
    assert enough.modes.predicted.variance.sum() < found.modes.variance_c.sum()
    assert result(gamma=10.0, negative=False, samples=8).unstable == ""


def test_what_grows_without_bound_is_cut():
    found = result(gamma=60.0, negative=False, samples=4)
    assert found.samples.isfinite().all() and found.samples.abs().max() <= 1e6


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
        ({"weight": "triangle", "gamma": 70.0}, "stay from -1 to 100"),
        ({"label": "ten"}, "There is no such class; the classes are 0, 1"),
        ({"data": "avatars"}, "There is no such class; the classes are neutral, happy"),
        ({"data": "faces"}, "The data must be one of digits, avatars, sliders"),
        ({"weight": "curve"}, "Draw at least one point"),
        ({"weight": "curve", "curve": (1.0,)}, "a noise level and a gamma"),
        ({"weight": "curve", "curve": (0.0, 1.0)}, "above 0"),
        ({"weight": "linear", "end": -2.0}, "-1 to 100"),
        ({"weight": "interval", "low": 1.0, "high": 1.01, "equal_area": True}, "stay from -1 to 100"),
        ({"weight": "switch", "gamma": 0.0}, "gamma above 0"),
        ({"weight": "switch", "mode": 65}, "one of 1 to 64"),
        ({"weight": "switch", "mode": 3, "data": "sliders"}, "one of 1 to 2"),
        ({"steps": 1}, "2 to 400 steps"),
        ({"samples": 1}, "2 to 1,000 samples"),
        ({"samples": 1000, "steps": 41}, "at most 40,000"),
        ({"seed": -1}, "seed"),
        ({"level": 0.0}, "noise level of the CPCs"),
        ({"pictures": -1}, "0 for all"),
        ({"ratio": 0.0}, "ratio"),
        ({"distance": -1.0}, "distance"),
        ({"angle": 91.0}, "angle"),
    ],
    ids=str,
)
def test_bad_input_is_a_sentence(values, sentence):
    with pytest.raises(BadInput, match=sentence + r".*\.$"):
        GuideGaussian.parse(values)


def test_a_switch_without_a_mode_to_keep_fails_with_a_sentence():
    *_, failed = run(GuideGaussian(data="sliders", ratio=1.0, weight="switch"))
    assert isinstance(failed, Failed) and failed.sentence.startswith("The switch needs a mode")


def test_a_result_survives_the_disk_and_a_link(tmp_path):
    request = GuideGaussian(samples=2, weight="curve", curve=(0.5, 2.0, 5.0, -0.5))
    *_, found = run(request)
    result_file.save(tmp_path, request, found)
    loaded = result_file.load(tmp_path, request)
    assert torch.equal(loaded.modes.ode.mean, found.modes.ode.mean) and loaded.idle == found.idle
    assert Request.from_query(request.to_query()) == request
