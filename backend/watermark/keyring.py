"""Whose mark is it? Many keys are tried on one picture, and the chance of a false find is kept for all of them together.

A score z, standard normal without that key's mark, has p = P(Z >= z). Of K keys the least p is small by chance alone, so that each is
multiplied by K (Bonferroni), which bounds the chance of naming any key wrongly by alpha however the scores depend on each other. Where z is
the largest of several looks, each look counts as a key.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

from backend.request import require
from backend.watermark.key import MOST_SUB_KEYS, Key


@dataclass(frozen=True)
class Identified:
    """Which of K keys a picture carries.

    Args:
        name: of the key with the largest score, None if its adjusted p is above alpha.
        p_adjusted: min(1, K tries p) of the largest score.
        p: of each key, one-sided, unadjusted; 0 where z > 38.
        bar: the z that a key must reach to be named.
        others: further keys that pass the same bar. With rings it happens that two keys agree; else somebody else's mark lies there too.
        revoked: whether the key that was found is among those that should no longer be trusted.
    """

    name: str | None
    p_adjusted: float
    p: tuple[float, ...]
    bar: float
    others: tuple[str, ...] = ()
    revoked: bool = False


def identify(
    scores: Tensor, names: Sequence[str], alpha: float = 0.01, revoked: Collection[str] = (), tries: int = 1
) -> Identified:
    """The key whose mark a picture carries, if any.

    Args:
        scores: z of each key, (K,); standard normal without the mark, or the largest of `tries` such numbers.
        names: of the keys, such as their fingerprints.
        alpha: the largest chance, in (0, 1), of naming a key for a picture that carries none.
        revoked: names that are still recognised, but no longer trusted.
        tries: in how many ways each key was looked for.

    Raises:
        BadInput: if there is no key, or two of one name.
        ValueError: if a score is not a number, or scores, names or alpha do not fit.
    """
    count = len(names)
    require(count > 0, "This keyring is empty; add a key to it first.")
    require(len(set(names)) == count, "Two keys of this keyring have the same name.")
    if scores.shape != (count,) or bool(scores.isnan().any()) or not 0 < alpha < 1:
        raise ValueError("identify needs one score, a number, for each name, and a level between 0 and 1.")
    scores = scores.double().cpu()
    p = torch.special.erfc(scores / math.sqrt(2)) / 2  # ndtr(-z) would round a small p to 0
    adjusted = (count * tries * p).clamp(max=1)
    best = int(scores.argmax())  # of p's that underflow too
    found = [i for i in range(count) if float(adjusted[i]) <= alpha]
    name = names[best] if best in found else None
    others = tuple(names[i] for i in found if i != best)
    return Identified(
        name, float(adjusted[best]), tuple(p.tolist()), bar(count * tries, alpha), others, name in revoked
    )


def bar(tries: int, alpha: float) -> float:
    """The z that the largest of so many standard normal numbers exceeds with a chance of at most alpha, by Bonferroni."""
    return -NormalDist().inv_cdf(alpha / tries)


def sub_keys(key: Key, count: int) -> list[Key]:
    """The sub-keys 0 to count - 1: each marks its own pictures, and a verifier tries them all with `identify`. Averaging many pictures
    of one owner then no longer adds up one pattern; the price is that each p is multiplied by their number.

    Raises:
        BadInput: unless 1 <= count <= 10,000.
    """
    require(type(count) is int and 1 <= count <= MOST_SUB_KEYS, f"Ask for 1 to {MOST_SUB_KEYS:,} sub-keys.")
    return [key.sub_key(number) for number in range(count)]
