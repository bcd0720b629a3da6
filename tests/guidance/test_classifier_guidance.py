import pytest
import torch

from backend.denoiser.base import given
from backend.denoiser.combine import Guided
from backend.denoiser.gaussian_mixture import GaussianMixture, gaussian
from backend.denoiser.noise_classifier import NoiseClassifier
from backend.guidance.classifier_guidance import classifier_term
from backend.schedule import CosineSchedule, VESchedule

D = 6
PRIOR = torch.tensor([0.3, 0.7], dtype=torch.float64)


@pytest.fixture(scope="module")
def classes():
    """Two Gaussians in six dimensions that do not commute: means (2, d), covariances (2, d, d)."""
    generator = torch.Generator().manual_seed(0)
    roots = torch.randn(2, D, D, generator=generator, dtype=torch.float64)
    means = torch.randn(2, D, generator=generator, dtype=torch.float64)
    return means, roots @ roots.mT / D + 0.1 * torch.eye(D, dtype=torch.float64)


class Exact:
    """log p(c) + log p(x_t | c), by torch.distributions."""

    def __init__(self, means, covariances):
        self.means, self.covariances = means, covariances

    def logits(self, x_t, alpha, sigma):
        found = []
        for mean, covariance, prior in zip(self.means, self.covariances, PRIOR, strict=True):
            of_x = alpha**2 * covariance + sigma**2 * torch.eye(D, dtype=torch.float64)
            distribution = torch.distributions.MultivariateNormal(alpha * mean, of_x, validate_args=False)
            found.append(prior.log() + distribution.log_prob(x_t))
        return torch.stack(found, -1)


def denoisers(classes, schedule):
    """D_0, D_1 and that of their mixture."""
    means, covariances = classes
    each = [gaussian(schedule, (D,), mean, own) for mean, own in zip(means, covariances, strict=True)]
    parts = {
        name: torch.cat([getattr(one, name) for one in each])
        for name in ("means", "factors", "eigenvalues", "residual_variance")
    }
    return each, GaussianMixture(schedule, (D,), PRIOR, **parts)


@pytest.mark.parametrize("schedule", [CosineSchedule(), VESchedule(0.3, 50.0)], ids=["cosine", "VE"])
@pytest.mark.parametrize("level", [0.3, 1.0, 4.0, 20.0])
def test_with_the_exact_classifier_it_is_the_term_of_classifier_free_guidance(classes, schedule, level):
    each, mixture = denoisers(classes, schedule)
    t = schedule.time(-2 * torch.tensor(level, dtype=torch.float64).log())
    x = torch.randn(5, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = x * torch.hypot(*schedule(t))
    for label in (0, 1):
        found = classifier_term(Exact(*classes), schedule, label)(x, t, x, x)
        expected = each[label](x, t) - mixture(x, t)
        assert expected.abs().max() > 1e-3
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_without_gradients_outside_it_is_the_same(classes):
    schedule, t = CosineSchedule(), torch.tensor(0.5, dtype=torch.float64)
    x = torch.randn(3, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    term = classifier_term(Exact(*classes), schedule, 1)
    with torch.no_grad():
        inside = term(x, t, x, x)
    assert torch.equal(inside, term(x, t, x, x)) and not inside.requires_grad


def test_every_sample_may_have_its_own_class(classes):
    schedule, t = CosineSchedule(), torch.tensor(0.5, dtype=torch.float64)
    x = torch.randn(2, 3, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels = torch.tensor([[0, 1, 1], [1, 0, 1]])
    found = classifier_term(Exact(*classes), schedule, labels)(x, t, x, x)
    each = torch.stack([classifier_term(Exact(*classes), schedule, c)(x, t, x, x) for c in (0, 1)])
    torch.testing.assert_close(found, each.gather(0, labels[None, ..., None].expand(1, 2, 3, D))[0])


def test_guided_takes_it(classes):
    """From the unconditional model, gamma = 1 arrives at the class."""
    schedule, t = CosineSchedule(), torch.tensor(0.6, dtype=torch.float64)
    each, mixture = denoisers(classes, schedule)
    x = torch.randn(2, 3, D, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = Guided(mixture, [classifier_term(Exact(*classes), schedule, 0)], [1.0])
    torch.testing.assert_close(given(found)(x[0], t), each[0](x[0], t), rtol=1e-6, atol=1e-6)


def test_of_a_network_it_is_the_gradient_by_finite_differences():
    torch.manual_seed(0)
    network = NoiseClassifier((1, 8, 8), 4, patch=1, widths=(8, 16)).double().eval().requires_grad_(False)
    schedule, t = CosineSchedule(), torch.tensor([0.2, 0.7], dtype=torch.float64)
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    v = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found = (classifier_term(network, schedule, 2)(x, t, x, x) * v).flatten(1).sum(1)
    alpha, sigma = schedule(t)
    above, below = (
        network.logits(x + step * v, alpha, sigma).log_softmax(-1)[:, 2] for step in (1e-5, -1e-5)
    )
    torch.testing.assert_close(found, sigma**2 / alpha * (above - below) / 2e-5, rtol=1e-6, atol=1e-8)
