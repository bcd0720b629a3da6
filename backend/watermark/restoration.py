"""What may have been done to a picture, undone before a mark is looked for.

A blur, a rotation or a crop does not remove a mark, it moves it to where nobody looks. So the likely ones are undone, each as a guess, and the
evidence of the best guess is taken; how many there were enters its significance.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

MARGIN = 8  # pixels repeated around a picture, so that sharpening does not ring in from the other side
FLOOR = 0.05  # of the blur's transfer function, below which sharpening would show rounding alone


@dataclass(frozen=True)
class Guess:
    """blur: standard deviation of a Gaussian, in pixels. angle: degrees that the picture was turned counter-clockwise. share: of its side that a
    centred crop has kept, before it was enlarged."""

    blur: float = 0.0
    angle: float = 0.0
    share: float = 1.0

    @property
    def words(self) -> str:
        """ "a blur of 2.2 pixels"; "" for nothing."""
        parts = [f"a blur of {self.blur:g} pixels"] * (self.blur > 0)
        parts += [f"a turn of {self.angle:g}°"] * (self.angle != 0)
        parts += [f"a crop to {self.share:.1%}"] * (self.share < 1)
        return " and ".join(parts)


LIKELY = tuple(Guess(blur=blur) for blur in (0.0, 1.2, 2.2))
"""Looked for always."""
MOVED = (
    *(Guess(angle=float(angle)) for angle in range(-20, 21, 2) if angle),
    *(Guess(share=share / 40) for share in range(28, 40)),
)
"""Looked for on demand: as fine as a mark of 16 cycles needs, which 2 degrees turn by half a coefficient at its edge."""


def undone(pictures: Tensor, guess: Guess) -> Tensor:
    """Pictures (B, C, n, n) in [-1, 1] as they were if the guess is right. Edges are repeated where nothing is known."""
    if guess.angle or guess.share < 1:
        turn = math.radians(-guess.angle)
        cos, sin = math.cos(turn) / guess.share, math.sin(turn) / guess.share
        matrix = torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0]]).to(pictures)
        lattice = F.affine_grid(matrix.expand(len(pictures), 2, 3), list(pictures.shape), align_corners=False)
        pictures = F.grid_sample(
            pictures, lattice, mode="bicubic", padding_mode="border", align_corners=False
        )
    if guess.blur:
        pictures = _sharpened(pictures, guess.blur)
    return pictures.clamp(-1, 1)


def _sharpened(pictures: Tensor, blur: float) -> Tensor:
    """Wiener's filter for a Gaussian blur."""
    wide = F.pad(pictures, (MARGIN,) * 4, mode="replicate").double()
    frequency = torch.fft.fftfreq(wide.shape[-1], dtype=torch.float64, device=pictures.device)
    transfer = torch.exp(-2 * (math.pi * blur) ** 2 * (frequency[:, None] ** 2 + frequency**2))
    inverse = transfer * (1 + FLOOR**2) / (transfer**2 + FLOOR**2)  # 1 at frequency 0: the mean stays
    wide = torch.fft.ifft2(torch.fft.fft2(wide) * inverse).real
    return wide[..., MARGIN:-MARGIN, MARGIN:-MARGIN].to(pictures.dtype)
