"""What attackers make of marked pictures that they have, without the key: averaging many, and forging from one."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backend.experiments.watermark import Marking, pattern_of
from backend.experiments.watermark_verify import HELD, calibration_of, levels_of, unmarked
from backend.inference.catalogue import card
from backend.inference.load import Model
from backend.metrics.intervals import Estimate, bootstrap, rate
from backend.request import Request, option, require
from backend.watermark import averaging, base, detection, forgery
from backend.watermark.keyring import bar
from backend.watermark.restoration import LIKELY
from backend.watermark.scheme import Scheme
from backend.watermark.shallow_diffuse import ShallowDiffuse, whitened
from backend.watermark.verdict import ALPHA

RED_TEAM_FROM = 160_000  # held-out pictures begin here, behind those that the rates look at
VICTIMS = 8  # marked pictures that averaging attacks, and as many unmarked ones that are forged; none is among those averaged
MOST = 64
AMPLIFIED = 10


@dataclass(frozen=True)
class Curve:
    """One attack by the number of pictures that were averaged, in the order of `counts`.

    z: of the attacked pictures. found: the share of them that counts as marked. psnr: dB, of pictures whose mark was removed to their originals, of
    forged ones to what they were.
    """

    z: tuple[Estimate, ...]
    found: tuple[Estimate, ...]
    psnr: tuple[Estimate, ...]


@dataclass(frozen=True)
class Averaged:
    """Averaging against pictures under one key, or each under its own sub-key.

    before: z of marked pictures under their own key. removed: z after removal, under their own key. forged: z of unmarked pictures that were forged,
    under the best of the keys of the averaged pictures. Each by what the attacker averages against: "originals" or "others". bar: the z that
    counts as a mark, by Bonferroni over all keys and guesses. pictures: of one example (C, H, W) in [-1, 1], with all pictures averaged: "marked", and
    "removed, originals", "forged, others" and so on; "delta, ..." is ten times what averaging found.
    """

    before: Estimate
    removed: dict[str, Curve]
    forged: dict[str, Curve]
    bar: float
    pictures: dict[str, Tensor]


@dataclass(frozen=True)
class RedTeamed:
    """What the attacks did.

    counts: numbers of pictures averaged. nothing: z of unmarked pictures. copied, copied_psnr: z and PSNR (dB, to the cover) of pictures forged from one
    marked picture each. pictures: of the same example: "original", "cover", and "copied", the cover with that one picture's mark.
    """

    counts: tuple[int, ...]
    one_key: Averaged
    sub_keys: Averaged
    nothing: Estimate
    copied: Estimate
    copied_psnr: Estimate
    pictures: dict[str, Tensor]


@dataclass(frozen=True)
class RedTeam(Marking):
    """What attackers without the key make of marked pictures: they average many to remove or forge the mark (https://arxiv.org/abs/2406.09026), under
    one key and under sub-keys, and forge it from a single one with the model."""

    strength: float = option(0.6, "the strength")
    pictures: int = option(32, "the number of pictures that are averaged")

    def check(self) -> None:
        super().check()
        require(0 < self.strength <= 10, "The strength must be above 0 and at most 10.")
        require(2 <= self.pictures <= MOST, f"Average 2 to {MOST} pictures.")
        held = HELD.get(card(self.model).data, 2 * (MOST + VICTIMS))
        most = held // 2 - VICTIMS
        require(
            self.pictures <= most, f"This model's data hold {held} unseen pictures; average at most {most}."
        )

    def counts(self) -> tuple[int, ...]:
        """1, 2, 4, ... and the number of pictures."""
        doubled = [2**i for i in range(int(math.log2(self.pictures)) + 1)]
        return tuple(sorted({*doubled, self.pictures}))

    def needs(self) -> tuple[Request, ...]:
        return (calibration_of(self),)

    def run(self, model: Model) -> Iterator[Any]:
        from backend.metrics.image import psnr

        scheme, n, denoiser = self.scheme(), self.pictures, model.denoiser
        key = self.secret(model)
        one = [pattern_of(key, scheme, model)] * (n + VICTIMS)
        subs = [pattern_of(key.sub_key(i), scheme, model) for i in range(n + VICTIMS)]
        found = unmarked(model.card, RED_TEAM_FROM, 2 * (n + VICTIMS))
        originals, others, covers = found.split([n + VICTIMS, n, VICTIMS])

        x_t = yield from base.flow(denoiser, originals.to(model.device), 0.0, self.t, self.steps)
        states = torch.cat([_each(patterns, x_t, scheme, self.strength) for patterns in (one, subs)])
        marked = yield from base.flow(denoiser, states, self.t, 0.0, self.steps)
        under_one, under_subs = marked.clamp(-1, 1).cpu().chunk(2)

        levels = levels_of(self, LIKELY)

        def look(pictures: Tensor) -> Iterator[Any]:
            planes = yield from detection.look(denoiser, pictures.to(model.device), scheme, LIKELY)
            return whitened(planes, scheme, levels)

        references = {"originals": originals[:n], "others": others}
        both = []
        for some, patterns, issued in ((under_one, one, one[:1]), (under_subs, subs, subs[:n])):
            stage = _Stage(some[:n], some[n:], originals[n:], covers, patterns[n:], issued)
            both.append((yield from _averaged(look, stage, references, self.counts())))

        sources = under_one[n:].to(model.device)
        copies = yield from forgery.transferred(
            denoiser, sources, covers.to(model.device), self.t, self.steps
        )
        planes = yield from look(torch.cat([copies.cpu(), covers]))
        copied, nothing = _under_best(planes, one[:1]).split(VICTIMS)
        example = {"original": originals[n], "cover": covers[0], "copied": copies[0].cpu()}
        yield RedTeamed(
            self.counts(), *both, bootstrap(nothing.tolist()), bootstrap(copied.tolist()),
            bootstrap(psnr(copies.cpu(), covers).tolist()), example,
        )  # fmt: skip


@dataclass(frozen=True)
class _Stage:
    """Who meets in an averaging attack. averaged (n, C, H, W): the marked pictures that the attacker has. victims, originals, covers (V, C, H, W): marked
    pictures, the same unmarked, and others to be forged. own: the victims' patterns, each its own. issued: those of the averaged pictures."""

    averaged: Tensor
    victims: Tensor
    originals: Tensor
    covers: Tensor
    own: Sequence[Tensor]
    issued: Sequence[Tensor]


def _averaged(
    look: Callable[[Tensor], Iterator[Any]],
    stage: _Stage,
    references: dict[str, Tensor],
    counts: Sequence[int],
) -> Iterator[Any]:
    """Returns the Averaged of averaging so many pictures against the first of each reference. look: pictures (B, C, H, W) -> whitened planes."""
    from backend.metrics.image import psnr

    planes = yield from look(stage.victims)
    before, removed, forged = bootstrap(_under_own(planes, stage.own).tolist()), {}, {}
    level = bar(len(stage.issued) * len(LIKELY), ALPHA)
    pictures = {"marked": stage.victims[0]}
    for name, reference in references.items():
        deltas = [averaging.common(stage.averaged[:k], reference[:k]) for k in counts]
        clean = [averaging.removed(stage.victims, delta) for delta in deltas]
        fake = [averaging.forged(stage.covers, delta) for delta in deltas]
        planes = yield from look(torch.cat([*clean, *fake]))
        groups = planes.split(VICTIMS)
        removed[name] = _curve(
            [_under_own(group, stage.own) for group in groups[: len(counts)]],
            [psnr(one, stage.originals) for one in clean],
            level,
        )
        forged[name] = _curve(
            [_under_best(group, stage.issued) for group in groups[len(counts) :]],
            [psnr(one, stage.covers) for one in fake],
            level,
        )
        shown = {
            "delta": (AMPLIFIED * deltas[-1]).clamp(-1, 1),
            "removed": clean[-1][0],
            "forged": fake[-1][0],
        }
        pictures |= {f"{word}, {name}": picture for word, picture in shown.items()}
    return Averaged(before, removed, forged, level, pictures)


def _each(patterns: Sequence[Tensor], x_t: Tensor, scheme: Scheme, strength: float) -> Tensor:
    """Every state (B, C, H, W) with the mark of its own pattern."""
    pairs = zip(patterns, x_t, strict=True)
    return torch.cat([ShallowDiffuse(scheme, pattern, strength).inject(x[None]) for pattern, x in pairs])


def _under_own(planes: Tensor, patterns: Sequence[Tensor]) -> Tensor:
    """The best z of whitened planes (B, U, G, n, n) over the guesses, each under its own pattern: (B,)."""
    pairs = zip(planes, patterns, strict=True)
    return torch.stack([detection.evidence(one, pattern, shifts=False).max() for one, pattern in pairs])


def _under_best(planes: Tensor, patterns: Sequence[Tensor]) -> Tensor:
    """The best z of whitened planes (B, U, G, n, n) over guesses and patterns: (B,)."""
    scores = [detection.evidence(planes, pattern, shifts=False).amax(1) for pattern in patterns]
    return torch.stack(scores).amax(0)


def _curve(z: Sequence[Tensor], psnr: Sequence[Tensor], level: float) -> Curve:
    return Curve(
        tuple(bootstrap(one.tolist()) for one in z),
        tuple(rate(int((one > level).sum()), len(one)) for one in z),
        tuple(bootstrap(one.tolist()) for one in psnr),
    )
