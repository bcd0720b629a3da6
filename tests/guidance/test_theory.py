import math

import pytest
import torch

from backend.denoiser.base import given
from backend.denoiser.combine import Guided
from backend.guidance import theory, weights
from backend.guidance.terms import NAMES, Pair, PairDenoiser, gaussian, term
from backend.sampling import ancestral, heun, last
from tests.guidance.examples import aligned, log_grid, skew, tensor

C, U, DELTA = tensor(1, 0.09, 4, 1, 0.5, 2), tensor(4, 4, 0.09, 1, 0.6, 1.5), tensor(1, -0.5, 0.3, 2, 1, 0)
GENTLE = tensor(1, 0.5, 2, 0.8)  # modes on which few hundred steps suffice
AGAINST = tensor(4, 1, 1.2, 0.8)
CLASS = torch.tensor(0)


def guided(pair, schedule, weight, names=NAMES):
    D = PairDenoiser(pair, schedule)
    return given(Guided(D, [term(pair, schedule, names)], [weight]), label=CLASS)


def sampled(pair, weight, steps, solver, names=NAMES, low=1e-3, high=1e3):
    """Mean and variance along the axes that the sampler returns on a log grid, exactly."""
    schedule, times = log_grid(low, high, steps)
    found = theory.moments(guided(pair, schedule, weight, names), times, solver, high)
    return theory.Mode(found.mean[-1], found.covariance[-1].diagonal())


def close(found, expected, rtol, atol=0.0):
    torch.testing.assert_close(found.mean, expected.mean, rtol=rtol, atol=atol)
    torch.testing.assert_close(found.variance, expected.variance, rtol=rtol, atol=atol)


def test_one_example_by_hand():
    """lambda_c = 1, lambda_u = 4, gamma = 2: three different answers."""
    mode = tensor(1), tensor(4), tensor(1)
    for form, mean, variance in [
        (theory.ode, 0.5, 0.0625),
        (theory.sde, 0.3125, 1023 / 3840),
        (theory.tilted, 0.2, 0.4),
    ]:
        found = form(*mode, 2.0)
        assert found.mean.item() == pytest.approx(mean, abs=1e-12)
        assert found.variance.item() == pytest.approx(variance, abs=1e-12)


@pytest.mark.parametrize("gamma", [-1.0, -0.5, 0.0, 0.7, 2.0, 4.0, 10.0])
def test_closed_forms_agree_with_the_quadrature(gamma):
    for form, stochastic in [(theory.ode, False), (theory.sde, True)]:
        found = theory.scheduled(C, U, DELTA, weights.constant(gamma), stochastic=stochastic)
        close(found, form(C, U, DELTA, gamma), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("form", [theory.ode, theory.sde, theory.tilted])
def test_gamma_0_is_the_class_and_minus_1_all_data(form):
    close(form(C, U, DELTA, 0.0), theory.Mode(torch.zeros(6).double(), C), rtol=1e-12)
    close(form(C, U, DELTA, -1.0), theory.Mode(-DELTA, U), rtol=1e-9)


def test_tilted_is_the_product_of_densities_and_ends_where_that_does():
    """The precision and its mean add up: (1 + gamma) of the class, -gamma of all data."""
    gamma = 0.8
    found = theory.tilted(C, U, DELTA, gamma)
    precision = (1 + gamma) / C - gamma / U
    exists = 1 + 1 / gamma > C / U
    assert 0 < exists.sum() < 6
    torch.testing.assert_close(found.variance[exists], 1 / precision[exists])
    torch.testing.assert_close(found.mean[exists], (gamma * DELTA / U / precision)[exists])
    assert found.variance[~exists].isnan().all() and found.mean[~exists].isnan().all()


@pytest.mark.parametrize("gamma", [-1.0, 0.0, 2.0])
def test_many_steps_of_the_ode_reach_the_closed_form(gamma):
    pair = aligned(C, U, DELTA)
    found = sampled(pair, gamma, 400, "heun")
    close(found, theory.ode(C, U, DELTA, gamma), rtol=5e-3, atol=3e-3)


def test_steps_of_the_ode_and_the_sde_converge_at_their_orders():
    """Errors of Heun fall to a quarter from 200 steps to 400, those of DDIM and of ancestral steps to a half."""
    pair, delta = aligned(GENTLE, AGAINST, torch.ones(4).double()), torch.ones(4).double()
    for solver, form, order in [
        ("heun", theory.ode, 2),
        ("ddim", theory.ode, 1),
        ("ancestral", theory.sde, 1),
    ]:
        exact = form(GENTLE, AGAINST, delta, 1.0)
        coarse, fine = (sampled(pair, 1.0, n, solver, low=1e-4, high=1e4) for n in (200, 400))
        ratio = ((fine.variance - exact.variance) / (coarse.variance - exact.variance)).abs()
        assert (ratio < 1.25 * 2**-order).all(), (solver, ratio)
        weight = 2**order / (2**order - 1)  # Richardson's extrapolation
        for of in ("mean", "variance"):
            a, b = getattr(coarse, of), getattr(fine, of)
            torch.testing.assert_close(a + weight * (b - a), getattr(exact, of), rtol=5e-3, atol=1e-3)


SCHEDULES = {
    "interval": weights.interval(3.0, 0.2, 5.0),
    "triangle": weights.triangle(2.0, 0.1, 20.0),
    "linear": weights.linear(3.0, 0.1, 20.0, -0.8),
    "curve": weights.curve([(0.1, -0.5), (1.0, 3.0), (9.0, 0.0)]),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_weights_over_the_noise_level_by_quadrature_are_what_many_steps_reach(name):
    weight, delta = SCHEDULES[name], torch.ones(4).double()
    expected = theory.scheduled(GENTLE, AGAINST, delta, weight, knots=weight.knots)
    found = sampled(aligned(GENTLE, AGAINST, delta), weight, 600, "heun")
    jump = 0.03 if name == "interval" else 3e-3  # a jump lies anywhere inside a step
    close(found, expected, rtol=jump, atol=jump)


@pytest.mark.parametrize("stochastic", [False, True])
def test_a_finite_start_is_accounted_for(stochastic):
    """From sigma = 6, where the start is far from the noisy data: mean 0 instead of mu_c, variance 36."""
    centre = tensor(0.5, -1.0, 0.0, 2.0)
    pair = Pair(gaussian(-centre, GENTLE.diag()), gaussian(-centre - 1, AGAINST.diag()))
    ends = {"start": 6.0, "centre": centre, "stochastic": stochastic}
    expected = theory.scheduled(GENTLE, AGAINST, pair.difference, weights.constant(1.5), **ends)
    solver, order = ("ancestral", 1) if stochastic else ("heun", 2)
    coarse, fine = (sampled(pair, 1.5, n, solver, low=1e-3, high=6.0) for n in (200, 400))
    w = 2**order / (2**order - 1)
    mean = coarse.mean + w * (fine.mean - coarse.mean) + centre
    variance = coarse.variance + w * (fine.variance - coarse.variance)
    close(theory.Mode(mean, variance), expected, rtol=3e-3, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_closed_forms_of_single_parts(name):
    """Pos-CPC acts on the modes with lambda_c > lambda_u, Neg-CPC on the others, the mean shift on means alone."""
    delta, gamma = torch.ones(4).double(), 1.0
    cpc = (GENTLE > AGAINST).double() if name == "positive" else (GENTLE < AGAINST).double()
    cpc = cpc * (name != "mean_shift")
    shift = gamma * (name == "mean_shift")
    found = sampled(aligned(GENTLE, AGAINST, delta), gamma, 400, "heun", (name,))
    close(found, theory.ode(GENTLE, AGAINST, delta, gamma * cpc, shift), rtol=3e-3, atol=3e-3)


@pytest.mark.parametrize("solver", ["ddim", "heun", "ancestral"])
def test_the_mean_shift_changes_no_covariance(solver):
    pair = skew()
    schedule, times = log_grid(0.01, 100.0, 30)
    with_shift, without = (
        theory.moments(guided(pair, schedule, 4.0, names), times, solver, 100.0)
        for names in (NAMES, NAMES[1:])
    )
    torch.testing.assert_close(with_shift.covariance, without.covariance, rtol=1e-6, atol=1e-8)
    assert (with_shift.mean[-1] - without.mean[-1]).norm() > 0.1


@pytest.mark.parametrize("solver", ["heun", "ancestral"])
@pytest.mark.parametrize("names", [NAMES, NAMES[:1], NAMES[1:2], NAMES[2:]])
def test_samples_have_the_predicted_moments(solver, names):
    """Any two Gaussians and any parts: within 4 standard errors, at the end and half way."""
    pair, n = skew(), 4000
    schedule, times = log_grid(0.01, 50.0, 12)
    D = guided(pair, schedule, weights.linear(1.5, 0.1, 20.0, -0.5), names)
    expected = theory.moments(D, times, solver, 50.0)
    x = 50 * torch.randn(n, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for at in (6, 12):
        if solver == "heun":
            found = last(heun.solve(D, x, times[: at + 1]))
        else:
            found = last(ancestral.solve(D, x, times[: at + 1], range(n)))
        covariance = expected.covariance[at]
        error = (covariance.diagonal() / n).sqrt()
        assert ((found.mean(0) - expected.mean[at]).abs() < 4 * error).all()
        variances = covariance.diagonal()
        error = ((covariance**2 + variances[:, None] * variances) / (n - 1)).sqrt()
        assert ((found.T.cov() - covariance).abs() < 4 * error).all()


def test_unguided_paths_are_those_of_the_closed_form():
    pair = skew()
    schedule, times = log_grid(0.01, 50.0, 400)
    x = 50 * torch.randn(3, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    path = theory.conditional_path(pair.conditional, schedule, x, times)
    assert path.shape == (401, 3, 5)
    torch.testing.assert_close(path[0], x)
    states = [x for x, _ in heun.solve(guided(pair, schedule, 0.0), x, times)][1::2]
    torch.testing.assert_close(torch.stack(states), path[1:-1], rtol=1e-2, atol=1e-2)


def test_kernels():
    level = torch.logspace(-5, 5, 40_001, dtype=torch.float64)
    variance, mean = theory.kernels(C, U, level)
    step = math.log(10) * 10 / 40_000
    torch.testing.assert_close(variance.sum(1) * step, (U / C).log(), rtol=1e-6, atol=1e-6)
    moved = C != U
    torch.testing.assert_close(
        level[variance.abs().argmax(1)][moved], (C * U)[moved] ** 0.25, rtol=1e-3, atol=0
    )
    small = theory.ode(C, U, DELTA, 1e-6)  # the mean to first order in gamma
    torch.testing.assert_close(mean.sum(1) * step * 1e-6 * DELTA, small.mean, rtol=1e-4, atol=0)
    ratio = (mean / variance)[:2]
    assert (ratio.diff() > 0).all()  # early guidance buys more mean for its variance
    assert (level[mean.argmax(1)] > level[variance.abs().argmax(1)])[moved].all()


@pytest.mark.parametrize(("c", "u", "gamma"), [(0.09, 4.0, 4.0), (4.0, 0.09, 4.0), (1.0, 2.0, 0.5)])
def test_the_switch_keeps_the_variance(c, u, gamma):
    weight = weights.switch(gamma, c, u)
    found = theory.scheduled(tensor(c), tensor(u), tensor(1), weight, knots=weight.knots)
    assert found.variance.item() == pytest.approx(c, rel=1e-9)


def test_the_switch_by_hand():
    assert theory.switch_level(0.09, 4.0, 4.0) == pytest.approx(1.831, abs=5e-4)
    weight = weights.switch(4.0, 0.09, 4.0)
    kept = theory.scheduled(tensor(0.09), tensor(4), tensor(1), weight, knots=weight.knots)
    lost = theory.ode(tensor(0.09), tensor(4), tensor(1), 4.0)
    assert kept.mean.item() == pytest.approx(0.63, abs=2e-3) and lost.mean.item() == pytest.approx(
        0.031, abs=5e-4
    )
    assert theory.switch_level(1.0, 1.0, 4.0) is None and theory.switch_level(0.0, 1.0, 4.0) is None


def test_weights_that_are_never_negative_shrink_what_is_narrower_in_the_class():
    narrow = C < U
    for weight in (weights.interval(2.0, 0.2, 5.0), weights.triangle(2.0, 0.1, 20.0)):
        found = theory.scheduled(C, U, DELTA, weight, knots=weight.knots)
        assert (found.variance < C)[narrow].all()
    assert narrow.sum() == 3


def test_modes_without_variance():
    """In the class: it stays 0 for gamma > -1. In both: nothing moves but by the mean shift."""
    c, u, delta = tensor(0, 0, 1), tensor(1, 0, 1), tensor(1, 0, 1)
    for found in (theory.ode(c, u, delta, 4.0), theory.sde(c, u, delta, 4.0)):
        assert (found.variance[:2] < 1e-11).all() and found.mean[1] == 0
        assert found.mean.isfinite().all() and found.variance[2].item() == pytest.approx(1)


@pytest.mark.parametrize("solver", ["ddim", "heun", "ancestral"])
@pytest.mark.parametrize("gamma", [2.0, 4.0, 12.0])
def test_the_steps_needed_are_those_that_do_not_overshoot(solver, gamma):
    """A direction that is fixed in the class and wide in all data: with fewer steps it grows."""
    pair, span = aligned(tensor(0), tensor(1e6), tensor(0)), 1e4
    least = theory.steps_needed(1 + gamma, span, solver)

    def growth(steps):
        schedule, times = log_grid(1e-2, 1e2, steps)
        matrix, _, _ = theory.step_map(guided(pair, schedule, gamma), *times[-4:-2].tolist(), solver)
        return matrix.abs().item()

    assert growth(least) < 1.001 and growth(least - 1) > 1 - 1e-3
    assert growth(max(least // 2, 5)) > 1 or least < 12
    assert theory.steps_needed(1.0, span, solver) == 2
