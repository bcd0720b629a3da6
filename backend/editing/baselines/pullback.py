"""Pullback: the directions that move a U-Net's middle block most.

Park, Kwon, Choi, Jo and Uh, "Understanding the Latent Space of Diffusion Models through the Lens of Riemannian
Geometry", NeurIPS 2023, https://arxiv.org/abs/2307.12868, Sec. 3. The metric of the bottleneck h, pulled back to x_t,
has the leading eigenvectors v_i of

    J_h = dh/dx_t = U S V^T

as those directions in which h changes most. There is no region in it: the whole picture may change.

Their edit walks in several steps, x <- x + s (eps(x + v) - eps(x)). Here v is used in one step, x_t + lambda v, as
LOCO Edit (https://arxiv.org/abs/2409.02374) uses its own, so that in a comparison only the choice of v differs.
"""

from collections.abc import Generator

from torch import Tensor

from backend.denoiser.unet import UNetDenoiser
from backend.editing.baselines.bottleneck import bottleneck
from backend.jacobian.linearize import linearize
from backend.jacobian.svd import svd_steps
from backend.request import Progress


def pullback(
    denoiser: UNetDenoiser, x_t: Tensor, t: float, label: Tensor, k: int, seed: int = 0
) -> Generator[Progress, None, Tensor]:
    """The k leading right singular vectors of J_h, orthonormal (k, *shape), strongest first.

    Yields Progress after each product with the Jacobian. There are fewer than k if its rank is smaller.

    Args:
        x_t: one noisy picture (*shape).
        t: time in [0, 1].
        label: int64 (), -1 for none; a network without labels ignores it.
        seed: of the start vectors.

    Raises:
        ValueError: if k < 1 or the network has no middle block.
    """
    jacobian = linearize(lambda x: bottleneck(denoiser, x, t, label), x_t)
    return (yield from svd_steps(jacobian, k, seed=seed)).V
