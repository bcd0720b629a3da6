"""The view of many dimensions without a browser: its charts show the very numbers of the results."""

import math
from dataclasses import replace

import gradio as gr
import numpy as np
import pytest
import torch

from backend.experiments.guidance_dimension import GuideHighDimension
from backend.experiments.guidance_weight import of_dimension
from backend.guidance import stages
from backend.inference.cache import find
from backend.inference.run import run
from backend.request import BadInput, Request
from components import guidance_dimensions_figures as figures
from components import guidance_dimensions_panel as panel

SMALL = GuideHighDimension(dimensions=(3, 6), samples=40, steps=10)


@pytest.fixture(scope="module")
def found():
    """{kind of classes: result} under one setting."""
    results = {}
    for kind in figures.KINDS:
        *_, results[kind] = run(replace(SMALL, classes=kind))
    return results


def named(figure):
    return {trace.name: trace for trace in figure.data}


@pytest.mark.parametrize("kind", ["exponential", "polynomial", "two"])
def test_shipped_runs_can_be_made_again(kind):
    request = replace(panel.FIRST, classes=kind)
    shipped = find(request)
    small = replace(request, dimensions=(4, 8))
    *_, again = run(small)
    for name in figures.MEASURES:
        assert torch.allclose(getattr(shipped.guided, name)[:2], getattr(again.guided, name), rtol=1e-6)
    assert torch.allclose(shipped.predicted_variance[:2], again.predicted_variance, equal_nan=True)


@pytest.mark.parametrize("against", figures.AGAINST)
@pytest.mark.parametrize("name", figures.MEASURES)
def test_a_measure_stands_beside_the_run_without_guidance_and_what_large_d_predicts(found, name, against):
    result = found["exponential"]
    others = {kind: found[kind] for kind in ("two", "polynomial")}
    figure = figures.measure(result, name, against, others)
    lines = named(figure)
    scale = result.dimensions.sqrt() if name == "overshoot" else 1
    for run_, words in (("guided", "guided"), ("plain", "without guidance")):
        assert np.allclose(lines[words].y, getattr(getattr(result, run_), name) / scale)
        assert np.allclose(
            lines[words].error_y.array, 1.96 * getattr(getattr(result, f"{run_}_error"), name) / scale
        )
        assert lines[words].x.tolist() == getattr(result, against).tolist()
    if name in ("overshoot", "across", "along"):
        known = result.predicted_overshoot if name == "overshoot" else result.predicted_variance
        assert np.allclose(lines["predicted for large d"].y, known / scale)
    else:
        assert "predicted for large d" not in lines
    for kind, other in others.items():
        drawn = lines[f"guided, {figures.KINDS[kind]}"]
        assert np.allclose(drawn.y, getattr(other.guided, name) / scale)
        assert drawn.x.tolist() == getattr(other, against).tolist()
    assert figure.layout.xaxis.type == "log" and figure.layout.xaxis.title.text == figures.AGAINST[against]
    true = {"across": [1.0], "along": [1.0], "w2": [0.0], "overshoot": [0.0], "separability": []}[name]
    assert [shape.y0 for shape in figure.layout.shapes] == true


def test_of_two_classes_nothing_is_predicted(found):
    lines = named(figures.measure(found["two"], "across", "dimensions"))
    assert set(lines) == {"without guidance", "guided"}


def test_transitions(found):
    lines = named(figures.transitions(found["two"], "dimensions"))
    assert list(lines) == ["without guidance"]
    assert lines["without guidance"].y == pytest.approx([math.sqrt(3 - 0.25), math.sqrt(6 - 0.25)])
    many = found["exponential"]
    lines = named(figures.transitions(many, "classes"))
    assert np.allclose(lines["guided"].y, many.guided_transition)
    assert (lines["guided"].y > lines["without guidance"].y).all()
    never = replace(many, guided_transition=torch.tensor([0.0, 1.0]))
    assert np.isnan(named(figures.transitions(never, "dimensions"))["guided"].y).tolist() == [True, False]


def test_potentials_are_those_of_the_back_end_and_dots_their_minima(found):
    request = replace(SMALL, classes="two", gamma=2.0)
    figure = figures.potential(found["two"], request)
    known = found["two"].potential
    for frame, i in zip(figure.frames, reversed(range(len(known.e))), strict=True):
        for name, curve, dots in zip(figures.CURVES, frame.data[::2], frame.data[1::2], strict=True):
            assert np.allclose(curve.y, getattr(known, name)[i])
            e = float(known.e[i])
            if name == "conditional":  # q^2 / 2 - e q
                assert dots.x == pytest.approx([e], abs=0.03)
            if name == "unconditional":  # q^2 / 2 - log cosh(e q): q = e tanh(e q)
                assert len(dots.x) == (2 if e > 1 else 1)
                assert np.allclose(dots.x, e * np.tanh(e * dots.x), atol=0.05)
    assert figure.data[0].x.tolist() == known.q.tolist()


def test_the_potential_of_two_classes_is_shown_whatever_was_sampled(found):
    request = replace(SMALL, gamma=3.0)
    shown = figures.potential_of(found["exponential"], request)
    assert torch.equal(shown.guided, stages.potentials(3.0).guided)


def test_captions_tell_the_noise_level_and_the_transition(found):
    captions = figures.captions(found["two"], replace(SMALL, classes="two"))
    figure = figures.potential(found["two"], SMALL)
    assert len(captions) == len(figure.frames)
    marked = [words for words in captions if words.endswith(": the transition")]
    level = found["two"].transition[-1].item()
    assert len(marked) == 1 and f"= 1, σ/α = {level:.3g} in d = 6" in marked[0]
    assert "not reached" in figures.captions(found["two"], replace(SMALL, variance=1.0))[0]


def test_words(found):
    result = found["exponential"]
    scenes, _, words, request = panel._show(result, SMALL)
    assert request == SMALL and scenes.key == SMALL.key()
    classes = ", ".join(map(str, result.classes.tolist()))
    assert f"d = 3, 6, of K = {classes} classes" in words and f"{float(result.guided.w2.max()):.3g}" in words
    *_, idle = run(replace(SMALL, gamma=0.0))
    assert "gamma is 0" in panel._words(idle, SMALL)
    *_, cut = run(replace(SMALL, rate=2.0, dimensions=(6,)))
    assert "cut to 2 to 1,000" in panel._words(cut, replace(SMALL, dimensions=(6,)))


def test_charts_follow_what_is_at_hand(monkeypatch, found):
    charts = panel._redrawn(SMALL, "classes")
    assert [chart.layout.xaxis.title.text for chart in charts] == ["number of classes K"] * 6
    assert {"guided, two classes ±m", "guided, K = d^p"} < set(named(charts[0]))
    monkeypatch.setattr(panel, "find", lambda request: None)
    assert panel._redrawn(SMALL, "classes") == [None] * 6


def test_dimensions_may_be_typed():
    assert panel._read({"dimensions": [4, "20"], "gamma": 1.0}) == {"dimensions": (4, 20), "gamma": 1.0}
    assert panel._read({"dimensions": None}) == {"dimensions": ()}
    for typed in (["four"], ["4.5"], [None]):
        with pytest.raises(BadInput, match="whole number"):
            panel._read({"dimensions": typed})


def test_a_link_of_any_weight_comes_back_from_what_the_controls_show():
    with gr.Blocks():
        action = panel.build()
    assert action.request.parse(action.read({n: c.value for n, c in action.inputs.items()})) == panel.FIRST
    assert set(action.inputs) == set(panel.FIRST.values())
    curve = {"weight": "curve", "curve": (0.2, 1.0, 5.0, 3.0)}
    for fields in (
        {"weight": "late", "equal_area": True, "low": 1.0},
        curve,
        curve | {"equal_area": True, "gamma": 3.0},
    ):
        request = Request.from_query(replace(SMALL, **fields).to_query())
        shown = action.restore(request)
        values = {name: shown[component] for name, component in action.inputs.items()}
        values["dimensions"] = [str(d) for d in values["dimensions"]]
        assert action.request.parse(action.read(values)) == request
    unused = {"low": 1.0, "high": 2.0, "end": 1.0, "curve": (1.0, 1.0), "equal_area": True}
    assert action.request.parse(action.read(SMALL.values() | unused)) == SMALL


def test_what_is_foreseen_is_the_linear_models_in_few_dimensions():
    fields = {"weight": "early", "equal_area": True, "gamma": 1.0}
    found = panel._foreseen(panel.FIRST.values() | fields | {"dimensions": [8, "4", 24]})
    same = of_dimension(replace(panel.FIRST, **fields, dimensions=(4,)))
    assert (found.area, found.shift, found.variance) == (same.area, same.shift, same.variance)
    assert found.note == "This is for d = 4."
    many = panel._foreseen(panel.FIRST.values() | {"dimensions": [64], "classes": "two", "samples": 20})
    assert many.note == "This is for d = 16, because more dimensions would take too long."
    with pytest.raises(BadInput, match="at least one point"):
        panel._foreseen(panel.FIRST.values() | {"weight": "curve"})


def test_the_button_says_how_long_it_takes():
    first = panel.FIRST
    known = (first.rate, first.power, first.samples, first.steps)
    few, many = (panel._label(d, "exponential", *known) for d in ((4,), (24, 26)))
    assert int(few.split()[2]) < int(many.split()[2])
    assert panel._label(["x"], "two", *known) == panel._label([4], "two", 0.25, None, None, 60) == "Run"
