"""Heun's second-order method for the probability flow, in the coordinates of EDM.

With y = x / alpha and n = sigma / alpha the flow is dy/dn = eps, eps = (x - alpha D) / sigma, so one step is

    x' = (alpha' / alpha) (x - sigma e) + sigma' e,    e = (eps + eps') / 2

(https://arxiv.org/abs/2206.00364, Algorithm 1). Where n is infinite or becomes 0 the step is Euler's.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser
from backend.sampling.ddim import asked_at, level, step


@torch.no_grad()
def solve(denoiser: Denoiser, x: Tensor, times: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Follow the flow from x (*batch, *shape) at times[0] to times[-1], with two evaluations a step.

    Yields:
        after each evaluation x at the next time, first predicted and then corrected, and the posterior mean
        just found.
    """
    schedule = denoiser.schedule
    for now, then in pairwise(times.tolist()):
        asked = asked_at(schedule, now)
        x0 = denoiser(x, asked)
        predicted = step(schedule, x, x0, now, then)
        yield predicted, x0

        (alpha, sigma), (alpha_then, sigma_then) = level(schedule, now), level(schedule, then)
        if alpha == 0 or sigma_then == 0:
            x = predicted
            continue
        x0_then = denoiser(predicted, then)
        eps = (_eps(x, x0, *level(schedule, asked)) + _eps(predicted, x0_then, alpha_then, sigma_then)) / 2
        x = alpha_then / alpha * (x - sigma * eps) + sigma_then * eps
        yield x, x0_then


def _eps(x: Tensor, x0: Tensor, alpha: float, sigma: float) -> Tensor:
    return (x - alpha * x0) / sigma
