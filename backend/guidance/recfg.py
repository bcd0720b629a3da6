"""ReCFG (Xia et al., https://arxiv.org/abs/2410.18737): guidance whose two factors need not sum to one.

    eps = (1 + gamma) eps_c - gamma r eps_u        r = E[eps_c] / E[eps_u]        over noisy pictures x_t of the class

with one ratio r for every number of a picture, noise level and class; r = 1 is classifier-free guidance. In the units of x_0,

    D_c + gamma ((D_c - x_t / alpha) - r (D_u - x_t / alpha))

and the term has mean 0 over noisy pictures of the class: the mean shift is gone.

For posterior means E[eps_c] = 0, because E[D_c] = E[x_0]. So r = 0 wherever E[eps_u], the mean shift, is not 0, and what is left is
(1 + gamma) eps_c: no contrast with all data, but a power of the class's own density, which draws samples to its mean. For a network
r is the ratio of two small errors (from 32 digits with two noises, 90 % of the ratios are from -4 to 9), and the samples explode.
The authors' code (https://github.com/thuxmf/recfg) takes another ratio,

    r = E[eps_c eps_u] / E[eps_u^2],

the multiple of eps_u that is nearest to eps_c, close to 1. That is what samples here. It leaves r times the mean shift: between
Gaussians along an axis r = (v_u + l^2) / (v_c + d^2 + l^2), with d the difference of their means.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from backend.denoiser.base import Condition, Denoiser, as_time, branches, like
from backend.denoiser.combine import Term
from backend.schedule import Schedule


@torch.no_grad()
def noises(
    denoiser: Denoiser, condition: Condition, pictures: Tensor, eps: Tensor, t: Tensor | float
) -> tuple[Tensor, Tensor]:
    """eps_c and eps_u, (n, *shape) each, at pictures of the class with noise eps, both (n, *shape)."""
    t = as_time(t)
    alpha, sigma = (like(a, pictures) for a in denoiser.schedule(t))
    x_t = alpha * pictures + sigma * eps
    conditional, unconditional = (x_t - alpha * branches(denoiser, x_t, t, [condition, {}])) / sigma
    return conditional, unconditional


def ratio(conditional: Tensor, unconditional: Tensor) -> Tensor:
    """E[eps_c eps_u] / E[eps_u^2] of n pairs (n, *shape), as the authors' code has it: (*shape), 1 where eps_u is 0."""
    squares = unconditional.square().mean(0)
    products = (conditional * unconditional).mean(0)
    return torch.where(squares > 0, products / squares.clamp_min(torch.finfo(squares.dtype).tiny), 1.0)


def ratio_of_means(conditional: Tensor, unconditional: Tensor) -> Tensor:
    """E[eps_c] / E[eps_u] of n pairs (n, *shape), as the paper has it: (*shape)."""
    return conditional.mean(0) / unconditional.mean(0)


def recfg(schedule: Schedule, ratios: Callable[[Tensor], Tensor]) -> Term:
    """What one unit of gamma adds, as a `Term` for `Guided`.

    Args:
        schedule: of the denoiser.
        ratios: r of a time (), of the shape of one sample.
    """

    def term(x_t: Tensor, t: Tensor, conditional: Tensor, unconditional: Tensor) -> Tensor:
        alpha, _ = schedule(as_time(t))
        r = ratios(t).to(x_t)
        return conditional - r * unconditional - (1 - r) * x_t / like(alpha, x_t)

    return term
