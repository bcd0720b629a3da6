"""Many small networks trained side by side, alike in all but how many pictures they see.

S students of one architecture and one initialisation are one `Stacked`, so that a step is one vectorised pass. Student s sees
the first N_s digits of one random order, hence all that a student with fewer sees. Draws, times and noise are shared: what
differs between two students is their data. Up to rounding, a student is what it would be alone.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from backend.data import digits
from backend.denoiser.base import like
from backend.denoiser.combine import Stacked
from backend.denoiser.unet import UNetDenoiser
from backend.training.loop import Plan
from backend.training.recipes import DIGITS

GROUPS = 4  # of GroupNorm, which must divide the width
BATCH = 32


@dataclass(frozen=True)
class StackedStep:
    """What one step reports: its number from 1 and each student's loss and unclipped gradient norm, (S,).

    `average` holds the averaged weights up to here; it is the same object at every step and goes on changing.
    """

    number: int
    loss: Tensor
    gradient_norm: Tensor
    average: Stacked


def build(width: int, seed: int = 0) -> UNetDenoiser:
    """The digits' U-Net without labels, with (width, 2 width) channels, untrained. Width 32 is the embedded one's."""
    unet = {
        "block_out_channels": (width, 2 * width),
        "norm_num_groups": GROUPS,
        "attention_head_dim": width,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return replace(DIGITS, labels=(), unet=unet).build()


def subsets(sizes: Sequence[int], seed: int = 0) -> list[Tensor]:
    """Nested sets of training digits, (N, 1, 8, 8) for each N of `sizes`: the first N of one random order."""
    pictures, _ = digits.split("train")
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(seed))
    return [pictures[order[:size]] for size in sizes]


def log_spaced(steps: int, count: int = 8, first: int = 10) -> list[int]:
    """At most `count` numbers of steps to look at, by equal factors from `first` to `steps`, both included."""
    exponents = torch.linspace(min(first, steps), steps, 2).log()
    marks = torch.linspace(*exponents.tolist(), count, dtype=torch.float64).exp().round()
    return sorted({int(mark) for mark in marks})


def train_together(
    students: Stacked, data: Sequence[Tensor], plan: Plan, batch: int = BATCH
) -> Iterator[StackedStep]:
    """Trains S students in place as `loop.train` trains one, each on its own pictures data[s], (N_s, *shape).

    The losses are summed, so no gradient depends on another student, and the gradient is clipped for each. Everything random
    at step i is that of (plan.seed, i). The students must be differentiable under vmap (`inference.device`).
    """
    average = deepcopy(students).requires_grad_(False).eval()
    parameters = list(students.parameters())
    optimizer = torch.optim.AdamW(parameters, betas=(0.9, 0.99), weight_decay=plan.weight_decay)
    data = [pictures.to(parameters[0].device) for pictures in data]
    students.train()
    for i in range(plan.steps):
        for group in optimizer.param_groups:
            group["lr"] = plan.lr_at(i)
        generator = torch.Generator().manual_seed(plan.seed * 1_000_003 + i)
        losses = denoising_losses(students, draw(data, batch, generator), generator)
        optimizer.zero_grad(set_to_none=True)
        losses.sum().backward()
        norms = clip_each(parameters, plan.clip)
        optimizer.step()
        with torch.no_grad():
            decay = min(plan.ema, (1 + i) / (10 + i))
            torch._foreach_lerp_(list(average.parameters()), parameters, 1 - decay)
        yield StackedStep(i + 1, losses.detach().cpu(), norms.cpu(), average)
    students.eval()


def draw(data: Sequence[Tensor], n: int, generator: torch.Generator) -> Tensor:
    """n pictures of each set, with replacement, at the same n relative places of every set: (S, n, *shape)."""
    place = torch.rand(n, generator=generator, dtype=torch.float64)
    return torch.stack([pictures[(place * len(pictures)).long()] for pictures in data])


def denoising_losses(
    students: Stacked, x_0: Tensor, generator: torch.Generator, cap: float = 100.0
) -> Tensor:
    """`loop.denoising_loss` of each student, (S,), for x_0 (S, n, *shape), with the n times and noises shared."""
    count, n = x_0.shape[:2]
    t = (torch.arange(n) + torch.rand((), generator=generator)) / n
    t = t[torch.randperm(n, generator=generator)].to(x_0.device)
    noise = torch.randn(x_0.shape[1:], generator=generator).to(x_0)
    alpha, sigma = (like(a, noise) for a in students.schedule(t))
    weight = ((alpha / sigma.clamp(min=1e-4)).square() + 1).clamp(max=cap)
    error = students(alpha * x_0 + sigma * noise, t.expand(count, n)) - x_0
    return (weight * error.square()).flatten(1).mean(1)


@torch.no_grad()
def clip_each(parameters: Sequence[Tensor], most: float) -> Tensor:
    """Shortens each student's gradient, over all stacked parameters (S, ...), to the norm `most`; the norms before, (S,)."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
    factor = (most / (norms + 1e-6)).clamp(max=1)
    for gradient in gradients:
        gradient *= like(factor, gradient)
    return norms
