"""A watermark is put into a state x_t of the flow, and looked for there.

    embed   picture or noise --flow--> x_t --inject--> x_t' --flow--> marked picture
    verify  picture --flow--> x_t --score--> evidence

Methods differ in the time t at which they do it (0 the picture itself, 1 the noise that a sample starts from), in what they put in and
in how they look for it; everything else is here, so that all go through one flow.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser
from backend.request import Progress
from backend.sampling import ddim
from backend.sampling.travel import travel


class Watermark(ABC):
    """One method with one key. Subclasses set `t` and write `inject` and `score`."""

    t: float
    """Where on the flow it lies, in [0, 1]."""

    @abstractmethod
    def inject(self, x_t: Tensor) -> Tensor:
        """The marked state of each state x_t (B, C, H, W); pure."""

    @abstractmethod
    def score(self, x_t: Tensor) -> Tensor:
        """The evidence for this key in each state x_t (B, C, H, W): (B,) float64, larger for more. What it is worth is said by
        its distribution over pictures without the mark; only a matched filter's is known beforehand."""


def flow(denoiser: Denoiser, x: Tensor, start: float, end: float, steps: int) -> Iterator[Progress]:
    """`travel`, up by DDIM: extrapolation overshoots where the flow spreads, and a mark that the model does not expect comes back from it with
    the wrong sign."""
    return travel(denoiser, x, start, end, steps, up=ddim.solve)


def twins(denoiser: Denoiser, watermark: Watermark, x_t: Tensor, steps: int) -> Iterator[Progress]:
    """Returns (marked, twins), each (B, *shape): what the flow makes of the marked states x_t and of the same states without the mark,
    both in one batch."""
    both = torch.cat([watermark.inject(x_t), x_t])
    both = yield from flow(denoiser, both, watermark.t, 0.0, steps)
    return both.chunk(2)


def embed(denoiser: Denoiser, watermark: Watermark, pictures: Tensor, steps: int) -> Iterator[Progress]:
    """The user's scenario: returns (marked, twins) of pictures (B, *shape) in [-1, 1]. A twin went the same way without the mark, so it
    shows what the way itself costs."""
    x_t = yield from flow(denoiser, pictures, 0.0, watermark.t, steps)
    return (yield from twins(denoiser, watermark, x_t, steps))


def sample(denoiser: Denoiser, watermark: Watermark, x_1: Tensor, steps: int) -> Iterator[Progress]:
    """The server's scenario: returns (marked, twins), pictures made from the noisiest states x_1 (B, *shape), marked on the way."""
    x_t = yield from flow(denoiser, x_1, 1.0, watermark.t, steps)
    return (yield from twins(denoiser, watermark, x_t, steps))
