"""The guidance tab in many dimensions: what guidance distorts as dimensions and classes become many, by exact mixtures."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor

from backend.experiments.guidance_sampling import (
    CLEANEST,
    check_sampler,
    check_weight,
    guided_by,
    idle_weight,
    times_of,
    walk,
    weight_of,
)
from backend.guidance import mixtures, stages, weights
from backend.guidance.mixtures import Distortion
from backend.guidance.stages import Potential
from backend.guidance.weights import NoiseWeight
from backend.request import Progress, Request, option, require
from backend.schedule import noise_level

FAR = 40.0  # the noisiest level over |m| = sqrt(d) in many dimensions
DEAREST = 3e9  # samples times steps times classes times dimensions: half a minute


@dataclass(frozen=True)
class HighDimension:
    """N runs, one for each dimension.

    dimensions, classes, capped (N,): d, K, and whether K is less than was asked for.
    guided, guided_error, plain, plain_error: of (N,) values, with guidance and without, and standard errors.
    predicted_overshoot, predicted_variance (N,): for large d, the variance over v in every direction; NaN for two classes.
    transition (N,): the noise level at which classes part: l^2 = |m|^2 - v for two, l_K for many; NaN where they never do.
    guided_transition (N,): that of many classes for guided samples, 0 where they never do.
    potential: for two classes. idle: sentences about settings that change nothing; note: one about too many classes.
    """

    dimensions: Tensor
    classes: Tensor
    capped: Tensor
    guided: Distortion
    guided_error: Distortion
    plain: Distortion
    plain_error: Distortion
    predicted_overshoot: Tensor
    predicted_variance: Tensor
    transition: Tensor
    guided_transition: Tensor
    potential: Potential | None
    idle: str
    note: str


@dataclass(frozen=True)
class GuideHighDimension(Request):
    """How far guided samples are from their class in d dimensions, with |m| = sqrt(d), for two, e^(a d) or d^p classes.

    After Ventura et al. (https://arxiv.org/abs/2602.00716) and Pavasovic et al. (https://arxiv.org/abs/2502.07849). Classes are
    cut to 1,000. Samples are of all classes in turn.
    """

    dimensions: tuple[int, ...] = option((4, 8, 16, 24), "the dimensions d")
    classes: Literal["two", "exponential", "polynomial"] = option("exponential", "the number of classes")
    rate: float = option(0.25, "the rate a of e^(a d)")
    power: float = option(1.0, "the power p of d^p")
    variance: float = option(0.25, "the variance of a class")
    gamma: float = option(2.0, "the guidance weight gamma")
    weight: Literal["constant", "interval", "triangle", "early", "late", "linear", "switch", "curve"] = (
        option("constant", "the weight over the noise level")
    )
    low: float = option(0.5, "the window's low end")
    high: float = option(10.0, "the window's high end")
    end: float = option(-1.0, "the linear weight at the window's low end")
    curve: tuple[float, ...] = option((), "the curve")
    equal_area: bool = option(False, "the equal area")
    solver: Literal["ode", "sde"] = option("ode", "the solver")
    steps: int = option(60, "the number of steps")
    samples: int = option(200, "the number of samples")
    seed: int = option(0, "the seed")

    def check(self) -> None:
        require(1 <= len(self.dimensions) <= 12, "Ask for 1 to 12 dimensions.")
        require(all(2 <= d <= 256 for d in self.dimensions), "Every dimension must be between 2 and 256.")
        require(0.01 <= self.rate <= 2, "The rate a must be between 0.01 and 2.")
        require(0.1 <= self.power <= 4, "The power p must be between 0.1 and 4.")
        require(0.01 <= self.variance <= 1, "The variance of a class must be between 0.01 and 1.")
        check_weight(self, ends_of(max(self.dimensions)))
        check_sampler(self)
        many = self.classes != "two" or self.weight != "switch"
        require(
            many, "The switch needs many classes, because two have no variance to keep but along one axis."
        )
        require(20 <= self.samples <= 2000, "Ask for 20 to 2,000 samples; errors of fewer say nothing.")
        cost = sum(K * d for d, (K, _) in zip(self.dimensions, self._numbers(), strict=True))
        cheap = cost * self.samples * self.steps <= DEAREST
        require(cheap, "This takes too long; ask for fewer samples, steps, dimensions or classes.")

    def seconds(self) -> float:
        return 60.0

    def run(self, model: None) -> Iterator[Any]:
        rows, predicted, transition = [], [], []
        done, total = 0, 2 * (self.steps + 1) * len(self.dimensions)
        for d, (K, _) in zip(self.dimensions, self._numbers(), strict=True):
            classes, noisiest = mixtures.sphere(d, K, self.variance, self.seed), FAR * math.sqrt(d)
            schedule, times = times_of(ends_of(d), self.steps)
            weight, labels = self.weights(d, K), torch.arange(self.samples) % K
            denoiser, row = classes.every(schedule), []
            for gamma in (weights.constant(0.0), weight):
                seeds = range(self.seed, self.seed + self.samples)
                for x in walk(guided_by(denoiser, gamma, labels), times, self.solver, seeds, noisiest):
                    end, done = x, done + 1
                    yield Progress(done, total, "states")
                row += mixtures.distortion(end, labels, classes)
            rows.append(row)
            predicted.append(self._predicted(d, K, weight))
            level = stages.condensation_level(K, d, self.variance)
            if self.classes == "two":
                level = stages.speciation_level(2 * math.sqrt(d), self.variance)
            transition.append(math.nan if level is None else level)
        predicted = torch.tensor(predicted, dtype=torch.float64)
        plain, plain_error, guided, guided_error = map(_stacked, zip(*rows, strict=True))
        K, capped = zip(*self._numbers(), strict=True)
        yield HighDimension(
            dimensions=torch.tensor(self.dimensions),
            classes=torch.tensor(K),
            capped=torch.tensor(capped),
            guided=guided,
            guided_error=guided_error,
            plain=plain,
            plain_error=plain_error,
            predicted_overshoot=predicted[:, 0],
            predicted_variance=predicted[:, 1],
            transition=torch.tensor(transition, dtype=torch.float64),
            guided_transition=predicted[:, 2],
            potential=stages.potentials(self.gamma) if self.classes == "two" else None,
            idle=self._idle(),
            note=self._note(),
        )

    def weights(self, d: int, K: int) -> NoiseWeight:
        """gamma over the noise level; the switch is that of many classes. Raises BadInput."""
        if self.weight == "switch":
            return stages.restoring_switch(K, d, self.variance, self.gamma)
        return weight_of(self, ends_of(d))

    def _predicted(self, d: int, K: int, weight: NoiseWeight) -> tuple[float, float, float]:
        if self.classes == "two":
            return math.nan, math.nan, math.nan
        found = stages.many_classes(K, d, self.variance, weight, self.solver == "sde")
        return found.overshoot, found.variance / self.variance, found.level

    def _numbers(self) -> list[tuple[int, bool]]:
        return [mixtures.number(self.classes, d, self.rate, self.power) for d in self.dimensions]

    def _note(self) -> str:
        cut = [str(d) for d, (_, capped) in zip(self.dimensions, self._numbers(), strict=True) if capped]
        if not cut:
            return ""
        return f"The number of classes is cut to 2 to {mixtures.LARGEST_K:,}, which changes it for d = {', '.join(cut)}."

    def _idle(self) -> str:
        cls, d, K = type(self), self.dimensions[0], self._numbers()[0][0]
        schedule, times = times_of(ends_of(d), self.steps)
        found = idle_weight(self, self.weights(d, K)(noise_level(schedule, times[:-1])))
        if self.classes != "exponential" and self.rate != cls.rate:
            found.append("The rate changes nothing, because the number of classes is not exponential.")
        if self.classes != "polynomial" and self.power != cls.power:
            found.append("The power changes nothing, because the number of classes is not polynomial.")
        return " ".join(found)


def ends_of(d: int) -> tuple[float, float]:
    """The grid's last noise level above 0, and its first."""
    return CLEANEST, FAR * math.sqrt(d)


def _stacked(values: tuple[Distortion, ...]) -> Distortion:
    return Distortion(*(torch.stack([getattr(v, f.name) for v in values]) for f in fields(Distortion)))
