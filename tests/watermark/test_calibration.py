"""Kept coefficients against the planes that they were taken from."""

import pytest
import torch

from backend.denoiser.gaussian_mixture import gaussian
from backend.request import finish
from backend.schedule import CosineSchedule
from backend.watermark import fourier
from backend.watermark.calibration import calibrate, half
from backend.watermark.detection import evidence, look, ring_levels
from backend.watermark.key import random_keys
from backend.watermark.restoration import LIKELY
from backend.watermark.scheme import Scheme
from backend.watermark.shallow_diffuse import pattern, whitened

N = 16


def scheme(channels="luma"):
    return Scheme("phases", "zero", 1, 7, channels, 0.2, 4)


@pytest.fixture(scope="module")
def pictures():
    generator = torch.Generator().manual_seed(3)
    return (0.3 * torch.randn(40, 3, N, N, generator=generator)).clamp(-1, 1)


@pytest.fixture(scope="module")
def denoiser():
    d = 3 * N * N
    variances = torch.linspace(0.5, 0.01, d)
    return gaussian(CosineSchedule(), (3, N, N), torch.zeros(d), variances.diag())


def test_half_of_the_mask_and_its_mirror_are_the_mask():
    mask, one = fourier.annulus(N, 1, 7), half(scheme(), N)
    assert int(one.sum()) * 2 == int(mask.sum())
    assert torch.equal(one | fourier.mirrored(one), mask) and not (one & fourier.mirrored(one)).any()


@pytest.mark.parametrize("shifts", [False, True])
@pytest.mark.parametrize("channels", ["luma", "all"])
def test_scores_are_those_of_the_pictures_themselves(denoiser, pictures, channels, shifts):
    one = scheme(channels)
    nulls = finish(calibrate(denoiser, pictures, one))
    assert nulls.coefficients.dtype == torch.int8 and len(nulls.coefficients) == 40
    key = random_keys(1, 5)[0]
    W = pattern(key.secret, one, N)
    planes = finish(look(denoiser, pictures, one, LIKELY))
    exact = whitened(planes, one, ring_levels(planes, one))
    expected = evidence(exact, W, shifts=shifts).amax(1)
    found = nulls.scores(W, one, shifts=shifts)
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.01)  # rounded to 1/24
    assert not torch.allclose(found, nulls.scores(pattern(b"o" * 32, one, N), one, shifts=shifts))
