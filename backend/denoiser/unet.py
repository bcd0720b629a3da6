"""A diffusers U-Net as a denoiser.

With F the network's output at the (fractional) training step of t, every way of training it is affine in F:

    epsilon        D = (x_t - sigma F) / alpha
    v_prediction   D = alpha x_t - sigma F          (https://arxiv.org/abs/2202.00512, Sec. 4)
    sample         D = F

Below the first trained step the network is asked at that step and D tends to x_t as sigma tends to 0.
"""

from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.denoiser.base import Condition, Denoiser, as_time, like
from backend.schedule import DiscreteSchedule

if TYPE_CHECKING:
    from diffusers import UNet2DModel

Prediction = Literal["epsilon", "v_prediction", "sample"]


class UNetDenoiser(Denoiser):
    """E[x_0 | x_t, label] by a `UNet2DModel`, which may be in half precision: casts happen only here.

    Args:
        unet: the network; if it has classes, with classes + 1 embeddings, the last for the null label.
        schedule: the schedule that it was trained with.
        prediction: what its output stands for.
        classes: number of labels; 0 for an unconditional network.
        patch: side p of the pixel blocks folded into channels; the network sees (p^2 C, H / p, W / p).

    Condition:
        label: int64, () or (*batch), in [-1, classes); -1, the default, is the null label.

    Raises:
        ValueError: if `prediction` is unknown or `classes` does not fit the network.
    """

    def __init__(
        self,
        unet: "UNet2DModel",
        schedule: DiscreteSchedule,
        prediction: Prediction = "epsilon",
        classes: int = 0,
        patch: int = 1,
    ):
        super().__init__()
        if prediction not in ("epsilon", "v_prediction", "sample"):
            raise ValueError(f"The prediction type {prediction!r} is not known.")
        if (unet.config.num_class_embeds or 0) != (classes + 1 if classes else 0):
            raise ValueError("The network needs one class embedding for each label and one for null.")
        size = unet.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        self.unet, self.schedule, self.prediction = unet, schedule, prediction
        self.classes, self.patch = classes, patch
        self.shape = (unet.config.in_channels // patch**2, height * patch, width * patch)
        self.null = {"label": torch.tensor(-1)} if classes else {}

    def forward(self, x_t: Tensor, t: Tensor | float, **condition: Tensor) -> Tensor:
        batch = self.batch(x_t)
        label = self.complete(condition, batch).get("label")
        if label is not None:
            label = torch.where(label < 0, self.classes, label).reshape(-1).to(x_t.device)
        t = as_time(t)
        skip, out = self._coefficients(t)
        step = self.schedule.step(t).float().to(x_t.device)  # a tensor: diffusers rounds a Python float

        x = F.pixel_unshuffle(x_t.reshape(-1, *self.shape).to(self.unet.dtype), self.patch)
        output = self.unet(x, step.expand(batch).reshape(-1), class_labels=label, return_dict=False)[0]
        output = F.pixel_shuffle(output, self.patch).reshape(x_t.shape).to(x_t.dtype)
        return like(skip, x_t) * x_t + like(out, x_t) * output

    def _coefficients(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(a, b) of D = a x_t + b F, in float64."""
        alpha, sigma = self.schedule(t)
        if self.prediction == "epsilon":
            return 1 / alpha, -sigma / alpha
        if self.prediction == "v_prediction":
            return alpha, -sigma
        asked_alpha, asked_sigma = self.schedule(t.clamp_min(self.schedule.t_min))
        fade = sigma / asked_sigma  # 1 from the first trained step on, where D = F
        return (1 - fade) / alpha, fade * asked_alpha / alpha

    def complete(self, condition: Condition, batch: torch.Size) -> dict[str, Tensor]:
        complete = super().complete(condition, batch)
        label = complete.get("label", torch.tensor(-1))
        # Under vmap a value cannot steer Python: `Stacked` asks this before it maps over labels.
        if not torch._C._functorch.is_batchedtensor(label) and ((label < -1) | (label >= self.classes)).any():
            raise ValueError(f"The label must be between 0 and {self.classes - 1}, or -1 for none.")
        return complete
