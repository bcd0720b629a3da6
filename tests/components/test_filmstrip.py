"""What the filmstrip lets through in either direction. How it behaves is tested in tests/browser."""

from dataclasses import replace

import gradio as gr
import pytest

from components.filmstrip import MAX_FRAMES, MAX_STRIPS, Filmstrip, Position, Slides, Strip

PIXEL = "data:image/png;base64,AAAA"
STRIP = Strip("k", "smile", [-1.0, 0.0, 1.0], [PIXEL, PIXEL, None])


def test_positions_are_read():
    film = Filmstrip(render=False)
    assert film.preprocess({"key": "a", "index": 1, "strengths": [0, -0.5]}) == Position("a", 1, (0.0, -0.5))
    assert film.preprocess(None) == Position()
    assert len(film.preprocess({"key": "k" * 900, "index": 0, "strengths": []}).key) == 200


@pytest.mark.parametrize(
    "payload",
    [
        "text",
        [1, 2],
        {"key": "a"},
        {"key": "a", "index": 0, "strengths": [float("nan")]},
        {"key": "a", "index": 0, "strengths": [1e999]},
        {"key": "a", "index": 2, "strengths": [0.0, 1.0]},
        {"key": "a", "index": -1, "strengths": [0.0]},
        {"key": "a", "index": "b", "strengths": [0.0]},
        {"key": "a", "index": 0, "strengths": [0.0] * (MAX_STRIPS + 1)},
        {"key": "a", "index": 0, "strengths": 3},
    ],
)
def test_what_the_page_cannot_have_sent_is_refused_in_a_sentence(payload):
    with pytest.raises(gr.Error, match="slider positions could not be read"):
        Filmstrip(render=False).preprocess(payload)


def test_defaults_are_filled_in_for_the_browser():
    wire = Filmstrip(render=False).postprocess(
        Slides("a", PIXEL, [STRIP, replace(STRIP, predicted=[True, False, True])])
    )
    first, second = wire["props"]["shown"]["strips"]
    assert first["predicted"] == [False] * 3 and second["predicted"] == [True, False, True]
    assert first["base"] == [0.0, 0.0] and first["frames"][2] is None
    assert "value" not in wire, "where the sliders rest is the browser's to say"


@pytest.mark.parametrize(
    "strip",
    [
        replace(STRIP, frames=[PIXEL]),
        replace(STRIP, frames=["https://example.org/a.png", None, None]),
        replace(STRIP, heat="javascript:alert(1)"),
        replace(STRIP, strengths=[0.0, -1.0, 1.0]),
        replace(STRIP, strengths=[1.0, 2.0, 3.0]),
        replace(STRIP, strengths=[0.0, 0.0, 1.0]),
        replace(STRIP, predicted=[True]),
        replace(STRIP, base=[0.0, 0.0, 0.0]),
        replace(STRIP, strengths=[float(i) for i in range(MAX_FRAMES + 1)], frames=[None] * (MAX_FRAMES + 1)),
        replace(STRIP, frames=["data:image/png;base64," + "A" * 25_000_000, None, None]),
    ],
)
def test_nothing_inconsistent_unsafe_or_too_large_is_sent(strip):
    with pytest.raises(ValueError):
        Filmstrip(render=False).postprocess(Slides("a", PIXEL, [strip]))


def test_at_most_eight_strips():
    with pytest.raises(ValueError):
        Filmstrip(render=False).postprocess(Slides("a", PIXEL, [STRIP] * (MAX_STRIPS + 1)))
