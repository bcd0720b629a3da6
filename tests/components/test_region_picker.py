"""What the region picker lets through in either direction. How it behaves is tested in tests/browser."""

import gradio as gr
import pytest

from components.region_picker import MAX_IMAGE, MAX_REGION, RegionPicker, Shown

PIXEL = "data:image/png;base64,AAAA"


def test_a_region_passes_unread():
    picker = RegionPicker(render=False)
    for region in ["click:1,2,0.3,0.6", "nonsense", "x" * MAX_REGION]:
        assert picker.preprocess(region) == region
    assert picker.preprocess(None) == ""


@pytest.mark.parametrize(
    "payload", ["x" * (MAX_REGION + 1), 7, ["box:0,0,1,1"], {"region": "box:0,0,1,1"}, True]
)
def test_what_the_page_cannot_have_sent_is_refused_in_a_sentence(payload):
    with pytest.raises(gr.Error, match=r"^'?[A-Z].*\."):
        RegionPicker(render=False).preprocess(payload)


def test_an_answer_leaves_the_picked_region_alone_and_a_link_or_a_new_picture_sets_it():
    picker = RegionPicker(render=False)
    assert "value" not in picker.postprocess(Shown(region="part:hair", overlay="rle:1x1:0,1"))
    assert picker.postprocess(Shown(region="part:hair", pick=True))["value"] == "part:hair"
    assert picker.postprocess(Shown(PIXEL, region="part:hair"))["value"] == "part:hair"
    assert "value" not in picker.postprocess(Shown(PIXEL)), "the browser knows which region it keeps"
    again = Shown(region="part:hair")
    assert picker.postprocess(again) != picker.postprocess(again), "a browser would not hear of an equal one"
    assert picker.postprocess(None) == {"__type__": "update"}, "None changes nothing"


@pytest.mark.parametrize(
    "shown",
    [
        Shown("https://example.org/a.png"),
        Shown("javascript:alert(1)"),
        Shown("data:text/html,<b>"),
        Shown(PIXEL + "A" * MAX_IMAGE),
        Shown(region="x" * (MAX_REGION + 1)),
        Shown(parts=["part"] * 33),
    ],
)
def test_nothing_unsafe_or_too_large_is_sent(shown):
    with pytest.raises(ValueError):
        RegionPicker(render=False).postprocess(shown)
