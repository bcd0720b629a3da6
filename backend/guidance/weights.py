"""How strongly to guide at which noise level l = sigma / alpha: weights that are piecewise linear in log l.

A weight is gamma in D_c + gamma (D_c - D_u); gamma = -1 is the unconditional model. Its area over the log noise level,

    area = integral of gamma(l) d log l  between two ends,

is exact, a sum over trapezoids. Two weights of one area push as long and as hard in all, at different noise levels.

    constant     gamma everywhere
    interval     gamma in the window                             Kynkaanniemi et al. (https://arxiv.org/abs/2404.07724)
    triangle     0 at the window's ends, 2 gamma in its middle   the shape of TV-CFG (https://arxiv.org/abs/2509.22007), there
                 over the step index
    early, late  gamma in the noisier, in the cleaner half of the window
    linear       gamma at the window's high end, falling to `end` >= -1 at the low one: a negative window where end < 0
                 (https://arxiv.org/abs/2602.00716, section 4.2, there linear in the time of its process)
    switch       gamma, and -1 below one noise level             backend.guidance.theory.switch_level
    curve        through drawn points, and constant beyond the outermost

A window is low < l <= high; outside it nothing is guided.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from backend.guidance.theory import switch_level
from backend.request import require

LARGEST = 100.0  # of a weight
MOST_POINTS = 100  # of a curve
OUT_OF_RANGE = "The guidance weight gamma must be a number from -1 to 100."
NO_AREA = "A weight without area cannot be scaled to another area."


@dataclass(frozen=True)
class Piece:
    """On low < l <= high a weight that goes from at_low to at_high, linearly in log l; constant where an end is 0 or inf."""

    low: float
    high: float
    at_low: float
    at_high: float

    def at(self, level: float) -> float:
        if self.at_low == self.at_high:
            return self.at_low
        share = math.log(level / self.low) / math.log(self.high / self.low)
        return self.at_low + share * (self.at_high - self.at_low)


@dataclass(frozen=True)
class NoiseWeight:
    """A weight over the noise level for `Guided`: pieces from the lowest level up that do not overlap, 0 between them.

    Raises:
        BadInput: where a weight lies outside [-1, 100].
    """

    pieces: tuple[Piece, ...]

    def __post_init__(self) -> None:
        ends = [value for piece in self.pieces for value in (piece.at_low, piece.at_high)]
        require(
            all(-1 <= value <= LARGEST for value in ends),
            f"The weight would go from {min(ends, default=0):.4g} to {max(ends, default=0):.4g}; it must stay from -1 to 100.",
        )

    def __call__(self, level: Tensor) -> Tensor:
        """gamma at noise levels of any shape, in their dtype."""
        weight = torch.zeros_like(level)
        for p in self.pieces:
            if p.at_low == p.at_high:
                value = torch.full_like(level, p.at_low)
            else:
                share = (level.clamp_min(p.low) / p.low).log() / math.log(p.high / p.low)
                value = p.at_low + share * (p.at_high - p.at_low)
            inside = (level > p.low) & (level <= p.high)
            if p.low == 0:
                inside = inside | (level == 0)  # a window from 0 holds the picture itself
            weight = torch.where(inside, value, weight)
        return weight

    @property
    def knots(self) -> tuple[float, ...]:
        """The noise levels, rising, at which the weight bends or jumps."""
        ends = {level for piece in self.pieces for level in (piece.low, piece.high)}
        return tuple(sorted(level for level in ends if 0 < level < math.inf))

    def area(self, low: float, high: float) -> float:
        """The exact integral over log l from the level low > 0 to high."""
        _window(low, high, least=True)
        total = 0.0
        for piece in self.pieces:
            a, b = max(piece.low, low), min(piece.high, high)
            if a < b:
                total += (piece.at(a) + piece.at(b)) / 2 * math.log(b / a)
        return total

    def scaled(self, factor: float) -> "NoiseWeight":
        return NoiseWeight(
            tuple(Piece(p.low, p.high, factor * p.at_low, factor * p.at_high) for p in self.pieces)
        )

    def at_equal_area(self, area: float, low: float, high: float) -> "NoiseWeight":
        """The multiple of this weight whose area from low to high is the given one.

        Raises:
            BadInput: if this weight's own area is 0 there, or the multiple leaves [-1, 100].
        """
        own = self.area(low, high)
        scale = max((abs(v) for p in self.pieces for v in (p.at_low, p.at_high)), default=0.0)
        require(
            abs(own) > 1e-12 * scale * math.log(high / low), NO_AREA
        )  # opposite halves cancel to rounding
        return self.scaled(area / own)


def constant(gamma: float) -> NoiseWeight:
    return NoiseWeight((Piece(0.0, math.inf, *[checked(gamma)] * 2),))


def interval(gamma: float, low: float, high: float) -> NoiseWeight:
    _window(low, high)
    return NoiseWeight((Piece(low, high, *[checked(gamma)] * 2),))


def triangle(gamma: float, low: float, high: float) -> NoiseWeight:
    """Its mean over the window is gamma: the area is that of `interval`."""
    _window(low, high, least=True)
    middle, peak = math.sqrt(low * high), 2 * checked(gamma)
    return NoiseWeight((Piece(low, middle, 0.0, peak), Piece(middle, high, peak, 0.0)))


def early(gamma: float, low: float, high: float) -> NoiseWeight:
    _window(low, high, least=True)
    return interval(gamma, math.sqrt(low * high), high)


def late(gamma: float, low: float, high: float) -> NoiseWeight:
    _window(low, high, least=True)
    return interval(gamma, low, math.sqrt(low * high))


def linear(gamma: float, low: float, high: float, end: float = -1.0) -> NoiseWeight:
    _window(low, high, least=True)
    return NoiseWeight((Piece(low, high, checked(end), checked(gamma)),))


def switch(gamma: float, variance_c: float, variance_u: float) -> NoiseWeight:
    """gamma above the one noise level, -1 below it, at which the ODE keeps the variance of this mode.

    Raises:
        BadInput: for gamma <= 0 or equal variances, where there is nothing to undo.
    """
    require(checked(gamma) > 0, "The switch needs a gamma above 0.")
    level = switch_level(variance_c, variance_u, gamma)
    require(
        level is not None,
        "The switch needs a mode whose variance in the class differs from that in all data.",
    )
    return NoiseWeight((Piece(0.0, level, -1.0, -1.0), Piece(level, math.inf, gamma, gamma)))


def curve(points: Sequence[tuple[float, float]]) -> NoiseWeight:
    """Through points (noise level, gamma) in any order, with one gamma for each level."""
    require(len(points) >= 1, "Draw at least one point of the curve.")
    require(len(points) <= MOST_POINTS, f"A curve has at most {MOST_POINTS} points.")
    points = sorted((float(level), checked(gamma)) for level, gamma in points)
    levels = [level for level, _ in points]
    require(
        all(0 < level < math.inf for level in levels), "Every point of the curve needs a noise level above 0."
    )
    require(len(set(levels)) == len(levels), "Two points of the curve have the same noise level.")
    (first, at_first), (last, at_last) = points[0], points[-1]
    between = [Piece(a, b, at_a, at_b) for (a, at_a), (b, at_b) in pairwise(points)]
    return NoiseWeight(
        (Piece(0.0, first, at_first, at_first), *between, Piece(last, math.inf, at_last, at_last))
    )


def checked(gamma: float) -> float:
    """The gamma that was asked for. Raises BadInput for NaN and outside [-1, 100]."""
    require(-1 <= gamma <= LARGEST, OUT_OF_RANGE)  # NaN is not
    return float(gamma)


def _window(low: float, high: float, least: bool = False) -> None:
    require(low >= 0 and high >= 0, "The ends of the window must be noise levels of 0 or more.")
    require(low < high, "The window is empty: its low end must be below its high end.")
    require(
        not least or (low > 0 and high < math.inf),
        "The window needs ends above 0, because it is cut on a log scale.",
    )
