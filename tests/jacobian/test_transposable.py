from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from backend.jacobian.transposable import PlainAttention, Recording

Function = Callable[[Tensor], Tensor]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


CASES: dict[str, Function] = {
    "convolution": lambda x: F.conv2d(x, noise(6, 4, 3, 3), noise(6), padding=1),
    "strided": lambda x: F.conv2d(x, noise(6, 4, 3, 3), None, 2, (1, 2)),
    "dilated groups": lambda x: F.conv2d(x, noise(8, 2, 3, 3), dilation=2, groups=2),
    "padding by name": lambda x: F.conv2d(x, noise(6, 4, 3, 3), padding="same"),
    "without batch": lambda x: F.conv2d(x[0], noise(6, 4, 3, 3)),
    "weights of x": lambda x: F.conv2d(noise(2, 4, 6, 6), x[0].reshape(4, 4, 3, 5).tanh(), x[0, :, 0, 0]),
    "norm": lambda x: F.group_norm(x, 2),
    "affine norm": lambda x: F.group_norm(x, 4, noise(4), noise(4, seed=1), eps=1e-3),
    "norm of a view": lambda x: F.group_norm(x.transpose(2, 3), 2, noise(4)),
    "norm of a sequence": lambda x: F.group_norm(x.flatten(2), 2),
    "attention": lambda x: F.scaled_dot_product_attention(x, x + 1, x * 2),
    "masked attention": lambda x: F.scaled_dot_product_attention(x, x, x, noise(6, 6) > -1, scale=0.7),
    "biased attention": lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=noise(6, 6)),
    "block": lambda x: F.conv2d(F.silu(F.group_norm(F.conv2d(x, noise(4, 4, 3, 3)), 2)), noise(3, 4, 1, 1)),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_both_products_match_plain_differentiation(name: str) -> None:
    f = CASES[name]
    x = noise(2, 4, 6, 10, seed=3) if name == "weights of x" else noise(2, 4, 6, 6, seed=3)
    x.requires_grad_()
    with Recording():
        y = f(x)
    torch.testing.assert_close(y, f(x))
    dense = torch.autograd.functional.jacobian(f, x).reshape(y.numel(), x.numel())
    u, v = noise(*y.shape, seed=4), noise(*x.shape, seed=5)

    (row,) = torch.autograd.grad(y, x, u, retain_graph=True)
    torch.testing.assert_close(row.flatten(), dense.T @ u.flatten())

    w = torch.zeros_like(y, requires_grad=True)
    (row_of_w,) = torch.autograd.grad(y, x, w, create_graph=True)
    (column,) = torch.autograd.grad(row_of_w, w, v, retain_graph=True)
    torch.testing.assert_close(column.flatten(), dense @ v.flatten())
    (batched,) = torch.autograd.grad(row_of_w, w, torch.stack([v, 2 * v]), is_grads_batched=True)
    torch.testing.assert_close(batched, torch.stack([column, 2 * column]))


def test_a_gradient_taken_inside_is_differentiated_in_full() -> None:
    """A guidance term is a gradient itself; its Jacobian holds second derivatives of the norm."""
    weight = noise(4, 4, 3, 3)

    def f(x: Tensor) -> Tensor:
        y = F.group_norm(F.conv2d(x, weight, padding=1), 2).sin().sum()
        return torch.autograd.grad(y, x, create_graph=True)[0]

    x = noise(1, 4, 4, 4).requires_grad_()
    with Recording():
        y = f(x)
    v = noise(1, 4, 4, 4, seed=1)
    difference = (f(x + 1e-5 * v) - f(x - 1e-5 * v)) / 2e-5
    w = torch.zeros_like(y, requires_grad=True)
    (row,) = torch.autograd.grad(y, x, w, create_graph=True)
    (column,) = torch.autograd.grad(row, w, v)
    torch.testing.assert_close(column, difference.detach(), rtol=1e-6, atol=1e-7)


def test_plain_attention_has_a_forward_derivative_where_the_fused_one_has_none() -> None:
    x, v = noise(1, 2, 6, 8), noise(1, 2, 6, 8, seed=1)

    def f(x: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(x, x, x)

    with pytest.raises(NotImplementedError):
        torch.func.jvp(f, (x,), (v,))
    with PlainAttention():
        tangent = torch.func.jvp(f, (x,), (v,))[1]
    torch.testing.assert_close(tangent, (f(x + 1e-6 * v) - f(x - 1e-6 * v)) / 2e-6, rtol=1e-6, atol=1e-8)


def test_nothing_is_swapped_outside() -> None:
    x = noise(1, 4, 6, 6).requires_grad_()
    weight = noise(4, 4, 3, 3).requires_grad_()
    with Recording() as recording:
        pass
    assert not recording.active
    F.conv2d(x, weight).sum().backward()
    assert weight.grad is not None
