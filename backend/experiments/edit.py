"""The edit tab, second half: slide along the directions of a region.

Edit, EditWithFile -> a strip of pictures along one direction, the others held where they are
EditAll -> a strip along each direction
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backend.editing import direction_file
from backend.editing.directions import STEP
from backend.editing.results import Found, Strip, Strips
from backend.experiments.edit_directions import LARGEST_K, FindDirections, labelled, posterior_mean
from backend.inference import catalogue, intake
from backend.inference.cache import call, find
from backend.inference.load import Model
from backend.inference.pictures import Invert, Inverted, travel
from backend.request import Progress, Request, option, require

STRONGEST = 30.0  # of a strength; 30 is a predicted change of 3, more than pixels can span
SPAN = 4.0  # of a strip: far enough to see, near enough to stay a face
DENOISE_STEPS = 12


@dataclass(frozen=True)
class Edit(FindDirections):
    """A strip of pictures along one direction of a region, in one step at t and denoised.

    x_t + sum_i lambda_i v_i with lambda = strength x 0.1 sqrt(size) / gain: strength 1 is a predicted root-mean-square
    change of 0.1 inside the region. `at` holds the strengths of all directions; the one that slides takes its own.
    """

    slide: int = option(0, "the direction that slides")
    at: tuple[float, ...] = option((), "the strengths of the directions")
    span: float = option(SPAN, "the largest strength of the strip")
    frames: int = option(13, "the number of frames")

    def check(self) -> None:
        super().check()
        _check_strip(self.span, self.frames, self.at)
        require(0 <= self.slide < self.k, "The direction that slides must be one of those asked for.")
        require(len(self.at) <= self.k, "There are more strengths than directions.")

    def needs(self) -> tuple[Request, ...]:
        return (*super().needs(), self.directions())

    def run(self, model: Model) -> Iterator[Any]:
        inverted = yield from call(Invert(self.model, self.image, self.t), model)
        found = yield from call(self.directions(), model)
        strengths = _strengths(self.span, self.frames)
        yield from _strip(
            model, inverted, self.t, _along(inverted, found, self.at, self.slide, strengths), strengths
        )


@dataclass(frozen=True)
class EditAll(FindDirections):
    """A strip along every direction, the others held at `at`: predictions first, then the edits one by one."""

    at: tuple[float, ...] = option((), "the strengths of the directions")
    first: int = option(0, "the direction to draw first")
    span: float = option(SPAN, "the largest strength of the strips")
    frames: int = option(13, "the number of frames")

    def check(self) -> None:
        super().check()
        require(self.k <= 8, "Ask for at most 8 strips at once.")
        require(0 <= self.first < self.k, "The direction to draw first must be one of those asked for.")
        self.strip(self.first).check()

    def needs(self) -> tuple[Request, ...]:
        return (*super().needs(), self.directions(), *(self.strip(i) for i in range(self.k)))

    def strip(self, slide: int) -> Edit:
        """The request for one strip; strengths that make no difference are left out, so equal strips have equal keys."""
        at = [0.0 if i == slide else a for i, a in enumerate(self.at)]
        while at and at[-1] == 0:
            at.pop()
        return Edit(
            **self.directions().values(), slide=slide, at=tuple(at), span=self.span, frames=self.frames
        )

    def run(self, model: Model) -> Iterator[Any]:
        inverted = yield from call(Invert(self.model, self.image, self.t), model)
        found = yield from call(self.directions(), model)
        k = len(found.v)  # fewer than asked for where the rank is smaller
        strips = [find(self.strip(i)) for i in range(k)]
        if any(strip is None for strip in strips):
            denoiser, strengths = labelled(model, inverted), _strengths(self.span, self.frames)
            for i in range(k):
                if strips[i] is None:
                    x_t = _along(inverted, found, self.strip(i).at, i, strengths).to(model.device)
                    strips[i] = Strip(
                        tuple(strengths.tolist()), _seen(posterior_mean(denoiser, x_t, self.t)), True
                    )
                    yield Progress(i + 1, k, "strips predicted")
            yield Strips(inverted.x_0, found, tuple(strips))
        for i in sorted(range(k), key=lambda i: (i != self.first, i)):
            if strips[i].predicted:
                strips[i] = yield from call(self.strip(i), model)
                yield Strips(inverted.x_0, found, tuple(strips))
        yield Strips(inverted.x_0, found, tuple(strips))


@dataclass(frozen=True)
class EditWithFile(Request):
    """A strip along a direction that was saved to a file, on any picture of the same model."""

    model: str = option("avatars", "the model")
    image: str = option("gallery:1", "the picture")
    file: str = option("", "the direction file")
    slide: int = option(0, "the direction that slides")
    span: float = option(SPAN, "the largest strength of the strip")
    frames: int = option(13, "the number of frames")

    def check(self) -> None:
        _check_strip(self.span, self.frames, ())
        require(self.file.startswith("upload:"), "Please give a direction file.")
        require(0 <= self.slide < LARGEST_K, "The direction that slides must be one of those in the file.")

    def to_python(self) -> str:
        """As for every request; what is uploaded here is a direction file, not a picture."""
        line = super().to_python().replace("intake import store", "intake import keep")
        return line.replace('store(Path("picture.png")', 'keep(Path("directions.safetensors")')

    def run(self, model: Model) -> Iterator[Any]:
        saved = direction_file.load(intake.held(self.file))
        direction_file.check_belongs(
            saved, model.card.name, catalogue.weights_sha256(model.card), model.denoiser.shape
        )
        require(self.slide < len(saved.v), "The file holds fewer directions than that.")
        inverted = yield from call(Invert(self.model, self.image, saved.t), model)
        strengths = _strengths(self.span, self.frames)
        step = saved.step[self.slide] * saved.v[self.slide]
        yield from _strip(
            model, inverted, saved.t, inverted.x_t + strengths.view(-1, 1, 1, 1) * step, strengths
        )


def _strengths(span: float, frames: int) -> Tensor:
    half = frames // 2
    return torch.arange(-half, half + 1) * (span / half)  # 0 exactly in the middle


def _along(inverted: Inverted, found: Found, at: tuple[float, ...], slide: int, strengths: Tensor) -> Tensor:
    """x_t moved by every strength of `at` but the sliding direction's, which takes all of `strengths`: (n, *shape)."""
    step = STEP * found.size**0.5 * found.v / found.gain.view(-1, 1, 1, 1)
    held = [0.0 if i == slide else a for i, a in enumerate(at[: len(step)])]
    base = sum((a * step[i] for i, a in enumerate(held)), inverted.x_t)
    return base + strengths.view(-1, 1, 1, 1) * step[slide]


def _strip(model: Model, inverted: Inverted, t: float, x_t: Tensor, strengths: Tensor) -> Iterator[Any]:
    """The posterior means of the frames x_t (n, *shape) first, after one evaluation, then the denoised frames."""
    denoiser, strengths = labelled(model, inverted), tuple(strengths.tolist())
    x_t = x_t.to(model.device)
    yield Strip(strengths, _seen(posterior_mean(denoiser, x_t, t)), True)
    edited = yield from travel(denoiser, x_t, t, 0.0, DENOISE_STEPS)
    yield Strip(strengths, _seen(edited), False)


def _seen(pictures: Tensor) -> Tensor:
    return pictures.clamp(-1, 1).cpu()


def _check_strip(span: float, frames: int, at: tuple[float, ...]) -> None:
    require(0 < span <= STRONGEST, f"The largest strength must be above 0 and at most {STRONGEST:g}.")
    require(
        all(abs(a) <= STRONGEST for a in at), f"A strength must lie between -{STRONGEST:g} and {STRONGEST:g}."
    )
    require(3 <= frames <= 41 and frames % 2 == 1, "Ask for an odd number of frames from 3 to 41.")
