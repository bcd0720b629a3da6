import pytest
import torch
import torch.nn.functional as F
from torch import nn

from backend.denoiser.base import given
from backend.editing.baselines.blended_diffusion import pull, steering
from backend.sampling import ddim, last, times
from tests.denoiser import examples

T, LABEL, WANTED = 0.5, torch.tensor(1), 2
GENERATOR = torch.Generator().manual_seed(0)
X_0 = torch.randn(3, 16, 16, generator=GENERATOR, dtype=torch.float64).clamp(-1, 1)
X_T = torch.randn(4, 3, 16, 16, generator=GENERATOR, dtype=torch.float64)
WEIGHT = torch.randn(5, 3 * 16 * 16, generator=GENERATOR, dtype=torch.float64) / 30
MASK = torch.zeros(16, 16, dtype=torch.bool)
MASK[3:8, 5:12] = True
INSIDE = MASK.expand(3, 16, 16)


def linear(pictures):
    return pictures.flatten(1) @ WEIGHT.T


@pytest.fixture(scope="module")
def denoiser():
    return examples.unet().double().requires_grad_(False)


def build(denoiser, scales, classifier=linear, x_0=X_0):
    return steering(denoiser, LABEL, x_0, MASK, classifier, WANTED)(torch.tensor(scales))


def plain(denoiser, x, t=T):
    return given(denoiser, label=LABEL)(x, t)


def test_the_gradient_in_closed_form(denoiser):
    """Of the cross entropy of W x it is W^T (softmax(W x) - one hot)."""
    D = plain(denoiser, X_T)
    error = linear(D).softmax(1) - F.one_hot(torch.tensor(WANTED), 5)
    direction = -(error @ WEIGHT).view_as(D)[:, INSIDE]
    direction = direction / direction.square().mean(1, keepdim=True).sqrt()
    g = pull(D, MASK, linear, WANTED)
    torch.testing.assert_close(g[:, INSIDE], direction)
    assert not g[:, ~INSIDE].any()

    scales = torch.tensor([0.3, -0.3, 2.0, 1e-3]).double()
    steered = build(denoiser, scales.tolist())(X_T, T)
    torch.testing.assert_close(
        steered[:, INSIDE], D[:, INSIDE] + scales.float().double()[:, None] * direction
    )
    change = (steered - D)[:, INSIDE].square().mean(1).sqrt()
    torch.testing.assert_close(change, scales.abs(), rtol=1e-6, atol=0.0)


def test_outside_the_mask_it_is_the_original(denoiser):
    steered = build(denoiser, [1.0, -1.0, 0.5, 1e-3])(X_T, T)
    assert torch.equal(steered[:, ~INSIDE], X_0[~INSIDE].expand(4, -1))


def test_scale_0_is_the_model_itself(denoiser):
    steered = build(denoiser, [0.0, 1.0, 0.0, -1.0])(X_T, T)
    assert torch.equal(steered[::2], plain(denoiser, X_T)[::2])


def test_each_sample_has_its_own_scale(denoiser):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 5)).double()
    scales, t = [0.7, 0.0, -2.0, 0.1], torch.tensor([0.2, 0.4, 0.6, 0.9])
    together = build(denoiser, scales, network)(X_T, t)
    for i in range(4):
        alone = build(denoiser, scales[i : i + 1], network)(X_T[i : i + 1], t[i])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-9, atol=1e-9)
    assert all(p.grad is None for p in network.parameters())


def test_it_works_where_gradients_are_switched_off(denoiser):
    with_gradients = build(denoiser, [1.0, 0.0, -1.0, 2.0])(X_T, T)
    with torch.no_grad():
        without = build(denoiser, [1.0, 0.0, -1.0, 2.0])(X_T, T)
    assert torch.equal(with_gradients, without) and not without.requires_grad


def test_one_pass_forward_and_none_back_through_the_network(denoiser):
    passes, x = [], X_T.clone().requires_grad_()
    hook = denoiser.unet.register_forward_hook(lambda _, __, output: passes.append(output[0].grad_fn))
    guided = build(denoiser, [1.0] * 4)(x, T)
    hook.remove()
    assert len(passes) == 1
    # the pull is a constant to whoever differentiates: inside, the derivative is the denoiser's own
    (gradient,) = torch.autograd.grad(guided[:, INSIDE].sum(), x)
    (expected,) = torch.autograd.grad(plain(denoiser, x)[:, INSIDE].sum(), x)
    torch.testing.assert_close(gradient, expected)


def test_larger_scales_raise_the_wanted_logit_and_negative_ones_lower_it(denoiser):
    D = plain(denoiser, X_T)
    pictures = [torch.where(MASK, build(denoiser, [s] * 4)(X_T, T), D) for s in (-0.4, -0.2, 0.0, 0.2, 0.4)]
    logits = torch.stack([linear(picture) for picture in pictures])
    assert (logits[..., WANTED].diff(dim=0) > 0).all()
    assert (logits.log_softmax(-1)[..., WANTED].diff(dim=0) > 0).all()


def test_along_the_flow_the_outside_is_the_original_with_the_noise_that_it_began_with(denoiser):
    """The blend of the paper, at every level."""
    D = build(denoiser, [0.5])
    noise = X_T[:1]
    alpha, sigma = denoiser.schedule(torch.tensor(T, dtype=torch.float64))
    grid = times.grid(denoiser.schedule, T, 0.0, 6)
    for (x, _), t in zip(ddim.solve(D, alpha * X_0 + sigma * noise, grid), grid[1:], strict=True):
        alpha, sigma = denoiser.schedule(t)
        torch.testing.assert_close(
            (x - alpha * X_0 - sigma * noise)[:, ~INSIDE], torch.zeros(1, int((~INSIDE).sum())).double()
        )
    edited = last(ddim.solve(D, X_T[:1], grid))
    torch.testing.assert_close(edited[:, ~INSIDE], X_0[None, ~INSIDE])
    assert not torch.allclose(edited[:, INSIDE], X_0[None, INSIDE], atol=0.1)


def test_a_classifier_without_an_opinion_moves_nothing(denoiser):
    D = plain(denoiser, X_T)
    steered = build(denoiser, [1.0] * 4, lambda pictures: 0 * linear(pictures))(X_T, T)
    assert torch.equal(steered[:, INSIDE], D[:, INSIDE])
    tiny = pull(D.float(), MASK, lambda pictures: 1e-30 * pictures.flatten(1) @ WEIGHT.T.float(), WANTED)
    torch.testing.assert_close(tiny[:, INSIDE].square().mean(1), torch.ones(4))


def test_what_cannot_be_blended_is_refused(denoiser):
    with pytest.raises(ValueError, match="empty"):
        steering(denoiser, LABEL, X_0, torch.zeros_like(MASK), linear, WANTED)
    with pytest.raises(ValueError, match="no condition 'label'"):
        steering(examples.mixture(), LABEL, X_0, MASK, linear, WANTED)
