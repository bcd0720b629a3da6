"""The guidance tab on real networks: what classifier-free guidance adds to a U-Net, and how much of it two Gaussians explain.

    network      D_c + gamma(l) (D_c - D_u), both means by the network
    linear       D_c + gamma(l) (mean shift + Pos-CPC + Neg-CPC), the parts that are switched on: the direction of the two Gaussians
                 of the data added to the network's D_c, the ablation of Li, Wang and Qu (https://arxiv.org/abs/2505.19210)
    projected    D_c + gamma(l) (a m + b p + c n + residual), what is switched on: for each sample the multiples of the linear mean
                 shift m, Pos-CPC p and Neg-CPC n that come nearest to the network's D_c - D_u, and what they leave of it

The mode network has other rules than this one too: backend.experiments.guide_rules. Beside each stands gamma = 0 from the same
noises. The linear parts belong to a noise level l = sigma / alpha, by which the network's schedule is read too. The grid is t = 1,
then equal ratios of l from 100 to 0.02, then the picture: an even grid in t leaps over 100 to 10, where the broad directions of faces
are decided, and loses a third of their variance.

The ODE is followed by DPM-Solver++ 2M, of second order, but under CFG++ by DDIM, of first; the SDE by ancestral steps, of first. All
take one evaluation a step: one pass of the network, of n samples where nothing is guided and of 2 n, class and null together, where
something is. PAG and autoguidance take two passes of n instead, the second through a degraded network.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from backend.experiments.guidance_sampling import check_weight, unused, weight_of
from backend.experiments.guide_quality import NO_READER, Quality, quality, seen
from backend.experiments.guide_readings import Readings, readings
from backend.experiments.guide_rules import (
    CLEANEST,
    NOISIEST,
    GuideRatios,
    Way,
    grid,
    idle_rule,
    note,
    way,
)
from backend.guidance import class_statistics
from backend.guidance.class_statistics import LABELS, ClassStatistics
from backend.guidance.split import Split
from backend.guidance.weights import NoiseWeight
from backend.inference.cache import call
from backend.inference.load import Model
from backend.request import Progress, Request, option, require
from backend.sampling.noise import noise
from backend.schedule import noise_level

ENDS = (CLEANEST, NOISIEST)
MOST = 4000  # samples times steps
PICTURES = 20  # early results of a run, at most
KEPT, BYTES = 16, 16 * 2**20  # samples of which every state is kept, and what these may take
CUT = 1e4  # of what is shown: strong guidance has no bound, float16 ends at 65,504


@dataclass(frozen=True)
class Run:
    """n samples of one sampler.

    samples (n, *shape) float32, unclipped but cut at 1e4. states (steps + 1, m, *shape) float16: the guided posterior mean of every
    step, and last the sample, of the first m samples. paths (steps + 1, n, 2) float32: the same of all samples, in the plane of
    the class's two leading principal components, relative to its mean.
    evaluations: passes of the network. asked: samples in them, all together. seconds: of compute.
    """

    samples: Tensor
    states: Tensor
    paths: Tensor
    readings: Readings
    quality: Quality
    evaluations: int
    asked: int
    seconds: float


@dataclass(frozen=True)
class Underway:
    """The guided posterior means x0_hat (n, *shape) float16 after `step` of `steps` steps."""

    x0_hat: Tensor
    step: int
    steps: int


@dataclass(frozen=True)
class NetworkGuidance:
    """guided: with guidance; plain: gamma = 0 from the same noises.

    area: of the weight over the log noise level from 0.02 to 100. pictures, d: that the class's statistics are from, and their
    dimensions. chance: share of |mu_c - mu_u|^2 that so few pictures make by chance, expected.
    note: sentences about statistics and numbers that are missing; idle: those about settings that change nothing; "" for none.
    """

    guided: Run
    plain: Run
    area: float
    pictures: int
    d: int
    chance: float
    note: str
    idle: str


@dataclass(frozen=True)
class GuideNetwork(Request):
    """Classifier-free guidance of a network: whole, replaced by its linear model's, or split along that.

    Li, Wang and Qu (https://arxiv.org/abs/2505.19210). The window is for interval, triangle, early, late and linear weights.
    """

    model: Literal["avatars", "digits"] = option("avatars", "the model")
    label: str = option("happy", "the class")
    seed: int = option(0, "the seed")
    samples: int = option(16, "the number of samples")
    steps: int = option(20, "the number of steps")
    solver: Literal["ode", "sde"] = option("ode", "the solver")
    gamma: float = option(3.0, "the guidance weight gamma")
    mode: Literal["network", "linear", "projected"] = option("network", "the mode")
    rule: Literal[
        "cfg",
        "apg",
        "zero_star",
        "pag",
        "autoguidance",
        "power_law",
        "cfg_plus_plus",
        "recfg",
        "classifier",
    ] = option("cfg", "the rule")
    mean_shift: bool = option(True, "the mean shift")
    positive: bool = option(True, "the Pos-CPC")
    negative: bool = option(True, "the Neg-CPC")
    residual: bool = option(True, "the residual")
    weight: Literal["constant", "interval", "triangle", "early", "late", "linear", "curve"] = option(
        "constant", "the weight over the noise level"
    )
    low: float = option(0.1, "the window's low end")
    high: float = option(10.0, "the window's high end")
    end: float = option(-0.5, "the linear weight at the window's low end")
    curve: tuple[float, ...] = option((), "the curve")  # noise level, gamma, noise level, gamma, ...
    equal_area: bool = option(False, "the equal area")  # that of the constant gamma

    def check(self) -> None:
        known = ", ".join(LABELS[self.model])
        require(self.label in LABELS[self.model], f"There is no such class; the classes are {known}.")
        check_weight(self, ENDS)
        require(
            self.rule == "cfg" or self.mode == "network",
            "The linear and the projected mode go with classifier-free guidance alone, the rule cfg.",
        )
        require(
            self.rule != "cfg_plus_plus" or self.solver == "ode",
            "CFG++ changes a step of the ODE, so it needs the solver ode.",
        )
        require(3 <= self.steps <= 200, "Ask for 3 to 200 steps.")
        require(2 <= self.samples <= 200, "Ask for 2 to 200 samples.")
        require(self.samples * self.steps <= MOST, f"Samples times steps must be at most {MOST:,}.")
        require(0 <= self.seed < 2**31 - 1000, "The seed must be between 0 and 2,147,482,647.")

    def plain(self) -> "GuideNetwork":
        """gamma = 0 from the same noises, which no other setting alters: one run for all of them."""
        return GuideNetwork(
            self.model, self.label, self.seed, self.samples, self.steps, self.solver, gamma=0.0
        )

    def needs(self) -> tuple[Request, ...]:
        if self == self.plain():
            return ()
        return (self.plain(), self._ratios()) if self.rule == "recfg" else (self.plain(),)

    def _ratios(self) -> GuideRatios:
        return GuideRatios(self.model, self.label, self.steps)

    def run(self, model: Model) -> Iterator[Any]:
        yield Progress(0, self.steps, "network evaluations")
        stats = class_statistics.of_class(self.model, self.label)
        times = grid(model.denoiser.schedule, self.steps)
        weight, on = weight_of(self, ENDS), self._on()
        levels = noise_level(model.denoiser.schedule, times[:-1])
        guided = None
        ratios = None
        if self == self.plain() or self.rule == "classifier" or (any(on) and weight(levels).any()):
            if self.rule == "recfg":
                ratios = yield from call(self._ratios(), model)
            split = Split(stats, model.denoiser.schedule, self.mode, on)
            taken = way(self, model, split, weight, times, ratios and ratios.table)
            guided = yield from self._watched(model, stats, split, taken, weight, times)
        plain = guided
        if self != self.plain():
            plain = (yield from call(self.plain(), model)).plain
        difference = stats.pair.difference.square().sum()
        said = note(self, weight(levels), levels, ratios) if guided else ""
        spread = stats.pair.conditional.variances.sum() / stats.n * (1 - 1 / stats.bound)
        yield NetworkGuidance(
            guided=guided or plain,
            plain=plain,
            area=weight.area(*ENDS),
            pictures=stats.n,
            d=stats.pair.d,
            chance=float(spread / difference),
            note=" ".join(filter(None, (stats.note, "" if model.reader() else NO_READER, said))),
            idle=self._idle(weight(levels)),
        )

    def _on(self) -> tuple[bool, bool, bool, bool]:
        """Which of the mean shift, Pos-CPC, Neg-CPC and the residual are added."""
        if self.mode == "network":
            return True, True, True, True
        return self.mean_shift, self.positive, self.negative, self.residual and self.mode == "projected"

    def _watched(
        self,
        model: Model,
        stats: ClassStatistics,
        split: Split,
        taken: Way,
        weight: NoiseWeight,
        times: Tensor,
    ) -> Iterator[Any]:
        """Samples with a picture of every step on the way; returns the Run."""
        schedule, kept = model.denoiser.schedule, self._kept(model)
        level = noise_level(schedule, times[:-1])
        guided = weight(level) != 0
        seeds = range(self.seed, self.seed + self.samples)
        x = float(torch.hypot(*schedule(times[0]))) * noise(seeds, model.denoiser.shape).to(model.device)
        walk, states, paths, rows, seconds = taken.solve(x), [], [], [], 0.0
        for step in range(1, self.steps + 1):
            began = time.perf_counter()
            x, x0 = next(walk)
            x0 = seen(x0)  # this also waits for the device
            rows.append(split.take())
            states.append(x0[:kept].half())
            paths.append(_plane(stats, x0))
            seconds += time.perf_counter() - began
            if step < self.steps and step % -(-self.steps // PICTURES) == 0:
                yield Underway(x0.half(), step, self.steps)
            yield Progress(
                step, self.steps, "network evaluations"
            )  # last: it is what the status line goes on saying
        x = seen(x)
        asked = self.samples * torch.where(guided, taken.asked, 1)
        return Run(
            samples=x,
            states=torch.stack([*states, x[:kept].half()]),
            paths=torch.stack([*paths, _plane(stats, x)]),
            readings=readings(level, weight(level), asked, rows),
            quality=quality(model, self.label, x),
            evaluations=self.steps + (taken.passes - 1) * int(guided.sum()),
            asked=int(asked.sum()),
            seconds=seconds,
        )

    def _kept(self, model: Model) -> int:
        """Samples of which every state is kept."""
        one = 2 * (self.steps + 1) * math.prod(model.denoiser.shape)
        return max(1, min(self.samples, KEPT, BYTES // one))

    def _idle(self, weight: Tensor) -> str:
        """Sentences about settings that change nothing, the weightiest first."""
        found, on = idle_rule(self, weight), self._on()
        if self.rule == "classifier":
            pass
        elif self.gamma == 0 and self.weight not in ("linear", "curve"):
            found.append("Nothing is guided, because gamma is 0.")
        elif not any(on):
            found.append("Nothing is guided, because all parts are switched off.")
        elif not weight.any():
            found.append("Nothing is guided, because the weight is 0 at every step of the sampler.")
        if self.mode == "network" and not (
            self.mean_shift and self.positive and self.negative and self.residual
        ):
            found.append("The parts change nothing, because the network's whole difference is added.")
        if self.mode == "linear" and not self.residual:
            found.append("The residual changes nothing, because the linear direction has none.")
        if self.mode == "projected" and all(on):
            found.append("With all parts the projection changes nothing: their sum is the whole difference.")
        return " ".join(found + unused(self))


def _plane(stats: ClassStatistics, pictures: Tensor) -> Tensor:
    """Coordinates (n, 2) on the class's two leading principal components."""
    flat, own = pictures.flatten(1).double(), stats.pair.conditional
    coordinates = flat if stats.basis is None else flat @ stats.basis.mT
    return ((coordinates - own.mean) @ own.vectors[:, :2]).float()
