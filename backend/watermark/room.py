"""How much room the Jacobian leaves: |J dx| / |dx|, the share of a change in x_t that the posterior mean shows.

Shallow Diffuse, Theorem 1 (https://arxiv.org/abs/2410.21088): for a uniformly random direction and J of rank r on d dimensions, with probability at least
1 - 1/r,

    |J dx| / |dx| <= |J| h(r),        h(r) = sqrt( r/d + sqrt( 18 pi^3 log(2 r) / (d - 2) ) )

The second term is nearly all of it: at d = 12,288 and r = d/100 the bound is .5 |J|, where a random direction really gives about sqrt(r/d) = .1 |J|; and a mark
is no random direction. So it is measured.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Gauge:
    """|J dx| / |dx| of the mark, of random directions (mean of eight), of the first singular vector, which is |J|, and the theorem's bound for a
    random direction with r/d = 1 %, the paper's assumption."""

    mark: float
    random: float
    largest: float
    bound: float


def bound(r: int, d: int) -> float:
    """h(r), for 1 <= r <= d and d > 2."""
    r = max(r, 1)
    return math.sqrt(r / d + math.sqrt(18 * math.pi**3 * math.log(2 * r) / (d - 2)))
