"""The strip over gamma: rows are noises, columns are weights, and the chart shows the very numbers."""

import numpy as np
import torch

from backend.experiments.guidance_strip import GammaStrip
from backend.inference.cache import find
from components import guidance_strip_panel as panel
from components.pictures import data_uri


def strip(shape=(1, 2, 2)):
    gamma = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    levels = torch.tensor([[-1.0, 0.0], [-0.5, 0.5], [0.0, 1.0]])  # (weight, noise)
    pictures = levels.view(3, 2, *[1] * len(shape)).expand(3, 2, *shape)
    return GammaStrip(gamma, pictures, torch.tensor([9.0, 1.0, 1e-12]), torch.tensor([1.0, 0.0, 2.0]))


def test_the_strip_opens_with_a_shipped_run_that_can_be_made_again():
    shipped = find(panel.FIRST)
    *_, again = panel.FIRST.run(None)
    assert torch.allclose(shipped.variance, again.variance, rtol=1e-6)
    assert torch.allclose(shipped.pictures, again.pictures, atol=1e-4)


def test_a_row_is_a_noise_and_a_column_a_weight():
    html = panel._pictures(strip())
    page = torch.ones(1, 5, 8)
    for row, greys in enumerate(([-1.0, -0.5, 0.0], [0.0, 0.5, 1.0])):
        for column, grey in enumerate(greys):
            page[0, 3 * row : 3 * row + 2, 3 * column : 3 * column + 2] = grey
    assert data_uri(page) in html
    assert html.count("<span>") == 3 and "<span>-1.0</span>" in html
    assert panel._pictures(strip(shape=(2,))) == ""


def test_the_chart_shows_variance_and_mean_over_gamma():
    figure = panel._figure(strip())
    variance, shift = figure.data
    assert np.allclose(variance.x, [-1, 0, 1]) and np.allclose(variance.y, [9, 1, 1e-9])
    assert np.allclose(shift.y, [1, 1e-9, 2])
    low, high = figure.layout.yaxis.range
    assert low == -3 and high > np.log10(9)  # what is nothing does not stretch the axis
