"""Spectra of matrices that are known, and of a denoiser whose Jacobian has a closed form."""

import pytest
import torch

from backend.jacobian.linearize import linearize
from backend.jacobian.spectrum import (
    CUTS,
    dense_steps,
    effective_rank,
    rank,
    stable_rank,
    total,
    total_steps,
)
from backend.jacobian.svd import svd
from backend.request import Progress, finish


def matrix(d: int = 40, seed: int = 0) -> torch.Tensor:
    """Singular values 2^-i in random bases: not symmetric."""
    g = torch.Generator().manual_seed(seed)
    u, v = (torch.linalg.qr(torch.randn(d, d, generator=g, dtype=torch.float64)).Q for _ in range(2))
    return u @ torch.diag(2.0 ** -torch.arange(d, dtype=torch.float64)) @ v.T


def test_dense_jacobians_of_a_batch_are_those_of_its_samples():
    torch.manual_seed(0)
    weights = torch.randn(6, 6, dtype=torch.float64)

    def f(x):
        return torch.sin(x.flatten(1) @ weights).view_as(x)

    x = torch.randn(3, 2, 3, dtype=torch.float64)
    found = finish(dense_steps(f, x))
    for one, jacobian in zip(x, found, strict=True):
        wanted = torch.autograd.functional.jacobian(lambda a: f(a[None])[0], one).reshape(6, 6)
        assert torch.allclose(jacobian, wanted, atol=1e-12)
    assert torch.equal(finish(dense_steps(f, x[:1]))[0], found[0])  # a batch of one


def test_progress_counts_the_rows():
    steps = list(dense_steps(lambda x: x**2, torch.ones(2, 4)))
    assert [(p.done, p.total) for p in steps] == [(i + 1, 4) for i in range(4)]
    assert all(isinstance(p, Progress) for p in steps)


def test_the_total_of_a_dense_matrix_is_exact():
    a = matrix()
    found = total(a)
    assert found.energy == pytest.approx(float((a**2).sum()))
    assert found.asymmetry == pytest.approx(float((a - a.T).norm() / a.norm()))
    assert found.energy_error == found.asymmetric_error == found.asymmetry_error == 0
    assert total(a + a.T).asymmetry == pytest.approx(0, abs=1e-12)


def test_probes_estimate_what_the_leading_values_leave():
    """Without bias, and to within the error that they state: 400 estimates of 4 probes."""
    a = matrix()
    jacobian = linearize(lambda x: a @ x, torch.zeros(40, dtype=torch.float64))
    leading = svd(jacobian, 3, tol=1e-8)
    estimates = [finish(total_steps(jacobian, leading, 4, seed)) for seed in range(400)]
    truth = total(a)
    for name in ("energy", "asymmetric"):
        values = torch.tensor([getattr(e, name) for e in estimates])
        errors = torch.tensor([getattr(e, f"{name}_error") for e in estimates])
        wanted = getattr(truth, name)
        assert abs(values.mean() - wanted) < 4 * values.std() / len(values) ** 0.5
        assert errors.square().mean().sqrt() == pytest.approx(float(values.std()), rel=0.15)
    errors = torch.tensor([e.asymmetry_error for e in estimates])
    spread = torch.tensor([e.asymmetry for e in estimates]).std()
    assert errors.square().mean().sqrt() == pytest.approx(float(spread), rel=0.2)
    spread = torch.tensor([e.energy for e in estimates]).std()
    assert (
        spread < 0.02 * truth.energy
    )  # the three values hold 98 % of the energy; probes alone would spread by half of it


def test_a_known_space_leaves_nothing_to_estimate():
    a = matrix(12)
    jacobian = linearize(lambda x: a @ x, torch.zeros(12, dtype=torch.float64))
    found = finish(total_steps(jacobian, svd(jacobian, 12, tol=1e-9), 2))
    assert found.energy == pytest.approx(total(a).energy, rel=1e-9) and found.energy_error < 1e-9


def test_one_probe_has_no_error():
    jacobian = linearize(lambda x: 2 * x, torch.zeros(4))
    with pytest.raises(ValueError, match="two probes"):
        finish(total_steps(jacobian, svd(jacobian, 1), 1))


def test_rank_is_the_fewest_values_that_hold_the_share():
    s = torch.tensor([3.0, 2.0, 1.0, 0.5])  # energies 9, 4, 1, .25 of 14.25
    energy = s.square().sum()
    assert [int(rank(s, energy, cut)) for cut in (0.6, 0.64, 0.9, 0.98, 0.99, 1.0)] == [1, 2, 2, 3, 4, 4]
    assert int(rank(s[:2], energy, 0.98)) == 3  # above the two that are known
    assert rank(torch.stack([s, s * 2]), torch.stack([energy, 4 * energy]), 0.9).tolist() == [2, 2]
    assert len(CUTS) == 2 and all(0 < cut < 1 for cut in CUTS)


def test_equal_values_have_full_rank_and_one_value_has_rank_one():
    flat, one = torch.ones(10), torch.tensor([1.0] + [0.0] * 9)
    assert float(effective_rank(flat)) == pytest.approx(10) and float(effective_rank(one)) == pytest.approx(1)
    assert float(stable_rank(flat, 10.0)) == pytest.approx(10) and float(stable_rank(one, 1.0)) == 1
    assert float(effective_rank(torch.zeros(3))) == 0
    two = torch.tensor([1.0, 1.0, 0.0])  # exp of one bit
    assert float(effective_rank(two)) == pytest.approx(2)
