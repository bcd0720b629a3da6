"""95 % intervals: of a rate (Clopper-Pearson) and of any statistic of a sample (bootstrap), by scipy.stats; of a statistic that
copies of an observation would bias (jackknife)."""

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


def jackknife(n: int, statistic: Callable[[np.ndarray], float]) -> Estimate:
    """A statistic of n observations, asked for by their places, with the interval of its jackknife standard error by Student's t.

    For distances of covariances, which every sample that is drawn twice makes larger: a bootstrap interval may then lie
    wholly above the value (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 11.2).

    Args:
        statistic: at least 0, of the observations at these places (m,).
    """
    from scipy.stats import t

    every = np.arange(n)
    value = float(statistic(every))
    without = np.array([statistic(np.delete(every, i)) for i in every])
    error = float(np.sqrt((n - 1) * without.var()))
    reach = float(t.ppf(0.975, n - 1)) * error
    return Estimate(value, max(0.0, value - reach), value + reach, n)
