"""The picture that every tab looks at, named by a reference, clean or at a noise level.

    gallery:3            a held-out picture of the model's own data
    sample:7:happy       what the model makes of noise seed 7, with that label or without one (sample:7)
    upload:<sha256>      a picture that someone gave, held in memory for a while

A reference is small enough for a link, a cache key and a browser's state; what it stands for is computed and cached.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from backend.denoiser.base import given
from backend.inference import intake
from backend.inference.cache import call
from backend.inference.catalogue import Card
from backend.inference.load import Model
from backend.metrics.denoising import denoising_error
from backend.request import BadInput, Request, option, require
from backend.sampling.travel import beginning, travel

GALLERY = 24  # pictures a data set shows
HELD_OUT = 10_000_000  # the gallery's seeds begin here; training draws from generators seeded otherwise


@dataclass(frozen=True)
class Picture:
    """A clean picture (C, H, W) in [-1, 1] and its label, "" where none is known."""

    x_0: Tensor
    label: str


@dataclass(frozen=True)
class Inverted:
    """A picture at noise level t, and what the way there and back made of it.

    x_0, x_t, back (C, H, W): the picture, its noisy version, and the picture recovered from that.
    psnr: of `back` against `x_0`, dB. error: how badly the model denoises this picture, as a multiple of what 99 % of
    its own held-out pictures stay below; above 1 the picture is not of the model's kind. label: "" for none.
    """

    x_0: Tensor
    x_t: Tensor
    back: Tensor
    psnr: float
    error: float
    label: str


@dataclass(frozen=True)
class Sample(Request):
    """A picture from noise, by DPM-Solver++ 2M (https://arxiv.org/abs/2211.01095)."""

    model: str = option("avatars", "the model")
    seed: int = option(7, "the seed")
    label: str = option("happy", "the label")
    steps: int = option(25, "the number of steps")

    def check(self) -> None:
        require(0 <= self.seed < 2**31, "The seed must be between 0 and 2,147,483,647.")
        require(1 <= self.steps <= 200, "Ask for 1 to 200 steps.")

    def run(self, model: Model) -> Iterator[Any]:
        denoiser = given(model.denoiser, **model.condition(label=self.label or None))
        x = beginning(denoiser, [self.seed]).to(model.device)
        x = yield from travel(denoiser, x, 1.0, 0.0, self.steps)
        yield Picture(x[0].clamp(-1, 1).cpu(), self.label)


@dataclass(frozen=True)
class Invert(Request):
    """The noisy picture at t from which the flow leads back to the given one, and how well it does."""

    model: str = option("avatars", "the model")
    image: str = option("gallery:1", "the picture")
    t: float = option(0.5, "the noise level t")
    steps: int = option(20, "the number of steps")

    def check(self) -> None:
        require(0 < self.t <= 1, "The noise level t must be above 0 and at most 1.")
        require(1 <= self.steps <= 200, "Ask for 1 to 200 steps.")

    def needs(self) -> tuple[Request, ...]:
        return sample_of(self.model, self.image)

    def run(self, model: Model) -> Iterator[Any]:
        from backend.metrics.image import psnr

        picture = yield from open_picture(self.image, model)
        denoiser = given(model.denoiser, **model.condition(label=picture.label or None))
        x_0 = picture.x_0[None].to(model.device)
        x_t = yield from travel(denoiser, x_0, 0.0, self.t, self.steps)
        back = yield from travel(denoiser, x_t, self.t, 0.0, self.steps)
        error = denoising_error(model.denoiser, x_0[0], model.card.t) / model.card.usual_error
        yield Inverted(
            picture.x_0, x_t[0].cpu(), back[0].cpu(), float(psnr(back.cpu(), x_0.cpu())), error, picture.label
        )


def open_picture(reference: str, model: Model) -> Iterator[Any]:
    """Returns the `Picture` that a reference stands for, passing progress on. Raises BadInput for a bad reference."""
    kind, _, rest = reference.partition(":")
    for sample in sample_of(model.card.name, reference):
        return (yield from call(sample, model))
    if kind == "gallery":
        return gallery_picture(model.card, _whole(rest))
    if kind == "upload":
        return Picture(intake.open_upload(reference, model.denoiser.shape), "")
    raise BadInput("A picture is named gallery:3, sample:7:happy or upload: and its fingerprint.")


def sample_of(model: str, reference: str) -> tuple[Request, ...]:
    """The request behind a `sample:` reference; () for the others."""
    kind, _, rest = reference.partition(":")
    if kind != "sample":
        return ()
    seed, _, label = rest.partition(":")
    return (Sample.parse({"model": model, "seed": _whole(seed), "label": label}),)


def gallery_picture(found: Card, number: int) -> Picture:
    """A held-out picture of a model's data, `number` from 0 to 23."""
    require(0 <= number < GALLERY, f"The gallery has pictures 0 to {GALLERY - 1}.")
    pictures, labels = held_out(found, range(number, number + 1))
    return Picture(pictures[0], labels[0])


def held_out(found: Card, numbers: range) -> tuple[Tensor, tuple[str, ...]]:
    """Pictures (n, *shape) of a model's data that it was not trained on, and their labels, "" where it takes none.

    Raises:
        BadInput: where the data do not hold that many.
    """
    from backend.data import avatars, digits, patches, small_faces

    if found.data == "avatars":
        labels = [number % len(avatars.EXPRESSIONS) for number in numbers]
        faces = avatars.sample([HELD_OUT + number for number in numbers], labels)
        return avatars.render(faces.factors), tuple(avatars.EXPRESSIONS[label] for label in labels)
    if found.data == "patches":
        pictures = patches.sample(range(HELD_OUT + numbers.start, HELD_OUT + numbers.stop))
        return pictures, ("",) * len(pictures)
    pictures, labels = digits.split("test") if found.data == "digits" else (small_faces.split("test"), None)
    require(
        numbers.stop <= len(pictures),
        f"This data set holds {len(pictures)} pictures that were not trained on.",
    )
    chosen = slice(numbers.start, numbers.stop)
    names = (
        [found.labels[label] if found.labels else "" for label in labels[chosen]]
        if labels is not None
        else None
    )
    return pictures[chosen], tuple(names or [""] * len(numbers))


def _whole(text: str) -> int:
    require(
        text.isascii() and text.isdigit() and len(text) <= 10,
        "The number in a picture's name must be a whole number.",
    )
    return int(text)
