"""Means and covariances of a class and of all data: digits, drawn faces, and two Gaussians set by three numbers.

Covariances divide by n, so that all data are exactly the mixture of their classes: S_u = sum_k pi_k (S_k + d_k d_k^T). Hence
S_u - pi_c S_c has no negative eigenvalue, and no direction's variance in a class is more than 1 / pi_c times that in all data.

A class of n pictures in d dimensions has a covariance of rank n - 1. Where n - 1 < d, it is drawn towards S_u,

    (1 - shrinkage) S_c + shrinkage S_u,        shrinkage = 1 - (n - 1) / d

`python -m backend.guidance.class_statistics` makes the file of drawn faces, which only spares the seconds that drawing takes.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from backend.data import avatars, digits
from backend.guidance.terms import Gaussian, Pair, gaussian
from backend.request import require

LABELS = {"digits": tuple("0123456789"), "avatars": avatars.EXPRESSIONS}
PER_EXPRESSION = 1000  # drawn faces
COMPONENTS = 32  # principal components of faces that are kept; they hold nine tenths of the variance
FOR_COMPONENTS = 1200  # faces that these are from: an eigendecomposition of so many numbers takes a second
FACES = (
    Path(__file__).resolve().parents[2] / "assets" / "weights" / "avatars_statistics" / "faces.safetensors"
)
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


def leading(samples: Tensor, k: int) -> Tensor:
    """The k leading principal components of samples (n, D), n < D, as orthonormal rows (k, D)."""
    centred = samples - samples.mean(0)
    values, vectors = torch.linalg.eigh(centred @ centred.mT)  # n numbers instead of D
    return (vectors[:, -k:].flip(1) / values[-k:].flip(0).sqrt()).mT @ centred


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
    """Statistics of a class of digits (the training split, 64 numbers) or of avatars (1,000 drawn faces an expression, in the
    leading 32 principal components of the first 1,200 of them). Cached.

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
    found = _shipped() if FACES.exists() else drawn_faces()
    basis, mean, coordinates = (found[name].double() for name in ("basis", "mean", "coordinates"))
    left, _, right = torch.linalg.svd(basis, full_matrices=False)
    basis = left @ right  # orthonormal beyond float32
    everything = gaussian(coordinates.mean(0), covariance(coordinates))
    rest = mean - (basis @ mean) @ basis
    return coordinates, found["labels"], everything, (3, 64, 64), basis, rest


def drawn_faces() -> dict[str, Tensor]:
    """What the statistics of drawn faces are from, float32: `coordinates` (N, 32) and `labels` (N,) of 1,000 of each expression,
    the `basis` (32, 12288) and the `mean` picture (12288,). Takes seconds."""
    n = PER_EXPRESSION * len(avatars.EXPRESSIONS)
    faces = avatars.sample(range(SEEDS, SEEDS + n), [i % len(avatars.EXPRESSIONS) for i in range(n)])
    chunks = faces.factors.split(50)
    first = torch.cat([avatars.render(factors) for factors in chunks[: FOR_COMPONENTS // 50]])
    basis = leading(first.flatten(1).double(), COMPONENTS)
    total, coordinates = torch.zeros(basis.shape[1], dtype=basis.dtype), []
    for factors in chunks:  # never all pictures at once: they would take half a gigabyte
        flat = avatars.render(factors).flatten(1).double()
        total += flat.sum(0)
        coordinates.append(flat @ basis.mT)
    coordinates = torch.cat(coordinates)
    turn = torch.linalg.eigh(covariance(coordinates))[1].flip(
        1
    )  # within their span, to the axes of all faces
    found = {"basis": turn.mT @ basis, "mean": total / n, "coordinates": coordinates @ turn}
    return {name: value.float() for name, value in found.items()} | {"labels": faces.labels}


def _shipped() -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(FACES)


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


if __name__ == "__main__":
    from safetensors.torch import save_file

    FACES.parent.mkdir(parents=True, exist_ok=True)
    save_file(drawn_faces(), FACES, {"command": "python -m backend.guidance.class_statistics"})
