"""The guidance tab: how linear a network is at each noise level, and how linear what guidance adds to it.

The affine function of x_t nearest to the data at the noise level l = sigma / alpha is the network's linear model,

    D_lin = mu + A (x_t / alpha - mu),        A = S (S + l^2 I)^-1,        with mu and S of the class, or of all data.

On noisy pictures that neither the network nor mu and S have seen, two fractions tell how far the network departs from it:

    relative     |D - D_lin|^2 / |D - mu|^2
    gain         |D - D_lin|^2 / |x_0 - D_lin|^2        for a Bayes denoiser the share of the linear model's error that it saves

The linear regime is *defined* here by the second: the noise levels from which on up the gain stays below 0.05, which is our choice.
The first cannot define it. Without noise both answers are the picture, and it falls to 0; with much noise both are the mean, D - mu
vanishes, and what remains is the error of either mean: it rises to 1 where nothing is less linear.

Whether guidance is linear is another question, because what two posterior means share cancels in D_c - D_u. It is asked beside.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from backend.data import avatars, digits
from backend.denoiser.base import Denoiser, branches
from backend.guidance import class_statistics
from backend.guidance.class_statistics import LABELS, ClassStatistics
from backend.guidance.split import measures, nearest
from backend.guidance.terms import PairDenoiser, terms
from backend.inference.catalogue import Card
from backend.inference.load import Model
from backend.inference.pictures import held_out
from backend.metrics.intervals import bootstrap
from backend.request import Progress, Request, option, require
from backend.sampling.noise import noise

NOISIEST, CLEANEST = 100.0, 0.02  # noise levels
NEAR = 0.05  # the gain below which a network counts as linear
BATCH = 16  # pictures at once
MOST = 6000  # samples times levels


@dataclass(frozen=True)
class Curve:
    """At L noise levels a fraction of sums over pictures, and its bootstrap interval over pictures; (L,) float64 each."""

    value: Tensor
    low: Tensor
    high: Tensor


@dataclass(frozen=True)
class Departure:
    """Of a network from its linear model, on n noisy pictures.

    relative, gain: the two fractions. error: |x_0 - D|^2 / |x_0 - D_lin|^2; above 1 the linear model is the better denoiser.
    floor (L,): what `relative` would be, expected, if D were exact and linear and mu the mean of so few pictures.
    norm (L,): |D - mu|, root mean square. regime: the lowest of the noise levels from which on up the gain is below 0.05, None
    where it never is. pictures: n. of: pictures that mu and S are from.
    """

    relative: Curve
    gain: Curve
    error: Curve
    floor: Tensor
    norm: Tensor
    regime: float | None
    pictures: int
    of: int


@dataclass(frozen=True)
class Linearity:
    """At L noise levels, `level` (L,), falling.

    conditional: of D_c, pictures of the class; unconditional: of D_u, pictures of all classes.

    Of D_c - D_u on the noisy pictures of the class:
    norm (L,): root mean square. cosine: with the difference of the linear models, mean over pictures.
    apart: |D_c - D_u - linear difference|^2 / |D_c - D_u|^2; above 1 the linear direction is worse than none.
    explained: share of |D_c - D_u|^2 in multiples of the mean shift, Pos-CPC and Neg-CPC, which are fitted to every picture;
    parts: by one of the three alone. chance: what a random direction in `dimensions` dimensions would explain, three times.
    d: dimensions of the statistics. note: a sentence about shrinkage, "" for none.
    """

    level: Tensor
    conditional: Departure
    unconditional: Departure
    norm: Tensor
    cosine: Curve
    apart: Curve
    explained: Curve
    parts: tuple[Curve, Curve, Curve]
    chance: float
    dimensions: int
    d: int
    note: str


@dataclass(frozen=True)
class CompareWithLinear(Request):
    """How far a network is from its linear model, for a class, for all data and for their difference.

    After Li, Wang and Qu (https://arxiv.org/abs/2505.19210), who name no noise level where the linear regime ends.
    """

    model: Literal["avatars", "digits"] = option("avatars", "the model")
    label: str = option("happy", "the class")
    samples: int = option(64, "the number of samples")
    levels: int = option(12, "the number of noise levels")
    seed: int = option(0, "the seed")

    def check(self) -> None:
        known = ", ".join(LABELS[self.model])
        require(self.label in LABELS[self.model], f"There is no such class; the classes are {known}.")
        require(8 <= self.samples <= 400, "Ask for 8 to 400 samples; intervals of fewer say nothing.")
        require(3 <= self.levels <= 60, "Ask for 3 to 60 noise levels.")
        require(self.samples * self.levels <= MOST, f"Samples times noise levels must be at most {MOST:,}.")
        require(0 <= self.seed < 2**31 - 1000, "The seed must be between 0 and 2,147,482,647.")

    def run(self, model: Model) -> Iterator[Any]:
        yield Progress(0, self.levels, "noise levels")
        stats, schedule = class_statistics.of_class(self.model, self.label), model.denoiser.schedule
        levels = torch.logspace(0, 1, self.levels, base=CLEANEST / NOISIEST, dtype=torch.float64) * NOISIEST
        sets = [unseen(model.card, label, self.samples) for label in (self.label, "")]
        condition = model.condition(label=self.label)
        rows = []
        for done, t in enumerate(schedule.time(-2 * levels.log()), 1):
            found = []
            for pictures, conditions in zip(sets, ([condition, {}], [{}]), strict=True):
                chunks = []
                for i in range(0, len(pictures), BATCH):
                    chunk = pictures[i : i + BATCH]
                    x_t = _noisy(model.denoiser, chunk, t, self.seed + i)
                    chunks.append(_compared(model, stats, x_t, chunk, t, conditions))
                    yield Progress(done - 1, self.levels, "noise levels")  # a cancel is heard here
                found.append({name: torch.cat([c[name] for c in chunks], -1) for name in chunks[0]})
            rows.append(found)
            yield Progress(done, self.levels, "noise levels")
        own, every = zip(*rows, strict=True)
        all_pictures = round(stats.n * stats.bound)
        dimensions = math.prod(model.denoiser.shape)
        yield Linearity(
            level=levels,
            conditional=_departure(own, levels, float(stats.pair.conditional.variances.sum()), stats.n),
            unconditional=_departure(
                every, levels, float(stats.pair.unconditional.variances.sum()), all_pictures
            ),
            norm=torch.stack([row["difference"].mean().sqrt() for row in own]),
            cosine=_curve([(row["cosine"], torch.ones_like(row["cosine"])) for row in own]),
            apart=_curve([(row["apart"], row["difference"]) for row in own]),
            explained=_curve([(row["difference"] - row["residual"], row["difference"]) for row in own]),
            parts=tuple(_curve([(row["alone"][i], row["difference"]) for row in own]) for i in range(3)),
            chance=min(1.0, 3 / dimensions),
            dimensions=dimensions,
            d=stats.pair.d,
            note=stats.note,
        )


def unseen(card: Card, label: str, n: int) -> Tensor:
    """At most n pictures (n, *shape) of a class, "" for all, that neither the network nor its statistics are from."""
    if card.data == "avatars":
        own = LABELS["avatars"].index(label) if label else 0
        step = len(avatars.EXPRESSIONS) if label else 1
        return held_out(card, range(own, own + n * step, step))[0]
    both = [digits.split(name) for name in ("classifier", "test")]
    pictures, labels = (torch.cat(a) for a in zip(*both, strict=True))
    return (pictures[labels == LABELS["digits"].index(label)] if label else pictures)[:n]


def _noisy(denoiser: Denoiser, pictures: Tensor, t: Tensor, seed: int) -> Tensor:
    alpha, sigma = (float(a) for a in denoiser.schedule(t))
    return alpha * pictures + sigma * noise(range(seed, seed + len(pictures)), denoiser.shape)


@torch.no_grad()
def _compared(
    model: Model,
    stats: ClassStatistics,
    x_t: Tensor,
    x_0: Tensor,
    t: Tensor,
    conditions: list[dict[str, Tensor]],
) -> dict[str, Tensor]:
    """Squares for every picture: of the mean under the first condition, and, given two, of the difference from the second."""
    means = branches(model.denoiser, x_t.to(model.device), t, conditions).cpu()
    D, flat = means[0].flatten(1).double(), x_t.flatten(1).double()
    coordinates = flat if stats.basis is None else flat @ stats.basis.mT
    linear = PairDenoiser(stats.pair, model.denoiser.schedule)
    if conditions[0]:
        answer = linear(coordinates, t, label=torch.tensor(0))
        mean = stats.pair.conditional.mean
    else:
        answer, mean = linear(coordinates, t), stats.pair.unconditional.mean
    answer, mean = (stats.picture(a).flatten(-len(stats.shape)) for a in (answer, mean))
    truth = x_0.flatten(1).double()
    squares = {
        "distance": D - answer,
        "size": D - mean,
        "error": truth - D,
        "linear_error": truth - answer,
    }
    found = {name: value.square().sum(-1) for name, value in squares.items()}
    if len(conditions) == 1:
        return found
    difference = (means[0] - means[1]).flatten(1).double()
    every = terms(stats.pair, model.denoiser.schedule, stats.shape, stats.basis).values()
    parts = torch.stack([part(x_t, t, *means) for part in every]).flatten(2).double()
    along = (difference * parts).sum(-1).square() / parts.square().sum(-1).clamp_min(1e-300)
    return found | measures(difference, parts, nearest(difference, parts)) | {"alone": along}


def _departure(rows: tuple[dict[str, Tensor], ...], levels: Tensor, variance: float, of: int) -> Departure:
    size = torch.stack([row["size"].mean() for row in rows])
    gain = _curve([(row["distance"], row["linear_error"]) for row in rows])
    near = (gain.value < NEAR).long().cumprod(0).bool()  # and so at all noisier levels
    return Departure(
        relative=_curve([(row["distance"], row["size"]) for row in rows]),
        gain=gain,
        error=_curve([(row["error"], row["linear_error"]) for row in rows]),
        floor=variance / of / size,
        norm=size.sqrt(),
        regime=float(levels[near][-1]) if near.any() else None,
        pictures=len(rows[0]["size"]),
        of=of,
    )


def _curve(fractions: list[tuple[Tensor, Tensor]]) -> Curve:
    """Of sums above and sums below, (n,) each, for each noise level; resampled together."""
    found = []
    for above, below in fractions:
        above, below = above.numpy(), below.clamp_min(1e-300).numpy()

        def fraction(chosen: Any, axis: int = -1, above: Any = above, below: Any = below) -> Any:
            chosen = chosen.astype(int)
            return above[chosen].sum(axis) / below[chosen].sum(axis)

        estimate = bootstrap(range(len(above)), fraction)
        found.append((estimate.value, estimate.low, estimate.high))
    return Curve(*torch.tensor(found, dtype=torch.float64).unbind(1))
