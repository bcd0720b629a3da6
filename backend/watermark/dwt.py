"""DwtDct and DwtDctSvd: bits in the wavelet bands of the finished picture, by the optional package invisible-watermark.

https://github.com/ShieldMnt/invisible-watermark, version 0.2.0. The picture's chrominance (of a grey picture the luminance) is taken apart by a Haar wavelet and the blocks of its low band by a cosine transform; one
number of each, its largest coefficient or singular value, is moved so that its remainder modulo 36 spells a bit. 32 bits from the secret
go into all blocks in turn. The package has no key, so whoever has it can read, copy and overwrite the message.

It takes 8-bit pictures of at least 256 x 256 pixels. Smaller ones are enlarged, marked there, and what the mark added is shrunk and added
to the picture (`resampled`). That is not what the package was made for, and a table must say so: on 64-pixel drawn faces DwtDctSvd keeps
98 % of the bits clean and 58 % after JPEG 90, DwtDct 52 % (chance is 50 %); drawn at 256 pixels, 100 % and 91 %, and 81 %.
"""

from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from backend.request import BadInput
from backend.watermark.base import Watermark
from backend.watermark.fourier import uniform

BITS = 32
SMALLEST = 256  # pixels a side
STEP = 36  # of the remainder, the package's default


@cache
def available() -> bool:
    """Whether the package and what it needs (opencv, PyWavelets) can be imported; the first call takes a second."""
    try:
        _package()
    except BadInput:
        return False
    return True


def _package() -> Any:
    try:
        import imwatermark
    except ImportError:
        raise BadInput(
            "This method needs the Python package invisible-watermark, which is not installed here."
        ) from None
    return imwatermark


@dataclass(frozen=True)
class Dwt(Watermark):
    """Args:
        secret: 32 bytes, for the message alone.
        shape: of one picture, (C, H, W) with C 1 or 3.
        method: the package's name of it.

    `inject` and `score` raise BadInput where the package is not installed. Neither has a gradient.
    """

    secret: bytes = field(repr=False)
    shape: tuple[int, int, int]
    method: Literal["dwtDct", "dwtDctSvd"] = "dwtDctSvd"
    t = 0.0

    @property
    def resampled(self) -> bool:
        """Whether the picture is marked at another size than its own."""
        return min(self.shape[1:]) < SMALLEST

    @cached_property
    def message(self) -> Tensor:
        """(32,) bool."""
        return uniform(self.secret, "dwt message", BITS) >= 0.5

    @property
    def _settings(self) -> dict[str, Any]:
        luma_alone = self.shape[0] == 1  # a grey picture has no chrominance to come back with
        return {"method": self.method, "scales": [STEP, 0, 0] if luma_alone else [0, STEP, 0]}

    def inject(self, x_t: Tensor) -> Tensor:
        encoder = _package().WatermarkEncoder()
        encoder.set_watermark("bits", self.message.int().tolist())
        before = self._bytes(x_t)
        after = torch.stack([_rgb(encoder.encode(_bgr(image), **self._settings)) for image in before])
        added = after.double() - before.double()
        wrapped = (added.abs() > 128).any(1, keepdim=True)  # the package lets 256 become 0; such pixels stay
        added = _low_band(torch.where(wrapped, 0.0, added))
        if self.shape[0] == 1:
            added = added.mean(1, keepdim=True)
        if self.resampled:
            added = _resize(added, self.shape[1:])
        return (x_t + (added / 127.5).to(x_t)).clamp(-1, 1)

    def score(self, x_t: Tensor) -> Tensor:
        """The number of bits that agree, 0 to 32: (B,) float64. Without the mark it is not binomial: one flat colour gives all bits the
        same value, and neighbouring blocks agree."""
        decoder = _package().WatermarkDecoder("bits", BITS)
        read = [decoder.decode(_bgr(image), **self._settings) for image in self._bytes(x_t)]
        bits = torch.tensor([[bool(bit) for bit in found] for found in read])
        return (bits == self.message).sum(-1).double().to(x_t.device)

    def _bytes(self, pictures: Tensor) -> Tensor:
        """Pictures (B, C, H, W) in [-1, 1] as the package takes them: (B, 3, H', W') uint8 on the CPU."""
        pictures = pictures.detach().double().cpu()
        if self.resampled:
            factor = SMALLEST / min(self.shape[1:])
            pictures = _resize(pictures, [round(side * factor) for side in self.shape[1:]])
        levels = ((pictures + 1) * 127.5).round().clamp(0, 255).byte()
        return levels.expand(-1, 3, -1, -1)


def _low_band(added: Tensor) -> Tensor:
    """The means of 2 x 2 pixels, all that the mark is made of. The rest is an error of the package: it swaps the horizontal and the
    vertical details of the band it marks, which blurs a grey picture."""
    means = torch.nn.functional.avg_pool2d(added, 2, ceil_mode=True)
    height, width = added.shape[-2:]
    return means.repeat_interleave(2, -2).repeat_interleave(2, -1)[..., :height, :width]


def _resize(pictures: Tensor, size: Any) -> Tensor:
    """Bicubic, smoothed where it shrinks."""
    return torch.nn.functional.interpolate(pictures, size=tuple(size), mode="bicubic", antialias=True)


def _bgr(image: Tensor) -> Any:
    """(3, H, W) RGB -> the (H, W, 3) BGR array that opencv takes."""
    return image.flip(0).permute(1, 2, 0).contiguous().numpy()


def _rgb(array: Any) -> Tensor:
    return torch.as_tensor(array).permute(2, 0, 1).flip(0)
