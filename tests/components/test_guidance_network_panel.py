"""The panel of guidance on networks without a browser: its figures, sheets and words, on real results of digits."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from backend.experiments.guide import GuideNetwork, Underway
from backend.experiments.guide_film import FilmGuidance
from backend.inference.cache import find
from backend.inference.run import run
from backend.metrics.intervals import Estimate
from components import guidance_network_figures as figures
from components import guidance_network_panel as panel
from components.guidance_numbers import numbers
from components.guidance_pictures import sheet_uri

ASKED = GuideNetwork(model="digits", label="3", samples=5, steps=6, seed=5)


@pytest.fixture(scope="module")
def guided():
    *_, result = run(ASKED)
    return result


def test_norms_are_the_readings(guided):
    traces = {trace.name: trace for trace in figures.norms(guided).data}
    readings = guided.guided.readings
    assert np.allclose(traces["D_c − D_u"].y, readings.difference)
    assert np.allclose(traces["Neg-CPC"].y, readings.linear[2])
    assert np.allclose(traces["Pos-CPC, nearest multiple"].y, readings.projected[1])
    assert all(np.allclose(trace.x, readings.level) for trace in traces.values())
    assert len(traces) == 7 and sum(trace.showlegend is not False for trace in traces.values()) == 4


def test_agreement_and_multiples_are_the_readings(guided):
    cosine, residual = figures.agreement(guided).data
    assert np.allclose(cosine.y, guided.guided.readings.cosine)
    assert np.allclose(residual.y, guided.guided.readings.residual)
    drawn = {trace.name: trace.y for trace in figures.multiples(guided).data}
    assert np.allclose(drawn["mean shift"], guided.guided.readings.multiples[0])
    assert (drawn["the linear model"] == 1).all()


def test_every_chart_has_a_frame_for_every_scene(guided):
    scenes = panel._scenes(guided, ASKED)
    assert [scene.caption for scene in scenes.scenes][:2] == ["the samples", "x̂₀ of step 6, σ/α = 0.02"]
    assert scenes.scenes[-1].caption.startswith("x̂₀ of step 1, σ/α = ") and scenes.key == ASKED.key()
    for name in panel.CHARTS:
        assert len(getattr(figures, name)(guided).frames) == len(scenes.scenes) == 7
    levels = guided.guided.readings.level.tolist()
    for name in ("norms", "agreement", "multiples", "weight"):
        frames = getattr(figures, name)(guided).frames
        assert [one.layout.shapes[0].x0 for one in frames] == pytest.approx([levels[-1], *reversed(levels)])


def test_points_of_the_plane_move_along_their_ways(guided):
    figure = figures.plane(guided)
    _, way_guided, plain, ends = figure.data
    assert np.isnan(way_guided.x).sum() == ASKED.samples
    assert np.allclose(way_guided.x[:7], guided.guided.paths[:, 0, 0])
    assert np.allclose(ends.x, guided.guided.paths[-1, :, 0]) and np.allclose(
        plain.y, guided.plain.paths[-1, :, 1]
    )
    for scene, step in ((0, 6), (2, 4), (6, 0)):
        moved = figure.frames[scene].data[1]
        assert figure.frames[scene].traces == (2, 3)
        assert np.allclose(moved.x, guided.guided.paths[step, :, 0])


def test_sheets_of_every_scene_begin_with_the_samples(guided):
    plain, ours = panel._sheets(guided)
    assert len(plain.frames) == len(ours.frames) == 7
    assert ours.frames[0] == sheet_uri(guided.guided.states[-1]) == sheet_uri(guided.guided.samples.half())
    assert ours.frames[6] == sheet_uri(guided.guided.states[0]) != ours.frames[0]
    assert plain.frames[0] == sheet_uri(guided.plain.samples.half())


def test_a_film_shows_the_same_as_its_run(guided):
    *_, film = run(FilmGuidance(ASKED.model, ASKED.to_query()))
    assert panel._projected(film) == panel._sheets(guided)
    *_, again = run(ASKED)
    for one, other in zip(
        panel._drawn(film.guidance, ASKED, []), panel._drawn(again, ASKED, []), strict=True
    ):
        assert one == other


def test_faces_travel_as_jpeg_and_digits_in_full():
    assert sheet_uri(torch.zeros(2, 3, 64, 64)).startswith("data:image/jpeg;base64,")
    assert sheet_uri(torch.zeros(2, 1, 8, 8)).startswith("data:image/png;base64,")


def test_a_picture_under_way_leaves_the_rest_as_it_is(guided):
    outputs = [object()] * 9
    event = Underway(guided.guided.states[2], 2, 6)
    (sheet,), *rest = panel._shown(event, ASKED, [panel.Sheets(group="x"), *[panel.Scrubber(group="x")] * 8])
    assert sheet.label == "x̂₀ after step 2 of 6" and sheet.frames == [sheet_uri(guided.guided.states[2])]
    assert rest == [None] * (len(outputs) - 1)


def test_words_tell_what_changes_nothing_and_where_the_linear_parts_are_from(guided):
    words = panel._sentences(guided)
    assert f"{guided.pictures:,} pictures" in words and f"{guided.area:.3g}" in words and guided.note in words
    assert "<b>" not in words
    assert "<b>Nothing is guided.</b>" in panel._sentences(replace(guided, idle="Nothing is guided."))


def test_numbers_of_both_runs_stand_beside_each_other(guided):
    table = panel._table(guided)
    rows = {
        head: re.findall("<td>(.*?)</td>", cells)
        for head, cells in re.findall("<th scope='row'>(.*?)</th>(.*?)</tr>", table)
    }
    assert rows["passes of the network"] == ["6", "6"]
    assert rows["samples in them"] == ["30", "60"]
    assert rows["clipped numbers"][1] == f"{100 * guided.guided.quality.clipped:.3g} %"
    assert rows["variance over real"][0].startswith(f"{guided.plain.quality.variance.value:.3g} <small>[")


def test_numbers_that_could_not_be_computed_are_dashes(guided):
    quality = replace(
        guided.guided.quality, accuracy=None, probability=None, vendi=None, vendi_real=None, recall=None, frechet=None,
        factors=(("gaze", 0.1), ("smile", 0.9), ("hair", 0.5), ("tilt", 0.7)),
    )  # fmt: skip
    found = numbers(quality, 1, 2, 3.0)
    for name in (
        "read as the class",
        "mean probability of the class",
        "Vendi score (real)",
        "recall",
        "Frechet, own features",
    ):
        assert found[name] == "–"
    assert found["factors furthest from real"] == "smile 0.90<br>tilt 0.70<br>hair 0.50"
    sure = numbers(replace(quality, accuracy=Estimate(0.5, 0.25, 0.75, 8)), 1, 2, 3.0)
    assert sure["read as the class"] == "50 % <small>[25, 75]</small>"


def test_the_button_says_how_long_it_takes():
    assert panel._words("digits", 16, 20) == "Run (about 1 s)"
    assert panel._words("avatars", 32, 20) == "Run (about 15 s)"


def test_an_answer_for_a_program_holds_no_states(guided):
    answer = panel._answer(guided)
    assert "states" not in answer["guided"] and answer["guided"]["samples"]["shape"] == [5, 1, 8, 8]
    assert answer["plain"]["readings"]["level"]["shape"] == [6]


def test_it_opens_with_a_shipped_film_of_the_first_setting():
    film = find(panel.OPENING)
    assert panel.OPENING.guided() == panel.FIRST == GuideNetwork()
    assert len(film.plain) == len(film.guided) == panel.FIRST.steps + 1
    assert film.guidance.guided.paths.shape == (21, 16, 2) and film.guidance.guided.quality.accuracy.n == 16
    assert sum(file.numel() for file in (*film.plain, *film.guided)) < 1.5e6
