"""Heun's second-order method for the probability flow, in polar coordinates.

With alpha = r cos(phi) and sigma = r sin(phi) the flow is

    d(x / r) / d(phi) = cos(phi) eps - sin(phi) D = (alpha x - r^2 D) / (r sigma),

and a step takes the mean of its slopes at both ends, the second one after a DDIM step. EDM's Heun sampler
(https://arxiv.org/abs/2206.00364, Algorithm 1) does so in sigma / alpha, which in the cosine schedule falls
from 20,000: there a first step of ordinary length is far off. The angle only ranges from 0 to pi / 2. A step
that ends in a picture is DDIM's.
"""

import math
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
        after each evaluation, x at the next time (predicted, then corrected) and the new posterior mean.
    """
    schedule = denoiser.schedule
    for now, then in pairwise(times.tolist()):
        asked = asked_at(schedule, now)
        x0 = denoiser(x, asked)
        predicted = step(schedule, x, x0, now, then)
        yield predicted, x0
        if then == 0:
            x = predicted
            continue
        x0_then = denoiser(predicted, then)
        slopes = _slope(x, x0, *level(schedule, asked)), _slope(predicted, x0_then, *level(schedule, then))
        (r, phi), (r_then, phi_then) = _polar(*level(schedule, now)), _polar(*level(schedule, then))
        x = r_then * (x / r + (phi_then - phi) * sum(slopes) / 2)
        yield x, x0_then


def _polar(alpha: float, sigma: float) -> tuple[float, float]:
    return math.hypot(alpha, sigma), math.atan2(sigma, alpha)


def _slope(x: Tensor, x0: Tensor, alpha: float, sigma: float) -> Tensor:
    r = math.hypot(alpha, sigma)
    return (alpha * x - r**2 * x0) / (r * sigma)
