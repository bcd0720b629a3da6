"""The guidance tab where everything is known and nothing is linear: an exact mixture of Gaussians in the plane.

One class of a strong and a weak mode stands among classes on a grid; D_c + gamma(l) (D_c - D_u) is sampled beside gamma = 0 from
the same noises (backend.guidance.mixtures). Many dimensions are in `guidance_dimension`.

alpha is 1, so that sigma is the noise level; it falls in equal ratios and then to 0. The ODE is followed by Heun's method, the SDE
by ancestral steps. The solver's own error is in the runs without guidance, which stand beside the others for that reason: ancestral
steps lose variance in all directions.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
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
from backend.guidance import mixtures, stages, theory, weights
from backend.guidance.mixtures import Classes, MixtureDenoiser
from backend.guidance.stages import Stages
from backend.guidance.weights import NoiseWeight
from backend.metrics.intervals import Estimate, bootstrap, rate
from backend.request import Progress, Request, option, require
from backend.schedule import VESchedule, noise_level

NOISIEST = 80.0  # noise level in the plane
ENDS = (CLEANEST, NOISIEST)
PORTRAIT = (8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.125, 0.0625)  # noise levels
SIDE = 21  # points along a side of the portrait
STILL = 1e-3  # of a mode's deviation: a sample that moved less did not move


@dataclass(frozen=True)
class Portrait:
    """Fields at L noise levels on P = 21 x 21 points of the plane, in rows; float32.

    levels (L,), points (P, 2). conditional, unconditional (L, P, 2): D_c and D_u. mean_shift, positive, negative (L, P, 2): the
    parts of D_c - D_u, whose sum it is; where all modes have one variance all of it is mean shift. divergence (L, P): of D_c - D_u,
    negative where guidance draws neighbours together.
    """

    levels: Tensor
    points: Tensor
    conditional: Tensor
    unconditional: Tensor
    mean_shift: Tensor
    positive: Tensor
    negative: Tensor
    divergence: Tensor


@dataclass(frozen=True)
class Paths:
    """S samples at n + 1 noise levels.

    x (S, n + 1, 2) float32; responsibilities (S, n + 1, M) float32: of the class's own modes there.
    weak: share that ends in the class's second mode, None where it has one. own: share whose most probable mode, among those
    of all classes, is the class's. within: variance within modes over the true one. All three with intervals.
    norm (n + 1,): mean |x|. mean (n + 1, 2): of x. stages: of these samples.
    """

    x: Tensor
    responsibilities: Tensor
    weak: Estimate | None
    own: Estimate
    within: Estimate
    norm: Tensor
    mean: Tensor
    stages: Stages


@dataclass(frozen=True)
class MixtureGuidance:
    """guided: with guidance; plain: gamma = 0 from the same noises.

    levels, weight (n + 1,): noise levels, and gamma there. area: of the weight over the log noise level.
    means (K, 2), masses (K,), owner (K,): modes of all classes, and the class of each. own (M,): indices of the class's modes.
    classes: how many. unconditional_variance: per axis, of what guidance takes for all data.
    unstable: a sentence about steps that are too long; idle: those about settings that change nothing; "" for none.
    """

    guided: Paths
    plain: Paths
    portrait: Portrait
    levels: Tensor
    weight: Tensor
    area: float
    means: Tensor
    masses: Tensor
    owner: Tensor
    own: Tensor
    classes: int
    unconditional_variance: float
    unstable: str
    idle: str


@dataclass(frozen=True)
class GuideMixture(Request):
    """Guidance of one class of an exact mixture in the plane: which mode it loses, and what it narrows.

    After Jin, Shi and Gu (https://arxiv.org/abs/2509.22007). The window is for interval, triangle, early, late and linear weights.
    """

    spacing: float = option(1.5, "the grid's spacing")
    side: int = option(3, "the number of the grid's sites along a side")
    distance: float = option(3.0, "the distance of the class's modes")
    weak: float = option(0.25, "the weight of the weak mode")
    variance: float = option(0.09, "the variance of a mode")
    unconditional: Literal["mixture", "broad"] = option("mixture", "the unconditional model")
    label: int = option(0, "the class")
    gamma: float = option(4.0, "the guidance weight gamma")
    weight: Literal["constant", "interval", "triangle", "early", "late", "linear", "switch", "curve"] = (
        option("constant", "the weight over the noise level")
    )
    low: float = option(0.1, "the window's low end")
    high: float = option(10.0, "the window's high end")
    end: float = option(-0.5, "the linear weight at the window's low end")
    curve: tuple[float, ...] = option((), "the curve")  # noise level, gamma, noise level, gamma, ...
    equal_area: bool = option(False, "the equal area")  # that of the constant gamma
    solver: Literal["ode", "sde"] = option("ode", "the solver")
    steps: int = option(64, "the number of steps")
    samples: int = option(500, "the number of samples")
    seed: int = option(0, "the seed")

    def check(self) -> None:
        require(0.25 <= self.spacing <= 4, "The grid's spacing must be between 0.25 and 4.")
        require(2 <= self.side <= 9, "The grid must have 2 to 9 sites along a side.")
        far = self.spacing * (self.side - 1) / 2 <= 8
        require(far, "The grid reaches too far; ask for fewer sites or a smaller spacing.")
        require(0 <= self.distance <= 8, "The distance of the class's modes must be between 0 and 8.")
        require(0 <= self.weak <= 0.5, "The weight of the weak mode must be between 0 and 0.5.")
        apart = self.weak == 0 or self.distance > 0
        require(apart, "Two modes need a distance above 0; for one mode set the weight of the weak one to 0.")
        require(0.01 <= self.variance <= 1, "The variance of a mode must be between 0.01 and 1.")
        count = self.classes().count
        require(0 <= self.label < count, f"There is no such class; the classes are 0 to {count - 1}.")
        check_weight(self, ENDS)
        check_sampler(self)
        require(20 <= self.samples <= 2000, "Ask for 20 to 2,000 samples; shares of fewer say nothing.")

    def seconds(self) -> float:
        return 15.0

    def run(self, model: None) -> Iterator[Any]:
        classes, (schedule, times) = self.classes(), times_of(ENDS, self.steps)
        denoiser, weight = classes.given(schedule, self.label), self.weights()
        seeds = range(self.seed, self.seed + self.samples)
        done, total, walks = 0, 2 * (self.steps + 1), []
        for gamma in (weights.constant(0.0), weight):
            states = []
            for x in walk(guided_by(denoiser, gamma, 0), times, self.solver, seeds, NOISIEST):
                states.append(x)
                done += 1
                yield Progress(done, total, "states")
            walks.append(torch.stack(states, 1))
        plain, guided = walks
        levels = noise_level(schedule, times)
        yield MixtureGuidance(
            guided=self._paths(classes, denoiser, guided, times),
            plain=self._paths(classes, denoiser, plain, times),
            portrait=_portrait(denoiser, schedule, classes, self.variance),
            levels=levels,
            weight=weight(levels),
            area=weight.area(*ENDS),
            means=classes.modes.means,
            masses=classes.modes.weights,
            owner=classes.owner,
            own=(classes.owner == self.label).nonzero()[:, 0],
            classes=classes.count,
            unconditional_variance=classes.unconditional.variance,
            unstable=self._unstable(classes, weight, levels[:-1]),
            idle=self._idle(weight, levels[:-1], guided, plain),
        )

    def classes(self) -> Classes:
        modes = (self.spacing, self.side, self.distance, self.weak, self.variance)
        return mixtures.grid(*modes, self.unconditional)

    def weights(self) -> NoiseWeight:
        """gamma over the noise level. Raises BadInput."""
        if self.weight == "switch":
            return weights.switch(self.gamma, self.variance, self.classes().unconditional.variance)
        return weight_of(self, ENDS)

    def _paths(self, classes: Classes, denoiser: MixtureDenoiser, x: Tensor, times: Tensor) -> Paths:
        own = classes.own(self.label)
        r = denoiser.own.responsibilities(x, times.expand(len(x), -1))
        end, mode = x[:, -1], r[:, -1].argmax(-1)
        nearest = classes.modes.at(denoiser.schedule).responsibilities(end, 0.0).argmax(-1)
        off = torch.empty_like(end)
        for k in mode.unique():
            off[mode == k] = end[mode == k] - end[mode == k].mean(0)
        freedom = (len(end) - len(mode.unique())) / len(end)
        return Paths(
            x=x.float(),
            responsibilities=r.float(),
            weak=rate(int((mode == 1).sum()), len(mode)) if len(own.weights) > 1 else None,
            own=rate(int((classes.owner[nearest] == self.label).sum()), len(mode)),
            within=bootstrap((off.square().mean(1) / (freedom * self.variance)).tolist()),
            norm=x.norm(dim=-1).mean(0),
            mean=x.mean(0),
            stages=stages.stages(own, noise_level(denoiser.schedule, times), r),
        )

    def _unstable(self, classes: Classes, weight: NoiseWeight, levels: Tensor) -> str:
        """With modes of one variance the difference is bounded and cannot grow; with a broad Gaussian it pulls as in terms."""
        if self.unconditional == "mixture":
            return ""
        square, broad = levels**2, classes.unconditional.variance
        pull = broad / (broad + square) - self.variance / (self.variance + square)
        worst = max(1.0, float((1 + weight(levels) * pull).max()))
        least = theory.steps_needed(
            worst, NOISIEST / CLEANEST, {"ode": "heun", "sde": "ancestral"}[self.solver]
        )
        if self.steps >= least:
            return ""
        return f"The steps are too long for this weight, so that samples overshoot. It takes {least} steps."

    def _idle(self, weight: NoiseWeight, levels: Tensor, guided: Tensor, plain: Tensor) -> str:
        found = idle_weight(self, weight(levels))
        moved = (guided - plain)[:, -1].abs().max()
        if not found and moved < STILL * self.variance**0.5:
            found.append(
                "Guidance moved no sample by more than a thousandth of a mode's deviation, as where every mode is "
                "already settled among those of all classes."
            )
        return " ".join(found)


def _portrait(denoiser: MixtureDenoiser, schedule: VESchedule, classes: Classes, variance: float) -> Portrait:
    reach = float(classes.modes.means.abs().max()) + 4 * math.sqrt(variance)
    line = torch.linspace(-reach, reach, SIDE, dtype=torch.float64)
    points = torch.cartesian_prod(line.flip(0), line).flip(1)  # in rows from the top
    levels, found = torch.tensor(PORTRAIT, dtype=torch.float64), []
    for t in schedule.time(-2 * levels.log()):
        own, everything = denoiser.own(points, t), denoiser.unconditional(points, t)
        spread = [mixtures.divergence(m, points, t) for m in (denoiser.own, denoiser.unconditional)]
        parts = mixtures.split(denoiser, points, t).values()
        found.append((own, everything, *parts, spread[0] - spread[1]))
    return Portrait(
        levels.float(), points.float(), *(torch.stack(a).float() for a in zip(*found, strict=True))
    )
