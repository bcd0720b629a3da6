"""Similar patterns: what the same noises become in every class, with guidance and without.

Li, Wang and Qu (https://arxiv.org/abs/2505.19210) say that without guidance samples of different classes from one noise look alike,
because the classes share their leading principal components, and that guidance brings out each class's own pattern. Here the same
noises are sampled in all classes

    conditional    by D_c: gamma = 0, which the lecture's slides call classifier guidance
    cfg            by D_c + gamma (D_c - D_u)
    classifier     by D_u + (1 + gamma) (sigma^2 / alpha) grad log p(c | x_t), which for the true p(c | x_t) is the same as cfg; here
                   by a classifier of noisy pictures                                           backend.guidance.classifier_guidance
    linear         by the D_c of the class's Gaussian, and
    linear_cfg     guided by that of all data                                                              backend.guidance.terms

and the variance of the samples is shared out to noise, class and both together (backend.metrics.two_way).
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser, given
from backend.denoiser.combine import Guided, prompt
from backend.experiments.guide_quality import seen
from backend.experiments.guide_rules import grid
from backend.guidance.class_statistics import LABELS, ClassStatistics, of_class
from backend.guidance.classifier_guidance import classifier_term
from backend.guidance.terms import PairDenoiser
from backend.guidance.weights import checked
from backend.inference.load import Model
from backend.metrics.intervals import Estimate, rate
from backend.metrics.two_way import Shares, shares
from backend.request import Progress, Request, option, require
from backend.sampling import dpm_solver
from backend.sampling.noise import noise

WAYS = ("conditional", "cfg", "classifier", "linear", "linear_cfg")
MOST = 1600  # noises times steps


@dataclass(frozen=True)
class Way:
    """What one way of sampling made of n noises in K classes.

    pictures (n, K, *shape) uint8: cut at -1 and 1, which are 0 and 255. shares: of the variance of the samples, uncut.
    accuracy: share of all that a network without part in guidance reads as their class.
    cosine, length (K,): of a class's mean sample less the mean of all, against its real mean mu_c less mu_u: their cosine, and how
    long it is in units of the latter.
    """

    name: str
    pictures: Tensor
    shares: Shares
    accuracy: Estimate
    cosine: Tensor
    length: Tensor


@dataclass(frozen=True)
class Patterns:
    """ways: those computed so far, in the order of WAYS. labels: the K classes.

    captured (K, d): share of |mu_c - mu_u|^2 in the k leading principal components of the class, k = 1 to d. by_chance (d,): k / d, what
    k directions drawn at random hold on average. real: the share of the variance of real pictures that lies between the means of
    the classes. idle: a sentence about what changes nothing, "" for none.
    """

    ways: tuple[Way, ...]
    labels: tuple[str, ...]
    captured: Tensor
    real: float
    seconds: float
    idle: str


@dataclass(frozen=True)
class CompareClasses(Request):
    """The same noises in every class: without guidance, with classifier-free guidance and with a classifier's.

    Li, Wang and Qu (https://arxiv.org/abs/2505.19210); Dhariwal and Nichol (https://arxiv.org/abs/2105.05233).
    """

    model: Literal["digits", "avatars"] = option("digits", "the model")
    seed: int = option(0, "the seed")
    noises: int = option(8, "the number of noises")
    steps: int = option(20, "the number of steps")
    gamma: float = option(2.0, "the guidance weight gamma")

    def check(self) -> None:
        checked(self.gamma)
        require(3 <= self.noises <= 64, "Ask for 3 to 64 noises.")
        require(3 <= self.steps <= 200, "Ask for 3 to 200 steps.")
        require(self.noises * self.steps <= MOST, f"Noises times steps must be at most {MOST:,}.")
        require(0 <= self.seed < 2**31 - 100, "The seed must be between 0 and 2,147,483,547.")

    def run(self, model: Model) -> Iterator[Any]:
        labels, began = LABELS[self.model], time.perf_counter()
        yield Progress(0, self.steps * len(WAYS), "network evaluations")
        stats = [of_class(self.model, label) for label in labels]
        captured = torch.stack([held(one) for one in stats])
        ways: list[Way] = []
        for name in WAYS:
            if name.startswith("linear"):
                samples = yield from self._linear(model, stats, name == "linear_cfg")
            else:
                samples = yield from self._network(model, name)
            ways.append(way(name, samples, model, stats))
            yield Patterns(
                ways=tuple(ways),
                labels=labels,
                captured=captured,
                real=between(stats),
                seconds=time.perf_counter() - began,
                idle="With gamma = 0 classifier-free guidance is plain sampling of the class."
                if self.gamma == 0
                else "",
            )

    def _network(self, model: Model, name: str) -> Iterator[Any]:
        """Progress; returns samples (n, K, *shape)."""
        classes = torch.arange(len(LABELS[self.model])).expand(self.noises, -1).to(model.device)
        denoiser: Denoiser = given(model.denoiser, label=classes)
        if name == "cfg":
            denoiser = given(Guided(model.denoiser, [prompt], [self.gamma]), label=classes)
        elif name == "classifier":
            term = classifier_term(model.noise_classifier(), model.denoiser.schedule, classes)
            denoiser = Added(model.denoiser, term, 1 + self.gamma)
        x = self._start(model).to(model.device)
        x = x.unsqueeze(1).expand(-1, classes.shape[1], *model.denoiser.shape)
        return (yield from self._walk(model, denoiser, x, WAYS.index(name)))

    def _linear(self, model: Model, stats: list[ClassStatistics], guided: bool) -> Iterator[Any]:
        """Progress; returns samples (n, K, *shape) of the Gaussians, on the coordinates of the statistics."""
        start = self._start(model).flatten(1).double()
        x = start if stats[0].basis is None else start @ stats[0].basis.mT
        schedule = model.denoiser.schedule
        each = [PairDenoiser(one.pair, schedule) for one in stats]
        if guided:
            each = [Guided(one, [prompt], [self.gamma]) for one in each]
        side = SideBySide([given(one, label=torch.tensor(0)) for one in each])
        x = x.unsqueeze(1).expand(-1, len(stats), -1)
        found = yield from self._walk(model, side, x, WAYS.index("linear_cfg" if guided else "linear"))
        return stats[0].picture(found.double())

    def _start(self, model: Model) -> Tensor:
        """(n, *shape) on the CPU: the noise from which every way and every class starts."""
        first = grid(model.denoiser.schedule, self.steps)[0]
        scale = float(torch.hypot(*model.denoiser.schedule(first)))
        return scale * noise(range(self.seed, self.seed + self.noises), model.denoiser.shape)

    def _walk(self, model: Model, denoiser: Denoiser, x: Tensor, place: int) -> Iterator[Any]:
        """Progress of a way; returns the end, on the CPU and finite."""
        times = grid(model.denoiser.schedule, self.steps)
        walk = dpm_solver.solve(denoiser, x, times)
        for step in range(1, self.steps + 1):
            x, _ = next(walk)
            yield Progress(place * self.steps + step, self.steps * len(WAYS), "network evaluations")
        return seen(x)


class Added(Denoiser):
    """D_u + weight term: guidance on top of the unconditional model."""

    def __init__(self, base: Denoiser, term: Any, weight: float):
        super().__init__()
        self.base, self.term, self.weight = base, term, weight
        self.schedule, self.shape = base.schedule, base.shape

    def forward(self, x_t: Tensor, t: Tensor | float, **condition: Tensor) -> Tensor:
        D_u = self.base(x_t, t)
        return D_u + self.weight * self.term(x_t, t, D_u, D_u)


class SideBySide(Denoiser):
    """K denoisers of one shape as one: x_t[:, k] of (n, K, *shape) goes to denoiser k."""

    def __init__(self, denoisers: list[Denoiser]):
        super().__init__()
        self.each = denoisers
        self.schedule, self.shape = denoisers[0].schedule, denoisers[0].shape

    def forward(self, x_t: Tensor, t: Tensor | float, **condition: Tensor) -> Tensor:
        return torch.stack([one(x_t[:, k], t) for k, one in enumerate(self.each)], 1)


@torch.no_grad()
def way(name: str, samples: Tensor, model: Model, stats: list[ClassStatistics]) -> Way:
    """The numbers of samples (n, K, *shape), float, on the CPU."""
    n, classes = samples.shape[:2]
    flat = samples.flatten(2).double()
    own = flat.mean(0) - flat.mean((0, 1))
    basis = stats[0].basis
    real = torch.stack([one.pair.difference for one in stats])
    real = real if basis is None else real @ basis
    read = model.reader()
    logits = read.logits(read.features(samples.flatten(0, 1).float().clamp(-1, 1)))
    right = logits.argmax(1).view(n, classes) == torch.arange(classes)
    return Way(
        name=name,
        pictures=((samples.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8),
        shares=shares(samples),
        accuracy=rate(int(right.sum()), n * classes),
        cosine=torch.cosine_similarity(own, real, dim=1),
        length=own.norm(dim=1) / real.norm(dim=1),
    )


def held(stats: ClassStatistics) -> Tensor:
    """(d,): the share of |mu_c - mu_u|^2 in the k leading principal components of the class, k = 1 to d."""
    along = (stats.pair.conditional.vectors.mT @ stats.pair.difference).square()
    return along.cumsum(0) / along.sum()


def between(stats: list[ClassStatistics]) -> float:
    """The share of the variance of real pictures that lies between the means of equally frequent classes."""
    means = torch.stack([one.pair.conditional.mean for one in stats])
    among = means.var(0, correction=0).sum()
    within = torch.stack([one.pair.conditional.variances.sum() for one in stats]).mean()
    return float(among / (among + within))
