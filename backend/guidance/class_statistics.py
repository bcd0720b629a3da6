"""Means and covariances of a class and of all data: digits, drawn faces, and two Gaussians set by three numbers.

Covariances divide by n, so that all data are exactly the mixture of their classes: S_u = sum_k pi_k (S_k + d_k d_k^T). Hence
S_u - pi_c S_c has no negative eigenvalue, and no direction's variance in a class is more than 1 / pi_c times that in all data.

A class of n pictures in d dimensions has a covariance of rank n - 1. Where n - 1 < d, it is drawn towards S_u,

    (1 - shrinkage) S_c + shrinkage S_u,        shrinkage = 1 - (n - 1) / d
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from backend.data import avatars, digits
from backend.guidance.terms import Gaussian, Pair, gaussian
from backend.request import require

LABELS = {"digits": tuple("0123456789"), "avatars": avatars.EXPRESSIONS}
PER_EXPRESSION = 200  # drawn faces
COMPONENTS = 32  # principal components of all faces that are kept; they hold nine tenths of the variance
SEEDS = 20_000_000  # of the drawn faces: neither the gallery's nor training's


@dataclass(frozen=True, eq=False)
class ClassStatistics:
    """A class and all data as Gaussians of d coordinates, and the way from coordinates to pictures.

    pair: the two Gaussians. n: the class's pictures; 0 where the Gaussians were given, not estimated. shrinkage: 0 to 1.
    bound: 1 / pi_c, which no ratio of a direction's variances exceeds; inf where all data are not the mixture of their classes.
    shape: of a picture.
    basis: orthonormal rows (d, numbers of a picture); None where coordinates are the picture's numbers.
    rest: the part of the mean of all pictures outside the basis, flat.
    """

    pair: Pair
    n: int
    shrinkage: float
    bound: float
    shape: tuple[int, ...]
    basis: Tensor | None
    rest: Tensor

    @property
    def note(self) -> str:
        """A sentence about shrinkage, "" where there is none."""
        if not self.shrinkage:
            return ""
        n, d = self.n, self.pair.d
        return (
            f"The class's covariance is from {n} pictures in {d} dimensions, which is too few: "
            f"{self.shrinkage:.0%} of it is the covariance of all data."
        )

    def direction(self, coordinates: Tensor) -> Tensor:
        """Differences of pictures (..., *shape) from those of coordinates (..., d)."""
        flat = coordinates if self.basis is None else coordinates @ self.basis
        return flat.reshape(*coordinates.shape[:-1], *self.shape)

    def picture(self, coordinates: Tensor) -> Tensor:
        """Pictures (..., *shape) from coordinates (..., d)."""
        return self.direction(coordinates) + self.rest.view(self.shape)


def covariance(samples: Tensor) -> Tensor:
    """(d, d) of samples (n, d), divided by n."""
    centred = samples - samples.mean(0)
    return centred.mT @ centred / len(samples)


def shrunk(samples: Tensor, towards: Tensor) -> tuple[Gaussian, float]:
    """The Gaussian of a class's samples (n, d), float64, and its shrinkage towards a covariance (d, d).

    Raises:
        ValueError: if there is no sample.
    """
    n, d = samples.shape
    if n < 1:
        raise ValueError("A class without pictures has no statistics.")
    shrinkage = max(0.0, 1 - (n - 1) / d)
    mixed = (1 - shrinkage) * covariance(samples) + shrinkage * towards
    return gaussian(samples.mean(0), mixed), shrinkage


def of_class(data: str, label: str, pictures: int = 0) -> ClassStatistics:
    """Statistics of a class of digits (the training split, 64 numbers) or of avatars (200 drawn faces an expression, in the
    leading 32 principal components of all). Cached.

    Args:
        pictures: that the class's statistics are from, its first ones; 0 for all. Those of all data stay what they are.

    Raises:
        BadInput: for an unknown class, or more pictures than there are.
    """
    labels = LABELS[data]
    require(label in labels, f"There is no such class; the classes are {', '.join(labels)}.")
    return _of_class(data, labels.index(label), pictures)


@lru_cache(16)
def _of_class(data: str, label: int, pictures: int) -> ClassStatistics:
    coordinates, labels, unconditional, shape, basis, rest = _all(data)
    own = coordinates[labels == label]
    require(pictures <= len(own), f"This class has {len(own)} pictures.")
    bound = math.inf if pictures else len(coordinates) / len(own)
    own = own[: pictures or None]
    conditional, shrinkage = shrunk(own, unconditional.covariance)
    return ClassStatistics(Pair(conditional, unconditional), len(own), shrinkage, bound, shape, basis, rest)


@lru_cache(2)
def _all(data: str) -> tuple[Tensor, Tensor, Gaussian, tuple[int, ...], Tensor | None, Tensor]:
    """Coordinates (N, d) float64, labels (N,), the Gaussian of all, a picture's shape, basis and rest."""
    if data == "digits":
        pictures, labels = digits.split("train")
        flat = pictures.flatten(1).double()
        everything = gaussian(flat.mean(0), covariance(flat))
        return flat, labels, everything, tuple(pictures.shape[1:]), None, flat.new_zeros(flat.shape[1])
    n = PER_EXPRESSION * len(avatars.EXPRESSIONS)
    faces = avatars.sample(range(SEEDS, SEEDS + n), [i % len(avatars.EXPRESSIONS) for i in range(n)])
    pictures = torch.cat([avatars.render(factors) for factors in faces.factors.split(50)])
    flat = pictures.flatten(1).double()
    mean = flat.mean(0)
    centred = flat - mean
    values, vectors = torch.linalg.eigh(centred @ centred.mT / n)  # n numbers instead of 12,288
    values, vectors = values.flip(0)[:COMPONENTS], vectors.flip(1)[:, :COMPONENTS]
    basis = (centred.mT @ vectors / (n * values).sqrt()).mT.contiguous()
    coordinates = flat @ basis.mT
    everything = gaussian(coordinates.mean(0), covariance(coordinates))
    rest = mean - (basis @ mean) @ basis
    return coordinates, faces.labels, everything, tuple(pictures.shape[1:]), basis, rest


@lru_cache(16)
def of_sliders(ratio: float, distance: float, angle: float) -> ClassStatistics:
    """Two Gaussians in the plane: all data N(0, diag(1, 1/4)), and a class whose axes are turned by an angle.

        mu_c = distance (1, 1) / sqrt(2),    S_c = R diag(ratio, 1 / (4 ratio)) R^T

    At angle 0 they commute, with r = ratio along one axis and 1 / ratio along the other: one Pos-CPC, one Neg-CPC.

    Args:
        angle: of R, in degrees.
    """
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turn = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    own = turn @ torch.tensor([ratio, 1 / (4 * ratio)], dtype=torch.float64).diag() @ turn.mT
    mean = torch.full((2,), distance / math.sqrt(2), dtype=torch.float64)
    everything = torch.tensor([1.0, 0.25], dtype=torch.float64).diag()
    pair = Pair(gaussian(mean, (own + own.mT) / 2), gaussian(torch.zeros_like(mean), everything))
    return ClassStatistics(pair, 0, 0.0, math.inf, (2,), None, torch.zeros_like(mean))
