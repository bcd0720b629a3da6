"""One loop trains everything: a loss, AdamW, an exponential moving average, checkpoints.

The randomness of step i depends on (seed, i) alone, so a killed and resumed run equals one that was not.
"""

import os
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from backend.denoiser.base import Denoiser, like

Loss = Callable[[nn.Module, torch.Generator], Tensor]


@dataclass(frozen=True)
class Plan:
    """How long and how fast. The rate warms up, stays, and falls to 0 over the last `decay` share."""

    steps: int
    lr: float = 8e-4
    warmup: int = 300
    decay: float = 0.3
    ema: float = 0.999
    weight_decay: float = 0.01
    clip: float = 1.0
    seed: int = 0
    bf16: bool = False

    def lr_at(self, step: int) -> float:
        """Learning rate of a step counted from 0."""
        rise = (step + 1) / self.warmup
        fall = (self.steps - step) / max(1.0, self.decay * self.steps)
        return self.lr * min(1.0, rise, fall)


@dataclass(frozen=True)
class Step:
    """What one step reports: its number from 1, its loss and the norm of its gradient."""

    number: int
    loss: float
    gradient_norm: float


def train(
    network: nn.Module, loss: Loss, plan: Plan, checkpoint: Path | None = None, every: float = 60.0
) -> Iterator[Step]:
    """Trains `network` in place, a `Step` at a time; at the end it holds the averaged weights.

    loss(network, generator) draws its own data from the generator and returns a scalar. With a checkpoint
    path the state is written every `every` seconds and at the end, atomically, and an existing one is
    resumed.
    """
    average = deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.AdamW(network.parameters(), betas=(0.9, 0.99), weight_decay=plan.weight_decay)
    device = next(network.parameters()).device
    start, saved = 0, time.monotonic()
    if checkpoint is not None and checkpoint.exists():
        state = torch.load(checkpoint, map_location=device, weights_only=True)
        start = state["step"]
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
    network.train()
    for i in range(start, plan.steps):
        for group in optimizer.param_groups:
            group["lr"] = plan.lr_at(i)
        generator = torch.Generator().manual_seed(plan.seed * 1_000_003 + i)
        with torch.autocast(device.type, torch.bfloat16, enabled=plan.bf16):
            value = loss(network, generator)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        norm = nn.utils.clip_grad_norm_(network.parameters(), plan.clip)
        optimizer.step()
        _follow(average, network, min(plan.ema, (1 + i) / (10 + i)))
        last = i + 1 == plan.steps
        if checkpoint is not None and (last or time.monotonic() - saved > every):
            _save(checkpoint, step=i + 1, network=network, average=average, optimizer=optimizer)
            saved = time.monotonic()
        yield Step(i + 1, value.item(), norm.item())
    network.load_state_dict(average.state_dict())
    network.eval()


def denoising_loss(
    x_0: Tensor, generator: torch.Generator, denoiser: Denoiser, cap: float = 100.0, **condition: Tensor
) -> Tensor:
    """Mean over pixels of min(1 + SNR, cap) |D(x_t) - x_0|^2, t uniform on [0, 1].

    Uncapped this is the velocity loss (Salimans and Ho 2022, https://arxiv.org/abs/2202.00512); the cap keeps
    the nearly clean pictures from taking all the weight, as min-SNR does (Hang et al. 2023,
    https://arxiv.org/abs/2303.09556), but leaves the noisy ones their full weight. It is high because faint details are
    decided late: with a cap of 10 the avatars' noses and lips varied by half too little in samples.
    """
    t = (torch.arange(len(x_0)) + torch.rand((), generator=generator)) / len(x_0)  # stratified: less variance
    t = t[torch.randperm(len(x_0), generator=generator)].to(x_0.device)
    noise = torch.randn(x_0.shape, generator=generator).to(x_0.device)
    alpha, sigma = (like(a, x_0) for a in denoiser.schedule(t))
    weight = ((alpha / sigma.clamp(min=1e-4)).square() + 1).clamp(max=cap)
    return (weight * (denoiser(alpha * x_0 + sigma * noise, t, **condition).float() - x_0).square()).mean()


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if kept.dtype.is_floating_point:
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


def _save(path: Path, step: int, **parts: nn.Module | torch.optim.Optimizer) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".tmp")
    torch.save({"step": step} | {name: part.state_dict() for name, part in parts.items()}, scratch)
    os.replace(scratch, path)
