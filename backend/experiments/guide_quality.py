"""How good guided samples are, by what plays no part in guidance: labels read off them, how diverse they are, how far from real.

The reader is the digits' or the drawn faces' own (backend.metrics); its penultimate layer is the feature space, so a distance here
is no FID. Real pictures are those that neither the network nor the reader has learned from: the 30 or so digits of the class in
the split "test", which other people wrote than those that the network knows; of faces 500 new drawings.

Every comparison in features has m pictures on both sides, m = n or, if less, half of the real ones, because Vendi score, recall
and distance depend on it. A covariance of all 32 or 128 features would need more pictures than that; the distance is between
their 6 leading principal components over real pictures of all classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from backend.data import avatars, digits
from backend.guidance.class_statistics import LABELS
from backend.inference.load import Model
from backend.metrics.diversity import NEIGHBOURS, precision_recall, vendi
from backend.metrics.factor_regressor import FactorRegressor
from backend.metrics.frechet import frechet_distance
from backend.metrics.intervals import Estimate, bootstrap, jackknife, rate

BEYOND = 0.02  # a number is out of range where it leaves [-1, 1] by this
CUT = 1e4  # of what is shown: strong guidance has no bound, float16 ends at 65,504
REAL, REAL_SEEDS = 500, 40_000_000  # drawn faces of a class that samples are measured against
EACH = 60  # faces of each expression that the principal components of features are from
COMPONENTS = 6
FEWEST = 12  # pictures that a covariance of six numbers is taken of
FLOORS = 20  # pairs of sets of real pictures
NO_READER = "Nothing reads the labels of this model's pictures, so they are not checked."


@dataclass(frozen=True)
class Quality:
    """Of n samples. None where there is no reader, or too few samples.

    accuracy: share that a network without part in guidance reads as the class; probability: what it gives the class, mean.
    variance: trace of the covariance over that of real pictures of the class; below 1 they are less diverse, far above 1 they are
        no pictures.
    clipped: share of the numbers outside [-1, 1] by more than 0.02.
    vendi, vendi_real: effective number of different samples, and of real pictures of the class, both of m, by the cosines of their
        features less the mean feature of real pictures of the class.
    recall, precision: of m samples against m real pictures, by 3 nearest neighbours in features; for more than 3.
    frechet: squared Frechet distance of m samples to m real pictures, interval by jackknife over pairs of them; for at least 12.
    frechet_floor: mean of the same between 20 pairs of disjoint sets of m real pictures, and the range of 95 % of them.
    factors: of drawn faces, for each factor the Wasserstein-1 distance between what the reader finds in the n samples and in 500
        renders, in standard deviations over all faces.
    """

    accuracy: Estimate | None
    probability: float | None
    variance: Estimate
    clipped: float
    vendi: float | None = None
    vendi_real: float | None = None
    recall: Estimate | None = None
    precision: Estimate | None = None
    frechet: Estimate | None = None
    frechet_floor: Estimate | None = None
    factors: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Real:
    """Pictures of a class that nothing here has learned from, as features (N, d) in random order. centre (d,), axes (d, 6): the mean
    and the leading principal components of the features of all classes."""

    features: Tensor
    centre: Tensor
    axes: Tensor

    def plane(self, features: Tensor) -> Tensor:
        """Coordinates (n, 6) on the leading principal components, float64."""
        return (features.double() - self.centre) @ self.axes


def quality(model: Model, label: str, samples: Tensor) -> Quality:
    """Of samples (n, *shape) on the CPU."""
    flat = samples.flatten(1).double()
    squares = (flat - flat.mean(0)).square().sum(1) * len(flat) / (len(flat) - 1)
    found = {
        "variance": bootstrap((squares / real_trace(model.card.data, label)).tolist()),
        "clipped": float((samples.abs() > 1 + BEYOND).double().mean()),
    }
    reader = model.reader()
    if reader is None:
        return Quality(accuracy=None, probability=None, **found)
    with torch.no_grad():
        features = reader.features(samples.clamp(-1, 1))
        read = reader.logits(features).softmax(1)
    own = model.card.labels.index(label)
    return Quality(
        accuracy=rate(int((read.argmax(1) == own).sum()), len(samples)),
        probability=float(read[:, own].mean()),
        **found,
        **_beside_real(model, label, features),
    )


def _beside_real(model: Model, label: str, features: Tensor) -> dict[str, Any]:
    """The fields of Quality that compare features (n, d) with real ones."""
    key = (model.card.data, label, model.reader())
    real = real_pictures(*key)
    m = min(len(features), len(real.features) // 2)
    ours, theirs, mean = features[:m], real.features[:m], real.features.mean(0)
    found: dict[str, Any] = {"vendi": vendi(ours - mean), "vendi_real": vendi(theirs - mean)}
    if m > NEIGHBOURS:
        found["precision"], found["recall"] = precision_recall(theirs, ours)
    if m >= FEWEST:
        ours, theirs = real.plane(ours), real.plane(theirs)
        found["frechet"] = jackknife(m, lambda places: frechet_distance(ours[places], theirs[places]))
        found["frechet_floor"] = _floor(*key, m)
    factors = model.factor_reader()
    if factors is not None:
        found["factors"] = _marginals(factors, features, real.features)
    return found


@lru_cache(64)
def _floor(data: str, label: str, reader: nn.Module, m: int) -> Estimate:
    """The Frechet distance between disjoint sets of m real pictures."""
    real = real_pictures(data, label, reader)
    points, generator, found = real.plane(real.features), torch.Generator().manual_seed(0), []
    for _ in range(FLOORS):
        order = torch.randperm(len(points), generator=generator)
        found.append(frechet_distance(points[order[:m]], points[order[m : 2 * m]]))
    low, high = np.quantile(found, [0.025, 0.975])
    return Estimate(float(np.mean(found)), float(low), float(high), m)


def _marginals(reader: FactorRegressor, features: Tensor, real: Tensor) -> tuple[tuple[str, float], ...]:
    """For each factor the distance between what is read from features (n, d) and from real ones (N, d)."""
    from scipy.stats import wasserstein_distance

    with torch.no_grad():
        columns = [(reader.read(one)[0] / reader.std).T.numpy() for one in (features, real)]
    pairs = zip(avatars.FACTOR_NAMES, *columns, strict=True)
    return tuple((name, float(wasserstein_distance(ours, theirs))) for name, ours, theirs in pairs)


@lru_cache(32)
@torch.no_grad()
def real_pictures(data: str, label: str, reader: nn.Module) -> Real:
    """Of a class, as the reader sees them. Cached."""
    own = LABELS[data].index(label)
    if data == "digits":
        pictures, labels = digits.split("test")
        order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))
        pictures = pictures[order][labels[order] == own]  # they come writer by writer
    else:
        pictures = drawn(range(REAL_SEEDS, REAL_SEEDS + REAL), [own] * REAL)
    centre, axes = _components(data, reader)
    return Real(_features(reader, pictures), centre, axes)


@lru_cache(4)
@torch.no_grad()
def _components(data: str, reader: nn.Module) -> tuple[Tensor, Tensor]:
    """The mean (d,) and the leading principal components (d, 6) of the features of real pictures of all classes, float64."""
    if data == "digits":
        pictures, _ = digits.split("test")
    else:
        n = EACH * len(LABELS[data])
        pictures = drawn(range(REAL_SEEDS - n, REAL_SEEDS), [i % len(LABELS[data]) for i in range(n)])
    features = _features(reader, pictures).double()
    axes = torch.linalg.eigh(features.mT.cov()).eigenvectors.flip(1)[:, :COMPONENTS]
    return features.mean(0), axes


def _features(reader: nn.Module, pictures: Tensor) -> Tensor:
    return torch.cat([reader.features(some) for some in pictures.split(100)])


def drawn(seeds: Sequence[int], labels: Sequence[int]) -> Tensor:
    """Faces (n, 3, 64, 64)."""
    return torch.cat([avatars.render(some) for some in avatars.sample(seeds, labels).factors.split(50)])


@lru_cache(16)
def real_trace(data: str, label: str) -> float:
    """Trace of the covariance of real pictures of a class: digits that the network was trained on, or new drawn faces."""
    own = LABELS[data].index(label)
    if data == "digits":
        pictures, labels = digits.split("train")
        pictures = pictures[labels == own]
    else:
        pictures = drawn(range(REAL_SEEDS, REAL_SEEDS + REAL), [own] * REAL)
    return float(pictures.flatten(1).double().var(0).sum())


def seen(pictures: Tensor) -> Tensor:
    """On the CPU, finite."""
    return pictures.float().nan_to_num(0.0, CUT, -CUT).clamp(-CUT, CUT).cpu()
