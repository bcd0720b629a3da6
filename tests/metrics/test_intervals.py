import numpy as np
import pytest
from scipy.stats import beta, t

from backend.metrics.intervals import bootstrap, jackknife, rate


@pytest.mark.parametrize(("k", "n"), [(0, 10), (1, 7), (37, 50), (1899, 2000), (12, 12)])
def test_a_rate_has_the_interval_of_clopper_and_pearson(k, n):
    """Whose ends are quantiles of beta distributions."""
    found = rate(k, n)
    low = 0.0 if k == 0 else beta.ppf(0.025, k, n - k + 1)
    high = 1.0 if k == n else beta.ppf(0.975, k + 1, n - k)
    assert (found.value, found.n) == (k / n, n)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-9)


def test_a_rate_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one observation"):
        rate(0, 0)


def test_bootstrap_of_a_mean_is_near_students_interval():
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = bootstrap(values)
    half = t.ppf(0.975, 399) * values.std(ddof=1) / 20
    assert (found.value, found.n) == (pytest.approx(values.mean()), 400)
    assert (found.low, found.high) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=0.1 * half
    )


def test_bootstrap_covers_as_often_as_it_says():
    """The mean of 30 skewed (exponential) numbers, 150 times: 95 % are promised, BCa keeps about 92 %."""
    rng = np.random.default_rng(1)
    found = [bootstrap(rng.exponential(1.0, 30), seed=i) for i in range(150)]
    covered = sum(e.low <= 1.0 <= e.high for e in found)
    assert 0.86 * 150 <= covered <= 0.99 * 150


def test_bootstrap_of_another_statistic():
    values = np.random.default_rng(2).exponential(1.0, 201)
    found = bootstrap(values, np.median)
    assert found.value == np.median(values) and found.low < found.value < found.high
    assert found.low < np.log(2) < found.high


def test_bootstrap_repeats_itself():
    values = [1.0, 5.0, 2.0, 8.0]
    assert bootstrap(values, seed=3) == bootstrap(values, seed=3)


@pytest.mark.parametrize("values", [[2.5], [2.5] * 6])
def test_without_spread_the_interval_is_a_point(values):
    found = bootstrap(values)
    assert (found.value, found.low, found.high, found.n) == (2.5, 2.5, 2.5, len(values))


def test_nearly_without_spread_the_interval_is_a_number():
    found = bootstrap([1.0] * 60 + [1.1], np.median)
    assert found.value == found.low == found.high == 1.0


def test_jackknife_of_a_mean_is_students_interval():
    values = np.random.default_rng(0).normal(3, 2, 12)
    found = jackknife(12, lambda places: values[places].mean())
    half = t.ppf(0.975, 11) * values.std(ddof=1) / np.sqrt(12)
    assert (found.value, found.n) == (pytest.approx(values.mean()), 12)
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half))


def test_jackknife_of_what_cannot_be_negative_ends_at_0():
    values = np.array([0.1, -0.2, 0.3, -0.1])
    found = jackknife(4, lambda places: values[places].mean() ** 2)
    assert 0 == found.low <= found.value <= found.high
