"""A run of guidance on a network in short, to open a page with: its states as compressed sheets of pictures, a fiftieth of the numbers."""

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from backend.experiments.guide import GuideNetwork, NetworkGuidance, Run
from backend.inference.cache import call
from backend.inference.load import Model
from backend.request import Request, option, require

SMALL = 16  # pixels of a side up to which pictures are enlarged, and kept exactly
SIDE = 64  # to about this many


@dataclass(frozen=True)
class Film:
    """guidance: the run, with 0 samples and with 0 of them in the states. plain, guided: for each state, first to last, the sheet
    of its pictures as a file (bytes,) uint8; see `sheet_file`."""

    guidance: NetworkGuidance
    plain: tuple[Tensor, ...]
    guided: tuple[Tensor, ...]


@dataclass(frozen=True)
class FilmGuidance(Request):
    """A GuideNetwork, given as its link, in short."""

    model: Literal["avatars", "digits"] = option("avatars", "the model")
    setting: str = option("v=1&do=GuideNetwork", "the setting")

    def check(self) -> None:
        require(self.guided().model == self.model, "The setting must be one of the model.")

    def guided(self) -> GuideNetwork:
        """The setting. Raises BadInput where it is none."""
        return GuideNetwork.from_query(self.setting)

    def needs(self) -> tuple[Request, ...]:
        return (*self.guided().needs(), self.guided())

    def run(self, model: Model) -> Iterator[Any]:
        found = yield from call(self.guided(), model)
        short = replace(found, guided=_short(found.guided), plain=_short(found.plain))
        yield Film(short, *(_files(run.states) for run in (found.plain, found.guided)))


def sheet_file(pictures: Tensor) -> bytes:
    """Pictures (n, C, H, W) in [-1, 1], cut there, in a square with white lines between: small ones as PNG, each number a square
    of pixels; others as JPEG."""
    from PIL import Image

    columns, small = math.isqrt(len(pictures) - 1) + 1, pictures.shape[-1] <= SMALL
    page = _sheet(pictures.float().clamp(-1, 1), columns)
    values = ((page + 1) * 127.5).round().to(torch.uint8).expand(3, -1, -1)
    image, file = Image.fromarray(values.permute(1, 2, 0).contiguous().numpy()), io.BytesIO()
    if small:
        times = SIDE // pictures.shape[-1]
        image.resize([times * length for length in image.size], Image.Resampling.NEAREST).save(file, "PNG")
    else:
        image.save(file, "JPEG", quality=82, subsampling=0)
    return file.getvalue()


def _sheet(pictures: Tensor, columns: int) -> Tensor:
    """One picture (C, H', W'), white where there is none."""
    rows = -(-len(pictures) // columns)
    tiles = pad(pictures, (0, 1, 0, 1, 0, 0, 0, rows * columns - len(pictures)), value=1.0)
    _, channels, height, width = tiles.shape
    grid = tiles.view(rows, columns, channels, height, width).permute(2, 0, 3, 1, 4)
    return grid.reshape(channels, rows * height, columns * width)[:, :-1, :-1]


def _short(run: Run) -> Run:
    return replace(run, samples=run.samples[:0], states=run.states[:, :0])


def _files(states: Tensor) -> tuple[Tensor, ...]:
    return tuple(torch.frombuffer(bytearray(sheet_file(one)), dtype=torch.uint8) for one in states)
