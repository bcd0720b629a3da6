import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from backend.denoiser.gaussian_mixture import GaussianMixture, gaussian
from backend.schedule import CosineSchedule, FlowSchedule, VESchedule
from tests.denoiser.contract import check_contract
from tests.denoiser.examples import mixture

SCHEDULES = [CosineSchedule(), VESchedule(0.01, 20.0), FlowSchedule()]


def points(D: GaussianMixture, n: int = 5) -> torch.Tensor:
    return torch.randn(n, *D.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def dense_covariances(D: GaussianMixture) -> torch.Tensor:
    U, identity = D.factors, torch.eye(D.means.shape[1], dtype=torch.float64)
    inside = U @ D.eigenvalues.diag_embed() @ U.mT
    return inside + D.residual_variance[:, None, None] * (identity - U @ U.mT)


def dense(D: GaussianMixture, t: float) -> MixtureSameFamily:
    """The density of x_t with dense covariances."""
    alpha, sigma = D.schedule(torch.tensor(t, dtype=torch.float64))
    noise = sigma**2 * torch.eye(D.means.shape[1], dtype=torch.float64)
    components = MultivariateNormal(alpha * D.means, alpha**2 * dense_covariances(D) + noise)
    return MixtureSameFamily(Categorical(D.weights), components)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("shape", [(6,), (2, 3, 1)])
def test_contract(schedule, shape):
    check_contract(mixture(schedule, shape))


def test_contract_of_low_rank_gaussians():
    check_contract(mixture(residual=0.0))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("residual", [0.1, 0.0])
@pytest.mark.parametrize("t", [0.3, 0.7, 1.0])
def test_log_prob_is_the_dense_one(schedule, residual, t):
    D = mixture(schedule, residual=residual)
    x = points(D)
    torch.testing.assert_close(D.log_prob(x, t), dense(D, t).log_prob(x))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("residual", [0.1, 0.0])
@pytest.mark.parametrize("t", [0.3, 0.7])
def test_posterior_mean_is_tweedies(schedule, residual, t):
    """D = (x + sigma^2 grad log p) / alpha, with the dense density differentiated by autograd."""
    D = mixture(schedule, residual=residual)
    x = points(D).requires_grad_()
    alpha, sigma = schedule(torch.tensor(t, dtype=torch.float64))
    (score,) = torch.autograd.grad(dense(D, t).log_prob(x).sum(), x)
    torch.testing.assert_close(D(x, t), (x + sigma**2 * score) / alpha, rtol=1e-7, atol=1e-7)


def test_jacobian_is_the_posterior_covariance():
    """dD/dx_t = alpha / sigma^2 Cov[x_0 | x_t]: for one Gaussian, alpha C (alpha^2 C + sigma^2)^-1."""
    D = mixture(K=1)
    alpha, sigma = D.schedule(torch.tensor(0.5, dtype=torch.float64))
    J = torch.func.jacrev(lambda x: D(x, 0.5))(points(D)[0])
    C = dense_covariances(D)[0]
    expected = alpha * C @ torch.linalg.inv(alpha**2 * C + sigma**2 * torch.eye(6, dtype=torch.float64))
    torch.testing.assert_close(J, expected)


def test_responsibilities_are_posterior_probabilities():
    D = mixture()
    x = points(D)
    expected = (dense(D, 0.4).component_distribution.log_prob(x[:, None]) + D.weights.log()).softmax(-1)
    torch.testing.assert_close(D.responsibilities(x, 0.4), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_noise_low_rank_gaussians_project_on_the_nearest(dtype):
    D = mixture(residual=0.0).to(dtype)
    coordinates = torch.randn(3, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(dtype)
    on = D.means + torch.einsum("kr,kdr->kd", coordinates, D.factors)  # one point on each component
    torch.testing.assert_close(D.responsibilities(on, 0.0), torch.eye(3, dtype=dtype))
    torch.testing.assert_close(D(on, 0.0), on)
    off = on + 1e-3 * points(D, 3).to(dtype)
    torch.testing.assert_close(D(off, 0.0), D(D(off, 0.0), 0.0))  # a projection
    assert D.log_prob(off, 0.0).isfinite().all()


def test_without_noise_a_full_mixture_is_the_identity():
    D = mixture(residual=0.1)
    torch.testing.assert_close(D(points(D), 0.0), points(D))


def test_far_points_do_not_underflow():
    D = mixture()
    x = 1e4 * points(D)
    assert D(x, 0.1).isfinite().all() and D.log_prob(x, 0.1).isfinite().all()
    torch.testing.assert_close(D.responsibilities(x, 0.1).sum(-1), torch.ones(5, dtype=torch.float64))


def test_float32_agrees_with_float64():
    D = mixture()
    x = points(D)
    expected = D(x, 0.2)
    torch.testing.assert_close(D.float()(x.float(), 0.2).double(), expected, rtol=1e-4, atol=1e-4)


def test_gaussian_takes_a_dense_covariance():
    A = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    covariance, mean = A @ A.mT, torch.arange(4, dtype=torch.float64)  # singular
    D = gaussian(CosineSchedule(), (1, 2, 2), mean, covariance)
    x = points(D)
    alpha, sigma = D.schedule(torch.tensor(0.5, dtype=torch.float64))
    gain = alpha * covariance @ torch.linalg.inv(alpha**2 * covariance + sigma**2 * torch.eye(4))
    expected = mean + (x.flatten(1) - alpha * mean) @ gain.mT
    torch.testing.assert_close(D(x, 0.5).flatten(1), expected)


def test_arrays_that_do_not_fit_are_refused():
    D = mixture()
    with pytest.raises(ValueError, match="agree in K, d and r"):
        GaussianMixture(D.schedule, (5,), D.weights, D.means, D.factors, D.eigenvalues, D.residual_variance)
