"""Frontiers drawn by hand, and the definition itself on random points."""

import numpy as np
import pytest

from backend.watermark.frontier import frontier, knee, reached

X = [1.0, 2.0, 3.0, 2.5, 1.5, 3.0]
Y = [5.0, 4.5, 1.0, 2.0, 4.0, 0.5]


def test_a_frontier_drawn_by_hand():
    assert frontier(X, Y) == [0, 1, 3, 2]


def test_no_point_of_it_is_dominated_and_every_other_is():
    x, y = np.random.default_rng(0).integers(0, 12, (2, 60)).astype(float)

    def dominated(i):
        return bool(np.any((x >= x[i]) & (y >= y[i]) & ((x > x[i]) | (y > y[i]))))

    assert sorted(frontier(x, y)) == [i for i in range(60) if not dominated(i)]


def test_equal_points_are_kept_and_what_was_not_measured_is_not():
    assert frontier([1.0, 1.0, 0.5], [2.0, 2.0, 2.0]) in ([0, 1], [1, 0])
    assert frontier([1.0, np.nan, 3.0], [2.0, 9.0, np.nan]) == [0]
    assert frontier([], []) == []


def test_the_knee_drawn_by_hand():
    assert knee([1.0, 2.0, 2.5, 3.0], [5.0, 4.5, 2.0, 1.0]) == 1


def test_the_knee_of_a_quarter_circle_is_in_its_middle_whatever_the_units():
    angle = np.linspace(np.pi / 2, 0, 9)
    for wide, high in ((1, 1), (30, 0.2)):
        assert knee(30 + wide * np.cos(angle), high * np.sin(angle)) == 4


@pytest.mark.parametrize("y", [[3.0, 2.0, 1.0], [3.0, 1.2, 1.0]])
def test_a_straight_or_sagging_frontier_has_no_knee(y):
    assert knee([1.0, 2.0, 3.0], y) is None
    assert knee([1.0, 2.0], [2.0, 1.0]) is None and knee([], []) is None


def test_what_is_reached_lies_on_the_line_between_points():
    x, y = [30.0, 34.0, 38.0], [6.0, 4.0, 1.0]
    assert reached(x, y, 5.0) == pytest.approx(32)
    assert reached(x, y, 2.5) == pytest.approx(36)
    assert reached(x, y, 0.5) == 38 and reached(x, y, 7.0) is None and reached(x, y, 6.0) == 30
