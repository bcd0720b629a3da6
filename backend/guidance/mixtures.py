"""Mixtures of isotropic Gaussians whose posterior means are exact: classes on a grid in the plane, and classes in many dimensions.

Every mode k of the data is N(mu_k, v_k I) and belongs to one class; all classes are equally frequent. With A_k = v_k / (v_k + l^2),
z = x_t / alpha, and the responsibilities q_j of the class's modes and r_k of those of all data at the noise level l,

    D_c - D_u = sum_j q_j sum_k r_k (1 - A_k)(mu_j - mu_k)     mean shift
              + sum_j q_j (A_j - A)(z - mu_j),                 CPC, A = sum_k r_k A_k: positive where A_j > A, negative where A_j < A

which is the split of backend.guidance.terms for two Gaussians, and exact here too; but r and q depend on x. Where all modes have
one variance, A_j = A and the whole difference is "mean shift": that name then says nothing about what becomes of the variance.
What guidance does locally is in its Jacobian instead, a different split: its trace is `divergence`, negative where a unit of
guidance contracts.
"""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser, as_time, like
from backend.denoiser.combine import Term
from backend.denoiser.gaussian_mixture import GaussianMixture
from backend.guidance.terms import NAMES
from backend.schedule import Schedule, noise_level

Unconditional = Literal["mixture", "broad"]
Kind = Literal["two", "exponential", "polynomial"]
LARGEST_K = 1000  # classes; e^(a d) soon has more than can be summed over
CHUNK = 2**19  # numbers of samples times modes times dimensions at once: they stay in a processor's cache
BLOCKS = 20  # of the jackknife


@dataclass(frozen=True, eq=False)
class Modes:
    """sum_k w_k N(mu_k, v_k I), float64: weights (K,) of sum 1, means (K, d), variances (K,)."""

    weights: Tensor
    means: Tensor
    variances: Tensor

    @property
    def mean(self) -> Tensor:
        return self.weights @ self.means

    @property
    def between(self) -> Tensor:
        """Covariance (d, d) of the means: all that is left of the variance where every mode is a point."""
        centred = self.means - self.mean
        return (self.weights * centred.mT) @ centred

    @property
    def variance(self) -> float:
        """The mean over the axes of the variance."""
        return float(self.weights @ self.variances + self.between.diagonal().mean())

    def at(self, schedule: Schedule) -> GaussianMixture:
        K, d = self.means.shape
        factors, values = self.means.new_zeros(K, d, 0), self.means.new_zeros(K, 0)
        return GaussianMixture(schedule, (d,), self.weights, self.means, factors, values, self.variances)


@dataclass(frozen=True, eq=False)
class Classes:
    """All data as the modes of classes, and what guidance takes for all data.

    modes: of the data. owner (K,) int64: the class of each mode, all of 0 to classes - 1. unconditional: the same modes, or
    one broad Gaussian.
    """

    modes: Modes
    owner: Tensor
    unconditional: Modes

    @property
    def count(self) -> int:
        return int(self.owner.max()) + 1

    def own(self, label: int) -> Modes:
        """A class's modes, with weights of sum 1.

        Raises:
            ValueError: if there is no such class.
        """
        kept = self.owner == label
        if not kept.any():
            raise ValueError("There is no such class.")
        weights = self.modes.weights[kept]
        return Modes(weights / weights.sum(), self.modes.means[kept], self.modes.variances[kept])

    def given(self, schedule: Schedule, label: int) -> "MixtureDenoiser":
        """Of one class, which is label 0 there."""
        return MixtureDenoiser(schedule, self.own(label), self.unconditional)

    def every(self, schedule: Schedule) -> "MixtureDenoiser":
        """Of all classes by their labels, where each has one mode and all have one variance."""
        variance = self.modes.variances[:1]
        shape = Modes(torch.ones_like(variance), torch.zeros_like(self.modes.means[:1]), variance)
        return MixtureDenoiser(schedule, shape, self.unconditional, self.modes.means)


def grid(
    spacing: float,
    side: int,
    distance: float,
    weak: float,
    variance: float,
    unconditional: Unconditional = "mixture",
) -> Classes:
    """A class of two modes in the plane, and classes of one mode on a square grid around it.

    Class 0 has a strong mode at (distance / 2, 0) and a weak one at (-distance / 2, 0); of the grid's side x side sites, centred
    at the origin, those nearer than half a spacing to one of them give way, and the others are classes 1, 2, ... in rows.

    Args:
        weak: weight of the weak mode in its class; with 0 it has the strong mode alone.
        variance: of every mode.
        unconditional: the mixture, or the isotropic Gaussian of its mean and its mean variance, which stays broader than every
            mode down to no noise.
    """
    own = torch.tensor([[distance / 2, 0.0], [-distance / 2, 0.0]], dtype=torch.float64)[: 2 if weak else 1]
    line = (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) * spacing
    sites = torch.cartesian_prod(line.flip(0), line).flip(1)  # in rows from the top
    near = (sites[:, None] - own).square().sum(-1).amin(1) < (spacing / 2) ** 2 * (1 - 1e-9)
    means = torch.cat([own, sites[~near]])
    owner = torch.cat([torch.zeros(len(own)), torch.arange(len(means) - len(own)) + 1]).long()
    weights = torch.ones(len(means), dtype=torch.float64)
    weights[: len(own)] = weights.new_tensor([1 - weak, weak])[: len(own)]
    modes = Modes(weights / weights.sum(), means, torch.full_like(weights, variance))
    return Classes(modes, owner, broad(modes) if unconditional == "broad" else modes)


def broad(modes: Modes) -> Modes:
    """One isotropic Gaussian of the mixture's mean and mean variance."""
    one = torch.ones(1, dtype=torch.float64)
    return Modes(one, modes.mean[None], modes.variance * one)


def number(kind: Kind, d: int, rate: float, power: float) -> tuple[int, bool]:
    """How many classes: 2, e^(rate d) or d^power, rounded, and whether that was cut to 2 to LARGEST_K."""
    if kind == "two":
        return 2, False
    log = rate * d if kind == "exponential" else power * math.log(d)
    asked = round(math.exp(min(log, 50.0)))
    K = min(max(asked, 2), LARGEST_K)
    return K, asked != K


def sphere(d: int, K: int, variance: float, seed: int) -> Classes:
    """K classes N(m_k, variance I) with |m_k| = sqrt(d): at +-m for K = 2, else in directions drawn evenly from the sphere."""
    if K == 2:
        means = torch.ones(1, d, dtype=torch.float64) * torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
    else:
        drawn = torch.randn(K, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        means = math.sqrt(d) * drawn / drawn.norm(dim=1, keepdim=True)
    one = torch.ones(K, dtype=torch.float64)
    modes = Modes(one / K, means, variance * one)
    return Classes(modes, torch.arange(K), modes)


class MixtureDenoiser(Denoiser):
    """The posterior means of classes and of all data, each a GaussianMixture: label k is class k, -1 (null) all data.

    Args:
        schedule: the noise schedule.
        own: the modes of a class.
        unconditional: those of all data.
        centres: (C, d) where C classes are copies of `own`, moved there; one at the origin unless given.
    """

    def __init__(self, schedule: Schedule, own: Modes, unconditional: Modes, centres: Tensor | None = None):
        super().__init__()
        self.own, self.unconditional = own.at(schedule), unconditional.at(schedule)
        self.register_buffer("centres", torch.zeros_like(own.means[:1]) if centres is None else centres)
        self.schedule, self.shape = schedule, self.own.shape
        self.null = {"label": torch.tensor(-1)}

    def forward(self, x_t: Tensor, t: Tensor | float, **condition: Tensor) -> Tensor:
        batch = self.batch(x_t)
        label = self.complete(condition, batch)["label"].flatten()
        x = x_t.reshape(-1, *self.shape).to(self.centres)
        t = as_time(t).expand(batch).flatten()
        answer = torch.zeros_like(x)
        own, every = ((label >= 0).nonzero()[:, 0], (label < 0).nonzero()[:, 0])
        if len(own):
            centre = self.centres[label[own]]
            moved = x[own] - like(self.schedule(t[own])[0], x) * centre
            answer = answer.index_copy(0, own, _in_parts(self.own, moved, t[own]) + centre)
        if len(every):
            answer = answer.index_copy(0, every, _in_parts(self.unconditional, x[every], t[every]))
        return answer.reshape(x_t.shape).to(x_t)


def _in_parts(mixture: GaussianMixture, x: Tensor, t: Tensor) -> Tensor:
    """The mixture's posterior means of samples (B, d) at times (B,)."""
    size = max(1, CHUNK // mixture.means.numel())
    return torch.cat([mixture(part, time) for part, time in zip(x.split(size), t.split(size), strict=True)])


def split(denoiser: MixtureDenoiser, x_t: Tensor, t: Tensor | float) -> dict[str, Tensor]:
    """mean_shift, positive and negative, each of the shape of x_t, whose sum is D_c - D_u for the class at the origin."""
    c, u = denoiser.own, denoiser.unconditional
    (z, _, q, a_c), (_, _, r, a_u) = _at(c, x_t, t), _at(u, x_t, t)
    mixed = (r * a_u).sum(-1, keepdim=True)  # A
    shift = (1 - mixed) * (q @ c.means) - (r * (1 - a_u)) @ u.means
    gain = a_c - mixed  # (*batch, M)
    gain = torch.where(gain.abs() > 4 * torch.finfo(gain.dtype).eps, gain, 0.0)  # equal variances, rounded
    apart = z[..., None, :] - c.means

    def along(gain: Tensor) -> Tensor:
        return ((q * gain)[..., None] * apart).sum(-2).to(x_t)

    parts = (shift.to(x_t), along(gain.clamp_min(0)), along(gain.clamp_max(0)))
    return dict(zip(NAMES, parts, strict=True))


def term(denoiser: MixtureDenoiser, names: Collection[str] = NAMES) -> Term:
    """The sum of the named parts of D_c - D_u, as a `Term` for `Guided`."""

    def add(x_t: Tensor, t: Tensor, conditional: Tensor, unconditional: Tensor) -> Tensor:
        return sum((part for name, part in split(denoiser, x_t, t).items() if name in names), 0 * x_t)

    return add


def divergence(mixture: GaussianMixture, x_t: Tensor, t: Tensor | float) -> Tensor:
    """Trace of the posterior mean's Jacobian in z = x_t / alpha, (*batch): tr Cov[x_0 | x_t] / l^2, at noise levels above 0."""
    z, square, r, a = _at(mixture, x_t, t)
    each = mixture.means + a[..., None] * (z[..., None, :] - mixture.means)  # E[x_0 | x_t, k]
    apart = each - (r[..., None] * each).sum(-2, keepdim=True)
    return (r * (z.shape[-1] * a + apart.square().sum(-1) / square)).sum(-1)


def _at(mixture: GaussianMixture, x_t: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """z = x_t / alpha, l^2 with an axis for the modes, responsibilities (*batch, K), and A of each mode there."""
    x, t = x_t.to(mixture.means), as_time(t)
    square = noise_level(mixture.schedule, t).square()[..., None]
    variance = mixture.residual_variance
    gain = variance / (variance + square).clamp_min(torch.finfo(x.dtype).eps ** 2)
    r = mixture.responsibilities(x, t)
    return x / like(mixture.schedule(t)[0], x), square, r, gain.expand(r.shape)


@dataclass(frozen=True)
class Distortion:
    """How far samples of classes are from what they should be, N(m_k, v I): values () or (N,), float64.

    overshoot: mean of the coordinate along m_k, less |m_k|. along, across: variance about m_k along it (about the samples' own
    mean there) and in the other directions, over v. w2: squared Wasserstein distance over d, between Gaussians of these
    moments. separability: distance from the middle to the nearest other class, mean over standard deviation. accuracy: share
    whose own class is the most probable.
    """

    overshoot: Tensor
    along: Tensor
    across: Tensor
    w2: Tensor
    separability: Tensor
    accuracy: Tensor


def distortion(x: Tensor, label: Tensor, classes: Classes) -> tuple[Distortion, Distortion]:
    """Of samples, and its standard errors.

    Args:
        x: samples (S, d) without noise, d > 1. label: the class of each, (S,).
        classes: of one mode each, all of one variance.
    """
    means, v, d = classes.modes.means, float(classes.modes.variances[0]), x.shape[1]
    off, own = x - means[label], means[label]
    along = (off * own).sum(1) / own.norm(dim=1)
    across = (off.square().sum(1) - along**2) / (d - 1)
    exact = "donot_use_mm_for_euclid_dist"
    gap, other = torch.cdist(means, means, compute_mode=exact).fill_diagonal_(math.inf).min(1)
    apart = (off * (own - means[other[label]])).sum(1) / gap[label]
    chosen = (torch.cdist(x, means, compute_mode=exact).argmin(1) == label).double()

    def measure(i: Tensor) -> Tensor:
        mean, one, rest = along[i].mean(), along[i].var(), across[i].mean()
        w2 = (mean**2 + (one.sqrt() - v**0.5) ** 2 + (d - 1) * (rest.sqrt() - v**0.5) ** 2) / d
        separability = (apart[i] + gap[label[i]] / 2).mean() / apart[i].std()
        return torch.stack([mean, one / v, rest / v, w2, separability, chosen[i].mean()])

    value, error = _jackknife(measure, len(x))
    return Distortion(*value), Distortion(*error)


def _jackknife(measure: Callable[[Tensor], Tensor], n: int) -> tuple[Tensor, Tensor]:
    """A statistic of samples, given by their indices, and its standard error from leaving out each of BLOCKS parts."""
    index = torch.arange(n)
    parts = index.chunk(min(BLOCKS, n))
    left = torch.stack([measure(torch.cat(parts[:i] + parts[i + 1 :])) for i in range(len(parts))])
    error = ((len(parts) - 1) / len(parts) * (left - left.mean(0)).square().sum(0)).sqrt()
    return measure(index), error
