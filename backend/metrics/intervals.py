"""95 % intervals, by scipy.stats: of a rate (Clopper-Pearson), of any statistic of a sample (bootstrap)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval [low, high] from n observations."""

    value: float
    low: float
    high: float
    n: int


def rate(successes: int, n: int) -> Estimate:
    """A proportion with its exact (Clopper-Pearson) interval. Raises ValueError if n is 0."""
    from scipy.stats import binomtest

    if n < 1:
        raise ValueError("A rate needs at least one observation.")
    low, high = binomtest(successes, n).proportion_ci(0.95, method="exact")
    return Estimate(successes / n, float(low), float(high), n)


def bootstrap(values: Sequence[float], statistic: Callable = np.mean, seed: int = 0) -> Estimate:
    """A statistic of a sample with its bootstrap interval, BCa, or percentile where nearly all values are equal and BCa is
    not defined; a point where all are."""
    from scipy.stats import bootstrap as resample

    data = np.asarray(values, dtype=float)
    value = float(statistic(data))
    if len(data) < 2 or np.ptp(data) == 0:
        return Estimate(value, value, value, len(data))
    found = resample((data,), statistic, n_resamples=2000, rng=seed)
    interval = found.confidence_interval
    if not np.isfinite([interval.low, interval.high]).all():
        found = resample((data,), statistic, n_resamples=0, bootstrap_result=found, method="percentile")
        interval = found.confidence_interval
    return Estimate(value, float(interval.low), float(interval.high), len(data))
