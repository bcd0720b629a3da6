"""The edit tab while a region still changes: directions and pictures at the speed of a brush."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from backend.editing.directions import describe
from backend.editing.results import THUMBNAIL, Strip, Strips
from backend.experiments.edit import SPAN
from backend.experiments.edit_directions import (
    Explore,
    FindDirections,
    found_of,
    region_of,
    region_size,
    remembered,
)
from backend.inference.cache import call
from backend.inference.load import Model
from backend.inference.pictures import Invert
from backend.jacobian.generalized import generalized

FRAMES = 5  # of a strip; the browser blends between them


@dataclass(frozen=True)
class PreviewDirections(FindDirections):
    """The best generalised directions in what was explored of the picture, and their strips to first order.

    After the exploration, which happens once for a picture and noise level, another region costs no network evaluation:
    the pictures are D(x_t) + lambda J v. `FindDirections` with method="generalized" refines what this shows.
    """

    def needs(self) -> tuple[Any, ...]:
        return (*super().needs(), Explore(self.model, self.image, self.t))

    def run(self, model: Model) -> Iterator[Any]:
        inverted = yield from call(Invert(self.model, self.image, self.t), model)
        mask = yield from region_of(model, self.image, self.region, self.k)
        explored = yield from call(Explore(self.model, self.image, self.t), model)
        v, images = generalized(remembered(explored, model), mask, self.k, self.ridge)
        d = describe(v, None, images, mask)
        unit = d.distance(torch.ones_like(d.s), region_size(model, mask)).view(-1, 1, 1, 1) * images
        value = explored.value.to(unit)
        strengths = torch.linspace(-SPAN, SPAN, FRAMES)
        previews = torch.stack([value - THUMBNAIL * unit, value + THUMBNAIL * unit])
        found = found_of(model, self.t, d, previews, mask, torch.zeros_like(d.s), 0)
        frames = (value + strengths.to(unit).view(-1, 1, 1, 1) * one for one in unit)
        strips = (Strip(tuple(strengths.tolist()), frame.clamp(-1, 1).cpu(), True) for frame in frames)
        yield Strips(inverted.x_0, found, tuple(strips))
