"""A tensor function at one point: its value f(x) and the two products of its Jacobian J = df/dx there.

x stays put while an SVD asks for dozens of products, so f runs once and its graph is kept.

    J^T u   one backward pass through that graph.
    J v     w -> J^T w is linear and J its transpose. Its graph is recorded once as well, and one backward
            pass through it is J v (Townsend, "A new trick for calculating Jacobian vector products", 2017,
            https://j-towns.github.io/2017/06/12/A-new-trick.html).

Either costs about as much as one run of f; forward-mode differentiation, which runs f again each time,
about four. The graphs live as long as the Linearized: inside one request, never in a cache.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from backend.jacobian.transposable import PlainAttention, Recording

_forward_mode = threading.Lock()
"""PyTorch counts nested forward-mode levels for the whole process: two threads inside fail at random."""


@dataclass
class Cost:
    """What has been spent: passes that recorded a graph or ran f, columns J v, rows J^T u."""

    forward: int = 0
    jvp: int = 0
    vjp: int = 0

    @property
    def products(self) -> int:
        """Columns and rows together."""
        return self.jvp + self.vjp


@dataclass(frozen=True)
class Linearized:
    """f(x) and J = df/dx at one x."""

    value: Tensor
    """f(x), (*out)."""
    shape: torch.Size
    """Of x, (*in)."""
    jvp: Callable[[Tensor], Tensor]
    """V (k, *in) -> J V (k, *out)."""
    vjp: Callable[[Tensor], Tensor]
    """U (k, *out) -> J^T U (k, *in)."""
    mask: Tensor
    """Bool (*out), the outputs that count: the others are 0 in jvp and ignored in vjp."""
    cost: Cost
    """Counts what all restrictions of this Jacobian spend."""

    @property
    def chunk(self) -> int:
        """How many products to ask for at once: a CPU gains nothing from several, a GPU does."""
        return 16 if self.value.is_cuda else 1


def linearize(
    f: Callable[[Tensor], Tensor], x: Tensor, *, mode: Literal["auto", "forward"] = "auto"
) -> Linearized:
    """f at x, ready for products.

    Args:
        f: any tensor function, deterministic, of one sample; its weights are constants.
        x: the point, (*in), floating point.
        mode: "auto" keeps both graphs. "forward" keeps the first only (half the memory) and runs f again
            in forward mode for every J v, which needs a network passed through `make_differentiable`.

    Raises:
        ValueError: if f(x) does not depend on x through differentiable operations.
    """
    cost = Cost(forward=1)
    x = x.detach().clone().requires_grad_()
    with torch.enable_grad(), Recording():
        value = f(x)
    if not value.requires_grad:
        raise ValueError("The function's value does not depend on its argument in a differentiable way.")
    transposed: list[
        tuple[Tensor, Tensor]
    ] = []  # (w, J^T w), recorded at the first jvp: vjp alone never needs it

    def vjp(u: Tensor) -> Tensor:
        cost.vjp += len(u)
        return _backward(value, x, u)

    def jvp(v: Tensor) -> Tensor:
        cost.jvp += len(v)
        if not transposed:
            cost.forward += 1
            with torch.enable_grad():
                w = torch.zeros_like(value, requires_grad=True)
                (row,) = torch.autograd.grad(value, x, w, create_graph=True)
            transposed.append((w, row))
        w, row = transposed[0]
        return _backward(row, w, v)

    def jvp_forward(v: Tensor) -> Tensor:
        cost.jvp += len(v)
        cost.forward += len(v)
        with _forward_mode, PlainAttention():
            return torch.stack([torch.func.jvp(f, (x.detach(),), (one.contiguous(),))[1] for one in v])

    everything = torch.ones_like(value, dtype=torch.bool)
    return Linearized(
        value.detach(), x.shape, jvp_forward if mode == "forward" else jvp, vjp, everything, cost
    )


def _backward(output: Tensor, input: Tensor, cotangents: Tensor) -> Tensor:
    """The gradients of <output, cotangent> in input, (k, *input), through a kept graph."""
    options = {"retain_graph": True, "materialize_grads": True}
    if not len(cotangents):
        return cotangents.new_zeros(0, *input.shape)
    if cotangents.is_cuda and len(cotangents) > 1:
        return torch.autograd.grad(output, input, cotangents, is_grads_batched=True, **options)[0]
    return torch.stack(
        [torch.autograd.grad(output, input, one.contiguous(), **options)[0] for one in cotangents]
    )


def restrict(jacobian: Linearized, mask: Tensor) -> Linearized:
    """The same Jacobian with only the outputs of a mask (`~mask` for the complement), on the same graphs.

    Args:
        mask: bool, broadcastable to the output, such as (H, W) for (C, H, W).

    Raises:
        ValueError: if the mask is not boolean or does not fit.
    """
    if mask.dtype != torch.bool:
        raise ValueError("A mask must be boolean.")
    try:
        mask = mask.to(jacobian.value.device).broadcast_to(jacobian.value.shape) & jacobian.mask
    except RuntimeError as error:
        raise ValueError(f"A mask of shape {tuple(mask.shape)} does not fit the output.") from error
    return replace(
        jacobian, jvp=lambda v: jacobian.jvp(v) * mask, vjp=lambda u: jacobian.vjp(u * mask), mask=mask
    )
