"""The 100 face crops inside scikit-image, 24 x 24 grey pixels (one row and one column of the 25 are left out).

    https://scikit-image.org/docs/stable/api/skimage.data.html#skimage.data.lfw_subset

They come from Labeled Faces in the Wild (Huang et al. 2007). The last 32 are for tests.
"""

from typing import Literal

import torch
from torch import Tensor

SIDE = 24
SPLITS = {"train": slice(0, 68), "test": slice(68, 100)}


def split(name: Literal["train", "test"] = "train") -> Tensor:
    """The faces of a split, (N, 1, 24, 24) float32 in [-1, 1]."""
    from skimage.data import lfw_subset  # takes a moment to import

    faces = torch.from_numpy(lfw_subset()[:100, :SIDE, :SIDE]).float()
    return faces[SPLITS[name], None] * 2 - 1


def batch(n: int, generator: torch.Generator) -> Tensor:
    """n faces of the training split, half of them mirrored: (n, 1, 24, 24)."""
    faces = split("train")
    chosen = faces[torch.randint(len(faces), (n,), generator=generator)]
    mirrored = torch.rand(n, generator=generator) < 0.5
    return torch.where(mirrored.view(-1, 1, 1, 1), chosen.flip(-1), chosen)
