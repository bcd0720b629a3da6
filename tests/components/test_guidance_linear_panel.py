"""The panel of the linear regime on made-up curves, and the runs that it opens with."""

import math

import numpy as np
import pytest
import torch

from backend.experiments.guide_linearity import NEAR, CompareWithLinear, Curve, Departure, Linearity
from backend.inference.cache import find
from components import guidance_linear_figures as figures
from components import guidance_linear_panel as panel

LEVELS = torch.tensor([100.0, 10.0, 1.0, 0.1], dtype=torch.float64)


def curve(*values: float) -> Curve:
    middle = torch.tensor(values, dtype=torch.float64)
    return Curve(middle, middle - 0.01, middle + 0.02)


def departure(regime: float | None) -> Departure:
    return Departure(
        relative=curve(0.7, 0.2, 0.1, 0.05),
        gain=curve(0.01, 0.04, 0.4, 0.9),
        error=curve(1.01, 0.98, 0.6, 0.2),
        floor=torch.tensor([0.03, 0.01, 0.001, 0.001], dtype=torch.float64),
        norm=torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64),
        regime=regime,
        pictures=64,
        of=1000,
    )


def made(first: float | None = 10.0, second: float | None = None, note: str = "") -> Linearity:
    return Linearity(
        level=LEVELS,
        conditional=departure(first),
        unconditional=departure(second),
        norm=torch.tensor([3.0, 4.0, 1.0, 0.1], dtype=torch.float64),
        cosine=curve(0.9, 0.8, 0.3, 0.1),
        apart=curve(0.3, 0.4, 1.2, 1.1),
        explained=curve(0.8, 0.7, 0.2, 0.05),
        parts=(curve(0.7, 0.6, 0.1, 0.02), curve(0.1, 0.1, 0.1, 0.1), curve(0.05, 0.05, 0.05, 0.05)),
        chance=0.01,
        dimensions=300,
        d=32,
        note=note,
    )


@pytest.mark.parametrize("measure", figures.MEASURES)
def test_a_departure_is_drawn_for_both_means_with_its_interval(measure):
    figure = figures.departure(made(), measure)
    lines = [trace for trace in figure.data if trace.showlegend is not False]
    assert [trace.name for trace in lines] == list(figures.WHOSE)
    wanted = getattr(departure(None), measure)
    for trace in lines:
        assert trace.x.tolist() == LEVELS.tolist() and np.allclose(trace.y, wanted.value)
    edges = [trace for trace in figure.data if trace.name.endswith((", low", ", high"))]
    assert [np.allclose(e.y, getattr(wanted, e.name.split(", ")[-1])) for e in edges] == [True] * 4
    floors = [trace for trace in figure.data if trace.line.dash == "dot"]
    assert len(floors) == 2 * (measure == "relative")
    assert all(np.allclose(trace.y, departure(None).floor) for trace in floors)


def test_the_linear_regime_is_shaded_for_the_class_and_a_line_for_all_data():
    rectangle = [s for s in figures.departure(made(), "gain").layout.shapes if s.type == "rect"]
    assert [(s.x0, s.x1) for s in rectangle] == [(10.0, 100.0)]
    notes = {note.text: note for note in figures.departure(made(), "gain").layout.annotations}
    assert notes["linear regime<br>(our definition)"].x == 2
    assert notes["0.05, our bound"].y == pytest.approx(math.log10(NEAR))
    both = figures.cosine(made(10.0, 1.0)).layout.shapes
    assert [s.x0 for s in both if s.type == "line" and s.line.dash == "dash"] == [1.0]
    assert not [s for s in figures.cosine(made(None, None)).layout.shapes if s.type == "rect"]


def test_what_guidance_adds_is_drawn():
    result = made()
    drawn = {trace.name: trace.y for trace in figures.sizes(result).data}
    assert list(drawn) == ["|D_c − μ_c|", "|D_u − μ_u|", "|D_c − D_u|"]
    assert np.allclose(drawn["|D_c − D_u|"], result.norm)
    assert np.allclose(figures.cosine(result).data[-1].y, result.cosine.value)
    assert np.allclose(figures.apart(result).data[-1].y, result.apart.value)
    shares = {t.name: t.y for t in figures.explained(result).data if t.showlegend is not False}
    assert list(shares) == ["all three", "mean shift alone", "Pos-CPC alone", "Neg-CPC alone"]
    assert np.allclose(shares["Neg-CPC alone"], result.parts[2].value)
    assert figures.explained(result).layout.shapes[0].y0 == 0.01, "chance"


def test_words_tell_the_regime_whose_definition_it_is_and_where_the_linear_direction_is_worse_than_none():
    words = panel._words(made(note="Shrunk."), CompareWithLinear())
    assert "D_c is in its linear regime from σ/α = 10 on up." in words
    assert "D_u is in its linear regime at none of these noise levels." in words
    assert "our definition" in words and "names no bound" in words and "Shrunk." in words
    assert "explain 80 % at σ/α = 100 and 5.0 % at 0.1 (chance 1 %)" in words
    assert "At σ/α = 1 and at 1 cleaner levels" in words


def test_the_button_says_how_long_it_takes():
    assert panel._button("digits", 64, 12) == "Compare (a few seconds)"
    few, many = (int(panel._button("avatars", n, 12).split()[2]) for n in (64, 400))
    assert 10 < few < many


def test_classes_follow_the_model_and_what_is_at_hand_is_shown():
    kept = panel._labels("avatars", "sad")
    assert kept.value == "sad" and [c[0] for c in kept.choices] == list(panel.LABELS["avatars"])
    assert panel._labels("digits", "sad").value == "3"
    words, *charts = panel._known("digits", "happy", 64, 12)
    assert "digits, class “3”" in words and len(charts) == len(panel.CHARTS)
    assert panel._known("digits", "4", 9, 3) is None
    assert panel._known("digits", "4", 400, 60) is None, "too many to ask for"


@pytest.mark.parametrize("name", panel.SHIPPED)
def test_the_shipped_runs_can_be_made_again(name):
    """Three of their noise levels."""
    shipped = find(panel.SHIPPED[name])
    assert shipped is not None and len(shipped.level) == 12
    request = panel.SHIPPED[name]
    from backend.inference.load import load

    *_, again = CompareWithLinear(name, request.label, 64, 3).run(load(name))
    for i, j in ((0, 0), (2, 11)):
        for curve_, other in (
            (again.conditional.gain, shipped.conditional.gain),
            (again.explained, shipped.explained),
            (again.unconditional.error, shipped.unconditional.error),
        ):
            assert float(curve_.value[i]) == pytest.approx(float(other.value[j]), rel=1e-2, abs=1e-3)
