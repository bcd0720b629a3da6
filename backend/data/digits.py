"""The 1,797 real handwritten 8x8 digits inside scikit-learn (E. Alpaydin and C. Kaynak, UCI, 1998).

    https://archive.ics.uci.edu/dataset/80/optical+recognition+of+handwritten+digits

They are split once, by index. They come writer by writer, so the three parts hardly share a hand.
"""

from typing import Literal

import torch
from torch import Tensor

SPLITS = {"train": slice(0, 1197), "classifier": slice(1197, 1497), "test": slice(1497, 1797)}


def split(name: Literal["train", "classifier", "test"] = "train") -> tuple[Tensor, Tensor]:
    """(pictures (N, 1, 8, 8) float32 in [-1, 1], labels (N,) int64 in 0..9)."""
    from sklearn.datasets import load_digits  # takes a second to import

    data = load_digits()
    pictures = torch.from_numpy(data.images).float().unsqueeze(1) / 8 - 1  # 17 grey levels, 0 to 16
    return pictures[SPLITS[name]], torch.from_numpy(data.target).long()[SPLITS[name]]
