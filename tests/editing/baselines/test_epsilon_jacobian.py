"""Directions of the predicted noise against the dense Jacobian of a network that predicts noise."""

import pytest
import torch
from torch import Tensor

from backend.denoiser.base import given
from backend.denoiser.unet import UNetDenoiser
from backend.editing.baselines.epsilon_jacobian import epsilon_directions
from backend.request import finish
from tests.denoiser.examples import mixture, unet

T, LABEL = 0.5, torch.tensor(1)


def point(shape: tuple[int, ...]) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def region(height: int, width: int, side: int) -> Tensor:
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[2 : 2 + side, 1 : 1 + side] = True
    return mask


def assert_leading(found: Tensor, rows: Tensor) -> None:
    """found (k, *shape) spans the leading right singular vectors of rows (m, d), in order."""
    k, v = len(found), found.flatten(1)
    _, s, true = torch.linalg.svd(rows)
    tied = int((s >= 0.997 * s[k - 1]).sum())  # values as close as this may be taken for equal
    torch.testing.assert_close(v @ v.T, torch.eye(k, dtype=torch.float64))
    assert torch.linalg.matrix_norm(v - v @ true[:tied].T @ true[:tied], 2) < 1e-2
    torch.testing.assert_close((v @ rows.T).norm(dim=1), s[:k], rtol=1e-3, atol=0)


@pytest.mark.parametrize("side", [1, 5])  # the first small enough for exact rows
def test_against_the_output_of_a_network_that_predicts_noise(side: int) -> None:
    """There eps is the network's own output, whatever alpha and sigma are."""
    denoiser: UNetDenoiser = unet("epsilon", patch=1).double()
    x, mask = point(denoiser.shape), region(8, 8, side)
    found = finish(epsilon_directions(given(denoiser, label=LABEL), x, T, mask, 3))
    assert found.shape == (3, *denoiser.shape)

    x = x.clone().requires_grad_()
    step = denoiser.schedule.step(torch.tensor(T, dtype=torch.float64)).float()[None]
    output = denoiser.unet(x[None], step, class_labels=LABEL[None], return_dict=False)[0][0]
    rows = [torch.autograd.grad(one, x, retain_graph=True)[0].flatten() for one in output[:, mask].flatten()]
    assert_leading(found, torch.stack(rows))


def test_against_a_jacobian_in_closed_form() -> None:
    """Of a mixture of Gaussians, whose posterior mean predicts no noise by itself."""
    denoiser = mixture(shape=(2, 6, 7))
    x, mask = point(denoiser.shape), region(6, 7, 3)
    found = finish(epsilon_directions(denoiser, x, 0.7, mask, 2))
    alpha, sigma = (float(a) for a in denoiser.schedule(torch.tensor(0.7, dtype=torch.float64)))
    J = torch.autograd.functional.jacobian(lambda x: denoiser(x, 0.7), x).reshape(x.numel(), x.numel())
    rows = (torch.eye(x.numel(), dtype=torch.float64) - alpha * J) / sigma
    assert_leading(found, rows[mask.expand(x.shape).flatten()])


def test_the_same_seed_gives_the_same_directions() -> None:
    denoiser = given(unet("epsilon", patch=1).double(), label=LABEL)
    x, mask = point(denoiser.shape), region(8, 8, 5)
    first, second = (finish(epsilon_directions(denoiser, x, T, mask, 2, seed=4)) for _ in range(2))
    assert torch.equal(first, second)


def test_what_has_no_answer_is_refused() -> None:
    denoiser = given(unet(patch=1).double(), label=LABEL)
    x, mask = point(denoiser.shape), region(8, 8, 5)
    with pytest.raises(ValueError, match="without noise"):
        finish(epsilon_directions(denoiser, x, 0.0, mask, 1))
    with pytest.raises(ValueError, match="not empty"):
        finish(epsilon_directions(denoiser, x, T, torch.zeros_like(mask), 1))
