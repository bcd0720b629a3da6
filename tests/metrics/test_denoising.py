import pytest
import torch

from backend.denoiser.gaussian_mixture import gaussian
from backend.metrics.denoising import denoising_error
from backend.schedule import CosineSchedule


def example(d: int = 6):
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(d, d, generator=generator, dtype=torch.float64)
    covariance, mean = mix @ mix.T / d, torch.randn(d, generator=generator, dtype=torch.float64)
    return gaussian(CosineSchedule(), (d,), mean, covariance), mean, covariance


@pytest.mark.parametrize("t", [0.2, 0.5, 0.8])
def test_a_bayes_denoiser_errs_by_the_posterior_variance(t):
    """E |D(x_t) - x_0|^2 = tr (C^-1 + alpha^2 / sigma^2)^-1 over pictures of its own kind."""
    D, mean, covariance = example()
    root = torch.linalg.cholesky(covariance)
    x_0 = torch.randn(400, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64) @ root.T + mean
    alpha, sigma = D.schedule(torch.tensor(t, dtype=torch.float64))
    posterior = torch.linalg.inv(torch.linalg.inv(covariance) + (alpha / sigma) ** 2 * torch.eye(6))
    # the noises are fixed, so their own average is left: 64 of them are within a few percent
    error = sum(denoising_error(D, x, t, probes=64) for x in x_0) / len(x_0)
    assert error == pytest.approx(float(posterior.trace()) / 6, rel=0.1)


def test_a_picture_of_another_kind_errs_more():
    D, mean, _ = example()
    assert denoising_error(D, mean + 20, 0.5) > 5 * denoising_error(D, mean, 0.5)


def test_the_noises_are_fixed():
    D, mean, _ = example()
    assert denoising_error(D, mean, 0.5) == denoising_error(D, mean, 0.5)
