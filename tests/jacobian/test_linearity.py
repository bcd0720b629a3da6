import torch
from torch import Tensor

from backend.jacobian.linearity import linearity

A = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
x, v = torch.tensor([1.0, 2, 3, 4]).double(), torch.tensor([1.0, 0, 0, 0]).double()
lengths = torch.tensor([-2.0, 0.5, 1]).double()


def test_a_linear_function_is_linear() -> None:
    found = linearity(lambda batch: batch @ A.T, x, v, A @ v, lengths)
    torch.testing.assert_close(found.residual, torch.zeros(3).double(), atol=1e-14, rtol=0)
    torch.testing.assert_close(found.norm_ratio, torch.ones(3).double())
    torch.testing.assert_close(found.cosine, torch.ones(3).double())


def test_a_square_has_its_closed_form() -> None:
    """f = 100 + x_1^2 along x_1 from 1: the residual is l / 2, while the paper's ratios hardly see it."""

    def f(batch: Tensor) -> Tensor:
        return 100 + batch[:, :1].square()

    found = linearity(f, x, v, torch.tensor([2.0]).double(), lengths)
    torch.testing.assert_close(found.residual, lengths.abs() / 2)
    torch.testing.assert_close(found.norm_ratio, (100 + (1 + lengths).square()) / (101 + 2 * lengths))
    assert (found.norm_ratio - 1).abs().max() < 0.05 < found.residual.min()
