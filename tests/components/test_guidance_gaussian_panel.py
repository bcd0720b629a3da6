"""The guidance tab's handlers on real results, which take a moment."""

import numpy as np
import pytest
import torch

from backend.experiments.guidance_theory import GuideGaussian
from backend.experiments.guidance_weight import PredictGuidance, of_run, predict
from backend.inference.cache import find
from backend.inference.run import run
from components import guidance_figures as figures
from components import guidance_gaussian_panel as tab
from components.pictures import sheet


def guided(**fields):
    *_, result = run(GuideGaussian.parse({"samples": 32, "steps": 20} | fields))
    return result


@pytest.fixture(scope="module")
def digits():
    return guided(gamma=1.0)


def test_the_tab_opens_with_a_shipped_run_that_can_be_made_again():
    shipped = find(tab.FIRST)
    *_, again = tab.FIRST.run(None)
    assert torch.allclose(
        shipped.modes.predicted.variance, again.modes.predicted.variance, atol=1e-3
    )  # of pixels that are
    # the same in all digits the variance is rounding alone, and differs with the processor
    assert torch.allclose(shipped.samples, again.samples, atol=1e-4)


def test_so_does_its_prediction():
    shipped, again = find(tab.FORESEEN), predict(tab.FORESEEN)
    assert torch.allclose(shipped.kernel_variance, again.kernel_variance)
    assert shipped.variance == pytest.approx(again.variance) and shipped.area == pytest.approx(again.area)
    told = of_run(tab.FIRST, find(tab.FIRST))
    assert shipped.shift == pytest.approx(told.shift) and torch.equal(shipped.weight, told.weight)


def test_variances_show_what_is_exact_and_what_was_sampled(digits):
    figure = figures.variances(digits)
    traces = {trace.name: trace for trace in figure.data}
    assert np.allclose(traces["guided, exact"].y, digits.modes.predicted.variance)
    assert np.allclose(traces["guided, sampled"].y, digits.modes.sampled.variance)
    assert np.allclose(traces["guided, sampled"].error_y.array, 2 * digits.modes.variance_error)
    closed = [trace for trace in figure.data if "closed form" in trace.name]
    assert len(closed) == 3 and all(trace.visible == "legendonly" for trace in closed)


def test_histograms_count_every_sample(digits):
    counted = [bar.y.sum() for bar in figures.histograms(digits).data]
    assert counted == [32] * 6


def test_a_projection_that_does_not_exist_is_left_out():
    equal = guided(data="sliders", ratio=1.0, distance=0.0)
    assert len(figures.histograms(equal).data) < 6
    assert "vanish" in tab._words(equal)


def test_norms_are_the_results_curves(digits):
    drawn = {trace.name: trace.y for trace in figures.norms(digits).data}
    assert list(drawn) == ["mean shift", "Pos-CPC", "Neg-CPC", "D_c − D_u"]
    assert np.allclose(drawn["mean shift"], digits.curves.norms[0])


def test_the_weight_and_its_kernels_go_to_the_control(digits):
    drawn = tab._show(digits, GuideGaussian(gamma=1.0, samples=32, steps=20))[3].prediction
    assert drawn.area == pytest.approx(digits.curves.area)
    same = predict(PredictGuidance(gamma=1.0, steps=20))
    assert (drawn.shift, drawn.variance) == pytest.approx((same.shift, same.variance))
    assert torch.allclose(drawn.kernel_mean, same.kernel_mean)


def test_the_plane_shows_both_ends_and_the_ways_there(digits):
    plain, ends, without, closed, ways, mean = figures.plane(digits).data
    assert len(plain.x) == len(ends.x) == 32
    assert np.allclose(ends.x, digits.trajectories.guided[-1][:, 0])
    n = len(digits.trajectories.guided)
    assert len(ways.x) == figures.PATHS * (n + 1) and np.isnan(ways.x[n])
    assert np.allclose(ways.y[:n], digits.trajectories.guided[:, 0, 1])
    assert np.allclose(mean.x, digits.trajectories.mean[:, 0])
    # Without guidance the closed form lies over what Heun's steps sample, but for their own error.
    far = np.nanmax(np.abs(np.array(closed.x) - without.x)) / np.nanmax(np.abs(without.x[1:]))
    assert far < 0.02


def test_words_tell_variance_shift_and_what_changes_nothing(digits):
    words, modes = tab._words(digits), digits.modes
    shift = (modes.predicted.mean - modes.predicted_plain.mean).norm() / modes.delta.norm()
    assert "Total variance" in words and f"moved by {float(shift):.3g} of" in words
    assert "gamma is 0" in tab._words(guided(gamma=0.0))
    assert "switched off" in tab._words(guided(mean_shift=False, positive=False, negative=False))


def test_points_that_are_no_pictures_have_none():
    sliders = guided(data="sliders")
    assert tab._samples(sliders) == tab._components(sliders) == ""
    assert tab._samples(guided(data="avatars", label="happy")).count("<img") == 2


def test_another_data_set_has_its_own_classes():
    label, _ = tab._other_data("avatars")
    assert label.value in tab.LABELS["avatars"] and label.visible
    label, _ = tab._other_data("sliders")
    assert not label.visible


def test_a_sheet_is_rows_of_pictures_with_white_between():
    pictures = torch.stack([torch.full((1, 2, 2), value) for value in (-1.0, 0.0, 0.5)])
    page = sheet(pictures, 2)
    assert page.shape == (1, 5, 5)
    assert page[0, 0].tolist() == [-1, -1, 1, 0, 0] and page[0, 3].tolist() == [0.5, 0.5, 1, 1, 1]
    assert (page[0, 2] == 1).all()
