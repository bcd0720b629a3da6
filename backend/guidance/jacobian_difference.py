"""Contrastive components of a network at one picture: the Jacobian of what guidance adds.

Where D_c and D_u are no longer linear, what stands in for A_c - A_u of two Gaussians is the derivative of the difference,

    J_c - J_u = d (D_c - D_u) / d (x_t / alpha),

whose symmetric part has the sample's own Pos-CPCs and Neg-CPCs as eigenvectors (Li, Wang and Qu, https://arxiv.org/abs/2505.19210,
on the nonlinear regime). With respect to x_t / alpha no schedule alters it, and on two Gaussians it is A_c - A_u itself. Both Jacobians of exact
posterior means are symmetric, because they are covariances: J = Cov[x_0 | x_t] / l^2 at the noise level l. A network's are
not quite, so the symmetric part is taken and the rest measured.

Pos-CPC guidance is then, a heuristic by its authors' own word (their Eq. 17), the positive part applied to the posterior mean:

    D_c + gamma V_+ Lambda_+ V_+^T D_c        and so for the negative part.

D_c takes the place of x_t / alpha - mu_c, so that what counts as zero matters: here the middle grey.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from backend.denoiser.base import Condition, Denoiser, as_time, branches
from backend.guidance.class_statistics import ClassStatistics
from backend.jacobian.symmetric import Half


def difference(
    denoiser: Denoiser, t: Tensor | float, condition: Condition
) -> tuple[Callable[[Tensor], Tensor], float]:
    """y -> D_c(alpha y) - D_u(alpha y) for one sample, y = x_t / alpha of the denoiser's shape; and alpha.

    Raises:
        ValueError: at a time where alpha is 0.
    """
    alpha = float(denoiser.schedule(as_time(t))[0])
    if alpha == 0:
        raise ValueError("At this time nothing is left of the picture.")

    def f(y: Tensor) -> Tensor:
        conditional, unconditional = branches(denoiser, alpha * y[None], t, [condition, {}])
        return (conditional - unconditional)[0]

    return f, alpha


def applied(half: Half, mean: Tensor) -> Tensor:
    """V Lambda V^T D_c, of the shape of D_c, with the eigenpairs of one sign."""
    vectors = half.vectors.flatten(1).double()
    along = half.values.to(vectors.device) * (vectors @ mean.flatten().double())
    return (along @ vectors).view(mean.shape).to(mean)


def linear(stats: ClassStatistics, level: float, k: int, sign: int) -> tuple[Tensor, Tensor]:
    """The k leading CPCs of one sign of the linear model at a noise level, strongest first: values (q,) float64 and unit pictures
    (q, *shape); q is smaller where the model has fewer."""
    values, vectors = stats.pair.cpc(level)
    order = values.argsort(descending=sign > 0)
    chosen = order[sign * values[order] > 1e-12][:k]
    return values[chosen], stats.direction(vectors.mT[chosen])


def compared(vectors: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Of unit vectors (p, *shape) against orthonormal ones (q, *shape), float64: the cosine of each with the other of its rank (p,), without
    sign and NaN where there is none; and the share of each in the span of all (p,), 0 to 1. By chance q / d."""
    products = vectors.flatten(1).double() @ others.flatten(1).double().mT
    cosine = torch.full((len(vectors),), torch.nan, dtype=torch.float64)
    n = min(products.shape)
    cosine[:n] = products.diagonal()[:n].abs()
    return cosine, products.square().sum(1)
