"""The 1,797 real handwritten 8x8 digits inside scikit-learn, split once, by index."""

from functools import cache
from typing import Literal

import torch
from torch import Tensor

SPLITS = {"train": (0, 1197), "classifier": (1197, 1497), "test": (1497, 1797)}


@cache
def split(name: Literal["train", "classifier", "test"]) -> tuple[Tensor, Tensor]:
    """Pictures (N, 1, 8, 8) float32 in [-1, 1] and labels (N,) int64. Raises KeyError for another name."""
    from sklearn.datasets import load_digits

    first, last = SPLITS[name]
    digits = load_digits()
    pictures = torch.tensor(digits.images[first:last], dtype=torch.float32)[:, None] / 8 - 1
    return pictures, torch.tensor(digits.target[first:last])
