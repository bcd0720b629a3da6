"""Is the mark of a key in a picture, and what is the answer worth?"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backend.experiments.watermark import Marking, pattern_of
from backend.inference import cache
from backend.inference.catalogue import Card, card
from backend.inference.load import Model
from backend.inference.pictures import held_out, open_picture
from backend.request import Progress, Request, option, require
from backend.watermark import calibration, detection
from backend.watermark.attacks import eight_bit
from backend.watermark.calibration import Nulls
from backend.watermark.detection import Parts
from backend.watermark.restoration import LIKELY, MOVED, Guess
from backend.watermark.scheme import Scheme
from backend.watermark.shallow_diffuse import correlation, whitened
from backend.watermark.verdict import verdict

NULLS_FROM = 100_000  # the held-out pictures that calibration looks at begin here
EXPECTED = 2000
HELD = {"digits": 300, "small_faces": 32}  # pictures of the other data that no model was trained on
OTHER_KEYS = 999


@dataclass(frozen=True)
class CalibrateWatermark(Request):
    """Unmarked pictures of the model's own data as the detector sees them: what a verdict compares with, for every key."""

    model: str = option("avatars", "the model")
    centre: str = option("zero", "the centre of the pattern")
    inner: float = option(4.0, "the inner radius")
    outer: float = option(16.0, "the outer radius")
    channels: str = option("luma", "the channels")
    t: float = option(0.1, "the mark's time t")
    pictures: int = option(EXPECTED, "the number of pictures")

    def scheme(self) -> Scheme:
        """Its part that calibration depends on."""
        return Scheme("phases", self.centre, self.inner, self.outer, self.channels, self.t, 1)

    def check(self) -> None:
        self.scheme()
        require(20 <= self.pictures <= 5000, "Calibrate with 20 to 5,000 pictures.")

    def run(self, model: Model) -> Iterator[Any]:
        pictures = unmarked(model.card, NULLS_FROM, self.pictures)
        found = yield from calibration.calibrate(model.denoiser, pictures.to(model.device), self.scheme())
        yield found


def calibration_of(mark: Marking) -> CalibrateWatermark:
    """What a mark is compared with, once that has been made."""
    pictures = HELD.get(card(mark.model).data, EXPECTED)
    return CalibrateWatermark(
        mark.model, mark.centre, mark.inner, mark.outer, mark.channels, mark.t, pictures
    )


def levels_of(mark: Marking, guesses: Sequence[Guess]) -> Tensor | None:
    """What unmarked pictures have on each ring under every guess, (U, G, n, n), if that was looked at before; see detection.ring_levels."""
    nulls: Nulls | None = cache.find(calibration_of(mark).checked())
    return nulls.levels_of(guesses) if nulls is not None else None


def unmarked(found: Card, first: int, count: int) -> Tensor:
    """Held-out pictures (count, C, H, W): from number `first` on where the data are endless, else from the first on. Rounded as a PNG holds them,
    since pictures that are verified were files before."""
    pictures, _ = held_out(found, range(0, count) if found.data in HELD else range(first, first + count))
    return eight_bit(pictures)


@dataclass(frozen=True)
class Verified:
    """What was found of a key in a picture.

    z: of the best guess; tries: in how many ways the mark was looked for. undone: words for that guess. by_guess (U,): z under each, in the order of
    words. shift: (dy, dx) in pixels, (0, 0) without a search. analytic, keys, pictures: the p values of detection's three tests, the last None without a
    calibration. other_keys (999,), others (N,): the scores they compare with. surface (n, n): z by cyclic shift, no shift in the middle.
    parts: where the evidence lies. sentence: the verdict. fingerprint: of the key. x_0 (C, H, W): the picture.
    """

    x_0: Tensor
    z: float
    tries: int
    undone: str
    words: tuple[str, ...]
    by_guess: Tensor
    shift: tuple[int, ...]
    analytic: float
    keys: float
    pictures: float | None
    other_keys: Tensor
    others: Tensor
    surface: Tensor
    parts: Parts
    sentence: str
    fingerprint: str


@dataclass(frozen=True)
class Looking(Marking):
    """A search for marks, by the light of unmarked pictures where these were looked at before."""

    def needs(self) -> tuple[Request, ...]:
        return (*super().needs(), calibration_of(self))

    def key(self) -> str:
        """Another one as soon as there is a calibration, because the answer is another."""
        name = super().key()
        known = cache.find(calibration_of(self).checked()) is not None
        return name if known else hashlib.sha256(f"{name} not calibrated".encode()).hexdigest()[:32]

    def look(self, model: Model, guesses: Sequence[Guess]) -> Iterator[Any]:
        """Returns the picture (C, n, n) and its whitened planes (U, G, n, n) under every guess."""
        picture = yield from open_picture(self.image, model)
        seen = picture.x_0[None].to(model.device)
        planes = yield from detection.look(model.denoiser, seen, self.scheme(), guesses)
        return picture.x_0, whitened(planes[0], self.scheme(), levels_of(self, guesses))


@dataclass(frozen=True)
class VerifyWatermark(Looking):
    """Whether a picture carries the mark of a passphrase, by three tests that assume different things."""

    search: bool = option(False, "the search over shifts, rotations and crops")

    def run(self, model: Model) -> Iterator[Any]:
        key, scheme = self.secret(model), self.scheme()
        pattern = pattern_of(key, scheme, model)
        guesses = (*LIKELY, *MOVED) if self.search else LIKELY
        x_0, planes = yield from self.look(model, guesses)
        nulls: Nulls | None = cache.find(calibration_of(self).checked())
        by_guess = detection.evidence(planes, pattern, shifts=self.search)
        best = int(by_guess.argmax())
        z, n = float(by_guess[best]), planes.shape[-1]
        tries = detection.tried(len(guesses), n, shifts=self.search)
        yield Progress(1, 2, "tests")
        other_keys = detection.under_other_keys(planes, scheme, OTHER_KEYS, shifts=self.search)
        others = torch.empty(0, dtype=torch.float64)
        if nulls is not None:
            others = nulls.scores(pattern, scheme, shifts=self.search)
        surface = correlation(planes[best], pattern)
        heard, shift = planes[best], (0, 0)
        if self.search:
            dy, dx = divmod(int(surface.argmax()), n)
            shift = tuple((d + n // 2) % n - n // 2 for d in (dy, dx))
            moved = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64)
            turn = 2j * torch.pi / n * (shift[0] * moved[:, None] + shift[1] * moved)
            heard = heard * torch.exp(turn)
        undone = guesses[best].words
        if any(shift):
            undone = " and ".join(filter(None, [undone, f"a shift by {shift[1]}, {shift[0]} pixels"]))
        worth = (
            detection.analytic(z, tries),
            detection.exceeded(z, other_keys),
            detection.exceeded(z, others) if len(others) else None,
        )
        decisive = worth if len(others) >= OTHER_KEYS else (*worth[:2], None)
        sentence = verdict(key.fingerprint, *decisive, undone)
        yield Verified(
            x_0, z, tries, undone, tuple(guess.words or "nothing undone" for guess in guesses), by_guess.float(),
            shift, *worth, other_keys.float(), others.float(), torch.fft.fftshift(surface).float(),
            detection.parts(heard, pattern, scheme), sentence, key.fingerprint,
        )  # fmt: skip
