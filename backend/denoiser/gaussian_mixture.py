"""Posterior mean of a mixture of Gaussians whose covariances are low rank plus isotropic, in closed form.

    x_0 ~ sum_k w_k N(mu_k, C_k),    C_k = U_k diag(lambda_k) U_k^T + rho_k (I - U_k U_k^T)

so that x_t is again such a mixture, N(alpha mu_k, alpha^2 C_k + sigma^2 I) in component k, and

    D(x_t, t) = sum_k p(k | x_t) [mu_k + alpha C_k (alpha^2 C_k + sigma^2 I)^-1 (x_t - alpha mu_k)].

K = 1 is a Gaussian; rho = 0 is the mixture of low-rank Gaussians (MoLRG, https://arxiv.org/abs/2409.02426).
"""

import math

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser, as_time, like
from backend.schedule import Schedule


class GaussianMixture(Denoiser):
    """E[x_0 | x_t] under a Gaussian mixture, in O(K d r) for each sample. Computed in the dtype of the means.

    Args:
        schedule: the noise schedule.
        shape: of one sample, with d numbers.
        weights: w, shape (K,), of sum 1.
        means: mu, shape (K, d).
        factors: U, shape (K, d, r), with orthonormal columns.
        eigenvalues: lambda, the variances along the columns of U, shape (K, r); 0 is allowed.
        residual_variance: rho, the variance in every other direction, shape (K,); 0 is allowed.

    Raises:
        ValueError: if a shape does not fit.
    """

    def __init__(
        self,
        schedule: Schedule,
        shape: tuple[int, ...],
        weights: Tensor,
        means: Tensor,
        factors: Tensor,
        eigenvalues: Tensor,
        residual_variance: Tensor,
    ):
        super().__init__()
        (K, d, r) = factors.shape
        shapes = [tuple(a.shape) for a in (weights, means, eigenvalues, residual_variance)]
        if shapes != [(K,), (K, d), (K, r), (K,)] or math.prod(shape) != d:
            raise ValueError("The arrays of a mixture must agree in K, d and r, and d must fit the shape.")
        self.schedule, self.shape = schedule, tuple(shape)
        self.register_buffer("weights", weights)
        self.register_buffer("means", means)
        self.register_buffer("factors", factors)
        self.register_buffer("eigenvalues", eigenvalues)
        self.register_buffer("residual_variance", residual_variance)

    def forward(self, x_t: Tensor, t: Tensor | float, **condition: Tensor) -> Tensor:
        self.complete(condition, self.batch(x_t))
        log_joint, means = self._components(x_t, t)
        mean = (log_joint.softmax(-1)[..., None] * means).sum(-2)
        return mean.reshape(x_t.shape).to(x_t.dtype)

    def log_prob(self, x_t: Tensor, t: Tensor | float) -> Tensor:
        """log p(x_t) in nats, shape (*batch). Its gradient is (alpha D - x_t) / sigma^2 (Tweedie)."""
        return self._components(x_t, t)[0].logsumexp(-1)

    def responsibilities(self, x_t: Tensor, t: Tensor | float) -> Tensor:
        """p(k | x_t), shape (*batch, K)."""
        return self._components(x_t, t)[0].softmax(-1)

    def _components(self, x_t: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor]:
        """log p(x_t, k), shape (*batch, K), and E[x_0 | x_t, k], shape (*batch, K, d)."""
        d, r = self.factors.shape[1:]
        x = x_t.reshape(*self.batch(x_t), 1, d).to(self.means)
        alpha, sigma = (like(a, x) for a in self.schedule(as_time(t)))

        z = x - alpha * self.means
        inside = torch.einsum("...kd,kdr->...kr", z, self.factors)  # coordinates along the factors
        outside = z - torch.einsum("...kr,kdr->...kd", inside, self.factors)
        # Where lambda and sigma are both 0 the density is singular. The floor, rounding squared, keeps
        # the limit: the mean is a projection, and the nearest subspace wins.
        floor = torch.finfo(x.dtype).eps ** 2
        variance_in = (alpha**2 * self.eigenvalues + sigma**2).clamp_min(floor)
        variance_out = (alpha**2 * self.residual_variance[:, None] + sigma**2).clamp_min(floor)

        exponent = (inside**2 / variance_in).sum(-1) + (outside**2 / variance_out).sum(-1)
        log_determinant = variance_in.log().sum(-1) + (d - r) * variance_out.log().squeeze(-1)
        log_likelihood = -(exponent + log_determinant + d * math.log(2 * math.pi)) / 2

        gain_in = alpha * self.eigenvalues / variance_in
        gain_out = alpha * self.residual_variance[:, None] / variance_out
        along = torch.einsum("...kr,kdr->...kd", gain_in * inside, self.factors)
        return self.weights.log() + log_likelihood, self.means + gain_out * outside + along


def gaussian(schedule: Schedule, shape: tuple[int, ...], mean: Tensor, covariance: Tensor) -> GaussianMixture:
    """The single Gaussian of this mean, shape (d,), and covariance, shape (d, d), which may be singular."""
    eigenvalues, vectors = torch.linalg.eigh(covariance)
    one, zero = mean.new_ones(1), mean.new_zeros(1)
    variances = eigenvalues.clamp_min(0)[None]
    return GaussianMixture(schedule, shape, one, mean[None], vectors[None], variances, zero)
