"""Asyrp on a tiny network with a small random classifier."""

import pytest
import torch
from torch import Tensor, nn

from backend.denoiser.unet import UNetDenoiser
from backend.editing.baselines import asyrp
from backend.editing.baselines.asyrp import learn, steering
from backend.editing.baselines.bottleneck import decode_with
from backend.editing.directions import STEP
from backend.editing.scene import Scene, steered
from backend.request import Progress
from backend.sampling.ddim import level, step
from tests.denoiser.examples import unet

WANTED = 1


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def classifier(seed: int = 0) -> nn.Module:
    """Sharp enough that a change of the picture pays."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(3 * 8 * 8, 16), nn.Tanh(), nn.Linear(16, 4, bias=False)
    ).apply(lambda part: nn.init.normal_(part.weight, std=1.0) if isinstance(part, nn.Linear) else None)


def learned(denoiser: UNetDenoiser, steps: int = 30, **options) -> tuple[Tensor, list[Progress]]:
    pictures, labels = noise(10, *denoiser.shape, seed=5).tanh(), torch.arange(10) % 4 - 1
    judge = options.pop("judge", None) or classifier()
    run, seen = learn(denoiser, pictures, labels, judge, WANTED, steps, **options), []
    while True:
        try:
            seen.append(next(run))
        except StopIteration as stop:
            return stop.value, seen


@pytest.mark.parametrize("classes", [3, 0])
def test_other_pictures_read_as_what_was_wanted_more_than_before(classes: int) -> None:
    denoiser, judge = unet("v_prediction", classes, patch=1), classifier()
    shift, seen = learned(denoiser, judge=judge, lr=0.05)
    assert shift.shape == (16, 4, 4) and not shift.requires_grad
    assert seen == [Progress(i, 30, "steps of Asyrp") for i in range(1, 31)]
    label, (alpha, sigma) = torch.arange(100) % 4 - 1, level(denoiser.schedule, 0.4)
    x = alpha * noise(100, *denoiser.shape, seed=8).tanh() + sigma * noise(100, *denoiser.shape, seed=9)
    with torch.no_grad():
        before, after = (
            judge(decode_with(denoiser, x, 0.4, label, scale * shift)).log_softmax(1)[:, WANTED].mean()
            for scale in (0, 1)
        )
    assert after > before + 0.1


def test_learning_changes_no_weight_and_leaves_no_gradient() -> None:
    denoiser, judge = unet(patch=1), classifier()
    before = [value.clone() for module in (denoiser, judge) for value in module.parameters()]
    learned(denoiser, steps=3, judge=judge)
    after = [value for module in (denoiser, judge) for value in module.parameters()]
    assert all(torch.equal(then, now) and now.grad is None for then, now in zip(before, after, strict=True))


def test_the_same_seed_gives_the_same_shift() -> None:
    denoiser = unet(patch=1)
    first, second, other = (learned(denoiser, steps=3, seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, second) and not torch.equal(first, other)


def test_it_learns_where_gradients_are_switched_off() -> None:
    denoiser = unet(patch=1)
    with torch.no_grad():
        shift, _ = learned(denoiser, steps=3)
    assert torch.equal(shift, learned(denoiser, steps=3)[0])


def test_keeping_the_picture_makes_the_change_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    denoiser, x = unet("v_prediction", patch=1), noise(10, 3, 8, 8, seed=9)

    def change() -> Tensor:
        shift, _ = learned(denoiser, lr=0.05)
        moved = decode_with(denoiser, x, 0.5, torch.tensor(0), shift)
        return (moved - denoiser(x, 0.5, label=torch.tensor(0))).abs().mean()

    kept = change()
    monkeypatch.setattr(asyrp, "KEEP", 0.0)
    assert 0 < kept < change()


def test_nothing_to_learn_from_is_refused() -> None:
    with pytest.raises(ValueError, match="needs pictures"):
        next(learn(unet(patch=1), torch.zeros(0, 3, 8, 8), torch.zeros(0), classifier(), WANTED, 1))


@pytest.mark.parametrize("classes", [3, 0])
def test_scale_0_is_the_model_and_samples_are_independent(classes: int) -> None:
    denoiser, label = unet(classes=classes, patch=1), torch.tensor(2)
    x, shift, scales = noise(3, *denoiser.shape), noise(16, 4, 4, seed=1), torch.tensor([0.0, 1.0, -2.0])
    found = steering(denoiser, shift, label)(scales)(x, 0.5)
    plain = denoiser(x, 0.5, label=label) if classes else denoiser(x, 0.5)
    assert torch.equal(found[0], plain[0]) and not torch.equal(found[1], plain[1])
    for i, scale in enumerate(scales):
        alone = steering(denoiser, shift, label)(scale[None])(x[i, None], 0.5)[0]
        torch.testing.assert_close(found[i], alone)
        torch.testing.assert_close(alone, decode_with(denoiser, x[i], 0.5, label, scale * shift))


def test_it_steers_to_a_measured_strength() -> None:
    """Small strengths, so that the measure's first order is all there is."""
    denoiser, mask = unet(patch=1), torch.zeros(8, 8, dtype=torch.bool)
    mask[2:5, 3:7] = True
    scene = Scene(denoiser, torch.tensor(1), noise(3, 8, 8), 0.5, mask)
    make = steering(denoiser, 1e-2 * noise(16, 4, 4, seed=1), scene.label)
    strengths = torch.tensor([0.0, 1e-3, 2e-3])
    moved = steered(scene, make, strengths)(scene.x_t.expand(3, 3, 8, 8), scene.t)
    torch.testing.assert_close(
        scene.rms(moved - scene.bound(scene.x_t, scene.t)), STEP * strengths, rtol=0.05, atol=1e-6
    )


def test_a_steered_step_is_the_papers_times_a_factor_of_the_noise_levels() -> None:
    denoiser, now, then = unet(patch=1).double(), 0.6, 0.5
    x, label = noise(3, 8, 8).double(), torch.tensor(0)
    plain = denoiser(x, now, label=label)
    moved = decode_with(denoiser, x, now, label, noise(16, 4, 4, seed=1).double())
    (alpha, sigma), (alpha_then, sigma_then) = (level(denoiser.schedule, time) for time in (now, then))
    unedited = step(denoiser.schedule, x, plain, now, then)
    ours = step(denoiser.schedule, x, moved, now, then) - unedited
    papers = alpha_then * moved + sigma_then * (x - alpha * plain) / sigma - unedited
    torch.testing.assert_close(ours, papers * (1 - (sigma_then / alpha_then) / (sigma / alpha)))
