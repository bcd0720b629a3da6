"""Forgery under a Gaussian prior, where it is known in closed form: each direction of variance v is mixed from cover and marked picture,

    forged = p y + (1 - p) x,    p = alpha^2 v / (alpha^2 v + sigma^2)

so that what the model expects comes from the cover and what it does not, such as a mark, from the marked picture.
"""

import pytest
import torch

from backend.denoiser.gaussian_mixture import gaussian
from backend.request import Progress, finish
from backend.sampling.ddim import level
from backend.schedule import CosineSchedule
from backend.watermark.forgery import transferred, unshown

SHAPE = (1, 4, 4)
VARIANCES = torch.tensor([1.0] * 4 + [0.01] * 12, dtype=torch.float64)
T = 0.2


@pytest.fixture(scope="module")
def denoiser():
    return gaussian(CosineSchedule(), SHAPE, torch.zeros(16, dtype=torch.float64), VARIANCES.diag())


def share(denoiser):
    """p of each direction."""
    alpha, sigma = level(denoiser.schedule, T)
    return (alpha**2 * VARIANCES / (alpha**2 * VARIANCES + sigma**2)).view(SHAPE)


def draw(seed, n=3):
    return 0.1 * torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_what_the_model_does_not_show_of_a_state(denoiser):
    x_t = draw(0)
    torch.testing.assert_close(unshown(denoiser, x_t, T), x_t * (1 - share(denoiser)), rtol=1e-6, atol=1e-9)


def test_content_comes_from_the_cover_and_the_unexpected_from_the_marked_picture(denoiser):
    x, y, p = draw(1), draw(2), share(denoiser)
    assert p.max() > 0.85 and p.min() < 0.1
    found = finish(transferred(denoiser, x, y, T, 200))
    torch.testing.assert_close(found, p * y + (1 - p) * x, rtol=0, atol=0.01)
    unmarked = finish(transferred(denoiser, y, y, T, 200))
    torch.testing.assert_close(unmarked, y, rtol=0, atol=0.01)


def test_it_counts_its_steps_and_clips(denoiser):
    events = list(transferred(denoiser, draw(1), draw(2) + 5, T, 6))
    assert len(events) == 12 and all(isinstance(event, Progress) for event in events)
    assert finish(transferred(denoiser, draw(1), draw(2) + 5, T, 6)).max() == 1
