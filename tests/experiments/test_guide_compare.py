from dataclasses import replace

import pytest
import torch

from backend.experiments.guide import GuideNetwork
from backend.experiments.guide_compare import MOST, CompareGuidance, Comparison
from backend.inference import cache
from backend.inference.run import run
from backend.jobs import result_file
from backend.request import BadInput, Progress, Request

TINY = GuideNetwork(model="digits", label="3", samples=3, steps=4, seed=5)
SETTINGS = (TINY.plain(), TINY, replace(TINY, mode="linear", positive=False, negative=False))


@pytest.fixture(autouse=True)
def own_results(monkeypatch):
    monkeypatch.setattr(cache, "results", cache.Cache(2**28, result_file.size))


def comparison(*settings, model="digits"):
    return CompareGuidance.parse({"model": model, "settings": [one.to_query() for one in settings]})


def test_every_setting_is_what_it_is_alone():
    *_, found = run(comparison(*SETTINGS))
    assert [one.setting for one in found.outcomes] == [one.to_query() for one in SETTINGS]
    for setting, outcome in zip(SETTINGS, found.outcomes, strict=True):
        cache.results = cache.Cache(2**28, result_file.size)
        *_, alone = run(setting)
        shown = outcome.pictures.double() / 127.5 - 1
        assert (shown - alone.guided.samples.clamp(-1, 1)).abs().max() < 0.5001 / 127.5
        assert outcome.quality == alone.guided.quality and outcome.area == alone.area
        assert (outcome.evaluations, outcome.asked, outcome.idle) == (4, alone.guided.asked, alone.idle)
    assert found.note == alone.note


def test_what_gamma_0_makes_is_computed_once():
    events = list(run(comparison(*SETTINGS)))
    passes = [
        event for event in events if isinstance(event, Progress) and event.what == "network evaluations"
    ]
    assert [one.done for one in passes].count(4) == len(SETTINGS)
    assert all(cache.find(setting) is not None for setting in SETTINGS)


def test_outcomes_come_one_by_one():
    shown = [event for event in run(comparison(*SETTINGS)) if isinstance(event, Comparison)]
    assert [len(one.outcomes) for one in shown[:3]] == [1, 2, 3]


def test_a_result_is_kept_on_disk(tmp_path):
    request = comparison(*SETTINGS[:2])
    *_, found = run(request)
    result_file.save(tmp_path, request, found)
    again = result_file.load(tmp_path, request)
    assert torch.equal(again.outcomes[1].pictures, found.outcomes[1].pictures)
    assert again.outcomes[1].quality == found.outcomes[1].quality


def test_a_link_opens_the_same_comparison():
    request = comparison(*SETTINGS)
    assert CompareGuidance.from_query(request.to_query()) == request
    assert CompareGuidance().checked() == CompareGuidance(), "the first settings are fit to run"
    assert Request.from_query(CompareGuidance().to_query()) == CompareGuidance()


def test_what_it_needs_are_the_settings_after_gamma_0():
    assert comparison(*SETTINGS).needs() == SETTINGS


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ([], f"Compare 1 to {MOST} settings"),
        ([replace(TINY, gamma=float(g)) for g in range(MOST + 1)], f"Compare 1 to {MOST} settings"),
        ([TINY, TINY], "each setting once"),
        ([TINY, replace(TINY, label="4")], "must not differ in the class"),
        ([TINY, replace(TINY, seed=6)], "must not differ in the seed"),
        ([TINY, replace(TINY, samples=4)], "must not differ in the number of samples"),
        ([TINY, replace(TINY, steps=5)], "must not differ in the number of steps"),
        ([TINY, replace(TINY, model="avatars", label="sad")], "must not differ in the model"),
    ],
)
def test_settings_that_cannot_stand_side_by_side_are_refused(settings, words):
    with pytest.raises(BadInput, match=words):
        comparison(*settings)


def test_settings_of_another_model_are_refused():
    with pytest.raises(BadInput, match="those of the model"):
        comparison(TINY, model="avatars")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "another version"),
        ("v=1&do=CompareGuidance", "names no known action"),
        ("v=1&do=GuideNetwork&model=digits&label=happy", "no such class"),
        ("v=1&do=GuideNetwork&model=digits&label=3&gamma=-2.0", "gamma"),
        ("v=1&do=GuideNetwork&model=digits&label=3&curve=[[", "damaged"),
    ],
)
def test_what_is_no_setting_is_a_sentence(text, words):
    with pytest.raises(BadInput, match=words):
        CompareGuidance.parse({"model": "digits", "settings": [text]})
