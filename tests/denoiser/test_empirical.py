import torch

from backend.denoiser import empirical
from backend.denoiser.empirical import Empirical
from backend.denoiser.gaussian_mixture import GaussianMixture
from backend.schedule import CosineSchedule
from tests.denoiser.contract import check_contract


def data(n: int = 9, shape: tuple[int, ...] = (2, 3)) -> torch.Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_contract():
    check_contract(Empirical(CosineSchedule(), data()))


def test_it_is_a_mixture_of_points():
    pictures = data()
    D = Empirical(CosineSchedule(), pictures)
    points = GaussianMixture(
        D.schedule,
        D.shape,
        weights=torch.full((9,), 1 / 9, dtype=torch.float64),
        means=pictures.flatten(1),
        factors=torch.zeros(9, 6, 1, dtype=torch.float64),
        eigenvalues=torch.zeros(9, 1, dtype=torch.float64),
        residual_variance=torch.zeros(9, dtype=torch.float64),
    )
    x = 1.5 * data(4)
    for t in (0.05, 0.3, 0.6, 1.0):
        torch.testing.assert_close(D(x, t), points(x, t))


def test_chunks_do_not_change_the_answer(monkeypatch):
    D, x = Empirical(CosineSchedule(), data()), data(4)
    whole = D(x, 0.5)
    monkeypatch.setattr(empirical, "CHUNK", 2 * x.numel())  # chunks of 2, 2, 2, 2 and 1 pictures
    torch.testing.assert_close(D(x, 0.5), whole)


def test_without_noise_the_nearest_picture_is_the_mean():
    pictures = data()
    D = Empirical(CosineSchedule(), pictures)
    assert torch.equal(D(pictures, 0.0), pictures)
    assert torch.equal(D(pictures + 0.01, 0.0), pictures)


def test_near_duplicates_are_told_apart():
    """Bright pictures that differ by 1e-3 in one pixel, in float32: torch.cdist mistakes one for another."""
    pictures = 0.9 + 1e-3 * torch.eye(30, 4096)
    D = Empirical(CosineSchedule(), pictures)
    assert torch.equal(D(pictures, 0.0), pictures)
    assert torch.cdist(pictures, pictures).argmin(1).tolist() != list(range(30))


def test_with_all_noise_every_picture_counts():
    D = Empirical(CosineSchedule(), data())
    torch.testing.assert_close(D(torch.zeros(2, 3), 1.0).double(), data().mean(0), rtol=0, atol=1e-3)
