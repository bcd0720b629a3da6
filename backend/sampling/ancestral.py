"""The reverse SDE, step by step: DDIM with eta = 1 (https://arxiv.org/abs/2010.02502, Eq. 12 and 16), which is the
ancestral step of DDPM (https://arxiv.org/abs/2006.11239, Eq. 7), written in the posterior mean:

    x' = alpha' D + sigma' (k eps + sqrt(1 - k^2) z),    eps = (x - alpha D) / sigma,    k = alpha sigma' / (alpha' sigma)

with fresh noise z ~ N(0, I) and k^2 the ratio of the signal-to-noise ratios before and after, in every schedule. It draws
from p(x' | x, x_0) as if D were x_0; k = 1 is `ddim`. It only runs from noise to the picture.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser
from backend.sampling.ddim import level
from backend.schedule import Schedule


@torch.no_grad()
def solve(
    denoiser: Denoiser, x: Tensor, times: Tensor, seeds: Sequence[int]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Sample from x (B, *shape) at times[0] down to times[-1], with one evaluation a step.

    Args:
        seeds: one for each sample, whose noise is drawn in float32 on the CPU, so that sample 3 of a batch is the same
            alone. The first draw of a seed is left out: it is `noise([seed])`, which x may be made of.

    Yields:
        x at the next time, and the posterior mean that led there. A step to t = 0 adds no noise.

    Raises:
        ValueError: if the times rise, or there is not one seed for each sample.
    """
    if (times.diff() > 0).any():
        raise ValueError("The stochastic sampler has no way back: its times must fall.")
    if x.shape[: -len(denoiser.shape)] != (len(seeds),):
        raise ValueError("The stochastic sampler needs one seed for each sample.")
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    draw(generators, denoiser.shape)
    for now, then in pairwise(times.tolist()):
        x0 = denoiser(x, now)
        z = draw(generators, denoiser.shape).to(x) if then > 0 else torch.zeros_like(x)
        x = step(denoiser.schedule, x, x0, now, then, z)
        yield x, x0


def step(schedule: Schedule, x: Tensor, x0: Tensor, now: float, then: float, z: Tensor) -> Tensor:
    """x at the earlier time `then`, from x and the posterior mean x0 at time `now` and standard normal z, all of one shape."""
    (alpha, sigma), (alpha_then, sigma_then) = level(schedule, now), level(schedule, then)
    k = alpha * sigma_then / (alpha_then * sigma)
    eps = (x - alpha * x0) / sigma
    return alpha_then * x0 + sigma_then * (k * eps + (1 - k**2) ** 0.5 * z)


def draw(generators: Sequence[torch.Generator], shape: tuple[int, ...]) -> Tensor:
    """The next standard normal sample of each generator, (len(generators), *shape)."""
    return torch.cat([torch.randn(1, *shape, generator=generator) for generator in generators])
