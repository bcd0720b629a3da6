"""What classifier-free guidance adds, taken apart exactly where the class and all data are Gaussians.

For p_c = N(mu_c, S_c) and p_u = N(mu_u, S_u), at the noise level l = sigma / alpha,

    D_c - D_u = (I - A_u)(mu_c - mu_u) + P (x_t / alpha - mu_c) + N (x_t / alpha - mu_c),    A = S (S + l^2 I)^-1

with P and N the positive and the negative eigenpart of A_c - A_u: mean shift, Pos-CPC and Neg-CPC of Li, Wang and Qu
(https://arxiv.org/abs/2505.19210), here in the units of x_0 instead of the score's. The identity holds for any two
Gaussians; their covariances need no common eigenvectors.

Nothing is divided by alpha, which is 0 at the start of flow matching: with r^2 = alpha^2 + sigma^2, a = alpha / r and
s = sigma / r, all is written in x_t / r and E = A / a^2 = S (a^2 S + s^2 I)^-1, which is finite at every noise level.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser, as_time
from backend.denoiser.combine import Term
from backend.schedule import Schedule

NAMES = ("mean_shift", "positive", "negative")
LEVELS = 256  # noise levels kept for a pair: 17 MB in 64 dimensions


@dataclass(frozen=True, eq=False)
class Gaussian:
    """N(mean, vectors diag(variances) vectors^T), float64: mean (d,), variances (d,) falling, vectors (d, d) in columns."""

    mean: Tensor
    variances: Tensor
    vectors: Tensor

    @property
    def covariance(self) -> Tensor:
        return (self.vectors * self.variances) @ self.vectors.mT

    def gain(self, a: float, s: float) -> Tensor:
        """E = A / a^2, (d, d). A direction without variance stays at 0, without noise too."""
        floor = torch.finfo(torch.float64).eps ** 2
        return (
            self.vectors * (self.variances / (a**2 * self.variances + s**2).clamp_min(floor))
        ) @ self.vectors.mT


def gaussian(mean: Tensor, covariance: Tensor) -> Gaussian:
    """The Gaussian of this mean (d,) and covariance (d, d), which may be singular: variances that are rounding become 0.

    Raises:
        ValueError: if the shapes do not fit, or the covariance is not symmetric and positive semidefinite.
    """
    mean, covariance = mean.double(), covariance.double()
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        raise ValueError("A Gaussian needs a mean (d,) and a covariance (d, d).")
    if not (mean.isfinite().all() and torch.allclose(covariance, covariance.mT, atol=1e-9)):
        raise ValueError("A Gaussian needs finite numbers and a symmetric covariance.")
    variances, vectors = (a.flip(-1) for a in torch.linalg.eigh(covariance))
    rounding = len(mean) * torch.finfo(torch.float64).eps * variances.abs().max()
    if variances.min() < -100 * rounding:
        raise ValueError("A covariance has no negative eigenvalues.")
    return Gaussian(mean, torch.where(variances > rounding, variances, 0.0), vectors)


class Parts(NamedTuple):
    """Two Gaussians at one noise level, float64; with leading axes (*batch) where there is one for each sample.

    a, s (): alpha / r and sigma / r. gain_c, gain_u (d, d): E of both.
    mean_shift (d,): (I - A_u)(mu_c - mu_u), in the units of x_0.
    values (d,) rising, vectors (d, d): of E_c - E_u, whose eigenvectors and signs are those of A_c - A_u = a^2 (E_c - E_u).
    """

    a: Tensor
    s: Tensor
    gain_c: Tensor
    gain_u: Tensor
    mean_shift: Tensor
    values: Tensor
    vectors: Tensor


class Pair:
    """A class and all data as two Gaussians of one dimension d."""

    def __init__(self, conditional: Gaussian, unconditional: Gaussian):
        if conditional.mean.shape != unconditional.mean.shape:
            raise ValueError("The two Gaussians must have the same dimension.")
        self.conditional, self.unconditional = conditional, unconditional
        self.d = len(conditional.mean)
        self.difference = conditional.mean - unconditional.mean
        self.at = lru_cache(LEVELS)(self._at)  # one eigendecomposition for each noise level

    def _at(self, level: float) -> Parts:
        """Both Gaussians at the noise level sigma / alpha, 0 and inf included; cached as `at`."""
        a = 1 / math.hypot(1, level)
        s = level * a if level < math.inf else 1.0
        gain_c, gain_u = self.conditional.gain(a, s), self.unconditional.gain(a, s)
        mean_shift = self.difference - a**2 * (gain_u @ self.difference)
        values, vectors = torch.linalg.eigh(gain_c - gain_u)
        return Parts(as_time(a), as_time(s), gain_c, gain_u, mean_shift, values, vectors)

    def cpc(self, level: float) -> tuple[Tensor, Tensor]:
        """Eigenvalues of A_c - A_u, (d,) rising, and its eigenvectors, (d, d) in columns: the CPCs at this noise level."""
        parts = self.at(level)
        return parts.a**2 * parts.values, parts.vectors

    def parts(self, levels: Tensor) -> Parts:
        """`at` for one noise level, (), or for one for each sample, (*batch)."""
        if levels.ndim == 0:
            return self.at(levels.item())
        unique, index = levels.unique(return_inverse=True)
        each = [self.at(level) for level in unique.tolist()]
        return Parts(*(torch.stack(values)[index.cpu()] for values in zip(*each, strict=True)))


class PairDenoiser(Denoiser):
    """The posterior means of a pair, E[x_0 | x_t] = mu + A (x_t / alpha - mu): label 0 is the class, -1 (null) all data.

    Args:
        pair: of dimension d.
        schedule: the noise schedule.
        shape: of one sample, with d numbers; (d,) unless given.
    """

    def __init__(self, pair: Pair, schedule: Schedule, shape: tuple[int, ...] | None = None):
        super().__init__()
        self.pair, self.schedule, self.shape = pair, schedule, tuple(shape or (pair.d,))
        self.null = {"label": torch.tensor(-1)}

    def forward(self, x_t: Tensor, t: Tensor | float, **condition: Tensor) -> Tensor:
        label = self.complete(condition, self.batch(x_t))["label"].to(x_t.device)
        x = x_t.reshape(*self.batch(x_t), self.pair.d).to(self.pair.difference)
        parts, r = _at(self.pair, self.schedule, t)
        both = []
        for gaussian, gain in (
            (self.pair.conditional, parts.gain_c),
            (self.pair.unconditional, parts.gain_u),
        ):
            a = _axis(parts.a, x)
            both.append(gaussian.mean + a * _apply(gain, x / _axis(r, x) - a * gaussian.mean))
        answer = torch.where((label >= 0)[..., None], *both)
        return answer.reshape(x_t.shape).to(x_t)


def term(
    pair: Pair,
    schedule: Schedule,
    names: Collection[str] = NAMES,
    shape: tuple[int, ...] | None = None,
    basis: Tensor | None = None,
) -> Term:
    """The sum of the named parts of D_c - D_u, as a `Term` for `Guided`; all three are D_c - D_u to rounding.

    It needs neither D_c nor D_u, so it can be added to a network too.

    Args:
        names: any of NAMES.
        shape: of one sample; (d,) unless given.
        basis: orthonormal rows (d, D) where samples have D > d numbers and the pair lives on their coordinates basis @ x:
            the term is then 0 outside.
    """
    low = None if "negative" in names else 0.0
    high = None if "positive" in names else 0.0
    axes = len(shape or (pair.d,))

    def add(x_t: Tensor, t: Tensor, conditional: Tensor, unconditional: Tensor) -> Tensor:
        x = x_t.reshape(*x_t.shape[: x_t.ndim - axes], -1).to(pair.difference)
        x = x if basis is None else x @ basis.mT
        parts, r = _at(pair, schedule, t)
        added = torch.zeros_like(x)
        if (low, high) != (0.0, 0.0):
            a = _axis(parts.a, x)
            z = x / _axis(r, x) - a * pair.conditional.mean
            values = parts.values if (low, high) == (None, None) else parts.values.clamp(low, high)
            added = a * _apply(parts.vectors, values * _apply(parts.vectors.mT, z))
        if "mean_shift" in names:
            added = added + parts.mean_shift
        return (added if basis is None else added @ basis).reshape(x_t.shape).to(x_t)

    return add


def terms(
    pair: Pair, schedule: Schedule, shape: tuple[int, ...] | None = None, basis: Tensor | None = None
) -> dict[str, Term]:
    """The three parts by name; arguments as for `term`."""
    return {name: term(pair, schedule, (name,), shape, basis) for name in NAMES}


def _at(pair: Pair, schedule: Schedule, t: Tensor | float) -> tuple[Parts, Tensor]:
    """The pair's parts at times t, () or (*batch), and r."""
    alpha, sigma = schedule(as_time(t))
    return pair.parts(sigma / alpha), torch.hypot(alpha, sigma)


def _apply(matrix: Tensor, z: Tensor) -> Tensor:
    return torch.einsum("...ij,...j->...i", matrix, z)


def _axis(value: Tensor, x: Tensor) -> Tensor:
    """A number () or one for each sample (*batch) as a factor of x (*batch, d)."""
    return value.to(x)[..., None] if value.ndim else value.to(x)
