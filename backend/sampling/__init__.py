"""Sampling and inversion: generators of states that follow the probability flow of a denoiser.

Every solver is called as solve(D, x, times) and yields (x, x0_hat) after each evaluation of D; the last x is
at times[-1]. Falling times turn noise into a picture, rising ones invert a picture. x keeps its dtype; times
are float64.
"""

from collections import deque
from collections.abc import Iterable

from torch import Tensor


def last(states: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Run a solver to its end and return the final x.

    Raises:
        ValueError: if there is no state.
    """
    final = deque(states, maxlen=1)
    if not final:
        raise ValueError("A solver needs at least two times.")
    return final[0][0]
