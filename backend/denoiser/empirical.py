"""Posterior mean under the empirical distribution of N pictures,

    D(x_t, t) = sum_i p(i | x_t) x_i,    p(i | x_t) proportional to exp(-|x_t - alpha x_i|^2 / (2 sigma^2)),

which is what a network becomes when it memorizes its data.
"""

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser, as_time, like
from backend.schedule import Schedule

CHUNK = 2**24
"""Numbers in one block of differences x_t - alpha x_i."""


class Empirical(Denoiser):
    """E[x_0 | x_t] when x_0 is one of N given pictures, each as likely. Computed in the dtype of the data.

    At sigma = 0 the answer is the nearest picture. A derivative keeps every difference x_t - alpha x_i.

    Args:
        schedule: the noise schedule.
        data: the pictures, shape (N, *shape).
    """

    def __init__(self, schedule: Schedule, data: Tensor):
        super().__init__()
        self.schedule, self.shape = schedule, tuple(data.shape[1:])
        self.register_buffer("data", data)

    def forward(self, x_t: Tensor, t: Tensor | float, **condition: Tensor) -> Tensor:
        self.complete(condition, self.batch(x_t))
        data = self.data.flatten(1)
        x = x_t.reshape(*self.batch(x_t), 1, data.shape[1]).to(data)
        alpha, sigma = (like(a, x) for a in self.schedule(as_time(t)))
        # Differences, not |x|^2 - 2 x.y + |y|^2 as in torch.cdist: there, near duplicates round to one.
        chunks = data.split(max(1, CHUNK // max(1, x.numel())))
        distances = torch.cat([(x - alpha * chunk).square().sum(-1) for chunk in chunks], dim=-1)
        variance = sigma.squeeze(-1).square().clamp_min(torch.finfo(x.dtype).eps ** 2)
        weights = (-distances / (2 * variance)).softmax(-1)
        return (weights @ data).reshape(x_t.shape).to(x_t.dtype)
