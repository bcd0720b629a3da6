"""d' against its closed form on normal scores, and how often its interval holds."""

import pytest
import torch

from backend.watermark.evaluate import Detection
from backend.watermark.separation import d_prime


def scores(seed, n, mean, spread=1.0):
    generator = torch.Generator().manual_seed(seed)
    return mean + spread * torch.randn(n, generator=generator, dtype=torch.float64)


def test_of_normal_scores_it_is_the_distance_and_says_what_the_auc_says():
    marked, unmarked = scores(0, 4000, 2.0, 1.5), scores(1, 4000, 0.5, 0.5)
    found = d_prime(marked, unmarked)
    assert found.value == pytest.approx(1.5 / 1.25**0.5, abs=0.06) and found.n == 8000
    by_area = torch.special.ndtr(torch.tensor(found.value / 2**0.5))
    assert Detection(marked, unmarked).auc().value == pytest.approx(float(by_area), abs=0.01)


def test_it_does_not_depend_on_unit_and_zero():
    marked, unmarked = scores(0, 12, 3.0), scores(1, 12, 0.0)
    one, other = d_prime(marked, unmarked), d_prime(7 - 40 * unmarked, 7 - 40 * marked)
    assert other.value == pytest.approx(one.value) and other.low == pytest.approx(one.low)


def test_19_of_20_intervals_hold_the_truth():
    held, trials = 0, 400
    for seed in range(trials):
        found = d_prime(scores(2 * seed, 24, 3.0, 1.4), scores(2 * seed + 1, 24, 0.0, 1.0))
        held += found.low < 3 / ((1.4**2 + 1) / 2) ** 0.5 < found.high
    assert 0.92 < held / trials < 0.98


def test_constant_scores_and_too_few():
    assert d_prime(torch.zeros(4), torch.zeros(4)).value == 0
    with pytest.raises(ValueError, match="at least two"):
        d_prime(torch.zeros(1), torch.zeros(4))
