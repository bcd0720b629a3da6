"""Denoisers whose flow is known, and what the tests of all solvers share."""

from collections.abc import Callable

import torch
from torch import Tensor

from backend.denoiser.gaussian_mixture import GaussianMixture, gaussian
from backend.sampling import last
from backend.sampling.times import grid
from backend.schedule import Schedule


def tensor(t: float) -> Tensor:
    return torch.tensor(t, dtype=torch.float64)


def start(n: int = 4, d: int = 5) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def single(schedule: Schedule) -> GaussianMixture:
    """One Gaussian in five dimensions, with variances from 0.1 to 2 along the axes."""
    mean = torch.linspace(-1, 1, 5, dtype=torch.float64)
    return gaussian(schedule, (5,), mean, torch.linspace(0.1, 2, 5, dtype=torch.float64).diag())


def exact_flow(D: GaussianMixture, x: Tensor, now: float, then: float) -> Tensor:
    """The probability flow of one Gaussian: x - alpha mu grows along each axis as its deviation does."""
    (alpha, sigma), (alpha_then, sigma_then) = D.schedule(tensor(now)), D.schedule(tensor(then))
    mean = D.means[0]
    variance = torch.linspace(0.1, 2, 5, dtype=torch.float64)
    growth = ((alpha_then**2 * variance + sigma_then**2) / (alpha**2 * variance + sigma**2)).sqrt()
    return alpha_then * mean + growth * (x - alpha * mean)


def order(solve: Callable, schedule: Schedule, now: float, then: float, n: int = 40) -> float:
    """Observed order of convergence: the error with n steps over that with 2 n is 2^order."""
    D, x = single(schedule), start()
    exact = exact_flow(D, x, now, then)
    errors = [(last(solve(D, x, grid(schedule, now, then, m))) - exact).norm() for m in (n, 2 * n)]
    return (errors[0] / errors[1]).log2().item()
