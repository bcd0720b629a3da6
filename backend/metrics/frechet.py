"""Frechet distance between two sets of feature vectors.

    |m_1 - m_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2))

(Heusel et al. 2017, https://arxiv.org/abs/1706.08500, Eq. 6). It is named with its feature space and shown
beside its floor: the distance between two sets of real data of the same size. It is not an FID, whose
features are Inception's.
"""

import torch
from torch import Tensor


def frechet_distance(first: Tensor, second: Tensor) -> float:
    """Squared distance of the Gaussians fitted to features (N, d) and (M, d), in float64."""
    a, b = first.double(), second.double()
    # the eigenvalues of S_1 S_2 are real and at least 0: it is similar to a positive semidefinite matrix
    cross = torch.linalg.eigvals(a.T.cov() @ b.T.cov()).real.clamp(min=0).sqrt().sum()
    spread = a.var(dim=0).sum() + b.var(dim=0).sum() - 2 * cross
    return float((a.mean(0) - b.mean(0)).square().sum() + spread)
