"""From one noise level to another along the flow, and where it starts."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser
from backend.request import Progress
from backend.sampling import dpm_solver
from backend.sampling.noise import noise
from backend.sampling.times import grid

Solver = Callable[[Denoiser, Tensor, Tensor], Iterator[tuple[Tensor, Tensor]]]


def travel(
    denoiser: Denoiser, x: Tensor, start: float, end: float, steps: int, up: Solver = dpm_solver.solve
) -> Iterator[Progress]:
    """Follows the flow from time `start` to `end`, one network evaluation a step; returns x (B, *shape) there.

    Down by DPM-Solver++ 2M; towards noise by `up`.
    """
    if start == end:
        return x
    times = grid(denoiser.schedule, max(start, end), min(start, end), steps, "noise_level")
    states = dpm_solver.solve(denoiser, x, times) if start > end else up(denoiser, x, times.flip(0))
    for done in range(steps):
        x, _ = next(states)
        yield Progress(done + 1, steps, "network evaluations")
    return x


def beginning(denoiser: Denoiser, seeds: list[int] | range) -> Tensor:
    """The noisiest states x_1 (B, *shape) of seeds, float32 on the CPU: noise of the variance that the schedule has there."""
    alpha, sigma = denoiser.schedule(torch.ones((), dtype=torch.float64))
    return noise(seeds, denoiser.shape) * float(torch.hypot(alpha, sigma))
