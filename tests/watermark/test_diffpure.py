"""DiffPure and regeneration of independent Gaussian pixels, where both are known in closed form."""

import pytest
import torch

from backend.request import finish
from backend.sampling.ddim import level
from backend.sampling.noise import noise
from backend.watermark.diffpure import noised, purified
from backend.watermark.regeneration import RINSE_T, regenerated, rinsed
from tests.watermark.test_base import SHAPE, white

V, N = 0.5, 400


def known(denoiser, t):
    """alpha, sigma and the variance of x_t."""
    alpha, sigma = level(denoiser.schedule, t)
    return alpha, sigma, alpha**2 * V + sigma**2


@pytest.mark.parametrize("t", [0.1, 0.3, 0.5])
def test_regeneration_scales_the_noisy_picture_to_the_prior(t):
    denoiser, x = white(V), torch.full((3, *SHAPE), 0.7, dtype=torch.float64)
    _, _, variance = known(denoiser, t)
    seeds = [11, 12, 13]
    expected = noised(denoiser.schedule, x, t, seeds) * (V / variance) ** 0.5
    found = finish(regenerated(denoiser, x, t, seeds))
    torch.testing.assert_close(found, expected, rtol=0.03, atol=0.02)
    assert (found - x).abs().mean() > 0.05


@pytest.mark.parametrize("t", [0.1, 0.4])
def test_diffpure_draws_from_the_posterior_of_the_noisy_picture(t):
    denoiser, x = white(V), torch.full((N, *SHAPE), 0.7, dtype=torch.float64)
    alpha, sigma, variance = known(denoiser, t)
    found = finish(purified(denoiser, x, t, range(N)))
    gain = alpha * V / variance
    spread = ((gain * sigma) ** 2 + V * sigma**2 / variance) ** 0.5
    assert float(found.mean()) == pytest.approx(gain * alpha * 0.7, abs=4 * spread / (16 * N) ** 0.5 + 0.01)
    assert 0.9 * spread < float(found.std()) < 1.02 * spread, "a few steps lose some of it"
    x_t = noised(denoiser.schedule, x, t, range(N))
    slope = ((found - found.mean()) * (x_t - x_t.mean())).mean() / x_t.var()
    assert float(slope) == pytest.approx(gain, abs=0.05), "fresh noise is not that of x_t again"


def test_noise_is_the_seeds():
    denoiser, x = white(V), torch.zeros(2, *SHAPE, dtype=torch.float64)
    _, sigma = level(denoiser.schedule, 0.3)
    torch.testing.assert_close(
        noised(denoiser.schedule, x, 0.3, [5, 6]), sigma * noise([5, 6], SHAPE).double()
    )


def test_rinsing_is_several_regenerations_with_new_noise():
    denoiser, x = white(V), torch.full((1, *SHAPE), 0.4, dtype=torch.float64)
    given = iter([[1], [2], [3]])
    found = finish(rinsed(denoiser, x, 3, lambda: next(given)))
    expected = x
    for seed in (1, 2, 3):
        expected = finish(regenerated(denoiser, expected, RINSE_T, [seed])).clamp(-1, 1)
    assert torch.equal(found, expected) and next(given, None) is None
