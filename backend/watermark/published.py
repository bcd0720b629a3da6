"""Shallow Diffuse as its authors run it (https://arxiv.org/abs/2410.21088, Section 4): what is compared with, not what is recommended here.

At t = 0.3 the coefficients of one channel on a disc around the Nyquist corner of the Fourier plane are replaced by rings of one value each, with
the variance of noise; the picture is followed back to t = 0.3 by DDIM, and the score is the mean L1 distance to the rings. The radius is the code's
10 of 64, scaled with the picture; the channel is the last one; the other channels come from the twin (footnote 3, see shallow_diffuse.averaged).

Corrected against the published code: the disc is centred and the values are real, so that the pattern is Hermitian and all of it reaches the picture
(the code's disc is a row off, and taking the real part loses half of the energy). The paper's place suits the latents of an autoencoder. In pixels the
flow takes most of what lies there away.
"""

from dataclasses import dataclass

from backend.watermark.tree_ring import TreeRing


@dataclass(frozen=True)
class Published(TreeRing):
    """Rings around the Nyquist corner, in one channel of x_t at t = 0.3."""

    t = 0.3
    centre = "nyquist"
    purpose = "shallow diffuse"
