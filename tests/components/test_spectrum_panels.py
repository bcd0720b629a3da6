"""The panels of the spectrum tab without a browser: the process, mixtures, dimensions and what training learns."""

import re

import numpy as np
import pytest
import torch

from backend.experiments.spectrum_bias import Bias, Measures, TrainStudents
from backend.experiments.spectrum_dimension import Dimensions, EstimateDimension
from backend.experiments.spectrum_process import Process, WatchProcess
from backend.experiments.spectrum_survey import Survey, SurveySpectra
from backend.experiments.spectrum_theory import ExploreMixture
from backend.inference import catalogue
from backend.inference.run import run
from backend.metrics.intervals import Estimate
from components import bias_panel, dimension_panel, mixture_panel, process_panel
from components.pictures import data_uri

# ---- the process


def process() -> Process:
    """Two steps; row r of pictures has the grey (r + 1) / 10 at t = 1, and 0.01 more at each later time."""

    def grey(row: int) -> torch.Tensor:
        return torch.stack([torch.full((1, 4, 4), (row + 1) / 10 + i / 100) for i in range(3)]).half()

    names = ("forward", "forward_mean", "ode", "ode_mean", "sde", "sde_mean")
    return Process(
        t=torch.tensor([1.0, 0.5, 0.0]),
        noise_level=torch.tensor([1234.0, 1.0, 0.0]),
        forward_error=torch.tensor([0.5, 0.25, 0.0]),
        ode_seconds=1.234,
        sde_seconds=2.0,
        evaluations=2,
        label="happy",
        **{name: grey(row) for row, name in enumerate(names)},
    )


def test_the_process_goes_from_the_picture_to_noise():
    request = WatchProcess(steps=2)
    scenes = process_panel._scenes(process(), request)
    assert scenes.key == request.key()
    assert [scene.caption for scene in scenes.scenes] == [
        "t = 0.00, σ/α = 0",
        "t = 0.50, σ/α = 1",
        "t = 1.00, σ/α = 1.23e+03",
    ]
    for i, scene in zip((2, 1, 0), scenes.scenes, strict=True):
        assert [picture.label for picture in scene.pictures] == [
            "forward: x_t", "D(x_t, t)", "ODE: x_t", "D(x_t, t)", "SDE: x_t", "D(x_t, t)",
        ]  # fmt: skip
        greys = [torch.full((1, 4, 4), (row + 1) / 10 + i / 100).half().float() for row in range(6)]
        assert [picture.uri for picture in scene.pictures] == [data_uri(grey) for grey in greys]


def test_the_error_of_the_mean_has_a_marker_for_each_scene():
    figure = process_panel._figure(process())
    (trace,) = figure.data
    assert trace.x.tolist() == [0, 0.5, 1] and trace.y.tolist() == [0, 0.25, 0.5]
    assert [frame.layout.shapes[0].x0 for frame in figure.frames] == [0, 0.5, 1]
    assert figure.layout.shapes[0].x0 == 0


def test_the_process_in_words():
    words = process_panel._words(process())
    assert words.startswith("2 evaluations each: the ODE took 1.23 s, the SDE 2.00 s.")


# ---- mixtures


@pytest.fixture(scope="module")
def mixture():
    request = ExploreMixture(d=10, components=3, r=2, points=4, times=7)
    *_, result = run(request)
    return request, result


@pytest.fixture
def no_networks(monkeypatch):
    monkeypatch.setattr(mixture_panel, "find", lambda request: None)


def test_rank_ratios_of_a_mixture_lie_between_one_subspace_and_all(mixture, no_networks):
    request, result = mixture
    figure, _, _ = mixture_panel._show(result, request)
    lines = [trace for trace in figure.data if trace.showlegend is not False]
    assert [trace.name for trace in lines] == [
        "rank ratio, 98.01 % of the energy",
        "rank ratio, 99 % of the energy",
        "effective rank (Roy, Vetterli)",
    ]
    assert len(figure.data) == 2 * 3 + 1, "the two rank ratios have bands over points"
    assert np.allclose(lines[0].y, result.rank_ratio[0].mean(1))
    assert np.allclose(lines[2].y, result.effective.mean(1) / 10)
    assert [shape.y0 for shape in figure.layout.shapes] == pytest.approx([0.2, 0.6])
    assert {shape.line.dash for shape in figure.layout.shapes} == {"dot"}
    assert [note.text for note in figure.layout.annotations] == ["r / d", "K r / d"]


def test_networks_that_are_surveyed_are_lines_for_who_asks_for_them(mixture, monkeypatch):
    request, result = mixture
    known = survey([[1.0] * 8, [98.5**0.5, 1.5**0.5, 0, 0, 0, 0, 0, 0]])
    monkeypatch.setattr(mixture_panel, "find", lambda request: known if request.model == "digits" else None)
    figure, _, _ = mixture_panel._show(result, request)
    *others, network = figure.data
    assert network.name == "network of digits" and network.visible == "legendonly"
    assert network.x.tolist() == [0.1, 0.9] and network.y.tolist() == [1.0, 1 / 8]
    assert not any(trace.visible == "legendonly" for trace in others)


def test_singular_values_of_a_mixture_lie_on_their_closed_form(mixture):
    request, result = mixture
    _, figure, words = mixture_panel._show(result, request)
    lines, circles = figure.data[::2], figure.data[1::2]
    assert len(lines) == len(circles) == 6, "K r of them; the others are 0"
    for i, (line, circle) in enumerate(zip(lines, circles, strict=True)):
        assert circle.marker.symbol == "circle-open" and circle.marker.color == line.line.color
        assert np.allclose(line.y, result.s[:, 0, i]) and np.allclose(circle.y, line.y[::3], rtol=1e-6)
        assert circle.x.tolist() == line.x[::3].tolist()
    assert "the rank is r = 2;" in words and "averages over all 3, and it is K r = 6." in words
    assert float(re.search(r"at most (\S+) of s₁", words)[1]) < 1e-10


def test_no_more_than_fourteen_singular_values_are_drawn():
    request = ExploreMixture(d=20, components=2, r=10, points=1, times=2)
    *_, result = run(request)
    _, figure, _ = mixture_panel._show(result, request)
    assert len(figure.data) == 2 * mixture_panel.SHOWN == 28


# ---- dimensions


def survey(s: list[list[float]], energy: float | None = None, d: int = 8) -> Survey:
    """Two equal pictures with the singular values s[n] at noise level n."""
    values = torch.tensor(s)[:, None].expand(-1, 2, -1)
    whole = values.double().square().sum(-1)
    times = torch.linspace(0.1, 0.9, len(s), dtype=torch.float64)
    return Survey(
        t=times,
        log_snr=-times,
        d=d,
        s=values,
        energy=whole if energy is None else torch.full_like(whole, energy),
        energy_error=torch.zeros_like(whole),
        asymmetry=torch.zeros_like(whole),
        found={},
    )


DIMENSIONS = Dimensions(
    Estimate(9.94, 9.1, 10.3, 1000), Estimate(12, 11.5, 12.5, 1000), Estimate(7.04, 7, 8, 1000), 1000, 64, 0
)  # fmt: skip


@pytest.fixture
def shipped(monkeypatch):
    """shipped(surveys, dimensions): what is at hand, both by name; returns the cells of the table."""

    def make(surveys: dict[str, Survey], dimensions: dict[str, Dimensions]) -> list[list[str]]:
        def find(request):
            if isinstance(request, SurveySpectra):
                return surveys.get(request.model)
            return dimensions.get(request.data) if isinstance(request, EstimateDimension) else None

        monkeypatch.setattr(dimension_panel, "find", find)
        rows = re.findall(r"<tr>(.*?)</tr>", dimension_panel._table())
        return [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in rows]

    return make


def test_the_lowest_rank_of_a_network_stands_beside_the_dimension_of_its_data(shipped):
    spectra = [[2.0, 2, 2, 0, 0, 0, 0, 0], [98.5**0.5, 1.5**0.5, 0, 0, 0, 0, 0, 0], [1.0] * 8]
    head, digits, gaussian = shipped(
        dict.fromkeys(("digits", "gaussian"), survey(spectra)), {"digits": DIMENSIONS}
    )
    assert tuple(head) == dimension_panel.HEAD
    ranks = ["8", "0.1250", "0.2500", "1", "0.50"]
    estimates = ["9.9 [9.1, 10.3]", "12.0 [11.5, 12.5]", "7.0 [7.0, 8.0]", "–"]
    assert digits == [catalogue.card("digits").title, *ranks, *estimates]
    assert gaussian == [catalogue.card("gaussian").title, *ranks], "a closed form has no data of its own"


def test_known_factors_are_given(shipped):
    faces = Dimensions(*[Estimate(17, 16, 18, 1000)] * 3, 1000, 12_288, 26)
    _, row = shipped({"avatars": survey([[1.0, 0, 0]])}, {"avatars": faces})
    assert row[-2:] == ["17.0 [16.0, 18.0]", "26"]


def test_a_rank_that_no_noise_level_reaches_is_a_bound(shipped):
    _, row = shipped({"avatars": survey([[3.0, 2, 1]] * 2, energy=1e3, d=1000)}, {})
    assert row[1:] == ["1,000", "> 0.0030", "> 0.0030", "above 3", "–"]


def test_a_rank_that_is_reached_by_one_cut_alone_is_a_bound_for_the_other(shipped):
    _, row = shipped({"avatars": survey([[98.5**0.5, 0.1, 0.0]] * 2, energy=100.0, d=1000)}, {})
    assert row[1:] == ["1,000", "0.0010", "> 0.0030", "1", "0.10"]


def test_without_a_survey_there_is_no_table(shipped):
    assert shipped({}, {"digits": DIMENSIONS}) == []


def test_an_estimate_is_a_row():
    found = re.findall(r"<td>(.*?)</td>", dimension_panel._estimates(DIMENSIONS))
    assert found == ["1,000", "64", "9.9 [9.1, 10.3]", "12.0 [11.5, 12.5]", "7.0 [7.0, 8.0]", "–"]


# ---- what training learns

WIDTHS, SIZES, STEPS, TIMES = (8, 16), (20, 100, 1197), (10, 100, 1000, 2000), (0.1, 0.5)


def measures(extra: float) -> Measures:
    """Number w, s, c, t in the digits of each value, plus `extra` for one of the measures."""
    shape = len(WIDTHS), len(SIZES), len(STEPS), len(TIMES)
    axes = torch.meshgrid(*(torch.arange(n) for n in shape), indexing="ij")
    value = sum(axis * 10.0**-i for i, axis in enumerate(axes))
    both = torch.stack([value, value + 0.5], dim=-1)
    return Measures(both, *[value] * 5, value + extra, value, value)


@pytest.fixture(scope="module")
def bias() -> Bias:
    t = torch.tensor(TIMES, dtype=torch.float64)
    references = measures(0.0)  # of no matter here
    return Bias(WIDTHS, (10, 20), SIZES, torch.tensor(STEPS), t, -t, measures(100.0), *[references] * 3)


AXES = {  # along -> places, names of the lines, and the number of the first line at its places
    "checkpoints": (STEPS, ["N = 20", "N = 100", "N = 1,197"], [1.0, 1.01, 1.02, 1.03]),
    "sizes": (SIZES, ["width 8", "width 16"], [0.03, 0.13, 0.23]),
    "widths": (WIDTHS, ["N = 20", "N = 100", "N = 1,197"], [0.03, 1.03]),
}


@pytest.mark.parametrize("along", AXES)
def test_lines_of_students_along_each_axis_move_with_the_noise_level(bias, along):
    places, names, first = AXES[along]
    distance, ratio, residual = bias_panel._figures(bias, along)
    for figure in (ratio, residual):
        assert [trace.name for trace in figure.data] == names
        assert {trace.line.dash for trace in figure.data} == {"solid"}
        assert [list(trace.x) for trace in figure.data] == [list(places)] * len(names)
        assert figure.data[0].y == pytest.approx(first)
    n = len(names)
    assert [trace.name for trace in distance.data] == names + [f"memorizing, {name}" for name in names]
    assert [trace.line.dash for trace in distance.data] == ["solid"] * n + ["dash"] * n
    assert [trace.showlegend for trace in distance.data] == [True] * n + [False] * n
    colours = [trace.line.color for trace in distance.data]
    assert colours[:n] == colours[n:] and len(set(colours)) == n
    assert distance.data[0].y == pytest.approx(first)
    assert distance.data[n].y == pytest.approx([100 + y for y in first])
    for figure in (distance, ratio, residual):
        assert len(figure.frames) == len(TIMES)
        for t, frame in enumerate(figure.frames):
            assert frame.traces == tuple(range(len(figure.data)))
            for trace, data in zip(figure.data, frame.data, strict=True):
                assert data.y == pytest.approx([y + t / 1000 for y in trace.y], abs=1e-4)


def test_students_have_a_scene_for_each_noise_level(bias):
    request = TrainStudents()
    scenes = bias_panel._scenes(bias, request)
    assert [scene.caption for scene in scenes.scenes] == ["t = 0.10", "t = 0.50"]
    assert scenes.key == request.key() and not any(scene.pictures for scene in scenes.scenes)


def test_students_that_are_no_longer_at_hand_leave_the_charts(monkeypatch, bias):
    monkeypatch.setattr(bias_panel, "find", lambda request: None)
    assert bias_panel._redrawn(TrainStudents(steps=50), "sizes") == [None] * 3
    monkeypatch.setattr(bias_panel, "find", lambda request: bias)
    assert bias_panel._redrawn(TrainStudents(), "sizes") == bias_panel._figures(bias, "sizes")
