"""Tree-Ring (Wen et al., https://arxiv.org/abs/2305.20030): rings in the Fourier plane of the noise that a sample starts from.

A disc around frequency zero in one channel of x_1 is replaced by rings of width 1, each of one value with the variance of noise; the
score is the mean L1 distance to them. The radius is the paper's 10 of 64, scaled with the picture; the mean itself is left out.

Corrected against the published code: the disc is centred, and the values of the rings are real, so that the pattern is Hermitian and
all of it reaches the picture (the code's disc is a row off, its values are complex, and taking the real part loses half of the energy,
so that its distance is never below half of the null's). A key has as many numbers as rings (10 of 64 pixels, 4 of 25, 1 of 8), and the
outer rings weigh most: two keys can look alike.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from backend.watermark.fourier import annulus, plane
from backend.watermark.replacement import Replacement, distance, normal, replaced, ring
from backend.watermark.scheme import Centre

SHARE = 0.16  # radius / n: 10 of 64


@dataclass(frozen=True)
class TreeRing(Replacement):
    """Rings of one normal value each, in one channel. Subclasses may lie elsewhere: centre, of the disc; purpose: what its values are drawn for."""

    centre: ClassVar[Centre] = "zero"
    purpose: ClassVar[str] = "tree-ring"

    @property
    def channel(self) -> int:
        """The last one, as in the paper's rings."""
        return self.shape[0] - 1

    @cached_property
    def mask(self) -> Tensor:
        """The disc without its centre: (n, n) bool."""
        return annulus(self.shape[-1], 0, round(SHARE * self.shape[-1]), self.centre)

    @cached_property
    def target(self) -> Tensor:
        """The rings, real: (n, n) complex128, 0 outside the mask."""
        rings = ring(self.shape[-1], self.centre)
        values = normal(self.secret, self.purpose, int(rings.max()) + 1)
        return (values[rings] * self.mask).to(torch.complex128)

    def inject(self, x_t: Tensor) -> Tensor:
        marked = x_t.clone()
        marked[:, self.channel] = replaced(x_t[:, self.channel], self.mask, self.target)
        return marked

    def score(self, x_t: Tensor) -> Tensor:
        return -distance(x_t[:, self.channel], self.mask, self.target)

    def p_value(self, x_t: Tensor) -> Tensor:
        """The paper's P-value of each state x_t (B, C, n, n): (B,) float64 in [0, 1], small where the key is.

            eta = sum |F - W|^2 / s^2,   s^2 = mean |F|^2 over the mask,   p = P(chi^2(M, sum |W|^2 / s^2) <= eta)

        With M coefficients in a symmetric mask there are M real numbers, so M degrees of freedom are right (the published code takes 2 M).
        It is not calibrated even so: s^2 comes from the same coefficients, which fixes |F|, so that under exact Gaussian noise eta varies
        by 4 lambda in the place of 2 M + 4 lambda. P-values are too large: with lambda = M, a nominal 1 % is seen in 0.2 % of unmarked
        noise. Inverted pictures are not Gaussian at all, which errs to either side. Below about 1e-300 it is 0.
        """
        from scipy.stats import ncx2

        found, target = plane(x_t[:, self.channel].cpu())[..., self.mask], self.target[self.mask]
        variance = found.abs().square().mean(-1)
        eta = (found - target).abs().square().sum(-1) / variance
        off_centre = target.abs().square().sum() / variance
        return torch.from_numpy(ncx2.cdf(eta.numpy(), len(target), off_centre.numpy()))
