"""DDIM (https://arxiv.org/abs/2010.02502, Eq. 12 with eta = 0), written in the posterior mean:

    x' = (sigma' / sigma) x + (alpha' - alpha sigma' / sigma) D(x, t).

This is Euler's method for the probability flow; without a division by alpha it is that of flow matching too.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser
from backend.schedule import Schedule


@torch.no_grad()
def solve(denoiser: Denoiser, x: Tensor, times: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Follow the flow from x (*batch, *shape) at times[0] to times[-1], with one evaluation a step.

    Yields:
        x at the next time, and the posterior mean that led there.
    """
    for now, then in pairwise(times.tolist()):
        x0 = denoiser(x, asked_at(denoiser.schedule, now))
        x = step(denoiser.schedule, x, x0, now, then)
        yield x, x0


def step(schedule: Schedule, x: Tensor, x0: Tensor, now: float, then: float) -> Tensor:
    """x at time `then`, from x at time `now` and the posterior mean x0 at time `asked_at(schedule, now)`."""
    (alpha, sigma), (alpha_then, sigma_then) = level(schedule, now), level(schedule, then)
    if sigma == 0:
        alpha_asked, sigma_asked = level(schedule, schedule.t_min)
        return alpha_then * x + sigma_then / sigma_asked * (x - alpha_asked * x0)
    ratio = sigma_then / sigma
    return ratio * x + (alpha_then - alpha * ratio) * x0


def asked_at(schedule: Schedule, now: float) -> float:
    """The time at which to ask the denoiser: `now`, except that a picture holds no noise to follow.

    An inversion that starts from a picture takes the direction that the picture has at t_min, as DDIM
    inversion does.
    """
    return now if now > 0 else schedule.t_min


def level(schedule: Schedule, time: float) -> tuple[float, float]:
    """(alpha, sigma) as numbers."""
    alpha, sigma = schedule(torch.tensor(time, dtype=torch.float64))
    return alpha.item(), sigma.item()
