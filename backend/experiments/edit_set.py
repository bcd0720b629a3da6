"""The edit tab: named directions that were kept, from any regions and pictures, together on one picture.

EditWithFile -> a strip along one direction of a file
EditSet -> a strip along each
collect -> the file
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from backend.editing import direction_file
from backend.editing.direction_file import Saved
from backend.editing.directions import describe
from backend.editing.results import THUMBNAIL, Found
from backend.experiments.edit import (
    SPAN,
    check_strip,
    held_at,
    steps_of,
    strip_along,
    strips_along,
)
from backend.experiments.edit_directions import (
    LARGEST_K,
    FindDirections,
    found_of,
    jacobian_of,
    labelled,
    posterior_mean,
    region_of,
)
from backend.inference import catalogue, intake
from backend.inference.cache import call
from backend.inference.load import Model
from backend.inference.pictures import Invert, Inverted
from backend.request import BadInput, Request, option, require

MOST = 8  # directions that a page can slide along at once


@dataclass(frozen=True)
class EditWithFile(Request):
    """A strip along a direction that was saved to a file, on any picture of the same model, the others held at `at`."""

    model: str = option("avatars", "the model")
    image: str = option("gallery:1", "the picture")
    file: str = option("", "the direction file")
    slide: int = option(0, "the direction that slides")
    at: tuple[float, ...] = option((), "the strengths of the directions")
    span: float = option(SPAN, "the largest strength of the strip")
    frames: int = option(13, "the number of frames")

    def check(self) -> None:
        check_strip(self.span, self.frames, self.at)
        require(self.file.startswith("upload:"), "Please give a direction file.")
        require(0 <= self.slide < LARGEST_K, "The direction that slides must be one of those in the file.")
        require(len(self.at) <= LARGEST_K, f"There are too many strengths; the limit is {LARGEST_K}.")

    def to_python(self) -> str:
        return _python(super().to_python())

    def run(self, model: Model) -> Iterator[Any]:
        saved = _opened(self.file, model)
        require(self.slide < len(saved.v), "The file holds fewer directions than that.")
        require(len(self.at) <= len(saved.v), "There are more strengths than directions in the file.")
        inverted = yield from call(Invert(self.model, self.image, saved.t), model)
        yield from strip_along(model, inverted, saved.t, _steps(saved), self)


@dataclass(frozen=True)
class EditSet(Request):
    """A strip along every direction of a file, the others held at `at`: predictions first, then the edits one by one."""

    model: str = option("avatars", "the model")
    image: str = option("gallery:1", "the picture")
    file: str = option("", "the direction file")
    at: tuple[float, ...] = option((), "the strengths of the directions")
    first: int = option(0, "the direction to draw first")
    span: float = option(SPAN, "the largest strength of the strips")
    frames: int = option(13, "the number of frames")

    def check(self) -> None:
        require(len(self.at) <= MOST, f"A page slides along at most {MOST} directions at once.")
        check_strip(self.span, self.frames, self.at)
        self.strip(self.first).check()

    def to_python(self) -> str:
        return _python(super().to_python())

    def strip(self, slide: int) -> EditWithFile:
        """The request for one strip."""
        at = held_at(self.at, slide)
        return EditWithFile(self.model, self.image, self.file, slide, at, self.span, self.frames)

    def run(self, model: Model) -> Iterator[Any]:
        saved = _opened(self.file, model)
        k = len(saved.v)
        require(k <= MOST, f"This set has {k} directions; a page slides along at most {MOST} at once.")
        inverted = yield from call(Invert(self.model, self.image, saved.t), model)
        found = yield from _found(saved, model, inverted, self.image)
        yield from strips_along(model, inverted, saved.t, found, _steps(saved), self)


def saved_of(request: FindDirections, found: Found) -> Saved:
    """What was found, as a direction file holds it."""
    card, k = catalogue.card(request.model), len(found.v)
    step = steps_of(found).flatten(1).norm(dim=1)
    alike = (request.region, request.method, request.seed, request.rank)
    region, method, seed, rank = ((value,) * k for value in alike)
    names = tuple(name or f"direction {i + 1}" for i, name in enumerate(found.names))
    weights = catalogue.weights_sha256(card)
    return Saved(found.v, found.s, step, card.name, weights, request.t, names, region, method, seed, rank)


def collect(parts: Sequence[Saved], names: Sequence[str], title: str) -> bytes:
    """The file of a set of single directions under new names. Raises BadInput with a sentence where it cannot be one."""
    require(len(parts) <= MOST, f"A set holds at most {MOST} directions; drop one first.")
    require(len(names) == len(parts), "Give each direction of the set one line for its name.")
    short = all(0 < len(name.strip()) <= 60 for name in names) and len(title) <= 60
    require(short, "A name needs 1 to 60 characters, and a title at most 60.")
    return direction_file.dump(direction_file.join(parts, [name.strip() for name in names], title.strip()))


def _opened(file: str, model: Model) -> Saved:
    saved = direction_file.load(intake.held(file))
    weights = catalogue.weights_sha256(model.card)
    direction_file.check_belongs(saved, model.card.name, weights, model.denoiser.shape)
    return saved


def _steps(saved: Saved) -> Tensor:
    return saved.step.view(-1, 1, 1, 1) * saved.v


def _found(saved: Saved, model: Model, inverted: Inverted, image: str) -> Iterator[Any]:
    """The saved directions as they act on this picture: one product each; leak against their own regions here."""
    jacobian = jacobian_of(model, inverted, saved.t)
    v, steps = saved.v.to(model.device), _steps(saved).to(model.device)
    response, masks = jacobian.jvp(v), []
    for region in saved.region:
        try:
            masks.append((yield from region_of(model, image, region)))
        except BadInput:  # a part that this picture does not show, or a region of a picture of another size
            masks.append(torch.ones(model.denoiser.shape[1:], dtype=torch.bool, device=model.device))
    d = describe(v, saved.s.to(v), response, torch.stack(masks)[:, None])
    x_t = inverted.x_t.to(model.device)
    shown = torch.stack([x_t - THUMBNAIL * steps, x_t + THUMBNAIL * steps])
    previews = posterior_mean(labelled(model, inverted), shown, saved.t)
    found = found_of(model, saved.t, d, previews, torch.stack(masks).any(0), torch.zeros_like(d.s), len(v))
    return replace(found, names=saved.names)


def _python(line: str) -> str:
    """What is uploaded here is a direction file, not a picture."""
    line = line.replace("intake import store", "intake import keep")
    return line.replace('store(Path("picture.png")', 'keep(Path("directions.safetensors")')
