"""The guidance tab where everything is known: a class and all data as two Gaussians, and guidance between them, part by part.

    cfg           D_c + gamma(l) (mean shift + Pos-CPC + Neg-CPC), the parts that are switched on     (backend.guidance.terms)
    classifier    D_u + gamma(l) (the same): on Gaussians D_c - D_u is sigma^2 / alpha grad log p(c | x_t), so that this is
                  classifier guidance proper (https://arxiv.org/abs/2105.05233), and with all parts CFG with gamma - 1

Beside either, from the same noises, its gamma = 0: the class alone ("conditional only", which the lecture calls classifier
guidance), or all data. alpha is 1, so that sigma is the noise level; it falls in equal ratios and then to 0. EDM's grid takes
longer strides at its end, where Neg-CPC guidance needs short ones (`unstable`). The ODE is followed by Heun's method or by DDIM
(Euler's), the SDE by ancestral steps. What the sampler returns is predicted exactly, its own error included: samples differ from
that by chance alone, and from the closed forms by the steps and by covariances that do not commute.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser, given
from backend.denoiser.combine import Guided
from backend.experiments.guidance_sampling import as_wide, check_weight, times_of, unused, walk, weight_of
from backend.guidance import class_statistics, readouts, theory, weights
from backend.guidance.class_statistics import LABELS, ClassStatistics
from backend.guidance.readouts import Components, Curves, ModeTable, Projections, Sampled, Trajectories
from backend.guidance.terms import NAMES, PairDenoiser, term
from backend.guidance.theory import Mode
from backend.guidance.weights import NoiseWeight
from backend.request import Progress, Request, option, require

STEP = {"ode": "heun", "ddim": "ddim", "sde": "ancestral"}
# Far above the deviations of the data, at most 2, 18 and 4.5.
NOISIEST = {"digits": 40.0, "avatars": 400.0, "sliders": 80.0}
SPAN = 4000.0  # the noisiest level over the grid's last one above 0
DIMENSIONS = {"digits": 64, "avatars": class_statistics.COMPONENTS, "sliders": 2}
PARTS = ("mean shift", "Pos-CPC", "Neg-CPC")  # in the order of NAMES
MOST = 40_000  # samples times steps
CONDITION = {"cfg": {"label": torch.tensor(0)}, "classifier": {}}


@dataclass(frozen=True)
class GaussianGuidance:
    """What guidance did to n samples in d dimensions.

    samples, plain (n, *shape) float32: with guidance, and for gamma = 0 from the same noises; cut at 1e6 either way.
    pictures, d, shrinkage: that the class's statistics are from (0 for sliders), of the Gaussians, and 0 to 1 (class_statistics).
    bound: 1 / pi_c, which components.largest_ratio cannot exceed where all data are the mixture of their classes; inf else.
    switch: sigma_s of the switch, None for other weights.
    note: a sentence about shrinkage; unstable: one about steps that are too long; idle: those about settings that change
        nothing; "" where there is nothing to say.
    """

    samples: Tensor
    plain: Tensor
    modes: ModeTable
    projections: Projections
    trajectories: Trajectories
    components: Components
    curves: Curves
    pictures: int
    d: int
    shrinkage: float
    bound: float
    switch: float | None
    note: str
    unstable: str
    idle: str


@dataclass(frozen=True)
class GaussianSetting(Request):
    """Two Gaussians, which parts of their difference are added at which weight, and the steps of a sampler.

    The window is for interval, triangle, early, late and linear weights.
    """

    data: Literal["digits", "avatars", "sliders"] = option("digits", "the data")
    label: str = option("3", "the class")
    method: Literal["cfg", "classifier"] = option("cfg", "the method")
    gamma: float = option(4.0, "the guidance weight gamma")
    mean_shift: bool = option(True, "the mean shift")
    positive: bool = option(True, "the Pos-CPC")
    negative: bool = option(True, "the Neg-CPC")
    weight: Literal["constant", "interval", "triangle", "early", "late", "linear", "switch", "curve"] = (
        option("constant", "the weight over the noise level")
    )
    low: float = option(0.1, "the window's low end")
    high: float = option(10.0, "the window's high end")
    end: float = option(-0.5, "the linear weight at the window's low end")
    mode: int = option(1, "the mode whose variance the switch keeps")
    curve: tuple[float, ...] = option((), "the curve")  # noise level, gamma, noise level, gamma, ...
    equal_area: bool = option(False, "the equal area")  # that of the constant gamma
    solver: Literal["ode", "ddim", "sde"] = option("ode", "the solver")
    steps: int = option(40, "the number of steps")
    pictures: int = option(0, "the number of pictures behind the class's statistics")  # 0 is all
    ratio: float = option(0.25, "the ratio of the variances")
    distance: float = option(2.0, "the distance of the means")
    angle: float = option(0.0, "the angle")

    def check(self) -> None:
        if self.data in LABELS:
            known = ", ".join(LABELS[self.data])
            require(self.label in LABELS[self.data], f"There is no such class; the classes are {known}.")
        check_weight(self, ends_of(self.data))
        if self.weight == "switch":
            most = DIMENSIONS[self.data]
            require(1 <= self.mode <= most, f"The mode must be one of 1 to {most}.")
        require(2 <= self.steps <= 400, "Ask for 2 to 400 steps.")
        require(0 <= self.pictures <= 1000, "Ask for statistics from 1 to 1,000 pictures, or 0 for all.")
        require(0.05 <= self.ratio <= 20, "The ratio of the variances must be between 0.05 and 20.")
        require(0 <= self.distance <= 10, "The distance of the means must be between 0 and 10.")
        require(-90 <= self.angle <= 90, "The angle must be between -90 and 90 degrees.")

    def statistics(self) -> ClassStatistics:
        """Of the class and of all data."""
        if self.data == "sliders":
            return class_statistics.of_sliders(self.ratio, self.distance, self.angle)
        return class_statistics.of_class(self.data, self.label, self.pictures)

    def weights(self, stats: ClassStatistics) -> NoiseWeight:
        """gamma over the noise level; only the switch looks at the statistics. Raises BadInput."""
        if self.weight != "switch":
            return weight_of(self, ends_of(self.data))
        variance_u, _ = readouts.modes_of(stats)
        mode = (stats.pair.conditional.variances[self.mode - 1], variance_u[self.mode - 1])
        return as_wide(self, weights.switch(self.gamma, *map(float, mode)), ends_of(self.data))

    def unstable(self, stats: ClassStatistics, levels: Tensor, at_levels: Tensor) -> str:
        """Whether steps overshoot along the directions that guidance suppresses, and how many steps would not.

        levels, at_levels (n,): where each step begins, and the weight there.
        """
        less = 1.0 if self.method == "classifier" else 0.0
        worst = 1.0
        for level, weight in zip(levels.tolist(), at_levels.tolist(), strict=True):
            values, _ = stats.pair.cpc(level)
            pull = self.negative * (weight - less) * -values[0], -self.positive * (weight - less) * values[-1]
            worst = max(worst, 1 + float(max(pull)))
        least = theory.steps_needed(worst, SPAN, STEP[self.solver])
        if self.steps >= least:
            return ""
        return (
            "The steps are too long for this weight: along directions that guidance suppresses they overshoot, and "
            f"what grows there is the solver's doing, not guidance's. It takes {least} steps."
        )


@dataclass(frozen=True)
class GuideGaussian(GaussianSetting):
    """Guidance between two Gaussians, any of its three parts, sampled beside its exact prediction.

    Li, Wang and Qu (https://arxiv.org/abs/2505.19210). The window is for interval, triangle, early, late and linear weights.
    """

    samples: int = option(64, "the number of samples")
    seed: int = option(0, "the seed")
    level: float = option(1.0, "the noise level of the CPCs")

    def check(self) -> None:
        super().check()
        require(2 <= self.samples <= 1000, "Ask for 2 to 1,000 samples.")
        require(self.samples * self.steps <= MOST, f"Samples times steps must be at most {MOST:,}.")
        require(0 <= self.seed < 2**31 - 1000, "The seed must be between 0 and 2,147,482,647.")
        require(0 < self.level <= 1000, "The noise level of the CPCs must be above 0 and at most 1,000.")

    def seconds(self) -> float:
        return 10.0

    def run(self, model: None) -> Iterator[Any]:
        yield Progress(0, 2, "stages")
        stats = self.statistics()
        weight = self.weights(stats)
        run = (self.solver, self.steps, self.samples, self.seed)
        plain = _plain(stats, self.method, self.data, *run)
        yield Progress(1, 2, "stages")
        schedule, times = times_of(ends_of(self.data), self.steps)
        guided = self.sampled(stats, weight)
        curves = readouts.curves(stats, weight, schedule, times, guided.states, ends_of(self.data))
        yield GaussianGuidance(
            samples=readouts.shown(stats.picture(guided.states[-1])),
            plain=readouts.shown(stats.picture(plain.states[-1])),
            modes=readouts.mode_table(stats, guided, plain, *self._closed_forms(stats, weight)),
            projections=readouts.projections(stats, self.level, guided, plain),
            trajectories=readouts.trajectories(stats, schedule, times, guided, plain),
            components=readouts.components(stats, self.level),
            curves=curves,
            pictures=stats.n,
            d=stats.pair.d,
            shrinkage=stats.shrinkage,
            bound=stats.bound,
            switch=weight.knots[0] if self.weight == "switch" else None,
            note=stats.note,
            unstable=self.unstable(stats, curves.steps, curves.steps_weight),
            idle=self._idle(curves, stats),
        )

    def sampled(self, stats: ClassStatistics, weight: NoiseWeight) -> Sampled:
        """Guided states and their exact moments."""
        schedule, times = times_of(ends_of(self.data), self.steps)
        names = [name for name in NAMES if getattr(self, name)]
        denoiser = Guided(PairDenoiser(stats.pair, schedule), [term(stats.pair, schedule, names)], [weight])
        run = (self.solver, self.steps, self.samples, self.seed)
        return _sample(given(denoiser, **CONDITION[self.method]), self.data, times, *run)

    def _closed_forms(self, stats: ClassStatistics, weight: NoiseWeight) -> tuple[Mode, Mode, Mode]:
        """ODE, SDE and tilted, of every mode of the class."""
        own, all_parts = stats.pair.conditional, self.mean_shift and self.positive and self.negative
        variance_u, _ = readouts.modes_of(stats)
        modes = (own.variances, variance_u, stats.pair.difference @ own.vectors)
        nothing = Mode(*2 * [torch.full_like(variance_u, torch.nan)])
        if self.method == "classifier" and not all_parts:
            return nothing, nothing, nothing  # a part of the difference on top of D_u has no mode of S_c
        less = 1.0 if self.method == "classifier" else 0.0
        cpc = torch.where(own.variances > variance_u, float(self.positive), float(self.negative))
        if self.weight == "constant":
            gamma = (self.gamma - less) * cpc, (self.gamma - less) * self.mean_shift
            return theory.ode(*modes, *gamma), theory.sde(*modes, *gamma), theory.tilted(*modes, *gamma)

        def scheduled(stochastic: bool) -> Mode:
            return theory.scheduled(
                *modes,
                lambda level: weight(level) - less,
                knots=weight.knots,
                cpc=cpc,
                shift=float(self.mean_shift),
                stochastic=stochastic,
            )

        return scheduled(False), scheduled(True), nothing

    def _idle(self, curves: Curves, stats: ClassStatistics) -> str:
        """Sentences about settings that change nothing, the weightiest first."""
        on = torch.tensor([self.mean_shift, self.positive, self.negative])
        found = []
        if self.gamma == 0 and self.weight not in ("linear", "curve"):
            found.append("Nothing is guided, because gamma is 0.")
        elif not on.any():
            found.append("Nothing is guided, because all three parts are switched off.")
        elif not curves.steps_weight.any():
            found.append("Nothing is guided, because the weight is 0 at every step of the sampler.")
        elif curves.norms[:3][on].max() <= 1e-9:
            found.append(
                "Nothing is guided, because the parts that are switched on vanish for these two Gaussians."
            )
        else:
            for name, norm, used in zip(PARTS, curves.norms[:3], on, strict=True):
                if used and norm.max() <= 1e-9:
                    found.append(f"The {name} vanishes for these two Gaussians.")
        found += unused(self)
        if stats.n == 0 and self.pictures:
            found.append("The number of pictures changes nothing, because these Gaussians are given.")
        return " ".join(found)


def ends_of(data: str) -> tuple[float, float]:
    """The grid's last noise level above 0, and its first."""
    return NOISIEST[data] / SPAN, NOISIEST[data]


@lru_cache(4)
def _plain(stats: ClassStatistics, method: str, data: str, *run: Any) -> Sampled:
    """gamma = 0, which no change of guidance alters."""
    schedule, times = times_of(ends_of(data), run[1])
    return _sample(given(PairDenoiser(stats.pair, schedule), **CONDITION[method]), data, times, *run)


def _sample(
    denoiser: Denoiser, data: str, times: Tensor, solver: str, steps: int, samples: int, seed: int
) -> Sampled:
    deviation = NOISIEST[data]
    states = list(walk(denoiser, times, solver, range(seed, seed + samples), deviation))
    return Sampled(torch.stack(states), theory.moments(denoiser, times, STEP[solver], deviation))
