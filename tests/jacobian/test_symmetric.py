"""Eigenpairs and energies of the symmetric part, beside dense matrices and SciPy's ARPACK."""

import pytest
import torch
from scipy.sparse.linalg import LinearOperator, eigsh

from backend.jacobian.linearize import linearize
from backend.jacobian.spectrum import total
from backend.jacobian.symmetric import eigenpairs_steps, energies_steps
from backend.request import Progress, finish


def matrix(d: int = 60, seed: int = 0) -> torch.Tensor:
    """Eigenvalues +-2^-i of the symmetric part, and an antisymmetric part of a fifth of its size."""
    g = torch.Generator().manual_seed(seed)
    q = torch.linalg.qr(torch.randn(d, d, generator=g, dtype=torch.float64)).Q
    values = 0.8 ** torch.arange(d, dtype=torch.float64) * torch.where(torch.arange(d) % 3 == 0, -1.0, 1.0)
    skew = torch.randn(d, d, generator=g, dtype=torch.float64)
    symmetric = q @ values.diag() @ q.T
    return symmetric + 0.2 * symmetric.norm() * (skew - skew.T) / (skew - skew.T).norm()


def at(a: torch.Tensor):
    return linearize(lambda x: (a @ x.flatten()).view_as(x), torch.zeros(4, len(a) // 4, dtype=a.dtype))


def test_pairs_are_those_of_the_dense_matrix():
    a = matrix()
    values, vectors = torch.linalg.eigh((a + a.T) / 2)
    jacobian = at(a)
    found = finish(eigenpairs_steps(jacobian, 5, tol=1e-8))
    for half, wanted, columns in (
        (found.positive, values.flip(0)[:5], vectors.flip(1)[:, :5]),
        (found.negative, values[:5], vectors[:, :5]),
    ):
        torch.testing.assert_close(half.values, wanted, rtol=0, atol=1e-10)
        assert half.vectors.shape == (5, 4, 15)
        cosines = (half.vectors.flatten(1) * columns.T).sum(1).abs()
        torch.testing.assert_close(cosines, torch.ones(5).double(), rtol=0, atol=1e-9)
        assert (half.vectors.flatten(1).pow(3).sum(1) > 0).all()
        assert half.residual.max() < 1e-7
    assert jacobian.cost.jvp == jacobian.cost.vjp == len(found.basis) < 60


def test_pairs_are_those_of_arpack_for_a_fair_number_of_products():
    a = matrix(400, seed=1)
    spent = 0

    def product(v):
        nonlocal spent
        spent += 2
        v = torch.from_numpy(v).flatten()
        return ((a @ v + a.T @ v) / 2).numpy()

    values = eigsh(LinearOperator(a.shape, product, dtype=float), 12, which="BE", return_eigenvectors=False)
    jacobian = at(a)
    found = finish(eigenpairs_steps(jacobian, 6, tol=1e-10))
    both = torch.cat([found.negative.values, found.positive.values.flip(0)])
    torch.testing.assert_close(both, torch.from_numpy(values).sort().values, rtol=0, atol=1e-9)
    assert jacobian.cost.products < spent


def test_unconverged_pairs_say_so():
    found = finish(eigenpairs_steps(at(matrix()), 5, most=12))
    assert len(found.basis) == 12 and found.positive.residual.max() > 1e-4
    image = (matrix() + matrix().T) / 2 @ found.positive.vectors[-1].flatten()
    wrong = image - found.positive.values[-1] * found.positive.vectors[-1].flatten()
    assert float(found.positive.residual[-1]) == pytest.approx(float(wrong.norm()), rel=1e-9)


def test_few_and_equal_values():
    a = torch.zeros(40, 40, dtype=torch.float64)
    a[:3, :3] = torch.diag(torch.tensor([3.0, -2.0, 1.0]))
    found = finish(eigenpairs_steps(at(a), 5))
    torch.testing.assert_close(found.positive.values, torch.tensor([3.0, 1.0]).double())
    torch.testing.assert_close(found.negative.values, torch.tensor([-2.0]).double())
    assert len(found.basis) < 8, "a small rank needs few products"
    found = finish(eigenpairs_steps(at(2 * torch.eye(8, dtype=torch.float64)), 5))
    torch.testing.assert_close(found.positive.values, torch.full((5,), 2.0).double())
    assert len(found.negative.values) == 0


def test_energies_are_estimated_to_within_the_error_that_they_state():
    a = matrix()
    jacobian, s = at(a), (a + a.T) / 2
    found = finish(eigenpairs_steps(jacobian, 2, most=6))
    estimates = [finish(energies_steps(jacobian, found, 6, seed)) for seed in range(300)]
    truth = total(a)
    wanted = {"energy": truth.energy, "asymmetric": truth.asymmetric, "symmetric": float(s.square().sum())}
    for name, value in wanted.items():
        holder = [e if name == "symmetric" else e.total for e in estimates]
        values = torch.tensor([getattr(e, name) for e in holder])
        errors = torch.tensor([getattr(e, f"{name}_error") for e in holder])
        assert abs(float(values.mean()) - value) < 4 * float(values.std()) / len(values) ** 0.5
        assert float(errors.square().mean().sqrt()) == pytest.approx(float(values.std()), rel=0.2)
    asymmetries = torch.tensor([e.total.asymmetry for e in estimates])
    assert float(asymmetries.mean()) == pytest.approx(float((a - a.T).norm() / a.norm()), rel=0.02)


def test_energies_are_exact_where_all_is_known():
    a = matrix(12)
    jacobian = at(a)
    found = finish(eigenpairs_steps(jacobian, 12))
    assert len(found.basis) == 12
    energies = finish(energies_steps(jacobian, found, 2))
    assert energies.total.energy == pytest.approx(float(a.square().sum()))
    assert energies.total.asymmetric == pytest.approx(float((a - a.T).square().sum()))
    assert energies.symmetric_error == energies.total.energy_error == 0
    assert jacobian.cost.products == 24


def test_progress_and_what_cannot_be_asked():
    steps = list(eigenpairs_steps(at(matrix()), 2))
    assert all(isinstance(p, Progress) and p.done <= p.total for p in steps)
    assert [p.done for p in steps] == list(range(2, 2 * len(steps) + 1, 2))
    with pytest.raises(ValueError, match="square"):
        finish(eigenpairs_steps(at(matrix()), 0))
    with pytest.raises(ValueError, match="square"):
        finish(eigenpairs_steps(linearize(lambda x: x[:2] * 1.0, torch.zeros(4)), 1))
    with pytest.raises(ValueError, match="two probes"):
        finish(energies_steps(at(matrix()), finish(eigenpairs_steps(at(matrix()), 1)), 1))
