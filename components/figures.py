"""Plotly figures in one style: thin lines, no boxes, and colours that stay apart for every kind of colour blindness.

    figure = base("noise level t", "singular value")
    line(figure, t, s, "first", low, high)
    figure.update_layout(shapes=marker(0.35))

Colours of text, axes and grid are left to components/chart, which takes the page's. Attributes are those that
Plotly 3 already had.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch

Numbers = torch.Tensor | np.ndarray | Sequence[float] | Sequence[str]

# Okabe and Ito's; grey for their black, which a dark page would swallow, and no yellow, too pale for a line on white.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#999999")
SANS = "IBM Plex Sans, system-ui, sans-serif"
BAND = 0.2  # opacity

_AXIS = {"automargin": True, "showgrid": True, "gridwidth": 1, "zeroline": False, "showline": True, "linewidth": 1,
         "ticks": "outside", "ticklen": 4, "exponentformat": "power", "title": {"standoff": 8}}  # fmt: skip
_TEMPLATE = go.layout.Template(
    data={"heatmap": [{"colorscale": "Viridis", "colorbar": {"thickness": 10, "outlinewidth": 0}}]},
    layout={
        "colorway": PALETTE,
        "font": {"family": SANS},
        "margin": {"l": 52, "r": 12, "t": 28, "b": 44},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        "hovermode": "closest",
        "xaxis": _AXIS,
        "yaxis": _AXIS,
    },
)


def base(title_x: str, title_y: str, **layout: Any) -> go.Figure:
    """A figure without traces. layout: what go.Layout takes, over the style; the zoom is kept from one figure to
    the next unless `uirevision` differs."""
    figure = go.Figure(layout={"template": _TEMPLATE, "uirevision": "kept"})
    figure.update_layout(xaxis_title_text=title_x, yaxis_title_text=title_y)
    return figure.update_layout(**layout)


def marker(x: float | str) -> list[dict[str, Any]]:
    """`layout.shapes` with a thin dashed vertical line at x, over the whole height; of a figure or of a frame."""
    place = {"type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1}
    return [place | {"line": {"width": 1, "dash": "dash"}}]


def line(
    figure: go.Figure,
    x: Numbers,
    y: Numbers,
    name: str,
    low: Numbers | None = None,
    high: Numbers | None = None,
) -> int:
    """Adds a line in the next colour, and under it the band from low to high where both are given.

    Args:
        x, y, low, high: (n,)

    Returns:
        The line's index among the figure's traces, as in Point.curve. A band is two traces before it, its lower
        and its upper edge, so a frame that moves all three has traces=[i - 2, i - 1, i] and data low, high, y.

    Raises:
        ValueError: where one of low and high is missing, or lengths differ.
    """
    if (low is None) != (high is None):
        raise ValueError("a band needs low and high")
    x, y = array(x), array(y)
    edges = [] if low is None or high is None else [array(low), array(high)]
    if any(a.shape != x.shape or a.ndim != 1 for a in (y, *edges)):
        raise ValueError("x, y, low and high must be as long as each other")
    number = sum(trace.showlegend is not False for trace in figure.data)
    colour = PALETTE[number % len(PALETTE)]
    for edge, which in zip(edges, ("low", "high"), strict=False):
        fill = {"fill": "tonexty", "fillcolor": _faint(colour)} if which == "high" else {}
        figure.add_scatter(
            x=x, y=edge, name=f"{name}, {which}", legendgroup=name, mode="lines", line={"width": 0, "color": colour},
            hoverinfo="skip", showlegend=False, **fill,
        )  # fmt: skip
    figure.add_scatter(
        x=x, y=y, name=name, legendgroup=name, mode="lines", line={"width": 1.75, "color": colour}
    )
    return len(figure.data) - 1


def array(values: Numbers) -> np.ndarray:
    """The same numbers for Plotly, on the CPU and without a graph."""
    if not isinstance(values, torch.Tensor):
        return np.asarray(values)
    values = values.detach().cpu()
    return (values.float() if values.dtype in (torch.bfloat16, torch.float16) else values).numpy()


def _faint(colour: str) -> str:
    """#rrggbb, translucent."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{BAND})"
