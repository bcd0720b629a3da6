"""What the chart lets through in either direction. How it behaves is tested in tests/browser."""

import json

import gradio as gr
import plotly.graph_objects as go
import pytest

from components.chart import MAX_CHARACTERS, Chart, Point

CLICK = {"curve": 1, "index": 4, "x": 0.5, "y": -2, "frame": 3}


def test_points_are_read():
    chart = Chart(render=False)
    assert chart.preprocess(CLICK) == Point(1, 4, 0.5, -2.0, 3)
    assert chart.preprocess(CLICK | {"x": "s" * 900, "frame": -1}) == Point(1, 4, "s" * 200, -2.0, -1)
    assert chart.preprocess(None) == Point() and Point().curve == -1


@pytest.mark.parametrize(
    "payload",
    [
        "text",
        [1, 2],
        {"curve": 1},
        CLICK | {"curve": -1},
        CLICK | {"index": -1},
        CLICK | {"index": 1.5},
        CLICK | {"index": 2**40},
        CLICK | {"index": "many"},
        CLICK | {"frame": -2},
        CLICK | {"frame": float("inf")},
        CLICK | {"x": float("nan")},
        CLICK | {"x": None},
        CLICK | {"y": [1]},
        CLICK | {"y": 1e999},
    ],
)
def test_what_the_page_cannot_have_sent_is_refused_in_a_sentence(payload):
    with pytest.raises(gr.Error, match="point of the plot could not be read"):
        Chart(render=False).preprocess(payload)


def test_a_figure_travels_with_its_frames_and_never_as_the_value():
    frames = [go.Frame(data=[go.Scatter(y=[3, 4])], traces=[0], name="t=1")]
    wire = Chart(render=False).postprocess(go.Figure(go.Scatter(y=[1, 2]), frames=frames))
    figure = json.loads(wire["props"]["shown"])
    assert figure["data"][0]["y"] == [1, 2]
    assert figure["frames"][0]["data"][0]["y"] == [3, 4] and figure["frames"][0]["traces"] == [0]
    assert "value" not in wire, "what was clicked is the browser's to say"


def test_none_leaves_everything_as_it_is():
    assert Chart(render=False).postprocess(None) == {"__type__": "update"}


def test_nothing_too_large_is_sent():
    with pytest.raises(ValueError):
        Chart(render=False).postprocess(go.Figure(layout={"title": {"text": "a" * MAX_CHARACTERS}}))
