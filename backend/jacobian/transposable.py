"""Operations swapped while a graph is recorded, so that its second backward pass costs no more than it must.

J v is the transpose of u -> J^T u. A convolution's second backward pass in PyTorch also computes the
derivative in the weights, asked for or not: half of all the work. GroupNorm's is taken apart into a dozen
passes over memory, though its derivative is symmetric, hence its own transpose. Fused attention has none on
the CPU.

A TorchFunctionMode belongs to the thread that enters it: no module and no global flag is touched.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.overrides import TorchFunctionMode


class PlainAttention(TorchFunctionMode):
    """Within it, attention is a softmax of a matrix product, which has every derivative."""

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.scaled_dot_product_attention:
            return _attention(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


class Recording(PlainAttention):
    """Within it, convolutions and GroupNorm too record derivatives that are cheap to transpose.

    Values are the same up to rounding. Weights are taken as constants, except one that is itself computed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.active = False

    def __enter__(self) -> "Recording":
        self.active = True
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        self.active = False
        super().__exit__(*error)

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is F.conv2d:
            return _conv2d(*args, **(kwargs or {}))
        if func is F.group_norm:
            return _group_norm(self, *args, **(kwargs or {}))
        return super().__torch_function__(func, types, args, kwargs)


def _conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] | str = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> Tensor:
    computed = weight.grad_fn is not None or (bias is not None and bias.grad_fn is not None)
    if computed or input.ndim != 4 or isinstance(padding, str):
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    bias = None if bias is None else bias.detach()
    return _Convolution.apply(input, weight.detach(), bias, (stride, padding, dilation, groups))


class _Convolution(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(input: Tensor, weight: Tensor, bias: Tensor | None, settings: tuple) -> Tensor:
        return F.conv2d(input, weight, bias, *settings)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        input, weight, _, ctx.settings = inputs
        ctx.shape = input.shape
        ctx.save_for_backward(weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple:
        (weight,) = ctx.saved_tensors
        return _ConvolutionTransposed.apply(gradient, weight, ctx.shape, ctx.settings), None, None, None


class _ConvolutionTransposed(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(gradient: Tensor, weight: Tensor, shape: torch.Size, settings: tuple) -> Tensor:
        return torch.nn.grad.conv2d_input(shape, weight, gradient, *settings)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        _, weight, _, ctx.settings = inputs
        ctx.save_for_backward(weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple:
        (weight,) = ctx.saved_tensors
        return _Convolution.apply(gradient, weight, None, ctx.settings), None, None, None


def _group_norm(
    recording: Recording,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    channels = (1, -1) + (1,) * (input.ndim - 2)
    output = _Normalisation.apply(input.contiguous(), num_groups, eps, recording)[0]
    if weight is not None:
        output = output * weight.view(channels)
    return output if bias is None else output + bias.view(channels)


def _sizes(input: Tensor) -> tuple[int, int, int]:
    """Samples, channels and positions, as the native kernels want them."""
    return input.shape[0], input.shape[1], input[0, 0].numel()


class _Normalisation(Function):
    """GroupNorm without its affine part: (output, means, 1 / deviations)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        input: Tensor, groups: int, eps: float, recording: Recording
    ) -> tuple[Tensor, Tensor, Tensor]:
        return torch.ops.aten.native_group_norm(input, None, None, *_sizes(input), groups, eps)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: tuple[Tensor, Tensor, Tensor]) -> None:
        input, ctx.groups, ctx.eps, ctx.recording = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(input, *output[1:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *unused: Tensor) -> tuple:
        if not ctx.recording.active:
            return _Projection.apply(gradient, *ctx.saved_tensors, ctx.groups), None, None, None
        # A gradient that the recorded function takes itself is differentiated in the input too.
        input = ctx.saved_tensors[0]
        output = torch.group_norm(input, ctx.groups, eps=ctx.eps)
        return torch.autograd.grad(output, input, gradient, create_graph=True)[0], None, None, None


class _Projection(Function):
    """The derivative of the normalisation: g -> rstd (g - mean(g) - z mean(g z)) in each group, z its output.

    A linear map of g alone, and its own transpose.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(gradient: Tensor, input: Tensor, mean: Tensor, rstd: Tensor, groups: int) -> Tensor:
        return torch.ops.aten.native_group_norm_backward(
            gradient.contiguous(), input, mean, rstd, None, *_sizes(input), groups, [True, False, False]
        )[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        ctx.groups = inputs[-1]
        ctx.save_for_backward(*inputs[1:4])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple:
        return _Projection.apply(gradient, *ctx.saved_tensors, ctx.groups), None, None, None, None


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    if dropout_p or is_causal or enable_gqa:
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
    if attn_mask is not None:
        scores = (
            scores.masked_fill(~attn_mask, -torch.inf)
            if attn_mask.dtype == torch.bool
            else scores + attn_mask
        )
    return scores.softmax(-1) @ value
