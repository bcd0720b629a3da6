"""Tensors -> data URIs: how pictures travel to the browser. Small PNGs, so that nothing is lost and no file is left behind.
And how signed amounts are written beside them."""

import base64
import io

import torch
from PIL import Image
from torch import Tensor

MINUS = "\N{MINUS SIGN}"
VERMILION = (213, 94, 0)  # Okabe and Ito's: where a picture moves


def data_uri(picture: Tensor) -> str:
    """A picture (1 or 3, H, W) in [-1, 1] as a PNG data URI."""
    return _uri(png(picture))


def png(picture: Tensor) -> bytes:
    """A picture (1 or 3, H, W) in [-1, 1] as a PNG file."""
    return _png(image(picture))


def image(picture: Tensor) -> Image.Image:
    """A picture (1 or 3, H, W) in [-1, 1] as 8-bit RGB."""
    values = ((picture.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).expand(3, -1, -1)
    return Image.fromarray(values.permute(1, 2, 0).contiguous().numpy())


def sheet(pictures: Tensor, columns: int, gap: int = 1) -> Tensor:
    """Pictures (n, C, H, W) in rows of this many, white between them: one picture (C, H', W')."""
    n, channels, height, width = pictures.shape
    rows = -(-n // columns)
    page = pictures.new_ones(channels, rows * (height + gap) - gap, columns * (width + gap) - gap)
    for i, picture in enumerate(pictures):
        y, x = i // columns * (height + gap), i % columns * (width + gap)
        page[:, y : y + height, x : x + width] = picture
    return page


def heat_uri(strength: Tensor) -> str:
    """A map (H, W) in [0, 1] as a transparent PNG data URI: opaque where it is strongest."""
    alpha = (strength.clamp(0, 1) * 220).round().to(torch.uint8)
    colour = torch.tensor(VERMILION, dtype=torch.uint8).expand(*alpha.shape, 3)
    return _uri(_png(Image.fromarray(torch.cat([colour, alpha[..., None]], dim=2).numpy(), "RGBA")))


def signed(amount: float) -> str:
    """An amount with one decimal and its sign, "0" for none."""
    return f"{'+' if amount > 0 else MINUS}{abs(amount):.1f}" if round(amount, 1) else "0"


def gif(pictures: Tensor, scale: int = 4) -> bytes:
    """Pictures (n, C, H, W) in [-1, 1] there and back again as an endless GIF."""
    frames = [image(p).resize((p.shape[-1] * scale,) * 2, Image.Resampling.LANCZOS) for p in pictures]
    frames += frames[-2:0:-1]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=90, loop=0)
    return file.getvalue()


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()
