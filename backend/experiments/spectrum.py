"""The spectrum tab: the Jacobian of the posterior mean at one picture, noise level by noise level.

    Decompose        -> its leading singular triplets and its whole energy           (backend.jacobian)
    MeasureSpectrum  -> what they say at one noise level: spectrum, linearity, what the vectors span
    SweepSpectrum    -> the same at many, for the curves

The picture is taken along the probability flow to each noise level, as in LOCO Edit (https://arxiv.org/abs/2409.02374,
Fig. 2 and 3), so that all spectra are of one picture. Bands over many pictures are in `spectrum_survey`, pictures along a singular vector in
`spectrum_slide`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backend.experiments.edit_directions import jacobian_of, labelled, posterior_mean
from backend.experiments.spectrum_span import compared
from backend.inference.cache import call
from backend.inference.catalogue import Card, card
from backend.inference.load import Model
from backend.inference.pictures import Invert, Inverted
from backend.jacobian.linearity import linearity
from backend.jacobian.spectrum import Total, dense_steps, total, total_steps
from backend.jacobian.svd import svd_steps
from backend.request import Progress, Request, option, require

DENSE = 1024  # dimensions up to which the whole Jacobian is computed
LARGEST_K = 100  # of what is not: more takes minutes
KEPT = 4  # singular vectors that a spectrum shows as pictures
TOL = 0.05  # of the leading space: spectra need less than edits
PROBES = 8  # of the energy that the leading values leave
LENGTHS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # of the steps that linearity is measured at, as shares of |x_t|
LEAST, MOST = 0.04, 0.96  # of the noise levels of a sweep
ALONG = ("v₁", "random", "null space")  # the directions that it is measured along


@dataclass(frozen=True)
class Decomposition:
    """J at x_t, as far as it is known.

    s: all d singular values of a small Jacobian, else the k leading ones. U, V (k, *shape): the k leading singular vectors.
    value (*shape): the posterior mean. total: |J|_F^2 and |J - J^T|_F^2. products: Jacobian products spent.
    """

    s: Tensor
    U: Tensor
    V: Tensor
    value: Tensor
    total: Total
    products: int


@dataclass(frozen=True)
class Spectrum:
    """What a Jacobian says at one noise level t of one picture with d values.

    log_snr in nats; alpha, the schedule's at t (alpha s does not depend on the schedule). s (d,) or (k,); energy and
    asymmetry = |J - J^T| / |J| with their standard errors, 0 where exact. x_t, x_0_hat (*shape); u, v (n, *shape) the leading
    singular vectors, float16. lengths (L,): of steps, as shares of |x_t|; residual, norm_ratio, cosine (3, L): linearity at
    them along the directions ALONG. found: {what: share of the true tangent space that lies in it}, empty where the truth is
    not known; k: the number of directions compared. angles: {pair of subspaces: principal angles, radians}.
    """

    t: float
    log_snr: float
    alpha: float
    d: int
    s: Tensor
    energy: float
    energy_error: float
    asymmetry: float
    asymmetry_error: float
    x_t: Tensor
    x_0_hat: Tensor
    u: Tensor
    v: Tensor
    lengths: tuple[float, ...]
    residual: Tensor
    norm_ratio: Tensor
    cosine: Tensor
    k: int
    found: dict[str, float]
    angles: dict[str, Tensor]
    products: int


@dataclass(frozen=True)
class Sweep:
    """Spectra of one picture x_0 (*shape), least noise first; fewer than asked for while the run goes on."""

    x_0: Tensor
    spectra: tuple[Spectrum, ...]


@dataclass(frozen=True)
class Decompose(Request):
    """The leading singular triplets of the Jacobian at a picture's x_t, and the energy of all."""

    model: str = option("avatars", "the model")
    image: str = option("gallery:1", "the picture")
    t: float = option(0.5, "the noise level t")
    k: int = option(50, "the number of singular values")

    def check(self) -> None:
        check_t(self.t)
        check_k(self.model, self.k)

    def needs(self) -> tuple[Request, ...]:
        return (Invert(self.model, self.image, self.t),)

    def run(self, model: Model) -> Iterator[Any]:
        inverted = yield from call(Invert(self.model, self.image, self.t), model)
        if dimension(model.card) <= DENSE:
            yield (yield from self._whole(model, inverted))
            return
        jacobian = jacobian_of(model, inverted, self.t)
        leading = yield from svd_steps(jacobian, self.k, tol=TOL)
        rest = yield from total_steps(jacobian, leading, PROBES)
        cpu = (x.cpu() for x in (leading.S, leading.U, leading.V, jacobian.value))
        yield Decomposition(*cpu, rest, jacobian.cost.products)

    def _whole(self, model: Model, inverted: Inverted) -> Iterator[Any]:
        denoiser, x_t = labelled(model, inverted), inverted.x_t.to(model.device)[None]
        (jacobian,) = yield from dense_steps(lambda x: denoiser(x, self.t), x_t)
        u, s, v = torch.linalg.svd(jacobian.double().cpu())
        sign = torch.where(u.pow(3).sum(0) < 0, -1.0, 1.0)[:, None]  # as in `svd`
        u, v = ((sign * rows)[: self.k].float().reshape(-1, *x_t.shape[1:]) for rows in (u.T, v))
        value = posterior_mean(denoiser, x_t, self.t)[0].cpu()
        return Decomposition(s.float(), u, v, value, total(jacobian.cpu()), len(s))


@dataclass(frozen=True)
class MeasureSpectrum(Decompose):
    """Singular values, energy, asymmetry, linearity and the span of the singular vectors of dD/dx_t at one noise level."""

    def needs(self) -> tuple[Request, ...]:
        return (*super().needs(), self.decomposition())

    def decomposition(self) -> Decompose:
        """The request for the triplets alone."""
        return Decompose(self.model, self.image, self.t, self.k)

    def run(self, model: Model) -> Iterator[Any]:
        inverted = yield from call(Invert(self.model, self.image, self.t), model)
        j = yield from call(self.decomposition(), model)
        measures = yield from self._linearity(model, inverted, j)
        time = torch.tensor(self.t, dtype=torch.float64)
        alpha, _ = model.denoiser.schedule(time)
        found, angles = compared(model, self.image, inverted.x_0, j.U, j.V)
        yield Spectrum(
            t=self.t,
            log_snr=float(model.denoiser.schedule.log_snr(time)),
            alpha=float(alpha),
            d=dimension(model.card),
            s=j.s,
            energy=j.total.energy,
            energy_error=j.total.energy_error,
            asymmetry=j.total.asymmetry,
            asymmetry_error=j.total.asymmetry_error,
            x_t=inverted.x_t.half(),
            x_0_hat=j.value.half(),
            u=j.U[:KEPT].half(),
            v=j.V[:KEPT].half(),
            lengths=LENGTHS,
            residual=measures[0],
            norm_ratio=measures[1],
            cosine=measures[2],
            k=len(j.V),
            found=found,
            angles=angles,
            products=j.products,
        )

    def _linearity(self, model: Model, inverted: Inverted, j: Decomposition) -> Iterator[Any]:
        """The residual, norm ratio and cosine (3, L) each along the directions ALONG."""
        denoiser, x_t = labelled(model, inverted), inverted.x_t.to(model.device)
        V = j.V.flatten(1).to(x_t)
        random = torch.randn(x_t.shape, generator=torch.Generator().manual_seed(0)).to(x_t).flatten()
        null = random - V.T @ (V @ random)
        null = null - V.T @ (V @ null)
        directions = torch.stack([V[0], random / random.norm(), null / null.norm().clamp_min(1e-12)])
        directions = directions.view(-1, *x_t.shape)
        jacobian = jacobian_of(model, inverted, self.t)
        responses, lengths = jacobian.jvp(directions), float(x_t.norm()) * torch.tensor(LENGTHS)
        measured = []
        for v, response in zip(directions, responses, strict=True):
            measured.append(linearity(lambda x: denoiser(x, self.t), x_t, v, response, lengths))
            yield Progress(len(measured), len(ALONG), "directions followed")
        return [
            torch.stack([getattr(m, name).float().cpu() for m in measured])
            for name in ("residual", "norm_ratio", "cosine")
        ]


@dataclass(frozen=True)
class SweepSpectrum(Request):
    """The spectrum of one picture at noise levels from little to much noise, evenly spaced in t."""

    model: str = option("avatars", "the model")
    image: str = option("gallery:1", "the picture")
    times: int = option(9, "the number of noise levels")
    k: int = option(50, "the number of singular values")

    def check(self) -> None:
        require(2 <= self.times <= 40, "Ask for 2 to 40 noise levels.")
        self.at(self.times)[0].check()

    def needs(self) -> tuple[Request, ...]:
        return tuple(need for one in self.at(self.times) for need in (*one.needs(), one))

    def at(self, times: int) -> list[MeasureSpectrum]:
        """The requests for single noise levels."""
        return [MeasureSpectrum(self.model, self.image, t, self.k) for t in times_of(times)]

    def run(self, model: Model) -> Iterator[Any]:
        spectra: list[Spectrum] = []
        x_0 = None
        for one in self.at(self.times):
            if x_0 is None:
                x_0 = (yield from call(Invert(self.model, self.image, one.t), model)).x_0
            spectra.append((yield from call(one, model)))
            yield Sweep(x_0, tuple(spectra))


def times_of(n: int) -> list[float]:
    """n noise levels, evenly spaced in t."""
    return [round(t, 3) for t in torch.linspace(LEAST, MOST, n).tolist()]


def dimension(found: Card) -> int:
    """The number of values of a picture."""
    return math.prod(found.shape)


def largest_k(model: str) -> int:
    """How many singular values can be asked for."""
    return min(LARGEST_K, dimension(card(model)))


def check_t(t: float) -> None:
    """Raises BadInput unless there are both noise and a picture at t."""
    words = "At t = 0 there is no noise, and the posterior mean is the picture itself; ask for t of at least 0.01."
    require(t >= 0.01, words)
    require(t <= 0.99, "At t = 1 nothing is left of the picture; ask for t of at most 0.99.")


def check_k(model: str, k: int) -> None:
    """Raises BadInput unless a model's Jacobian has that many singular values, and they can be found in reasonable time."""
    found = card(model)
    d = dimension(found)
    require(k >= 1, "Ask for at least 1 singular value.")
    require(k <= d, f"Pictures of this model have {d:,} values, and the Jacobian as many singular values.")
    require(k <= largest_k(model), f"Ask for at most {LARGEST_K} singular values.")
