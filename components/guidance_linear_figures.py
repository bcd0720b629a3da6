"""The plots of how linear a network is, and how linear what guidance adds, over the noise level."""

import math

import plotly.graph_objects as go
from torch import Tensor

from backend.experiments.guide_linearity import NEAR, Curve, Departure, Linearity
from components.figures import PALETTE, array, base, line

BLUE, ORANGE, GREEN, PINK, AMBER, SKY, GREY = PALETTE
LEVEL = "noise level σ / α"
WHOSE = {"D_c, the class": ORANGE, "D_u, all data": BLUE}
MEASURES = {
    "gain": "|D − D_lin|² / |x₀ − D_lin|²",
    "error": "|x₀ − D|² / |x₀ − D_lin|²",
    "relative": "|D − D_lin|² / |D − μ|²",
}
PARTS = {"mean shift": GREEN, "Pos-CPC": ORANGE, "Neg-CPC": BLUE}


def departure(result: Linearity, measure: str) -> go.Figure:
    """One of MEASURES of both means, with its intervals: under the gain the bound that defines the linear regime, under the others
    what they are worth where there is nothing to see."""
    figure = base(LEVEL, MEASURES[measure], xaxis_type="log", yaxis_type="log")
    for found, (name, colour) in zip(_both(result), WHOSE.items(), strict=True):
        _curve(figure, result.level, getattr(found, measure), name, colour)
        if measure == "relative":
            figure.add_scatter(
                x=array(result.level), y=array(found.floor), mode="lines", name="by the mean's own error", showlegend=False,
                line={"width": 1, "dash": "dot", "color": colour},
            )  # fmt: skip
    if measure == "gain":
        _level(figure, NEAR, "0.05, our bound")
        return _regime(figure, result, "linear regime<br>(our definition)")
    if measure == "error":
        _level(figure, 1.0, "as good as the linear model")
    return _regime(figure, result)


def sizes(result: Linearity) -> go.Figure:
    """Root mean squares: how far both means are from those of the data, and from each other."""
    figure = base(LEVEL, "root mean square", xaxis_type="log", yaxis_type="log")
    for found, name, colour in zip(
        _both(result), ("|D_c − μ_c|", "|D_u − μ_u|"), WHOSE.values(), strict=True
    ):
        _line(figure, result.level, found.norm, name, colour)
    _line(figure, result.level, result.norm, "|D_c − D_u|", GREEN)
    return _regime(figure, result)


def cosine(result: Linearity) -> go.Figure:
    figure = base(LEVEL, "cosine with the linear difference", xaxis_type="log", showlegend=False)
    _curve(figure, result.level, result.cosine, "cosine", GREEN)
    _level(figure, 0.0, "")
    return _regime(figure, result)


def apart(result: Linearity) -> go.Figure:
    """What is wrong when the linear difference is added in the network's place; above 1 nothing would be nearer."""
    figure = base(
        LEVEL, "|D_c − D_u − linear|² / |D_c − D_u|²", xaxis_type="log", yaxis_type="log", showlegend=False
    )
    _curve(figure, result.level, result.apart, "apart", GREEN)
    _level(figure, 1.0, "as far as no guidance")
    return _regime(figure, result)


def explained(result: Linearity) -> go.Figure:
    """Share of |D_c - D_u|^2 in the linear parts, whose multiples are fitted to each picture."""
    figure = base(LEVEL, "share of |D_c − D_u|² explained", xaxis_type="log", yaxis_range=[-0.02, 1.02])
    _curve(figure, result.level, result.explained, "all three", GREY)
    for curve, (name, colour) in zip(result.parts, PARTS.items(), strict=True):
        _curve(figure, result.level, curve, f"{name} alone", colour)
    _level(figure, result.chance, "chance")
    return _regime(figure, result)


def _both(result: Linearity) -> tuple[Departure, Departure]:
    return result.conditional, result.unconditional


def _curve(figure: go.Figure, x: Tensor, curve: Curve, name: str, colour: str) -> None:
    """A line and its interval in one colour."""
    line(figure, x, curve.value, name, curve.low, curve.high)
    faint = "rgba({},{},{},0.2)".format(*(int(colour[i : i + 2], 16) for i in (1, 3, 5)))
    figure.data[-2].update(fillcolor=faint)
    figure.data[-1].update(line={"color": colour})


def _line(figure: go.Figure, x: Tensor, y: Tensor, name: str, colour: str) -> None:
    line(figure, x, y, name)
    figure.data[-1].update(line={"color": colour})


def _level(figure: go.Figure, y: float, words: str) -> None:
    """A dotted horizontal line with words at its left end."""
    figure.add_hline(y, line={"width": 1, "dash": "dot"})
    place = (
        math.log10(y) if figure.layout.yaxis.type == "log" else y
    )  # an annotation, unlike a line, wants it so
    figure.add_annotation(
        text=words, xref="paper", x=0, xanchor="left", yref="y", y=place, yanchor="bottom", showarrow=False, font={"size": 11}
    )  # fmt: skip


def _regime(figure: go.Figure, result: Linearity, words: str = "") -> go.Figure:
    """Shades the linear regime of D_c, with words inside, and draws a dashed line where that of D_u begins."""
    conditional, unconditional = (found.regime for found in _both(result))
    most = float(result.level.max())
    if conditional is not None:
        figure.add_shape(
            type="rect", xref="x", yref="paper", x0=conditional, x1=most, y0=0, y1=1, layer="below",
            fillcolor="rgba(153,153,153,0.18)", line={"width": 0},
        )  # fmt: skip
        figure.add_annotation(
            text=words, xref="x", yref="paper", x=math.log10(most), y=1, xanchor="right", yanchor="top", align="right",
            showarrow=False, font={"size": 11},
        )  # fmt: skip
    if unconditional is not None:
        figure.add_shape(
            type="line", xref="x", yref="paper", x0=unconditional, x1=unconditional, y0=0, y1=1,
            line={"width": 1, "dash": "dash", "color": BLUE},
        )  # fmt: skip
    return figure
