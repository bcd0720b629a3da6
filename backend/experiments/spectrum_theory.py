"""The spectrum tab: the spectrum of the posterior mean where theory knows it, a mixture of low-rank Gaussians (MoLRG,
https://arxiv.org/abs/2409.02426) whose K subspaces, the columns of U_k, are mutually orthogonal:

    x_0 ~ 1/K sum_k N(0, U_k U_k^T),        J = dD/dx_t = alpha / sigma^2 Cov[x_0 | x_t]

With little noise x_t tells its subspace, and J has rank r, but where x_0 is so near 0 that all subspaces are equally near.
With much noise the posterior mean averages over all subspaces, and J has rank K r. In between, the difference of the
components' means is one large singular value.

Of n equal singular values a share of the energy needs ceil(share n): the rank by a cut is n only for n <= 50 (98.01 %) or
n < 100 (99 %), and a little below it for more.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backend.denoiser.gaussian_mixture import GaussianMixture
from backend.jacobian.spectrum import CUTS, dense_steps, effective_rank, rank, stable_rank
from backend.request import Request, option, require
from backend.schedule import CosineSchedule

LEAST, MOST = 0.02, 0.98  # noise levels t of the cosine schedule
LARGEST_D, LARGEST_K = 128, 10
JACOBIANS = 1000  # of 128 x 128 values: 131 MB


@dataclass(frozen=True)
class MixtureSpectra:
    """Spectra at T noise levels of P points with d values each, in float64.

    t, log_snr (T,). s, s_closed_form (T, P, d): singular values by automatic differentiation, and in closed form.
    rank_ratio (C, T, P): rank / d by each of the C energy shares CUTS, in their order. effective, stable (T, P): ranks.
    difference: the largest |J - J_closed_form|_F / s_1, which no |s - s_closed_form| / s_1 exceeds.
    one, all: r / d and K r / d, the rank ratios of one subspace and of all.
    """

    t: Tensor
    log_snr: Tensor
    s: Tensor
    s_closed_form: Tensor
    rank_ratio: Tensor
    effective: Tensor
    stable: Tensor
    difference: float
    one: float
    all: float


@dataclass(frozen=True)
class ExploreMixture(Request):
    """The Jacobian's spectrum from little to much noise under a mixture of K low-rank Gaussians; K = 1 is a Gaussian."""

    d: int = option(48, "the dimension d of the space")
    components: int = option(2, "the number K of subspaces")
    r: int = option(6, "the dimension r of each subspace")
    seed: int = option(0, "the seed")
    points: int = option(16, "the number of points")
    times: int = option(25, "the number of noise levels")

    def check(self) -> None:
        require(2 <= self.d <= LARGEST_D, f"The space must have 2 to {LARGEST_D} dimensions.")
        require(1 <= self.components <= LARGEST_K, f"Ask for 1 to {LARGEST_K} subspaces.")
        require(self.r >= 1, "A subspace must have at least 1 dimension.")
        fit = self.components * self.r <= self.d
        require(fit, "The subspaces do not fit: K times r must be at most d.")
        require(self.points >= 1, "Ask for at least 1 point.")
        require(self.times >= 2, "Ask for at least 2 noise levels.")
        few = self.points * self.times <= JACOBIANS
        require(few, f"Points times noise levels must be at most {JACOBIANS:,}.")

    def run(self, model: None) -> Iterator[Any]:
        mixture, x_0, noise = draw(self.d, self.components, self.r, self.points, self.seed)
        t = torch.linspace(LEAST, MOST, self.times, dtype=torch.float64)
        alpha, sigma = (a.view(-1, 1, 1) for a in mixture.schedule(t))
        x_t = (alpha * x_0 + sigma * noise).flatten(0, 1)  # (T P, d)
        each = t.repeat_interleave(self.points)
        jacobian = yield from dense_steps(lambda x: mixture(x, each), x_t)
        s = torch.linalg.svdvals(jacobian)
        expected = closed_form(mixture.factors, x_t, *mixture.schedule(each))
        s_closed_form = torch.linalg.eigvalsh(expected).flip(
            -1
        )  # a covariance: its eigenvalues are singular values
        energy = s.square().sum(-1)
        difference = float(((jacobian - expected).flatten(1).norm(dim=1) / s[:, 0]).max())

        def grid(values: Tensor) -> Tensor:
            return values.view(self.times, self.points, *values.shape[1:])

        yield MixtureSpectra(
            t=t,
            log_snr=mixture.schedule.log_snr(t),
            s=grid(s),
            s_closed_form=grid(s_closed_form),
            rank_ratio=torch.stack([grid(rank(s, energy, cut) / self.d) for cut in CUTS]),
            effective=grid(effective_rank(s)),
            stable=grid(stable_rank(s, energy)),
            difference=difference,
            one=self.r / self.d,
            all=self.components * self.r / self.d,
        )


def draw(d: int, K: int, r: int, points: int, seed: int) -> tuple[GaussianMixture, Tensor, Tensor]:
    """A mixture in random subspaces under the cosine schedule, pictures x_0 of it and noise, (points, d) each, float64."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    factors = torch.linalg.qr(normal(d, K * r)).Q.view(d, K, r).movedim(0, 1)  # (K, d, r)
    zeros, ones = factors.new_zeros, factors.new_ones
    mixture = GaussianMixture(
        CosineSchedule(),
        (d,),
        weights=ones(K) / K,
        means=zeros(K, d),
        factors=factors,
        eigenvalues=ones(K, r),
        residual_variance=zeros(K),
    )
    k = torch.randint(K, (points,), generator=generator)
    x_0 = torch.einsum("pdr,pr->pd", factors[k], normal(points, r))
    return mixture, x_0, normal(points, d)


def closed_form(U: Tensor, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """alpha / sigma^2 Cov[x_0 | x_t] of the mixture, the law of total variance over its components:

        w_k = softmax_k( |U_k^T x|^2 alpha^2 / (2 sigma^2 (alpha^2 + sigma^2)) )      responsibilities, as in MoLRG
        m_k = alpha / (alpha^2 + sigma^2) U_k U_k^T x                                 means
        C_k = sigma^2 / (alpha^2 + sigma^2) U_k U_k^T                                 covariances
        Cov = sum_k w_k (C_k + (m_k - m)(m_k - m)^T),    m = sum_k w_k m_k

    Args:
        U: orthonormal columns, (K, d, r).
        x: points x_t, (B, d).
        alpha, sigma: of the points, (B,).

    Returns:
        (B, d, d).
    """
    alpha, sigma = alpha[:, None], sigma[:, None]
    variance = alpha**2 + sigma**2
    projections = U @ U.mT
    along = torch.einsum("kde,be->bkd", projections, x)
    energy = along.square().sum(-1)
    w = (energy * alpha**2 / (2 * sigma**2 * variance)).softmax(-1)
    means = (alpha / variance)[..., None] * along
    centred = means - (w[..., None] * means).sum(1, keepdim=True)
    within = torch.einsum("bk,kde->bde", w * sigma**2 / variance, projections)
    between = torch.einsum("bk,bkd,bke->bde", w, centred, centred)
    return (alpha / sigma**2)[..., None] * (within + between)
