"""Sheets of guided samples for the browser."""

import base64

from torch import Tensor

from backend.experiments.guide_film import sheet_file


def sheet_uri(pictures: Tensor) -> str:
    """Pictures (n, C, H, W) in [-1, 1] in a square as one data URI."""
    return file_uri(sheet_file(pictures))


def file_uri(file: bytes) -> str:
    """A PNG or JPEG file as a data URI."""
    kind = "png" if file.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file).decode()}"
