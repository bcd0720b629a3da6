"""Noise schedules: how much of the picture and how much noise a noisy sample holds at time t.

    x_t = alpha_t x_0 + sigma_t eps,    eps ~ N(0, I),    0 <= t <= 1

At t = 0 stands the picture (alpha 1, sigma 0), at t = 1 the last trained noise. The log-SNR,
2 log(alpha / sigma), falls strictly with t, so it names a time under any schedule: models are compared by it,
never by t.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Schedule(ABC):
    """The map t -> (alpha, sigma) and its inverse: float64 inside, the dtype of the input outside."""

    t_min: float
    """Smallest trained time. Below it a model is asked at t_min and sigma goes on falling to 0."""

    @abstractmethod
    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Scale alpha of the picture and deviation sigma of the noise: shape, device and dtype of t."""

    @abstractmethod
    def _time(self, log_snr: Tensor) -> Tensor:
        """The inverse of `log_snr` on [log_snr(1), inf], in float64."""

    def log_snr(self, t: Tensor) -> Tensor:
        """2 log(alpha / sigma) in nats, strictly decreasing from inf at t = 0; -inf where alpha is 0."""
        alpha, sigma = self(t.double())
        return (2 * (alpha.log() - sigma.log())).to(t.dtype)

    def time(self, log_snr: Tensor) -> Tensor:
        """The time at which the log-SNR has this value: exact inverse of `log_snr`.

        Raises:
            ValueError: where the noise is stronger than at t = 1; there is no extrapolation.
        """
        noisiest = self.log_snr(torch.ones((), dtype=torch.float64, device=log_snr.device))
        if (log_snr < noisiest - 1e-4).any():  # what rounding to float32 can take off is forgiven
            raise ValueError("The noise asked for is stronger than this schedule has at t = 1.")
        return self._time(log_snr.double().clamp_min(noisiest)).to(log_snr.dtype)


def noise_level(schedule: Schedule, t: Tensor) -> Tensor:
    """sigma / alpha, EDM's sigma (https://arxiv.org/abs/2206.00364): the axis that all schedules share."""
    alpha, sigma = schedule(t.double())
    return (sigma / alpha).to(t.dtype)


class DiscreteSchedule(Schedule):
    """A variance-preserving schedule trained at T discrete steps: step i sits exactly at t = (i + 1) / T.

    Between steps the log-SNR is linear in t. Below the first step sigma falls linearly to 0.

    Args:
        alphas_cumprod: alpha^2 of each step, shape (T,), strictly decreasing. A last value of 0
            (zero terminal SNR) is read as 1e-12, which keeps the log-SNR finite.

    Raises:
        ValueError: if `alphas_cumprod` is not such a table.
    """

    def __init__(self, alphas_cumprod: Tensor):
        table = torch.as_tensor(alphas_cumprod, dtype=torch.float64, device="cpu").clamp_min(1e-12)
        if table.ndim != 1 or len(table) < 2 or table[0] >= 1 or not (table.diff() < 0).all():
            raise ValueError("alphas_cumprod must hold two or more strictly decreasing values inside (0, 1).")
        self.steps = len(table)
        self.t_min = 1 / self.steps
        self._log_snr = table.log() - torch.log1p(-table)

    def step(self, t: Tensor) -> Tensor:
        """The network's own time, t T - 1, a float in [0, T - 1]: 0 below the first trained step."""
        return (t * self.steps - 1).clamp_min(0)

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        time, table = t.double(), self._log_snr.to(t.device)
        step = self.step(time)
        low = step.floor().long().clamp_max(self.steps - 2)
        log_snr = torch.lerp(table[low], table[low + 1], step - low)
        signal, noise = log_snr.sigmoid(), (-log_snr).sigmoid()
        fade = (time * self.steps).clamp_max(1).square()  # 1 from the first step on
        alpha, sigma = (signal + noise * (1 - fade)).sqrt(), (noise * fade).sqrt()
        return alpha.to(t.dtype), sigma.to(t.dtype)

    def _time(self, log_snr: Tensor) -> Tensor:
        table = self._log_snr.to(log_snr.device)
        high = torch.searchsorted(-table, -log_snr).clamp(1, self.steps - 1)
        low = high - 1
        step = low + (table[low] - log_snr) / (table[low] - table[high])
        fade = ((-log_snr).sigmoid() / (-table[0]).sigmoid()).sqrt()
        return torch.where(log_snr > table[0], fade, step + 1) / self.steps


class CosineSchedule(DiscreteSchedule):
    """The cosine schedule of Nichol and Dhariwal (https://arxiv.org/abs/2102.09672, Eq. 17), s = 0.008.

    The same table as diffusers' `DDIMScheduler(beta_schedule="squaredcos_cap_v2")`.
    """

    def __init__(self, steps: int = 1000):
        super().__init__(_alphas_cumprod(_cosine_betas(steps)))


class VESchedule(Schedule):
    """Variance exploding: alpha = 1, sigma = sigma_max t^7.

    A uniform grid in t is the grid of EDM (https://arxiv.org/abs/2206.00364, Eq. 5, rho = 7); t_min is where
    sigma is sigma_min.
    """

    def __init__(self, sigma_min: float = 0.002, sigma_max: float = 80.0):
        self.sigma_max = sigma_max
        self.t_min = (sigma_min / sigma_max) ** (1 / 7)

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(t), (self.sigma_max * t.double() ** 7).to(t.dtype)

    def _time(self, log_snr: Tensor) -> Tensor:
        return ((-log_snr / 2).exp() / self.sigma_max) ** (1 / 7)


class FlowSchedule(Schedule):
    """Flow matching (rectified flow): alpha = 1 - s, sigma = s, with s = shift t / (1 + (shift - 1) t).

    The shift is that of Stable Diffusion 3 (https://arxiv.org/abs/2403.03206, Eq. 23).
    """

    t_min = 1e-3

    def __init__(self, shift: float = 1.0):
        self.shift = shift

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        time = t.double()
        scale = 1 + (self.shift - 1) * time
        return ((1 - time) / scale).to(t.dtype), (self.shift * time / scale).to(t.dtype)

    def _time(self, log_snr: Tensor) -> Tensor:
        sigma = (-log_snr / 2).sigmoid()
        return sigma / (self.shift - (self.shift - 1) * sigma)


def from_scheduler_config(config: Mapping[str, Any]) -> DiscreteSchedule:
    """The schedule that a diffusers `scheduler_config.json` describes.

    Args:
        config: reads `beta_schedule` (linear, scaled_linear, squaredcos_cap_v2), `beta_start`, `beta_end`,
            `num_train_timesteps` and `trained_betas`, with the defaults of diffusers.

    Raises:
        ValueError: for a kind of schedule that is not known here.
    """
    name, steps = config.get("beta_schedule", "linear"), config.get("num_train_timesteps", 1000)
    start, end = config.get("beta_start", 1e-4), config.get("beta_end", 0.02)
    if config.get("rescale_betas_zero_snr"):
        raise ValueError("Schedules rescaled to zero terminal SNR are not supported.")
    if config.get("trained_betas") is not None:
        betas = torch.tensor(config["trained_betas"], dtype=torch.float32)
    elif name == "linear":
        betas = torch.linspace(start, end, steps, dtype=torch.float32)
    elif name == "scaled_linear":
        betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float32).square()
    elif name == "squaredcos_cap_v2":
        betas = _cosine_betas(steps)
    else:
        raise ValueError(f"The noise schedule {name!r} is not supported.")
    return DiscreteSchedule(_alphas_cumprod(betas))


def _cosine_betas(steps: int) -> Tensor:
    def alpha_bar(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - alpha_bar((i + 1) / steps) / alpha_bar(i / steps), 0.999) for i in range(steps)]
    return torch.tensor(betas, dtype=torch.float32)


def _alphas_cumprod(betas: Tensor) -> Tensor:
    # The betas come rounded to float32, as in diffusers: that shifts the cosine's last value by 1e-5 of it.
    return (1 - betas.double()).cumprod(0)
