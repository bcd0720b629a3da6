"""The trade of a watermark: where in the spectrum of the Jacobian it lies and at which t, against how little it shows and how surely it is found."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from backend.experiments.watermark import EmbedWatermark
from backend.experiments.watermark_verify import unmarked
from backend.inference.load import Model
from backend.request import Progress, Request, option, require
from backend.watermark import fourier, frontier
from backend.watermark.attacks import parse, text
from backend.watermark.gaussian_shading import GaussianShading
from backend.watermark.key import random_keys
from backend.watermark.network_attacks import possible
from backend.watermark.ringid import RingID
from backend.watermark.scheme import Scheme
from backend.watermark.tree_ring import TreeRing
from backend.watermark.trial import Bench, Point, Site

PLACEMENTS = {  # from low to high frequency; radii in cycles a picture of 64 pixels, scaled with others
    "0-4": ("zero", 0.0, 4.0),
    "2-8": ("zero", 2.0, 8.0),
    "4-16": ("zero", 4.0, 16.0),
    "8-20": ("zero", 8.0, 20.0),
    "16-31": ("zero", 16.0, 31.0),
    "nyquist": ("nyquist", 0.0, 10.0),  # the paper's
}
RIVALS = {"Tree-Ring": TreeRing, "RingID": RingID, "Gaussian Shading": GaussianShading}
OURS, RECOMMENDED = "Shallow Diffuse", "the tab's default"
DEFAULT = EmbedWatermark()  # its placement is 4-16
PSNRS = (30.0, 34.0, 38.0, 42.0, 46.0)  # dB, which strengths are chosen for
RIVAL_STEPS = 25  # all the way to x_1
TRADE_FROM = 160_000  # held-out pictures begin here, behind those of rates


@dataclass(frozen=True)
class Trade:
    """What was measured so far. chains: of attacks, the first "" for none. pictures: of each kind in each point."""

    points: tuple[Point, ...]
    sites: tuple[Site, ...]
    chains: tuple[str, ...]
    pictures: int

    def of(self, *methods: str) -> list[Point]:
        """The points of these methods, as measured."""
        return [point for point in self.points if point.method in methods]

    def frontier(self) -> list[Point]:
        """The points of Shallow Diffuse that no other beats in PSNR and in worst-case d', nor any placement between two of its strengths; from low PSNR
        to high."""
        ours = self.of(OURS, RECOMMENDED)
        edge = [ours[i] for i in frontier.frontier(*_axes(ours))]
        sites = {(point.t, point.placement) for point in self.of(OURS)}
        return [
            p
            for p in edge
            if not any(self.at(*site, p.psnr.value) > p.detectability + 1e-9 for site in sites)
        ]

    def knee(self) -> Point | None:
        """The knee of the frontier, if it has one. The weakest mark measured in its place is none: there measuring ends, not the frontier."""
        edge = self.frontier()
        found = frontier.knee(*_axes(edge))
        return None if found is None or self.is_weakest(edge[found]) else edge[found]

    def is_weakest(self, point: Point) -> bool:
        """Whether no weaker mark was measured in its place: what lies beyond is not known."""
        here = [p.psnr.value for p in self.of(OURS) if (p.t, p.placement) == (point.t, point.placement)]
        return point.psnr.value >= max(here, default=0.0)

    def reached(self, detectability: float) -> float | None:
        """The PSNR on the frontier at this d', between points interpolated."""
        return frontier.reached(*_axes(self.frontier()), detectability)

    def at(self, t: float, placement: str, decibels: float) -> float:
        """The worst-case d' of a placement at one PSNR, between the strengths measured; NaN beyond them."""
        here = [p for p in self.of(OURS) if (p.t, p.placement) == (t, placement)]
        x, y = _axes(sorted(here, key=lambda p: p.psnr.value))
        return float(np.interp(decibels, x, y, np.nan, np.nan)) if x else np.nan


def _axes(points: list[Point]) -> tuple[list[float], list[float]]:
    return [point.psnr.value for point in points], [point.detectability for point in points]


@dataclass(frozen=True)
class WatermarkTrade(Request):
    """PSNR against detectability of marks in rings from low to high frequency, at several t, each as strong as costs 30 to 46 dB; and of rivals.

    A picture is marked by inversion, unmarked ones go through the same attacks; d' is of our detector, or of a rival's own score on the inverted x_1.
    """

    model: str = option("avatars", "the model")
    times: tuple[float, ...] = option((0.05, 0.1, 0.2, 0.3, 0.5), "the times t")
    placements: tuple[str, ...] = option(tuple(PLACEMENTS), "the placements")
    chains: tuple[str, ...] = option(("jpeg", "blur", "noise"), "the chains of attacks")
    pictures: int = option(16, "the number of pictures of each kind")

    def check(self) -> None:
        require(1 <= len(set(self.times)) == len(self.times) <= 8, "Ask for 1 to 8 different times t.")
        require(all(0.01 <= t <= 0.9 for t in self.times), "Every time t must be between 0.01 and 0.9.")
        known = f"A placement is one of {', '.join(PLACEMENTS)}; name each once."
        require(bool(self.placements) and set(self.placements) <= set(PLACEMENTS), known)
        require(len(set(self.placements)) == len(self.placements), known)
        require(len(self.chains) <= 4, "Ask for at most 4 chains of attacks.")
        for chain in self.chains:
            parse(chain)
        require(4 <= self.pictures <= 64, "Ask for 4 to 64 pictures of each kind.")

    def seconds(self) -> float:
        return 300.0

    def run(self, model: Model) -> Iterator[Any]:
        n, size = self.pictures, model.denoiser.shape[-1]
        chains, reader = tuple(text(parse(chain, size)) for chain in ("", *self.chains)), model.reader()
        for chain in chains:
            possible(parse(chain), reader)
        pictures = unmarked(model.card, TRADE_FROM, 2 * n)
        own, other = (part.to(model.device) for part in (pictures[0::2], pictures[1::2]))
        bench = Bench(model.denoiser, reader, chains, own, other, random_keys(n, 0))
        times = {t: self._schemes(t, size) for t in sorted(self.times)}
        require(bool(times[self.times[0]]), "No wave of this model's pictures lies in these placements.")
        points: list[Point] = []
        sites: list[Site] = []
        total = 1 + sum(map(len, times.values())) * len(PSNRS) + len(RIVALS)
        done = 0

        def told() -> Trade:
            return Trade(tuple(points), tuple(sites), chains, n)

        scheme = _scheme("4-16", DEFAULT.t, size)
        usual = yield from _as(bench.start(scheme.t, DEFAULT.steps, bench.planes(scheme)), done, total)
        at = (RECOMMENDED, scheme.t, "4-16", DEFAULT.strength)
        points.append((yield from _as(bench.ours(usual, scheme, at), done, total)))
        done += 1
        yield told()
        for t, schemes in times.items():
            see = bench.planes(next(iter(schemes.values())))
            if t == usual.t:
                start = usual
            else:
                start = yield from _as(bench.start(t, DEFAULT.steps, see), done, total)
            sites += yield from _as(bench.sites(start, schemes), done, total)
            for name, scheme in schemes.items():
                strengths = yield from _as(
                    bench.strengths(start, scheme, PSNRS, DEFAULT.strength), done, total
                )
                for strength in strengths:
                    at = (OURS, t, name, strength)
                    points.append((yield from _as(bench.ours(start, scheme, at), done, total)))
                    yield told()
                done += len(PSNRS)
        start = yield from _as(bench.start(1.0, RIVAL_STEPS, bench.inverted(RIVAL_STEPS)), done, total)
        for name, method in RIVALS.items():
            points.append((yield from _as(bench.rival(start, name, method), done, total)))
            done += 1
            yield told()

    def _schemes(self, t: float, size: int) -> dict[str, Scheme]:
        """The placements that hold waves of these pictures, from low frequency to high."""
        every = {name: _scheme(name, t, size) for name in PLACEMENTS if name in self.placements}
        return {
            name: scheme
            for name, scheme in every.items()
            if fourier.annulus(size, scheme.inner, scheme.outer, scheme.centre).any()
        }


def _scheme(name: str, t: float, size: int) -> Scheme:
    centre, inner, outer = PLACEMENTS[name]
    return Scheme(
        DEFAULT.family, centre, inner * size / 64, outer * size / 64, DEFAULT.channels, t, DEFAULT.steps
    )


def _as(steps: Iterator[Any], done: int, total: int) -> Iterator[Progress]:
    """What a generator returns; its progress becomes that of the whole, a point at a time."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value
        yield Progress(done, total, "points")
