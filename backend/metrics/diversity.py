"""How many different things a set of samples holds, and how much of the real ones: on features.

Vendi score    exp(-sum_i l_i log l_i), l the eigenvalues of K / n, K the cosines between n features: the effective number of
               different samples, 1 to n                    Friedman and Dieng, https://arxiv.org/abs/2210.02410, Definition 3.1
precision      share of samples that lie in the real ones' support, the union of balls around them that reach to their
               k-th nearest neighbour
recall         share of real ones that lie in the samples' support      Kynkaanniemi et al., https://arxiv.org/abs/1904.06991
"""

import torch
from torch import Tensor

from backend.metrics.intervals import Estimate, rate

NEIGHBOURS = 3  # k, that of the paper


def vendi(features: Tensor) -> float:
    """The Vendi score of features (n, d) with the cosine kernel. A vector of zeros resembles nothing, itself included.

    Raises:
        ValueError: if there is none.
    """
    if len(features) < 1:
        raise ValueError("A Vendi score needs at least one sample.")
    unit = torch.nn.functional.normalize(features.double(), dim=1)
    # Those of the smaller of two matrices with the same eigenvalues above 0.
    gram = unit @ unit.mT if len(unit) <= unit.shape[1] else unit.mT @ unit
    values = torch.linalg.eigvalsh(gram / len(unit)).clamp_min(0)
    return float(torch.special.entr(values).sum().exp())


def precision_recall(real: Tensor, samples: Tensor, k: int = NEIGHBOURS) -> tuple[Estimate, Estimate]:
    """Precision and recall of samples (m, d) against real features (n, d), with Clopper-Pearson intervals.

    They are biased at few samples and depend on m, n and k: sets are compared at equal ones, and beside real against real.

    Raises:
        ValueError: unless there are more than k of both.
    """
    if min(len(real), len(samples)) <= k:
        raise ValueError(f"Nearest neighbours need more than {k} of both.")
    real, samples = real.double(), samples.double()
    return _within(samples, real, k), _within(real, samples, k)


def _within(points: Tensor, support: Tensor, k: int) -> Estimate:
    """The share of points within the balls of a support."""
    own = _distances(support, support)
    reach = own.kthvalue(k + 1, dim=1).values  # the nearest is the point itself
    inside = (_distances(points, support) <= reach).any(1)
    return rate(int(inside.sum()), len(points))


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean, (n, m), exact for near-duplicates."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
