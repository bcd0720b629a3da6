"""How linear a function is along a direction: f(x + l v) against f(x) + l J v.

    residual      |f(x + l v) - f(x) - l J v| / |l J v|       0 where linear; the strict measure
    norm ratio    |f(x + l v)| / |f(x) + l J v|               1 where linear
    cosine        of the same two                             1 where linear

The last two are those of Chen et al. 2024, https://arxiv.org/abs/2409.02374, Fig. 3. Both contain f(x), which hardly
changes, so they stay near 1 almost for free.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Linearity:
    """The three measures at lengths l (n,), each (n,); residual is NaN at l = 0."""

    lengths: Tensor
    residual: Tensor
    norm_ratio: Tensor
    cosine: Tensor


@torch.no_grad()
def linearity(f: Callable[[Tensor], Tensor], x: Tensor, v: Tensor, j_v: Tensor, lengths: Tensor) -> Linearity:
    """Along v (*in) with response j_v = J v (*out); f maps a batch (n, *in) to (n, *out). One batch of n + 1 evaluations."""
    steps = torch.cat([lengths.new_zeros(1), lengths]).to(x)
    value, *moved = f(x + steps.view(-1, *[1] * x.dim()) * v).double().flatten(1)
    moved = torch.stack(moved)
    change = lengths.double().cpu().to(value)[:, None] * j_v.double().flatten()
    predicted = value + change
    return Linearity(
        lengths,
        (moved - predicted).norm(dim=1) / change.norm(dim=1),
        moved.norm(dim=1) / predicted.norm(dim=1),
        torch.nn.functional.cosine_similarity(moved, predicted, dim=1),
    )
