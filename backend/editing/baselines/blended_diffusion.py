"""Blended Diffusion: a classifier's gradient inside the region, the original picture outside.

Avrahami, Lischinski and Fried, "Blended Diffusion for Text-driven Editing of Natural Images", CVPR 2022,
https://arxiv.org/abs/2111.14818, Algorithm 2, with an expression classifier in the place of CLIP, on the whole face and
without the augmentations against adversarial pictures. At every evaluation, with m the region's mask,

    L = cross entropy of the wanted expression, given D(x_t, t, label)
    g = - m dL/dD, of unit root-mean-square inside the region
    D_s = m (D + s g) + (1 - m) x_0      for scales s other than 0, and D_0 = D

The paper blends the guided sample with x_0 noised to each level. Along a deterministic flow this is the same: where the
posterior mean is x_0, x_t = alpha x_0 + sigma eps moves on to alpha' x_0 + sigma' eps, with the noise that it began with.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.denoiser.base import Denoiser, given, like
from backend.editing.scene import Steering


def steering(
    denoiser: Denoiser,
    label: Tensor,
    x_0: Tensor,
    mask: Tensor,
    classifier: Callable[[Tensor], Tensor],
    wanted: int,
) -> Steering:
    """Towards the wanted expression inside the mask, away from it at negative scales.

    Args:
        denoiser: one that takes `label`; label int64 (), -1 for none.
        x_0: the original picture (C, H, W) in [-1, 1].
        mask: bool (H, W), the region, not empty, on the network's device.
        classifier: pictures (n, C, H, W) -> logits (n, K), each of its own picture alone; differentiable.
        wanted: the index of a logit.

    A scale is the root-mean-square change of D inside the region.

    Raises:
        ValueError: if the mask is empty or the denoiser takes no label.
    """
    if not mask.any():
        raise ValueError("The region is empty.")
    base = given(denoiser, label=label)
    return lambda scales: Blended(base, x_0, mask, classifier, wanted, scales)


def pull(pictures: Tensor, mask: Tensor, classifier: Callable[[Tensor], Tensor], wanted: int) -> Tensor:
    """g (n, C, H, W) of pictures (n, C, H, W): 0 outside the mask, and everywhere where the gradient vanishes."""
    with torch.enable_grad():  # solvers switch gradients off
        pictures = pictures.detach().requires_grad_()
        logits = classifier(pictures)
        target = torch.full((len(logits),), wanted, device=logits.device)
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits, target, reduction="sum"), pictures)
    inside = gradient * mask
    # a sure classifier's gradient is tiny, and its squares would be 0
    inside = inside / inside.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-30)
    size = int(mask.sum()) * pictures.shape[1]
    rms = inside.square().sum((1, 2, 3), keepdim=True).div(size).sqrt()
    return -inside / rms.clamp(min=1e-30)


class Blended(Denoiser):
    """Batches of n, guided and blended by scales (n,); see the module's equation."""

    def __init__(
        self,
        base: Denoiser,
        x_0: Tensor,
        mask: Tensor,
        classifier: Callable[[Tensor], Tensor],
        wanted: int,
        scales: Tensor,
    ):
        super().__init__()
        self.base, self.x_0, self.mask, self.scales = base, x_0, mask, scales
        self.classifier, self.wanted = classifier, wanted
        self.schedule, self.shape = base.schedule, base.shape

    def forward(self, x_t: Tensor, t: Tensor | float, **condition: Tensor) -> Tensor:
        value = self.base(x_t, t, **condition)
        scales = like(self.scales, value)
        guided = value + scales * pull(value, self.mask, self.classifier, self.wanted)
        blended = torch.where(self.mask, guided, self.x_0.to(value))
        return torch.where(scales != 0, blended, value)
