import copy

import pytest
import torch
from torch import nn

from backend.inference.device import make_differentiable, pick_device, pick_dtype

diffusers = pytest.importorskip("diffusers")


def tiny_unet() -> nn.Module:
    torch.manual_seed(0)
    return diffusers.UNet2DModel(
        sample_size=8,
        in_channels=3,
        out_channels=3,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=8,
    ).eval()


def test_returns_the_same_network_with_the_same_values() -> None:
    network = tiny_unet()
    x, step = torch.randn(2, 3, 8, 8), torch.tensor(10.0)
    with torch.no_grad():
        before = network(x, step).sample
        assert make_differentiable(network) is network
        torch.testing.assert_close(network(x, step).sample, before, rtol=1e-5, atol=1e-5)


def test_forward_mode_needs_it_and_works_after_it() -> None:
    network = tiny_unet()
    x, v, step = torch.randn(1, 3, 8, 8), torch.randn(1, 3, 8, 8), torch.tensor(10.0)

    def tangent() -> torch.Tensor:
        return torch.func.jvp(lambda a: network(a, step).sample, (x,), (v,))[1]

    with pytest.raises((NotImplementedError, RuntimeError)):
        tangent()
    make_differentiable(network)
    assert tangent().abs().max() > 0


def test_a_second_call_changes_nothing() -> None:
    network = make_differentiable(tiny_unet())
    hooks = sum(len(module._forward_pre_hooks) for module in network.modules())
    processors = [id(module.processor) for module in network.modules() if hasattr(module, "processor")]
    make_differentiable(network)
    assert processors and hooks == sum(isinstance(module, nn.GroupNorm) for module in network.modules())
    assert hooks == sum(len(module._forward_pre_hooks) for module in network.modules())
    assert processors == [
        id(module.processor) for module in network.modules() if hasattr(module, "processor")
    ]


def test_a_copy_stays_differentiable_and_is_not_hooked_twice() -> None:
    network = copy.deepcopy(make_differentiable(tiny_unet()))
    make_differentiable(network)
    assert all(len(m._forward_pre_hooks) == 1 for m in network.modules() if isinstance(m, nn.GroupNorm))


def test_plain_modules_are_left_alone() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.SiLU())
    assert make_differentiable(network) is network
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_device_and_dtype_exist_on_this_machine() -> None:
    assert torch.zeros(1, device=pick_device(), dtype=pick_dtype()).dtype == torch.float32
