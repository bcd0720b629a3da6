"""What the three steps of the watermark tab share: rows of pictures, and the gateway that knows the picture the tab opens with."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor

from backend.request import Request
from components import watermark_first
from components.action import ask
from components.pictures import data_uri


def row(*cells: tuple[str, str]) -> str:
    """Pictures (words, data URI) side by side. The words are ours and may hold markup."""
    figures = "".join(
        f"<figure><img src='{uri}' alt=''><figcaption>{words}</figcaption></figure>" for words, uri in cells
    )
    return f"<div class='wm-row'>{figures}</div>"


def unattacked(picture: Tensor) -> str:
    """What step 2 shows before there was an attack."""
    return row(("not attacked yet", data_uri(picture)))


def asked_of(request: Request) -> Iterator[Any]:
    """The events of a request. What the tab opens with may have been dropped for newer uploads: it is held anew."""
    watermark_first.reference()
    return ask(request)
