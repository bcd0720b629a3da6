"""The plots of the guidance tab where everything is known: what guidance did to the moments of a class."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from torch import Tensor

from backend.experiments.guidance_theory import GaussianGuidance
from components.figures import PALETTE, array, base, line

BLUE, ORANGE, GREEN, PINK, AMBER, SKY, GREY = PALETTE
PATHS = 8  # of the samples' ways that are drawn
PARTS = {"mean shift": GREEN, "Pos-CPC": ORANGE, "Neg-CPC": BLUE, "D_c − D_u": GREY}


def variances(result: GaussianGuidance) -> go.Figure:
    """Variance along every principal component of the class: exact, sampled, without guidance, and closed forms."""
    modes = result.modes
    i = np.arange(1, len(modes.variance_c) + 1)
    figure = base("principal component of the class", "variance", yaxis_type="log")
    _line(figure, i, modes.predicted_plain.variance, "without guidance, exact", GREY)
    _line(figure, i, modes.predicted.variance, "guided, exact", BLUE)
    figure.add_scatter(
        x=i, y=array(modes.sampled.variance), mode="markers", name="guided, sampled", marker={"size": 4, "color": ORANGE},
        error_y={"array": 2 * array(modes.variance_error), "width": 0, "thickness": 1},
    )  # fmt: skip
    for name, closed in (("ODE", modes.ode), ("SDE", modes.sde), ("tilted target", modes.tilted)):
        figure.add_scatter(
            x=i, y=array(closed.variance), mode="lines", name=f"{name}, closed form", visible="legendonly",
            line={"width": 1, "dash": "dot"},
        )  # fmt: skip
    top = float(modes.predicted.variance.max().clamp_min(modes.predicted_plain.variance.max()))
    return figure.update_yaxes(range=[np.log10(top) - 5, np.log10(top) + 0.3])


def histograms(result: GaussianGuidance) -> go.Figure:
    """Coordinates of the samples on the leading Pos-CPC, the leading Neg-CPC and the mean difference."""
    figure = make_subplots(1, 3, subplot_titles=("Pos-CPC 1", "Neg-CPC 1", "μ_c − μ_u"))
    figure.update_layout(template=base("", "").layout.template, barmode="overlay", uirevision="kept")
    figure.update_annotations(font_size=12)
    figure.update_layout(legend={"y": -0.12, "yanchor": "top"}, margin={"t": 32})
    for column in range(3):
        both = [array(values[column]) for values in (result.projections.plain, result.projections.guided)]
        if not all(np.isfinite(values).all() for values in both):
            continue
        edges = np.histogram_bin_edges(np.concatenate(both), 24)
        for values, name, colour in zip(both, ("without guidance", "guided"), (GREY, BLUE), strict=True):
            counts, _ = np.histogram(values, edges)
            figure.add_bar(
                x=(edges[:-1] + edges[1:]) / 2, y=counts, width=np.diff(edges), name=name, legendgroup=name, opacity=0.6,
                marker={"color": colour}, showlegend=column == 0, row=1, col=column + 1,
            )  # fmt: skip
    return figure


def norms(result: GaussianGuidance) -> go.Figure:
    """The size of the three parts and of their sum at every step."""
    figure = base(
        "noise level σ / α", "root mean square over samples", xaxis_type="log", yaxis_rangemode="tozero"
    )
    for values, (name, colour) in zip(result.curves.norms, PARTS.items(), strict=True):
        _line(figure, result.curves.steps, values, name, colour)
    return figure


def plane(result: GaussianGuidance) -> go.Figure:
    """Samples in the plane of the class's two leading principal components, with and without guidance, and ways there; those of the
    class alone also in closed form, which the ODE's follow up to its steps."""
    ways = result.trajectories
    figure = base("principal component 1", "principal component 2")
    for states, name, colour in ((ways.plain, "without guidance", GREY), (ways.guided, "guided", BLUE)):
        end = array(states[-1])
        figure.add_scatter(
            x=end[:, 0], y=end[:, 1], mode="markers", name=name, marker={"size": 5, "color": colour}
        )
    for states, name, colour, dash in (
        (ways.plain, "ways without guidance", GREY, "solid"),
        (ways.conditional, "the same, closed form", ORANGE, "dot"),
        (ways.guided, "guided ways", SKY, "solid"),
    ):
        paths = array(states[:, :PATHS]).transpose(1, 0, 2)
        gap = np.full((len(paths), 1, 2), np.nan)  # one trace for all
        x, y = np.concatenate([paths, gap], 1).reshape(-1, 2).T
        figure.add_scatter(
            x=x, y=y, mode="lines", name=name, hoverinfo="skip", line={"width": 0.9, "color": colour, "dash": dash}
        )  # fmt: skip
    mean = array(ways.mean)
    figure.add_scatter(
        x=mean[:, 0],
        y=mean[:, 1],
        mode="lines",
        name="guided mean, exact",
        line={"width": 2.5, "color": BLUE},
    )
    near = np.concatenate([array(ways.plain[-1]), array(ways.guided[-1])])
    reach = 1.4 * max(1e-3, float(np.abs(near).max()))
    return figure.update_xaxes(range=[-reach, reach]).update_yaxes(range=[-reach, reach])


def _line(figure: go.Figure, x: Tensor | np.ndarray, y: Tensor, name: str, colour: str) -> None:
    line(figure, x, y, name)
    figure.data[-1].update(line={"color": colour})
