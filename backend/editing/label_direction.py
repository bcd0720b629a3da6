"""A direction towards another label in one region: text-supervised T-LOCO with labels for prompts.

The text-supervised form of LOCO Edit (Chen et al. 2024, https://arxiv.org/abs/2409.02374): where two conditions disagree
about the region, pulled back to x_t by one product, and projected off what moves the rest,

    v = J_e^T P_Omega (D(x_t, e) - D(x_t, c)),      v <- (I - V' V'^T) v / |.|,

J_e = dD(x_t, e)/dx_t, V' the leading right singular vectors of D(., c)'s Jacobian outside the region.
"""

from collections.abc import Generator

from torch import Tensor

from backend.denoiser.base import given
from backend.editing.directions import project_off
from backend.editing.scene import Scene
from backend.jacobian.linearize import linearize, restrict
from backend.jacobian.svd import svd_steps
from backend.request import Progress


def label_direction(
    scene: Scene, wanted: Tensor, rank: int, seed: int = 0
) -> Generator[Progress, None, Tensor]:
    """The unit direction (1, *shape) towards the label `wanted`, int64 ().

    Raises:
        ValueError: if the two labels agree about the region, as a label does with itself.
    """
    towards = given(scene.denoiser, label=wanted)
    there = linearize(lambda x: towards(x, scene.t), scene.x_t)
    here = linearize(lambda x: scene.bound(x, scene.t), scene.x_t)
    difference = (there.value - here.value) * scene.mask
    if not difference.any():
        raise ValueError("The two labels agree about this region.")
    v = there.vjp(difference[None])
    yield Progress(1, 1, "rows of the Jacobian")
    v = v / v.norm()
    if rank:
        outside = yield from svd_steps(restrict(here, ~scene.mask), rank, seed=seed)
        v = project_off(v, outside.V)
    return v
