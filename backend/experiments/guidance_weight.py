"""What a weight over the noise level will do, before anything is sampled: by the linear model, a class and all data as Gaussians.

What the very sampler returns is known exactly there, on its grid and with its steps: every step, or the whole way, is an affine map
of a Gaussian (`backend.guidance.theory.moments`). Nothing of it is random. Networks and mixtures of several modes are not linear;
for them it says what Gaussians of the same means and covariances would do.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser, given
from backend.denoiser.combine import Guided
from backend.experiments import guidance_dimension, guidance_mixture, guide
from backend.experiments.guidance_dimension import GuideHighDimension
from backend.experiments.guidance_mixture import GuideMixture
from backend.experiments.guidance_sampling import Ends, check_weight, idle_weight, times_of, unused, weight_of
from backend.experiments.guidance_theory import (
    CONDITION,
    STEP,
    GaussianGuidance,
    GaussianSetting,
    GuideGaussian,
    ends_of,
)
from backend.guidance import mixtures, theory
from backend.guidance.class_statistics import LABELS
from backend.guidance.mixtures import Modes
from backend.guidance.readouts import SHOWN
from backend.guidance.terms import NAMES, Pair, PairDenoiser, gaussian, term
from backend.guidance.theory import Moments
from backend.guidance.weights import NoiseWeight
from backend.request import Request, option, require
from backend.sampling import dpm_solver, last
from backend.schedule import Schedule, noise_level

LEVELS = 121  # of the drawn weight, and two at each knot
SIDE = 1e-9  # of a level: from one side of a jump to the other
SAME = 1e-9  # relative to the class: nearer means are one, and nearer variances


@dataclass(frozen=True)
class Prediction:
    """A weight, and what it does to a Gaussian class.

    level, weight (L,) float64: gamma over noise levels that rise from low to high, both sides of every jump among them.
    low, high: the grid's last noise level above 0, and its first. area: of the weight over the log noise level between them.
    kernel_variance, kernel_mean (at most 4, L) float64: where a weight acts on the variance and the mean of the class's leading
        modes, per log l (backend.guidance.theory).
    shift: how far the mean moves from where it is without guidance, over |mu_c - mu_u|; None where the means agree.
    variance, variance_plain: total variance over the class's own, with guidance and without.
    unstable: a sentence about steps that are too long; idle: those about settings that change nothing; note: one about what is
        left out; "" for none.
    """

    level: Tensor
    weight: Tensor
    low: float
    high: float
    area: float
    kernel_variance: Tensor
    kernel_mean: Tensor
    shift: float | None
    variance: float
    variance_plain: float
    unstable: str = ""
    idle: str = ""
    note: str = ""


@dataclass(frozen=True)
class PredictGuidance(GaussianSetting):
    """The mean and the variance of guided samples of a Gaussian class, exactly, and the weight's area; nothing is sampled.

    Li, Wang and Qu (https://arxiv.org/abs/2505.19210). Settings as in GuideGaussian, or those of GuideNetwork with its grid and its
    solvers, where the drawn faces and digits are taken for the Gaussians that the network's linear model is.
    """

    sampler: Literal["gaussians", "network"] = option("gaussians", "the sampler")

    def check(self) -> None:
        if self.sampler == "gaussians":
            super().check()
            return
        require(self.data in LABELS, "There is no network of the sliders' data.")
        known = ", ".join(LABELS[self.data])
        require(self.label in LABELS[self.data], f"There is no such class; the classes are {known}.")
        require(self.solver != "ddim", "The network's solvers are ode and sde.")
        require(self.method == "cfg", "The network's guidance starts from the class: its method is cfg.")
        require(self.weight != "switch", "The network's weights have no switch.")
        check_weight(self, guide.ENDS)
        require(3 <= self.steps <= 200, "Ask for 3 to 200 steps.")

    def seconds(self) -> float:
        return 5.0

    def run(self, model: None) -> Iterator[Any]:
        stats = self.statistics()
        if self.sampler == "network":
            ends, weight = guide.ENDS, weight_of(self, guide.ENDS)
            step = "dpm" if self.solver == "ode" else "ancestral"
        else:
            ends, weight, step = ends_of(self.data), self.weights(stats), STEP[self.solver]
        way = Way(self.sampler, ends, self.steps, step)
        names = tuple(name for name in NAMES if getattr(self, name))
        levels = noise_level(*way.grid)[:-1]
        found = _prediction(stats.pair, weight, way, names, self.method)
        unstable = "" if self.sampler == "network" else self.unstable(stats, levels, weight(levels))
        yield replace(found, unstable=unstable, idle=" ".join(self._idle(weight(levels))))

    def _idle(self, at_steps: Tensor) -> list[str]:
        if not (self.mean_shift or self.positive or self.negative):
            return ["Nothing is guided, because all three parts are switched off.", *unused(self)]
        return idle_weight(self, at_steps)


@dataclass(frozen=True)
class Way:
    """A grid of noise levels and how it is walked. ends: its last noise level above 0, and its noisiest, where x is all noise."""

    sampler: Literal["gaussians", "network"]
    ends: Ends
    steps: int
    step: Literal["heun", "ddim", "ancestral", "dpm"]

    @property
    def grid(self) -> tuple[Schedule, Tensor]:
        """The schedule, and steps + 1 times."""
        if self.sampler == "gaussians":
            return times_of(self.ends, self.steps)
        return _network(), guide.grid(_network(), self.steps)

    @property
    def deviation(self) -> float:
        """Of the start."""
        return self.ends[1] if self.sampler == "gaussians" else 1.0


def predict(request: PredictGuidance) -> Prediction:
    """At once."""
    *_, found = request.run(None)
    return found


def of_mixture(request: GuideMixture) -> Prediction:
    """For a class of the plane, by Gaussians with the mean and covariance of the class and of what guidance takes for all data."""
    classes = request.classes()
    pair = _matched(classes.own(request.label), classes.unconditional)
    return _of_mixtures(request, pair, request.weights(), guidance_mixture.ENDS)


def of_dimension(request: GuideHighDimension) -> Prediction:
    """For the first class in the first of the dimensions, likewise."""
    d = request.dimensions[0]
    K, _ = mixtures.number(request.classes, d, request.rate, request.power)
    classes = mixtures.sphere(d, K, request.variance, request.seed)
    pair = _matched(classes.own(0), classes.unconditional)
    return _of_mixtures(request, pair, request.weights(d, K), guidance_dimension.ends_of(d))


def _of_mixtures(request: Request, pair: Pair, weight: NoiseWeight, ends: Ends) -> Prediction:
    way = Way("gaussians", ends, request.steps, STEP[request.solver])
    levels = noise_level(*way.grid)[:-1]
    return replace(_prediction(pair, weight, way), idle=" ".join(idle_weight(request, weight(levels))))


def _matched(own: Modes, everything: Modes) -> Pair:
    """Two Gaussians of the means and the covariances of two mixtures."""
    both = []
    for modes in (own, everything):
        within = (modes.weights @ modes.variances) * torch.eye(len(modes.mean), dtype=torch.float64)
        both.append(gaussian(modes.mean, modes.between + within))
    conditional, unconditional = both
    if conditional.variances[0] - conditional.variances[-1] < SAME * conditional.variances[0]:
        # Any vectors are a round class's own; along those of all data the two commute, and kernels mean something.
        conditional = replace(conditional, vectors=unconditional.vectors)
    return Pair(conditional, unconditional)


def moments(denoiser: Denoiser, times: Tensor, way: Way) -> Moments:
    """Exact mean and covariance of what a sampler returns, at the end and, but for "dpm", at every time.

    DPM-Solver++ looks back a step, so that no step of it is a map of x alone. But nothing in it is random: the whole way is an
    affine map M x + m, which the origin and the d unit vectors give, and its covariance is deviation^2 M M^T.
    """
    if way.step != "dpm":
        return theory.moments(denoiser, times, way.step, way.deviation)
    (d,) = denoiser.shape
    x = torch.eye(d + 1, d, dtype=torch.float64)  # the last is the origin
    found = last(dpm_solver.solve(denoiser, x, times))
    matrix, offset = (found[:d] - found[d]).mT, found[d]
    return Moments(offset[None], (way.deviation**2 * matrix @ matrix.mT)[None])


def of_run(request: GuideGaussian, run: GaussianGuidance) -> Prediction:
    """What a run on Gaussians has found already, as `PredictGuidance` tells it, without sentences, which the run has too."""
    stats, modes = request.statistics(), run.modes
    weight, ends = request.weights(stats), ends_of(request.data)
    moved = float((modes.predicted.mean - modes.predicted_plain.mean).norm())
    totals = [float(mode.variance.sum()) for mode in (modes.predicted, modes.predicted_plain)]
    return _told(stats.pair, weight, ends, moved, *totals)


def _prediction(
    pair: Pair, weight: NoiseWeight, way: Way, names: tuple[str, ...] = NAMES, method: str = "cfg"
) -> Prediction:
    """Without sentences."""
    schedule, times = way.grid
    denoiser = Guided(PairDenoiser(pair, schedule), [term(pair, schedule, names)], [weight])
    found, plain = moments(given(denoiser, **CONDITION[method]), times, way), _plain(pair, way, method)
    moved = float((found.mean[-1] - plain.mean[-1]).norm())
    totals = [float(one.covariance[-1].trace()) for one in (found, plain)]
    return _told(pair, weight, way.ends, moved, *totals)


def _told(
    pair: Pair, weight: NoiseWeight, ends: Ends, moved: float, total: float, total_plain: float
) -> Prediction:
    """moved: how far the mean does. total, total_plain: variance, with guidance and without."""
    own, level = pair.conditional, _levels(weight, ends)
    leading = own.vectors[:, :SHOWN]
    variance_u = (leading * (pair.unconditional.covariance @ leading)).sum(0)
    kernel_variance, kernel_mean = theory.kernels(own.variances[:SHOWN], variance_u, level)
    everything, apart = float(own.variances.sum()), float(pair.difference.norm())
    return Prediction(
        level=level,
        weight=weight(level),
        low=ends[0],
        high=ends[1],
        area=weight.area(*ends),
        kernel_variance=kernel_variance,
        kernel_mean=kernel_mean,
        shift=moved / apart if apart > SAME * math.sqrt(everything) else None,
        variance=total / everything,
        variance_plain=total_plain / everything,
    )


@lru_cache(8)
def _plain(pair: Pair, way: Way, method: str) -> Moments:
    """gamma = 0, which no change of the weight alters."""
    schedule, times = way.grid
    return moments(given(PairDenoiser(pair, schedule), **CONDITION[method]), times, way)


def _levels(weight: NoiseWeight, ends: Ends) -> Tensor:
    """Noise levels between the ends at which straight lines in log l draw the weight, jumps included."""
    grid = torch.logspace(*(math.log10(end) for end in ends), LEVELS, dtype=torch.float64)
    grid[0], grid[-1] = ends
    knots = torch.tensor([knot for knot in weight.knots if ends[0] < knot < ends[1]], dtype=torch.float64)
    return torch.cat([grid, knots, knots * (1 + SIDE)]).unique()


@lru_cache(1)
def _network() -> Schedule:
    """That of the embedded networks, without loading one."""
    from backend.schedule import from_scheduler_config
    from backend.training.recipes import SCHEDULER

    return from_scheduler_config(SCHEDULER)
