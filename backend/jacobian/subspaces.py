"""How two subspaces lie to each other: the Jacobian's, that of the data's principal components, and the tangent space of
what the data are made by."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

RANK = 1e-3  # directions below this multiple of the largest do not count as tangent


def principal_angles(a: Tensor, b: Tensor) -> Tensor:
    """Principal angles between the spans of the rows of a (p, d) and b (q, d), radians, smallest first: (min(p, q),) float64
    (Knyazev and Argentati 2002, as in SciPy)."""
    from scipy.linalg import subspace_angles

    angles = subspace_angles(a.double().numpy().T, b.double().numpy().T)
    return torch.from_numpy(np.sort(angles))


def found_share(truth: Tensor, subspace: Tensor) -> float:
    """How much of the span of `truth` (p, d) lies in that of `subspace` (q, d): the mean squared cosine of its directions,
    from 0 to 1; a random subspace finds q / d. Rows need not be orthonormal."""
    truth, subspace = (torch.linalg.qr(rows.double().T).Q for rows in (truth, subspace))
    return float((truth.T @ subspace).square().sum() / truth.shape[1])


def tangent(draw: Callable[[Tensor], Tensor], factors: Tensor, steps: Tensor) -> Tensor:
    """An orthonormal basis (r, d) of the tangent space of pictures at the factors (F,), by central differences.

    Args:
        draw: maps factors (n, F) to pictures (n, *shape).
        steps: how far to go along each factor, (F,), above 0; the derivatives are weighed by them.

    r is the number of factors that change the picture, independently of each other, by more than RANK of what the strongest
    direction does.
    """
    moves = torch.diag(steps)
    plus, minus = draw(factors + moves), draw(factors - moves)
    derivatives = ((plus - minus) / 2).flatten(1).double()
    _, s, axes = torch.linalg.svd(derivatives, full_matrices=False)
    return axes[s > RANK * s[0]]
