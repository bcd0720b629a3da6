"""The edit tab: one picture's direction on other pictures, and at another noise level."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from backend.data import avatars
from backend.denoiser.base import Denoiser, given
from backend.editing import factors
from backend.editing.results import Transferred
from backend.experiments.edit import DENOISE_STEPS, STRONGEST, Edit
from backend.experiments.edit_directions import FindDirections, check_t
from backend.inference.cache import call
from backend.inference.load import Model
from backend.inference.pictures import open_picture, sample_of
from backend.jacobian.linearize import linearize
from backend.request import Progress, Request, option, require
from backend.sampling.travel import travel

MOST = 200  # pictures in one request
BATCH = 25  # of them at once
LONGER = 5.0  # a part that is hardly there is not moved at any price
INVERSION_STEPS = 20
ROW = tuple(f"gallery:{i}" for i in range(2, 10))


@dataclass(frozen=True)
class Transfer(FindDirections):
    """One direction of a picture on others: x_t' + lambda v, then denoised; nothing is aligned or projected again.

    same="change": lambda is such that every picture's predicted change inside the region is that of its own, for one product
    a picture. same="step": lambda is unchanged, as in LOCO Edit (https://arxiv.org/abs/2409.02374); another picture's change
    is then mostly smaller, since its Jacobian has other singular vectors.
    """

    slide: int = option(0, "the direction")
    strength: float = option(2.0, "the strength")
    onto: tuple[str, ...] = option(ROW, "the other pictures")
    same: Literal["change", "step"] = option("change", "what stays the same")
    onto_t: float = option(0.0, "the noise level t of the other pictures (0 for the same)")

    def check(self) -> None:
        super().check()
        require(0 <= self.slide < self.k, "The direction must be one of those asked for.")
        require(
            0 < abs(self.strength) <= STRONGEST, f"The strength must be at most {STRONGEST:g}, and not 0."
        )
        require(1 <= len(self.onto) <= MOST, f"Name 1 to {MOST} other pictures.")
        check_t(self.onto_t or self.t)

    def needs(self) -> tuple[Request, ...]:
        samples = (sample for image in self.onto for sample in sample_of(self.model, image))
        return (*super().needs(), self.directions(), self.edit(), *samples)

    def edit(self) -> Edit:
        """The request for the edit of the direction's own picture, at both signs of the strength."""
        return Edit(**self.directions().values(), slide=self.slide, span=abs(self.strength), frames=3)

    def run(self, model: Model) -> Iterator[Any]:
        found = yield from call(self.directions(), model)
        own = yield from call(self.edit(), model)
        v, length = found.v[self.slide].to(model.device), self.strength * found.length(self.slide)
        pictures = []
        for image in self.onto:
            pictures.append((yield from open_picture(image, model)))
        originals, edited = torch.stack([picture.x_0 for picture in pictures]), []
        t = self.onto_t or self.t
        for some in torch.arange(len(pictures)).split(BATCH):
            denoiser = given(model.denoiser, **_labels(model, [pictures[i].label for i in some]))
            x_t = yield from travel(denoiser, originals[some].to(model.device), 0.0, t, INVERSION_STEPS)
            lengths = torch.full((len(x_t),), length).to(x_t)
            if self.same == "change":
                lengths *= relative_lengths(
                    denoiser, x_t, t, v, found.mask.to(model.device), float(found.gain[self.slide])
                )
                yield Progress(1, 1, "directions measured")
            x = yield from travel(denoiser, x_t + lengths.view(-1, 1, 1, 1) * v, t, 0.0, DENOISE_STEPS)
            edited.append(x.clamp(-1, 1).cpu())
        edited = torch.cat(edited)
        pair = own.pictures[[1, 2 if self.strength > 0 else 0]]
        yield Transferred(originals, edited, *_moved(model, pair, originals, edited))


def relative_lengths(
    denoiser: Denoiser, x_t: Tensor, t: float, v: Tensor, mask: Tensor, gain: float
) -> Tensor:
    """How many times as far along v each of x_t (n, *shape) must go for its predicted change inside the mask (H, W) to be that
    of a picture with |J v| = gain there: (n,), at most LONGER. One product for all, since no picture touches another."""
    response = linearize(lambda x: denoiser(x, t), x_t).jvp(v.expand_as(x_t)[None])[0]
    return (gain / (response * mask).flatten(1).norm(dim=1).clamp(min=1e-12)).clamp(max=LONGER)


def _labels(model: Model, names: list[str]) -> dict[str, Tensor]:
    """The pictures' own labels, one for each of a batch."""
    if not model.card.labels:
        return {}
    return {"label": torch.tensor([model.card.labels.index(name) if name else -1 for name in names])}


def _moved(
    model: Model, own: Tensor, originals: Tensor, edited: Tensor
) -> tuple[str, float, tuple[float, ...]]:
    """The factor that moved most in the direction's own picture (2, *shape), before and after; how far there and in the
    others, in its standard deviations; ("", 0, ()) where nothing reads factors."""
    reader = model.factor_reader()
    if reader is None:
        return "", 0.0, ()
    change = factors.changes(reader, torch.cat([own[:1], originals]), torch.cat([own[1:], edited]))
    most = int(change[0].abs().argmax())
    amount, *amounts = change[:, most].tolist()
    return avatars.FACTOR_NAMES[most], amount, tuple(amounts)
