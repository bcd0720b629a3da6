"""Settings side by side without a browser: captions, the list of settings, and the table."""

import re
from dataclasses import replace
from typing import get_args, get_type_hints

import gradio as gr
import pytest
import torch

from backend.experiments.guide import GuideNetwork
from backend.experiments.guide_compare import MOST, CompareGuidance
from backend.inference import cache
from backend.inference.run import run
from backend.jobs import result_file
from components import guidance_compare_panel as panel
from components.guidance_pictures import sheet_uri

TINY = GuideNetwork(model="digits", label="3", samples=3, steps=4, seed=5)
LINEAR = replace(TINY, mode="linear", positive=False, negative=False)


@pytest.fixture(scope="module")
def compared():
    request = CompareGuidance.parse(
        {"model": "digits", "settings": [one.to_query() for one in (TINY.plain(), TINY, LINEAR)]}
    )
    *_, result = run(request)
    return request, result


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"gamma": 0.0}, "γ = 0"),
        ({"gamma": 0.0, "solver": "sde"}, "γ = 0, SDE"),
        ({}, "CFG, γ = 3"),
        ({"rule": "recfg", "gamma": 1.0}, "ReCFG, γ = 1"),
        ({"weight": "interval", "low": 0.3, "high": 5.0}, "CFG, γ = 3, interval 0.3 to 5"),
        ({"mode": "linear", "positive": False, "negative": False}, "linear: mean shift, γ = 3"),
        ({"mode": "linear", "gamma": 1.5}, "linear: mean shift + Pos-CPC + Neg-CPC, γ = 1.5"),
        ({"mode": "projected", "mean_shift": False}, "split: Pos-CPC + Neg-CPC + residual, γ = 3"),
        ({"weight": "curve", "curve": (0.1, 1.0, 10.0, 2.0)}, "CFG, drawn curve"),
        ({"weight": "early", "equal_area": True}, "CFG, γ = 3, early 0.1 to 10, equal area"),
    ],
)
def test_a_caption_says_what_makes_a_setting(values, words):
    assert panel.caption(GuideNetwork.parse(values).to_query()) == words


def test_every_rule_has_a_name():
    rules = get_args(get_type_hints(GuideNetwork)["rule"])
    assert tuple(panel.RULES) == rules


def test_what_is_no_setting_is_its_own_caption():
    assert panel.caption("v=1&do=Nothing") == "v=1&do=Nothing"


def test_the_first_settings_have_room_for_one_more():
    assert len(panel.FIRST.settings) < MOST
    assert [panel.caption(one) for one in panel.FIRST.settings][:2] == ["γ = 0", "CFG, γ = 3"]


def test_a_setting_is_kept_once_beside_those_with_its_noises():
    start = [TINY.plain().to_query(), TINY.to_query()]
    assert panel._kept(start, LINEAR.values())["value"] == [*start, LINEAR.to_query()]
    assert panel._kept(start, TINY.values())["value"] == start


@pytest.mark.parametrize("before", [[], None, [GuideNetwork().to_query()]])
def test_a_setting_from_other_noises_begins_a_new_list_after_gamma_0(before):
    assert panel._kept(before, LINEAR.values())["value"] == [TINY.plain().to_query(), LINEAR.to_query()]


def test_more_than_six_settings_are_a_sentence():
    full = [replace(TINY, gamma=float(g)).to_query() for g in range(MOST)]
    with pytest.raises(gr.Error, match="remove one first"):
        panel._kept(full, replace(TINY, gamma=9.0).values())
    with pytest.raises(gr.Error, match="gamma"):
        panel._kept([], TINY.values() | {"gamma": -7.0})


def test_a_link_fills_the_list(compared):
    request, _ = compared
    with gr.Blocks():
        action = panel.build({}, gr.Button(), lambda setting: 1.0, dict)
    (found,) = action.restore(request).items()
    assert found[0].postprocess(found[1]) == list(request.settings)


def test_the_model_is_that_of_the_first_setting():
    assert panel._read({"settings": [TINY.to_query()]})["model"] == "digits"
    assert panel._read({"settings": None}) == {"settings": [], "model": panel.FIRST.model}


def test_what_is_missing_is_what_is_not_at_hand(monkeypatch):
    monkeypatch.setattr(cache, "results", cache.Cache(2**28, result_file.size))
    settings = [TINY.to_query(), LINEAR.to_query()]
    assert panel._missing(settings) == [TINY.plain(), TINY, LINEAR]
    list(run(TINY))
    assert panel._missing(settings) == [LINEAR]
    list(run(CompareGuidance("digits", tuple(settings))))
    assert panel._missing(settings) == panel._missing(None) == panel._missing(["nothing"]) == []


def test_each_setting_has_a_sheet_and_a_column(compared):
    request, result = compared
    sheets, table, words = panel._show(result, request)
    assert [sheet.label for sheet in sheets] == ["γ = 0", "CFG, γ = 3", "linear: mean shift, γ = 3"]
    shown = result.outcomes[2].pictures.float() / 127.5 - 1
    assert sheets[2].frames == [sheet_uri(shown)] and not torch.equal(shown, torch.zeros_like(shown))
    assert re.findall("<th scope='col'>(.*?)</th>", table) == [sheet.label for sheet in sheets]
    (cells,) = re.findall("<th scope='row'>samples in them</th>(.*?)</tr>", table)
    assert re.findall("<td>(.*?)</td>", cells) == ["12", "24", "24"]
    (areas,) = re.findall("<th scope='row'>area of γ over log noise</th>(.*?)</tr>", table)
    assert re.findall("<td>(.*?)</td>", areas) == ["0", "25.6", "25.6"]
    assert "Nothing is guided" not in words and result.note in words


def test_a_setting_that_changes_nothing_says_so(compared):
    request, result = compared
    first, second, _ = result.outcomes
    idle = replace(result, outcomes=(first, replace(second, idle="The parts change nothing.")))
    *_, words = panel._show(idle, request)
    assert "<b>CFG, γ = 3: The parts change nothing.</b>" in words


def test_it_opens_with_shipped_settings():
    shipped = cache.find(panel.FIRST)
    assert tuple(one.setting for one in shipped.outcomes) == panel.FIRST.settings
    assert all(one.pictures.shape == (16, 3, 64, 64) for one in shipped.outcomes)
