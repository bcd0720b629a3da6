"""Takes back what a step changed outside the region, and leaves what it changed inside: one Gauss-Newton step.

A direction that is still outside to first order is not still at the lengths of an edit. With e = D(x') - D(x) outside the
region and 0 inside, J the Jacobian at x, known on the span V of what was multiplied there,

    x' <- x' - delta,    delta = argmin over V of |J delta - e|^2 + mu |delta|^2,

costs one network evaluation for all frames of a strip, and no product.
"""

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser
from backend.jacobian.generalized import Memory

RIDGE = 1e-2  # mu as a multiple of the largest |J v|^2 in the span


@torch.no_grad()
def hold(denoiser: Denoiser, x: Tensor, t: float, value: Tensor, mask: Tensor, memory: Memory) -> Tensor:
    """Moved pictures x (n, *shape) with the rest held at D(x_t, t) = value (*shape); mask (H, W) bool is the region."""
    basis, images = memory.basis()
    gram = (images @ images.T).double()
    gram += RIDGE * torch.linalg.eigvalsh(gram)[-1] * torch.eye(len(gram)).to(gram)
    strayed = ((denoiser(x, t) - value) * ~mask).flatten(1)
    mix = torch.linalg.solve(gram, (images @ strayed.T).double()).to(basis)
    return x - (mix.T @ basis).view_as(x)
