"""The h-space of a U-Net: the output of its middle block, read or shifted.

Kwon, Jeong and Uh, "Diffusion Models already have a Semantic Latent Space", ICLR 2023,
https://arxiv.org/abs/2210.10960, Sec. 3, call it h. With D = decode(h(x_t, t), skips(x_t, t), x_t, t), a shift acts on
h alone and leaves the skip connections as they are:

    D_shifted(x_t, t) = decode(h + shift, skips, x_t, t)

The network belongs to all threads at once, so no hook is set on it. A copy of its outermost module, which shares all
weights and blocks, gets another middle block instead.
"""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor, nn

from backend.denoiser.unet import UNetDenoiser

Module = TypeVar("Module", bound=nn.Module)


def bottleneck(denoiser: UNetDenoiser, x_t: Tensor, t: Tensor | float, label: Tensor) -> Tensor:
    """h(x_t, t): differentiable in x_t, and a backward pass through it runs through the encoder alone.

    Args:
        x_t: (*batch, C, H, W).
        t: time in [0, 1], () or (*batch).
        label: int64, () or (*batch), -1 for none; a network without labels ignores it.

    Returns (*batch, c, h, w), dtype of x_t.

    Raises:
        ValueError: if the network has no middle block.
    """
    seen: list[Tensor] = []

    def keep(h: Tensor) -> Tensor:
        seen.append(h)
        return h

    _decode(_followed_by(denoiser, keep), x_t, t, label)
    (h,) = seen
    return h.view(*denoiser.batch(x_t), *h.shape[1:]).to(x_t.dtype)


def decode_with(
    denoiser: UNetDenoiser, x_t: Tensor, t: Tensor | float, label: Tensor, shift: Tensor
) -> Tensor:
    """D_shifted(x_t, t), (*batch, C, H, W): arguments as in `bottleneck`, shift as in `shifted`."""
    return _decode(shifted(denoiser, shift), x_t, t, label)


def shifted(denoiser: UNetDenoiser, shift: Tensor) -> UNetDenoiser:
    """The same denoiser with `shift` added to h; it shares all weights, and with shift 0 equals it to the bit.

    Args:
        shift: (c, h, w) for every sample, or (*batch, c, h, w), one for each; axes of length 1 broadcast.

    Raises:
        ValueError: if the network has no middle block.
    """
    shift = shift.reshape(-1, *shift.shape[-3:])
    return _followed_by(denoiser, lambda h: h + shift.to(h))


class _FollowedBy(nn.Module):
    """A block and then a function of its output."""

    def __init__(self, block: nn.Module, then: Callable[[Tensor], Tensor]):
        super().__init__()
        self.block, self.then = block, then

    def forward(self, *arguments: Any) -> Tensor:
        return self.then(self.block(*arguments))


def _followed_by(denoiser: UNetDenoiser, then: Callable[[Tensor], Tensor]) -> UNetDenoiser:
    """A shallow copy whose middle block is followed by `then`."""
    if denoiser.unet.mid_block is None:
        raise ValueError("This network has no middle block.")
    network = with_children(denoiser.unet, mid_block=_FollowedBy(denoiser.unet.mid_block, then))
    return with_children(denoiser, unet=network)


def with_children(module: Module, **children: nn.Module) -> Module:
    """A shallow copy with other children, all else shared. A bare copy.copy would share the table of children as well."""
    changed = copy.copy(module)
    changed._modules = {**module._modules, **children}
    return changed


def _decode(denoiser: UNetDenoiser, x_t: Tensor, t: Tensor | float, label: Tensor) -> Tensor:
    return denoiser(x_t, t, label=label) if "label" in denoiser.null else denoiser(x_t, t)
