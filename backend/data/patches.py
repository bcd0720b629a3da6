"""16 x 16 grey patches of the photographs inside scikit-image, at half their size.

The right quarter of every photograph is for tests; patches for training lie wholly to the left of it.
"""

from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor

SIDE = 16
PHOTOGRAPHS = (
    *("astronaut", "camera", "cat", "clock", "coffee", "coins"),
    *("brick", "grass", "gravel", "moon", "rocket"),
)
HELD_OUT = 0.75  # of the width: what lies to the right of it is not trained on


def batch(n: int, generator: torch.Generator, held_out: bool = False) -> Tensor:
    """n patches, each photograph as likely, half of them mirrored: (n, 1, 16, 16) float32 in [-1, 1]."""
    which = torch.randint(len(PHOTOGRAPHS), (n,), generator=generator).tolist()
    places = torch.rand(n, 3, generator=generator).tolist()
    return torch.stack(list(_cut(which, places, held_out)))


def sample(seeds: range) -> Tensor:
    """The held-out patches of these seeds, (n, 1, 16, 16), each the same in any company."""
    each = [batch(1, torch.Generator().manual_seed(seed), held_out=True) for seed in seeds]
    return torch.cat(each) if each else torch.empty(0, 1, SIDE, SIDE)


def _cut(which: list[int], places: list[list[float]], held_out: bool) -> Iterator[Tensor]:
    for photograph, (down, right, mirrored) in zip(which, places, strict=True):
        picture = _photographs()[photograph]
        height, width = picture.shape
        border = int(HELD_OUT * width)
        left, end = (border, width) if held_out else (0, border)
        y, x = int(down * (height - SIDE + 1)), left + int(right * (end - left - SIDE + 1))
        patch = picture[y : y + SIDE, x : x + SIDE]
        yield (patch.flip(1) if mirrored < 0.5 else patch)[None]


@cache
def _photographs() -> list[Tensor]:
    """Each (H, W) in [-1, 1], halved by averaging."""
    from skimage import color, data, img_as_float32  # takes a second to import

    pictures = []
    for name in PHOTOGRAPHS:
        picture = img_as_float32(getattr(data, name)())
        grey = torch.from_numpy(color.rgb2gray(picture) if picture.ndim == 3 else picture).float()
        pictures.append(torch.nn.functional.avg_pool2d(grey[None], 2)[0] * 2 - 1)
    return pictures
