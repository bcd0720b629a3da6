"""When guidance does what: three stages of sampling a class of several modes, and the noise levels at which modes part.

The stages are named after Jin, Shi and Gu (https://arxiv.org/abs/2509.22007), whose boundaries are proved to exist and not given.
These boundaries are our definition, with l = sigma / alpha the noise level:

    I    direction shift    l > l_sep: the class's modes are one blob. The largest eigenvalue of the covariance of their means
                            equals lambda + l_sep^2, with lambda the variance of a mode
    II   mode separation    from there until 95 % of the samples have a responsibility above 0.99 for one of the class's modes
    III  concentration      the rest

Two modes or classes N(+-m, lambda I) part at l^2 = |m|^2 - lambda, where their density's curvature at 0 along m,
-1 / (lambda + l^2) + |m|^2 / (lambda + l^2)^2, changes its sign: symmetry breaking, the speciation of Biroli et al.
(https://arxiv.org/abs/2402.18491). In q = z m / (|m| sqrt(lambda + l^2)) and e = |m| / sqrt(lambda + l^2), so that this is at e = 1,

    U(q) = q^2 / 2 - e q + gamma [-e q + log cosh(e q)],    -dU/dq = sqrt(lambda + l^2) times the guided score along m

is the effective potential of the class at +m. For lambda = 1 these are the coordinates of the Ornstein-Uhlenbeck process of
Pavasovic et al. (https://arxiv.org/abs/2502.07849), e = e^(-(t - t_s)) and t_s = log(d) / 2 for |m|^2 = d; its reverse SDE drifts
down V = 2 U - q^2 / 2, in which the bracket counts 2 gamma. Guidance is felt where e q is not large, which is before speciation.

With noise, V = lambda + l^2 in all, K classes N(m_k, lambda I) whose centres m_k are spread over the sphere |m|^2 = d look like
one Gaussian N(0, (1 + V) I) until one of them stands out, as in the random energy model. A sample of class m with mean (1 + b) m and
variance s about it does so for large d where

    log(K) / d = log((1 + V) / V) / 2 + ((1 + b)^2 + s) / (2 (1 + V)) - (b^2 + s) / (2 V).

Below this noise level all data are the class's own neighbourhood, and guidance has nothing left to do; above it, it is guidance
between two Gaussians, which gives b and s. Without guidance, b = 0 and s = V, it lies at l_K^2 = 1 / (K^(2 / d) - 1) - lambda.
Guidance moves samples along m, where their class stands out sooner: that saves much of the variance, of which
K^(-2 gamma / d) = e^(-2 a gamma) for K = e^(a d) would else be left to the ODE. For K = d^p the level rises with d: no variance
is lost in the end, and the overshoot over |m| vanishes (`many_classes`; derived here; samples in 20 and more dimensions agree
within a few percent for the ODE, and for the SDE at gamma 2, not at 4).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.guidance import theory
from backend.guidance.mixtures import Modes
from backend.guidance.weights import NoiseWeight, Piece

SHARE, SURE = 0.95, 0.99
E = (0.25, 0.5, 1.0, 1.5, 2.0, 3.0)  # of shown potentials
DEFINITION = (
    "Our definition: stage I while the covariance of the class's mode means has no eigenvalue above a mode's variance plus the "
    "noise's, stage II until 95 % of the samples have a responsibility above 0.99 for one of the class's modes, stage III after."
)


@dataclass(frozen=True)
class Stages:
    """Noise levels of the boundaries.

    separation: l_sep, None where the modes never part or there is one.
    resolved: where III begins, None where it never does, and the first noise level where there is one mode.
    """

    separation: float | None
    resolved: float | None
    definition: str

    def at(self, level: float) -> int:
        """1, 2 or 3."""
        if self.resolved is not None and level <= self.resolved:
            return 3
        return 2 if self.separation is not None and level <= self.separation else 1


def stages(own: Modes, levels: Tensor, responsibilities: Tensor) -> Stages:
    """Of a class's samples.

    Args:
        own: the class's modes.
        levels: noise levels (n + 1,), falling.
        responsibilities: of the class's M modes for S samples at these levels, (S, n + 1, M).
    """
    return Stages(separation_level(own), resolved_level(levels, responsibilities), DEFINITION)


def separation_level(own: Modes) -> float | None:
    """l_sep, with lambda the modes' mean variance; None where the modes never part."""
    square = float(torch.linalg.eigvalsh(own.between)[-1] - own.weights @ own.variances)
    return math.sqrt(square) if square > 0 else None


def resolved_level(levels: Tensor, responsibilities: Tensor) -> float | None:
    """The first of the noise levels from which on 95 % of the samples have a responsibility above 0.99; None for none."""
    late = (responsibilities.amax(-1) > SURE).double().mean(0) < SHARE  # (n + 1,)
    index = int(late.nonzero()[-1]) + 1 if late.any() else 0
    return float(levels[index]) if index < len(levels) else None


def speciation_level(distance: float, variance: float) -> float | None:
    """Where two modes N(+-m, variance I) part, |m| being half their distance; None where they never do."""
    square = (distance / 2) ** 2 - variance
    return math.sqrt(square) if square > 0 else None


def potential(q: Tensor, e: Tensor | float, gamma: float, drift: bool = False) -> Tensor:
    """U(q), 0 at q = 0, for the class at +m; with `drift` V = 2 U - q^2 / 2 of the reverse SDE. gamma = -1 is all data."""
    x = e * q
    cosh = x.abs() + torch.log1p((-2 * x.abs()).exp()) - math.log(2)  # log cosh
    value = q**2 / 2 - x + gamma * (cosh - x)
    return 2 * value - q**2 / 2 if drift else value


@dataclass(frozen=True)
class Potential:
    """The effective potential along m of two classes +-m at E noise levels, (E, Q), over Q values of q.

    e (E,): |m| / sqrt(v + l^2); all data have one minimum for e < 1 and two for e > 1. guided, conditional, unconditional: under
    gamma, for gamma = 0 and for gamma = -1.
    """

    q: Tensor
    e: Tensor
    guided: Tensor
    conditional: Tensor
    unconditional: Tensor


def potentials(gamma: float) -> Potential:
    """From before the transition, e = 1, to after it."""
    q, e = torch.linspace(-3, 5, 161, dtype=torch.float64), torch.tensor(E, dtype=torch.float64)
    return Potential(q, e, *(potential(q, e[:, None], weight) for weight in (gamma, 0.0, -1.0)))


def condensation_level(K: int, d: int, variance: float) -> float | None:
    """l_K of K classes on the sphere without guidance; None where none ever stands out: they overlap without noise too."""
    square = 1 / math.expm1(2 * math.log(K) / d) - variance
    return math.sqrt(square) if square > 0 else None


@dataclass(frozen=True)
class ManyClasses:
    """What guidance makes of one of many classes: overshoot along its centre and variance in every direction, without noise,
    and the noise level at which the guided samples' class stands out, 0 where it never does."""

    overshoot: float
    variance: float
    level: float


def many_classes(K: int, d: int, variance: float, weight: NoiseWeight, stochastic: bool) -> ManyClasses:
    """For large d, by the ODE or the SDE."""
    level = _first(lambda level: _stands_out(K, d, variance, level, weight, stochastic)[0])
    V = variance + level**2
    _, b, s = _stands_out(K, d, variance, level, weight, stochastic)
    if stochastic:  # the class alone from there on
        b, s = b * variance / V, variance + (s - V) * (variance / V) ** 2
    else:
        b, s = b * math.sqrt(variance / V), s * variance / V
    return ManyClasses(b * math.sqrt(d), s, level)


def restoring_switch(K: int, d: int, variance: float, gamma: float) -> NoiseWeight:
    """gamma > 0 above one noise level and -1 below it, to give a class on the sphere some of its variance back.

    It is `weights.switch` with the noise counted from l_K on. A guided class has stood out before for large d, and this does
    nothing; in tens of dimensions some samples have not, and it widens those. At the higher level that would keep the variance
    for large d, a fifth of the samples leave their class in 16 and 24 dimensions (measured, gamma 2).
    """
    start = condensation_level(K, d, variance) or 0.0
    level = math.hypot(theory.switch_level(variance + start**2, 1 + variance + start**2, gamma), start)
    return NoiseWeight((Piece(0.0, level, -1.0, -1.0), Piece(level, math.inf, gamma, gamma)))


def _stands_out(
    K: int, d: int, variance: float, level: float, weight: NoiseWeight, stochastic: bool
) -> tuple[float, float, float]:
    """How far above 0 the class stands out, in nats over d, and b and s at this noise level."""
    V = torch.tensor([variance + level**2], dtype=torch.float64)
    knots = [math.sqrt(knot**2 - level**2) for knot in weight.knots if knot > level]
    found = theory.scheduled(
        V,
        1 + V,
        torch.ones_like(V),
        lambda levels: weight((levels**2 + level**2).sqrt()),
        knots=knots,
        stochastic=stochastic,
    )
    b, s, V = float(found.mean), float(found.variance), float(V)
    nats = math.log1p(1 / V) / 2 + ((1 + b) ** 2 + s) / (2 * (1 + V)) - (b**2 + s) / (2 * V)
    return nats - math.log(K) / d, b, s


def _first(above: Callable[[float], float]) -> float:
    """The highest noise level at which a function reaches 0 from below, 0 where it never does."""
    levels = torch.logspace(2, -3, 51, dtype=torch.float64).tolist()
    index = next((i for i, level in enumerate(levels) if above(level) >= 0), None)
    if not index:
        return 0.0 if index is None else levels[0]
    low, high = levels[index], levels[index - 1]
    for _ in range(24):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if above(middle) >= 0 else (low, middle)
    return low
