import math

import pytest
import torch

from backend.denoiser.combine import Guided
from backend.guidance import weights
from backend.guidance.terms import PairDenoiser, term
from backend.guidance.weights import NoiseWeight
from backend.request import BadInput
from backend.schedule import VESchedule
from tests.guidance.examples import skew, tensor

ALL = {
    "constant": weights.constant(3.0),
    "interval": weights.interval(3.0, 0.2, 5.0),
    "triangle": weights.triangle(3.0, 0.2, 5.0),
    "early": weights.early(3.0, 0.2, 5.0),
    "late": weights.late(3.0, 0.2, 5.0),
    "linear": weights.linear(3.0, 0.2, 5.0, -1.0),
    "switch": weights.switch(3.0, 0.09, 4.0),
    "curve": weights.curve([(2.0, 1.0), (0.1, -0.5), (7.0, 4.0)]),
}
LOW, HIGH = 0.01, 80.0


@pytest.mark.parametrize("name", ALL)
def test_areas_are_those_of_a_fine_sum(name):
    weight = ALL[name]
    for low, high in [(LOW, HIGH), (0.5, 3.0), (0.001, 0.02)]:
        y = torch.linspace(math.log(low), math.log(high), 2_000_001, dtype=torch.float64)
        middle = ((y[1:] + y[:-1]) / 2).exp()
        expected = float(weight(middle).mean()) * math.log(high / low)
        assert weight.area(low, high) == pytest.approx(expected, abs=2e-5)  # of jumps inside a cell


@pytest.mark.parametrize("name", ALL)
def test_at_equal_area_it_has_that_area(name):
    area = weights.constant(1.0).area(LOW, HIGH)
    if name == "switch":  # its -1 may only shrink
        area = ALL[name].area(LOW, HIGH) / 2
    if name in ("linear", "curve"):
        area = ALL[name].area(LOW, HIGH)
    scaled = ALL[name].at_equal_area(area, LOW, HIGH)
    assert scaled.area(LOW, HIGH) == pytest.approx(area, rel=1e-12)
    factor = area / ALL[name].area(LOW, HIGH)
    level = torch.logspace(-2, 2, 50, dtype=torch.float64)
    torch.testing.assert_close(scaled(level), factor * ALL[name](level))


def test_values():
    level = tensor(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 9.0)
    found = {name: [round(v, 9) for v in weight(level).tolist()] for name, weight in ALL.items()}
    rise = math.log(2.5) / math.log(25)
    assert found["constant"] == [3] * 7
    assert found["interval"] == [0, 0, 3, 3, 3, 3, 0]  # low < l <= high
    assert found["triangle"] == pytest.approx([0, 0, 12 * rise, 6, 12 * rise, 0, 0])
    assert found["early"] == [0, 0, 0, 0, 3, 3, 0]
    assert found["late"] == [0, 0, 3, 3, 0, 0, 0]
    assert found["linear"] == pytest.approx([0, 0, -1 + 4 * rise, 1, 3 - 4 * rise, 3, 0])
    assert found["switch"] == [-1, -1, -1, -1, 3, 3, 3]
    assert found["curve"][0] == -0.5 and found["curve"][4] == 1 and found["curve"][6] == 4
    assert ALL["triangle"].area(LOW, HIGH) == pytest.approx(ALL["interval"].area(LOW, HIGH), rel=1e-12)
    assert ALL["switch"].knots == pytest.approx((1.5432,), abs=1e-4)
    assert ALL["curve"].knots == (0.1, 2.0, 7.0)


def test_a_window_from_0_holds_the_picture_and_infinite_noise_is_a_level():
    assert weights.interval(2.0, 0.0, 1.0)(tensor(0.0, 1e-9, 2.0)).tolist() == [2, 2, 0]
    assert ALL["linear"](tensor(0.0, math.inf)).tolist() == [0, 0]
    assert ALL["curve"](tensor(0.0, math.inf)).tolist() == [-0.5, 4]


def test_one_point_is_a_constant():
    assert weights.curve([(1.0, 2.0)])(tensor(0.01, 1.0, 30.0)).tolist() == [2, 2, 2]


def test_guided_takes_them():
    schedule = VESchedule()
    D = PairDenoiser(skew(), schedule)
    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    label, levels = torch.tensor(0), tensor(0.3, 3.0, 60.0)
    t = schedule.time(-2 * levels.log())
    found = Guided(D, [term(D.pair, schedule)], [ALL["interval"]])(x, t, label=label)
    conditional = D(x, t, label=label)
    expected = conditional + tensor(3, 3, 0)[:, None] * (conditional - D(x, t))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: weights.constant(math.nan), "must be a number from -1 to 100"),
        (lambda: weights.constant(1e6), "must be a number from -1 to 100"),
        (lambda: weights.interval(-1.5, 0.1, 1.0), "must be a number from -1 to 100"),
        (lambda: weights.linear(2.0, 0.1, 1.0, -1.1), "must be a number from -1 to 100"),
        (lambda: weights.interval(2.0, 1.0, 0.1), "window is empty"),
        (lambda: weights.interval(2.0, 1.0, 1.0), "window is empty"),
        (lambda: weights.interval(2.0, math.nan, 1.0), "noise levels of 0 or more"),
        (lambda: weights.triangle(2.0, 0.0, 1.0), "log scale"),
        (lambda: weights.triangle(60.0, 0.1, 1.0), "from 0 to 120"),
        (lambda: weights.curve([]), "at least one point"),
        (lambda: weights.curve([(1.0, 2.0)] * 101), "at most 100 points"),
        (lambda: weights.curve([(1.0, 2.0), (1.0, 3.0)]), "same noise level"),
        (lambda: weights.curve([(0.0, 2.0)]), "above 0"),
        (lambda: weights.switch(0.0, 1.0, 2.0), "gamma above 0"),
        (lambda: weights.switch(2.0, 1.0, 1.0), "differs"),
        (lambda: weights.switch(2.0, 0.0, 1.0), "differs"),
        (lambda: weights.linear(1.0, 0.1, 1.0, -1.0).at_equal_area(2.0, LOW, HIGH), "without area"),
        (lambda: weights.interval(1.0, 0.1, 0.11).at_equal_area(20.0, LOW, HIGH), "must stay from -1 to 100"),
        (lambda: NoiseWeight(()).at_equal_area(2.0, LOW, HIGH), "without area"),
        (lambda: weights.constant(1.0).area(0.0, 1.0), "log scale"),
    ],
)
def test_bad_input_is_a_sentence(make, sentence):
    with pytest.raises(BadInput, match=sentence + r".*\.$"):
        make()
