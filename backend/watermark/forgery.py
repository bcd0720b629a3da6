"""Forgery from a single marked picture, by the model and without the key.

    x_t^w, y_t        the marked picture and a cover, followed to t
    r = x_t - alpha_t D(x_t, t)        what the posterior mean does not show of a state: noise, as the model sees it
    y_t' = y_t - r(y_t) + r(x_t^w)        followed back to 0: the cover with the mark

A mark that hides in the null space of J is by that very property in r and not in D: what makes it invisible makes it easy to carry to another
picture. The idea is that of the imprinting attack (Mueller et al., https://arxiv.org/abs/2412.03283), which optimises the cover until its inversion
is that of the marked picture; for a mark at a small t no optimisation is needed.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser
from backend.request import Progress
from backend.sampling.ddim import level
from backend.watermark.base import flow


def transferred(denoiser: Denoiser, marked: Tensor, covers: Tensor, t: float, steps: int) -> Iterator[Progress]:  # fmt: skip
    """Returns covers (B, *shape) with the marks of as many marked pictures (B, *shape), clipped to [-1, 1]. t, steps: as the mark was put in."""
    both = yield from flow(denoiser, torch.cat([marked, covers]), 0.0, t, steps)
    rest = unshown(denoiser, both, t)
    x_rest, y_rest = rest.chunk(2)
    y_t = both.chunk(2)[1] - y_rest + x_rest
    forged = yield from flow(denoiser, y_t, t, 0.0, steps)
    return forged.clamp(-1, 1)


@torch.no_grad()
def unshown(denoiser: Denoiser, x_t: Tensor, t: float) -> Tensor:
    """x_t - alpha_t D(x_t, t) of states x_t (B, *shape), one evaluation: sigma_t times the noise that the model sees there."""
    alpha, _ = level(denoiser.schedule, t)
    return x_t - alpha * denoiser(x_t, t)
