"""The intrinsic dimension of a sample of points, from the distances r_1 <= r_2 <= ... of each point to its neighbours.

    two_nn              log(r_2 / r_1) is exponential with rate D           Facco et al. 2017
    maximum_likelihood  so is, for each j < k, log(r_k / r_j) on average    Levina and Bickel 2004
    local_pca           the large variances of a neighbourhood              Fukunaga and Olsen 1971

All take the density as constant over a neighbourhood. In D dimensions that asks for exponentially many points: with fewer,
the neighbours lie across the whole support and the estimates are too low, from about D = 10 on for 1,000 points.

Exact duplicates are dropped first: for them r_1 = 0, and the ratios do not exist. A set of points with near duplicates
(noise on a picture that was memorized) has the dimension of the noise at that scale.

Intervals are over points: they resample what each point says (resampled points would be duplicates), take it as
independent, and know nothing of the bias.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from backend.metrics.intervals import Estimate, bootstrap

FEWEST = 10  # points that an estimate is made of
KEPT = 0.9  # of the ratios of TwoNN, the smallest: the rest are the least exponential (Facco et al., Methods)
LARGE = 0.05  # of the largest variance: what counts in a local PCA, as in scikit-dimension


def two_nn(points: Tensor) -> Estimate:
    """TwoNN: the slope through the origin of -log(1 - F) over log(r_2 / r_1), on the lower 90 % of the ratios, F their
    empirical distribution (Facco et al. 2017, https://doi.org/10.1038/s41598-017-11873-y).

    Args:
        points: (N, d).

    Raises:
        ValueError: for fewer than 10 distinct points, or if r_1 = r_2 at all of them.
    """
    distances, _ = _neighbours(_distinct(points, 2), 2)
    return _estimate(np.log(distances[:, 1] / distances[:, 0]), _slope)


def maximum_likelihood(points: Tensor, k: int = 20) -> Estimate:
    """1 / D is the mean over points of 1 / (k - 1) sum_{j<k} log(r_k / r_j): Levina and Bickel 2004 (NIPS 17), with
    the inverses averaged (MacKay and Ghahramani 2005, http://www.inference.org.uk/mackay/dimension/).

    Args:
        points: (N, d).
        k: neighbours of each point.

    Raises:
        ValueError: for k < 2, fewer than 10 or k + 1 distinct points, or neighbours that are all equally far.
    """
    if k < 2:
        raise ValueError("The likelihood needs at least 2 neighbours.")
    distances, _ = _neighbours(_distinct(points, k), k)
    return _estimate(np.log(distances[:, -1:] / distances[:, :-1]).mean(1), _inverse_mean)


def local_pca(points: Tensor, k: int = 20) -> Estimate:
    """The number of principal variances above 5 % of the largest, of each point with its k neighbours, averaged over points
    (Fukunaga and Olsen 1971, https://doi.org/10.1109/T-C.1971.223208). At most k, and below D unless k is several times D.

    Args:
        points: (N, d).
        k: neighbours of each point.

    Raises:
        ValueError: for k < 1, or fewer than 10 or k + 1 distinct points.
    """
    if k < 1:
        raise ValueError("A neighbourhood has at least 1 neighbour.")
    x = _distinct(points, k)
    _, index = _neighbours(x, k)
    counts = []
    for point, near in zip(x, index, strict=True):
        z = np.vstack([point, x[near]]) - point
        z -= z.mean(0)
        variances = np.linalg.eigvalsh(z @ z.T)  # up to a factor and zeros: k + 1 of them, whatever d is
        counts.append(int((variances > LARGE * variances[-1]).sum()))
    return bootstrap(counts)


def distinct(points: Tensor) -> Tensor:
    """The points (N, d) without exact duplicates, (n, d), in their order."""
    first: dict[bytes, int] = {}
    for i, row in enumerate(points.detach().cpu().numpy() + 0.0):  # which makes -0 the 0 that it equals
        first.setdefault(row.tobytes(), i)
    return points[list(first.values())]


def rotated(points: Tensor) -> Tensor:
    """Distinct points (N, d) in coordinates of the space that they span, (N, min(N, d)) in float64: the same distances to
    rounding, found much sooner where d is large. Duplicates would differ by the rounding."""
    x = points.double()
    if x.shape[1] <= len(x):
        return x
    return torch.linalg.qr((x - x.mean(0)).T, mode="r").R.T.contiguous()


def _distinct(points: Tensor, k: int) -> np.ndarray:
    """The distinct points, float64 (n, d). Raises ValueError if there are too few for k neighbours each."""
    found = distinct(points).detach().cpu().double().numpy()
    fewest = max(FEWEST, k + 1)
    if len(found) < fewest:
        raise ValueError(
            f"The dimension needs at least {fewest} distinct points, and there are {len(found)}."
        )
    return found


def _neighbours(x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances (N, k) to the k nearest other points, ascending, and who they are (N, k)."""
    from sklearn.neighbors import NearestNeighbors

    centred = x - x.mean(0)
    index = NearestNeighbors(n_neighbors=k).fit(centred).kneighbors(return_distance=False)
    # In high dimension |x|^2 - 2 x.y + |y|^2 finds them, where near duplicates round to one: only their names are used.
    distances = np.stack([np.linalg.norm(x[near] - one, axis=1) for one, near in zip(x, index, strict=True)])
    order = distances.argsort(1)
    return np.take_along_axis(distances, order, 1), np.take_along_axis(index, order, 1)


def _estimate(logarithms: np.ndarray, statistic: Callable) -> Estimate:
    if not logarithms.any():
        raise ValueError(
            "The neighbours of every point are equally far, as on a grid, and tell no dimension."
        )
    return bootstrap(logarithms, statistic)


def _slope(log_ratios: np.ndarray, axis: int = -1) -> np.ndarray:
    """sum x y / sum x^2 over the smallest log-ratios x, y = -log(1 - i / N)."""
    x = np.moveaxis(np.sort(log_ratios, axis), axis, -1)
    size = x.shape[-1]
    kept = int(KEPT * size)
    y = -np.log1p(-np.arange(1, kept + 1) / size)
    return x[..., :kept] @ y / (x[..., :kept] ** 2).sum(-1)


def _inverse_mean(inverses: np.ndarray, axis: int = -1) -> np.ndarray:
    return 1 / inverses.mean(axis)
