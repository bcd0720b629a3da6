"""Power-law guidance (Pavasovic et al., https://arxiv.org/abs/2502.07849): a weight that grows with the difference.

    D_c + gamma |eps_c - eps_u|^a (D_c - D_u),        |eps_c - eps_u| = (alpha / sigma) |D_c - D_u|,        a = 0.9

It guides little where class and all data agree, at much and at little noise, and more than CFG where |.| > 1. The paper writes
scores, s = -eps / sigma. Their difference is 1 / sigma times larger: for a network, whose D_c and D_u never quite agree, it grows
without bound as sigma falls (384 on drawn faces at the noise level 0.02, where that of eps is 8). So the norm here is that of what
the networks predict. It grows with the root of the dimension: one gamma is not the same push on digits and on faces.
"""

import torch
from torch import Tensor

from backend.denoiser.base import as_time, like
from backend.denoiser.combine import Term
from backend.schedule import Schedule

EXPONENT = 0.9  # the paper's, for its latent models


def power_law(schedule: Schedule, axes: int, exponent: float = EXPONENT) -> Term:
    """What one unit of gamma adds, as a `Term` for `Guided`.

    Args:
        schedule: of the denoiser.
        axes: of one sample, over which the norm is taken.
        exponent: a >= 0; 0 is classifier-free guidance.
    """

    def term(x_t: Tensor, t: Tensor, conditional: Tensor, unconditional: Tensor) -> Tensor:
        alpha, sigma = schedule(as_time(t))
        difference = conditional - unconditional
        norms = difference.flatten(-axes).norm(dim=-1)
        signal = torch.where(sigma > 0, alpha / sigma, 0.0)  # a picture without noise is its own mean
        strength = (like(signal, norms) * norms) ** exponent
        return like(strength, x_t) * difference

    return term
