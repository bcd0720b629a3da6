"""What training teaches first: networks beside the Gaussian-optimal and the memorizing denoiser, over training, data and width.

`python -m backend.experiments "v=1&do=TrainStudents" --save assets/runs` takes a quarter of an hour on one core.

Li, Dai and Qu 2024 (https://arxiv.org/abs/2410.24060): a diffusion model that generalizes is nearly linear, and near the
denoiser that is optimal for a Gaussian with the mean mu and the covariance C of its training data,

    D_G(x_t, t) = mu + alpha C (alpha^2 C + sigma^2 I)^-1 (x_t - alpha mu),

when it is small for its data or early in training; else it comes to memorize them (backend.denoiser.empirical).
All is measured on the same held-out digits with the same noise. Two denoisers are as far apart as

    distance(D, D') = (sum |D(x_t) - D'(x_t)|^2 / sum |D_A(x_t) - mu_A|^2)^1/2,

A all training digits, sums over the pictures. At a noise level every distance has the one unit, how far D_A moves from the
mean: 1 is as wrong as knowing the mean alone.

With many pictures the memorizing denoiser itself tends to the posterior mean of all digits, and to_empirical falls with N for
that reason too: what is memorized shows in train_error against test_error.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backend.data import digits
from backend.denoiser.base import Denoiser
from backend.denoiser.combine import Stacked
from backend.denoiser.empirical import Empirical
from backend.denoiser.gaussian_mixture import GaussianMixture, gaussian
from backend.inference.device import make_differentiable, pick_device
from backend.jacobian.spectrum import CUTS, dense_steps, effective_rank, rank
from backend.request import Progress, Request, option, require
from backend.sampling.noise import noise
from backend.schedule import Schedule, from_scheduler_config
from backend.training.loop import Plan
from backend.training.recipes import SCHEDULER
from backend.training.students import GROUPS, build, log_spaced, subsets, train_together

SHAPE, DIMENSION = (1, 8, 8), 64
TRAINING, HELD_OUT = 1197, 300  # digits
LENGTH = 0.1  # of the steps that linearity is measured with, in |x_t|
DIRECTION_SEED = 1_000_000  # beyond the seeds of the pictures' noise

Each = Callable[[Tensor, float], Tensor]
"""S denoisers as one: x_t (S, n, *shape) and t -> (S, n, *shape)."""


@dataclass(frozen=True)
class Measures:
    """Of some denoisers, float32 tensors of one shape (...), rank_ratio with an axis more.

    rank_ratio (..., 2)                the Jacobian's rank over 64 at each of CUTS, in their order; mean over pictures
    effective_rank                     Roy and Vetterli's, 1 to 64; mean over pictures
    residual_first, residual_random    |D(x + l v) - D(x) - l J v| / |l J v| at l = +-|x_t| / 10, along the first right singular
                                       vector and a random one; median over pictures. Without bound where J v vanishes.
    to_gaussian, to_empirical          distances to the two denoisers of the student's own N pictures
    to_gaussian_all                    distance to the Gaussian-optimal denoiser of all training digits
    test_error, train_error            mean squared error of a pixel on held-out pictures and on the student's own
    """

    rank_ratio: Tensor
    effective_rank: Tensor
    residual_first: Tensor
    residual_random: Tensor
    to_gaussian: Tensor
    to_gaussian_all: Tensor
    to_empirical: Tensor
    test_error: Tensor
    train_error: Tensor


@dataclass(frozen=True)
class Bias:
    """W widths, S training sets, C checkpoints, T noise levels.

    widths, parameters (W,) and sizes (S,) tuples; checkpoints (C,) int64 numbers of steps; t, log_snr (T,) float64.
    students: (W, S, C, T). Not trained, (S, T): gaussian and empirical, the optimal denoisers of each student's own pictures, and
    gaussian_all, that of all training digits, which is the same for every S but for what it is compared with.
    """

    widths: tuple[int, ...]
    parameters: tuple[int, ...]
    sizes: tuple[int, ...]
    checkpoints: Tensor
    t: Tensor
    log_snr: Tensor
    students: Measures
    gaussian: Measures
    gaussian_all: Measures
    empirical: Measures


@dataclass(frozen=True)
class Probe:
    """What S denoisers are asked at one noise level, and what the references answer. All (S, n, *shape) float64.

    held_out, seen: clean pictures, the latter each student's own; x_t, seen_t: the same with noise.
    direction: random, of unit norm. unit: the unit of distances, a root of a mean square.
    """

    t: float
    held_out: Tensor
    seen: Tensor
    x_t: Tensor
    seen_t: Tensor
    direction: Tensor
    gaussian: Tensor
    gaussian_all: Tensor
    empirical: Tensor
    unit: Tensor


@dataclass(frozen=True)
class TrainStudents(Request):
    """Trains a small U-Net for every width and number of digits, and looks at its Jacobian, its linearity and its distance to
    the Gaussian-optimal and to the memorizing denoiser as training goes on (https://arxiv.org/abs/2410.24060)."""

    widths: tuple[int, ...] = option((8, 16, 32), "the widths")
    sizes: tuple[int, ...] = option((20, 100, 300, 1197), "the numbers of training pictures")
    steps: int = option(2000, "the number of steps")
    seed: int = option(0, "the seed")
    pictures: int = option(32, "the number of pictures to measure on")
    times: tuple[float, ...] = option((0.1, 0.3, 0.5, 0.7, 0.9), "the noise levels")

    def check(self) -> None:
        lists = (self.widths, 6, "widths"), (self.sizes, 8, "sizes"), (self.times, 20, "noise levels")
        for values, most, words in lists:
            require(1 <= len(values) <= most, f"Give 1 to {most} {words}.")
            require(len(set(values)) == len(values), f"Give {words} that differ.")
        fit = all(4 <= width <= 64 and width % GROUPS == 0 for width in self.widths)
        require(fit, f"A width must be from 4 to 64 and divisible by {GROUPS}.")
        fit = all(2 <= size <= TRAINING for size in self.sizes)
        require(fit, f"A student trains on 2 to {TRAINING:,} pictures.")
        require(1 <= self.steps <= 20_000, "Ask for 1 to 20,000 steps.")
        require(0 <= self.seed < 2**31, "The seed must be between 0 and 2,147,483,647.")
        require(1 <= self.pictures <= 100, "Measure on 1 to 100 pictures.")
        require(all(0 < t <= 1 for t in self.times), "A noise level must be above 0 and at most 1.")

    def seconds(self) -> float:
        return 60.0 + 0.1 * len(self.widths) * self.steps

    def run(self, model: None) -> Iterator[Any]:
        looks = len(self.widths) * len(log_spaced(self.steps)) + 3  # checkpoints and references
        total = len(self.widths) * self.steps + looks * len(self.times) * DIMENSION
        for done, event in enumerate(self._work(), start=1):
            yield Progress(done, total, "steps") if isinstance(event, Progress) else event

    def _work(self) -> Iterator[Any]:
        """A Progress for every training step and every row of the Jacobians, whose numbers `run` gives."""
        schedule, data = from_scheduler_config(SCHEDULER), subsets(self.sizes, self.seed)
        known = references(data, schedule)
        probes = [probe_at(t, data, schedule, known, self.pictures) for t in self.times]
        measured = []
        for reference in known:
            measured.append((yield from _at_all(reference, probes)))

        marks, plan = log_spaced(self.steps), plan_of(self.steps, self.seed)
        widths, parameters = [], []
        for width in self.widths:
            student = make_differentiable(build(width, self.seed))
            parameters.append(sum(p.numel() for p in student.parameters()))
            students, checkpoints = Stacked([student] * len(data)).to(pick_device()), []
            for step in train_together(students, data, plan):
                yield Progress(step.number, self.steps, "steps")
                if step.number in marks:
                    checkpoints.append((yield from _at_all(_on_its_device(step.average), probes)))
            widths.append(_stack(checkpoints, 1))

        t = torch.tensor(self.times, dtype=torch.float64)
        head = self.widths, tuple(parameters), self.sizes, torch.tensor(marks), t, schedule.log_snr(t)
        yield Bias(*head, _stack(widths, 0), *measured)


def plan_of(steps: int, seed: int) -> Plan:
    """At a constant rate after the warm-up, so that a checkpoint does not depend on when training ends."""
    return Plan(steps, lr=1e-3, warmup=50, decay=0.0, ema=0.99, seed=seed)


def optimal(pictures: Tensor, schedule: Schedule) -> GaussianMixture:
    """The Gaussian-optimal denoiser of pictures (N, 1, 8, 8), in float64."""
    flat = pictures.flatten(1).double()
    return gaussian(schedule, SHAPE, flat.mean(0), flat.T.cov())


def references(data: Sequence[Tensor], schedule: Schedule) -> tuple[Each, Each, Each]:
    """What needs no training: the Gaussian-optimal denoisers of each set of pictures (N, 1, 8, 8), that of all training digits
    for every set, and the memorizing ones."""
    everything = optimal(digits.split("train")[0], schedule)
    return (
        _each([optimal(pictures, schedule) for pictures in data]),
        _each([everything] * len(data)),
        _each([Empirical(schedule, pictures.double()) for pictures in data]),
    )


@torch.no_grad()
def probe_at(
    t: float, data: Sequence[Tensor], schedule: Schedule, known: tuple[Each, Each, Each], n: int
) -> Probe:
    """n held-out digits and n of each set, at t; `known` are its `references`."""
    test, _ = digits.split("test")
    spread = torch.arange(n) * (HELD_OUT // n)  # digits that follow each other are of one hand
    held_out = test[spread].double().expand(len(data), n, *SHAPE)
    seen = torch.stack([pictures[torch.arange(n) % len(pictures)] for pictures in data]).double()
    alpha, sigma = schedule(torch.tensor(t, dtype=torch.float64))
    grain = sigma * noise(range(n), SHAPE).double()
    x_t, seen_t = alpha * held_out + grain, alpha * seen + grain
    direction = noise(range(DIRECTION_SEED, DIRECTION_SEED + n), SHAPE).double()
    direction = direction / direction.flatten(1).norm(dim=1).view(n, 1, 1, 1)
    answers = [reference(x_t, t) for reference in known]
    mean = digits.split("train")[0].double().mean(0)
    unit = (answers[1][0] - mean).square().mean().sqrt()
    return Probe(t, held_out, seen, x_t, seen_t, direction.expand_as(x_t), *answers, unit)


def _each(denoisers: Sequence[Denoiser]) -> Each:
    return lambda x_t, t: torch.stack([one(x, t) for one, x in zip(denoisers, x_t, strict=True)])


def _on_its_device(students: Stacked) -> Each:
    device = next(students.parameters()).device
    return lambda x_t, t: students(x_t.to(device), t).to(x_t)


def _at_all(denoisers: Each, probes: Sequence[Probe]) -> Iterator[Progress]:
    """The measures (S, T), which `yield from` hands over."""
    found = []
    for probe in probes:
        found.append((yield from measure(denoisers, probe)))
    return _stack(found, 1)


def measure(denoisers: Each, probe: Probe) -> Iterator[Progress]:
    """The measures (S,) at one noise level, which `yield from` hands over."""

    def f(x: Tensor) -> Tensor:
        return denoisers(x.view(probe.x_t.shape), probe.t).flatten(0, 1)

    jacobians = yield from dense_steps(f, probe.x_t.flatten(0, 1))
    return _measures(denoisers, probe, jacobians.unflatten(0, probe.x_t.shape[:2]))


@torch.no_grad()
def _measures(denoisers: Each, probe: Probe, jacobians: Tensor) -> Measures:
    """From the Jacobians (S, n, 64, 64)."""
    _, s, axes = torch.linalg.svd(jacobians)
    energy = s.square().sum(-1)
    value, seen = denoisers(probe.x_t, probe.t), denoisers(probe.seen_t, probe.t)

    def residual(v: Tensor) -> Tensor:
        """`jacobian.linearity`'s strict one along v (S, n, 64), mean of both senses since v has no sign: median (S,)."""
        move = LENGTH * probe.x_t.flatten(2).norm(dim=-1, keepdim=True) * v
        change = (jacobians @ move[..., None]).squeeze(-1)
        errors = [
            (denoisers(probe.x_t + sense * move.view_as(value), probe.t) - value).flatten(2) - sense * change
            for sense in (1, -1)
        ]
        mean = (errors[0].norm(dim=-1) + errors[1].norm(dim=-1)) / 2
        return (mean / change.norm(dim=-1).clamp_min(1e-300)).median(dim=1).values

    def distance(other: Tensor) -> Tensor:
        return _mean_square(value - other).sqrt() / probe.unit

    ranks = torch.stack([rank(s, energy, cut).double().mean(1) / DIMENSION for cut in CUTS], dim=-1)
    measures = (
        ranks,
        effective_rank(s).mean(1),
        residual(axes[..., 0, :]),
        residual(probe.direction.flatten(2)),
        distance(probe.gaussian),
        distance(probe.gaussian_all),
        distance(probe.empirical),
        _mean_square(value - probe.held_out),
        _mean_square(seen - probe.seen),
    )
    return Measures(*(values.float() for values in measures))


def _mean_square(a: Tensor) -> Tensor:
    """(S, n, *shape) -> (S,)."""
    return a.square().flatten(1).mean(1)


def _stack(measures: Sequence[Measures], dim: int) -> Measures:
    names = [field.name for field in dataclasses.fields(Measures)]
    return Measures(*(torch.stack([getattr(one, name) for one in measures], dim) for name in names))
