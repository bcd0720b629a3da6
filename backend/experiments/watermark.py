"""A mark in a picture: put in, attacked, and looked for. The settings that embedding and verifying must share stand in `Marking`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from backend.denoiser.base import given
from backend.inference.catalogue import weights_sha256
from backend.inference.load import Model
from backend.inference.pictures import open_picture, sample_of
from backend.jacobian.linearize import linearize
from backend.jacobian.svd import svd_steps
from backend.request import BadInput, Request, option, require
from backend.sampling.noise import noise
from backend.sampling.travel import beginning
from backend.watermark import base, shallow_diffuse
from backend.watermark.attacks import NOTHING_LEFT, blank, parse
from backend.watermark.key import MOST_SUB_KEYS, Key, derive
from backend.watermark.network_attacks import attacked
from backend.watermark.room import Gauge, bound
from backend.watermark.scheme import Scheme
from backend.watermark.shallow_diffuse import ShallowDiffuse, averaged, off_leading

MOST_OFF = 64  # singular vectors that can be taken off


@dataclass(frozen=True)
class Marking(Request):
    """The settings of a mark, and its key."""

    model: str = option("avatars", "the model")
    image: str = option("gallery:1", "the picture")
    passphrase: str = option("", "the passphrase", private=True)
    salt: str = option("", "the salt of the key file")
    family: Literal["phases", "rings"] = option("phases", "the kind of pattern")
    centre: Literal["zero", "nyquist"] = option("zero", "the centre of the pattern")
    inner: float = option(4.0, "the inner radius")
    outer: float = option(16.0, "the outer radius")
    channels: Literal["luma", "red", "green", "blue", "all"] = option("luma", "the channels")
    t: float = option(0.1, "the mark's time t")
    steps: int = option(12, "the number of steps")
    sub_key: int = option(-1, "the number of the sub-key")

    def scheme(self) -> Scheme:
        """What a key is bound to."""
        return Scheme(self.family, self.centre, self.inner, self.outer, self.channels, self.t, self.steps)

    def check(self) -> None:
        self.scheme()
        require(self.steps <= 100, "Ask for 1 to 100 steps.")
        require(bool(self.passphrase.strip()), "Please give a passphrase; the mark's key is made from it.")
        numbered = f"A sub-key has a number from 0 to {MOST_SUB_KEYS - 1:,}; -1 stands for the key itself."
        require(-1 <= self.sub_key < MOST_SUB_KEYS, numbered)

    def needs(self) -> tuple[Request, ...]:
        return sample_of(self.model, self.image)

    def secret(self, model: Model) -> Key:
        """The mark's key: of the passphrase, or its sub-key of that number."""
        key = derive(self.passphrase, self.scheme(), weights_sha256(model.card), self.salt)
        return key if self.sub_key < 0 else key.sub_key(self.sub_key)


def pattern_of(key: Key, scheme: Scheme, model: Model) -> Tensor:
    """The pattern of a key on the pictures of a model (G, n, n). Raises BadInput where none fits."""
    if scheme.channels in ("red", "green", "blue") and model.denoiser.shape[0] == 1:
        raise BadInput("This model's pictures are grey; please mark their brightness.")
    try:
        channels, _, size = model.denoiser.shape
        return shallow_diffuse.pattern(key.secret, scheme, size, channels)
    except ValueError:
        raise BadInput("No wave of this picture lies between these radii; please choose others.") from None


@dataclass(frozen=True)
class Embedded:
    """A marked picture. x_0, twin, marked (C, H, W) in [-1, 1]: what was given, what flow and back made of it without the mark, and with it.

    psnr, ssim: of marked against twin. way: PSNR of the twin against x_0, which no mark can better. whole: of marked against x_0.
    gauge: what the Jacobian makes of the mark. fingerprint: of the key."""

    x_0: Tensor
    twin: Tensor
    marked: Tensor
    psnr: float
    ssim: float
    way: float
    whole: float
    gauge: Gauge
    fingerprint: str


@dataclass(frozen=True)
class EmbedWatermark(Marking):
    """A picture with a mark that its passphrase finds again: Shallow Diffuse (https://arxiv.org/abs/2410.21088).

    A picture is followed to t, marked there and followed back; with scenario "sampling" a picture named sample:... is marked while it is made.
    """

    scenario: Literal["picture", "sampling"] = option("picture", "where the mark is put in")
    strength: float = option(0.6, "the strength")
    how: Literal["add", "replace"] = option("add", "how the mark is put in")
    average: bool = option(True, "channel averaging")
    off: int = option(0, "the number of singular vectors taken off")

    def check(self) -> None:
        super().check()
        require(0 < self.strength <= 10, "The strength must be above 0 and at most 10.")
        require(0 <= self.off <= MOST_OFF, f"Take off 0 to {MOST_OFF} singular vectors.")
        sampling = self.scenario == "sampling"
        require(
            not sampling or self.image.startswith("sample:"),
            "To mark a picture while it is made, name one such as sample:7:happy.",
        )

    def run(self, model: Model) -> Iterator[Any]:
        from backend.metrics.image import psnr, ssim

        key, scheme = self.secret(model), self.scheme()
        watermark = ShallowDiffuse(scheme, pattern_of(key, scheme, model), self.strength, self.how)
        if self.scenario == "sampling":
            (asked,) = sample_of(self.model, self.image)
            denoiser = given(model.denoiser, **model.condition(label=asked.label or None))
            x_1 = beginning(denoiser, [asked.seed]).to(model.device)
            x_t = yield from base.flow(denoiser, x_1, 1.0, self.t, asked.steps)
        else:
            picture = yield from open_picture(self.image, model)
            denoiser, x_0 = model.denoiser, picture.x_0[None]
            x_t = yield from base.flow(denoiser, x_0.to(model.device), 0.0, self.t, self.steps)
        change = watermark.inject(x_t) - x_t
        jacobian = linearize(lambda x: denoiser(x[None], self.t)[0], x_t[0])
        found = yield from svd_steps(jacobian, max(self.off, 1), tol=0.05)
        if self.off:
            change = off_leading(change, found.V[None])
        both = yield from base.flow(denoiser, torch.cat([x_t + change, x_t]), self.t, 0.0, self.steps)
        marked, twin = (x.clamp(-1, 1).cpu() for x in both.chunk(2))
        if self.average:
            marked = averaged(marked, twin, self.channels)
        if self.scenario == "sampling":
            x_0 = twin  # what the sample would have been
        gauge = _gauge(jacobian, change[0], float(found.S[0]))
        yield Embedded(
            x_0[0], twin[0], marked[0], float(psnr(marked, twin)), float(ssim(marked, twin)),
            float(psnr(twin, x_0)), float(psnr(marked, x_0)), gauge, key.fingerprint,
        )  # fmt: skip


def _gauge(jacobian: Any, change: Tensor, largest: float) -> Gauge:
    """|J dx| / |dx| of the mark and of eight random directions."""
    seeds = noise(range(8), tuple(change.shape)).to(change)
    directions = torch.stack([change, *seeds])
    directions = directions / directions.flatten(1).norm(dim=1).view(-1, *[1] * change.ndim)
    found = jacobian.jvp(directions).flatten(1).norm(dim=1).cpu()
    d = change.numel()
    return Gauge(float(found[0]), float(found[1:].mean()), largest, largest * bound(d // 100, d))


@dataclass(frozen=True)
class Attacked:
    """A picture before and after, (C, H, W) in [-1, 1], and the PSNR between them in dB."""

    before: Tensor
    after: Tensor
    psnr: float


@dataclass(frozen=True)
class Attack(Request):
    """A picture after a chain of attacks such as jpeg:25,blur:1.5,diffpure:0.3; without a number, as strong as in the paper."""

    model: str = option("avatars", "the model")
    image: str = option("gallery:1", "the picture")
    chain: str = option("jpeg", "the chain of attacks")
    seed: int = option(0, "the seed")

    def check(self) -> None:
        parse(self.chain)
        require(0 <= self.seed < 2**31, "The seed must be between 0 and 2,147,483,647.")

    def needs(self) -> tuple[Request, ...]:
        return sample_of(self.model, self.image)

    def run(self, model: Model) -> Iterator[Any]:
        from backend.metrics.image import psnr

        picture = yield from open_picture(self.image, model)
        before = picture.x_0[None]
        chain = parse(self.chain, before.shape[-1])
        after = yield from attacked(model.denoiser, model.reader(), before, chain, self.seed)
        require(not bool(blank(after).any()), NOTHING_LEFT)
        yield Attacked(before[0], after[0], float(psnr(after, before)))
