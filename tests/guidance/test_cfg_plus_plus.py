import pytest
import torch

from backend.denoiser.base import branches, given
from backend.denoiser.combine import Guided, prompt
from backend.guidance.cfg_plus_plus import FULL, equivalent, solve, strength
from backend.guidance.terms import PairDenoiser
from backend.guidance.weights import constant, interval
from backend.sampling import ddim, last
from backend.sampling.ddim import level
from backend.sampling.times import grid
from backend.schedule import CosineSchedule, FlowSchedule, VESchedule, noise_level
from tests.guidance.examples import log_grid, skew

CONDITION = {"label": torch.tensor(0)}
SCHEDULES = [CosineSchedule(), VESchedule(), FlowSchedule()]
NAMES = ["cosine", "exploding", "flow"]


def points(n=4):
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=NAMES)
def test_a_step_is_what_the_paper_writes(schedule):
    """The guided mean, and the noise of D_u, by their definitions."""
    D, x, now, then = PairDenoiser(skew(), schedule), points(), 0.7, 0.4
    ((found, x0),) = solve(D, CONDITION, x, torch.tensor([now, then]).double(), constant(2.0))
    D_c, D_u = branches(D, x, now, [CONDITION, {}])
    (alpha, sigma), (alpha_then, sigma_then) = level(schedule, now), level(schedule, then)
    mean = D_u + strength(2.0) * (D_c - D_u)
    torch.testing.assert_close(x0, mean)
    torch.testing.assert_close(found, alpha_then * mean + sigma_then * (x - alpha * D_u) / sigma)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=NAMES)
@pytest.mark.parametrize("gamma", [3.0, 20.0, -1.0])
def test_it_is_guidance_with_a_weight_that_the_grid_makes(schedule, gamma):
    """The same samples by DDIM; at gamma = -1 both are unconditional."""
    D, x = PairDenoiser(skew(), schedule), 10 * points()
    times = grid(schedule, 0.98, 0.0, 12)
    levels = noise_level(schedule, times)
    same = equivalent(torch.full((12,), gamma, dtype=torch.float64), levels)
    table = dict(zip(levels.tolist(), same, strict=False))
    usual = given(Guided(D, [prompt], [lambda level: table[level.item()]]), **CONDITION)
    torch.testing.assert_close(
        last(solve(D, CONDITION, x, times, constant(gamma))), last(ddim.solve(usual, x, times))
    )
    assert (gamma == -1) == bool((same == -1).all())


def test_for_flow_matching_the_weight_is_the_known_one():
    times = torch.tensor([0.9, 0.6, 0.2, 0.0], dtype=torch.float64)  # t is sigma
    found = 1 + equivalent(torch.full((3,), 2.0, dtype=torch.float64), times / (1 - times))
    now, then = times[:-1], times[1:]
    torch.testing.assert_close(found, strength(2.0) * now * (1 - then) / (now - then))


def test_on_equal_ratios_the_weight_is_constant_and_ends_at_lambda():
    schedule, times = log_grid(0.02, 100.0, 19)
    found = 1 + equivalent(torch.full((19,), 3.0, dtype=torch.float64), noise_level(schedule, times))
    torch.testing.assert_close(
        found[:-1], torch.full((18,), strength(3.0) / (1 - 5000 ** (-1 / 18))).double()
    )
    assert found[-1].item() == pytest.approx(strength(3.0))


def test_lambda():
    assert strength(6.5) == pytest.approx(0.6) and strength(-1.0) == 0
    assert strength(FULL) == pytest.approx(1) and strength(50.0) == 1


def test_where_the_weight_is_0_the_step_is_ddim_to_the_bit():
    D, x = PairDenoiser(skew(), CosineSchedule()), points()
    times = grid(D.schedule, 0.98, 0.0, 8)
    plain = last(ddim.solve(given(D, **CONDITION), x, times))
    assert torch.equal(last(solve(D, CONDITION, x, times, constant(0.0))), plain)
    assert torch.equal(last(solve(D, CONDITION, x, times, interval(3.0, 1e3, 1e4))), plain)
    assert not torch.equal(last(solve(D, CONDITION, x, times, interval(3.0, 0.1, 10.0))), plain)
    assert equivalent(torch.zeros(2).double(), torch.tensor([3.0, 2.0, 1.0]).double()).tolist() == [0, 0]


def test_a_direction_stands_in_for_the_difference():
    D, x, times = PairDenoiser(skew(), CosineSchedule()), points(), torch.tensor([0.7, 0.4]).double()
    ((_, whole),) = solve(D, CONDITION, x, times, constant(2.0))
    ((_, none),) = solve(D, CONDITION, x, times, constant(2.0), lambda x_t, t, c, u: torch.zeros_like(c))
    torch.testing.assert_close(none, D(x, 0.7))
    assert not torch.allclose(whole, none)
