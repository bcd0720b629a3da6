from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from backend.denoiser.gaussian_mixture import GaussianMixture
from backend.jacobian.linearize import Cost, linearize, restrict
from backend.schedule import CosineSchedule


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def curved(x: Tensor) -> Tensor:
    """(2, 3) -> (3, 2, 2), with a Jacobian that changes everywhere."""
    first = torch.einsum("abcij,ij->abc", noise(3, 2, 2, 2, 3), x)
    return first.sin() * x.square().sum() + first.cumsum(0)


def dense(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return torch.autograd.functional.jacobian(f, x).reshape(-1, x.numel())


@pytest.mark.parametrize("mode", ["auto", "forward"])
def test_products_match_the_dense_jacobian(mode: str) -> None:
    x, V, U = noise(2, 3), noise(4, 2, 3, seed=1), noise(5, 3, 2, 2, seed=2)
    jacobian, matrix = linearize(curved, x, mode=mode), dense(curved, x)
    torch.testing.assert_close(jacobian.value, curved(x))
    torch.testing.assert_close(jacobian.jvp(V).flatten(1), V.flatten(1) @ matrix.T)
    torch.testing.assert_close(jacobian.vjp(U).flatten(1), U.flatten(1) @ matrix)
    assert jacobian.jvp(V).shape == (4, 3, 2, 2) and jacobian.vjp(U).shape == (5, 2, 3)
    assert jacobian.shape == x.shape and not jacobian.value.requires_grad


def test_gaussian_denoiser_has_its_closed_form_jacobian() -> None:
    """dD/dx_t = alpha C (alpha^2 C + sigma^2)^-1 for a Gaussian of covariance C."""
    axes = torch.linalg.qr(noise(6, 6)).Q
    variances = torch.tensor([3.0, 2.0, 1.0, 0.5, 0.2, 0.1], dtype=torch.float64)
    denoiser = GaussianMixture(
        CosineSchedule(), (6,), torch.ones(1), torch.zeros(1, 6), axes[None], variances[None], torch.zeros(1)
    ).double()
    t = torch.tensor(0.4, dtype=torch.float64)
    alpha, sigma = denoiser.schedule(t)
    expected = axes @ torch.diag(alpha * variances / (alpha**2 * variances + sigma**2)) @ axes.T
    jacobian = linearize(lambda x: denoiser(x, t), noise(6))
    torch.testing.assert_close(
        jacobian.jvp(torch.eye(6, dtype=torch.float64)).T, expected, rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(
        jacobian.vjp(torch.eye(6, dtype=torch.float64)), expected, rtol=1e-5, atol=1e-6
    )


def test_a_linear_function_and_a_constant_one() -> None:
    matrix = noise(3, 4)
    jacobian = linearize(lambda x: matrix @ x, noise(4))
    torch.testing.assert_close(jacobian.jvp(torch.eye(4, dtype=torch.float64)).T, matrix)
    with pytest.raises(ValueError, match="does not depend"):
        linearize(lambda x: torch.ones(3), noise(4))


def test_outputs_that_do_not_depend_on_x_have_zero_rows() -> None:
    jacobian = linearize(lambda x: torch.stack([x.sum(), x.new_tensor(1.0)]), noise(3))
    assert jacobian.jvp(torch.ones(1, 3, dtype=torch.float64)).tolist() == [[3.0, 0.0]]


@pytest.mark.parametrize("grad", [torch.no_grad, torch.enable_grad])
def test_works_whatever_the_caller_switched_off_and_leaves_x_alone(grad: Callable) -> None:
    x = noise(2, 3)
    with grad():
        jacobian = linearize(curved, x)
        column = jacobian.jvp(torch.ones(1, 2, 3, dtype=torch.float64))
    torch.testing.assert_close(column.flatten(), dense(curved, x).sum(1))
    assert not x.requires_grad and x.grad is None and not column.requires_grad


def test_cost_counts_products_and_is_shared_by_restrictions() -> None:
    jacobian = linearize(curved, noise(2, 3))
    assert jacobian.cost == Cost(forward=1, jvp=0, vjp=0)
    part = restrict(jacobian, torch.tensor([[True, False], [False, True]]))
    jacobian.vjp(noise(2, 3, 2, 2))
    part.jvp(noise(3, 2, 3))
    part.jvp(noise(1, 2, 3))
    assert jacobian.cost == Cost(forward=2, jvp=4, vjp=2) and part.cost is jacobian.cost
    assert jacobian.cost.products == 6


def test_the_function_runs_once_however_many_products() -> None:
    runs = []

    def counted(x: Tensor) -> Tensor:
        runs.append(1)
        return curved(x)

    jacobian = linearize(counted, noise(2, 3))
    for _ in range(3):
        jacobian.jvp(noise(2, 2, 3))
        jacobian.vjp(noise(2, 3, 2, 2))
    assert len(runs) == 1


def test_restriction_keeps_the_rows_of_the_mask_and_the_complement_the_others() -> None:
    x, mask = noise(2, 3), torch.tensor([[True, False], [True, False]])
    whole = linearize(curved, x)
    inside, outside = restrict(whole, mask), restrict(whole, ~mask)
    V, U = noise(2, 2, 3, seed=1), noise(2, 3, 2, 2, seed=2)
    torch.testing.assert_close(inside.jvp(V) + outside.jvp(V), whole.jvp(V))
    torch.testing.assert_close(inside.vjp(U) + outside.vjp(U), whole.vjp(U))
    assert (inside.jvp(V)[:, :, ~mask] == 0).all() and (outside.jvp(V)[:, :, mask] == 0).all()
    assert inside.mask.sum() == 6 and torch.equal(outside.mask, ~inside.mask)
    assert not restrict(inside, ~mask).mask.any()


def test_a_mask_that_is_not_boolean_or_does_not_fit_is_refused() -> None:
    jacobian = linearize(curved, noise(2, 3))
    with pytest.raises(ValueError, match="boolean"):
        restrict(jacobian, torch.ones(2, 2))
    with pytest.raises(ValueError, match="does not fit"):
        restrict(jacobian, torch.ones(3, 3, dtype=torch.bool))
