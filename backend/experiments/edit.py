"""The edit tab: point at a region of a picture and slide along its LOCO directions.

    ListModels -> what there is
    FindRegion -> the mask that a click, a box or a part stands for
    FindDirections -> k directions of the region at noise level t         (backend.editing.directions)
    Edit, EditWithFile -> a strip of pictures along one of them, the others held where they are

`Sample` and `Invert`, which make the picture and take it to the noise level, are in backend.inference.pictures.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser, given
from backend.editing import direction_file, region
from backend.editing.directions import STEP, Directions, describe, project_off
from backend.inference import catalogue, intake
from backend.inference.cache import call
from backend.inference.load import Model
from backend.inference.pictures import Invert, Inverted, travel
from backend.jacobian.linearize import Linearized, linearize, restrict
from backend.jacobian.svd import svd_steps
from backend.request import Progress, Request, option, require

STRONGEST = 30.0  # of a strength; 30 is a predicted change of 3, more than pixels can span
LARGEST_K = 50
DENOISE_STEPS = 12


@dataclass(frozen=True)
class Models:
    """The models at hand: for each its name, title, shape, labels, recommended t, licence and training."""

    models: tuple[dict, ...]


@dataclass(frozen=True)
class Region:
    """mask (H, W) bool; strength (H, W) in [0, 1]: for a click, how strongly each pixel varies with it, else the mask."""

    mask: Tensor
    strength: Tensor
    rle: str


@dataclass(frozen=True)
class Found:
    """k local directions of one region, strongest first.

    v (k, *shape) unit; s (k,) singular values of the masked Jacobian; gain (k,) = |J v| inside the region; leak (k,)
    energy of J v outside over inside; heat (k, H, W) = |J v| of each pixel, 1 at its largest; minus and plus (k, *shape)
    previews, one evaluation at strength -THUMBNAIL and +THUMBNAIL; names (k,), "" where nothing reads the factors; mask
    (H, W); size, values in the region; alpha, the schedule's at t (alpha s does not depend on the schedule); residual (k,)
    of the singular triplets; products and evaluations spent.
    """

    v: Tensor
    s: Tensor
    gain: Tensor
    leak: Tensor
    heat: Tensor
    minus: Tensor
    plus: Tensor
    names: tuple[str, ...]
    mask: Tensor
    size: int
    alpha: float
    residual: Tensor
    products: int


@dataclass(frozen=True)
class Strip:
    """Pictures (n, *shape) in [-1, 1] at strengths (n,) of one direction.

    predicted: True for the posterior means, seen after one network evaluation; False for the edits themselves.
    """

    strengths: tuple[float, ...]
    pictures: Tensor
    predicted: bool


THUMBNAIL = 2.0


@dataclass(frozen=True)
class ListModels(Request):
    """The models at hand, the recommended one first."""

    def run(self, model: None) -> Iterator[Models]:
        hidden = ("path", "kind", "patch")
        yield Models(
            tuple({k: v for k, v in asdict(card).items() if k not in hidden} for card in catalogue.cards())
        )


@dataclass(frozen=True)
class FindRegion(Request):
    """The pixels that a region's text stands for; a click picks those that vary together with it (Tweedie)."""

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
                mask = _part(model, inverted.x_0, pointed.name)
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


@dataclass(frozen=True)
class Edit(FindDirections):
    """A strip of pictures along one direction of a region, in one step at t and denoised.

    x_t + sum_i lambda_i v_i with lambda = strength x 0.1 sqrt(size) / gain: strength 1 is a predicted root-mean-square
    change of 0.1 inside the region. `at` holds the strengths of all directions; the one that slides takes its own.
    """

    slide: int = option(0, "the direction that slides")
    at: tuple[float, ...] = option((), "the strengths of the directions")
    span: float = option(6.0, "the largest strength of the strip")
    frames: int = option(13, "the number of frames")

    def check(self) -> None:
        super().check()
        _check_strip(self.span, self.frames, self.at)
        require(0 <= self.slide < self.k, "The direction that slides must be one of those asked for.")
        require(len(self.at) <= self.k, "There are more strengths than directions.")

    def needs(self) -> tuple[Request, ...]:
        return (*super().needs(), self.directions())

    def directions(self) -> FindDirections:
        """The request for the directions alone."""
        return FindDirections(self.model, self.image, self.t, self.region, self.k, self.rank, self.seed)

    def run(self, model: Model) -> Iterator[Any]:
        inverted = yield from call(Invert(self.model, self.image, self.t), model)
        found = yield from call(self.directions(), model)
        step = STEP * found.size**0.5 * found.v / found.gain.view(-1, 1, 1, 1)
        held = [0.0 if i == self.slide else a for i, a in enumerate(self.at)]
        base = sum((a * step[i] for i, a in enumerate(held)), torch.zeros_like(inverted.x_t))
        yield from _strip(model, inverted, self.t, base, step[self.slide], self.span, self.frames)


@dataclass(frozen=True)
class EditWithFile(Request):
    """A strip along a direction that was saved to a file, on any picture of the same model."""

    model: str = option("avatars", "the model")
    image: str = option("gallery:1", "the picture")
    file: str = option("", "the direction file")
    slide: int = option(0, "the direction that slides")
    span: float = option(6.0, "the largest strength of the strip")
    frames: int = option(13, "the number of frames")

    def check(self) -> None:
        _check_strip(self.span, self.frames, ())
        require(self.file.startswith("upload:"), "Please give a direction file.")
        require(0 <= self.slide < LARGEST_K, "The direction that slides must be one of those in the file.")

    def run(self, model: Model) -> Iterator[Any]:
        saved = direction_file.load(intake.held(self.file))
        direction_file.check_belongs(
            saved, model.card.name, catalogue.weights_sha256(model.card), model.denoiser.shape
        )
        require(self.slide < len(saved.v), "The file holds fewer directions than that.")
        inverted = yield from call(Invert(self.model, self.image, saved.t), model)
        yield from _strip(model, inverted, saved.t, torch.zeros_like(inverted.x_t),
                          saved.step[self.slide] * saved.v[self.slide], self.span, self.frames)  # fmt: skip


def _strip(
    model: Model, inverted: Inverted, t: float, base: Tensor, step: Tensor, span: float, frames: int
) -> Iterator[Any]:
    """The posterior means of all frames first, after one evaluation, then the denoised frames."""
    strengths = torch.linspace(-span, span, frames)
    denoiser = _denoiser(model, inverted)
    x_t = (inverted.x_t + base + strengths.view(-1, 1, 1, 1) * step).to(model.device)
    predicted = _posterior_mean(denoiser, x_t, t)
    yield Strip(tuple(strengths.tolist()), predicted.clamp(-1, 1).cpu(), True)
    edited = yield from travel(denoiser, x_t, t, 0.0, DENOISE_STEPS)
    yield Strip(tuple(strengths.tolist()), edited.clamp(-1, 1).cpu(), False)


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
    minus, plus = _posterior_mean(_denoiser(model, inverted), torch.stack([x_t - step, x_t + step]), t)
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
    names = _names(model, minus, plus)
    return Found(
        v, s, gain, leak, heat, minus, plus, names, mask.cpu(), size, float(alpha), residual.cpu(), products
    )


def _names(model: Model, minus: Tensor, plus: Tensor) -> tuple[str, ...]:
    """The factor that each direction moves most, in standard deviations of its prior; "" where nothing reads factors."""
    reader = model.reader()
    if reader is None:
        return ("",) * len(plus)
    from backend.data import avatars

    change = (reader(plus)[0] - reader(minus)[0]) / avatars.prior_std()
    return tuple(avatars.FACTOR_NAMES[i] for i in change.abs().argmax(dim=1).tolist())


def _part(model: Model, x_0: Tensor, name: str) -> Tensor:
    reader = model.reader()
    require(reader is not None, "This model's pictures have no named parts; click, or paint a region.")
    from backend.data import avatars

    require(name in avatars.PARTS, f"There is no such part; the parts are {', '.join(avatars.PARTS)}.")
    mask = avatars.masks(reader(x_0[None])[0])[name][0]
    require(bool(mask.any()), f"This picture shows no {name}.")
    return mask


def _denoiser(model: Model, inverted: Inverted) -> Denoiser:
    return given(model.denoiser, **model.condition(label=inverted.label or None))


def _jacobian(model: Model, inverted: Inverted, t: float) -> Linearized:
    denoiser = _denoiser(model, inverted)
    return linearize(lambda x: denoiser(x, t), inverted.x_t.to(model.device))


@torch.no_grad()
def _posterior_mean(denoiser: Denoiser, x_t: Tensor, t: float) -> Tensor:
    return denoiser(x_t, t)


def _pointed(model: str, text: str) -> region.Part | region.Click | Tensor:
    _, height, width = catalogue.card(model).shape
    return region.parse(text, height, width)


def _check_region(model: str, text: str) -> None:
    pointed = _pointed(model, text)
    if isinstance(pointed, Tensor):
        region.check_editable(pointed)


def _check_strip(span: float, frames: int, at: tuple[float, ...]) -> None:
    require(0 < span <= STRONGEST, f"The largest strength must be above 0 and at most {STRONGEST:g}.")
    require(
        all(abs(a) <= STRONGEST for a in at), f"A strength must lie between -{STRONGEST:g} and {STRONGEST:g}."
    )
    require(3 <= frames <= 41 and frames % 2 == 1, "Ask for an odd number of frames from 3 to 41.")
