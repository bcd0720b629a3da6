"""Two-way analysis of variance of samples x_ij, one for each noise i and class j (Scheffe, The Analysis of Variance, 1959, ch. 4).

    x_ij = m + a_i + b_j + r_ij,      m, a and b the mean of all, and of a noise and a class less that

    sum |x_ij - m|^2 = K sum_i |a_i|^2 + n sum_j |b_j|^2 + sum_ij |r_ij|^2

The three terms over the whole are what the noise explains, whatever the class; what the class explains, whatever the noise; and
what only both together do. They add up to 1. If n samples of each class had nothing but r, the class would still explain 1 / n of
it by chance.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.metrics.intervals import Estimate, jackknife


@dataclass(frozen=True)
class Shares:
    """Of the variance of n K samples, with jackknife intervals over the n noises: by noise, by class, by both together."""

    noise: Estimate
    label: Estimate
    both: Estimate


def shares(samples: Tensor) -> Shares:
    """Of samples (n, K, ...), at least 3 noises and 2 classes.

    Raises:
        ValueError: for fewer, or samples that are all the same.
    """
    n, classes = samples.shape[:2]
    if n < 3 or classes < 2:
        raise ValueError("Shares of the variance need at least 3 noises and 2 classes.")
    flat = samples.flatten(2).double()
    flat = flat - flat.mean((0, 1))
    # Inner products once, so that leaving out a noise costs n^2, whatever the size of a picture.
    means = flat.mean(1)
    between = (means @ means.mT).numpy()
    within = (torch.einsum("ijd,kjd->ik", flat, flat) / classes).numpy()
    if np.trace(within) <= 0:
        raise ValueError("Samples that are all the same have no variance to share.")

    def parts(places: np.ndarray) -> tuple[float, float, float]:
        """Of these noises: what each part explains."""
        among, inside = between[np.ix_(places, places)], within[np.ix_(places, places)]
        centre = among.mean()
        whole = np.diag(inside).mean() - centre
        noise, label = np.diag(among).mean() - centre, inside.mean() - centre
        return noise / whole, label / whole, 1 - (noise + label) / whole

    each = [jackknife(n, lambda places, k=k: max(0.0, parts(places)[k])) for k in range(3)]
    return Shares(*(Estimate(e.value, e.low, min(e.high, 1.0), n) for e in each))
