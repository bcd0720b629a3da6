"""Leading singular triplets of a Jacobian that is known through products only.

Block Golub-Kahan bidiagonalisation (Golub, Luk, Overton 1981, https://doi.org/10.1145/355945.355946) in
band form, which takes the vectors one by one: orthonormal u_1, u_2, ... (outputs) and v_1, v_2, ... (inputs)
grow in turn, J^T u_i giving a new v and J v_j a new u, each orthogonalised against all earlier ones, twice.
With P of the u and Q of the v multiplied so far, the singular triplets (s, a, b) of the projection
T = U_P^T J V_Q give (s, U a, V b), whose residuals

    rho_u = |J v - s u|,        rho_v = |J^T u - s v|

are norms of the part of T outside P x Q. By Wedin's theorem the k leading v span the wanted space up to a
sine of about

    | ((s_i rho_v_i + s_+ rho_u_i) / (s_i^2 - s_+^2))_i |,        s_+ = the largest value outside,

and that is what is brought below `tol`: close values ask for more products by themselves. The block starts
from two random outputs in the region, since one start can take a close pair of values for a single one,
converge and stop.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.jacobian.linearize import Cost, Linearized
from backend.request import Progress, finish

TIE = 3e-3  # values this close, relatively, count as equal: any basis of their space will do
WHAT = "Jacobian products"


@dataclass(frozen=True)
class SVD:
    """Triplets J v_i = s_i u_i, largest first, on J's device; fewer than k if the rank is smaller.

    The sign is that of sum(u^3) > 0: the strongest pixels of J v brighten, and neither rounding nor a slight
    change of J flips it, as it would flip that of a mean near zero or of the largest of two opposite peaks.
    """

    U: Tensor
    """(k, *out), orthonormal, 0 outside the mask."""
    S: Tensor
    """(k,)."""
    V: Tensor
    """(k, *in), orthonormal."""
    residual: Tensor
    """(k,): |(J v - s u, J^T u - s v)|."""
    cost: Cost
    """Of this call alone."""


def svd(
    jacobian: Linearized,
    k: int,
    *,
    block: int = 2,
    tol: float = 1e-2,
    seed: int = 0,
    max_products: int | None = None,
) -> SVD:
    """The k leading singular triplets; arguments as in `svd_steps`."""
    return finish(svd_steps(jacobian, k, block=block, tol=tol, seed=seed, max_products=max_products))


def svd_steps(
    jacobian: Linearized,
    k: int,
    *,
    block: int = 2,
    tol: float = 1e-2,
    seed: int = 0,
    max_products: int | None = None,
) -> Generator[Progress, None, SVD]:
    """Yields Progress after each product (each block on a GPU); returns the SVD, which `yield from` hands over.

    Small regions, where the exact rows cost no more, are solved exactly.

    Args:
        jacobian: whole or restricted; a mask of m outputs has at most m triplets.
        k: how many, at least 1.
        block: start vectors. A value repeated exactly more often than this can be found too few times.
        tol: bound on the sine of the largest principal angle between the spans of V and of the true vectors.
        seed: of the start vectors. With the same seed the result is the same.
        max_products: where to stop unconverged, which `residual` then tells. By default 20 k + 200.

    Raises:
        ValueError: if k < 1 or the mask is empty.
    """
    size = int(jacobian.mask.sum())
    if k < 1 or size == 0:
        raise ValueError("Singular vectors need k of at least 1 and a mask that is not empty.")
    if size <= _typical(k):
        return (yield from _exact_steps(jacobian, k))

    before = Cost(**vars(jacobian.cost))
    bases = _Bases(jacobian, seed)
    for _ in range(block):
        bases.start()
    limit, done = max_products or 20 * k + 200, 0
    known = None  # size of V when a new start was last needed
    while True:
        for products in bases.round():
            done += products
            yield Progress(done, max(_typical(k), done + 1), WHAT)
            if bases.error(k) <= tol or done >= limit:
                return bases.result(k, before)
        if bases.exhausted:  # equal values or a small rank; a start that finds nothing new tells which
            if len(bases.V) == known or not bases.start():
                return bases.result(k, before)
            known = len(bases.V)


class _Bases:
    """The bases so far: U (n, |out|), V (m, |in|), T = U J V^T (n, m) float64, and how many were multiplied.

    Row i of T is complete once u_i was multiplied, column j once v_j was; nothing else is ever read.
    """

    def __init__(self, jacobian: Linearized, seed: int):
        value = jacobian.value
        self.jacobian, self.generator = jacobian, torch.Generator().manual_seed(seed)
        self.U, self.V = value.new_zeros(0, value.numel()), value.new_zeros(0, jacobian.shape.numel())
        self.T = torch.zeros(0, 0, dtype=torch.float64)
        self.rows = self.columns = 0
        self.scale = 0.0  # the largest product seen: what rounding is measured by

    @property
    def exhausted(self) -> bool:
        """Whether the bases are closed: J maps the span of V into that of U, and J^T back."""
        return self.rows == len(self.U) and self.columns == len(self.V)

    def start(self) -> bool:
        """Adds a random output of the region to U. False if U has all of them already."""
        value = self.jacobian.value
        noise = torch.randn(value.shape, generator=self.generator).to(value) * self.jacobian.mask
        noise = noise.flatten() / noise.norm()
        room = len(self.U) < self.jacobian.mask.sum()
        if room:
            self.U, _ = _extend(self.U, noise, 1.0)
            self._pad()
        return bool(room)

    def round(self) -> Iterator[int]:
        """Multiplies what is new in U, then what is new in V; yields the number of products of each call."""
        value, shape, chunk = self.jacobian.value, self.jacobian.shape, self.jacobian.chunk
        for new in self.U[self.rows :].split(chunk):
            for row in self.jacobian.vjp(new.view(-1, *value.shape)).flatten(1):
                self.scale = max(self.scale, float(row.norm()))
                self.V, coefficients = _extend(self.V, row, self.scale)
                self._pad()
                self.T[self.rows, : len(coefficients)] = coefficients
                self.rows += 1
            yield len(new)
        for new in self.V[self.columns :].split(chunk):
            for column in self.jacobian.jvp(new.view(-1, *shape)).flatten(1):
                self.scale = max(self.scale, float(column.norm()))
                self.U, coefficients = _extend(self.U, column, self.scale)
                self._pad()
                self.T[: len(coefficients), self.columns] = coefficients
                self.columns += 1
            yield len(new)

    def error(self, k: int) -> float:
        """The bound on the sine of the largest principal angle of the k leading v, or infinity."""
        if min(self.rows, self.columns) <= k:
            return torch.inf
        _, s, _, rho_u, rho_v = self._triplets()
        if s[k - 1] <= _rounding(self.U) * self.scale:
            return torch.inf
        outside = torch.minimum(s[k], (1 - TIE) * s[k - 1])
        s, rho_u, rho_v = s[:k], rho_u[:k], rho_v[:k]
        return float(((s * rho_v + outside * rho_u) / (s**2 - outside**2)).norm())

    def result(self, k: int, before: Cost) -> SVD:
        """The k leading triplets of what was multiplied so far, those of rounding left out."""
        a, s, b, rho_u, rho_v = self._triplets()
        k = min(k, int((s > _rounding(self.U) * self.scale).sum()))
        u, v = a.T[:k].to(self.U) @ self.U[: self.rows], b[:k].to(self.V) @ self.V[: self.columns]
        return _pack(self.jacobian, u, s[:k], v, torch.hypot(rho_u, rho_v)[:k], before)

    def _triplets(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """SVD a s b of the multiplied part of T, and the two residuals of each triplet."""
        a, s, b = torch.linalg.svd(self.T[: self.rows, : self.columns], full_matrices=False)
        rho_u = (self.T[self.rows :, : self.columns] @ b.T).norm(dim=0)
        rho_v = (a.T @ self.T[: self.rows, self.columns :]).norm(dim=1)
        return a, s, b, rho_u, rho_v

    def _pad(self) -> None:
        missing = (0, len(self.V) - self.T.shape[1], 0, len(self.U) - self.T.shape[0])
        self.T = torch.nn.functional.pad(self.T, missing)


def _extend(basis: Tensor, vector: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """The basis with a vector's new part appended, unless that is rounding; the coefficients, float64."""
    coefficients = vector.new_zeros(len(basis))
    for _ in range(2):  # twice is enough (Kahan)
        part = basis @ vector
        vector, coefficients = vector - part @ basis, coefficients + part
    norm = vector.norm()
    if norm > _rounding(basis) * scale:
        basis = torch.cat([basis, vector[None] / norm])
        coefficients = torch.cat([coefficients, norm[None]])
    return basis, coefficients.double().cpu()


def _rounding(basis: Tensor) -> float:
    """What counts as zero, relative to the largest product."""
    return 100 * torch.finfo(basis.dtype).eps


def _exact_steps(jacobian: Linearized, k: int) -> Generator[Progress, None, SVD]:
    """All rows of a small region, one J^T e_i each, and a dense SVD."""
    before = Cost(**vars(jacobian.cost))
    where = jacobian.mask.flatten().nonzero().squeeze(1)
    rows: list[Tensor] = []
    for indices in where.split(jacobian.chunk):
        units = torch.nn.functional.one_hot(indices, jacobian.value.numel()).to(jacobian.value)
        rows += jacobian.vjp(units.view(-1, *jacobian.value.shape)).flatten(1).unbind()
        yield Progress(len(rows), len(where), WHAT)
    matrix = torch.stack(rows)
    a, s, v = torch.linalg.svd(matrix.double().cpu(), full_matrices=False)
    k = min(k, int((s > _rounding(matrix) * s[0]).sum()))
    u = matrix.new_zeros(k, jacobian.value.numel()).index_copy(1, where, a.T[:k].to(matrix))
    return _pack(jacobian, u, s[:k], v[:k].to(matrix), torch.zeros(k), before)


def exact(jacobian: Linearized, k: int) -> SVD:
    """The k leading triplets from all rows and a dense SVD: as many J^T products as the mask has outputs."""
    return finish(_exact_steps(jacobian, k))


def _pack(jacobian: Linearized, u: Tensor, s: Tensor, v: Tensor, residual: Tensor, before: Cost) -> SVD:
    """Signs, shapes, dtype and what it cost."""
    sign = torch.where(u.pow(3).sum(1, keepdim=True) < 0, -1.0, 1.0).to(u)
    spent = Cost(
        *(now - then for now, then in zip(vars(jacobian.cost).values(), vars(before).values(), strict=True))
    )
    return SVD(
        (sign * u).view(-1, *jacobian.value.shape),
        s.to(u),
        (sign * v).view(-1, *jacobian.shape),
        residual.to(u),
        spent,
    )


def _typical(k: int) -> int:
    """Products that k triplets of a network's Jacobian usually take."""
    return 5 * k + 10
