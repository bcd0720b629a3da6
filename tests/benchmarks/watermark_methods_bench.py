"""What `tests.benchmarks.watermark_methods` computes and keeps of one model in one scenario, block by block."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from backend.inference.catalogue import weights_sha256
from backend.inference.load import Model, load
from backend.inference.pictures import held_out
from backend.metrics.image import psnr, ssim
from backend.request import finish
from backend.sampling.travel import beginning
from backend.watermark.attacks import eight_bit, parse
from backend.watermark.evaluate import Detection
from backend.watermark.methods import (
    OURS,
    SHALLOW_STEPS,
    STEPS,
    Method,
    embed,
    methods,
    recommended,
    sample,
    scores,
)
from backend.watermark.network_attacks import attacked
from tests.benchmarks.editing import lpips
from tests.benchmarks.keeping import Keeper, from_bytes, to_bytes
from tests.benchmarks.watermark_methods_data import FEW, LABELS, SETTINGS, nulls, reference, secret
from tests.benchmarks.watermark_methods_table import DISTORTIONS, GROUPS, Found, at, table

BLOCK = 25
STRENGTHS = (0.1, 0.2, 0.35, 1.0)  # tried besides the recommended one, for the comparison at equal detection
MARKED, UNMARKED = 600_000, 700_000  # where each set begins, of drawn faces and of seeds


@dataclass(frozen=True)
class Bench:
    """One model in one scenario. fewest: unmarked pictures, whole blocks; kinds: of attacks, names in GROUPS."""

    name: str
    scenario: Literal["user", "server"]
    pictures: int
    fewest: int
    kinds: tuple[str, ...]
    checkpoints: Path

    @cached_property
    def keep(self) -> Keeper:
        """Other settings are computed anew."""
        settings = (
            SETTINGS[self.name].scheme().text(),
            SETTINGS[self.name].strength,
            weights_sha256(self.model.card),
            BLOCK,
            STEPS,
            SHALLOW_STEPS,
            STRENGTHS,
        )
        key = hashlib.sha256(repr(settings).encode()).hexdigest()[:8]
        return Keeper(self.checkpoints / f"{self.name}-{key}" / self.scenario)

    @property
    def model(self) -> Model:
        return load(self.name)

    @property
    def marked(self) -> int:
        """Pictures that are marked, whole blocks."""
        return min(self.pictures, FEW.get(self.name, self.pictures)) // BLOCK * BLOCK

    @property
    def unmarked(self) -> int:
        return max(self.marked, self.fewest)

    @property
    def blocks(self) -> range:
        return range(max(self.marked, self.unmarked) // BLOCK)

    @cached_property
    def methods(self) -> tuple[Method, ...]:
        return _methods(self.name)

    @cached_property
    def groups(self) -> dict[str, list[Method]]:
        """By the name of their first: methods whose detectors look at the same, with the recommended one at other strengths."""
        return {slug(group[0]): group for group in shared((*self.methods, *_strengths(self.name)))}

    def tasks(self, block: int) -> Iterator[tuple[str, Callable[[], dict[str, Tensor]]]]:
        """What is to be kept of one block, in an order in which each needs only those before it."""
        if block * BLOCK < self.marked:
            for name, group in self.groups.items():
                yield f"{block}/{name}/pictures", lambda group=group: self._mark(group, block)
        for chain in self.chains:
            after = chain or "clean"
            if block * BLOCK < self.unmarked:
                yield f"{block}/unmarked/{after}", lambda chain=chain: self._attack_unmarked(chain, block)
                for name in self.groups:
                    yield (
                        f"{block}/{name}/{after}-unmarked",
                        lambda name=name, chain=chain: self._score_unmarked(name, chain, block),
                    )
            if block * BLOCK < self.marked:
                for name in self.groups:
                    yield (
                        f"{block}/{name}/{after}",
                        lambda name=name, chain=chain: self._score(name, chain, block),
                    )

    @property
    def chains(self) -> tuple[str, ...]:
        return ("", *(chain for group in self.kinds for chain in GROUPS[group]))

    def _after(self, name: str, chain: str) -> list[Method]:
        """Those of a group that go through an attack: other strengths are only tried for the comparison at equal detection."""
        return [one for one in self.groups[name] if one in self.methods or chain in DISTORTIONS]

    def complete(self) -> bool:
        return all(self.keep.path(name).exists() for block in self.blocks for name, _ in self.tasks(block))

    def seconds(self) -> float:
        """What all of it took."""
        again = Keeper(self.keep.folder)
        for block in self.blocks:
            for name, compute in self.tasks(block):
                again(name, compute)
        return again.seconds

    def _given(self, block: int, first: int) -> tuple[Tensor, Tensor]:
        """Pictures of a block, or in the server's scenario noise to make them from, and the numbers of their labels."""
        model, labels = self.model, self.model.card.labels
        begin = first + block * BLOCK
        if self.scenario == "server":
            numbers = range(begin, begin + BLOCK)
            return beginning(model.denoiser, numbers), torch.tensor(numbers) % len(labels)
        if self.name in FEW:
            begin = block * BLOCK + (FEW[self.name] if first == UNMARKED else 0)
        pictures, names = held_out(model.card, range(begin, begin + BLOCK))
        return pictures, torch.tensor([labels.index(name) for name in names])

    def _mark(self, group: Sequence[Method], block: int) -> dict[str, Tensor]:
        given, labels = self._given(block, MARKED)
        if self.scenario == "server":
            made = finish(sample(group, self.model.denoiser, given, label=labels))
        else:
            made = finish(embed(group, self.model.denoiser, given))
        found = {}
        for method, (marked, twins) in zip(group, made, strict=True):
            measured = self._measured(marked, twins, given, labels)
            found |= {f"{slug(method)}.{name}": value for name, value in measured.items()}
        return found

    @torch.no_grad()
    def _measured(self, marked: Tensor, twins: Tensor, given: Tensor, labels: Tensor) -> dict[str, Tensor]:
        reader, levels = self.model.reader(), to_bytes(marked)
        marked = from_bytes(levels)
        features = reader.features(marked)
        found = {
            "marked": levels,
            "psnr": psnr(marked, twins),
            "ssim": ssim(marked, twins),
            "features": features,
            "twins": reader.features(eight_bit(twins)),
            "right": reader.logits(features).argmax(1) == labels,
        }
        if self.scenario == "user":
            found["way"] = psnr(twins, given)
        if lpips() and self.size > 8:
            each = zip(marked, twins, strict=True)
            found["lpips"] = torch.tensor([lpips()(a[None], b[None]) for a, b in each])
        return found

    @property
    def size(self) -> int:
        return self.model.denoiser.shape[-1]

    def _attacked(self, pictures: Tensor, chain: str, seed: int) -> Tensor:
        links = parse(chain, self.size)
        return eight_bit(finish(attacked(self.model.denoiser, self.model.reader(), pictures, links, seed)))

    def _score(self, name: str, chain: str, block: int) -> dict[str, Tensor]:
        """Of all methods of a group in one batch, since they look at the same."""
        group, kept = self._after(name, chain), self.keep(f"{block}/{name}/pictures", dict)
        after = [
            self._attacked(from_bytes(kept[f"{slug(method)}.marked"]), chain, block * BLOCK)
            for method in group
        ]
        detectors = [_detector(method, chain) for method in group]
        found = finish(scores(detectors, self.model.denoiser, torch.cat(after)))
        return {
            slug(method): one.split(BLOCK)[place]
            for place, (method, one) in enumerate(zip(group, found, strict=True))
        }

    def _attack_unmarked(self, chain: str, block: int) -> dict[str, Tensor]:
        if not chain:
            given, labels = self._given(block, UNMARKED)
            plain = self.methods[0]  # without a mark
            if self.scenario == "server":
                given, _ = finish(plain.sample(self.model.denoiser, given, label=labels))
            return {"pictures": to_bytes(given)}
        pictures = from_bytes(self.keep(f"{block}/unmarked/clean", dict)["pictures"])
        return {"pictures": to_bytes(self._attacked(pictures, chain, UNMARKED + block * BLOCK))}

    def _score_unmarked(self, name: str, chain: str, block: int) -> dict[str, Tensor]:
        pictures = from_bytes(self.keep(f"{block}/unmarked/{chain or 'clean'}", dict)["pictures"])
        group = self._after(name, chain)
        found = finish(scores([_detector(method, chain) for method in group], self.model.denoiser, pictures))
        return {slug(method): one for method, one in zip(group, found, strict=True)}

    def found(self, method: Method) -> Found:
        """All blocks of one method together."""
        (group,) = [name for name, group in self.groups.items() if method in group]

        def whole(what: str, key: str, count: int) -> Tensor | None:
            parts = [self.keep(f"{block}/{group}/{what}", dict).get(key) for block in range(count // BLOCK)]
            return torch.cat(parts) if parts[0] is not None else None

        names = ("psnr", "ssim", "way", "lpips", "features", "twins", "right")
        pictures = {name: whole("pictures", f"{slug(method)}.{name}", self.marked) for name in names}
        detections = {
            chain: Detection(
                whole(chain or "clean", slug(method), self.marked),
                whole(f"{chain or 'clean'}-unmarked", slug(method), self.unmarked),
            )
            for chain in self.chains
            if method in self._after(group, chain)
        }
        return Found(**pictures, detections=detections)

    def rows(self) -> Iterator[dict[str, Any]]:
        found = {method.name: self.found(method) for group in self.groups.values() for method in group}
        ordered = {method.name: found.pop(method.name) for method in self.methods}
        ordered |= {**found, at(SETTINGS[self.name].strength): ordered[OURS]}
        yield from table(f"{self.name}, {self.scenario}", ordered, reference(self.name), LABELS[self.name])


def slug(method: Method) -> str:
    """The name of a method as that of a folder."""
    return re.sub(r"[^a-z0-9.]+", "-", method.name.lower())


def shared(some: Sequence[Method]) -> list[list[Method]]:
    """Methods whose detectors look at the same, together."""
    ordered = sorted(some, key=lambda method: repr(method.detector.way))
    return [list(group) for _, group in groupby(ordered, key=lambda method: method.detector.way)]


def _detector(method: Method, chain: str) -> Any:
    """What a method looks with after an attack."""
    return method.detector.searching() if chain in GROUPS["geometric"] else method.detector


@cache
def _methods(name: str) -> tuple[Method, ...]:
    asked = SETTINGS[name]
    return methods(load(name).denoiser.shape, secret(name), asked.scheme(), asked.strength, nulls(name))


@cache
def _strengths(name: str) -> tuple[Method, ...]:
    """The recommended method at other strengths."""
    asked, shape = SETTINGS[name], load(name).denoiser.shape
    made = (recommended(shape, secret(name), asked.scheme(), s, nulls(name)) for s in STRENGTHS)
    return tuple(
        Method(at(s), one.watermark, one.steps, one.detector, one.channels)
        for s, one in zip(STRENGTHS, made, strict=True)
    )
