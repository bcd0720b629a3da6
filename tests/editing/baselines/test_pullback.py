"""Pullback directions against the dense Jacobian of the middle block, taken by a forward hook."""

import copy

import pytest
import torch
from torch import Tensor

from backend.denoiser.unet import UNetDenoiser
from backend.editing.baselines.pullback import pullback
from backend.request import Progress
from tests.denoiser.examples import unet


def finish(steps) -> tuple[Tensor, list[Progress]]:
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as stop:
            return stop.value, seen


def point(denoiser: UNetDenoiser) -> Tensor:
    return torch.randn(denoiser.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def dense(denoiser: UNetDenoiser, x: Tensor, t: float, label: Tensor) -> Tensor:
    """dh/dx as a matrix."""
    own, seen = copy.deepcopy(denoiser), []
    own.unet.mid_block.register_forward_hook(lambda module, inputs, output: seen.append(output))
    x = x.clone().requires_grad_()
    _ = own(x, t, label=label) if own.classes else own(x, t)
    h = seen[0].flatten()
    return torch.stack([torch.autograd.grad(one, x, retain_graph=True)[0].flatten() for one in h])


@pytest.mark.parametrize(("classes", "label"), [(3, 1), (3, -1), (0, -1)])
def test_against_the_dense_jacobian(classes: int, label: int) -> None:
    denoiser = unet(classes=classes).double()
    x, t, label = point(denoiser), 0.6, torch.tensor(label)
    found, seen = finish(pullback(denoiser, x, t, label, 3))
    assert found.shape == (3, *denoiser.shape) and found.dtype == torch.float64
    assert seen and all(isinstance(step, Progress) for step in seen)
    rows, matrix = found.flatten(1), dense(denoiser, x, t, label)
    torch.testing.assert_close(rows @ rows.T, torch.eye(3, dtype=torch.float64))
    _, s, v = torch.linalg.svd(matrix)
    assert torch.linalg.matrix_norm(rows - rows @ v[:3].T @ v[:3], 2) < 1e-2
    torch.testing.assert_close((rows @ matrix.T).norm(dim=1), s[:3], rtol=1e-3, atol=0)


def test_the_same_seed_gives_the_same_directions_whatever_the_sign_of_a_start() -> None:
    denoiser = unet().double()
    runs = [
        finish(pullback(denoiser, point(denoiser), 0.6, torch.tensor(0), 2, seed))[0] for seed in (0, 0, 1)
    ]
    assert torch.equal(runs[0], runs[1])
    torch.testing.assert_close(runs[0], runs[2], atol=1e-2, rtol=0)


def test_none_at_all_are_refused() -> None:
    denoiser = unet().double()
    with pytest.raises(ValueError, match="at least 1"):
        finish(pullback(denoiser, point(denoiser), 0.6, torch.tensor(0), 0))
