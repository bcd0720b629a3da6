"""What every method of editing works on, and the two ways in which methods act.

    a direction v        x_t + lambda v, one step at the noise level t, then the flow to the picture
    a steering D_s       another denoiser all the way from t to the picture, stronger with its scale s

Both are measured in the same unit, so that methods can be compared: strength 1 is a predicted root-mean-square change
of STEP inside the region, |D_edited(x_t, t) - D(x_t, t)|_region = STEP sqrt(size), to first order.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser, given
from backend.editing.directions import STEP

Steering = Callable[[Tensor], Denoiser]
"""Scales (n,) -> a denoiser of batches of n, whose sample i is steered by scale i; scale 0 is the model itself."""


@dataclass(frozen=True)
class Scene:
    """A picture at noise level t, and the region to change.

    denoiser: the model's, which takes `label`; label: int64 (), -1 for none; x_t (*shape); mask (H, W) bool.
    """

    denoiser: Denoiser
    label: Tensor
    x_t: Tensor
    t: float
    mask: Tensor

    @property
    def bound(self) -> Denoiser:
        """The denoiser for the picture's own label."""
        return given(self.denoiser, label=self.label) if "label" in self.denoiser.null else self.denoiser

    @property
    def size(self) -> int:
        """Values in the region."""
        return int(self.mask.sum()) * self.x_t.shape[0]

    def rms(self, change: Tensor) -> Tensor:
        """Root-mean-square of a change (n, *shape) inside the region: (n,)."""
        return (change * self.mask).flatten(1).square().sum(1).div(self.size).sqrt()


def along(scene: Scene, v: Tensor, response: Tensor, strengths: Tensor) -> Tensor:
    """x_t moved along v (*shape), whose response is J v (*shape), to strengths (n,): (n, *shape)."""
    unit = STEP / scene.rms(response[None]).clamp(min=1e-12)
    return scene.x_t + strengths.to(v).view(-1, *[1] * v.dim()) * unit * v


@torch.no_grad()
def unit_scale(scene: Scene, steering: Steering) -> float:
    """The scale that strength 1 stands for, measured at scale 1 by two network evaluations.

    Raises:
        ValueError: if the steering does not change the region at all.
    """
    probe = steering(torch.tensor([0.0, 1.0], device=scene.x_t.device))
    still, moved = probe(scene.x_t.expand(2, *scene.x_t.shape), scene.t)
    change = float(scene.rms((moved - still)[None]))
    if not change > 0 or not math.isfinite(change):
        raise ValueError("The steering does not change the region.")
    return STEP / change


def steered(scene: Scene, steering: Steering, strengths: Tensor) -> Denoiser:
    """The steering at strengths (n,). Raises ValueError as `unit_scale`."""
    return steering(strengths.to(scene.x_t) * unit_scale(scene, steering))
