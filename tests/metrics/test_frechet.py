import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from backend.metrics.frechet import frechet_distance


def features(n: int, d: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=generator, dtype=torch.float64)
    return torch.randn(n, d, generator=generator, dtype=torch.float64) @ mix + seed


def exact_sample(mean: Tensor, covariance: Tensor, n: int = 400) -> Tensor:
    """Points whose sample mean and sample covariance are these, exactly."""
    x = features(n, len(mean), 0)
    x = x - x.mean(0)
    white = x @ torch.linalg.inv(torch.linalg.cholesky(x.T.cov())).T
    return white @ torch.linalg.cholesky(covariance).T + mean


@pytest.mark.parametrize(("n", "m", "d"), [(300, 200, 5), (500, 500, 30), (20, 15, 40)])
def test_it_is_the_textbook_formula(n, m, d):
    """With scipy's matrix square root, also where there are fewer points than dimensions."""
    a, b = features(n, d, 1), features(m, d, 2)
    s, r = a.T.cov().numpy(), b.T.cov().numpy()
    root = sqrtm(s @ r).real
    expected = float((a.mean(0) - b.mean(0)).square().sum()) + (s + r - 2 * root).trace()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-4)


def test_gaussians_along_common_axes():
    """|m_1 - m_2|^2 + sum_i (s_i - r_i)^2 for standard deviations s and r along the same axes."""
    axes = torch.linalg.qr(features(4, 4, 3)).Q
    s, r = torch.tensor([1.0, 2.0, 0.5, 3.0]).double(), torch.tensor([2.0, 2.0, 0.1, 1.0]).double()
    m, k = torch.arange(4).double(), torch.tensor([1.0, 1.0, 0.0, 3.0]).double()
    first = exact_sample(m, axes @ (s**2).diag() @ axes.T)
    second = exact_sample(k, axes @ (r**2).diag() @ axes.T)
    expected = float((m - k).square().sum() + (s - r).square().sum())
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)


def test_a_set_is_at_distance_zero_from_itself_in_any_order():
    a = features(200, 20, 4)
    assert frechet_distance(a, a.flip(0)) == pytest.approx(0, abs=1e-6)


def test_it_is_symmetric_and_does_not_see_rotations():
    a, b = features(100, 8, 5), features(120, 8, 6)
    turn = torch.linalg.qr(features(8, 8, 7)).Q
    distance = frechet_distance(a, b)
    assert frechet_distance(b, a) == pytest.approx(distance, rel=1e-9)
    assert frechet_distance(a @ turn + 3, b @ turn + 3) == pytest.approx(distance, rel=1e-9)


def test_float32_features_are_enough():
    a, b = features(100, 8, 5) + 100, features(120, 8, 6) + 100
    assert frechet_distance(a.float(), b.float()) == pytest.approx(frechet_distance(a, b), rel=1e-4)
