"""The control without a region: the picture is denoised under another label, all of it.

As a prompt is changed in text-to-image models, with the strength of classifier-free guidance (Ho and Salimans 2022,
https://arxiv.org/abs/2207.12598, Eq. 6, between two labels instead of a label and none):

    D_s(x, t) = D(x, t, c) + s (D(x, t, e) - D(x, t, c))
"""

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser, branches, like
from backend.editing.scene import Steering


class Switched(Denoiser):
    """D_s for batches of as many samples as scales (n,); label and wanted are int64 ()."""

    def __init__(self, denoiser: Denoiser, label: Tensor, wanted: Tensor, scales: Tensor):
        super().__init__()
        self.denoiser, self.labels, self.scales = denoiser, (label, wanted), scales
        self.schedule, self.shape = denoiser.schedule, denoiser.shape

    def forward(self, x_t: Tensor, t: Tensor | float, **condition: Tensor) -> Tensor:
        self.complete(condition, self.batch(x_t))
        own, other = branches(self.denoiser, x_t, t, [{"label": label} for label in self.labels])
        return torch.lerp(own, other, like(self.scales, x_t))


def steering(denoiser: Denoiser, label: Tensor, wanted: Tensor) -> Steering:
    """From the picture's label to the wanted one, both int64 ()."""
    return lambda scales: Switched(denoiser, label, wanted, scales)
