"""What the scrubber lets through in either direction. How it behaves is tested in tests/browser."""

import gradio as gr
import pytest

from components.scrubber import (
    MAX_CHARACTERS,
    MAX_PICTURES,
    MAX_SCENES,
    Picture,
    Place,
    Scene,
    Scenes,
    Scrubber,
)

PICTURE = Picture("x", "data:image/png;base64,AAAA")
SCENE = Scene("t = 0.5", [PICTURE, PICTURE])


def scrubber() -> Scrubber:
    return Scrubber(group="demo", render=False)


def test_places_are_read():
    assert scrubber().preprocess({"key": "a", "index": 3, "picture": 1}) == Place("a", 3, 1)
    assert scrubber().preprocess({"key": "k" * 900, "index": 0}) == Place("k" * 200, 0, -1)
    assert scrubber().preprocess(None) == Place()


@pytest.mark.parametrize(
    "payload",
    [
        "text",
        [1, 2],
        {"key": "a"},
        {"key": "a", "index": -1},
        {"key": "a", "index": MAX_SCENES},
        {"key": "a", "index": float("inf")},
        {"key": "a", "index": "b"},
        {"key": "a", "index": 0, "picture": -2},
        {"key": "a", "index": 0, "picture": MAX_PICTURES},
        {"key": "a", "index": 0, "picture": None},
    ],
)
def test_what_the_page_cannot_have_sent_is_refused_in_a_sentence(payload):
    with pytest.raises(gr.Error, match="place of the slider could not be read"):
        scrubber().preprocess(payload)


def test_scenes_travel_as_a_property_and_never_as_the_value():
    wire = scrubber().postprocess(Scenes("a", [SCENE, SCENE]))
    shown = wire["props"]["shown"]
    assert shown["key"] == "a" and shown["captions"] == ["t = 0.5"] * 2
    assert shown["pictures"] == [[("x", PICTURE.uri)] * 2] * 2
    assert "value" not in wire, "where the slider rests is the browser's to say"
    assert scrubber().postprocess(None) == {"__type__": "update"}


@pytest.mark.parametrize(
    "scenes",
    [
        [SCENE] * (MAX_SCENES + 1),
        [SCENE, Scene("t = 0.6", [PICTURE])],
        [Scene("t", [PICTURE] * (MAX_PICTURES + 1))],
        [Scene("t", [Picture("x", "https://example.org/a.png")])],
        [Scene("t", [Picture("x", "javascript:alert(1)")])],
        [Scene("t", [Picture("x", "")])],
        [Scene("t", [Picture("x", PICTURE.uri + "A" * MAX_CHARACTERS)])],
    ],
)
def test_nothing_inconsistent_unsafe_or_too_large_is_sent(scenes):
    with pytest.raises(ValueError):
        scrubber().postprocess(Scenes("a", scenes))


def test_a_key_is_short():
    with pytest.raises(ValueError):
        scrubber().postprocess(Scenes("k" * 201, [SCENE]))
