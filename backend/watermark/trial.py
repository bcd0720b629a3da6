"""Marks measured alike: pictures are marked with a key each, attacked beside unmarked ones, and scored; and the Jacobian is looked at where they lie.

A key a picture, so that no key's luck decides; an unmarked picture is scored under a key as well. Every method starts from the same pictures, by inversion
to its own t, and its twins went the same way without a mark.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser
from backend.jacobian.linearize import linearize
from backend.metrics.image import psnr
from backend.metrics.intervals import Estimate, bootstrap
from backend.request import Progress
from backend.sampling.noise import noise
from backend.watermark import base, detection, fourier
from backend.watermark.adversarial import Reader
from backend.watermark.attacks import eight_bit, parse
from backend.watermark.base import Watermark
from backend.watermark.evaluate import Detection
from backend.watermark.key import Key
from backend.watermark.network_attacks import attacked
from backend.watermark.restoration import LIKELY
from backend.watermark.scheme import Scheme
from backend.watermark.separation import d_prime
from backend.watermark.shallow_diffuse import ShallowDiffuse, pattern, spread, whitened

STRONGEST = 10.0
PILOT = 4  # pictures that strengths are chosen on, and at which the Jacobian is looked at
DIRECTIONS = 4  # of noise in each placement
OTHER_SEED = 1000  # of attacks on unmarked pictures, so that none shares its noise with a marked one


@dataclass(frozen=True)
class Site:
    """One placement at one t. gauge: |J dx| / |dx| of its marks, which does not depend on strength; response: the same of noise on its coefficients, the
    placement's share of J's spectrum. Both over pictures."""

    t: float
    placement: str
    gauge: Estimate
    response: Estimate


@dataclass(frozen=True)
class Point:
    """One way to mark, as measured on n pictures, each with a key of its own.

    placement "" and strength 0 where a method has none. decibels (n,): of each marked picture to its twin.
    marked, unmarked (A, n): scores after each chain. psnr; score, of marked pictures, d_prime, auc: after each chain.
    """

    method: str
    t: float
    placement: str
    strength: float
    decibels: Tensor
    marked: Tensor
    unmarked: Tensor
    psnr: Estimate
    score: tuple[Estimate, ...]
    d_prime: tuple[Estimate, ...]
    auc: tuple[Estimate, ...]

    @property
    def worst(self) -> int:
        """The chain after which it is found least."""
        return min(range(len(self.d_prime)), key=lambda i: self.d_prime[i].value)

    @property
    def detectability(self) -> float:
        """d' after that chain."""
        return self.d_prime[self.worst].value


See = Callable[[Tensor], Iterator[Any]]  # pictures (n, C, H, W) -> what a detector looks at (n, ...)


@dataclass(frozen=True)
class Start:
    """What all marks at one t start from: states and twins (n, C, H, W) of the pictures to be marked; seen: what the detector sees of the others after
    each chain, (n, ...)."""

    t: float
    steps: int
    x_t: Tensor
    twins: Tensor
    see: See
    seen: list[Tensor]


@dataclass(frozen=True)
class Bench:
    """Where marks are measured: pictures to be marked and others (n, C, H, W) on the denoiser's device, a key for each, and chains of attacks, the first
    of them none; reader: see `attacked`."""

    denoiser: Denoiser
    reader: Reader | None
    chains: tuple[str, ...]
    own: Tensor
    other: Tensor
    keys: list[Key]

    def planes(self, scheme: Scheme) -> See:
        """What our detector looks at."""
        return lambda x: detection.look(self.denoiser, x, scheme, LIKELY)

    def inverted(self, steps: int) -> See:
        """What rivals look at: x_1."""
        return lambda x: base.flow(self.denoiser, x, 0.0, 1.0, steps)

    def start(self, t: float, steps: int, see: See) -> Iterator[Progress]:
        """Returns the Start at t."""
        x_t = yield from base.flow(self.denoiser, self.own, 0.0, t, steps)
        twins = yield from base.flow(self.denoiser, x_t, t, 0.0, steps)
        seen = []
        for chain in self.chains:
            seen.append((yield from see((yield from self._attacked(self.other, chain, OTHER_SEED)))))
        return Start(t, steps, x_t, twins.clamp(-1, 1).cpu(), see, seen)

    def sites(self, start: Start, schemes: dict[str, Scheme]) -> Iterator[Progress]:
        """Returns the Site of every scheme, J taken at the first pictures' states."""
        t, denoiser, count = start.t, self.denoiser, min(PILOT, len(self.own))
        found = torch.empty(count, len(schemes), 1 + DIRECTIONS)
        for i, x in enumerate(start.x_t[:count]):
            jacobian = linearize(lambda x: denoiser(x[None], t)[0], x)
            for j, scheme in enumerate(schemes.values()):
                change = self.marks(scheme, 1.0)[i].inject(x[None]) - x
                directions = torch.cat([change, _noise(scheme, x)])
                length = directions.flatten(1).norm(dim=1)
                found[i, j] = (jacobian.jvp(directions).flatten(1).norm(dim=1) / length).cpu()
                yield Progress(j + 1, len(schemes), "products")
        rows = zip(schemes, found.transpose(0, 1), strict=True)
        return [
            Site(t, name, bootstrap(row[:, 0].tolist()), bootstrap(row[:, 1:].mean(1).tolist()))
            for name, row in rows
        ]

    def marks(self, scheme: Scheme, strength: float) -> list[Watermark]:
        """A mark for each picture."""
        return [ShallowDiffuse(scheme, one, strength) for one in self.patterns(scheme)]

    def patterns(self, scheme: Scheme) -> Tensor:
        """(n, G, size, size) complex128."""
        channels, _, size = self.denoiser.shape
        return torch.stack([pattern(key.secret, scheme, size, channels) for key in self.keys])

    def strengths(self, start: Start, scheme: Scheme, decibels: Sequence[float], known: float) -> Iterator[Progress]:  # fmt: skip
        """Returns the strengths that cost about so many decibels, weakest first: what a known strength costs on the first pictures says it, since twice the
        strength costs 6 dB. At most STRONGEST, once."""
        marked = yield from self._marked(start, self.marks(scheme, known)[:PILOT])
        cost = float(psnr(marked, start.twins[:PILOT]).mean())
        wanted = (known * 10 ** ((cost - wished) / 20) for wished in decibels)
        return sorted({min(float(f"{strength:.3g}"), STRONGEST) for strength in wanted})

    def ours(self, start: Start, scheme: Scheme, at: tuple[str, float, str, float]) -> Iterator[Progress]:
        """Returns the Point (method, t, placement, strength) of Shallow Diffuse by our detector; what each ring has without a mark is known from the
        other pictures before any attack."""
        patterns, levels = self.patterns(scheme), detection.ring_levels(start.seen[0], scheme)

        def judged(seen: Tensor) -> Tensor:
            z = detection.evidence(whitened(seen, scheme, levels), patterns[:, None], shifts=False)
            return z.amax(1)

        return (yield from self._measured(start, self.marks(scheme, at[-1]), judged, at))

    def rival(self, start: Start, name: str, method: type[Watermark]) -> Iterator[Progress]:
        """Returns the Point of a rival by its own score."""
        marks = [method(key.secret, tuple(self.denoiser.shape)) for key in self.keys]

        def judged(seen: Tensor) -> Tensor:
            return torch.cat([mark.score(x[None]).cpu() for mark, x in zip(marks, seen, strict=True)])

        return (yield from self._measured(start, marks, judged, (name, 1.0, "", 0.0)))

    def _measured(self, start: Start, marks: list[Watermark], judged: Callable[[Tensor], Tensor], at: tuple) -> Iterator[Progress]:  # fmt: skip
        marked = yield from self._marked(start, marks)
        scores = []
        for chain in self.chains:
            after = yield from self._attacked(marked, chain, 0)
            scores.append(judged((yield from start.see(after))))
        pairs = list(zip(scores, map(judged, start.seen), strict=True))
        decibels = psnr(marked, start.twins).float()
        return Point(
            *at, decibels, *(torch.stack(s).float() for s in zip(*pairs, strict=True)), bootstrap(decibels.tolist()),
            tuple(bootstrap(own.tolist()) for own, _ in pairs), tuple(d_prime(*pair) for pair in pairs),
            tuple(Detection(*pair).auc() for pair in pairs),
        )  # fmt: skip

    def _attacked(self, pictures: Tensor, chain: str, seed: int) -> Iterator[Progress]:
        return attacked(self.denoiser, self.reader, pictures.to(self.own), parse(chain), seed)

    def _marked(self, start: Start, marks: list[Watermark]) -> Iterator[Progress]:
        """Returns the marked pictures of as many marks, as a PNG holds them."""
        states = [mark.inject(x[None]) for mark, x in zip(marks, start.x_t, strict=False)]
        marked = yield from base.flow(self.denoiser, torch.cat(states), start.t, 0.0, start.steps)
        return eight_bit(marked.cpu())


def _noise(scheme: Scheme, x: Tensor) -> Tensor:
    """Noise on the coefficients of a scheme, as its marks lie in the channels of a state x (C, n, n): (DIRECTIONS, C, n, n)."""
    channels, _, size = x.shape
    mask = fourier.annulus(size, scheme.inner, scheme.outer, scheme.centre)
    planes = fourier.plane(noise(range(DIRECTIONS), (1, size, size))) * mask
    return spread(fourier.picture(planes, x.cpu()), scheme.channels, channels).to(x)
