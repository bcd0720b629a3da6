import json
from functools import cache

import pytest
import torch
from torch.nn.functional import cross_entropy

from backend.data import avatars, digits
from backend.denoiser.noise_classifier import CLEANEST, NOISIEST, NoiseClassifier, random_levels
from backend.guidance.class_statistics import of_class
from backend.guidance.classifier_guidance import classifier_term
from backend.inference.catalogue import ASSETS
from backend.inference.load import load
from backend.sampling.noise import noise
from backend.schedule import CosineSchedule, VESchedule

NAMES = ("digits", "avatars")


@pytest.fixture
def tiny():
    torch.manual_seed(0)
    return NoiseClassifier((1, 8, 8), 4, patch=2, widths=(8, 16)).double().eval().requires_grad_(False)


@cache
def held_out(name):
    """Pictures that the classifier has not learned from, and their labels."""
    if name == "digits":
        return digits.split("test")
    faces = avatars.sample(range(40_000_000, 40_000_180))
    return avatars.render(faces.factors), faces.labels


@cache
def at_level(name, level):
    """Logits, with four noises a picture, and labels."""
    pictures, labels = held_out(name)
    pictures, labels = pictures.repeat(4, 1, 1, 1), labels.repeat(4)
    x = pictures + level * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = load(name).noise_classifier().logits(x, torch.tensor(1.0), torch.tensor(float(level)))
    return logits, labels


def test_it_answers_alike_under_every_schedule(tiny):
    """Only x_t / alpha and the noise level matter."""
    x_0, eps = noise(range(3), (1, 8, 8)).double(), noise(range(3, 6), (1, 8, 8)).double()
    answers = []
    for schedule in (CosineSchedule(), VESchedule(0.01, 50.0)):
        alpha, sigma = schedule(schedule.time(torch.tensor(-2.0).double()))  # e in noise level
        answers.append(tiny.logits(alpha * x_0 + sigma * eps, alpha, sigma))
    torch.testing.assert_close(*answers, rtol=1e-6, atol=1e-9)


def test_batches_have_any_number_of_axes_and_a_level_each(tiny):
    x = noise(range(6), (1, 8, 8)).double().view(2, 3, 1, 8, 8)
    alpha, sigma = CosineSchedule()(torch.tensor([[0.1, 0.4, 0.6], [0.8, 0.9, 1.0]]).double())
    whole = tiny.logits(x, alpha, sigma)
    assert whole.shape == (2, 3, 4) and whole.isfinite().all()
    for i, j in ((0, 1), (1, 2)):
        torch.testing.assert_close(tiny.logits(x[i, j], alpha[i, j], sigma[i, j]), whole[i, j])
    with_one = tiny.logits(x[0], alpha[0, 0], sigma[0, 0])
    torch.testing.assert_close(with_one[0], whole[0, 0])


def test_logits_fall_as_one_over_the_noise_level(tiny):
    """Beyond the levels that it is trained on, only that changes."""
    z = noise(range(2), (1, 8, 8)).double()
    near, far = (tiny(z, torch.full((2,), level)) for level in (100.0, 10_000.0))
    torch.testing.assert_close(far * 100, near, rtol=1e-2, atol=1e-9)
    assert near.abs().max() > 1e-4


def test_levels_to_train_on_are_even_on_a_log_scale():
    levels = random_levels(64, torch.Generator().manual_seed(0))
    assert levels.min() >= CLEANEST and levels.max() <= NOISIEST
    place = (levels / CLEANEST).log() / torch.tensor(NOISIEST / CLEANEST).log()
    assert (place.sort().values * 64).floor().tolist() == list(range(64))


def test_its_gradient_is_that_of_finite_differences(tiny):
    x, alpha, sigma = (
        noise(range(2), (1, 8, 8)).double(),
        torch.tensor(0.6).double(),
        torch.tensor(0.8).double(),
    )
    gradient = torch.func.grad(lambda x: tiny.logits(x, alpha, sigma).log_softmax(-1)[:, 1].sum())(x)
    for i in (0, 17, 63):
        step = torch.zeros(64, dtype=torch.float64)
        step[i] = 1e-5
        above, below = (
            tiny.logits(x + s * step.view(1, 8, 8), alpha, sigma).log_softmax(-1)[:, 1] for s in (1, -1)
        )
        torch.testing.assert_close(gradient.flatten(1)[:, i], (above - below) / 2e-5, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(("name", "least"), [("digits", 0.88), ("avatars", 0.97)])
def test_the_shipped_weights_know_clean_pictures_and_guess_at_noise(name, least):
    chance = 1 / len(load(name).card.labels)
    right = {}
    for level in (0.05, 0.5, 2.0, 8.0, 50.0):
        logits, labels = at_level(name, level)
        right[level] = float((logits.argmax(1) == labels).float().mean())
    assert right[0.05] >= least
    assert right[0.05] >= right[2.0] - 0.02 and right[2.0] > right[8.0] > chance
    assert right[50.0] < 2.2 * chance  # hardly better than a guess


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_weights_are_as_sure_as_they_are_right(name):
    """Calibration at every noise level: the probability of the class that it names, and how often that is right."""
    for level in (0.1, 1.0, 3.0, 10.0, 50.0):
        logits, labels = at_level(name, level)
        sure, named = logits.softmax(1).max(1)
        right = float((named == labels).float().mean())
        assert float(sure.mean()) == pytest.approx(right, abs=0.08)


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_weights_know_as_much_as_two_moments_tell(name):
    """Against the best classifier of Gaussians of the classes' means and covariances, in nats; at much noise none beats it by
    much, since only the moments are left to see."""
    labels, found = load(name).card.labels, {}
    pictures, own = held_out(name)
    pictures, own = pictures.repeat(4, 1, 1, 1), own.repeat(4)
    for level in (3.0, 10.0, 30.0):
        x = pictures + level * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(1))
        joint = []
        for label in labels:
            stats = of_class(name, label)
            flat = x.flatten(1).double() if stats.basis is None else x.flatten(1).double() @ stats.basis.mT
            gaussian = stats.pair.conditional
            variance = gaussian.variances + level**2
            along = (flat - gaussian.mean) @ gaussian.vectors
            joint.append(-(along.square() / variance + variance.log()).sum(1) / 2)
        best = cross_entropy(torch.stack(joint, 1), own)
        mine = cross_entropy(at_level(name, level)[0], own)
        found[level] = (float(mine), float(best))
    for mine, best in found.values():
        assert mine < best + 0.05
    chance = float(torch.tensor(float(len(labels))).log())
    assert abs(found[30.0][0] - chance) < 0.15


@pytest.mark.parametrize("name", NAMES)
def test_guidance_by_the_shipped_weights_points_to_the_class(name):
    """At much noise (sigma^2 / alpha) grad log p(c | x_t) is the difference of the means; it has its direction and size."""
    model = load(name)
    label = model.card.labels[1]
    stats, schedule = of_class(name, label), model.denoiser.schedule
    t = schedule.time(-2 * torch.tensor(20.0, dtype=torch.float64).log())
    x = noise(range(16), model.denoiser.shape) * float(torch.hypot(*schedule(t)))
    mean = classifier_term(model.noise_classifier(), schedule, 1)(x, t, x, x).mean(0).double()
    shift = stats.direction(stats.pair.difference)
    assert torch.cosine_similarity(mean.flatten(), shift.flatten(), dim=0) > 0.6
    assert 0.4 < float(mean.norm() / shift.norm()) < 2.0


@pytest.mark.parametrize("name", NAMES)
def test_the_shipped_weights_are_small_and_say_how_they_were_made(name):
    folder = ASSETS / "weights" / f"{name}_noise_classifier"
    assert (folder / "model.safetensors").stat().st_size < 1.5 * 2**20
    made = json.loads((folder / "training.json").read_text())
    assert made["command"].startswith(f"python -m backend.training {name}_noise_classifier")
