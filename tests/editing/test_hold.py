import torch

from backend.denoiser.base import given
from backend.editing.hold import RIDGE, hold
from backend.jacobian.generalized import Memory, remember
from backend.jacobian.linearize import linearize
from tests.denoiser import examples

T = 0.5


def scene(denoiser, *shape: int):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    jacobian, memory = linearize(lambda x: denoiser(x, T), x), Memory()
    everything = torch.eye(x.numel(), dtype=x.dtype).view(-1, *shape)
    remember(jacobian, memory).jvp(everything)
    return x, jacobian, memory


def test_of_one_gaussian_it_is_the_ridge_regression_and_what_is_left_is_the_ridges():
    """D is affine, so the step is exact: what an axis of J strayed by s shrinks to s mu / (s^2 + mu)."""
    denoiser = examples.mixture(shape=(1, 2, 3), K=1)
    x, jacobian, memory = scene(denoiser, 1, 2, 3)
    mask = torch.tensor([[True, False, False], [True, False, False]])
    moved = x + torch.randn(2, *x.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    held = hold(denoiser, moved, T, jacobian.value, mask, memory)
    J = torch.stack(memory.images).flatten(1).T  # the inputs are the axes
    e = ((denoiser(moved, T) - jacobian.value) * ~mask).flatten(1)
    mu = RIDGE * torch.linalg.matrix_norm(J, 2) ** 2
    delta = torch.linalg.solve(J.T @ J + mu * torch.eye(6), J.T @ e.T).T
    torch.testing.assert_close(held, moved - delta.view_as(moved), atol=1e-9, rtol=1e-7)


def test_on_a_network_the_rest_strays_less_and_an_unmoved_picture_stays():
    denoiser = given(examples.unet().double(), label=torch.tensor(1))
    x, jacobian, memory = scene(denoiser, 3, 16, 16)
    mask = torch.zeros(16, 16, dtype=torch.bool)
    mask[4:9, 6:12] = True
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    moved = torch.stack([x, x + 0.3 * noise])
    held = hold(denoiser, moved, T, jacobian.value, mask, memory)
    torch.testing.assert_close(held[0], x, atol=1e-6, rtol=0)
    before, after = (((denoiser(y[1], T) - jacobian.value) * ~mask).norm() for y in (moved, held))
    assert after < 0.5 * before
