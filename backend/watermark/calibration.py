"""What unmarked pictures look like to the detector, kept small enough to ship: their whitened Fourier coefficients on a scheme's mask.

With the coefficients rather than with scores, one set serves every key: the score of an unmarked picture under the very key in question is one sum. That
matters, since pictures of one kind are alike, and what they share may happen to agree with a key.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser
from backend.request import Progress
from backend.watermark import fourier
from backend.watermark.detection import evidence, look, ring_levels
from backend.watermark.restoration import LIKELY, Guess
from backend.watermark.scheme import Scheme
from backend.watermark.shallow_diffuse import whitened

UNIT = 1 / 24  # of the kept numbers: what lies beyond 127 / 24 of a ring's root mean square is clipped


@dataclass(frozen=True)
class Nulls:
    """Unmarked pictures. coefficients (N, U, G, K, 2) int8: real and imaginary parts under each likely guess, in UNITs, of the K coefficients
    that `half` picks. levels (U, G, n, n) float32: see detection.ring_levels."""

    coefficients: Tensor
    levels: Tensor

    def levels_of(self, guesses: Sequence[Guess]) -> Tensor:
        """The levels (len(guesses), G, n, n) float64 of LIKELY and further guesses: of a moved picture as of one that was left alone."""
        moved = self.levels[:1].expand(len(guesses) - len(LIKELY), -1, -1, -1)
        return torch.cat([self.levels, moved]).double()

    def scores(self, pattern: Tensor, scheme: Scheme, *, shifts: bool) -> Tensor:
        """The best z of every picture under a pattern (G, n, n): (N,) float64."""
        mask = half(scheme, self.levels.shape[-1])
        if shifts:
            parts = (_planes(part, mask) for part in self.coefficients.split(100))
            return torch.cat([evidence(part, pattern, shifts=True).amax(1) for part in parts]).double()
        kept = torch.view_as_complex(self.coefficients.float())
        agreement = (kept * pattern[:, mask].conj().to(kept.dtype)).real.sum((-2, -1))
        norm = kept.abs().square().sum((-2, -1)).sqrt().clamp_min(1e-12)
        return (2**0.5 * agreement / norm).amax(1).double()  # k and -k agree alike: 2 / sqrt(2)


def _planes(coefficients: Tensor, mask: Tensor) -> Tensor:
    """Whitened planes (N, U, G, n, n) complex64, 0 off the mask, of kept coefficients (N, U, G, K, 2)."""
    kept = torch.view_as_complex(coefficients.float() * UNIT)
    planes = torch.zeros(*kept.shape[:-1], *mask.shape, dtype=kept.dtype)
    planes[..., mask] = kept
    return planes + fourier.mirrored(planes).conj()


def half(scheme: Scheme, n: int) -> Tensor:
    """One of each pair of coefficients k and -k of the mask: (n, n) bool."""
    mask = fourier.annulus(n, scheme.inner, scheme.outer, scheme.centre)
    place = torch.arange(n * n).view(n, n)
    return mask & (place < fourier.mirrored(place))


def calibrate(denoiser: Denoiser, pictures: Tensor, scheme: Scheme) -> Iterator[Progress]:
    """Returns the Nulls of unmarked pictures (N, C, n, n)."""
    planes = yield from look(denoiser, pictures, scheme, LIKELY)
    levels = ring_levels(planes, scheme)
    kept = whitened(planes, scheme, levels)[..., half(scheme, planes.shape[-1])]
    units = (torch.view_as_real(kept) / UNIT).round().clamp(-127, 127).to(torch.int8)
    return Nulls(units, levels.float())
