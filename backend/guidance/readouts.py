"""What guidance did to samples of a Gaussian class: per mode, along the contrastive components, on the way, and as pictures."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.guidance import theory
from backend.guidance.class_statistics import ClassStatistics
from backend.guidance.terms import NAMES, terms
from backend.guidance.theory import Mode, Moments
from backend.guidance.weights import NoiseWeight
from backend.schedule import Schedule, noise_level

LEVELS = 161  # of curves over the noise level
SHOWN = 4  # components of each kind
NONE = 1e-12  # eigenvalues of A_c - A_u within this of 0 are rounding
CUT = 1e6  # of shown pictures: strong Pos-CPC guidance has no bound


@dataclass(frozen=True)
class Sampled:
    """States x_t (n + 1, B, d) of B samples at n + 1 times, and the exact moments of what the sampler returns there."""

    states: Tensor
    moments: Moments

    def along(self, vectors: Tensor, centre: Tensor) -> tuple[Mode, Mode, Tensor]:
        """Of V^T (x - centre) at the end, vectors (d, M) and centre (d,): exact, sampled, and the values (M, B)."""
        values = ((self.states[-1] - centre) @ vectors).mT
        mean = (self.moments.mean[-1] - centre) @ vectors
        variance = torch.einsum("dm,de,em->m", vectors, self.moments.covariance[-1], vectors)
        return Mode(mean, variance), Mode(values.mean(1), values.var(1)), values


@dataclass(frozen=True)
class ModeTable:
    """Along the d eigenvectors v of S_c, most variance first; (d,) float64 each, means relative to the class's.

    variance_c, variance_u: lambda_c, and lambda_u = v^T S_u v. delta: v^T (mu_c - mu_u).
    mixing: |S_u v - lambda_u v| / lambda_u; the closed forms are exact where it is 0.
    predicted, sampled: exactly what this sampler returns on these steps, and what its samples have; *_plain: without guidance.
    mean_error, variance_error: standard errors of `sampled` about `predicted`.
    ode, sde, tilted: closed forms, as if v were an eigenvector of both, from infinite noise and without steps. For a weight
        that varies ode and sde are by quadrature and tilted is NaN.
    """

    variance_c: Tensor
    variance_u: Tensor
    delta: Tensor
    mixing: Tensor
    predicted: Mode
    sampled: Mode
    predicted_plain: Mode
    sampled_plain: Mode
    mean_error: Tensor
    variance_error: Tensor
    ode: Mode
    sde: Mode
    tilted: Mode


@dataclass(frozen=True)
class Projections:
    """Coordinates v^T (x - mu_c) of samples on three unit vectors: the leading Pos-CPC, the leading Neg-CPC, the mean difference.

    guided, plain (3, B): of the samples, with guidance and without; predicted, predicted_plain: their exact mean and variance,
    (3,) each. A row is NaN where there is no such vector.
    """

    guided: Tensor
    plain: Tensor
    predicted: Mode
    predicted_plain: Mode


@dataclass(frozen=True)
class Trajectories:
    """In the plane of the class's two leading principal components, relative to its mean, at n + 1 times; float64.

    guided, plain (n + 1, B, 2): samples, with guidance and without.
    conditional (n + 1, B, 2): the class alone by the ODE from the same noises, in closed form.
    mean (n + 1, 2), covariance (n + 1, 2, 2): exact, of `guided`.
    """

    guided: Tensor
    plain: Tensor
    conditional: Tensor
    mean: Tensor
    covariance: Tensor


@dataclass(frozen=True)
class Components:
    """Pictures (*shape) float32 of the two Gaussians.

    mean_c, mean_u, difference (*shape): means of the class and of all data, and the first less the second.
    principal, positive, negative (at most 4, *shape): leading eigenvectors, of unit length, of S_c, and of A_c - A_u at one noise
        level with positive and with negative eigenvalues; principal_values, positive_values, negative_values: their eigenvalues.
    overlap: mean squared cosine between the 4 leading principal components of the class and of all data; 4 / d by chance.
    pattern: share of |mu_c - mu_u|^2 inside the class's 4 leading principal components.
    largest_ratio: of the variances in the class and in all data, over all directions.
    """

    mean_c: Tensor
    mean_u: Tensor
    difference: Tensor
    principal: Tensor
    principal_values: Tensor
    positive: Tensor
    positive_values: Tensor
    negative: Tensor
    negative_values: Tensor
    overlap: float
    pattern: float
    largest_ratio: float


@dataclass(frozen=True)
class Curves:
    """Over the noise level.

    steps, steps_weight (n,): where each step begins, and the weight there.
    norms (4, n): of mean shift, Pos-CPC, Neg-CPC and D_c - D_u there, before weighting, root mean square over the samples.
    level, weight (L,): the weight's curve. kernel_variance, kernel_mean (d, L) float32: of each mode (backend.guidance.theory).
    low, high: the grid's last noise level above 0, and its first. area: of the weight over the log noise level between them.
    """

    steps: Tensor
    steps_weight: Tensor
    norms: Tensor
    level: Tensor
    weight: Tensor
    kernel_variance: Tensor
    kernel_mean: Tensor
    low: float
    high: float
    area: float


def mode_table(
    stats: ClassStatistics, guided: Sampled, plain: Sampled, ode: Mode, sde: Mode, tilted: Mode
) -> ModeTable:
    """The closed forms come from the caller, who knows the weights."""
    own, samples = stats.pair.conditional, guided.states.shape[1]
    variance_u, mixing = modes_of(stats)
    predicted, sampled, _ = guided.along(own.vectors, own.mean)
    predicted_plain, sampled_plain, _ = plain.along(own.vectors, own.mean)
    return ModeTable(
        variance_c=own.variances,
        variance_u=variance_u,
        delta=stats.pair.difference @ own.vectors,
        mixing=mixing,
        predicted=predicted,
        sampled=sampled,
        predicted_plain=predicted_plain,
        sampled_plain=sampled_plain,
        mean_error=(predicted.variance / samples).clamp_min(0).sqrt(),
        variance_error=predicted.variance * (2 / (samples - 1)) ** 0.5,  # x is Gaussian
        ode=ode,
        sde=sde,
        tilted=tilted,
    )


def modes_of(stats: ClassStatistics) -> tuple[Tensor, Tensor]:
    """lambda_u = v^T S_u v and the mixing of every eigenvector v of S_c, (d,) each."""
    vectors = stats.pair.conditional.vectors
    turned = stats.pair.unconditional.covariance @ vectors
    variance_u = (vectors * turned).sum(0).clamp_min(0)
    off = (turned - variance_u * vectors).norm(dim=0)
    return variance_u, torch.where(off > 1e-12 * variance_u.max(), off / variance_u, 0.0)


def projections(stats: ClassStatistics, level: float, guided: Sampled, plain: Sampled) -> Projections:
    """On the CPCs of one noise level."""
    own, difference = stats.pair.conditional, stats.pair.difference
    values, vectors = stats.pair.cpc(level)
    missing = torch.full_like(difference, torch.nan)
    three = [
        vectors[:, -1] if values[-1] > NONE else missing,
        vectors[:, 0] if values[0] < -NONE else missing,
        difference / difference.norm(),  # NaN where the means agree
    ]
    on = torch.stack(three, 1)
    predicted, _, of_guided = guided.along(on, own.mean)
    predicted_plain, _, of_plain = plain.along(on, own.mean)
    return Projections(of_guided, of_plain, predicted, predicted_plain)


def trajectories(
    stats: ClassStatistics, schedule: Schedule, times: Tensor, guided: Sampled, plain: Sampled
) -> Trajectories:
    own = stats.pair.conditional
    plane = own.vectors[:, :2]
    alpha = schedule(times)[0][:, None]

    def on(x: Tensor) -> Tensor:
        return (x - (alpha if x.ndim == 2 else alpha[..., None]) * own.mean) @ plane

    return Trajectories(
        guided=on(guided.states),
        plain=on(plain.states),
        conditional=on(theory.conditional_path(own, schedule, guided.states[0], times)),
        mean=on(guided.moments.mean),
        covariance=plane.mT @ guided.moments.covariance @ plane,
    )


def components(stats: ClassStatistics, level: float) -> Components:
    """With the CPCs of one noise level."""
    own, everything, difference = stats.pair.conditional, stats.pair.unconditional, stats.pair.difference
    values, vectors = stats.pair.cpc(level)
    positive = [i for i in range(stats.pair.d - 1, -1, -1) if values[i] > NONE][:SHOWN]
    negative = [i for i in range(stats.pair.d) if values[i] < -NONE][:SHOWN]
    leading = own.vectors[:, :SHOWN]
    inside = (difference @ leading).square().sum() / difference.square().sum().clamp_min(1e-300)

    def pictures(vectors: Tensor) -> Tensor:
        largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True)) if vectors.numel() else vectors[:1]
        return shown(stats.direction((vectors * largest.sign()).mT))  # an eigenvector's sign means nothing

    return Components(
        mean_c=shown(stats.picture(own.mean)),
        mean_u=shown(stats.picture(everything.mean)),
        difference=shown(stats.direction(difference)),
        principal=pictures(leading),
        principal_values=own.variances[:SHOWN],
        positive=pictures(vectors[:, positive]),
        positive_values=values[positive],
        negative=pictures(vectors[:, negative]),
        negative_values=values[negative],
        overlap=float((leading.mT @ everything.vectors[:, :SHOWN]).square().sum() / leading.shape[1]),
        pattern=float(inside),
        largest_ratio=_largest_ratio(stats),
    )


def curves(
    stats: ClassStatistics,
    weight: NoiseWeight,
    schedule: Schedule,
    times: Tensor,
    states: Tensor,
    ends: tuple[float, float],
) -> Curves:
    """Along the guided states; `ends` are the grid's noise levels, low and high."""
    parts = terms(stats.pair, schedule)
    norms = []
    for x, t in zip(states[:-1], times[:-1], strict=True):
        added = torch.stack([parts[name](x, t, x, x) for name in NAMES])
        added = torch.cat([added, added.sum(0, keepdim=True)])
        norms.append(added.square().sum(-1).mean(-1).sqrt())
    steps = noise_level(schedule, times[:-1])
    level = torch.logspace(*(math.log10(end) for end in ends), LEVELS, dtype=torch.float64)
    variance, mean = theory.kernels(stats.pair.conditional.variances, modes_of(stats)[0], level)
    return Curves(
        steps=steps,
        steps_weight=weight(steps),
        norms=torch.stack(norms, 1),
        level=level,
        weight=weight(level),
        kernel_variance=variance.float(),
        kernel_mean=mean.float(),
        low=ends[0],
        high=ends[1],
        area=weight.area(*ends),
    )


def shown(pictures: Tensor) -> Tensor:
    return pictures.clamp(-CUT, CUT).float()


def _largest_ratio(stats: ClassStatistics) -> float:
    """max_v v^T S_c v / v^T S_u v over directions in which all data vary."""
    everything = stats.pair.unconditional
    kept = everything.variances > 1e-9 * everything.variances[0]
    white = everything.vectors[:, kept] / everything.variances[kept].sqrt()
    return float(torch.linalg.eigvalsh(white.mT @ stats.pair.conditional.covariance @ white)[-1])
