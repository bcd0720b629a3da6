"""The edit tab: how far a direction can be followed before the posterior mean stops being linear along it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from backend.editing.results import Linear
from backend.experiments.edit import STRONGEST
from backend.experiments.edit_directions import FindDirections, jacobian_of, labelled
from backend.inference.cache import call
from backend.inference.load import Model
from backend.inference.pictures import Invert
from backend.jacobian.linearity import linearity
from backend.request import Progress, Request, option, require


@dataclass(frozen=True)
class MeasureLinearity(FindDirections):
    """|D(x + l v) - D(x) - l J v| / |l J v| at strengths of one direction, beside the norm ratio and the cosine of
    LOCO Edit's Fig. 3 (https://arxiv.org/abs/2409.02374), which contain D(x) and are near 1 almost for free; and the same
    along a random direction, as far in x_t."""

    slide: int = option(0, "the direction")
    strengths: tuple[float, ...] = option((0.5, 1.0, 2.0, 4.0, 8.0), "the strengths")

    def check(self) -> None:
        super().check()
        require(0 <= self.slide < self.k, "The direction must be one of those asked for.")
        require(1 <= len(self.strengths) <= 50, "Give 1 to 50 strengths.")
        fit = all(0 < abs(s) <= STRONGEST for s in self.strengths)
        require(fit, f"A strength must be at most {STRONGEST:g}, and not 0.")

    def needs(self) -> tuple[Request, ...]:
        return (*super().needs(), self.directions())

    def run(self, model: Model) -> Iterator[Any]:
        inverted = yield from call(Invert(self.model, self.image, self.t), model)
        found = yield from call(self.directions(), model)
        require(self.slide < len(found.v), "The region has fewer directions than that.")
        v = found.v[self.slide].to(model.device)
        random = torch.randn(v.shape, generator=torch.Generator().manual_seed(self.seed)).to(v)
        both = torch.stack([v, random / random.norm()])
        jacobian = jacobian_of(model, inverted, self.t)
        responses = jacobian.jvp(both)
        yield Progress(1, 3, "directions followed")
        denoiser, x_t = labelled(model, inverted), inverted.x_t.to(model.device)
        lengths = found.length(self.slide) * torch.tensor(self.strengths)
        measured = []
        for one, response in zip(both, responses, strict=True):
            measured.append(linearity(lambda x: denoiser(x, self.t), x_t, one, response, lengths))
            yield Progress(1 + len(measured), 3, "directions followed")
        own, other = measured
        yield Linear(
            self.strengths,
            *(tuple(part.tolist()) for part in (own.residual, own.norm_ratio, own.cosine, other.residual)),
        )
