"""The guidance tab's strip: the same noises at many weights, between two Gaussians."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from backend.experiments.guidance_theory import GuideGaussian
from backend.guidance import readouts
from backend.request import Progress, option, require

WEIGHTS = 12  # along the strip


@dataclass(frozen=True)
class GammaStrip:
    """At G weights.

    gamma (G,). pictures (G, n, *shape) float32: samples, from the same noises at every weight; cut at 1e6 either way.
    variance (G,): total variance of what this very sampler returns, exact, over the class's own. shift (G,): how far its mean is from
    the class's, over |mu_c - mu_u|.
    """

    gamma: Tensor
    pictures: Tensor
    variance: Tensor
    shift: Tensor


@dataclass(frozen=True)
class SweepGamma(GuideGaussian):
    """Guidance between two Gaussians at twelve weights up to gamma; settings as in GuideGaussian.

    A constant weight begins at -1, which is all data, a switch above 0, where there is something to undo, and the others at 0.
    """

    gamma: float = option(10.0, "the guidance weight gamma")
    samples: int = option(4, "the number of samples")

    def check(self) -> None:
        super().check()
        require(self.weight != "curve", "A drawn curve has no gamma that a strip could vary.")
        require(self.gamma > self._first(), f"The strip must end above {self._first():g}, where it begins.")
        require(self.samples <= 16, "Ask for 2 to 16 samples.")

    def run(self, model: None) -> Iterator[Any]:
        stats, strip = self.statistics(), []
        gammas = torch.linspace(self._first(), self.gamma, WEIGHTS, dtype=torch.float64)
        for done, gamma in enumerate(gammas.tolist()):
            yield Progress(done, WEIGHTS, "weights")
            one = replace(self, gamma=gamma)
            strip.append(one.sampled(stats, one.weights(stats)))
        own = stats.pair.conditional
        moved = torch.stack([run.moments.mean[-1] - own.mean for run in strip]).norm(dim=1)
        traces = torch.stack([run.moments.covariance[-1].trace() for run in strip])
        yield GammaStrip(
            gamma=gammas,
            pictures=readouts.shown(stats.picture(torch.stack([run.states[-1] for run in strip]))),
            variance=traces / own.variances.sum(),
            shift=moved / stats.pair.difference.norm().clamp_min(1e-12),
        )

    def _first(self) -> float:
        return {"constant": -1.0, "switch": self.gamma / WEIGHTS}.get(self.weight, 0.0)
