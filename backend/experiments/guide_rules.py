"""The rules of guidance that a network can be sampled by, each as a way from noise to pictures.

    cfg             D_c + gamma (D_c - D_u), or its parts          backend.guidance.split
    apg, zero_star, pag, autoguidance                              backend.guidance.guiders: those of diffusers
    power_law, cfg_plus_plus, recfg                                backend.guidance, one file each
    classifier      D_u + gamma (sigma^2 / alpha) grad log p(c | x_t)   backend.guidance.classifier_guidance

Where the weight is 0, the posterior mean is D_c to the bit, of a classifier's rule D_u.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from backend.data import avatars, digits
from backend.denoiser.base import Condition, Denoiser, as_time, given, like
from backend.denoiser.combine import Guided, Term
from backend.guidance import cfg_plus_plus, guiders, recfg
from backend.guidance.class_statistics import LABELS
from backend.guidance.classifier_guidance import classifier_term
from backend.guidance.power_law import power_law
from backend.guidance.split import Split
from backend.guidance.weights import NoiseWeight
from backend.inference.load import Model
from backend.request import Progress, Request, option, require
from backend.sampling import ancestral, dpm_solver
from backend.sampling.noise import noise
from backend.schedule import Schedule, noise_level

NOISIEST, CLEANEST = 100.0, 0.02  # noise levels of the grid, after its start and before its end
PICTURES, SEEDS = 32, 50_000_000  # of a class that the ratios of ReCFG are from


def grid(schedule: Schedule, steps: int) -> Tensor:
    """t = 1, noise levels in equal ratios, t = 0: steps + 1 times, for at least 3 steps."""
    levels = torch.logspace(0, 1, steps - 1, base=CLEANEST / NOISIEST, dtype=torch.float64) * NOISIEST
    ends = torch.tensor([1.0, 0.0], dtype=torch.float64)
    return torch.cat([ends[:1], schedule.time(-2 * levels.log()), ends[1:]])


@dataclass(frozen=True)
class Way:
    """How samples go from noise to pictures.

    solve: from the noisy samples (n, *shape) to the states (x, x0_hat) of a solver.
    passes: evaluations of the network at a guided step. asked: samples in them, for one sample.
    """

    solve: Callable[[Tensor], Iterator[tuple[Tensor, Tensor]]]
    passes: int = 1
    asked: int = 2


def way(
    request: Any, model: Model, split: Split, weight: NoiseWeight, times: Tensor, ratios: Tensor | None
) -> Way:
    """The way of a request's `rule`, `label`, `solver`, `seed` and `samples`.

    Args:
        split: the guidance of the rule cfg; of the others it only sees D_c and D_u.
        ratios: of ReCFG, of every step, (steps, *shape).
    """
    network, condition, rule = model.denoiser, model.condition(label=request.label), request.rule
    seeds = range(request.seed, request.seed + request.samples)

    def by(denoiser: Denoiser, **counts: int) -> Way:
        if request.solver == "sde":
            return Way(lambda x: ancestral.solve(denoiser, x, times, seeds), **counts)
        return Way(lambda x: dpm_solver.solve(denoiser, x, times), **counts)

    def term(added: Term) -> Way:
        return by(given(Guided(network, [added], [weight]), **condition))

    if rule == "cfg":
        return term(split)
    if rule == "power_law":
        return term(_seen(split, power_law(network.schedule, len(network.shape))))
    if rule == "recfg":
        return term(_seen(split, recfg.recfg(network.schedule, partial(_at, times, ratios))))
    if rule == "cfg_plus_plus":
        return Way(lambda x: cfg_plus_plus.solve(network, condition, x, times, weight, split))
    if rule == "classifier":
        classifier = model.noise_classifier()
        require(classifier is not None, "There is no classifier of noisy pictures for this model.")
        added = classifier_term(classifier, network.schedule, model.card.labels.index(request.label))
        return by(Classified(network, added, weight), asked=1)
    guider = guiders.Guider(rule, network, condition, weight, request.steps, split)
    return by(guider, passes=2 if rule in guiders.DEGRADED else 1)


class Classified:
    """D_u + gamma term: one pass of the network without condition. A solver takes it as a Denoiser."""

    def __init__(self, base: Denoiser, term: Term, weight: NoiseWeight):
        self.base, self.term, self.weight = base, term, weight
        self.schedule, self.shape = base.schedule, base.shape

    def __call__(self, x_t: Tensor, t: Tensor | float) -> Tensor:
        t = as_time(t)
        unconditional, gamma = self.base(x_t, t), self.weight(noise_level(self.schedule, t))
        if gamma == 0:
            return unconditional
        return unconditional + like(gamma, x_t) * self.term(x_t, t, unconditional, unconditional)


def note(request: Any, weight: Tensor, levels: Tensor, ratios: "Ratios | None") -> str:
    """What a run by a request's rule has to say beside its numbers; weight and levels (steps,) are those of its steps."""
    if request.rule == "cfg_plus_plus":
        ends = torch.cat([levels, torch.zeros_like(levels[:1])])
        same = cfg_plus_plus.equivalent(weight, ends)[weight != 0]
        return (
            "CFG++ takes steps of DDIM, of first order, and gamma = 0 beside it those of a solver of second order. On these steps it is "
            f"classifier-free guidance with gamma from {same.min():.2f} to {same.max():.2f}."
        )
    if request.rule == "recfg":
        return f"The ratios took {ratios.asked:,} samples in evaluations of the network, which are not counted with the run's."
    if request.rule == "classifier":
        return "A classifier guides away from all data: gamma = 0 would be samples of all classes, gamma = 1 those of the class."
    return ""


def idle_rule(request: Any, weight: Tensor) -> list[str]:
    """Sentences about settings that change nothing under a request's rule; weight (steps,) is that of its steps."""
    if request.rule == "classifier" and not weight.any():
        return [
            "The classifier guides nothing, because the weight is 0 at every step: the samples are of all classes."
        ]
    if request.rule == "cfg_plus_plus" and weight.max() > cfg_plus_plus.FULL:
        return [
            f"A gamma above {cfg_plus_plus.FULL:g} changes nothing, because the lambda of CFG++ ends at 1."
        ]
    return []


def _seen(split: Split, term: Term) -> Term:
    """A term that also shows the split what it is given."""

    def add(x_t: Tensor, t: Tensor, conditional: Tensor, unconditional: Tensor) -> Tensor:
        split(x_t, t, conditional, unconditional)
        return term(x_t, t, conditional, unconditional)

    return add


def _at(times: Tensor, ratios: Tensor, t: Tensor) -> Tensor:
    return ratios[int((times[:-1] - t).abs().argmin())]


@dataclass(frozen=True)
class Ratios:
    """r of ReCFG at every step, (steps, *shape) float32. asked: samples in the evaluations of the network."""

    table: Tensor
    asked: int


@dataclass(frozen=True)
class GuideRatios(Request):
    """The ratios of ReCFG on the grid of GuideNetwork, from 32 pictures of the class, each with one noise.

    Xia et al. (https://arxiv.org/abs/2410.18737), in their code from 500.
    """

    model: Literal["avatars", "digits"] = option("avatars", "the model")
    label: str = option("happy", "the class")
    steps: int = option(20, "the number of steps")

    def check(self) -> None:
        known = ", ".join(LABELS[self.model])
        require(self.label in LABELS[self.model], f"There is no such class; the classes are {known}.")
        require(3 <= self.steps <= 200, "Ask for 3 to 200 steps.")

    def run(self, model: Model) -> Iterator[Any]:
        yield Progress(0, self.steps, "ratios")
        pictures = pictures_of(self.model, self.label, PICTURES).to(model.device)
        condition: Condition = model.condition(label=self.label)
        eps, table = noise(range(SEEDS, SEEDS + len(pictures)), pictures.shape[1:]).to(pictures), []
        for step, t in enumerate(grid(model.denoiser.schedule, self.steps)[:-1]):
            table.append(recfg.ratio(*recfg.noises(model.denoiser, condition, pictures, eps, t)).cpu())
            yield Progress(step + 1, self.steps, "ratios")
        yield Ratios(torch.stack(table), 2 * len(pictures) * self.steps)


def pictures_of(data: str, label: str, n: int) -> Tensor:
    """(n, *shape) of a class: the first digits that the network was trained on, or drawn faces."""
    own = LABELS[data].index(label)
    if data == "digits":
        pictures, labels = digits.split("train")
        return pictures[labels == own][:n]
    return avatars.render(avatars.sample(range(SEEDS, SEEDS + n), [own] * n).factors)
