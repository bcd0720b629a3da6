"""Shallow Diffuse as its authors run it (https://arxiv.org/abs/2410.21088, Section 4): what is compared with, not what is recommended here.

At t = 0.3 the coefficients of one channel on a disc around the Nyquist corner of the Fourier plane are replaced by rings of one value each, with
the variance of noise; the picture is followed back to t = 0.3 by DDIM, and the score is the mean L1 distance to the rings. The radius is the code's
10 of 64, scaled with the picture; the channel is the last one; the other channels come from the twin (footnote 3, see shallow_diffuse.averaged).

Corrected against the published code: the disc is centred and the values are real, so that the pattern is Hermitian and all of it reaches the picture
(the code's disc is a row off, and taking the real part loses half of the energy). The paper's place suits the latents of an autoencoder. In pixels the
flow takes most of what lies there away.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from backend.watermark.fourier import annulus, radius
from backend.watermark.replacement import Replacement, distance, normal, replaced
from backend.watermark.tree_ring import SHARE


@dataclass(frozen=True)
class Published(Replacement):
    """Rings around the Nyquist corner, in one channel of x_t at t = 0.3."""

    t = 0.3

    @property
    def channel(self) -> int:
        """The last one."""
        return self.shape[0] - 1

    @cached_property
    def mask(self) -> Tensor:
        """The disc without its centre: (n, n) bool."""
        return annulus(self.shape[-1], 0, round(SHARE * self.shape[-1]), "nyquist")

    @cached_property
    def target(self) -> Tensor:
        """The rings, real: (n, n) complex128, 0 outside the mask."""
        rings = (radius(self.shape[-1], "nyquist") - 1e-9).ceil().long()
        values = normal(self.secret, "shallow diffuse", int(rings.max()) + 1)
        return (values[rings] * self.mask).to(torch.complex128)

    def inject(self, x_t: Tensor) -> Tensor:
        marked = x_t.clone()
        marked[:, self.channel] = replaced(x_t[:, self.channel], self.mask, self.target)
        return marked

    def score(self, x_t: Tensor) -> Tensor:
        return -distance(x_t[:, self.channel], self.mask, self.target)
