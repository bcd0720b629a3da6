"""Searches for the leading singular vectors of a whole picture's Jacobian, and what they cost: section svd of `tests.benchmarks.spectrum`."""

import argparse
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import Function

from backend.experiments.edit_directions import jacobian_of
from backend.inference.cache import call
from backend.inference.load import load
from backend.inference.pictures import Invert
from backend.jacobian.linearize import Cost, Linearized
from backend.jacobian.svd import TIE, svd
from backend.metrics.intervals import bootstrap
from backend.request import finish
from tests.benchmarks.report import point, row
from tests.benchmarks.subspace_iteration import subspace_iteration

FACE = 1  # the held-out picture, by its number in the gallery
SINES = (1e-1, 1e-2)
REFERENCE = 1e-6  # sine that the reference is found to
RATIO = 1.1  # of one count that ours is stopped at to the one before
TOLS = tuple(10 ** -(i / 4) for i in range(17))  # of PROPACK, 1 to 1e-4
NO_MATTER = 1e6  # tolerance that everything meets

Rows = Iterator[dict[str, Any]]
Point = tuple[int, float]
"""Products, and the sine that they reach."""


@dataclass(frozen=True)
class Remembered:
    """A Jacobian whose products are computed once, however often they are asked for."""

    jacobian: Linearized
    memory: dict[tuple[str, bytes], Tensor] = field(default_factory=dict)

    def anew(self) -> Linearized:
        """The same Jacobian for one more search: its cost begins at 0 and counts products that are remembered, too."""
        cost = Cost()

        def jvp(v: Tensor) -> Tensor:
            cost.jvp += len(v)
            return self._found("jvp", v)

        def vjp(u: Tensor) -> Tensor:
            cost.vjp += len(u)
            return self._found("vjp", u)

        return replace(self.jacobian, jvp=jvp, vjp=vjp, cost=cost)

    def _found(self, which: str, vectors: Tensor) -> Tensor:
        products = []
        for one in vectors:
            key = which, hashlib.blake2b(one.cpu().contiguous().numpy().tobytes()).digest()
            if key not in self.memory:
                self.memory[key] = getattr(self.jacobian, which)(one[None])[0]
            products.append(self.memory[key])
        return torch.stack(products)


def searches(chosen: argparse.Namespace) -> Rows:
    """Of each noise level and k the gap behind the k-th value, and what each method takes."""
    model = load("avatars")
    for t in chosen.times:
        inverted = finish(call(Invert("avatars", f"gallery:{FACE}", t), model))
        jacobian = Remembered(jacobian_of(model, inverted, t))
        for k in chosen.k:
            where = f"k = {k}, t = {t:g}"
            truth, gap = reference(jacobian, k, chosen.most)
            tie = ", a tie that no method can tell" if gap < TIE else ""
            yield row(f"gap 1 - s_{k + 1} / s_{k}, t = {t:g}{tie}", point(gap))
            for method, (search, runs) in {
                "ours": (ours, chosen.seeds),
                "PROPACK": (propack, chosen.seeds),
                "the paper's iteration": (published, chosen.theirs),
            }.items():
                found = [
                    until(search(jacobian, k, seed, truth, chosen.most), chosen.most) for seed in range(runs)
                ]
                yield from needs(where, method, found, chosen.most)
            stopped = [svd(jacobian.anew(), k, tol=min(SINES), seed=seed) for seed in range(chosen.seeds)]
            counts = [one.cost.products for one in stopped]
            what = f"products until its own bound is {min(SINES):g}, {where}: ours"
            yield row(what, bootstrap(counts, median))
            worst = max(sine(one.V, truth) for one in stopped)
            yield row(f"largest sine where its own bound is {min(SINES):g}, {where}: ours", point(worst))


def needs(where: str, method: str, runs: list[list[Point]], most: int) -> Rows:
    """The median products of runs to each of SINES. Runs that do not get there count as `most`, and the row says so."""
    for wanted in SINES:
        counts = [needed(run, wanted) for run in runs]
        missed = counts.count(None)
        words = f", not reached by {missed} of {len(runs)} runs, which count as {most}" if missed else ""
        estimate = bootstrap([most if count is None else count for count in counts], median)
        yield row(f"products to a sine of {wanted:g}, {where}: {method}{words}", estimate)
    ends = [run[-1][1] for run in runs if run and needed(run, min(SINES)) is None]
    if ends:
        yield row(f"sine where it was given up, {where}: {method}", bootstrap(ends, median))


def reference(jacobian: Remembered, k: int, most: int) -> tuple[Tensor, float]:
    """The k leading right singular vectors (k, *in), and by how much the next value is smaller, relatively.

    Raises:
        RuntimeError: if they are not found within so many products.
    """
    found = svd(jacobian.anew(), k, tol=REFERENCE, seed=10_000, max_products=most)
    if found.cost.products >= most:
        raise RuntimeError(f"The reference did not converge within {most} products.")
    s = svd(jacobian.anew(), k + 1, tol=1e-3, seed=10_000).S.double()
    return found.V, float(1 - s[k] / s[k - 1])


def ours(jacobian: Remembered, k: int, seed: int, truth: Tensor, most: int) -> Iterator[Point]:
    """After ever more products, from the same start."""
    limit, spent = 2 * k, -1
    while limit < most:
        limit = min(max(limit + 1, int(RATIO * limit)), most)
        found = svd(jacobian.anew(), k, tol=0.0, seed=seed, max_products=limit)
        if found.cost.products == spent:
            return  # the whole space is spanned
        spent = found.cost.products
        yield spent, sine(found.V, truth)


def propack(jacobian: Remembered, k: int, seed: int, truth: Tensor, most: int) -> Iterator[Point]:
    """After ever more steps, up to the least that it looks at by itself, then at ever smaller tolerances; from the same start."""
    from scipy.linalg import LinAlgError
    from scipy.sparse.linalg import LinearOperator, svds

    value, shape = jacobian.jacobian.value, jacobian.jacobian.shape
    size = (value.numel(), shape.numel())
    steps = [(NO_MATTER, n) for n in range(k + 1, min(k + max(8, k) + 1, *size))]
    for tol, n in [*steps, *((tol, min(most // 2, *size)) for tol in TOLS)]:
        counted = jacobian.anew()

        def column(v: np.ndarray, counted: Linearized = counted) -> np.ndarray:
            return counted.jvp(torch.from_numpy(v).to(value).view(1, *shape)).flatten().cpu().numpy()

        def line(u: np.ndarray, counted: Linearized = counted) -> np.ndarray:
            return counted.vjp(torch.from_numpy(u).to(value).view(1, *value.shape)).flatten().cpu().numpy()

        operator = LinearOperator(size, matvec=column, rmatvec=line, dtype=value.cpu().numpy().dtype)
        try:
            _, s, v = svds(operator, k, tol=tol, solver="propack", maxiter=n, rng=seed)
        except LinAlgError:
            continue  # too few steps for this tolerance
        v = torch.from_numpy(v[np.argsort(-s)].copy()).view(-1, *shape)
        yield counted.cost.products, sine(v, truth)


def published(jacobian: Remembered, k: int, seed: int, truth: Tensor, most: int) -> Iterator[Point]:
    """After each step of the paper's iteration."""
    cost = Cost()
    source = jacobian.jacobian
    counted = replace(source, jvp=_counting(source.jvp, cost, "jvp"), vjp=_counting(source.vjp, cost, "vjp"))
    x = torch.zeros(source.shape).to(source.value)
    for v in subspace_iteration(lambda x: Known.apply(x, counted), x, torch.ones_like(source.mask), k, seed):
        yield cost.products, sine(v, truth)


def _counting(product: Callable[[Tensor], Tensor], cost: Cost, name: str) -> Callable[[Tensor], Tensor]:
    def counting(vectors: Tensor) -> Tensor:
        setattr(cost, name, getattr(cost, name) + len(vectors))
        return product(vectors)

    return counting


class Known(Function):
    """A function whose Jacobian is a given one at every point, (n, *in) -> (n, *out): what differentiates it multiplies."""

    @staticmethod
    def forward(x: Tensor, jacobian: Linearized) -> Tensor:
        return x.new_zeros(len(x), *jacobian.value.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.jacobian = inputs[1]

    @staticmethod
    def jvp(ctx: Any, v: Tensor, _: None) -> Tensor:
        return ctx.jacobian.jvp(v)

    @staticmethod
    def backward(ctx: Any, u: Tensor) -> tuple[Tensor, None]:
        return ctx.jacobian.vjp(u), None


def until(points: Iterable[Point], most: int) -> list[Point]:
    """The points up to the first that meets the smallest of SINES, or with which `most` products are spent."""
    found = []
    for one in points:
        found.append(one)
        if one[1] <= min(SINES) or one[0] >= most:
            break
    return found


def needed(points: Iterable[Point], wanted: float) -> int | None:
    """The products to a sine: between the first point that meets it and the one before, whose logarithms are joined by a
    line. None if no point meets it."""
    before = None
    for products, reached in sorted(points):
        if reached <= wanted:
            if before is None:
                return products
            share = math.log(before[1] / wanted) / math.log(before[1] / max(reached, 1e-12))
            return math.ceil(before[0] + share * (products - before[0]) - 1e-9)
        before = products, reached
    return None


def sine(found: Tensor, truth: Tensor) -> float:
    """Of the largest principal angle between two spans of orthonormal rows; 1 if fewer were found than there are."""
    if len(found) < len(truth):
        return 1.0
    a, b = found.flatten(1).double().cpu(), truth.flatten(1).double().cpu()
    return min(float(torch.linalg.matrix_norm(a - (a @ b.T) @ b, 2)), 1.0)
