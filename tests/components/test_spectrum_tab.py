"""What the spectrum tab's controls mean and what its actions show, without a browser; the Gaussian of the digits is fast."""

import time

import gradio as gr
import pytest
import torch

from backend.editing.results import Strip
from backend.experiments.spectrum import Decompose, SweepSpectrum
from backend.experiments.spectrum_slide import SlideAlong
from backend.experiments.spectrum_survey import SurveySpectra, suited
from backend.inference import intake
from backend.inference.cache import find
from backend.inference.run import run
from components import set_panel, spectrum_tab
from components.chart import Point
from components.pictures import data_uri
from components.scrubber import Place, Scenes
from components.spectrum_figures import caption

SWEEP = SweepSpectrum("gaussian", "gallery:2", times=3, k=5)
UNSEEN = SweepSpectrum("gaussian", "gallery:2", times=4, k=5)  # never measured here


@pytest.fixture(scope="module")
def sweep():
    *_, result = run(SWEEP)
    return result


# ---- clicks


def test_a_click_on_a_point_of_the_spectrum_is_a_vector_and_its_noise_level(sweep):
    before = time.time_ns()
    index, t, asked = spectrum_tab._touched(Point(3, 4, 5.0, 0.1, 1), SWEEP)
    assert (index, t) == (4, 0.5) and asked >= before
    _, _, again = spectrum_tab._touched(Point(3, 4, 5.0, 0.1, 1), SWEEP)
    assert again > asked, "the same vector may be asked for again"


def test_a_click_on_a_picture_is_its_vector_and_on_x_t_nothing(sweep):
    for picture, vector in [(2, 0), (3, 0), (4, 1), (5, 1), (9, 3)]:
        assert spectrum_tab._pictured(Place("", 2, picture), SWEEP)[:2] == (vector, 0.96)
    for picture in (-1, 0, 1):
        nothing = spectrum_tab._pictured(Place("", 2, picture), SWEEP)
        assert len(nothing) == 3 and all(value == gr.skip() for value in nothing)


@pytest.mark.parametrize("request_of", [UNSEEN, SWEEP], ids=["never measured", "no such noise level"])
def test_a_click_on_what_is_no_longer_at_hand_is_a_sentence(sweep, request_of):
    for frame in (-1, 3) if request_of is SWEEP else (0,):
        with pytest.raises(gr.Error, match="Measure this picture first"):
            spectrum_tab._touched(Point(0, 0, 1.0, 1.0, frame), request_of)
        with pytest.raises(gr.Error, match="Measure this picture first"):
            spectrum_tab._pictured(Place("", frame, 2), request_of)


# ---- what is shown


def test_a_scene_has_the_pictures_and_four_pairs_of_vectors(sweep):
    scenes = spectrum_tab._scenes(sweep, SWEEP)
    assert scenes.key == SWEEP.key() and len(scenes.scenes) == 3
    for one, scene in zip(sweep.spectra, scenes.scenes, strict=True):
        assert scene.caption == caption(one)
        labels = [picture.label for picture in scene.pictures]
        assert labels == ["x_t", "x̂₀ = D(x_t, t)", "v1", "u1", "v2", "u2", "v3", "u3", "v4", "u4"]
        assert scene.pictures[0].uri == data_uri(one.x_t.float())
        v = one.v[1].float()
        assert scene.pictures[4].uri == data_uri(v / v.abs().max())


def test_a_vector_of_zeros_is_grey():
    assert not spectrum_tab._shown(torch.zeros(1, 2, 2)).any()


def test_a_strip_is_called_after_its_vector_and_noise_level():
    strip = Strip((-2.0, 0.0, 2.0), torch.linspace(-1, 1, 3).view(3, 1, 1, 1).expand(-1, 1, 8, 8), True)
    request = SlideAlong("gaussian", "gallery:2", t=0.7, index=3)
    (slides,) = spectrum_tab._slides(strip, request)
    (film,) = slides.strips
    assert film.title == "v4 at t = 0.70" and film.predicted and film.strengths == (-2.0, 0.0, 2.0)
    assert slides.key == film.key == request.key()
    assert film.frames == [data_uri(picture) for picture in strip.pictures]
    assert slides.original == film.frames[1]


def test_a_sweep_shows_its_scenes_its_charts_and_its_request(sweep):
    scenes, *charts, request = spectrum_tab._sweep(sweep, SWEEP)
    assert isinstance(scenes, Scenes) and request == SWEEP and len(charts) == len(spectrum_tab.CHARTS)
    assert [len(chart.frames) for chart in charts] == [3, 3, 0, 3, 3, 3, 3], "no truth is known of digits"
    labels = [chart.layout.yaxis.title.text for chart in spectrum_tab._redrawn(SWEEP, "cosine")]
    assert labels[4] == "cosine of D(x + λv) and D(x) + λJv"
    assert labels[4] != charts[4].layout.yaxis.title.text
    assert spectrum_tab._redrawn(UNSEEN, "cosine") == [None] * len(spectrum_tab.CHARTS)


def test_a_survey_that_is_at_hand_is_drawn_around_the_picture(sweep, monkeypatch):
    assert len(spectrum_tab._figures(sweep, SWEEP)[0].data) == 1, "no band yet"
    *_, survey = run(SurveySpectra("gaussian", pictures=2, times=3))
    monkeypatch.setattr(
        spectrum_tab, "find", lambda request: survey if request == suited("gaussian", 3, 5) else None
    )
    values, ranks, truth, *_ = spectrum_tab._figures(sweep, SWEEP)
    assert len(values.data) == 4 and values.data[2].name == "2 pictures, median and 10 to 90 %"
    assert len(ranks.data) == 2 * 3 + 2 and not truth.data


# ---- what the controls mean


def test_a_picture_that_is_at_hand_is_shown_at_once():
    request = SweepSpectrum("gaussian", "gallery:4")
    *_, sweep = run(request)
    scenes, *charts, shown = spectrum_tab._known("gaussian", "gallery:4")
    assert shown == request and scenes.key == request.key() and len(scenes.scenes) == 9
    assert charts == spectrum_tab._figures(sweep, request)


def test_a_picture_that_is_not_at_hand_empties_the_tab():
    scenes, *charts, shown = spectrum_tab._known("gaussian", "gallery:23")
    assert scenes == Scenes() and len(charts) == len(spectrum_tab.CHARTS)
    assert not any(chart.data or chart.frames for chart in charts)
    assert shown == SweepSpectrum("gaussian", "gallery:23")


def test_what_can_be_no_picture_leaves_the_tab_as_it_is():
    for model, image in [("nobody", "gallery:1"), ("gaussian", "a\nb")]:
        *values, shown = spectrum_tab._known(model, image)
        assert values == [None] * (1 + len(spectrum_tab.CHARTS)) and shown == gr.skip()


def test_no_more_singular_values_are_asked_for_than_there_are():
    assert spectrum_tab._possible({"model": "gaussian", "k": 100})["k"] == 64
    assert spectrum_tab._possible({"model": "gaussian", "k": 20})["k"] == 20
    assert spectrum_tab._possible({"model": "avatars", "k": 100})["k"] == 100
    asked = {"model": "avatars", "k": 1000, "times": 9}
    assert spectrum_tab._possible(asked) == asked | {"k": 100}


def test_many_pictures_are_as_many_as_suit_the_model():
    asked = {"model": "gaussian", "times": 9, "k": 5}
    assert SurveySpectra.parse(spectrum_tab._many(asked)) == SurveySpectra("gaussian", 32, 9)
    asked["model"] = "avatars"
    assert SurveySpectra.parse(spectrum_tab._many(asked)) == SurveySpectra("avatars", 4, 9, 5)


def test_buttons_say_how_long_it_takes():
    one, many = spectrum_tab._other_model("gaussian")
    assert one.value == "Measure this picture (about 10 s)"
    assert many.value == "Measure many (32 pictures, about 20 s)"
    assert spectrum_tab._words("Measure many", "avatars", 1) == "Measure many (4 pictures, about 280 s)"


# ---- on the way to the edit tab


def test_a_vector_that_is_sent_is_a_set_that_the_edit_tab_opens():
    reference = spectrum_tab._sent("gaussian", "gallery:2", 0.5, 2)
    entries, names, _, file, at, first, _ = set_panel._opened(intake.held(reference))
    assert names == "v3 at t = 0.5" and (at, first) == ((), 0)
    (entry,) = entries
    saved = entry.saved()
    j = find(Decompose("gaussian", "gallery:2", 0.5, 5))
    assert torch.equal(saved.v[0], j.V[2]) and saved.s[0] == j.s[2] and saved.t == 0.5
    assert saved.region == ("box:0,0,7,7",) and saved.model == "gaussian" and file == entry.source


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (("gaussian", "gallery:2", 0.5, 64), "64 leading ones"),
        (("gaussian", "gallery:2", 0.0, 0), "no noise"),
        (("nobody", "gallery:2", 0.5, 0), "no such model"),
        (("gaussian", "gallery:99", 0.5, 0), "gallery"),
        (("gaussian", "upload:" + "0" * 64, 0.5, 0), "no longer held"),
    ],
)
def test_what_cannot_be_sent_is_a_sentence(values, words):
    with pytest.raises(gr.Error, match=words):
        spectrum_tab._sent(*values)
