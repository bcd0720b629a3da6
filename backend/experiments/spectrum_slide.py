"""The spectrum tab: what a singular vector means, as pictures along it, and on the way to the edit tab."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from backend.editing.direction_file import Saved
from backend.editing.directions import STEP
from backend.experiments.edit import check_strip, strip_along
from backend.experiments.spectrum import Decompose, Decomposition, check_t, largest_k
from backend.inference.cache import call
from backend.inference.catalogue import card, weights_sha256
from backend.inference.load import Model
from backend.inference.pictures import Invert
from backend.request import Request, option, require


@dataclass(frozen=True)
class SlideAlong(Request):
    """A strip of pictures along one right singular vector v_i of the whole picture, in one step at t, then denoised.

    Strength 1 is a predicted root-mean-square change of 0.1 over the picture. Predictions first, then the edits.
    """

    model: str = option("avatars", "the model")
    image: str = option("gallery:1", "the picture")
    t: float = option(0.5, "the noise level t")
    index: int = option(0, "the singular vector, counted from 0")
    span: float = option(2.0, "the largest strength of the strip")
    frames: int = option(13, "the number of frames")

    slide: ClassVar[int] = 0  # what `strip_along` asks of a request: one direction, nothing beside it
    at: ClassVar[tuple[float, ...]] = ()

    def check(self) -> None:
        check_t(self.t)
        check_strip(self.span, self.frames, ())
        most = largest_k(self.model)
        require(
            0 <= self.index < most,
            f"The singular vector must be one of the {most} leading ones, counted from 0.",
        )

    def decomposition(self) -> Decompose:
        """The request for the triplets: as few as hold the vector, since fewer come sooner."""
        most = largest_k(self.model)
        k = next(k for k in (5, 20, 50, most) if k > self.index)
        return Decompose(self.model, self.image, self.t, min(k, most))

    def needs(self) -> tuple[Request, ...]:
        return (Invert(self.model, self.image, self.t), self.decomposition())

    def run(self, model: Model) -> Iterator[Any]:
        inverted = yield from call(Invert(self.model, self.image, self.t), model)
        j = yield from call(self.decomposition(), model)
        require(self.index < len(j.V), "The Jacobian has a smaller rank than that.")
        yield from strip_along(model, inverted, self.t, _steps(j, self.index), self)


def saved_of(request: SlideAlong, j: Decomposition) -> Saved:
    """A singular vector as a direction file holds it: for the edit tab. Its region is the whole picture."""
    found, step = card(request.model), _steps(j, request.index)
    _, height, width = found.shape
    region = f"box:0,0,{width - 1},{height - 1}"
    name = f"v{request.index + 1} at t = {request.t:g}"
    v, s = j.V[request.index][None], j.s[request.index][None]
    weights = weights_sha256(found)
    return Saved(
        v,
        s,
        step.flatten(1).norm(dim=1),
        found.name,
        weights,
        request.t,
        (name,),
        (region,),
        ("svd",),
        (0,),
        (0,),
    )


def _steps(j: Decomposition, index: int) -> Tensor:
    """How far strength 1 moves x_t along singular vector `index`, (1, *shape)."""
    size = j.value.numel()
    return (STEP * size**0.5 * j.V[index] / j.s[index].clamp_min(1e-6))[None]
