"""Singular triplets against dense ones: prescribed spectra, SciPy's PROPACK, and networks."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import LinearOperator, svds
from torch import Tensor, nn

from backend.jacobian.linearize import Linearized, linearize, restrict
from backend.jacobian.svd import SVD, TIE, exact, svd, svd_steps
from backend.request import Progress


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def with_spectrum(values: Tensor, rows: int, columns: int, seed: int = 0) -> Tensor:
    """A matrix with these singular values."""
    u = torch.linalg.qr(noise(rows, len(values), seed=seed)).Q
    v = torch.linalg.qr(noise(columns, len(values), seed=seed + 1)).Q
    return (u * values.double()) @ v.T


def linear(matrix: Tensor) -> Linearized:
    return linearize(lambda x: matrix @ x, matrix.new_zeros(matrix.shape[1]))


def sine(found: Tensor, true: Tensor) -> float:
    """Of the largest principal angle between the row spans of orthonormal rows."""
    found, true = found.flatten(1).double(), true.flatten(1).double()
    return float(torch.linalg.matrix_norm(found - (found @ true.T) @ true, 2))


def assert_triplets(result: SVD, matrix: Tensor, tolerance: float) -> None:
    """They belong together, are orthonormal, ordered, and signed."""
    u, s, v = result.U.flatten(1), result.S, result.V.flatten(1)
    one = torch.eye(len(s)).to(u)
    torch.testing.assert_close(u @ u.T, one, atol=1e-5, rtol=0)
    torch.testing.assert_close(v @ v.T, one, atol=1e-5, rtol=0)
    assert (s[:-1] >= s[1:]).all() and (u.pow(3).sum(1) >= 0).all()
    residual = torch.hypot(
        (v @ matrix.T - s[:, None] * u).norm(dim=1), (u @ matrix - s[:, None] * v).norm(dim=1)
    )
    assert (residual <= tolerance * s[0]).all()
    torch.testing.assert_close(result.residual, residual, atol=1e-5 * float(s[0]), rtol=0.05)


SPECTRA = {
    "decaying": 0.8 ** torch.arange(60),
    "slow": 1 / torch.arange(1, 61) ** 0.5,
    "step": torch.cat([torch.ones(5) + torch.arange(5, 0, -1) / 20, torch.full((55,), 0.3)]),
    "clustered": torch.cat([1 - torch.arange(5) / 500, 0.9 - torch.arange(55) / 100]),
    "pairs": 0.9 ** torch.arange(30).repeat_interleave(2),
    "steep": torch.logspace(0, -8, 60),
    "flat": torch.ones(60),
}


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("k", [1, 4, 5])
def test_prescribed_spectra(name: str, k: int) -> None:
    """A pair cut in two by k counts as a tie: then the vectors lie in the span of both."""
    values = SPECTRA[name].double()
    for seed in range(5):
        matrix = with_spectrum(values, 120, 90, seed=3 * seed)
        result = svd(linear(matrix), k, seed=seed)
        true = torch.linalg.svd(matrix)
        tied = int((values >= (1 - TIE) * values[k - 1]).sum())
        assert sine(result.V, true.Vh[:tied]) < 1e-2
        torch.testing.assert_close(result.S, true.S[:k], rtol=1e-3, atol=0)
        assert_triplets(result, matrix, 1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_low_rank_gives_what_there_is(dtype: torch.dtype) -> None:
    """k above the rank; equal values as in a projection, more of them than start vectors."""
    matrix = with_spectrum(torch.ones(7), 100, 80).to(dtype)
    result = svd(linear(matrix), 9)
    assert len(result.S) == 7
    torch.testing.assert_close(result.S, torch.ones(7, dtype=dtype))
    torch.testing.assert_close(result.V.T @ result.V, matrix.T @ matrix, atol=1e-5, rtol=0)
    assert len(svd(linear(torch.zeros(100, 80, dtype=dtype) + 0 * matrix), 3).S) == 0


def test_a_close_pair_needs_two_starts() -> None:
    """One start takes the pair for a single value, converges and stops; that is why there are two."""
    head = torch.tensor([1, 0.9, 0.8, 0.7, 0.69999], dtype=torch.float64)
    matrix = with_spectrum(torch.cat([head, 0.6 * 0.9 ** torch.arange(60)]), 200, 150)
    true = torch.linalg.svd(matrix).Vh[:5]
    missed = {
        block: sum(sine(svd(linear(matrix), 5, seed=seed, block=block).V, true) > 1e-2 for seed in range(20))
        for block in (1, 2)
    }
    assert missed[2] == 0 < missed[1]


def test_full_depth_is_the_dense_svd() -> None:
    """By projectors, since signs and rotations within equal values are free."""
    for matrix in (noise(30, 50), noise(50, 30, seed=1)):
        result = svd(linear(matrix), 12, tol=1e-10, max_products=1000)
        u, s, v = torch.linalg.svd(matrix)
        torch.testing.assert_close(result.S, s[:12], rtol=1e-10, atol=0)
        torch.testing.assert_close(result.V.T @ result.V, v[:12].T @ v[:12], atol=1e-8, rtol=0)
        torch.testing.assert_close(result.U.T @ result.U, u[:, :12] @ u[:, :12].T, atol=1e-8, rtol=0)
        assert result.cost.products <= 2 * 50 + 2


def test_every_triplet_of_a_small_matrix_by_either_way() -> None:
    matrix = noise(200, 12)
    s = torch.linalg.svdvals(matrix)
    torch.testing.assert_close(svd(linear(matrix), 12).S, s, rtol=1e-8, atol=0)
    torch.testing.assert_close(exact(linear(matrix), 50).S, s)


def test_propack_finds_the_same() -> None:
    matrix = with_spectrum(1 / torch.arange(1, 101) ** 0.7, 150, 200)
    jacobian = linear(matrix)

    def column(v: np.ndarray) -> np.ndarray:
        return jacobian.jvp(torch.from_numpy(v.reshape(1, -1).astype(np.float64)))[0].numpy()

    def row(u: np.ndarray) -> np.ndarray:
        return jacobian.vjp(torch.from_numpy(u.reshape(1, -1).astype(np.float64)))[0].numpy()

    operator = LinearOperator((150, 200), matvec=column, rmatvec=row, dtype=np.float64)
    _, s, v = svds(operator, k=5, solver="propack", tol=1e-4, rng=np.random.default_rng(0))
    theirs = jacobian.cost.products
    ours = svd(jacobian, 5)
    torch.testing.assert_close(ours.S, torch.from_numpy(np.sort(s)[::-1].copy()), rtol=1e-4, atol=0)
    assert sine(ours.V, torch.from_numpy(v.copy())) < 1e-2
    assert ours.cost.products < 2 * theirs


def test_small_region_is_solved_exactly_with_a_row_for_each_output() -> None:
    matrix = noise(60, 40)
    mask = torch.zeros(60, dtype=torch.bool)
    mask[[3, 17, 18, 40, 59]] = True
    result = svd(restrict(linear(matrix), mask), 3)
    assert result.cost.products == result.cost.vjp == 5
    torch.testing.assert_close(result.S, torch.linalg.svdvals(matrix[mask])[:3])
    assert (result.U[:, ~mask] == 0).all()
    assert_triplets(result, matrix * mask[:, None], 1e-6)


def test_restriction_has_the_singular_vectors_of_its_rows() -> None:
    matrix = with_spectrum(0.9 ** torch.arange(80), 160, 100)
    mask = torch.arange(160) % 2 == 0
    for part in (mask, ~mask):
        result = svd(restrict(linear(matrix), part), 5)
        assert sine(result.V, torch.linalg.svd(matrix[part]).Vh[:5]) < 1e-2
        assert (result.U[:, ~part] == 0).all()


def test_cost_and_residual_belong_to_the_call() -> None:
    matrix = with_spectrum(0.8 ** torch.arange(60), 120, 90)
    jacobian = linear(matrix)
    first, second = svd(jacobian, 5), svd(jacobian, 5)
    assert first.cost.products == second.cost.products == jacobian.cost.products / 2
    assert first.cost.products < 60


def test_tighter_tolerance_is_met() -> None:
    matrix = with_spectrum(1 / torch.arange(1, 101), 150, 120)
    true = torch.linalg.svd(matrix).Vh[:5]
    products = []
    for tol in (1e-1, 1e-3, 1e-6):
        result = svd(linear(matrix), 5, tol=tol)
        assert sine(result.V, true) < tol
        products.append(result.cost.products)
    assert products == sorted(products)


def test_a_limit_on_products_stops_and_the_residual_tells() -> None:
    matrix = with_spectrum(1 - torch.arange(200) / 1000, 300, 200)
    result = svd(linear(matrix), 5, max_products=20)
    assert result.cost.products == 20 and len(result.S) == 5
    assert result.residual.max() > 1e-3
    assert_triplets(result, matrix, 1)


def test_same_seed_same_vectors_other_seed_same_span_and_signs() -> None:
    matrix = with_spectrum(0.8 ** torch.arange(60), 120, 90)
    first, again, other = (svd(linear(matrix), 5, seed=seed, tol=1e-4) for seed in (3, 3, 4))
    assert torch.equal(first.U, again.U) and torch.equal(first.V, again.V)
    torch.testing.assert_close(first.V, other.V, atol=1e-3, rtol=0)


def test_signs_survive_rounding_and_a_slight_change() -> None:
    matrix = with_spectrum(0.7 ** torch.arange(60), 120, 90)
    reference = svd(linear(matrix), 5, tol=1e-4)
    changed = matrix + 1e-4 * noise(120, 90, seed=9) / 20
    for other in (
        svd(linear(matrix.float()), 5, tol=1e-4),
        svd(linear(changed), 5, tol=1e-4),
        exact(linear(matrix), 5),
    ):
        assert ((other.V.double() * reference.V).sum(1) > 0.99).all()
        assert ((other.U.double() * reference.U).sum(1) > 0.99).all()


def test_each_product_is_a_step_and_a_closed_generator_stops() -> None:
    jacobian = linear(with_spectrum(0.8 ** torch.arange(60), 120, 90))
    steps, seen = svd_steps(jacobian, 5), []
    try:
        while True:
            seen.append(next(steps))
            assert jacobian.cost.products == len(seen) == seen[-1].done < seen[-1].total
    except StopIteration as stop:
        assert isinstance(stop.value, SVD) and stop.value.cost.products == len(seen)
    assert all(isinstance(step, Progress) for step in seen)

    spent = jacobian.cost.products
    steps = svd_steps(jacobian, 5)
    next(steps)
    steps.close()
    assert jacobian.cost.products == spent + 1


@pytest.mark.parametrize(("k", "mask"), [(0, True), (-1, True), (3, False)])
def test_nothing_to_find_is_refused(k: int, mask: bool) -> None:
    jacobian = restrict(linear(noise(60, 40)), torch.full((60,), mask))
    with pytest.raises(ValueError):
        svd(jacobian, k)


class Small(nn.Module):
    """A random convolutional network of 3 x 16 x 16, whose Jacobian has the close values of a denoiser's."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, 5, padding=2),
            nn.GroupNorm(4, 16),
            nn.SiLU(),
            nn.Conv2d(16, 16, 5, padding=2),
            nn.SiLU(),
        )
        self.coarse = nn.Sequential(
            nn.AvgPool2d(4), nn.Conv2d(16, 16, 3, padding=1), nn.SiLU(), nn.Upsample(scale_factor=4)
        )
        self.last = nn.Conv2d(16, 3, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.layers(x)
        return self.last(hidden + 4 * self.coarse(hidden))


@pytest.fixture(scope="module")
def dense() -> tuple[Linearized, Tensor]:
    network = Small().requires_grad_(False)
    jacobian = linearize(lambda x: network(x[None])[0], noise(3, 16, 16, dtype=torch.float32))
    rows = torch.eye(768).view(-1, 3, 16, 16).split(96)
    return jacobian, torch.cat([jacobian.vjp(row) for row in rows]).flatten(1).double()


REGIONS = {
    "corner": (slice(0, 8), slice(0, 8)),
    "centre": (slice(5, 11), slice(5, 11)),
    "stripe": (slice(6, 9), slice(0, 16)),
    "left": (slice(0, 16), slice(0, 7)),
    "complement": (slice(3, 5), slice(9, 12)),
    "everything": (slice(0, 16), slice(0, 16)),
}


@pytest.mark.parametrize("name", REGIONS)
def test_no_vector_is_missed_over_twenty_seeds(name: str, dense: tuple[Linearized, Tensor]) -> None:
    jacobian, matrix = dense
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[REGIONS[name]] = True
    mask = ~mask if name == "complement" else mask
    _, s, v = torch.linalg.svd(matrix[mask.expand(3, 16, 16).flatten()], full_matrices=False)
    for seed in range(20):
        result = svd(restrict(jacobian, mask), 5, seed=seed)
        assert sine(result.V, v[:5]) < 1e-2
        torch.testing.assert_close(result.S.double(), s[:5], rtol=1e-3, atol=0)
