"""What can be had together of two things that both should be large, such as how little a mark shows and how surely it is found.

A point is dominated where another is at least as good in both and better in one (Pareto). What is left is the frontier; its knee is the point farthest outside
the chord between its ends, both axes scaled to their range there (Das 1999, "On characterizing the 'knee' of the Pareto curve",
https://doi.org/10.1007/BF01195985). Beyond it, more of the one costs much of the other.
"""

from collections.abc import Sequence


def frontier(x: Sequence[float], y: Sequence[float]) -> list[int]:
    """The places of the points that no other dominates, from small x to large, and so from large y to small. Of equal points all are kept.

    Args:
        x, y: as long as each other; larger is better. A point with NaN is on no frontier.
    """
    order = sorted((i for i in range(len(x)) if x[i] == x[i] and y[i] == y[i]), key=lambda i: (-x[i], -y[i]))
    kept: list[int] = []
    for i in order:  # from large x: y must rise
        equal = bool(kept) and (x[i], y[i]) == (x[kept[-1]], y[kept[-1]])
        if not kept or y[i] > y[kept[-1]] or equal:
            kept.append(i)
    return kept[::-1]


def knee(x: Sequence[float], y: Sequence[float]) -> int | None:
    """The place of the knee in a frontier given from small x to large; None where no point lies outside the chord: the frontier is straight or sags.

    Args:
        x, y: rising and falling, as `frontier` orders them.
    """
    if len(x) < 3 or x[-1] <= x[0] or y[0] <= y[-1]:
        return None
    across = [(value - x[0]) / (x[-1] - x[0]) for value in x]
    up = [(value - y[-1]) / (y[0] - y[-1]) for value in y]
    outside = [a + b - 1 for a, b in zip(across, up, strict=True)]  # the chord is a + b = 1
    best = max(range(len(outside)), key=outside.__getitem__)
    return best if outside[best] > 1e-9 else None


def reached(x: Sequence[float], y: Sequence[float], least: float) -> float | None:
    """The largest x with at least so much y, on the line through the points of a frontier given from small x to large; None where none has it."""
    enough = [i for i in range(len(x)) if y[i] >= least]
    if not enough:
        return None
    i = enough[-1]
    if i == len(x) - 1:
        return x[i]
    return x[i] + (x[i + 1] - x[i]) * (y[i] - least) / (y[i] - y[i + 1])
