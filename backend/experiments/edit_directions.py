"""The edit tab, first half: point at a region of a picture and find the LOCO directions of its Jacobian there.

    FindRegion -> the mask that a click, a box or a part stands for                (backend.editing.region)
    FindDirections -> k directions of the region at noise level t                  (backend.editing.directions)

`Sample` and `Invert`, which make the picture and take it to the noise level, are in backend.inference.pictures; what is
done with the directions is in backend.experiments.edit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser, given
from backend.editing import factors, region
from backend.editing.directions import RIDGE, Directions, describe, project_off
from backend.editing.results import THUMBNAIL, Explored, Found, Region
from backend.inference import catalogue
from backend.inference.cache import call
from backend.inference.load import Model
from backend.inference.pictures import Invert, Inverted
from backend.jacobian.generalized import Memory, generalized_steps, remember
from backend.jacobian.linearize import Linearized, linearize, restrict
from backend.jacobian.svd import svd_steps
from backend.request import Progress, Request, option, require

LARGEST_K = 50
EXPLORED = 60  # columns of J in an exploration: enough for any region to begin from


@dataclass(frozen=True)
class FindRegion(Request):
    """The pixels that a region's text stands for; a click picks those that vary with it (Tweedie)."""

    model: str = option("avatars", "the model")
    image: str = option("gallery:1", "the picture")
    region: str = option("click:32,44", "the region")

    def check(self) -> None:
        check_region(self.model, self.region)

    def needs(self) -> tuple[Request, ...]:
        pointed = _pointed(self.model, self.region)
        return (Invert(self.model, self.image, pointed.grain),) if isinstance(pointed, region.Click) else ()

    def run(self, model: Model) -> Iterator[Any]:
        pointed = _pointed(self.model, self.region)
        if isinstance(pointed, region.Click):
            inverted = yield from call(Invert(self.model, self.image, pointed.grain), model)
            jacobian = jacobian_of(model, inverted, pointed.grain)
            strength = region.covariance_map(jacobian, pointed.x, pointed.y)
            yield Progress(1, 1, "rows of the Jacobian")
            mask = region.covarying(strength, pointed.tolerance)
        else:
            mask = pointed
            if isinstance(pointed, region.Part):
                inverted = yield from call(Invert(self.model, self.image, model.card.t), model)
                reader = model.factor_reader()
                require(
                    reader is not None, "This model's pictures have no named parts; click, or paint a region."
                )
                mask = factors.part_mask(reader, inverted.x_0, pointed.name)
            strength = mask.float()
        yield Region(mask, strength, region.encode_rle(mask))


@dataclass(frozen=True)
class Explore(Request):
    """The Jacobian of a picture at a noise level on the space of its leading singular vectors, for any region to use."""

    model: str = option("avatars", "the model")
    image: str = option("gallery:1", "the picture")
    t: float = option(0.5, "the noise level t")

    def check(self) -> None:
        check_t(self.t)

    def needs(self) -> tuple[Request, ...]:
        return (Invert(self.model, self.image, self.t),)

    def run(self, model: Model) -> Iterator[Any]:
        inverted = yield from call(Invert(self.model, self.image, self.t), model)
        memory = Memory()
        jacobian = remember(jacobian_of(model, inverted, self.t), memory)
        yield from svd_steps(jacobian, 1, tol=0.0, max_products=2 * EXPLORED)
        inputs, images = (torch.stack(part).cpu() for part in (memory.inputs, memory.images))
        yield Explored(jacobian.value.cpu(), inputs, images)


def remembered(explored: Explored, model: Model) -> Memory:
    """What was explored, on the model's device."""
    return Memory(*(list(part.to(model.device)) for part in (explored.inputs, explored.images)))


@dataclass(frozen=True)
class FindDirections(Request):
    """Directions that change one region of the picture most and the rest little, by one of two methods.

    loco: LOCO Edit (https://arxiv.org/abs/2409.02374, Algorithm 1): v = (I - V' V'^T) v_i, with v_i the leading right
    singular vectors of the region's Jacobian and V' the `rank` leading ones of the rest.
    generalized: the largest |J_in v|^2 / (|J_out v|^2 + mu |v|^2), see backend.jacobian.generalized; `ridge` is mu as a
    multiple of the largest |J_in v|^2. A small one holds the rest still, a large one lets what belongs together move
    together.
    """

    model: str = option("avatars", "the model")
    image: str = option("gallery:1", "the picture")
    t: float = option(0.5, "the noise level t")
    region: str = option("part:mouth", "the region")
    k: int = option(5, "the number of directions")
    rank: int = option(5, "the rank of what is projected off")
    seed: int = option(0, "the seed")
    method: Literal["loco", "generalized"] = option("loco", "the method")
    ridge: float = option(RIDGE, "the ridge of generalised directions")

    def check(self) -> None:
        check_region(self.model, self.region)
        check_t(self.t)
        require(1 <= self.k <= LARGEST_K, f"Ask for 1 to {LARGEST_K} directions.")
        require(0 <= self.rank <= LARGEST_K, f"The rank of what is projected off must be 0 to {LARGEST_K}.")
        require(0 <= self.seed < 2**31, "The seed must be between 0 and 2,147,483,647.")
        require(1e-3 <= self.ridge <= 1e3, "The ridge must lie between 0.001 and 1,000.")

    def needs(self) -> tuple[Request, ...]:
        first = (Invert(self.model, self.image, self.t), FindRegion(self.model, self.image, self.region))
        return first if self.method == "loco" else (*first, Explore(self.model, self.image, self.t))

    def run(self, model: Model) -> Iterator[Any]:
        inverted = yield from call(Invert(self.model, self.image, self.t), model)
        mask = yield from region_of(model, self.image, self.region, self.k)
        find = self._loco if self.method == "loco" else self._generalized
        d, residual, products = yield from find(model, inverted, mask)
        yield Progress(1, 1, "sets of directions measured")
        step = d.distance(torch.full_like(d.s, THUMBNAIL), region_size(model, mask)).view(-1, 1, 1, 1) * d.v
        x_t = inverted.x_t.to(model.device)
        previews = posterior_mean(labelled(model, inverted), torch.stack([x_t - step, x_t + step]), self.t)
        yield found_of(model, self.t, d, previews, mask, residual, products)

    def directions(self) -> "FindDirections":
        """This request for the directions alone, where it is one that goes on from them."""
        return FindDirections(**{name: getattr(self, name) for name in FindDirections().values()})

    def _loco(self, model: Model, inverted: Inverted, mask: Tensor) -> Iterator[Any]:
        """The directions, the residuals of their singular triplets, and the products that they took."""
        jacobian = jacobian_of(model, inverted, self.t)
        inside = yield from svd_steps(restrict(jacobian, mask), self.k, seed=self.seed)
        v = inside.V
        if self.rank:
            outside = yield from svd_steps(restrict(jacobian, ~mask), self.rank, seed=self.seed)
            v = project_off(v, outside.V)
        directions = describe(v, inside.S, jacobian.jvp(v), mask)
        return directions, inside.residual, jacobian.cost.products

    def _generalized(self, model: Model, inverted: Inverted, mask: Tensor) -> Iterator[Any]:
        explored = yield from call(Explore(self.model, self.image, self.t), model)
        jacobian = jacobian_of(model, inverted, self.t)
        memory = remembered(explored, model)
        v, images = yield from generalized_steps(jacobian, memory, mask, self.k, self.ridge)
        directions = describe(v, None, images, mask)
        return directions, torch.zeros_like(directions.gain), jacobian.cost.products


def found_of(
    model: Model, t: float, d: Directions, previews: Tensor, mask: Tensor, residual: Tensor, products: int
) -> Found:
    """Directions with their previews (2, k, *shape), at -THUMBNAIL and +THUMBNAIL, as a result."""
    alpha, _ = model.denoiser.schedule(torch.tensor(t, dtype=torch.float64))
    heat = d.response.square().sum(1).sqrt()
    heat = heat / heat.amax((1, 2), keepdim=True)
    tensors = (d.v, d.s, d.gain, d.leak, heat, *previews.clamp(-1, 1))
    *tensors, minus, plus = (x.detach().cpu() for x in tensors)
    reader = model.factor_reader()
    names = factors.most_moved(reader, minus, plus) if reader else ("",) * len(plus)
    size = region_size(model, mask)
    return Found(*tensors, minus, plus, names, mask.cpu(), size, float(alpha), residual.cpu(), products)


def region_size(model: Model, mask: Tensor) -> int:
    """Values in a region."""
    return int(mask.sum()) * model.denoiser.shape[0]


def region_of(model: Model, image: str, text: str, k: int = 1) -> Iterator[Any]:
    """A region of a picture as a mask on the model's device. Raises BadInput where k directions do not fit into it."""
    found = yield from call(FindRegion(model.card.name, image, text), model)
    mask = region.check_editable(found.mask).to(model.device)
    enough = k <= region_size(model, mask)
    require(enough, "The region has fewer values than the directions asked for; paint a larger one.")
    return mask


def labelled(model: Model, inverted: Inverted) -> Denoiser:
    """The model's denoiser for the label that the picture has, if it has one."""
    return given(model.denoiser, **model.condition(label=inverted.label or None))


def jacobian_of(model: Model, inverted: Inverted, t: float) -> Linearized:
    """The Jacobian of the posterior mean at a picture's x_t."""
    denoiser = labelled(model, inverted)
    return linearize(lambda x: denoiser(x, t), inverted.x_t.to(model.device))


@torch.no_grad()
def posterior_mean(denoiser: Denoiser, x_t: Tensor, t: float) -> Tensor:
    """D(x_t, t) without a graph."""
    return denoiser(x_t, t)


def _pointed(model: str, text: str) -> region.Part | region.Click | Tensor:
    _, height, width = catalogue.card(model).shape
    return region.parse(text, height, width)


def check_t(t: float) -> None:
    """Raises BadInput unless t is a noise level."""
    require(0 < t <= 1, "The noise level t must be above 0 and at most 1.")


def check_region(model: str, text: str) -> None:
    """Raises BadInput unless the text can be a region of the model's pictures that leaves something outside."""
    pointed = _pointed(model, text)
    if isinstance(pointed, Tensor):
        region.check_editable(pointed)
