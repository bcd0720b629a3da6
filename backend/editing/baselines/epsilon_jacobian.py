"""Directions from the Jacobian of the predicted noise, an ablation of LOCO Edit.

Chen et al. 2024, "Exploring Low-Dimensional Subspaces in Diffusion Models for Controllable Image Editing",
https://arxiv.org/abs/2409.02374, Table 1, "d eps / d x". The predicted noise takes the place of the posterior mean:

    eps = (x_t - alpha D) / sigma,    d eps/dx_t = (I - alpha J) / sigma,    its rows in the region = U S V^T

Where J is small d eps/dx_t is nearly the identity, so its leading vectors are those that D answers to least or with the
opposite sign, and its singular values lie close together: expect more products than for J.
"""

from collections.abc import Generator

from torch import Tensor

from backend.denoiser.base import Denoiser, as_time
from backend.jacobian.linearize import linearize, restrict
from backend.jacobian.svd import svd_steps
from backend.request import Progress


def epsilon_directions(
    denoiser: Denoiser, x_t: Tensor, t: float, mask: Tensor, k: int, seed: int = 0
) -> Generator[Progress, None, Tensor]:
    """The k leading right singular vectors of d eps/dx_t in the region, orthonormal (k, *shape), strongest first.

    Yields Progress after each product with the Jacobian.

    Args:
        denoiser: its conditions bound.
        x_t: one noisy picture (*shape).
        t: time in (0, 1].
        mask: the region, bool (H, W).
        seed: of the start vectors.

    Raises:
        ValueError: if t is 0, k < 1, or the mask is empty, not boolean or of another size.
    """
    alpha, sigma = (float(a) for a in denoiser.schedule(as_time(t)))
    if sigma == 0:
        raise ValueError("A picture without noise has no predicted noise.")
    jacobian = linearize(lambda x: (x - alpha * denoiser(x, t)) / sigma, x_t)
    return (yield from svd_steps(restrict(jacobian, mask), k, seed=seed)).V
