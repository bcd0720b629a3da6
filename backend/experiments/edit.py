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
from backend.editing import direction_file, factors, region
from backend.editing.directions import STEP, Directions, describe, project_off
from backend.editing.results import THUMBNAIL, Found, Models, Region, Strip, Strips
from backend.inference import catalogue, intake
from backend.inference.cache import call, find
from backend.inference.load import Model
from backend.inference.pictures import Invert, Inverted, travel
from backend.jacobian.linearize import Linearized, linearize, restrict
from backend.jacobian.svd import svd_steps
from backend.request import Progress, Request, option, require

STRONGEST = 30.0  # of a strength; 30 is a predicted change of 3, more than pixels can span
LARGEST_K = 50
SPAN = 4.0  # of a strip: far enough to see, near enough to stay a face
DENOISE_STEPS = 12


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

    def directions(self) -> FindDirections:
        """The request for the directions alone."""
        return FindDirections(self.model, self.image, self.t, self.region, self.k, self.rank, self.seed)

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

    def directions(self) -> FindDirections:
        """The request for the directions alone."""
        return FindDirections(self.model, self.image, self.t, self.region, self.k, self.rank, self.seed)

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
            denoiser, strengths = _denoiser(model, inverted), _strengths(self.span, self.frames)
            for i in range(k):
                if strips[i] is None:
                    x_t = _along(inverted, found, self.strip(i).at, i, strengths).to(model.device)
                    strips[i] = Strip(
                        tuple(strengths.tolist()), _seen(_posterior_mean(denoiser, x_t, self.t)), True
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
    denoiser, strengths = _denoiser(model, inverted), tuple(strengths.tolist())
    x_t = x_t.to(model.device)
    yield Strip(strengths, _seen(_posterior_mean(denoiser, x_t, t)), True)
    edited = yield from travel(denoiser, x_t, t, 0.0, DENOISE_STEPS)
    yield Strip(strengths, _seen(edited), False)


def _seen(pictures: Tensor) -> Tensor:
    return pictures.clamp(-1, 1).cpu()


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
    reader = model.reader()
    names = factors.most_moved(reader, minus, plus) if reader else ("",) * len(plus)
    return Found(
        v, s, gain, leak, heat, minus, plus, names, mask.cpu(), size, float(alpha), residual.cpu(), products
    )


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
