"""What the panel draws and says of a trade, from numbers written by hand."""

import numpy as np
import pytest
import torch

from backend.experiments.watermark_trade import OURS, RECOMMENDED, Trade
from backend.metrics.intervals import Estimate
from backend.watermark.trial import Point, Site
from components import watermark_trade_figures as figures
from components import watermark_trade_panel as panel


def point(decibels, d, method=OURS, t=0.1, placement="4-16"):
    at, seen = Estimate(decibels, decibels - 1, decibels + 1, 4), Estimate(d, d - 0.5, d + 0.5, 8)
    none, better = torch.zeros(2, 4), Estimate(d + 3, d + 2, d + 4, 8)
    return Point(
        method, t, placement, 1.0, none[0], none, none, at, (better, seen), (better, seen), (seen, seen)
    )


def site(t, placement, gauge):
    return Site(t, placement, Estimate(gauge, gauge, gauge, 4), Estimate(2 * gauge, gauge, 3 * gauge, 4))


def trade(default=(34, 5.2)):
    points = (
        point(*default, RECOMMENDED), point(30, 6), point(34, 5.5), point(38, 1), point(30, 3, t=0.3), point(38, 2, t=0.3),
        point(20, 5.75, "Tree-Ring", 1.0, ""), point(15, 9, "RingID", 1.0, ""),
    )  # fmt: skip
    return Trade(
        points,
        (site(0.1, "4-16", 0.4), site(0.3, "4-16", 0.2), site(0.1, "nyquist", 0.1)),
        ("", "blur:2.23"),
        4,
    )


def trace(figure, name):
    return next(one for one in figure.data if one.name == name)


def test_the_frontier_runs_through_what_no_other_beats():
    figure = figures.frontier(trade())
    assert list(trace(figure, "frontier").x) == [30, 34, 38] and list(trace(figure, "knee").x) == [34]
    assert list(trace(figure, "t = 0.3").y) == [3, 2] and list(trace(figure, "Tree-Ring").x) == [20]
    (words,) = trace(figure, "RingID").text
    assert "at x₁" in words and "blur:2.23: d′ 9.00 [8.50, 9.50]" in words and "mean z" not in words
    assert "mean z" in trace(figure, RECOMMENDED).text[0]


def test_the_map_is_interpolated_to_the_psnr_of_the_default_and_empty_beyond():
    found = trade((36, 5.2))
    (heat,) = figures.spectrum(found, "detectability").data
    assert list(heat.y) == ["0.1", "0.3"] and [name.split("<br>")[0] for name in heat.x] == [
        "4–16",
        "Nyquist",
    ]
    assert (
        heat.z[0][0] == pytest.approx(3.25) and heat.z[1][0] == pytest.approx(2.25) and np.isnan(heat.z[0][1])
    )
    assert "not among its strengths" in heat.text[0][1] and heat.text[1][1] == ""
    (heat,) = figures.spectrum(found, "gauge").data
    assert heat.z[0][1] == pytest.approx(0.1) and "0.60" in heat.x[0]


def test_a_trade_that_has_only_begun_can_be_drawn():
    begun = Trade(trade().points[:1], (), ("", "jpeg:58"), 4)
    assert not figures.spectrum(begun, "gauge").data and len(figures.frontier(begun).data) == 2
    assert "no knee" in panel._words(begun)


def test_the_words_say_where_the_default_stands():
    assert "It stands at the knee" in panel._words(trade())
    words = panel._words(trade((31, 5.2)))
    assert "does not stand at the knee: at the same d′ the frontier has 34.3 dB, 3.3 dB more." in words
    assert "Tree-Ring: 20.0 dB, d′ 5.8 [5.2, 6.2] after blur, the frontier 32.0 dB" in words
    assert "RingID: 15.0 dB, d′ 9.0 [8.5, 9.5] after blur, which no mark here reaches" in words


def test_one_sentence_says_what_the_map_shows():
    words = panel._words(trade((36, 5.2)))
    assert (
        "At 36.0 dB a mark is found best in rings 4–16 at t = 0.1, d′ 3.2 after its worst attack, where J shows 0.80 of noise"
        in words
    )
    assert "least in rings 4–16 at t = 0.3, d′ 2.2 after its worst, where J shows 0.40" in words


def test_the_button_says_how_long():
    assert panel._label([0.1], 8) == "Measure (about 4 min)"
