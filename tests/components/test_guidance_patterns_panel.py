import base64
import io

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image

from backend.experiments.guide_patterns import CompareClasses, Patterns
from backend.inference.load import load
from components import guidance_patterns_panel as panel

TINY = CompareClasses(noises=3, steps=3, gamma=2.0)


@pytest.fixture(scope="module")
def events():
    return [event for event in TINY.run(load("digits")) if isinstance(event, Patterns)]


def test_each_way_is_a_sheet_with_a_row_a_noise_and_a_column_a_class(events):
    html = panel._sheets(events[-1], TINY)
    assert html.count("<figure>") == 5
    data = html.split("base64,")[1].split("'")[0]
    page = Image.open(io.BytesIO(base64.b64decode(data)))
    assert page.size == (4 * (10 * 9 - 1), 4 * (3 * 9 - 1))
    first = torch.from_numpy(np.array(page.convert("L"))[:32:4, :32:4])
    assert (first.int() - events[-1].ways[0].pictures[0, 0, 0].int()).abs().max() <= 1


def test_what_is_there_early_is_shown_early(events):
    for i, event in enumerate(events, 1):
        sheets, bars, captured, words = panel._show(event, TINY)
        assert sheets.count("<img") == i and words.count("<tr>") == i + 1
        assert all(len(trace.x) == i for trace in bars.data) and captured.data
    assert "Classifier-free guidance" not in panel._words(events[0], TINY).split("</table>")[1]


def test_bars_are_the_shares_with_their_intervals(events):
    result, figure = events[-1], panel._bars(events[-1])
    *bars, real = figure.data
    assert [trace.name for trace in bars] == list(panel.SHARES.values())
    for trace, field in zip(bars, panel.SHARES, strict=True):
        for i, way in enumerate(result.ways):
            one = getattr(way.shares, field)
            assert trace.y[i] == one.value
            assert trace.y[i] + trace.error_y.array[i] == pytest.approx(one.high)
            assert trace.y[i] - trace.error_y.arrayminus[i] == pytest.approx(one.low)
    assert set(real.y) == {result.real}


def test_the_lines_of_components_end_at_1(events):
    figure = panel._captured(events[-1])
    held, chance = figure.data[-2:]
    assert held.y[-1] == pytest.approx(1) and chance.y[-1] == 1 and len(held.x) == 64
    assert chance.y[3] == pytest.approx(4 / 64)


def test_words_say_which_way_the_claim_went(events):
    words = panel._words(events[-1], TINY)
    fell = events[-1].ways[1].shares.noise.value < events[-1].ways[0].shares.noise.value
    assert ("Classifier-free guidance lowers" in words) == fell
    assert "classifier guidance, γ = 2" in words and "<b>" not in words
    *_, still = CompareClasses(noises=3, steps=3, gamma=0.0).run(load("digits"))
    assert "<b>With gamma = 0" in panel._words(still, TINY)


def test_a_button_says_when_it_takes_long():
    assert panel._button("digits", 3, 5) == "Sample every class"
    assert "about" in panel._button("avatars", 8, 20)


def test_the_panel_is_an_action_with_an_endpoint():
    with gr.Blocks() as demo:
        action = panel.build()
    assert action.request is CompareClasses
    ids = [block.elem_id for block in demo.blocks.values() if getattr(block, "elem_id", None)]
    assert len(ids) == len(set(ids)) and "patterns-run" in ids
    assert any(fn.api_name == "guide_patterns" for fn in demo.fns.values())
