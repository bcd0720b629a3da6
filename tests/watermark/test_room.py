"""The theorem's bound against numbers worked out by hand and against random directions."""

import math

import pytest
import torch

from backend.watermark.room import bound


def test_the_numbers_of_the_notes():
    assert bound(163, 16384) == pytest.approx(0.67, abs=0.01)  # r/d = 1 %
    assert bound(122, 12288) == pytest.approx(0.71, abs=0.01)
    assert bound(10, 1000) == pytest.approx(math.sqrt(0.01 + math.sqrt(18 * math.pi**3 * math.log(20) / 998)))


def test_random_directions_stay_below_it_and_far():
    r, d = 20, 2000
    v = torch.randn(500, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shown = (v[:, :r].norm(dim=1) / v.norm(dim=1)).square()  # J projects on r axes: |J| = 1
    assert float(shown.mean()) == pytest.approx(r / d, rel=0.05)
    assert float(shown.max().sqrt()) < bound(r, d) and float(shown.mean().sqrt()) < bound(r, d) / 5
