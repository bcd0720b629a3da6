"""What guidance makes of Gaussians: closed forms for one mode, quadrature for any weights, exact moments for any sampler.

One mode: along a common eigenvector v of S_c and S_u, with r = lambda_c / lambda_u, delta = v^T (mu_c - mu_u) and u = l^2,
l = sigma / alpha the noise level, from infinite noise to none, under a constant gamma (derived here, checked in the tests):

                      mean - v^T mu_c                                   variance
    ODE               gamma delta 2F1(1, (1 + gamma)/2; 3/2; 1 - 1/r)   lambda_c r^gamma
    SDE               delta r (r^gamma - 1) / (r - 1)                   lambda_c (r^(2 gamma + 1) - 1) / ((2 gamma + 1)(r - 1))
    tilted            gamma delta r / (1 + gamma - gamma r)             lambda_c / (1 + gamma - gamma r),  r < 1 + 1/gamma

Tilted is the density p_c^(1 + gamma) p_u^(-gamma) that guidance is often said to sample. Neither process does: guiding the
scores of noisy densities is not noising the guided density, and the SDE forgets what early guidance did while the ODE keeps it.
All three means are proportional to the weight of the mean shift, `shift`; everything else is due to the weight of the CPCs,
`gamma`. The two are one number in guidance as a whole.

For weights gamma(l) the ODE has, exactly,

    log variance = log lambda_c - integral gamma K_V du,         K_V = (lambda_u - lambda_c) / ((lambda_c + u)(lambda_u + u))
    mean         = delta integral shift K_m du + O(gamma^2),     K_m = sqrt(lambda_c) / (2 (lambda_u + u) sqrt(lambda_c + u))

`kernels` gives both per log l, the axis of weights. Any two Gaussians, commuting or not, go through `moments`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from backend.denoiser.base import Denoiser
from backend.guidance.terms import Gaussian
from backend.sampling import ancestral, ddim, heun, last
from backend.schedule import Schedule

Solver = Literal["ddim", "heun", "ancestral"]
NODES, WIDTH = 8, 0.25  # Gauss and Legendre's nodes, in panels of log l at most so wide
FAR = 36.0  # in log l beyond the modes' own, where integrands have fallen to rounding
SMALLEST = 1e-12  # of the largest variance: a smaller one counts as this, so that r is a number


@dataclass(frozen=True)
class Mode:
    """Mean minus the class's, and variance, along modes: two float64 tensors of one shape."""

    mean: Tensor
    variance: Tensor


@dataclass(frozen=True)
class Moments:
    """Of x_t at n + 1 times, float64: mean (n + 1, d), covariance (n + 1, d, d)."""

    mean: Tensor
    covariance: Tensor


def ode(
    variance_c: Tensor, variance_u: Tensor, delta: Tensor, gamma: Tensor | float, shift: float | None = None
) -> Mode:
    """What the probability flow makes of modes (M,) under gamma, a number or one for each mode; shift is gamma unless given."""
    from scipy.special import hyp2f1

    variance_c, ratio, gamma = _modes(variance_c, variance_u, gamma)
    kernel = torch.as_tensor(hyp2f1(1.0, ((1 + gamma) / 2).numpy(), 1.5, (1 - 1 / ratio).numpy()))
    return Mode((gamma if shift is None else shift) * delta.double() * kernel, variance_c * ratio**gamma)


def sde(
    variance_c: Tensor, variance_u: Tensor, delta: Tensor, gamma: Tensor | float, shift: float | None = None
) -> Mode:
    """What the reverse SDE makes of modes; arguments as for `ode`."""
    variance_c, ratio, gamma = _modes(variance_c, variance_u, gamma)
    mean = (gamma if shift is None else shift) * delta.double() * ratio * _power(ratio, gamma)
    return Mode(mean, variance_c * _power(ratio, 2 * gamma + 1))


def tilted(
    variance_c: Tensor, variance_u: Tensor, delta: Tensor, gamma: Tensor | float, shift: float | None = None
) -> Mode:
    """The Gaussian p_c^(1 + gamma) p_u^(-gamma) along modes, NaN where it cannot be normalized; arguments as for `ode`."""
    variance_c, ratio, gamma = _modes(variance_c, variance_u, gamma)
    precision = 1 + gamma - gamma * ratio  # times lambda_c
    precision = torch.where(precision > 0, precision, math.nan)
    mean = (gamma if shift is None else shift) * delta.double() * ratio / precision
    return Mode(mean, variance_c / precision)


def kernels(variance_c: Tensor, variance_u: Tensor, levels: Tensor) -> tuple[Tensor, Tensor]:
    """2 u K_V and 2 u K_m, per log l, of modes (M,) at noise levels (L,): two of shape (M, L).

    The first integrates to log(lambda_u / lambda_c) and peaks at l = (lambda_c lambda_u)^(1/4); the second lies at more noise.
    """
    c, u = variance_c.double()[:, None], levels.double() ** 2
    w = variance_u.double()[:, None]
    return 2 * u * (w - c) / ((c + u) * (w + u)), u * c.sqrt() / ((w + u) * (c + u).sqrt())


def switch_level(variance_c: float, variance_u: float, gamma: float) -> float | None:
    """sigma_s, the noise level below which gamma = -1 undoes what gamma > 0 above it did to the ODE's variance of this mode:

        sigma_s^2 = (lambda_u - rho lambda_c) / (rho - 1),    rho = (lambda_u / lambda_c)^(1 / (1 + gamma))

    None for equal variances, or none at all, where any level will do.
    """
    if min(variance_c, variance_u) <= 0 or variance_c == variance_u:
        return None
    rho = (variance_u / variance_c) ** (1 / (1 + gamma))
    return math.sqrt(max((variance_u - rho * variance_c) / (rho - 1), 0.0)) or None


def scheduled(
    variance_c: Tensor,
    variance_u: Tensor,
    delta: Tensor,
    weight: Callable[[Tensor], Tensor],
    *,
    knots: Sequence[float] = (),
    cpc: Tensor | float = 1.0,
    shift: float = 1.0,
    start: float = math.inf,
    centre: Tensor | float = 0.0,
    stochastic: bool = False,
) -> Mode:
    """What the ODE, or the SDE, makes of modes (M,) under weights gamma(l), by quadrature.

    With z = v^T x - v^T mu_c and k = 1 for the ODE, 2 for the SDE (whose score counts twice),

        dz/du = k/2 [(1 / (lambda_c + u) + gamma K_V) z - gamma delta / (lambda_u + u)]        gamma cpc and gamma shift

    is linear, and its solution from u = start^2 an integral over another; the variance is the same with noise. Both are
    taken by Gauss and Legendre in panels of log l that end at the knots: relative errors below 1e-9 (measured against the
    closed forms) where the weight is piecewise smooth between knots.

    Args:
        weight: of noise levels, any shape.
        knots: where it bends or jumps.
        cpc, shift: factors of the weight for the CPCs (a number, or one for each mode) and for the mean shift.
        start: the sampler's first noise level; x there is N(0, start^2).
        centre: -v^T mu_c, z's mean at a finite start.
    """
    variance_c, ratio, cpc = _modes(variance_c, variance_u, cpc)
    c, w, delta = (
        variance_c[:, None, None],
        (variance_c / ratio)[:, None, None],
        delta.double()[:, None, None],
    )
    ends = torch.stack([variance_c, variance_c / ratio])
    bottom = math.log(ends.min()) / 2 - FAR / 2
    top = math.log(start) if start < math.inf else math.log(ends.max()) / 2 + FAR
    y, width = _panels(bottom, top, tuple(math.log(knot) for knot in knots))
    gamma, u = weight(y.exp()), (2 * y).exp()  # (P, NODES)

    rate = (1 / (c + u) + cpc[:, None, None] * gamma * (w - c) / ((c + u) * (w + u))) * 2 * u  # per log l
    weights, inner = (torch.from_numpy(a) for a in _legendre())
    half = width[:, None] / 2
    whole = (rate * half * weights).sum(-1)  # over each panel
    before = whole.cumsum(-1) - whole
    decay = -(before[..., None] + half * (rate @ inner.T))  # -integral of the rate from no noise to each node
    k = 2 if stochastic else 1
    push = k / 2 * shift * gamma * delta / (w + u) * 2 * u
    mean = (push * (k / 2 * decay).exp() * half * weights).sum((-1, -2))
    total = -whole.sum(-1)  # (M,)
    variance = (k * total + 2 * top).exp()
    if start < math.inf:
        mean = mean + (k / 2 * total).exp() * centre
    if stochastic:
        variance = variance + ((2 * decay).exp() * 2 * u * half * weights).sum((-1, -2))
    return Mode(mean, variance)


def moments(denoiser: Denoiser, times: Tensor, solver: Solver, deviation: float) -> Moments:
    """Exact mean and covariance of what a sampler returns at each of its times, for a denoiser that is affine in x_t.

    A step of any of the samplers is then an affine map, x' = M x + m, plus noise of one deviation in the ancestral one. The
    step itself, taken from the origin and from the d unit vectors, gives m and the columns of M; nothing is approximated.

    Args:
        denoiser: affine, in float64: two Gaussians under any guidance by `terms`. One sample has d numbers.
        times: n + 1, falling.
        deviation: of x at times[0], which is N(0, deviation^2 I).
    """
    d = math.prod(denoiser.shape)
    mean = torch.zeros(d, dtype=torch.float64)
    covariance = deviation**2 * torch.eye(d, dtype=torch.float64)
    means, covariances = [mean], [covariance]
    for now, then in pairwise(times.tolist()):
        matrix, offset, noise = step_map(denoiser, now, then, solver)
        mean = matrix @ mean + offset
        covariance = matrix @ covariance @ matrix.mT
        covariance.diagonal().add_(noise**2)
        means.append(mean)
        covariances.append(covariance)
    return Moments(torch.stack(means), torch.stack(covariances))


@torch.no_grad()
def step_map(denoiser: Denoiser, now: float, then: float, solver: Solver) -> tuple[Tensor, Tensor, float]:
    """M (d, d), m (d,) and the noise's deviation of one step from time now to then."""
    d, schedule = math.prod(denoiser.shape), denoiser.schedule
    x = torch.eye(d + 1, d, dtype=torch.float64).view(d + 1, *denoiser.shape)  # the last is the origin
    noise = 0.0
    if solver == "ancestral":
        zero = torch.zeros((), dtype=torch.float64)
        found = ancestral.step(schedule, x, denoiser(x, now), now, then, torch.zeros_like(x))
        noise = float(ancestral.step(schedule, zero, zero, now, then, zero + 1))
    else:
        solve = {"ddim": ddim.solve, "heun": heun.solve}[solver]
        found = last(solve(denoiser, x, torch.tensor([now, then], dtype=torch.float64)))
    found = found.view(d + 1, d)
    return (found[:d] - found[d]).mT, found[d], noise


def steps_needed(pull: float, span: float, solver: Solver) -> int:
    """How many steps, the last one to 0 and the others each to a share q of the noise level, do not overshoot.

    Where D moves x by -pull (x - mean) a step multiplies x - mean by 1 - (1 - q) pull (DDIM), 1 - (1 - q^2) pull (ancestral), or
    1 - (1 - q) pull [1 + (1 - (1 - q) pull) / q] / 2 (Heun). No more than 1 in magnitude, that asks for
    q >= 1 - 2 / pull, q^2 >= 1 - 2 / pull, or q >= (pull - 1) / (pull + 1).

    Args:
        pull: the largest eigenvalue of 1 - dD/dx_0, 1 + gamma times the largest of A_u - A_c; 1 forgets x.
        span: the first noise level over the last one above 0.
    """
    q = {
        "ddim": max(1 - 2 / pull, 0.0),
        "ancestral": max(1 - 2 / pull, 0.0) ** 0.5,
        "heun": (pull - 1) / (pull + 1),
    }[solver]
    return 2 if q <= 1 / span else 1 + math.ceil(math.log(span) / -math.log(q) - 1e-9)


def conditional_path(gaussian: Gaussian, schedule: Schedule, x: Tensor, times: Tensor) -> Tensor:
    """The probability flow without guidance from x (B, d) at times[0], in closed form: (n + 1, B, d).

        x_t = alpha mu_c + sum_i sqrt((alpha^2 lambda_i + sigma^2) / (alpha_T^2 lambda_i + sigma_T^2)) u_i u_i^T (x_T - alpha_T mu_c)

    The lecture prints (x_T - mu) here and calls this classifier guidance; it is plain sampling of the class.
    """
    alpha, sigma = (a[:, None] for a in schedule(times.double()))
    deviation = (alpha**2 * gaussian.variances + sigma**2).sqrt()  # (n + 1, d)
    start = (x.double() - alpha[0] * gaussian.mean) @ gaussian.vectors
    along = (deviation / deviation[0])[:, None] * start
    return alpha[..., None] * gaussian.mean + along @ gaussian.vectors.mT


def _modes(variance_c: Tensor, variance_u: Tensor, gamma: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
    """lambda_c, r and gamma of one shape, float64."""
    c, u = variance_c.double(), variance_u.double()
    floor = SMALLEST * max(float(c.max()), float(u.max()), SMALLEST)
    c, u = c.clamp_min(floor), u.clamp_min(floor)
    return c, c / u, torch.as_tensor(gamma, dtype=torch.float64).expand(c.shape)


def _power(ratio: Tensor, a: Tensor) -> Tensor:
    """(r^a - 1) / (a (r - 1)), continued to a = 0 and r = 1."""
    log = ratio.log()
    log = torch.where(log.abs() < 1e-15, 1e-15, log)
    above = torch.where(a.abs() < 1e-15, log, (a * log).expm1() / torch.where(a.abs() < 1e-15, 1.0, a))
    return above / log.expm1()


def _panels(bottom: float, top: float, knots: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """Nodes (P, NODES) and widths (P,) of panels from bottom to top that end at the knots between."""
    ends = [bottom, *sorted(knot for knot in set(knots) if bottom < knot < top), top]
    edges = [np.linspace(a, b, math.ceil((b - a) / WIDTH) + 1)[:-1] for a, b in pairwise(ends)]
    edges = torch.from_numpy(np.append(np.concatenate(edges), top))
    width = edges.diff()
    nodes = torch.from_numpy(np.polynomial.legendre.leggauss(NODES)[0])
    return edges[:-1, None] + width[:, None] * (nodes + 1) / 2, width


@cache
def _legendre() -> tuple[np.ndarray, np.ndarray]:
    """Weights (NODES,) of the integral over [-1, 1], and the matrix of the integrals from -1 to each node."""
    legendre = np.polynomial.legendre
    nodes, weights = legendre.leggauss(NODES)
    integrals = np.stack([legendre.legval(nodes, legendre.legint(row, lbnd=-1)) for row in np.eye(NODES)], 1)
    return weights, integrals @ np.linalg.inv(legendre.legvander(nodes, NODES - 1))
