"""Noise that belongs to its seed, not to its place in a batch."""

from collections.abc import Sequence

import torch
from torch import Tensor


def noise(
    seeds: Sequence[int],
    shape: tuple[int, ...],
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Standard normal samples, shape (len(seeds), *shape).

    Each is drawn in float32 on the CPU from its own seed and then moved, so sample 3 of a batch is the same
    alone, and the same on every device.
    """
    samples = [torch.randn(1, *shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.cat([torch.empty(0, *shape), *samples]).to(device, dtype)
