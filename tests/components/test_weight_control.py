"""What the weight control lets through in either direction, and which fields a kind has. How it behaves is in tests/browser."""

import json
import math

import gradio as gr
import pytest

from backend.experiments.guidance_mixture import GuideMixture
from backend.experiments.guidance_theory import GuideGaussian
from backend.experiments.guidance_weight import PredictGuidance, predict
from backend.experiments.guide import GuideNetwork
from backend.guidance.weights import MOST_POINTS
from backend.request import BadInput
from components import guidance_network_panel as network
from components.weight_control import Drawn, WeightControl, words
from components.weight_row import _begin, _tell, used, weight_row

KINDS = ["constant", "interval", "triangle", "early", "late", "linear", "switch", "curve"]


def control() -> WeightControl:
    return WeightControl(render=False)


@pytest.fixture(scope="module")
def row():
    with gr.Blocks():
        return weight_row("demo", KINDS, GuideGaussian())


def test_curves_are_read():
    assert control().preprocess([0.1, 2, 10.0, -0.5]) == (0.1, 2.0, 10.0, -0.5)
    for nothing in (None, "", []):
        assert control().preprocess(nothing) == ()
    assert len(control().preprocess([0.5, 1.0] * MOST_POINTS)) == 2 * MOST_POINTS  # what a link may bring


@pytest.mark.parametrize(
    "payload",
    [
        "0.1,2",
        7,
        {"points": []},
        [0.1],
        [0.1, 2.0, 3.0],
        [0.0, 1.0],
        [-1.0, 1.0],
        [1.0, -1.01],
        [1.0, 101.0],
        [1.0, float("nan")],
        [float("inf"), 1.0],
        [1.0, None],
        [True, 1.0],
        ["1", 1.0],
        [[1.0, 2.0]],
        [10**400, 1.0],
        [0.5, 1.0] * (MOST_POINTS + 1),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_the_page_cannot_have_sent_is_refused_in_a_sentence(payload):
    with pytest.raises(gr.Error, match="drawn curve could not be read"):
        control().preprocess(payload)


def test_a_link_sets_the_value_and_an_answer_does_not():
    wire = control().postprocess((0.5, 2.0))
    assert wire["value"] == wire["props"]["points"]["flat"] == [0.5, 2.0]
    assert control().postprocess(())["value"] == []
    answer = control().postprocess(Drawn(predict(PredictGuidance())))
    assert "value" not in answer and list(answer["props"]) == ["shown"]
    assert control().postprocess(None) == {"__type__": "update"}
    assert control().postprocess(Drawn(kind="curve"))["props"] == {"kind": "curve"}
    with pytest.raises(ValueError):
        control().postprocess((1.0,))


def test_what_is_drawn_is_small_and_is_the_prediction():
    found = predict(PredictGuidance(weight="interval", low=0.5, high=5.0, gamma=2.0))
    shown = control().postprocess(Drawn(found))["props"]["shown"]
    assert shown["level"] == pytest.approx(found.level.tolist(), rel=1e-5)
    assert set(shown["weight"]) == {0.0, 2.0}
    for name in ("variance", "mean"):
        assert len(shown[name]) == 4 and all(max(row) == 1 and min(row) >= 0 for row in shown[name])
    assert len(json.dumps(shown)) < 15_000


def test_words_tell_area_shift_and_variance():
    found = predict(PredictGuidance(weight="switch", gamma=1.0))
    assert found.area < 0
    told = words(found)
    assert f"Area over log noise: −{-found.area:.3g}." in told
    assert (
        f"moves by {found.shift:.3g} of the distance" in told and f"becomes {found.variance:.3g} of" in told
    )
    assert "no distance" in words(predict(PredictGuidance(data="sliders", distance=0.0)))


def test_a_sentence_leaves_the_weight_that_stands():
    shown = control().postprocess(Drawn(sentence="No."))["props"]["shown"]
    assert shown == {"words": "", "notes": "No."}


def test_a_note_about_what_changes_nothing_is_shown():
    shown = control().postprocess(Drawn(predict(PredictGuidance(gamma=0.0))))["props"]["shown"]
    assert shown["notes"] == "Nothing is guided, because gamma is 0."


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_fields_keep_their_defaults_so_that_nothing_is_said_to_change_nothing(row, kind):
    values = {
        "weight": kind,
        "gamma": 3.0,
        "low": 0.2,
        "high": 5.0,
        "end": -0.2,
        "mode": 2,
        "equal_area": False,
    }
    values |= {"curve": (1.0, 1.5), "label": "8"}
    kept = row.read(values)
    assert kept["label"] == "8" and set(values) - set(kept) == {
        n for n, on in used(kind, False).items() if not on
    }
    assert predict(PredictGuidance.parse(kept)).idle == ""


def test_gamma_of_a_curve_counts_with_its_area_alone(row):
    assert not used("curve", False)["gamma"] and used("curve", True)["gamma"]
    assert set(row.fields) == {"weight", *used("curve", False)}


def test_a_curve_begins_as_the_constant():
    drawn, _ = _begin("curve", 2.0, 0.1, 10.0, ())
    assert drawn == Drawn(curve=(0.1, 2.0, 10.0, 2.0))
    for kept in (
        ("curve", 2.0, 0.1, 10.0, (1.0, 1.0)),
        ("late", 2.0, 0.1, 10.0, ()),
        ("curve", 2.0, None, 10.0, ()),
    ):
        assert _begin(*kept)[0] is None
    assert _begin("late", 1.0, 0.1, 10.0, ())[1] != _begin("late", 1.0, 0.1, 10.0, ())[1]


def test_bad_input_becomes_the_controls_sentence():
    def refuse(values):
        raise BadInput("The window is empty.")

    assert _tell(refuse, {}) == Drawn(sentence="The window is empty.")
    assert _tell(
        lambda values: predict(PredictGuidance(**values)), {"gamma": 1.0}
    ).prediction.area == pytest.approx(math.log(4000))


def test_only_a_request_with_a_numbered_mode_asks_for_one():
    with gr.Blocks():
        assert "mode" not in weight_row("network", ["constant", "curve"], GuideNetwork()).fields
        assert "mode" not in weight_row("plane", KINDS, GuideMixture()).fields


def test_the_networks_panel_foresees_what_the_linear_model_does():
    found = network._foreseen(GuideNetwork(model="digits", label="3", gamma=2.0).values())
    same = predict(PredictGuidance(gamma=2.0, sampler="network", steps=20))
    assert (found.shift, found.variance, found.note) == (same.shift, same.variance, "")
    off = {"model": "digits", "label": "3", "positive": False}
    whole = network._foreseen(GuideNetwork(**off).values())
    part = network._foreseen(GuideNetwork(**off, mode="linear").values())
    assert part.variance < whole.variance  # in the mode "network" a part that is switched off counts
    assert network._foreseen(GuideNetwork(rule="apg").values()).note == network.NOT_CFG
