"""Every method behind the same verbs, so that a comparison treats all alike.

    embed    pictures --> marked pictures and their twins    the user's scenario
    sample   noise    --> marked pictures and their twins    the server's
    scores   pictures --> the evidence of every detector

Detectors that look at the same thing, such as all that read the noise behind a picture, share the way there. What a score is worth is said by its
distribution over unmarked pictures that went through the same attacks, for every method.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser, given
from backend.request import Progress
from backend.watermark import base, detection, dwt, shallow_diffuse
from backend.watermark.base import Watermark
from backend.watermark.calibration import Nulls
from backend.watermark.gaussian_shading import GaussianShading
from backend.watermark.published import Published
from backend.watermark.restoration import LIKELY, MOVED
from backend.watermark.ringid import RingID
from backend.watermark.scheme import Scheme
from backend.watermark.shallow_diffuse import COLOURS, ShallowDiffuse, averaged
from backend.watermark.tree_ring import TreeRing

STEPS = 20  # of the flow between a picture and the noise behind it
SHALLOW_STEPS = 6  # between a picture and t = 0.3, the same share of the time
LARGEST_ENLARGEMENT = 4  # for a method that marks larger pictures than these
NONE, OURS = "no mark", "Shallow Diffuse"


class Detector(Protocol):
    """What looks for one key in pictures."""

    @property
    def way(self) -> Hashable:
        """Equal for two detectors that look at the same."""

    def look(self, denoiser: Denoiser, pictures: Tensor) -> Iterator[Progress]:
        """Returns what is looked at of pictures (B, *shape)."""

    def judge(self, seen: Tensor) -> Tensor:
        """(B,) float64, larger for more evidence."""

    def searching(self) -> "Detector":
        """The same, with a search for pictures that were moved, if it has one."""


@dataclass(frozen=True)
class Inversion:
    """Follows the flow from the picture to the mark's time by DDIM, without a label, as the methods' papers do."""

    watermark: Watermark
    steps: int

    @property
    def way(self) -> Hashable:
        return "flow", self.watermark.t, self.steps * (self.watermark.t > 0)

    def look(self, denoiser: Denoiser, pictures: Tensor) -> Iterator[Progress]:
        return (yield from base.flow(denoiser, pictures, 0.0, self.watermark.t, self.steps))

    def judge(self, seen: Tensor) -> Tensor:
        return self.watermark.score(seen)

    def searching(self) -> Self:
        return self


@dataclass(frozen=True, eq=False)
class Prediction:
    """The largest z under likely guesses of what was done to the picture, in what the model does not predict of it (backend.watermark.detection).

    nulls: the calibration whose levels unmarked pictures have; None for each picture's own."""

    scheme: Scheme
    pattern: Tensor
    nulls: Nulls | None = None
    search: bool = False

    @property
    def way(self) -> Hashable:
        return "rest", self.scheme, self.search, self.nulls is None

    def look(self, denoiser: Denoiser, pictures: Tensor) -> Iterator[Progress]:
        guesses = (*LIKELY, *MOVED) if self.search else LIKELY
        planes = yield from detection.look(denoiser, pictures, self.scheme, guesses)
        levels = None if self.nulls is None else self.nulls.levels_of(guesses)
        return shallow_diffuse.whitened(planes, self.scheme, levels)

    def judge(self, seen: Tensor) -> Tensor:
        return detection.evidence(seen, self.pattern, shifts=self.search).amax(1)

    def searching(self) -> Self:
        return replace(self, search=True)


@dataclass(frozen=True)
class Nothing(Watermark):
    """No mark, for the row that says what none costs and how often one is seen all the same."""

    t = 0.0

    def inject(self, x_t: Tensor) -> Tensor:
        return x_t

    def score(self, x_t: Tensor) -> Tensor:
        return torch.zeros(len(x_t), dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Method:
    """One method with one key.

    steps: of the flow from a picture to the mark and back. channels: those that carry the mark, where the others are taken from the twin.
    """

    name: str
    watermark: Watermark
    steps: int
    detector: Detector
    channels: str = "all"

    def embed(self, denoiser: Denoiser, pictures: Tensor) -> Iterator[Progress]:
        """Returns (marked, twins) of pictures (B, *shape), both in [-1, 1]: marked and unmarked after the same way."""
        ((marked, twins),) = yield from embed([self], denoiser, pictures)
        return marked, twins

    def sample(
        self, denoiser: Denoiser, x_1: Tensor, steps: int = STEPS, **condition: Tensor
    ) -> Iterator[Progress]:
        """Returns (marked, twins) as above, made of the noisiest states x_1 (B, *shape); see the function."""
        ((marked, twins),) = yield from sample([self], denoiser, x_1, steps, **condition)
        return marked, twins

    @property
    def place(self) -> tuple[float, int]:
        """Equal for two methods that mark the same states."""
        return self.watermark.t, self.steps


def embed(some: Sequence[Method], denoiser: Denoiser, pictures: Tensor) -> Iterator[Progress]:
    """Returns [(marked, twins), ...] of pictures (B, *shape), for each method, in the user's scenario. Each way is gone once."""
    states = {}
    for t, steps in dict.fromkeys(one.place for one in some):
        states[t, steps] = yield from base.flow(denoiser, pictures, 0.0, t, steps)
    return (yield from _marked(some, denoiser, states, {}))


def sample(
    some: Sequence[Method], denoiser: Denoiser, x_1: Tensor, steps: int = STEPS, **condition: Tensor
) -> Iterator[Progress]:
    """Returns the same in the server's scenario, made of the noisiest states x_1 (B, *shape): `steps` steps to the mark, and a method's own behind it.

    condition: what to make, a value (B,) for each picture. Detection is not told it.
    """
    states = {}
    for t, own in dict.fromkeys(one.place for one in some):
        states[t, own] = yield from base.flow(given(denoiser, **condition), x_1, 1.0, t, steps)
    return (yield from _marked(some, denoiser, states, condition))


def _marked(
    some: Sequence[Method],
    denoiser: Denoiser,
    states: dict[tuple[float, int], Tensor],
    condition: dict[str, Tensor],
) -> Iterator[Progress]:
    """Returns [(marked, twins), ...] of the states at each place, unmarked and marked in one batch."""
    found = {}
    for (t, steps), x_t in states.items():
        here = [one for one in some if one.place == (t, steps)]
        every = torch.cat([x_t, *(one.watermark.inject(x_t) for one in here)])
        known = {name: torch.cat([value] * (len(here) + 1)) for name, value in condition.items()}
        every = yield from base.flow(given(denoiser, **known), every, t, 0.0, steps)
        twins, *marked = every.clamp(-1, 1).split(len(x_t))
        for one, pictures in zip(here, marked, strict=True):
            found[one.name] = averaged(pictures, twins, one.channels), twins
    return [found[one.name] for one in some]


def methods(
    shape: tuple[int, int, int], secret: bytes, scheme: Scheme, strength: float, nulls: Nulls | None = None
) -> tuple[Method, ...]:
    """Those that run here, the row without a mark first and the recommended one last.

    Args:
        shape: (C, n, n) of a model's pictures.
        secret: 32 bytes, the same for all.
        scheme, strength, nulls: of the recommended one.
    """
    own = recommended(shape, secret, scheme, strength, nulls)
    found = [Method(NONE, Nothing(), STEPS, own.detector)]
    if dwt.available() and LARGEST_ENLARGEMENT * shape[-1] >= dwt.SMALLEST:
        for title, kind in (("DwtDct", "dwtDct"), ("DwtDctSvd", "dwtDctSvd")):
            found.append(_inverted(title, dwt.Dwt(secret, shape, kind), STEPS))
    found += [
        _inverted("Tree-Ring", TreeRing(secret, shape), STEPS),
        _inverted("RingID", RingID(secret, shape), STEPS),
        _inverted("Gaussian Shading", GaussianShading(secret, shape), STEPS),
        _inverted(
            f"{OURS}, as published",
            Published(secret, shape),
            SHALLOW_STEPS,
            COLOURS[-1] if shape[0] > 1 else "all",
        ),
    ]
    return (*found, own)


def recommended(
    shape: tuple[int, int, int], secret: bytes, scheme: Scheme, strength: float, nulls: Nulls | None = None
) -> Method:
    """The recommended method, at a strength."""
    pattern = shallow_diffuse.pattern(secret, scheme, shape[-1], shape[0])
    mark = ShallowDiffuse(scheme, pattern, strength)
    return Method(OURS, mark, scheme.steps, Prediction(scheme, pattern, nulls), scheme.channels)


def scores(detectors: Sequence[Detector], denoiser: Denoiser, pictures: Tensor) -> Iterator[Progress]:
    """Returns the scores (B,) float64 of pictures (B, *shape), one tensor a detector, in their order. Each way is gone once."""
    seen: dict[Hashable, Tensor] = {}
    for detector in detectors:
        if detector.way not in seen:
            seen[detector.way] = yield from detector.look(denoiser, pictures)
    return [detector.judge(seen[detector.way]).cpu().double() for detector in detectors]


def _inverted(name: str, watermark: Watermark, steps: int, channels: str = "all") -> Method:
    return Method(name, watermark, steps, Inversion(watermark, steps), channels)
