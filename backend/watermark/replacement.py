"""What Tree-Ring and RingID share: coefficients of the noise x_1 are replaced by the key's and looked for by their mean distance.

All planes are unitary, so that a coefficient of noise has E|F|^2 = 1; distances printed in the papers are n times as long (a distance of
77 on a 64 x 64 latent is 1.20 here). The patterns have unit variance and so suit schedules whose x_1 has it: all but the exploding one.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from backend.request import require
from backend.watermark.base import Watermark
from backend.watermark.fourier import picture, plane, radius, uniform
from backend.watermark.scheme import Centre


@dataclass(frozen=True)
class Replacement(Watermark):
    """A mark in the noise x_1.

    Args:
        secret: 32 bytes.
        shape: of one state, (C, n, n) with n >= 8.

    Raises:
        BadInput: for another shape.
    """

    secret: bytes = field(repr=False)
    shape: tuple[int, int, int]
    t = 1.0

    def __post_init__(self) -> None:
        side(self.shape)


def side(shape: tuple[int, int, int]) -> int:
    """n of a shape (C, n, n). Raises BadInput for another, or for n below 8, where no ring fits."""
    square = len(shape) == 3 and shape[1] == shape[2] >= 8
    require(square, "This watermark needs square pictures of at least 8 pixels.")
    return shape[-1]


def normal(secret: bytes, purpose: str, count: int) -> Tensor:
    """`count` numbers of N(0, 1) from the secret: (count,) float64, by Box and Muller."""
    u, v = uniform(secret, purpose, 2 * count).view(2, count)
    return (-2 * torch.log1p(-u)).sqrt() * (2 * math.pi * v).cos()


def ring(n: int, centre: Centre = "zero") -> Tensor:
    """The ring about a centre that each coefficient lies in: r for r - 1 < radius <= r, (n, n) int64."""
    return (radius(n, centre) - 1e-9).ceil().long()  # 3, 4, 5 lies on 5, whatever the rounding of its root


def replaced(pictures: Tensor, mask: Tensor, target: Tensor) -> Tensor:
    """Pictures (..., n, n) whose planes are the Hermitian target (n, n) on the symmetric mask (n, n): nothing is lost on the way back."""
    mask, target = mask.to(pictures.device), target.to(pictures.device)
    return picture(torch.where(mask, target, plane(pictures)), pictures)


def distance(pictures: Tensor, mask: Tensor, target: Tensor) -> Tensor:
    """The mean |F - target| over the mask of pictures (..., n, n): (...) float64."""
    mask, target = mask.to(pictures.device), target.to(pictures.device)
    return (plane(pictures)[..., mask] - target[mask]).abs().mean(-1)
