"""What we compare with must itself be right."""

import torch
from torch import Tensor

from tests.benchmarks.subspace_iteration import subspace_iteration


def test_it_converges_to_the_dense_singular_vectors_at_the_rate_of_its_gap() -> None:
    generator = torch.Generator().manual_seed(0)
    u = torch.linalg.qr(torch.randn(12, 12, generator=generator)).Q
    v = torch.linalg.qr(torch.randn(12, 12, generator=generator)).Q
    matrix = (u * 0.6 ** torch.arange(12)) @ v.T
    mask = torch.arange(12).reshape(3, 2, 2) % 4 != 3
    true = torch.linalg.svd(matrix[mask.flatten()]).Vh[:3]

    def f(x: Tensor) -> Tensor:
        return (x.flatten(1) @ matrix.T).view_as(x)

    sines = []
    for step, found in enumerate(subspace_iteration(f, torch.zeros(3, 2, 2), mask, 3, seed=1)):
        assert found.shape == (3, 3, 2, 2)
        rows = found.flatten(1)
        sines.append(float(torch.linalg.matrix_norm(rows - (rows @ true.T) @ true, 2)))
        if step == 6:
            break
    s = torch.linalg.svdvals(matrix[mask.flatten()])
    assert sines[-1] < 1e-2
    assert sines[5] / sines[3] < 2 * float(s[3] / s[2]) ** 4
