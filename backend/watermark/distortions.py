"""What happens to a picture's pixels on its way through the world.

    distortion(picture, strength, generator) -> picture

of one picture (C, H, W) float32 in [-1, 1], C = 1 or 3, pure and on the CPU; `attack` clips what comes out. A strength is in the unit
that its function names; noise is measured by the range from black to white. All arithmetic is in float: 8-bit integers exist only
inside JPEG, since adding noise to them wraps around. Only what is random reads the generator. Moves of pixels are in `geometry`.
"""

import io
import math

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, which Pillow's grey is made by


def jpeg(picture: Tensor, quality: float, generator: Generator) -> Tensor:
    """Written as a JPEG file of this quality (1 to 95) by Pillow and read again: 8 bits, 4:2:0 colour subsampling, which is Pillow's
    default, or greyscale for C = 1."""
    from PIL import Image  # takes a moment to import

    pixels = ((picture + 1) * 127.5).round().to(torch.uint8).movedim(0, -1).squeeze(-1)
    file = io.BytesIO()
    Image.fromarray(pixels.numpy()).save(file, "JPEG", quality=int(quality))
    with Image.open(file) as opened:
        found = torch.frombuffer(bytearray(opened.tobytes()), dtype=torch.uint8)
    return found.view(*picture.shape[1:], -1).movedim(-1, 0).to(picture) / 127.5 - 1


def blur(picture: Tensor, sigma: float, generator: Generator) -> Tensor:
    """Gaussian of standard deviation sigma pixels (0: none), cut at 4 sigma; edges replicated. Pillow's `radius` is this sigma."""
    if sigma == 0:
        return picture
    reach = int(4 * sigma + 0.5)
    x = torch.arange(-reach, reach + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(picture)
    padded = F.pad(picture[:, None], [reach] * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel[None, None, None]), kernel[None, None, :, None])[:, 0]


def median(picture: Tensor, k: float, generator: Generator) -> Tensor:
    """The median of the k x k pixels around each (k odd), channel by channel; edges replicated."""
    k = int(k)
    padded = F.pad(picture[None], [k // 2] * 4, mode="replicate")[0]
    around = padded.unfold(1, k, 1).unfold(2, k, 1).flatten(-2).numpy()
    half = k * k // 2
    return torch.from_numpy(
        np.partition(around, half)[..., half]
    )  # several times faster than torch's and scipy's medians


def noise(picture: Tensor, sigma: float, generator: Generator) -> Tensor:
    """White Gaussian noise of standard deviation sigma, as a share of the range."""
    return picture + 2 * sigma * torch.randn(picture.shape, generator=generator)


def salt_and_pepper(picture: Tensor, share: float, generator: Generator) -> Tensor:
    """Each value (of a pixel, in a channel) is with this probability replaced by black or white, as likely."""
    hit, colour = torch.rand(2, *picture.shape, generator=generator)
    return torch.where(hit < share, torch.where(colour < 0.5, -1.0, 1.0), picture)


def drop(picture: Tensor, share: float, generator: Generator) -> Tensor:
    """A centred square with this share of the side turned mid-grey, the same in every picture."""
    left = picture.clone()
    top, bottom = middle(picture.shape[1], share)
    start, end = middle(picture.shape[2], share)
    left[:, top:bottom, start:end] = 0
    return left


def brightness(picture: Tensor, factor: float, generator: Generator) -> Tensor:
    """All values, counted from black, times a factor; what exceeds white is lost."""
    return ((picture + 1) * factor - 1).clamp(-1, 1)


def contrast(picture: Tensor, factor: float, generator: Generator) -> Tensor:
    """Distances from the picture's mean grey times a factor (Pillow's `ImageEnhance.Contrast`)."""
    mean = _grey(picture).mean()
    return (mean + factor * (picture - mean)).clamp(-1, 1)


def jitter(picture: Tensor, strength: float, generator: Generator) -> Tensor:
    """Brightness, contrast and saturation, in this order, each by a factor from U[1 - s, 1 + s], then hue by U[-s / 2, s / 2] of a turn,
    s in [0, 1]. A grey picture has only the first two."""
    light, contrasts, saturation, turn = (strength * (2 * torch.rand(4, generator=generator) - 1)).tolist()
    picture = brightness(picture, 1 + light, generator)
    picture = contrast(picture, 1 + contrasts, generator)
    if len(picture) == 1:
        return picture
    grey = _grey(picture)
    return hue((grey + (1 + saturation) * (picture - grey)).clamp(-1, 1), turn / 2)


def hue(picture: Tensor, turn: float) -> Tensor:
    """Colours (3, H, W) turned about the grey axis by a share of a full turn; after a third, red is green, green blue and blue red."""
    k = torch.arange(3)
    angle = 2 * math.pi * (turn - (k[:, None] - k) / 3)
    rotation = (1 + 2 * angle.cos()) / 3  # Rodrigues' formula about (1, 1, 1)
    return torch.einsum("ij,jhw->ihw", rotation.to(picture), picture).clamp(-1, 1)


def _grey(picture: Tensor) -> Tensor:
    """The luma (1, H, W) of a picture."""
    if len(picture) == 1:
        return picture
    return (picture * picture.new_tensor(LUMA).view(3, 1, 1)).sum(0, keepdim=True)


def middle(length: int, share: float) -> tuple[int, int]:
    """Where the centred stretch with a share of a length begins and ends, in whole pixels, as many before it as behind."""
    margin = round(length * (1 - share) / 2)
    return margin, length - margin
