"""The benchmark of spectra on small matrices: what it counts and what it reads off the counts must be right."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from backend.experiments.spectrum_survey import Survey
from backend.jacobian.linearize import Linearized, linearize
from backend.jacobian.spectrum import effective_rank
from tests.benchmarks.spectrum import lowest
from tests.benchmarks.spectrum_search import (
    SINES,
    Point,
    Remembered,
    needed,
    needs,
    ours,
    propack,
    published,
    reference,
    sine,
    until,
)
from tests.benchmarks.spectrum_whole import all_rows, totals, values_of

SHAPE = (4, 5, 3)
K = 3
Search = Callable[[Remembered, int, int, Tensor, int], Iterator[Point]]


def matrix(rate: float = 0.8, size: int = math.prod(SHAPE)) -> Tensor:
    """Singular values rate^i."""
    generator = torch.Generator().manual_seed(0)
    u, v = (torch.linalg.qr(torch.randn(size, size, generator=generator)).Q for _ in range(2))
    return (u * rate ** torch.arange(size)) @ v.T


def counted(a: Tensor, spent: list[int]) -> Remembered:
    """The Jacobian of x -> a x, which adds up in spent[0] the products that are asked of it."""

    def jvp(v: Tensor) -> Tensor:
        spent[0] += len(v)
        return (v.flatten(1) @ a.T).view(-1, *SHAPE)

    def vjp(u: Tensor) -> Tensor:
        spent[0] += len(u)
        return (u.flatten(1) @ a).view(-1, *SHAPE)

    plain = linearize(lambda x: (a @ x.flatten()).view(SHAPE), torch.zeros(SHAPE))
    return Remembered(Linearized(plain.value, plain.shape, jvp, vjp, plain.mask, plain.cost))


class Forgetful(dict):
    """A memory that keeps nothing: every product is asked for again."""

    def __contains__(self, key: object) -> bool:
        return False


def truth_of(a: Tensor, k: int = K) -> Tensor:
    return torch.linalg.svd(a).Vh[:k].view(-1, *SHAPE)


@pytest.mark.parametrize("search", [ours, propack, published])
def test_every_column_and_row_of_a_search_counts_once(search: Search) -> None:
    a, spent = matrix(), [0]
    jacobian = Remembered(counted(a, spent).jacobian, Forgetful())
    before, points = 0, []
    for products, reached in search(jacobian, K, 0, truth_of(a), 60):
        # ours and PROPACK begin anew for every point, the paper's iteration goes on
        assert products == spent[0] - (0 if search is published else before)
        before = spent[0]
        points.append((products, reached))
        if products >= 60:
            break
    assert len(points) > 4
    if search is published:
        assert [products for products, _ in points] == [2 * K * (i + 1) for i in range(len(points))]


@pytest.mark.parametrize("search", [ours, propack])
def test_remembered_products_are_computed_once_and_counted_each_time(search: Search) -> None:
    a, spent = matrix(), [0]
    jacobian = counted(a, spent)
    found = list(search(jacobian, K, 0, truth_of(a), 60))
    once = spent[0]
    assert once == len(jacobian.memory) and max(products for products, _ in found) <= once
    assert sum(products for products, _ in found) > 2 * once
    assert list(search(jacobian, K, 0, truth_of(a), 60)) == found and spent[0] == once


def test_remembered_products_are_those_of_the_matrix() -> None:
    a = matrix()
    jacobian = counted(a, [0]).anew()
    v = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(1))
    for _ in range(2):
        torch.testing.assert_close(jacobian.jvp(v).flatten(1), v.flatten(1) @ a.T)
        torch.testing.assert_close(jacobian.vjp(v).flatten(1), v.flatten(1) @ a)
    assert (jacobian.cost.jvp, jacobian.cost.vjp) == (4, 4)


@pytest.mark.parametrize("search", [ours, propack, published])
def test_every_method_finds_the_truth_and_is_stopped_there(search: Search) -> None:
    a = matrix()
    points = until(search(counted(a, [0]), K, 0, truth_of(a), 200), 200)
    assert points[-1][1] <= min(SINES) < min(reached for _, reached in points[:-1])
    assert needed(points, 1e-1) < needed(points, 1e-2) <= points[-1][0] < 80


def test_ours_needs_fewer_products_than_the_iteration() -> None:
    a = matrix(0.95)
    runs = [until(search(counted(a, [0]), K, 0, truth_of(a), 900), 900) for search in (ours, published)]
    assert 3 * needed(runs[0], 1e-2) < needed(runs[1], 1e-2)


def test_reference_is_the_truth_and_knows_the_gap() -> None:
    a = matrix(0.9)
    found, gap = reference(counted(a, [0]), K, 500)
    assert sine(found, truth_of(a)) < 1e-5
    assert gap == pytest.approx(0.1, abs=1e-4)
    with pytest.raises(RuntimeError, match="within 12"):
        reference(counted(a, [0]), K, 12)


def test_between_two_counts_the_logarithm_of_the_sine_is_a_line() -> None:
    points = [(10, 1.0), (20, 1e-2), (40, 1e-4)]
    assert needed(points, 1e-1) == 15
    assert needed(points, 1e-2) == 20
    assert needed(points, 1e-3) == 30
    assert needed(points, 0.5) == math.ceil(10 + 10 * math.log(2) / math.log(100))
    assert needed(points, 1.0) == 10
    assert needed(points, 1e-5) is None
    assert needed([], 1e-1) is None
    assert needed(reversed(points), 1e-1) == 15
    assert needed([(10, 0.5), (20, 0.05), (30, 0.5), (40, 0.005)], 0.05) == 20  # the first to meet it


def test_runs_that_do_not_get_there_count_as_the_most_and_are_named() -> None:
    rows = list(needs("here", "theirs", [[(10, 1.0), (20, 1e-2)], [(10, 1.0), (20, 0.05)]], 20))
    assert [(row["what"], row["value"], row["n"]) for row in rows] == [
        ("products to a sine of 0.1, here: theirs", (15 + 18) / 2, 2),
        ("products to a sine of 0.01, here: theirs, not reached by 1 of 2 runs, which count as 20", 20, 2),
        ("sine where it was given up, here: theirs", 0.05, 1),
    ]


def test_sine_of_the_largest_angle() -> None:
    axes = torch.eye(4)
    turned = torch.stack([axes[0], math.cos(0.1) * axes[1] + math.sin(0.1) * axes[2]])
    assert sine(turned, axes[:2]) == pytest.approx(math.sin(0.1))
    assert sine(axes[[1, 0]], axes[:2]) == 0
    assert sine(axes[:1], axes[:2]) == 1  # one of two is not both
    assert sine(axes[1:3], axes[:2]) == 1


def survey(s: list[list[float]], d: int) -> Survey:
    """Two equal pictures of energy 1 and d values; a list of their leading values for each noise level from 0.1 to 0.9."""
    values = torch.tensor(s)[:, None].repeat(1, 2, 1)
    zeros = torch.zeros(values.shape[:2])
    t = torch.linspace(0.1, 0.9, len(s))
    return Survey(t, t, d, values, torch.ones_like(zeros), zeros, zeros, {})


def test_lowest_rank_ratio_and_what_it_is_above_where_the_values_do_not_reach_the_cut() -> None:
    found = survey([[0.8, 0.1], [0.8, 0.6]], d=10)
    ratio, t = lowest(found, 0.99)
    assert (ratio.value, t, ratio.n) == (pytest.approx(0.2), pytest.approx(0.9), 2)
    ratio, t = lowest(survey([[0.8, 0.1], [0.8, 0.2]], d=10), 0.99)
    assert (ratio.value, t, ratio.n) == (pytest.approx(0.2), None, 2)


def test_whole_jacobian_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    a, calls = matrix(), [0]

    class Stop(Exception):
        pass

    def f(x: Tensor, most: int | None = None) -> Tensor:
        y = (x.flatten(1) @ a.T).view_as(x)

        def called(gradient: Tensor) -> Tensor:
            calls[0] += 1
            if calls[0] == most:
                raise Stop
            return gradient

        y.register_hook(called)
        return y

    path = tmp_path / "rows.npy"
    with pytest.raises(Stop):
        all_rows(lambda x: f(x, most=4), torch.zeros(SHAPE), path, batch=8)
    assert json.loads(path.with_suffix(".json").read_text())[0] == 24
    rows, seconds = all_rows(f, torch.zeros(SHAPE), path, batch=8)
    assert calls[0] == 4 + math.ceil((60 - 24) / 8) and seconds > 0
    torch.testing.assert_close(torch.from_numpy(rows), a)
    again, same = all_rows(f, torch.zeros(SHAPE), path, batch=8)
    assert calls[0] == 9 and (again == rows).all() and same == pytest.approx(seconds, abs=0.1)

    path.unlink()  # the rows that were done are lost with the file
    torch.testing.assert_close(torch.from_numpy(all_rows(f, torch.zeros(SHAPE), path)[0]), a)


@pytest.mark.parametrize(("double", "off"), [(True, 1e-6), (False, 1e-3), (None, 1e-3)])
def test_values_and_totals_of_a_whole_jacobian(double: bool | None, off: float) -> None:
    a = matrix(0.95, size=600)[:, torch.randperm(600)]
    s, precision = values_of(a, double)
    assert precision == {True: "float64", False: "float32"}.get(double, precision)
    true = torch.linalg.svdvals(a.double())
    torch.testing.assert_close(s, true, atol=off, rtol=0)
    assert float(effective_rank(s) / effective_rank(true)) == pytest.approx(
        1, abs=0.5 if off > 1e-5 else 1e-4
    )
    energy, asymmetric = totals(a)
    assert energy == pytest.approx(float(true.square().sum()), rel=1e-6)
    assert asymmetric == pytest.approx(float((a - a.T).double().square().sum()), rel=1e-6)
