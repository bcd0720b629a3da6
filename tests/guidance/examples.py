"""Pairs of Gaussians for the tests."""

import torch
from torch import Tensor

from backend.guidance.terms import Gaussian, Pair, gaussian
from backend.schedule import VESchedule


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def random(d: int, seed: int) -> Gaussian:
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(d, d + 2, generator=generator, dtype=torch.float64)
    return gaussian(torch.randn(d, generator=generator, dtype=torch.float64), factor @ factor.mT / d)


def skew(d: int = 5) -> Pair:
    """Two Gaussians whose covariances do not commute."""
    return Pair(random(d, 0), random(d, 1))


def aligned(variance_c: Tensor, variance_u: Tensor, delta: Tensor) -> Pair:
    """Two Gaussians along the axes; the class has mean 0, so that a sampler's start at 0 is no offset."""
    return Pair(gaussian(torch.zeros_like(delta), variance_c.diag()), gaussian(-delta, variance_u.diag()))


def log_grid(low: float, high: float, steps: int) -> tuple[VESchedule, Tensor]:
    """A schedule from high to low, and steps + 1 times at equal ratios of the noise level, the last one 0."""
    schedule = VESchedule(low, high)
    levels = torch.logspace(0, 1, steps, base=low / high, dtype=torch.float64) * high
    times = schedule.time(-2 * levels.log())
    times[0] = 1.0
    return schedule, torch.cat([times, tensor(0.0)])
