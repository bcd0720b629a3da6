import pytest
import torch
from torch import nn

from backend.data import digits
from backend.denoiser.noise_classifier import NoiseClassifier
from backend.inference.catalogue import ASSETS
from backend.training.classifiers import moved, noisy_cross_entropy
from backend.training.loop import Plan, train
from backend.training.recipes import RECIPES

NAMES = ("digits_reader", "digits_noise_classifier", "avatars_noise_classifier")


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_here_are_those_of_the_recipe(name):
    RECIPES[name].build().load_state_dict(RECIPES[name].weights(ASSETS / "weights" / name))


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_depends_on_its_generator_alone(name):
    torch.manual_seed(0)
    network = RECIPES[name].build()
    losses = [RECIPES[name].loss(network, torch.Generator().manual_seed(seed)).item() for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]


def test_what_judges_and_what_guides_learn_from_different_digits(monkeypatch):
    asked = []
    real = digits.split
    monkeypatch.setattr(digits, "split", lambda name: asked.append(name) or real(name))
    for name in NAMES[:2]:
        RECIPES[name].loss(RECIPES[name].build(), torch.Generator().manual_seed(0))
    assert asked == ["classifier", "train"]


def test_digits_that_are_not_moved_stay_what_they_are_and_moved_ones_stay_near():
    pictures = digits.split("train")[0][:50]
    still = moved(pictures, torch.Generator().manual_seed(0), 0.0)
    torch.testing.assert_close(still, pictures, rtol=0, atol=1e-5)
    shifted = moved(pictures, torch.Generator().manual_seed(0), 1.0)
    assert shifted.min() >= -1 - 1e-6 and shifted.max() <= 1 + 1e-6
    near = torch.cosine_similarity(shifted.flatten(1) + 1, pictures.flatten(1) + 1)
    assert 0.5 < near.mean() < 0.99


class Line(nn.Module):
    """Logits of two classes from one number x: +- gain x / (1/4 + level^2)."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.0))

    def forward(self, z, level):
        x = z.flatten(1)[:, :1] * (1 + level[:, None].square()).sqrt()
        return self.gain * torch.cat([x, -x], 1) / (0.25 + level[:, None].square())


def test_the_loss_is_least_at_the_posterior():
    """Two Gaussians at +-1 of variance 1/4: log p(c | x_t) = +- x / (1/4 + l^2) + a common rest, so the gain that minimises it is 1."""

    def loss(network, generator):
        labels = torch.randint(2, (4000,), generator=generator)
        x_0 = (1.0 - 2 * labels).view(-1, 1, 1, 1) + 0.5 * torch.randn(4000, 1, 1, 1, generator=generator)
        return noisy_cross_entropy(network, x_0, labels, generator)

    network = Line()
    for _ in train(network, loss, Plan(steps=300, lr=0.05, warmup=10, weight_decay=0.0, ema=0.9)):
        pass
    assert float(network.gain) == pytest.approx(1.0, abs=0.08)


def test_a_trained_network_finds_the_posterior_of_two_gaussians():
    """The class of 8 x 8 pictures with means +-0.2 and unit covariance, at noise levels 0.5 and 4, in nats above the best possible."""
    torch.manual_seed(0)
    network = NoiseClassifier((1, 8, 8), 2, patch=2, widths=(16, 16))
    sign = torch.tensor([0.2, -0.2])

    def draw(n, generator):
        labels = torch.randint(2, (n,), generator=generator)
        return sign[labels].view(-1, 1, 1, 1) + torch.randn(n, 1, 8, 8, generator=generator), labels

    def loss(network, generator):
        return noisy_cross_entropy(network, *draw(256, generator), generator)

    for _ in train(network, loss, Plan(steps=400, lr=3e-3, warmup=50)):
        pass
    generator = torch.Generator().manual_seed(7)
    for level in (0.5, 4.0):
        x_0, labels = draw(4000, generator)
        x = x_0 + level * torch.randn(x_0.shape, generator=generator)
        logits = 2 * 0.2 * x.flatten(1).sum(1) / (1 + level**2)  # of the first class against the second
        best = nn.functional.softplus(torch.where(labels == 0, -logits, logits)).mean()
        with torch.no_grad():
            found = network.logits(x, torch.tensor(1.0), torch.tensor(level))
        mine = nn.functional.cross_entropy(found, labels)
        assert float(best) - 0.01 < float(mine) < float(best) + 0.04
