"""The edit tab, second half: slide along the directions of a region.

Edit -> a strip of pictures along one direction, the others held where they are
EditAll -> a strip along each direction

Directions that were saved are in backend.experiments.edit_set.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backend.editing.directions import STEP
from backend.editing.hold import hold
from backend.editing.results import Found, Strip, Strips
from backend.experiments.edit_directions import (
    Explore,
    FindDirections,
    labelled,
    posterior_mean,
    remembered,
)
from backend.inference.cache import call, find
from backend.inference.load import Model
from backend.inference.pictures import Invert, Inverted
from backend.request import Progress, Request, option, require
from backend.sampling.travel import travel

STRONGEST = 30.0  # of a strength; 30 is a predicted change of 3, more than pixels can span
SPAN = 4.0  # of a strip: far enough to see, near enough to stay a face
DENOISE_STEPS = 12

Correction = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Edit(FindDirections):
    """A strip of pictures along one direction of a region, in one step at t and denoised.

    x_t + sum_i lambda_i v_i with lambda = strength x 0.1 sqrt(size) / gain: strength 1 is a predicted root-mean-square
    change of 0.1 inside the region. `at` holds the strengths of all directions; the one that slides takes its own. With
    `hold`, what the step changed outside the region is taken back (backend.editing.hold).
    """

    slide: int = option(0, "the direction that slides")
    at: tuple[float, ...] = option((), "the strengths of the directions")
    span: float = option(SPAN, "the largest strength of the strip")
    frames: int = option(13, "the number of frames")
    hold: bool = option(False, "whether the rest is held")

    def check(self) -> None:
        super().check()
        check_strip(self.span, self.frames, self.at)
        require(0 <= self.slide < self.k, "The direction that slides must be one of those asked for.")
        require(len(self.at) <= self.k, "There are more strengths than directions.")

    def needs(self) -> tuple[Request, ...]:
        return (*super().needs(), self.directions())

    def run(self, model: Model) -> Iterator[Any]:
        inverted = yield from call(Invert(self.model, self.image, self.t), model)
        found = yield from call(self.directions(), model)
        corrected = yield from _holding(self, model, inverted, found)
        yield from strip_along(model, inverted, self.t, steps_of(found), self, corrected)


@dataclass(frozen=True)
class EditAll(FindDirections):
    """A strip along every direction, the others held at `at`: predictions first, then the edits one by one."""

    at: tuple[float, ...] = option((), "the strengths of the directions")
    first: int = option(0, "the direction to draw first")
    span: float = option(SPAN, "the largest strength of the strips")
    frames: int = option(13, "the number of frames")
    hold: bool = option(False, "whether the rest is held")

    def check(self) -> None:
        super().check()
        require(self.k <= 8, "Ask for at most 8 strips at once.")
        require(0 <= self.first < self.k, "The direction to draw first must be one of those asked for.")
        self.strip(self.first).check()

    def needs(self) -> tuple[Request, ...]:
        return (*super().needs(), self.directions(), *(self.strip(i) for i in range(self.k)))

    def strip(self, slide: int) -> Edit:
        """The request for one strip; strengths that make no difference are left out, so equal strips have equal keys."""
        own = {"slide": slide, "at": held_at(self.at, slide), "span": self.span, "frames": self.frames}
        return Edit(**self.directions().values(), **own, hold=self.hold)

    def run(self, model: Model) -> Iterator[Any]:
        inverted = yield from call(Invert(self.model, self.image, self.t), model)
        found = yield from call(self.directions(), model)
        corrected = yield from _holding(self, model, inverted, found)
        yield from strips_along(model, inverted, self.t, found, steps_of(found), self, corrected)


def strengths_of(span: float, frames: int) -> Tensor:
    """Of a strip: `frames` from -span to span, 0 exactly in the middle."""
    half = frames // 2
    return torch.arange(-half, half + 1) * (span / half)


def steps_of(found: Found) -> Tensor:
    """How far strength 1 moves x_t along each direction, (k, *shape)."""
    return STEP * found.size**0.5 * found.v / found.gain.view(-1, 1, 1, 1)


def strip_along(
    model: Model,
    inverted: Inverted,
    t: float,
    steps: Tensor,
    request: Any,
    corrected: Correction = lambda x: x,
) -> Iterator[Any]:
    """The strip of a request with `slide`, `at`, `span` and `frames` along steps (k, *shape): the posterior means of its
    frames first, after one evaluation, then the denoised frames."""
    denoiser, strengths = labelled(model, inverted), strengths_of(request.span, request.frames)
    x_t = corrected(_along(inverted.x_t, steps, request, strengths).to(model.device))
    strengths = tuple(strengths.tolist())
    yield Strip(strengths, _seen(posterior_mean(denoiser, x_t, t)), True)
    edited = yield from travel(denoiser, x_t, t, 0.0, DENOISE_STEPS)
    yield Strip(strengths, _seen(edited), False)


def strips_along(
    model: Model,
    inverted: Inverted,
    t: float,
    found: Found,
    steps: Tensor,
    request: Any,
    corrected: Correction = lambda x: x,
) -> Iterator[Any]:
    """Strips along all steps (k, *shape) of a request with `strip(i)` and `first`: predictions, then the edits one by one."""
    k = len(steps)  # fewer than asked for where the rank is smaller
    strips = [find(request.strip(i)) for i in range(k)]
    if any(strip is None for strip in strips):
        denoiser, strengths = labelled(model, inverted), strengths_of(request.span, request.frames)
        for i in range(k):
            if strips[i] is None:
                x_t = corrected(_along(inverted.x_t, steps, request.strip(i), strengths).to(model.device))
                strips[i] = Strip(tuple(strengths.tolist()), _seen(posterior_mean(denoiser, x_t, t)), True)
                yield Progress(i + 1, k, "strips predicted")
        yield Strips(inverted.x_0, found, tuple(strips))
    for i in sorted(range(k), key=lambda i: (i != request.first, i)):
        if strips[i].predicted:
            strips[i] = yield from call(request.strip(i), model)
            yield Strips(inverted.x_0, found, tuple(strips))
    yield Strips(inverted.x_0, found, tuple(strips))


def _holding(request: Edit | EditAll, model: Model, inverted: Inverted, found: Found) -> Iterator[Any]:
    """Returns what is done to moved pictures before they are denoised: the rest is held if the request says so."""
    if not request.hold:
        return lambda x: x
    explored = yield from call(Explore(request.model, request.image, request.t), model)
    denoiser, memory = labelled(model, inverted), remembered(explored, model)
    value, mask = explored.value.to(model.device), found.mask.to(model.device)
    return lambda x: hold(denoiser, x, request.t, value, mask, memory)


def held_at(at: tuple[float, ...], slide: int) -> tuple[float, ...]:
    """The strengths that matter to the strip of one direction: equal strips get equal keys."""
    at = [0.0 if i == slide else a for i, a in enumerate(at)]
    while at and at[-1] == 0:
        at.pop()
    return tuple(at)


def _along(x_t: Tensor, steps: Tensor, request: Any, strengths: Tensor) -> Tensor:
    """x_t moved by every strength of `at` but the sliding direction's, which takes all of `strengths`: (n, *shape)."""
    held = held_at(request.at[: len(steps)], request.slide)
    base = sum((a * step for a, step in zip(held, steps, strict=False)), x_t)
    return base + strengths.view(-1, 1, 1, 1) * steps[request.slide]


def _seen(pictures: Tensor) -> Tensor:
    return pictures.clamp(-1, 1).cpu()


def check_strip(span: float, frames: int, at: tuple[float, ...]) -> None:
    """Raises BadInput unless a strip can have these settings."""
    require(0 < span <= STRONGEST, f"The largest strength must be above 0 and at most {STRONGEST:g}.")
    require(
        all(abs(a) <= STRONGEST for a in at), f"A strength must lie between -{STRONGEST:g} and {STRONGEST:g}."
    )
    together = sum(map(abs, at)) <= 2 * STRONGEST
    require(together, f"Together the strengths are beyond {2 * STRONGEST:g}, where no picture is left.")
    require(3 <= frames <= 41 and frames % 2 == 1, "Ask for an odd number of frames from 3 to 41.")
