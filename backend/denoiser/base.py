"""The denoiser: the posterior mean of a picture given its noisy version,

    D(x_t, t, c) = E[x_0 | x_t, c],        x_t = alpha_t x_0 + sigma_t eps.

Units used everywhere

    x_0, D, every guidance term     the picture's own: pixels in [-1, 1]
    t                               time in [0, 1]: 0 the picture, 1 the last trained noise
    log-SNR                         2 log(alpha / sigma), nats
    noise level                     sigma / alpha (EDM's sigma), the axis shared by all schedules
    eps                             (x_t - alpha D) / sigma, unit variance
    singular values of dD/dx_t      raw s, and alpha s, which no change of schedule alters
    gamma                           guidance weight, D_c + gamma (D_c - D_0); guidance_scale is 1 + gamma
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn

from backend.schedule import Schedule

Condition = Mapping[str, Tensor]
"""What is known beside x_t: {"label": (*batch,) int64, -1 = null}, ...; {} is unconditional."""


class Denoiser(nn.Module, ABC):
    """E[x_0 | x_t, c]. Subclasses set the three attributes and write `forward`."""

    schedule: Schedule
    shape: tuple[int, ...]
    """Of one sample: (C, H, W) or (d,)."""
    null: Condition = MappingProxyType({})
    """The conditions that this denoiser knows, each with the value (for one sample) that means "none"."""

    @abstractmethod
    def forward(self, x_t: Tensor, t: Tensor | float, **condition: Tensor) -> Tensor:
        """Posterior mean.

        Args:
            x_t: noisy samples, shape (*batch, *shape), any number of batch axes.
            t: time in [0, 1], shape () or (*batch).
            condition: one value for all, or one for each sample, shape (*batch, ...). Null where missing.

        Returns:
            E[x_0 | x_t, c]: shape, dtype and device of x_t. Twice differentiable in x_t; deterministic; never
            clipped; sample i depends on x_t[i], t[i] and condition[i] alone.

        Raises:
            ValueError: on a condition that this denoiser does not know.
        """

    def batch(self, x_t: Tensor) -> torch.Size:
        """The batch axes of x_t."""
        return x_t.shape[: x_t.ndim - len(self.shape)]

    def complete(self, condition: Condition, batch: torch.Size) -> dict[str, Tensor]:
        """Every known condition, null where missing, with all the batch axes.

        Raises:
            ValueError: on an unknown name.
        """
        _refuse_unknown(self, condition)
        complete = {}
        for name, null in self.null.items():
            value = condition.get(name, null)
            if value.numel() == null.numel():  # one value for all, whatever its leading axes
                value = value.reshape(null.shape)
            complete[name] = value.expand(batch + null.shape)
        return complete


class Given(Denoiser):
    """A denoiser with some of its conditions bound; see `given`."""

    def __init__(self, denoiser: Denoiser, condition: Condition):
        super().__init__()
        _refuse_unknown(denoiser, condition)  # now rather than later
        self.denoiser, self.condition = denoiser, dict(condition)
        self.schedule, self.shape = denoiser.schedule, denoiser.shape
        self.null = {name: null for name, null in denoiser.null.items() if name not in condition}

    def forward(self, x_t: Tensor, t: Tensor | float, **condition: Tensor) -> Tensor:
        self.complete(condition, self.batch(x_t))  # a bound condition is no longer known
        return self.denoiser(x_t, t, **self.condition, **condition)


def given(denoiser: Denoiser, **condition: Tensor) -> Denoiser:
    """D(., ., c) as a denoiser of x_t alone, which is what sampling, jacobian and metrics work on."""
    return Given(denoiser, condition) if condition else denoiser


def branches(denoiser: Denoiser, x_t: Tensor, t: Tensor | float, conditions: Sequence[Condition]) -> Tensor:
    """The posterior means under n conditions, in one pass of the network: shape (n, *batch, *shape)."""
    batch = denoiser.batch(x_t)
    n, axis = len(conditions), len(batch)  # behind the other batch axes, since the first may count students
    filled = [denoiser.complete(condition, batch) for condition in conditions]
    stacked = {name: torch.stack([condition[name] for condition in filled], axis) for name in denoiser.null}
    if isinstance(t, Tensor) and t.ndim:
        t = t.unsqueeze(axis).expand(*batch, n)
    x_t = x_t.unsqueeze(axis).expand(*batch, n, *denoiser.shape)
    return denoiser(x_t, t, **stacked).movedim(axis, 0)


def _refuse_unknown(denoiser: Denoiser, condition: Condition) -> None:
    for name in condition:
        if name not in denoiser.null:
            raise ValueError(f"This model takes no condition {name!r}.")


def as_time(t: Tensor | float) -> Tensor:
    """t as a float64 tensor."""
    return torch.as_tensor(t, dtype=torch.float64)


def like(a: Tensor, x: Tensor) -> Tensor:
    """a, of shape () or (*batch), as a factor of x (*batch, ...): axes appended, dtype and device of x."""
    return a.to(x).reshape(a.shape + (1,) * (x.ndim - a.ndim))
