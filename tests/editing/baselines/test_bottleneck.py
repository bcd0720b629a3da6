"""The bottleneck against forward hooks on a network of one's own."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from backend.denoiser.unet import UNetDenoiser
from backend.editing.baselines.bottleneck import bottleneck, decode_with, shifted
from tests.denoiser.examples import unet

LABEL = torch.tensor([2, -1, 0])
T = torch.tensor([0.3, 0.6, 0.9])


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def hooked(denoiser: UNetDenoiser, x: Tensor, shift: Tensor | float = 0.0) -> tuple[Tensor, Tensor]:
    """(h, D) of a deep copy whose middle block carries a hook."""
    own, seen = copy.deepcopy(denoiser), []

    def hook(module: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        seen.append(output)
        return output + shift

    own.unet.mid_block.register_forward_hook(hook)
    mean = own(x, T, label=LABEL) if own.classes else own(x, T)
    return seen[0], mean


def state(module: nn.Module) -> list:
    """Everything that could be changed in a module: submodules, hooks, values."""
    return [
        (name, id(part), sorted(vars(part)), list(part._forward_hooks), list(part._forward_pre_hooks))
        for name, part in module.named_modules()
    ] + [(name, id(value), value.clone(), value.grad) for name, value in module.named_parameters()]


@pytest.mark.parametrize("classes", [3, 0])
@pytest.mark.parametrize("patch", [1, 2])
def test_it_is_the_output_of_the_middle_block(classes: int, patch: int) -> None:
    denoiser = unet(classes=classes, patch=patch)
    x = noise(3, *denoiser.shape)
    h, _ = hooked(denoiser, x)
    found = bottleneck(denoiser, x, T, LABEL)
    assert found.shape == (3, 16, 4, 4) and torch.equal(found, h)


def test_batch_axes_are_those_of_the_picture() -> None:
    denoiser = unet()
    x = noise(2, 3, *denoiser.shape)
    one = bottleneck(denoiser, x[1, 2], 0.9, torch.tensor(0))
    assert one.shape == (16, 4, 4)
    torch.testing.assert_close(bottleneck(denoiser, x, T.expand(2, 3), LABEL.expand(2, 3))[1, 2], one)


def test_it_is_differentiable_in_the_picture() -> None:
    denoiser = unet().double()
    x = noise(*denoiser.shape).double()
    assert torch.autograd.gradcheck(
        lambda x: bottleneck(denoiser, x, 0.5, torch.tensor(1))[:2, :2, 0],
        x.requires_grad_(),
        fast_mode=True,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_shift_0_is_the_model_to_the_bit(dtype: torch.dtype) -> None:
    """A network in half precision still answers in the picture's precision."""
    denoiser = unet(prediction="v_prediction").to(dtype)
    x = noise(3, *denoiser.shape)
    assert bottleneck(denoiser, x, T, LABEL).dtype == torch.float32
    found = decode_with(denoiser, x, T, LABEL, torch.zeros(16, 4, 4))
    assert torch.equal(found, denoiser(x, T, label=LABEL))


@pytest.mark.parametrize("shape", [(16, 4, 4), (3, 16, 4, 4), (3, 1, 1, 1), (16, 1, 1)])
@pytest.mark.parametrize("classes", [3, 0])
def test_a_shift_enters_after_the_middle_block(shape: tuple[int, ...], classes: int) -> None:
    denoiser = unet(classes=classes)
    x, shift = noise(3, *denoiser.shape), noise(*shape, seed=1)
    found = decode_with(denoiser, x, T, LABEL, shift)
    assert torch.equal(found, hooked(denoiser, x, shift)[1])
    plain = denoiser(x, T, label=LABEL) if classes else denoiser(x, T)
    assert ((found - plain).flatten(1).norm(dim=1) > 1e-3).all()


def test_the_network_is_untouched_and_its_weights_are_shared() -> None:
    denoiser = unet()
    x, before = noise(3, *denoiser.shape), state(denoiser)
    changed = shifted(denoiser, noise(16, 4, 4))
    changed(x, T, label=LABEL).sum()
    bottleneck(denoiser, x, T, LABEL)
    for then, now in zip(before, state(denoiser), strict=True):
        assert all(
            torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in zip(then, now, strict=True)
        )
    assert {id(value) for value in changed.parameters()} == {id(value) for value in denoiser.parameters()}


def test_threads_with_other_shifts_do_not_meet() -> None:
    denoiser = unet()
    x, shifts = noise(3, *denoiser.shape), noise(6, 16, 4, 4, seed=2)
    shifts[0] = 0

    def run(i: int) -> tuple[Tensor, Tensor]:
        return decode_with(denoiser, x, T, LABEL, shifts[i]), bottleneck(denoiser, x, T, LABEL)

    alone = [run(i) for i in range(6)]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(run, [i % 6 for i in range(60)]))
    for i, (mean, h) in enumerate(together):
        assert torch.equal(mean, alone[i % 6][0]) and torch.equal(h, alone[i % 6][1])


def test_a_network_without_a_middle_block_is_refused() -> None:
    from diffusers import UNet2DModel

    network = UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        mid_block_type=None,
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )
    denoiser = UNetDenoiser(network, unet().schedule)
    with pytest.raises(ValueError, match="no middle block"):
        bottleneck(denoiser, noise(3, 8, 8), 0.5, torch.tensor(-1))
