import math

import pytest
import torch

from backend.metrics.image import psnr, ssim


def pictures(n: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 3, 16, 20, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_psnr_is_its_formula_for_each_picture():
    a, b = pictures(seed=0), pictures(seed=1)
    expected = [
        10 * math.log10(4 / float((x - y).double().square().mean())) for x, y in zip(a, b, strict=True)
    ]
    assert psnr(a, b).tolist() == pytest.approx(expected, rel=1e-6)


def test_an_error_of_a_hundredth_of_the_range_is_40_db():
    x = pictures() * 0.9
    assert psnr(x + 0.02, x).tolist() == pytest.approx([40.0] * 3, abs=1e-3)


def test_equal_pictures_have_infinite_psnr_and_ssim_1():
    x = pictures()
    assert psnr(x, x).tolist() == [math.inf] * 3
    assert ssim(x, x).tolist() == pytest.approx([1.0] * 3)


@pytest.mark.parametrize(("a", "b"), [(0.5, 0.3), (-0.2, 0.4)])
def test_ssim_of_flat_pictures(a, b):
    """Without variance only the brightness term is left: (2 a b + C) / (a^2 + b^2 + C), C = (0.01 x 2)^2."""
    flat = torch.ones(1, 3, 16, 16)
    c = 0.02**2
    assert float(ssim(a * flat, b * flat)) == pytest.approx((2 * a * b + c) / (a * a + b * b + c), rel=1e-5)


def test_ssim_falls_with_noise():
    x = torch.nn.functional.avg_pool2d(pictures(1), 3, 1, 1)
    noisy = [float(ssim(x + level * torch.randn(x.shape), x)) for level in (0.02, 0.1, 0.5)]
    assert 1 > noisy[0] > noisy[1] > noisy[2]


def test_pictures_of_different_number_are_refused():
    with pytest.raises(ValueError):
        psnr(pictures(2), pictures(3))
