"""The edit tab, first half: point at a region of a picture and find the LOCO directions of its Jacobian there.

    FindRegion -> the mask that a click, a box or a part stands for                (backend.editing.region)
    FindDirections -> k directions of the region at noise level t                  (backend.editing.directions)

`Sample` and `Invert`, which make the picture and take it to the noise level, are in backend.inference.pictures; what is
done with the directions is in backend.experiments.edit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser, given
from backend.editing import factors, region
from backend.editing.directions import Directions, describe, project_off
from backend.editing.results import THUMBNAIL, Found, Region
from backend.inference import catalogue
from backend.inference.cache import call
from backend.inference.load import Model
from backend.inference.pictures import Invert, Inverted
from backend.jacobian.linearize import Linearized, linearize, restrict
from backend.jacobian.svd import svd_steps
from backend.request import Progress, Request, option, require

LARGEST_K = 50


@dataclass(frozen=True)
class FindRegion(Request):
    """The pixels that a region's text stands for; a click picks those that vary with it (Tweedie)."""

    model: str = option("avatars", "the model")
    image: str = option("gallery:1", "the picture")
    region: str = option("click:32,44", "the region")

    def check(self) -> None:
        _check_region(self.model, self.region)

    def needs(self) -> tuple[Request, ...]:
        pointed = _pointed(self.model, self.region)
        return (Invert(self.model, self.image, pointed.grain),) if isinstance(pointed, region.Click) else ()

    def run(self, model: Model) -> Iterator[Any]:
        pointed = _pointed(self.model, self.region)
        if isinstance(pointed, region.Click):
            inverted = yield from call(Invert(self.model, self.image, pointed.grain), model)
            jacobian = _jacobian(model, inverted, pointed.grain)
            strength = region.covariance_map(jacobian, pointed.x, pointed.y)
            yield Progress(1, 1, "rows of the Jacobian")
            mask = region.covarying(strength, pointed.tolerance)
        else:
            mask = pointed
            if isinstance(pointed, region.Part):
                inverted = yield from call(Invert(self.model, self.image, model.card.t), model)
                reader = model.reader()
                require(
                    reader is not None, "This model's pictures have no named parts; click, or paint a region."
                )
                mask = factors.part_mask(reader, inverted.x_0, pointed.name)
            strength = mask.float()
        yield Region(mask, strength, region.encode_rle(mask))


@dataclass(frozen=True)
class FindDirections(Request):
    """Leading singular directions of one region, the complement's projected off.

    LOCO Edit (https://arxiv.org/abs/2409.02374, Algorithm 1): v = (I - V' V'^T) v_i, with v_i the leading right singular
    vectors of the region's Jacobian and V' those of the rest.
    """

    model: str = option("avatars", "the model")
    image: str = option("gallery:1", "the picture")
    t: float = option(0.5, "the noise level t")
    region: str = option("part:mouth", "the region")
    k: int = option(5, "the number of directions")
    rank: int = option(5, "the rank of what is projected off")
    seed: int = option(0, "the seed")

    def check(self) -> None:
        _check_region(self.model, self.region)
        require(0 < self.t <= 1, "The noise level t must be above 0 and at most 1.")
        require(1 <= self.k <= LARGEST_K, f"Ask for 1 to {LARGEST_K} directions.")
        require(0 <= self.rank <= LARGEST_K, f"The rank of what is projected off must be 0 to {LARGEST_K}.")
        require(0 <= self.seed < 2**31, "The seed must be between 0 and 2,147,483,647.")

    def needs(self) -> tuple[Request, ...]:
        return (Invert(self.model, self.image, self.t), FindRegion(self.model, self.image, self.region))

    def run(self, model: Model) -> Iterator[Any]:
        inverted = yield from call(Invert(self.model, self.image, self.t), model)
        found = yield from call(FindRegion(self.model, self.image, self.region), model)
        mask = region.check_editable(found.mask).to(model.device)
        size = int(mask.sum()) * model.denoiser.shape[0]
        require(
            self.k <= size, "The region has fewer values than the directions asked for; paint a larger one."
        )

        jacobian = _jacobian(model, inverted, self.t)
        inside = yield from svd_steps(restrict(jacobian, mask), self.k, seed=self.seed)
        v = inside.V
        if self.rank:
            outside = yield from svd_steps(restrict(jacobian, ~mask), self.rank, seed=self.seed)
            v = project_off(v, outside.V)
        directions = describe(jacobian, v, inside.S, mask)
        yield Progress(1, 1, "sets of directions measured")
        yield _found(model, inverted, self.t, directions, mask, size, inside.residual, jacobian.cost.products)


def _found(
    model: Model,
    inverted: Inverted,
    t: float,
    d: Directions,
    mask: Tensor,
    size: int,
    residual: Tensor,
    products: int,
) -> Found:
    step = d.distance(torch.full_like(d.s, THUMBNAIL), size).view(-1, 1, 1, 1) * d.v
    x_t = inverted.x_t.to(model.device)
    minus, plus = posterior_mean(labelled(model, inverted), torch.stack([x_t - step, x_t + step]), t)
    heat = d.response.square().sum(1).sqrt()
    alpha, _ = model.denoiser.schedule(torch.tensor(t, dtype=torch.float64))
    tensors = (
        d.v,
        d.s,
        d.gain,
        d.leak,
        heat / heat.amax((1, 2), keepdim=True),
        minus.clamp(-1, 1),
        plus.clamp(-1, 1),
    )
    v, s, gain, leak, heat, minus, plus = (x.detach().cpu() for x in tensors)
    reader = model.reader()
    names = factors.most_moved(reader, minus, plus) if reader else ("",) * len(plus)
    return Found(
        v, s, gain, leak, heat, minus, plus, names, mask.cpu(), size, float(alpha), residual.cpu(), products
    )


def labelled(model: Model, inverted: Inverted) -> Denoiser:
    """The model's denoiser for the label that the picture has, if it has one."""
    return given(model.denoiser, **model.condition(label=inverted.label or None))


def _jacobian(model: Model, inverted: Inverted, t: float) -> Linearized:
    denoiser = labelled(model, inverted)
    return linearize(lambda x: denoiser(x, t), inverted.x_t.to(model.device))


@torch.no_grad()
def posterior_mean(denoiser: Denoiser, x_t: Tensor, t: float) -> Tensor:
    """D(x_t, t) without a graph."""
    return denoiser(x_t, t)


def _pointed(model: str, text: str) -> region.Part | region.Click | Tensor:
    _, height, width = catalogue.card(model).shape
    return region.parse(text, height, width)


def _check_region(model: str, text: str) -> None:
    pointed = _pointed(model, text)
    if isinstance(pointed, Tensor):
        region.check_editable(pointed)
