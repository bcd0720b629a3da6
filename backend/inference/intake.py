"""Bytes from a browser -> a picture, safely.

A stranger's file is opened by Pillow alone, and its size is checked before any of its pixels are decoded.
What is kept is a re-encoded picture without the file's metadata, under the hash of its contents:
`upload:<sha256>`. Two people cannot overwrite each other, and nobody can guess another's reference.
"""

import hashlib
import io
import re
import threading
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from backend.inference.cache import Cache
from backend.request import BadInput, require

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST_FILE = 10 * 2**20  # bytes
LARGEST_PICTURE = 50_000_000  # pixels; a telephone's largest photograph
SMALLEST_SIDE = 8  # pixels, as many as the embedded digits have
KEPT_SIDE = 1024  # pixels of the shorter side
LONGEST = 3  # times the shorter side: what is kept of a longer strip is its middle
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")

UNREADABLE = "This file cannot be read as a picture; please use a PNG, JPEG or WebP file."
TOO_LARGE = f"This picture has too many pixels; the limit is {LARGEST_PICTURE // 10**6} megapixels."
NO_LONGER_HELD = "This upload is no longer held; please upload it again."

_held = Cache(256 * 2**20, len)
_decoding = threading.Lock()  # the largest picture takes some 400 MB while it is decoded: one at a time


def image_from_bytes(data: bytes, size: int) -> Tensor:
    """The centre square of a picture as (3, size, size) float32 in [-1, 1].

    It is shrunk by exact area averages, or enlarged bicubically; turned upright as its EXIF says; put on
    white where it is transparent; CMYK, grey, palette and 16-bit files become 8-bit RGB.

    Raises:
        BadInput: with one sentence on what is wrong with the file.
    """
    square = _resized(_opened(data), size)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).float() / 127.5 - 1


def store(data: bytes) -> str:
    """Keep an upload for a while, whole; returns its reference "upload:<sha256>". Raises BadInput as above."""
    from PIL.Image import Resampling

    buffer = io.BytesIO()
    with _decoding:
        picture = _opened(data)
        short = min(picture.size)
        left, top = (max(0, length - LONGEST * short) // 2 for length in picture.size)
        picture = picture.crop((left, top, picture.width - left, picture.height - top))
        shrunk = min(1.0, KEPT_SIDE / short)
        size = tuple(max(1, round(length * shrunk)) for length in picture.size)
        picture.resize(size, Resampling.BOX).save(buffer, "PNG")
    return keep(buffer.getvalue())


def keep(png: bytes) -> str:
    """Hold a picture that `store` made, in a worker process that is handed it; returns its reference."""
    reference = "upload:" + hashlib.sha256(png).hexdigest()
    _held.put(reference, png)
    return reference


def held(reference: str) -> bytes:
    """The PNG behind a reference. Raises BadInput if it is not one, or has been dropped for newer ones."""
    require(
        re.fullmatch("upload:[0-9a-f]{64}", reference) is not None, "This is not a reference to an upload."
    )
    png = _held.get(reference)
    require(png is not None, NO_LONGER_HELD)
    return png


def open_upload(reference: str, shape: tuple[int, int, int]) -> Tensor:
    """The picture behind a reference, (C, size, size): in colour, or its luma (ITU-R 601) where C is 1."""
    channels, size, _ = shape
    picture = image_from_bytes(held(reference), size)
    luma = torch.tensor([0.299, 0.587, 0.114])
    return (luma[:, None, None] * picture).sum(0, keepdim=True) if channels == 1 else picture


def open_whole(reference: str) -> Tensor:
    """All that is kept of an upload, (3, H, W) in [-1, 1]. Raises BadInput if the reference is of another kind."""
    require(reference.startswith("upload:"), "This picture is whole already; only an upload has a margin.")
    picture = _opened(held(reference))
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 127.5 - 1


def _opened(data: bytes) -> "Image":
    """An upright 8-bit RGB picture from a stranger's bytes."""
    from PIL import Image, ImageOps

    require(len(data) > 0, "This file is empty.")
    require(
        len(data) <= LARGEST_FILE, f"This file is too large; the limit is {LARGEST_FILE // 2**20} megabytes."
    )
    try:
        picture = Image.open(io.BytesIO(data), formats=FORMATS)  # reads the header only
        width, height = picture.size
        require(width * height <= LARGEST_PICTURE, TOO_LARGE)
        small = f"This picture is {width} x {height} pixels; it needs at least {SMALLEST_SIDE} on each side."
        require(min(width, height) >= SMALLEST_SIDE, small)
        animated = picture.format != "MPO" and getattr(
            picture, "is_animated", False
        )  # MPO: a photograph and its preview
        require(not animated, "This file is an animation; please use a single picture.")
        return _rgb(ImageOps.exif_transpose(picture))
    except BadInput:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise BadInput(TOO_LARGE) from None
    except Exception:  # a damaged file can make a decoder raise nearly anything
        raise BadInput(UNREADABLE) from None


def _rgb(picture: "Image") -> "Image":
    from PIL import Image

    if picture.mode.startswith("I"):  # 16-bit grey, which Pillow would clip rather than scale
        return Image.fromarray((np.asarray(picture).clip(0, 65_535) / 257).round().astype(np.uint8)).convert(
            "RGB"
        )
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGB", picture.size, "white")
        white.paste(picture, mask=picture)
        return white
    return picture.convert("RGB")


def _resized(picture: "Image", size: int) -> "Image":
    """The centre square at size x size."""
    from PIL.Image import Resampling

    side = min(picture.size)
    left, top = ((length - side) // 2 for length in picture.size)
    how = Resampling.BOX if side >= size else Resampling.BICUBIC
    return picture.resize((size, size), how, box=(left, top, left + side, top + side))
