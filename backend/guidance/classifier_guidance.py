"""Classifier guidance (Dhariwal and Nichol 2021, https://arxiv.org/abs/2105.05233, Eq. 10 and 14), in the units of x_0.

    s(x_t | c) = s(x_t) + grad log p(c | x_t)   is by Tweedie   D_c = D_u + (sigma^2 / alpha) grad log p(c | x_t)

exactly, so for the true classifier its term is that of classifier-free guidance, D_c - D_u. Their algorithm adds gamma times it to
the unconditional D_u. The lecture's slides call plain sampling of a class by this name.
"""

from typing import Protocol

import torch
from torch import Tensor

from backend.denoiser.base import as_time, like
from backend.denoiser.combine import Term
from backend.schedule import Schedule


class Classifier(Protocol):
    """What knows p(c | x_t)."""

    def logits(self, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """(*batch, K) of x_t (*batch, *shape); alpha and sigma are () or (*batch), float64."""


def classifier_term(classifier: Classifier, schedule: Schedule, label: int | Tensor) -> Term:
    """(sigma^2 / alpha) grad log p(label | x_t): a term for `Guided` that asks neither D_c nor D_0.

    Args:
        label: the index of a class, or one for each sample, (*batch).
    """
    chosen = torch.as_tensor(label)

    def term(x_t: Tensor, t: Tensor, conditional: Tensor, unconditional: Tensor) -> Tensor:
        alpha, sigma = schedule(as_time(t).to(x_t.device))

        def log_probability(x: Tensor) -> Tensor:
            each = classifier.logits(x, alpha, sigma).log_softmax(-1)
            return each.gather(-1, chosen.to(each.device).expand(each.shape[:-1])[..., None]).sum()

        return like(sigma**2 / alpha, x_t) * torch.func.grad(log_probability)(x_t)

    return term
