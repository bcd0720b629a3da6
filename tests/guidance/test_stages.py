import math

import pytest
import torch

from backend.denoiser.base import given
from backend.denoiser.combine import Guided, prompt
from backend.guidance import stages, theory, weights
from backend.guidance.mixtures import Modes, grid, sphere
from backend.guidance.stages import potential, resolved_level, separation_level, speciation_level
from backend.schedule import CosineSchedule, VESchedule, noise_level
from tests.guidance.examples import tensor


def test_the_modes_part_where_the_covariance_of_their_means_equals_the_variance_there():
    own = grid(1.5, 3, 3.0, 0.25, 0.09).own(0)
    level = separation_level(own)
    whole = torch.linalg.eigvalsh(own.between + (0.09 + level**2) * torch.eye(2))  # of x_t
    assert whole[-1].item() == pytest.approx(2 * whole[0].item())
    assert level == pytest.approx(math.sqrt(0.75 * 0.25 * 9 - 0.09))
    assert separation_level(grid(1.5, 3, 0.2, 0.25, 0.09).own(0)) is None
    assert separation_level(grid(1.5, 3, 3.0, 0.0, 0.09).own(0)) is None
    skew = Modes(tensor(0.5, 0.3, 0.2), tensor(0, 0, 2, 1, -1, 3).view(3, 2), tensor(0.1, 0.2, 0.3))
    top = torch.linalg.eigvalsh((skew.weights * (skew.means - skew.mean).T) @ (skew.means - skew.mean))[-1]
    assert separation_level(skew) ** 2 == pytest.approx(float(top - (0.05 + 0.06 + 0.06)))


def test_stage_three_begins_where_the_samples_stay_resolved():
    levels = tensor(8, 4, 2, 1, 0)
    sure = torch.zeros(100, 5, 2, dtype=torch.float64)
    sure[..., 0] = 0.6
    sure[:, 1] = tensor(1, 0)  # for one step only
    sure[:95, 3] = tensor(0.995, 0.005)
    sure[:99, 4] = tensor(0, 1)
    assert resolved_level(levels, sure) == 1
    sure[:6, 3] = tensor(0.98, 0.02)
    assert resolved_level(levels, sure) == 0
    sure[:6, 4] = tensor(0.98, 0.02)
    assert resolved_level(levels, sure) is None
    assert resolved_level(levels, torch.ones(3, 5, 1)) == 8
    own = grid(1.5, 3, 3.0, 0.25, 0.09).own(0)
    found = stages.stages(own, tensor(3, 1, 0.5), torch.ones(3, 3, 2))
    assert [found.at(x) for x in (3.5, 3, 0.1)] == [1, 3, 3]
    later = stages.Stages(1.2, 0.4, "")
    assert [later.at(x) for x in (2, 1.2, 0.5, 0.4, 0)] == [1, 2, 2, 3, 3]


def test_the_potential_descends_along_the_guided_score():
    """Against D of the exact mixture, at every noise level, and the reverse SDE's drift x + 2 score where all variances are 1."""
    d, gamma = 9, 2.5
    q = torch.linspace(-3, 4, 29, dtype=torch.float64, requires_grad=True)
    for variance, schedule in ((0.3, VESchedule()), (1.0, CosineSchedule())):
        D = sphere(d, 2, variance, 0).every(schedule)
        G = given(Guided(D, [prompt], [gamma]), label=torch.tensor(0))
        m = D.centres[0] / 3
        for t in (0.3, 0.55, 0.8):
            t = torch.tensor(t, dtype=torch.float64)
            alpha, sigma = schedule(t)
            deviation = (variance + noise_level(schedule, t) ** 2).sqrt()
            x = alpha * deviation * q.detach()[:, None] * m
            score = ((alpha * G(x, t) - x) / sigma**2) @ m
            e = 3 / deviation
            (slope,) = torch.autograd.grad(potential(q, e, gamma).sum(), q)
            torch.testing.assert_close(-slope, alpha * deviation * score, rtol=1e-8, atol=1e-8)
            if variance == 1:
                assert (alpha * deviation).item() == pytest.approx(1)
                (slope,) = torch.autograd.grad(potential(q, e, gamma, drift=True).sum(), q)
                torch.testing.assert_close(-slope, x @ m + 2 * score, rtol=1e-8, atol=1e-8)


def test_the_potential_of_all_data_splits_at_the_speciation_level():
    level = speciation_level(2 * 3.0, 0.3)
    assert level == pytest.approx(math.sqrt(9 - 0.3))
    q = torch.linspace(-2, 2, 401, dtype=torch.float64)
    for factor, minima in ((1.05, 1), (0.95, 2)):
        U = potential(q, 3 / math.sqrt(0.3 + (factor * level) ** 2), -1.0)
        assert int(((U[1:-1] < U[:-2]) & (U[1:-1] < U[2:])).sum()) == minima
    shown = stages.potentials(3.0)
    assert shown.guided.shape == shown.unconditional.shape == (len(shown.e), len(shown.q))
    assert (potential(tensor(-900, 900), 2.0, 4.0)).isfinite().all()
    assert speciation_level(1.0, 0.3) is None


def test_speciation_is_where_the_density_of_the_model_bends():
    level = speciation_level(2 * 3.0, 0.3)
    D = sphere(9, 2, 0.3, 0).every(VESchedule())
    m = D.centres[0] / 3

    def bend(factor):
        t = VESchedule().time(-2 * tensor(factor * level).log())[0]
        at = [D.unconditional.log_prob(h * m, t) for h in (-1e-2, 0.0, 1e-2)]
        return float(at[0] - 2 * at[1] + at[2])

    assert bend(1.05) < 0 < bend(0.95)


@pytest.mark.parametrize(("K", "d"), [(55, 16), (403, 24), (64, 64)])
def test_one_of_many_classes_stands_out(K, d):
    level = stages.condensation_level(K, d, 0.25)
    assert math.log(K) == pytest.approx(d / 2 * math.log(1 + 1 / (0.25 + level**2)))
    for stochastic in (False, True):
        plain = stages.many_classes(K, d, 0.25, weights.constant(0.0), stochastic)
        assert plain.level == pytest.approx(level, rel=1e-5)
        assert (plain.overshoot, plain.variance) == pytest.approx((0, 0.25), abs=1e-9)
        guided = stages.many_classes(K, d, 0.25, weights.constant(2.0), stochastic)
        assert guided.level > level and guided.overshoot > 0
        assert 0.25 * K ** (-4 / d) < guided.variance < 0.25
    switch = stages.restoring_switch(K, d, 0.25, 2.0)
    shifted = theory.switch_level(0.25 + level**2, 1.25 + level**2, 2.0) ** 2
    assert switch.knots[0] ** 2 == pytest.approx(level**2 + shifted)
    assert switch(tensor(switch.knots[0], 100)).tolist() == [-1, 2]


def test_classes_that_overlap_without_noise_are_two_gaussians():
    assert stages.condensation_level(1000, 4, 0.25) is None
    for stochastic, form in ((False, theory.ode), (True, theory.sde)):
        found = stages.many_classes(10**9, 4, 0.25, weights.constant(2.0), stochastic)
        alone = form(tensor(0.25), tensor(1.25), tensor(2.0), 2.0)
        assert found.level == 0
        assert (found.overshoot, found.variance) == pytest.approx((float(alone.mean), float(alone.variance)))


def test_the_level_rises_with_the_dimension_where_classes_are_fewer_than_exponentially_many():
    few = [stages.many_classes(d, d, 0.25, weights.constant(2.0), False) for d in (16, 256, 4096)]
    many = [
        stages.many_classes(round(math.exp(d / 4)), d, 0.25, weights.constant(2.0), False) for d in (16, 256)
    ]
    assert few[0].level < few[1].level < few[2].level and few[2].variance > 0.249
    assert many[0].level == pytest.approx(many[1].level, rel=0.01)
    assert many[0].overshoot / 4 == pytest.approx(many[1].overshoot / 16, rel=0.01)
