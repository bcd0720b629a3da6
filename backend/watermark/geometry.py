"""Moves of pixels, as distortions of one picture (C, H, W) float32 in [-1, 1]; see `distortions` for their form.

What comes from outside the picture is its nearest edge pixel, so that no black or grey border gives a move away.
"""

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from backend.watermark.distortions import middle


def resize(picture: Tensor, share: float, generator: Generator) -> Tensor:
    """Shrunk to a share of the side (at least one pixel) and enlarged again, both bicubic and antialiased as Pillow's."""
    height, width = picture.shape[1:]
    return _bicubic(_bicubic(picture, round(height * share), round(width * share)), height, width)


def crop(picture: Tensor, share: float, generator: Generator) -> Tensor:
    """The centred part with a share of the side, in whole pixels, enlarged (bicubic) to the full size."""
    height, width = picture.shape[1:]
    top, bottom = middle(height, share)
    left, right = middle(width, share)
    return _bicubic(picture[:, top:bottom, left:right], height, width)


def rotate(picture: Tensor, degrees: float, generator: Generator) -> Tensor:
    """Counter-clockwise about the centre, bilinear; the corners repeat the nearest edge."""
    if degrees == 0:
        return picture
    height, width = picture.shape[1:]
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    # Where each pixel comes from, in coordinates that span [-1, 1] on both axes.
    source = torch.tensor([[c, -s * height / width, 0], [s * width / height, c, 0]]).to(picture)
    grid = F.affine_grid(source[None], [1, *picture.shape], align_corners=False)
    return F.grid_sample(picture[None], grid, "bilinear", padding_mode="border", align_corners=False)[0]


def shift(picture: Tensor, pixels: float, generator: Generator) -> Tensor:
    """By whole pixels down and to the right, or up and to the left where negative; no value is interpolated."""
    height, width = picture.shape[1:]
    ahead, behind = max(int(pixels), 0), max(-int(pixels), 0)
    padded = F.pad(picture[None], [ahead, behind, ahead, behind], mode="replicate")[0]
    return padded[:, behind : behind + height, behind : behind + width]


def flip(picture: Tensor, strength: float, generator: Generator) -> Tensor:
    """Mirrored, left to right; there is only one strength."""
    return picture.flip(-1)


def _bicubic(picture: Tensor, height: int, width: int) -> Tensor:
    size = (max(1, height), max(1, width))
    return F.interpolate(picture[None], size, mode="bicubic", antialias=True)[0].clamp(-1, 1)
