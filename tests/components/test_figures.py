"""The style of the figures, and lines with their bands."""

import numpy as np
import pytest
import torch

from components.figures import PALETTE, base, line, marker


def test_a_line_with_a_band_is_one_entry_of_the_legend():
    figure = base("t", "s")
    x = np.linspace(0, 1, 5)
    assert line(figure, x, x, "plain") == 0
    assert line(figure, x, x, "banded", x - 1, x + 1) == 3
    low, high, middle = figure.data[1:]
    assert {trace.legendgroup for trace in (low, high, middle)} == {"banded"}
    assert [trace.showlegend for trace in (low, high, middle)] == [False, False, None]
    assert [trace.hoverinfo for trace in (low, high)] == ["skip", "skip"]
    assert high.fill == "tonexty" and high.fillcolor == "rgba(213,94,0,0.2)"
    assert (low.y == x - 1).all() and (high.y == x + 1).all() and (middle.y == x).all()
    assert [figure.data[0].line.color, middle.line.color] == list(PALETTE[:2])


def test_the_palette_begins_again():
    figure = base("t", "s")
    for k in range(len(PALETTE) + 1):
        line(figure, [0, 1], [0, k], str(k))
    assert figure.data[-1].line.color == PALETTE[0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64])
def test_tensors_are_taken_as_they_come(dtype):
    figure = base("t", "s")
    y = torch.tensor([1, 2, 4], dtype=dtype)
    line(figure, ["a", "b", "c"], y.requires_grad_() if dtype.is_floating_point else y, "y", low=y, high=y)
    assert all(trace.y.tolist() == [1, 2, 4] and list(trace.x) == ["a", "b", "c"] for trace in figure.data)


@pytest.mark.parametrize(
    "given", [{"y": [1.0]}, {"low": [0.0, 0.0]}, {"low": [0.0], "high": [1.0, 1.0]}, {"y": [[1.0, 2.0]]}]
)
def test_what_does_not_fit_together_is_refused(given):
    figure = base("t", "s")
    with pytest.raises(ValueError):
        line(figure, **({"x": [0.0, 1.0], "y": [0.0, 1.0], "name": "y"} | given))
    assert not figure.data


def test_what_a_caller_says_comes_before_the_style():
    figure = base("t", "s", xaxis_type="log", legend_orientation="v", uirevision="new")
    layout = figure.layout
    assert (layout.xaxis.title.text, layout.yaxis.title.text) == ("t", "s")
    assert (layout.xaxis.type, layout.legend.orientation, layout.uirevision) == ("log", "v", "new")
    assert base("t", "s").layout.uirevision == base("a", "b").layout.uirevision
    assert tuple(layout.template.layout.colorway) == PALETTE


def test_a_marker_is_a_dashed_vertical_over_the_whole_height():
    (shape,) = marker(0.3)
    assert (shape["x0"], shape["x1"], shape["y0"], shape["y1"], shape["yref"]) == (0.3, 0.3, 0, 1, "paper")
    assert base("t", "s", shapes=marker("a")).layout.shapes[0].line.dash == "dash"
