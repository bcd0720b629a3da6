"""The spectrum tab: the intrinsic dimension of the data, which the rank of the Jacobian is compared with."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from backend.data import avatars, digits, patches, small_faces
from backend.generalization.intrinsic_dimension import (
    FEWEST,
    distinct,
    local_pca,
    maximum_likelihood,
    rotated,
    two_nn,
)
from backend.metrics.intervals import Estimate
from backend.request import Progress, Request, option, require

MOST = 2000  # pictures: more drawn faces take long
LARGEST_K = 100  # neighbours: a neighbourhood of more is hardly local


@dataclass(frozen=True)
class Dimensions:
    """The dimension of n distinct pictures of d values each, by three estimators, and the number of known factors.

    factors: continuous ones, 0 where unknown. Avatars have one more, the expression, which is discrete; given it, the wink
    does not vary but in one of six, nor the opacity of glasses where there are none (half the faces). The estimates are well
    below them, as of any 1,000 points in so many dimensions: uniform in a cube of 26 dimensions, they are given 17 or 18.
    """

    two_nn: Estimate
    maximum_likelihood: Estimate
    local_pca: Estimate
    n: int
    d: int
    factors: int


@dataclass(frozen=True)
class EstimateDimension(Request):
    """The intrinsic dimension of a data set in pixel space, all of its pictures or the first n."""

    data: Literal["avatars", "digits", "patches", "small_faces"] = option("avatars", "the data")
    n: int = option(1000, "the number of pictures")
    neighbours: int = option(20, "the number of neighbours")

    def check(self) -> None:
        require(50 <= self.n <= MOST, f"Ask for 50 to {MOST:,} pictures.")
        require(2 <= self.neighbours <= LARGEST_K, f"Ask for 2 to {LARGEST_K} neighbours.")
        require(self.neighbours < self.n, "There must be more pictures than neighbours.")

    def run(self, model: None) -> Iterator[Any]:
        yield Progress(0, 3, "estimates of the dimension")
        pictures = distinct(_pictures(self.data, self.n).flatten(1))
        enough = len(pictures) >= max(FEWEST, self.neighbours + 1)
        require(enough, f"There are only {len(pictures)} distinct pictures; ask for fewer neighbours.")
        x = rotated(pictures)
        found = []
        for estimate in (two_nn, self._likelihood, self._pca):
            found.append(estimate(x))
            yield Progress(len(found), 3, "estimates of the dimension")
        factors = len(avatars.FACTORS) if self.data == "avatars" else 0
        yield Dimensions(*found, n=len(pictures), d=pictures.shape[1], factors=factors)

    def _likelihood(self, x: Tensor) -> Estimate:
        return maximum_likelihood(x, self.neighbours)

    def _pca(self, x: Tensor) -> Estimate:
        return local_pca(x, self.neighbours)


def _pictures(data: str, n: int) -> Tensor:
    """n pictures, or all that there are, (n, C, H, W)."""
    if data == "avatars":
        return avatars.render(avatars.sample(range(n)).factors)
    if data == "digits":
        return digits.split("train")[0][:n]
    if data == "patches":
        return patches.sample(range(n))
    return torch.cat([small_faces.split("train"), small_faces.split("test")])[:n]
