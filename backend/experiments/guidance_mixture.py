"""The guidance tab where everything is known and nothing is linear: mixtures of Gaussians, in the plane and in many dimensions.

GuideMixture       one class of a strong and a weak mode among classes on a grid; D_c + gamma(l) (D_c - D_u) sampled beside
                   gamma = 0 from the same noises                                                   (backend.guidance.mixtures)
GuideHighDimension what guidance distorts as dimensions and classes become many: two classes, e^(a d) of them, or d^p

alpha is 1, so that sigma is the noise level; it falls in equal ratios and then to 0. The ODE is followed by Heun's method, the SDE
by ancestral steps. The solver's own error is in the runs without guidance, which stand beside the others for that reason: ancestral
steps lose variance in all directions.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser, given
from backend.denoiser.combine import Guided, prompt
from backend.guidance import mixtures, stages, theory, weights
from backend.guidance.mixtures import Classes, Distortion, MixtureDenoiser
from backend.guidance.stages import Potential, Stages
from backend.guidance.weights import NoiseWeight
from backend.metrics.intervals import Estimate, bootstrap, rate
from backend.request import Progress, Request, option, require
from backend.sampling import ancestral, heun, last
from backend.sampling.noise import noise
from backend.schedule import VESchedule, noise_level

NOISIEST, CLEANEST = 80.0, 0.01  # noise levels in the plane; the cleanest in many dimensions too
FAR = 40.0  # the noisiest level over |m| = sqrt(d) in many dimensions
PORTRAIT = (8.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.125, 0.0625)  # noise levels
SIDE = 21  # points along a side of the portrait
MOST = 60_000  # samples times steps
DEAREST = 3e9  # samples times steps times classes times dimensions: half a minute
STILL = 1e-3  # of a mode's deviation: a sample that moved less did not move
NAMED = {"switch": "a switch", "curve": "a drawn curve"}
WINDOWED = ("interval", "triangle", "early", "late", "linear")


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
        _check_weight(self, NOISIEST)
        require(20 <= self.samples <= 2000, "Ask for 20 to 2,000 samples; shares of fewer say nothing.")

    def seconds(self) -> float:
        return 15.0

    def run(self, model: None) -> Iterator[Any]:
        classes, (schedule, times) = self.classes(), _times(NOISIEST, self.steps)
        denoiser, weight = classes.given(schedule, self.label), self.weights()
        seeds = range(self.seed, self.seed + self.samples)
        done, total, walks = 0, 2 * (self.steps + 1), []
        for gamma in (weights.constant(0.0), weight):
            states = []
            for x in _walk(_guided(denoiser, gamma, 0), times, self.solver, seeds, NOISIEST):
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
            area=weight.area(CLEANEST, NOISIEST),
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
        return _weight(self, NOISIEST)

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
        found = _idle_weight(self, weight, levels)
        moved = (guided - plain)[:, -1].abs().max()
        if not any(s.startswith("Nothing") for s in found) and moved < STILL * self.variance**0.5:
            found.insert(
                0,
                "Nothing is guided, because wherever the weight is not 0 every sample's mode is already settled, "
                "among those of all classes too.",
            )
        cls = type(self)
        if self.label and (self.weak, self.distance) != (cls.weak, cls.distance):
            found.append("This class has one mode; the weak mode and its distance are those of class 0.")
        elif not self.label and not self.weak:
            found.append("The class has one mode, because the weight of the weak one is 0.")
        return " ".join(found)


@dataclass(frozen=True)
class HighDimension:
    """N runs, one for each dimension.

    dimensions, classes, capped (N,): d, K, and whether K is less than was asked for.
    guided, guided_error, plain, plain_error: of (N,) values, with guidance and without, and standard errors.
    limit_overshoot, limit_variance (N,): what the ODE or SDE approaches for many dimensions and classes, NaN for two classes; for
        hundreds of classes the variance is still far above it.
    transition (N,): the noise level at which classes part: l^2 = |m|^2 - v for two, l_K for many; NaN where they never do.
    potential: for two classes. idle: sentences about settings that change nothing; note: one about too many classes.
    """

    dimensions: Tensor
    classes: Tensor
    capped: Tensor
    guided: Distortion
    guided_error: Distortion
    plain: Distortion
    plain_error: Distortion
    limit_overshoot: Tensor
    limit_variance: Tensor
    transition: Tensor
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
        _check_weight(self, FAR)
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
        rows, limits, transition = [], [], []
        done, total = 0, 2 * (self.steps + 1) * len(self.dimensions)
        for d, (K, _) in zip(self.dimensions, self._numbers(), strict=True):
            classes, noisiest = mixtures.sphere(d, K, self.variance, self.seed), FAR * math.sqrt(d)
            schedule, times = _times(noisiest, self.steps)
            weight, labels = self.weights(d, K), torch.arange(self.samples) % K
            denoiser, row = classes.every(schedule), []
            for gamma in (weights.constant(0.0), weight):
                seeds = range(self.seed, self.seed + self.samples)
                for x in _walk(_guided(denoiser, gamma, labels), times, self.solver, seeds, noisiest):
                    end, done = x, done + 1
                    yield Progress(done, total, "states")
                row += mixtures.distortion(end, labels, classes)
            rows.append(row)
            found = stages.many_classes(K, d, self.variance, weight, self.solver == "sde")
            limits.append((float(found.mean), float(found.variance) / self.variance))
            level = stages.condensation_level(K, d, self.variance)
            if self.classes == "two":
                level = stages.speciation_level(2 * math.sqrt(d), self.variance)
            transition.append(math.nan if level is None else level)
        limits = torch.tensor(limits, dtype=torch.float64)
        limits = limits * math.nan if self.classes == "two" else limits
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
            limit_overshoot=limits[:, 0],
            limit_variance=limits[:, 1],
            transition=torch.tensor(transition, dtype=torch.float64),
            potential=stages.potentials(self.gamma) if self.classes == "two" else None,
            idle=self._idle(),
            note=self._note(),
        )

    def weights(self, d: int, K: int) -> NoiseWeight:
        """gamma over the noise level; the switch is the one that keeps the variance of many classes. Raises BadInput."""
        if self.weight == "switch":
            return stages.restoring_switch(K, d, self.variance, self.gamma)
        return _weight(self, FAR * math.sqrt(d))

    def _numbers(self) -> list[tuple[int, bool]]:
        return [mixtures.number(self.classes, d, self.rate, self.power) for d in self.dimensions]

    def _note(self) -> str:
        cut = [str(d) for d, (_, capped) in zip(self.dimensions, self._numbers(), strict=True) if capped]
        if not cut:
            return ""
        return f"The number of classes is cut to 2 to {mixtures.LARGEST_K:,}, which changes it for d = {', '.join(cut)}."

    def _idle(self) -> str:
        cls, d, K = type(self), self.dimensions[0], self._numbers()[0][0]
        schedule, times = _times(FAR * math.sqrt(d), self.steps)
        found = _idle_weight(self, self.weights(d, K), noise_level(schedule, times[:-1]))
        if self.classes != "exponential" and self.rate != cls.rate:
            found.append("The rate changes nothing, because the number of classes is not exponential.")
        if self.classes != "polynomial" and self.power != cls.power:
            found.append("The power changes nothing, because the number of classes is not polynomial.")
        return " ".join(found)


def _check_weight(request: Any, noisiest: float) -> None:
    """What both requests ask of the weight and the sampler."""
    weights.checked(request.gamma)
    weights.interval(0.0, request.low, request.high)
    require(len(request.curve) % 2 == 0, "Every point of the curve needs a noise level and a gamma.")
    if request.weight == "switch":
        require(request.gamma > 0, "The switch needs a gamma above 0.")
    else:
        _weight(request, noisiest)
    require(2 <= request.steps <= 400, "Ask for 2 to 400 steps.")
    require(request.samples * request.steps <= MOST, f"Samples times steps must be at most {MOST:,}.")
    require(0 <= request.seed < 2**31 - 2000, "The seed must be between 0 and 2,147,481,647.")


def _weight(request: Any, noisiest: float) -> NoiseWeight:
    """Every kind but the switch. Raises BadInput."""
    window = (request.gamma, request.low, request.high)
    if request.weight == "constant":
        weight = weights.constant(request.gamma)
    elif request.weight == "linear":
        weight = weights.linear(*window, request.end)
    elif request.weight == "curve":
        weight = weights.curve(tuple(zip(request.curve[::2], request.curve[1::2], strict=True)))
    else:
        weight = getattr(weights, request.weight)(*window)
    if not request.equal_area or request.gamma == 0:
        return weight
    return weight.at_equal_area(weights.constant(request.gamma).area(CLEANEST, noisiest), CLEANEST, noisiest)


def _idle_weight(request: Any, weight: NoiseWeight, levels: Tensor) -> list[str]:
    """Sentences about the weight's settings that change nothing, the weightiest first."""
    cls, found = type(request), []
    if request.gamma == 0 and request.weight not in ("linear", "curve"):
        found.append("Nothing is guided, because gamma is 0.")
    elif not weight(levels).any():
        found.append("Nothing is guided, because the weight is 0 at every step of the sampler.")
    if request.weight == "curve" and request.gamma != cls.gamma and not request.equal_area:
        found.append("gamma changes nothing, because the drawn curve is the weight.")
    if request.weight not in WINDOWED and (request.low, request.high) != (cls.low, cls.high):
        named = NAMED.get(request.weight, request.weight)
        found.append(f"The window changes nothing, because the weight is {named}.")
    return found


def _times(noisiest: float, steps: int) -> tuple[VESchedule, Tensor]:
    """The schedule, and steps + 1 times: noise levels evenly spaced on a log scale, and 0."""
    schedule = VESchedule(CLEANEST, noisiest)
    levels = torch.logspace(math.log10(noisiest), math.log10(CLEANEST), steps, dtype=torch.float64)
    times = schedule.time(-2 * levels.log())
    times[0] = 1.0
    return schedule, torch.cat([times, torch.zeros(1, dtype=torch.float64)])


def _guided(denoiser: MixtureDenoiser, weight: NoiseWeight, label: Tensor | int) -> Denoiser:
    return given(Guided(denoiser, [prompt], [weight]), label=torch.as_tensor(label))


def _walk(denoiser: Denoiser, times: Tensor, solver: str, seeds: range, noisiest: float) -> Iterator[Tensor]:
    """The first state, and one after each step, (S, d) float64."""
    x = noisiest * noise(seeds, denoiser.shape, dtype=torch.float64)
    yield x
    if solver == "sde":
        yield from (x for x, _ in ancestral.solve(denoiser, x, times, seeds))
    else:
        for step in times.unfold(0, 2, 1):  # one state a step, whatever its evaluations
            x = last(heun.solve(denoiser, x, step))
            yield x


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


def _stacked(values: tuple[Distortion, ...]) -> Distortion:
    return Distortion(*(torch.stack([getattr(v, f.name) for v in values]) for f in fields(Distortion)))
