"""LOCO Edit: local directions from the Jacobian of the posterior mean.

Chen et al. 2024, "Exploring Low-Dimensional Subspaces in Diffusion Models for Controllable Image Editing",
https://arxiv.org/abs/2409.02374, Algorithm 1. With J = dD/dx_t, the region Omega and its complement,

    J_Omega = U S V^T,    J_complement = U' S' V'^T,    v_i <- (I - V'_r V'_r^T) v_i,
    x_t <- x_t + lambda v_i / |v_i|

The leading right singular vectors change the region most; projecting off those of the complement keeps the
rest still. `backend.jacobian.generalized` weighs the one against the other instead.
"""

import math
from dataclasses import dataclass

from torch import Tensor

RIDGE = 0.3  # of generalised directions: a smaller one holds still even what belongs to the region, as brows to hair
STEP = 0.1  # a strength of 1 is this predicted root-mean-square change inside the region; pixels span 2


@dataclass(frozen=True)
class Directions:
    """k unit directions in the space of x_t, strongest first.

    v (k, *shape); s (k,) raw singular values of J_Omega before the projection, or the gain; gain (k,) = |J_Omega v|;
    leak (k,) = energy of J v outside the region over inside; response (k, *shape) = J v.
    """

    v: Tensor
    s: Tensor
    gain: Tensor
    leak: Tensor
    response: Tensor

    def distance(self, strength: Tensor, size: int) -> Tensor:
        """lambda, how far to go along v for a strength (k,) or (n, 1); the region has `size` values."""
        return strength * STEP * math.sqrt(size) / self.gain


def project_off(v: Tensor, basis: Tensor) -> Tensor:
    """Unit vectors v (k, *shape) without their parts along the orthonormal basis (r, *shape).

    A direction that lies in the basis (almost) entirely stays what rounding left of it, normalised.
    """
    rows, columns = basis.flatten(1), v.flatten(1)
    for _ in range(2):  # twice is enough (Kahan)
        columns = columns - (columns @ rows.T) @ rows
    return (columns / columns.norm(dim=1, keepdim=True).clamp(min=1e-12)).view_as(v)


def describe(v: Tensor, s: Tensor | None, response: Tensor, mask: Tensor) -> Directions:
    """Measures unit directions v (k, *shape) by their response J v, unmasked; mask (H, W) is the region, or (k, 1, H, W) the
    region of each. Without singular values s (k,) the gain takes their place."""
    inside = (response * mask).flatten(1).square().sum(1)
    outside = (response * ~mask).flatten(1).square().sum(1)
    gain = inside.sqrt()
    return Directions(v, gain if s is None else s, gain, outside / inside.clamp(min=1e-24), response)
