"""What the panel says of rates, from numbers written by hand."""

import numpy as np
import torch

from backend.experiments.watermark_rates import EvaluateWatermark, Rates
from backend.metrics.intervals import Estimate
from backend.watermark.evaluate import Detection
from components import watermark_rates_panel as panel


def rates(n=48):
    one = Detection(torch.linspace(3, 9, n).double(), torch.linspace(-2, 2, n).double())
    false, true = map(torch.from_numpy, one.roc())
    psnr = Estimate(35.4, 35.0, 35.8, n)
    levels = tuple(level for level in (0.1, 0.05, 0.01) if one.reaches(level))
    beyond = tuple(level for level in (0.1, 0.05, 0.01) if not one.reaches(level))
    return Rates(
        one.marked.float(), one.unmarked.float(), false.float(), true.float(), one.auc(), levels,
        tuple(map(one.tpr, levels)), beyond, psnr,
    )  # fmt: skip


def test_levels_out_of_reach_are_said_and_not_numbered():
    words = panel._words(rates(), EvaluateWatermark(chain="jpeg:58"))
    assert "jpeg:58" in words and "35.4 dB" in words and "1.000 [0.9" in words
    assert "10.0% false alarms</td><td>1.000" in words
    assert "1.0% false alarms</td><td>out of reach: it takes 99 unmarked pictures, there are 48" in words


def test_the_grey_edge_is_where_the_unmarked_end():
    figure = panel.roc(rates(99))
    assert figure.layout.shapes[0].x1 == 0.01
    assert np.all(np.diff(figure.data[0].x) >= 0) and figure.data[0].y[-1] == 1


def test_both_histograms_count_every_picture():
    figure = panel.spread(rates(60))
    assert [bar.y.sum() for bar in figure.data] == [60, 60]


def test_the_button_says_how_long():
    assert panel._label(16) == "Measure (about 5 s)" and panel._label(200) == "Measure (about 60 s)"


def test_the_button_knows_what_a_network_costs():
    assert panel._label(48, "jpeg") == panel._label(48, "no chain") == "Measure (about 15 s)"
    assert panel._label(48, "jpeg,rinse:4,diffpure") == "Measure (about 50 s)"
