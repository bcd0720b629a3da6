"""Rates of detection against scikit-learn and closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from backend.watermark.evaluate import Detection


def normals(shift: float, n: int = 400, m: int = 500, seed: int = 0) -> Detection:
    generator = torch.Generator().manual_seed(seed)
    draw = lambda count: torch.randn(count, generator=generator, dtype=torch.float64)  # noqa: E731
    return Detection(draw(n) + shift, draw(m))


def test_auc_is_scikit_learns_and_near_the_closed_form():
    found = normals(1.0)
    labels = [1] * 400 + [0] * 500
    scores = torch.cat([found.marked, found.unmarked])
    auc = found.auc()
    assert auc.value == pytest.approx(roc_auc_score(labels, scores))
    assert auc.low < norm.cdf(1 / math.sqrt(2)) < auc.high


def test_its_interval_covers_as_often_as_it_says():
    truth = norm.cdf(1 / math.sqrt(2))
    intervals = [normals(1.0, 60, 60, seed).auc() for seed in range(400)]
    covered = sum(one.low <= truth <= one.high for one in intervals)
    assert 0.91 <= covered / 400 <= 0.985


def test_scores_that_are_apart_have_an_interval_too():
    auc = normals(100.0, 50, 60).auc()
    assert auc.value == 1.0 and auc.high == 1.0 and 0.9 < auc.low < 0.95


def test_the_threshold_keeps_its_rate_for_new_pictures():
    passed = []
    for seed in range(200):
        found = normals(0.0, 1, 99, seed)
        passed.append(float(norm.sf(found.threshold(0.05))))
    assert np.mean(passed) == pytest.approx(0.05, abs=0.006)


def test_a_rate_that_the_nulls_do_not_reach_is_refused():
    found = normals(0.0, 10, 98)
    assert not found.reaches(0.01) and normals(0.0, 10, 99).reaches(0.01)
    with pytest.raises(ValueError, match="too few"):
        found.tpr(0.01)


def test_the_curve_is_scikit_learns():
    found = normals(0.7, 30, 40)
    false, true, _ = roc_curve(
        [1] * 30 + [0] * 40, torch.cat([found.marked, found.unmarked]), drop_intermediate=False
    )
    ours = found.roc()
    np.testing.assert_allclose(ours[0], false)
    np.testing.assert_allclose(ours[1], true)


def test_the_share_found_is_that_above_the_threshold():
    found = Detection(torch.tensor([5.0, 3.0, 1.0]).double(), torch.arange(99).double() / 50)
    assert found.threshold(0.01) == pytest.approx(98 / 50) and found.tpr(0.01).value == pytest.approx(2 / 3)
