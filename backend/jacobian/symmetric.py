"""Leading eigenpairs of the symmetric part of a square Jacobian, S = (J + J^T) / 2, from products with J and J^T alone.

Lanczos's method (1950, https://doi.org/10.6028/jres.045.026) with full reorthogonalisation: q_1, q_2, ... are orthonormal, each the
new part of S q of the one before, and the eigenpairs of the projection Q^T S Q approach both ends of the spectrum at once. The
J q and J^T q that it multiplied are kept: they give the residuals |S v - lambda v| themselves instead of an estimate, and the
energy of J on the span of Q exactly. What is outside is estimated from random probes there, so that with P = I - Q Q^T

    |J|_F^2 = (|J Q|_F^2 + |J^T Q|_F^2) / 2 + E (|J P z|^2 + |J^T P z|^2) / 2,
    |J - J^T|_F^2 = |(J - J^T) Q|_F^2 + E |(J - J^T) P z|^2,        |S|_F^2 = |J|_F^2 - |J - J^T|_F^2 / 4

(Hutchinson 1990, https://doi.org/10.1080/03610919008812866; with the span taken out, as in Meyer et al., https://arxiv.org/abs/2010.09649).
"""

from collections.abc import Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.jacobian.linearize import Linearized
from backend.jacobian.spectrum import Total
from backend.request import Progress

TOL = 1e-6  # of the largest eigenvalue: what a residual may be
WHAT = "Jacobian products"


@dataclass(frozen=True)
class Eigenpairs:
    """Of S, on J's device; both halves fewer than k where S has fewer such eigenvalues.

    positive, negative: the k leading pairs of that sign, strongest first. basis (m, d): the orthonormal q; columns, rows (m, d):
    J q and J^T q.
    """

    positive: "Half"
    negative: "Half"
    basis: Tensor
    columns: Tensor
    rows: Tensor


@dataclass(frozen=True)
class Half:
    """values (p,) float64; vectors (p, *shape), orthonormal, with sum(v^3) > 0; residual (p,): |S v - lambda v|, float64."""

    values: Tensor
    vectors: Tensor
    residual: Tensor


@dataclass(frozen=True)
class Energies:
    """total: of J. symmetric: |S|_F^2, with its standard error. Errors are 0 where exact."""

    total: Total
    symmetric: float
    symmetric_error: float


def eigenpairs_steps(
    jacobian: Linearized, k: int, *, tol: float = TOL, seed: int = 0, most: int | None = None
) -> Generator[Progress, None, Eigenpairs]:
    """The k leading positive and the k leading negative eigenpairs, which `yield from` hands over; two products a step.

    A value repeated exactly can be found once only, as by any search from one vector.

    Args:
        jacobian: square: inputs and outputs of one shape.
        k: how many of each sign, at least 1.
        tol: bound on the residuals, as a multiple of the largest |lambda|; not below rounding.
        most: steps after which it stops unconverged, which `residual` then tells. By default 20 k + 100.

    Raises:
        ValueError: if k < 1 or J is not square.
    """
    if k < 1 or jacobian.shape != jacobian.value.shape:
        raise ValueError("Eigenpairs need k of at least 1 and a square Jacobian.")
    value, d = jacobian.value, jacobian.value.numel()
    generator = torch.Generator().manual_seed(seed)
    basis, columns, rows = (value.new_zeros(0, d) for _ in range(3))
    limit, scale = min(d, most or 20 * k + 100), 0.0
    fresh = _unit(torch.randn(d, generator=generator).to(value))
    while True:
        q = fresh.view(1, *jacobian.shape)
        basis = torch.cat([basis, fresh[None]])
        columns = torch.cat([columns, jacobian.jvp(q).view(1, d)])
        rows = torch.cat([rows, jacobian.vjp(q).view(1, d)])
        yield Progress(2 * len(basis), max(2 * len(basis), 10 * k), WHAT)
        image = (columns[-1] + rows[-1]) / 2
        scale = max(scale, float(image.norm()))
        left = _outside(image, basis)
        rounding = 100 * torch.finfo(value.dtype).eps * scale
        if float(left.norm()) <= rounding:  # S maps the span into itself; a new start may find more
            started = float(image.norm()) > rounding
            left = _outside(torch.randn(d, generator=generator).to(value), basis)
            if not started:
                return _pairs(jacobian, k, basis, columns, rows)
        fresh = _unit(left)
        if len(basis) >= limit:
            return _pairs(jacobian, k, basis, columns, rows)
        if len(basis) > 2 * k and not len(basis) % 4:
            found = _pairs(jacobian, k, basis, columns, rows)
            worst = torch.cat([found.positive.residual, found.negative.residual]).max()
            if float(worst) <= max(tol * scale, rounding) and _all_found(found, k):
                return found


def energies_steps(
    jacobian: Linearized, found: Eigenpairs, probes: int, seed: int = 0
) -> Generator[Progress, None, Energies]:
    """The energies, by this many probes of one J z and one J^T z each, which `yield from` hands over; exact and without probes where
    the basis is all there is. Raises ValueError for fewer than two probes."""
    if probes < 2:
        raise ValueError("An estimate with an error needs two probes or more.")
    known = _squares(found.columns, found.rows).sum(1)
    rest, errors = torch.zeros_like(known), torch.zeros_like(known)
    if len(found.basis) < found.basis.shape[1]:
        generator, seen = torch.Generator().manual_seed(seed), []
        for done in range(probes):
            z = torch.randn(found.basis.shape[1], generator=generator).to(found.basis)
            z = _outside(z, found.basis).view(1, *jacobian.shape)
            seen.append(_squares(jacobian.jvp(z).flatten(1), jacobian.vjp(z).flatten(1)))
            yield Progress(done + 1, probes, "probes of the remaining energy")
        sample = torch.cat(seen, 1)
        rest, errors = sample.mean(1), sample.std(1) / probes**0.5
    (whole, skew, symmetric), (whole_error, skew_error, symmetric_error) = (
        (known + rest).tolist(),
        errors.tolist(),
    )
    return Energies(Total(whole, whole_error, skew, skew_error), symmetric, symmetric_error)


def _squares(columns: Tensor, rows: Tensor) -> Tensor:
    """(3, n) float64: (|J q|^2 + |J^T q|^2) / 2, |(J - J^T) q|^2 and |S q|^2 of each."""
    columns, rows = columns.double().cpu(), rows.double().cpu()
    parts = ((columns.square() + rows.square()) / 2, (columns - rows).square(), (columns + rows).square() / 4)
    return torch.stack([part.sum(1) for part in parts])


def _pairs(jacobian: Linearized, k: int, basis: Tensor, columns: Tensor, rows: Tensor) -> Eigenpairs:
    """Ritz pairs of the span."""
    images = (columns + rows) / 2
    projection = (basis @ images.mT).double().cpu()
    values, mix = torch.linalg.eigh((projection + projection.mT) / 2)
    zero = 100 * torch.finfo(basis.dtype).eps * values.abs().max()
    halves = []
    for sign in (1, -1):
        order = (sign * values).argsort(descending=True)
        chosen = order[sign * values[order] > zero][:k]
        weights = mix[:, chosen].mT.to(basis)
        vectors, moved = weights @ basis, weights @ images
        residual = (moved.double() - values[chosen, None].to(basis.device) * vectors.double()).norm(dim=1)
        vectors = vectors * torch.where(vectors.pow(3).sum(1, keepdim=True) < 0, -1.0, 1.0)
        halves.append(Half(values[chosen], vectors.view(-1, *jacobian.shape), residual.cpu()))
    return Eigenpairs(*halves, basis, columns, rows)


def _all_found(found: Eigenpairs, k: int) -> bool:
    """Whether there are k of each sign: fewer may mean that the rest has not come up yet."""
    return len(found.positive.values) == len(found.negative.values) == k


def _outside(vector: Tensor, basis: Tensor) -> Tensor:
    for _ in range(2):  # twice is enough (Kahan)
        vector = vector - (basis @ vector) @ basis
    return vector


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm()
