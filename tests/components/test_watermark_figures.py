"""What the watermark tab's plots show is what was measured."""

import numpy as np
import pytest
import torch

from backend.inference.cache import find
from components import watermark_figures as figures
from components.watermark_first import EMBED, verify


@pytest.fixture(scope="module")
def found():
    return find(verify())


def test_the_gauge_has_four_bars():
    gauge = find(EMBED).gauge
    (bars,) = figures.gauge(gauge).data
    assert dict(zip(bars.y, bars.x, strict=True))["the mark"] == pytest.approx(gauge.mark, abs=1e-4)
    assert len(bars.x) == 4


def test_histograms_count_every_key_and_picture_and_mark_z(found):
    figure = figures.scores(found)
    assert [round(float(sum(trace.y)), 2) for trace in figure.data] == [1, 1]
    assert figure.layout.shapes[0].x0 == found.z
    low, high = figure.layout.xaxis.range
    assert low < found.z < high


def test_without_a_calibration_there_is_one_histogram(found):
    from dataclasses import replace

    assert len(figures.scores(replace(found, others=torch.empty(0), pictures=None)).data) == 1


def test_the_maps_add_up_to_z(found):
    maps = figures.plane(found, verify()), figures.space(found)
    assert [float(np.sum(figure.data[0].z)) for figure in maps] == pytest.approx([found.z] * 2, rel=1e-3)
    assert float(np.sum(figures.rings(found).data[0].y)) == pytest.approx(found.z, abs=0.01)


def test_the_surface_has_no_shift_in_the_middle(found):
    heat = figures.surface(found).data[0]
    best = np.unravel_index(np.argmax(heat.z), heat.z.shape)
    assert (heat.x[best[1]], heat.y[best[0]]) == (0, 0)
    assert heat.z[best] == pytest.approx(float(found.by_guess[0]), rel=1e-3)


def test_smoothing_is_the_mean_of_25_pixels_and_keeps_the_sum():
    one = torch.zeros(9, 9)
    one[0, 0] = 25
    smooth = figures.smoothed(one)
    assert float(smooth.sum()) == pytest.approx(25) and int((smooth > 0.99).sum()) == 25
    assert figures.smoothed(torch.ones(2, 2)).shape == (2, 2)


def test_the_best_guess_stands_out(found):
    (bars,) = figures.guesses(found).data
    best = int(np.argmax(bars.x))
    assert [colour == figures.ORANGE for colour in bars.marker.color].index(True) == best
    assert list(bars.y) == list(found.words)


def test_the_charts_are_light(found):
    every = [
        figures.scores(found),
        figures.plane(found, verify()),
        figures.space(found),
        figures.surface(found),
    ]
    assert sum(len(figure.to_json()) for figure in every) < 250_000
