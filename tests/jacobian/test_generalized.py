"""Generalised directions against the dense pencil J_in^T J_in v = q (J_out^T J_out + mu) v."""

import pytest
import torch
from scipy.linalg import eigh
from torch import Tensor

from backend.jacobian.generalized import Memory, generalized, generalized_steps, remember
from backend.jacobian.linearize import Linearized, linearize
from backend.jacobian.svd import svd
from backend.request import finish

IN, OUT, K = 60, (3, 5, 6), 4


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def region() -> Tensor:
    mask = torch.zeros(OUT[1:], dtype=torch.bool)
    mask[1:3, 2:5] = True
    return mask


def matrix(seed: int = 0) -> Tensor:
    """(90, 60), its singular values falling as a network's do."""
    u, v = (torch.linalg.qr(noise(n, IN, seed=seed + i)).Q for i, n in enumerate((90, IN)))
    return (u * 0.8 ** torch.arange(IN)) @ v.T


def linear(A: Tensor) -> Linearized:
    return linearize(lambda x: (A @ x).view(OUT), A.new_zeros(IN))


def dense(A: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """The best quotients and unit vectors there are."""
    inside = region().expand(OUT).flatten()
    gram_in, gram_out = A[inside].T @ A[inside], A[~inside].T @ A[~inside]
    mu = ridge * torch.linalg.eigvalsh(gram_in)[-1]
    q, v = (torch.from_numpy(part.copy()) for part in eigh(gram_in, gram_out + mu * torch.eye(IN)))
    v = v.flip(1)[:, :K].T
    return q.flip(0)[:K], v / v.norm(dim=1, keepdim=True)


def quotients(A: Tensor, v: Tensor, ridge: float) -> Tensor:
    inside = region().expand(OUT).flatten()
    mu = ridge * torch.linalg.matrix_norm(A[inside], 2) ** 2
    images = v @ A.T
    return images[:, inside].square().sum(1) / (images[:, ~inside].square().sum(1) + mu)


def explored(jacobian: Linearized, columns: int) -> Memory:
    memory = Memory()
    svd(remember(jacobian, memory), 1, tol=0.0, max_products=2 * columns)
    return memory


@pytest.mark.parametrize("ridge", [1e-2, 0.1, 1.0])
def test_in_a_memory_of_everything_they_are_the_dense_ones(ridge: float) -> None:
    A = matrix()
    memory = Memory(list(torch.eye(IN).double()), [column.view(OUT) for column in A.T])
    v, images = generalized(memory, region(), K, ridge)
    _, expected = dense(A, ridge)
    assert ((v * expected).sum(1).abs() > 1 - 1e-8).all()
    torch.testing.assert_close(images.flatten(1), v @ A.T)
    torch.testing.assert_close(v.norm(dim=1), torch.ones(K).double())
    assert ((images * region()).flatten(1).pow(3).sum(1) >= 0).all()


def test_a_large_ridge_gives_the_singular_vectors_of_the_region() -> None:
    A = matrix()
    memory = Memory(list(torch.eye(IN).double()), [column.view(OUT) for column in A.T])
    v, _ = generalized(memory, region(), K, 1e6)
    expected = torch.linalg.svd(A[region().expand(OUT).flatten()]).Vh[:K]
    assert ((v * expected).sum(1).abs() > 1 - 1e-6).all()


@pytest.mark.parametrize("seed", range(3))
def test_two_rounds_after_an_exploration_reach_the_best_quotients(seed: int) -> None:
    A = matrix(10 * seed)
    best, _ = dense(A, 0.1)
    jacobian = linear(A)
    memory = explored(jacobian, 20)
    first = quotients(A, generalized(memory, region(), K, 0.1)[0], 0.1)
    spent = jacobian.cost.products
    v, images = finish(generalized_steps(jacobian, memory, region(), K, 0.1))
    assert jacobian.cost.products - spent == 2 * 2 * K
    last = quotients(A, v, 0.1)
    assert (last[0] > 0.99 * best[0]) and (last > 0.9 * best).all()
    assert (last <= best * (1 + 1e-3)).all()  # not exactly: mu was measured in the span
    assert last.sum() > first.sum()
    torch.testing.assert_close(images.flatten(1), v @ A.T)


def test_another_region_costs_no_product() -> None:
    jacobian = linear(matrix())
    memory = explored(jacobian, 20)
    spent = jacobian.cost.products
    generalized(memory, ~region(), K, 0.1)
    assert jacobian.cost.products == spent


def test_a_memory_remembers_columns_whole_and_drops_what_it_has_twice() -> None:
    A, memory = matrix(), Memory()
    jacobian = remember(linear(A), memory)
    V = noise(3, IN)
    torch.testing.assert_close(jacobian.jvp(V).flatten(1), V @ A.T)
    jacobian.jvp(2 * V[:2])
    assert len(memory.inputs) == 5
    basis, images = memory.basis()
    torch.testing.assert_close(basis @ basis.T, torch.eye(3).double())
    torch.testing.assert_close(images, basis @ A.T)
    assert len(generalized(memory, region(), K, 0.1)[0]) == 3, "no more than it spans"


def test_without_products_or_ridge_it_refuses() -> None:
    for memory, ridge in ((Memory(), 0.1), (explored(linear(matrix()), 5), 0.0)):
        with pytest.raises(ValueError, match="ridge"):
            generalized(memory, region(), K, ridge)
