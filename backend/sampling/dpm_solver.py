"""DPM-Solver++ (2M): second order at one evaluation a step (https://arxiv.org/abs/2211.01095, Algorithm 2).

A DDIM step whose posterior mean is extrapolated to the middle of the step along lambda = log(alpha / sigma):

    D + (lambda' - lambda) / (2 (lambda - lambda_before)) (D - D_before).

The first step, and one that ends in a picture, is plain DDIM.
"""

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser
from backend.sampling.ddim import asked_at, step
from backend.schedule import Schedule


@torch.no_grad()
def solve(denoiser: Denoiser, x: Tensor, times: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Follow the flow from x (*batch, *shape) at times[0] to times[-1], with one evaluation a step.

    Yields:
        x at the next time, and the posterior mean just found.
    """
    schedule, before = denoiser.schedule, None
    for now, then in pairwise(times.tolist()):
        asked = asked_at(schedule, now)
        x0 = denoiser(x, asked)
        here, ahead = _lambda(schedule, asked), _lambda(schedule, then)
        middle = x0
        if before is not None and before[1] != here and ahead < math.inf:
            x0_before, behind = before
            middle = x0 + (ahead - here) / (2 * (here - behind)) * (x0 - x0_before)
        x = step(schedule, x, middle, now, then)
        yield x, x0
        before = x0, here


def _lambda(schedule: Schedule, time: float) -> float:
    return schedule.log_snr(torch.tensor(time, dtype=torch.float64)).item() / 2
