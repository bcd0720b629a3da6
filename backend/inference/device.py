"""Where a network runs, and the one change that lets it be differentiated there in every way we need.

Fused attention has no forward-mode and no second derivative on the CPU, and the derivative of GroupNorm under
forward mode or `vmap` insists on a contiguous input. Both are cured on the modules of one network, at load.
The alternative, `torch.nn.attention.sdpa_kernel`, flips a flag of the whole process: in a threaded server one
request would switch it under another.
"""

import torch
from torch import nn


def _contiguous_input(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Forward pre-hook: the same values, laid out in order (attention hands over a transposed view)."""
    return (inputs[0].contiguous(), *inputs[1:])


def make_differentiable(network: nn.Module) -> nn.Module:
    """Make jvp, double backward and vmap (over inputs and over parameters) work through a network, in place.

    Every diffusers `Attention` with the standard fused processor gets the plain one (softmax of a matrix
    product), and every GroupNorm a contiguous input. Values change by rounding only. Attention layers with a
    processor of their own (SD3, Flux) stay as they are; `jacobian.linearize` differentiates them anyway.

    Args:
        network: any module; one without attention or GroupNorm comes back unchanged.
    Returns:
        the same object. Calling it again changes nothing.
    """
    # Takes seconds to import, so it waits until there is a network.
    from diffusers.models import attention_processor as known

    plain = {
        known.AttnProcessor2_0: known.AttnProcessor,
        known.AttnAddedKVProcessor2_0: known.AttnAddedKVProcessor,
    }
    for module in network.modules():
        if isinstance(module, known.Attention) and type(module.processor) in plain:
            module.set_processor(plain[type(module.processor)]())
        if isinstance(module, nn.GroupNorm) and _contiguous_input not in module._forward_pre_hooks.values():
            module.register_forward_pre_hook(_contiguous_input)
    return network


def pick_device() -> torch.device:
    """The device for networks: the first CUDA device if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pick_dtype() -> torch.dtype:
    """The dtype of network weights: float32, since singular vectors to 1e-2 need more than 8 bits."""
    return torch.float32
