"""Grids of times for the solvers."""

from typing import Literal

import torch
from torch import Tensor

from backend.schedule import Schedule, noise_level


def grid(
    schedule: Schedule, start: float, end: float, n: int, spacing: Literal["time", "noise_level"] = "time"
) -> Tensor:
    """n + 1 times from `start` to `end`, float64: falling to sample, rising to invert.

    Args:
        schedule: the schedule that the times belong to.
        start: first time, in [0, 1].
        end: last time; 0 is the picture, `schedule.t_min` ends like `set_alpha_to_one=False` in diffusers.
        n: number of steps, at least 1.
        spacing: "time" is uniform in t; "noise_level" is uniform in (sigma / alpha)^(1/7), the grid of EDM
            (https://arxiv.org/abs/2206.00364, Eq. 5), which needs alpha > 0.

    Raises:
        ValueError: if n is less than 1 or an end lies outside [0, 1].
    """
    if n < 1 or not (0 <= start <= 1 and 0 <= end <= 1):
        raise ValueError("A grid of times needs at least one step and ends between 0 and 1.")
    times = torch.linspace(start, end, n + 1, dtype=torch.float64)
    if spacing == "noise_level":
        first, final = noise_level(schedule, times[[0, -1]]) ** (1 / 7)
        levels = torch.linspace(first.item(), final.item(), n + 1, dtype=torch.float64) ** 7
        times[1:-1] = schedule.time(-2 * levels[1:-1].log())  # the ends stay as they were asked for
    return times
