import math

import numpy as np
import pytest
import torch

from backend.metrics.diversity import precision_recall, vendi


def test_copies_are_one_and_orthogonal_samples_are_as_many_as_there_are():
    one = torch.tensor([[3.0, 4.0, 0.0]])
    assert vendi(one) == pytest.approx(1)
    assert vendi(one.expand(7, 3)) == pytest.approx(1)
    assert vendi(5 * torch.eye(9)) == pytest.approx(9)
    assert vendi(torch.eye(4).repeat(3, 1)) == pytest.approx(4)  # more samples than dimensions
    assert vendi(torch.eye(6)[:2]) == pytest.approx(2)  # and fewer
    with pytest.raises(ValueError):
        vendi(torch.zeros(0, 3))


def test_two_samples_at_an_angle_have_the_entropy_of_their_cosine():
    for angle in (0.3, 1.2, 2.5):
        pair = torch.tensor([[1.0, 0.0], [math.cos(angle), math.sin(angle)]], dtype=torch.float64)
        p = (1 + math.cos(angle)) / 2  # K / 2 has eigenvalues (1 +- cos) / 2
        expected = math.exp(-p * math.log(p) - (1 - p) * math.log(1 - p))
        assert vendi(pair) == pytest.approx(expected)


def test_the_score_is_that_of_the_whole_kernel():
    features = torch.randn(40, 7, generator=torch.Generator().manual_seed(0)).numpy().astype(float)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(unit @ unit.T / 40).clip(1e-300)
    expected = np.exp(-(values * np.log(values)).sum())
    assert vendi(torch.from_numpy(features)) == pytest.approx(expected)
    assert vendi(torch.from_numpy(3 * features)) == pytest.approx(expected)  # sizes do not matter


def test_precision_and_recall_of_points_on_a_line():
    """Real 0..9 have balls of radius 3 at the ends and 2 inside, for k = 3; what lies beyond 12 is outside."""
    real = torch.arange(10.0)[:, None]
    precision, recall = precision_recall(real, torch.tensor([[0.5], [4.2], [5.1], [13.0]]), 3)
    assert precision.value == 0.75 and precision.n == 4
    # the samples' balls reach to their farthest: 12.5 from 0.5, 8.8 from 4.2, 7.9 from 5.1, 12.5 from 13
    assert recall.value == 1 and recall.n == 10
    # ends reach 3, whose neighbours are 1, 2, 3
    edge, _ = precision_recall(real, torch.tensor([[-2.9], [-3.1], [11.9], [12.1]]), 3)
    assert edge.value == 0.5


def test_a_mode_that_is_dropped_costs_recall_and_a_mode_that_is_invented_costs_precision():
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, 60, 4, generator=generator)
    both = torch.cat([left, right + 50])
    near = torch.randn(60, 4, generator=generator)
    precision, recall = precision_recall(both, near, 3)
    assert precision.value > 0.8 and 0.35 < recall.value <= 0.5
    precision, recall = precision_recall(left, torch.cat([near, near + 50]), 3)
    assert 0.35 < precision.value <= 0.5 and recall.value > 0.8
    same, _ = precision_recall(left, left, 3)
    assert same.value == 1 and same.high == 1
    with pytest.raises(ValueError):
        precision_recall(left, right[:3], 3)


def test_near_duplicates_are_not_lost():
    """Distances of 1e-4 far from the origin, in float32."""
    real = 1000 + 1e-3 * torch.arange(8.0, dtype=torch.float64)[:, None]
    precision, _ = precision_recall(real, real + 1e-4, 3)
    assert precision.value == 1
    precision, _ = precision_recall(real, real + 1.0, 3)
    assert precision.value == 0
