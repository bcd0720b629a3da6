import pytest
import torch
from torch import Tensor

from backend.editing.directions import STEP, describe, project_off

SHAPE, D = (2, 4, 5), 40


def randn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def orthonormal(n: int, seed: int) -> Tensor:
    return torch.linalg.qr(randn(D, n, seed=seed)).Q.T.view(n, *SHAPE)


def region() -> Tensor:
    mask = torch.zeros(4, 5, dtype=torch.bool)
    mask[1:3, 2:4] = True
    return mask


@pytest.mark.parametrize("rank", [1, 5, 20])
def test_what_is_projected_off_is_gone(rank):
    """Against the dense projector I - B B^T, normalised."""
    v, basis = orthonormal(3, 1), orthonormal(rank, 2)
    found = project_off(v, basis)
    assert found.shape == v.shape
    rows, B = v.flatten(1), basis.flatten(1)
    expected = rows - rows @ B.T @ B
    torch.testing.assert_close(found.flatten(1), expected / expected.norm(dim=1, keepdim=True))
    assert (found.flatten(1) @ B.T).abs().max() < 1e-14


def test_nearly_all_projected_off_is_still_orthogonal_in_single_precision():
    """One pass of Gram-Schmidt would leave 1e-3 here."""
    basis = orthonormal(5, 2).float()
    v = basis[:1] + 1e-4 * orthonormal(1, 3).float()
    found = project_off(v / v.norm(), basis)
    assert float(found.norm()) == pytest.approx(1, abs=1e-6)
    assert (found.flatten(1) @ basis.flatten(1).T).abs().max() < 1e-6


def test_directions_outside_the_basis_stay():
    q = orthonormal(6, 4)
    torch.testing.assert_close(project_off(q[:2], q[2:]), q[:2])


def test_directions_are_measured_against_the_dense_jacobian():
    A, v, s, mask = randn(D, D), orthonormal(3, 1), randn(3).abs(), region()
    response = (v.flatten(1) @ A.T).view(3, *SHAPE)
    found = describe(v, s, response, mask)
    inside = torch.stack([r[:, mask].norm() for r in response])
    outside = torch.stack([r[:, ~mask].norm() for r in response])
    torch.testing.assert_close(found.gain, inside)
    torch.testing.assert_close(found.leak, (outside / inside) ** 2)
    assert torch.equal(found.v, v) and torch.equal(found.s, s)


def test_strength_1_changes_the_region_by_a_tenth():
    """Root-mean-square, in pixels that span 2; twice the strength is twice as much."""
    A, mask = randn(D, D), region()
    v = orthonormal(2, 1)
    found = describe(v, torch.ones(2), (v.flatten(1) @ A.T).view(2, *SHAPE), mask)
    size = int(mask.sum()) * SHAPE[0]
    for strength in (1.0, -2.0):
        far = found.distance(torch.full((2,), strength), size)
        change = ((far[:, None] * v.flatten(1)) @ A.T).view(2, *SHAPE)[..., mask]
        rms = change.flatten(1).square().mean(1).sqrt()
        torch.testing.assert_close(rms, torch.full((2,), abs(strength) * STEP, dtype=torch.float64))
    assert STEP == 0.1


def test_many_strengths_at_once():
    found = describe(orthonormal(2, 1), torch.ones(2), randn(2, *SHAPE), region())
    strengths = torch.tensor([[-1.0], [0.0], [3.0]])
    torch.testing.assert_close(found.distance(strengths, 8)[2], 3 * found.distance(torch.ones(2), 8))
    assert found.distance(strengths, 8).shape == (3, 2)
