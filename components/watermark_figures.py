"""The plots of the watermark tab: how much room a mark has, what its score is worth, and where the evidence lies."""

import numpy as np
import plotly.graph_objects as go
import torch.nn.functional as F
from torch import Tensor

from backend.experiments.watermark_verify import Verified, VerifyWatermark
from backend.watermark.room import Gauge
from components.figures import PALETTE, array, base
from components.pictures import data_uri

BLUE, ORANGE, GREEN, PINK, AMBER, SKY, GREY = PALETTE
BINS = 40
SMOOTHED = 5  # pixels a side: a single pixel's share of the evidence is mostly noise
SIGNED = [[0, BLUE], [0.5, "#f4f4f2"], [1, ORANGE]]
OVER_PICTURE = [[0, "rgba(0,114,178,0.9)"], [0.5, "rgba(0,114,178,0)"], [0.5, "rgba(213,94,0,0)"], [1, "rgba(213,94,0,0.9)"]]  # fmt: skip
NO_TICKS = {"showticklabels": False, "ticks": "", "showgrid": False, "showline": False}


def gauge(found: Gauge) -> go.Figure:
    """|J dx| / |dx| of the mark beside what it could be."""
    bars = {
        "largest singular value": (found.largest, GREY),
        "Theorem 1's bound": (found.bound, GREY),
        "a random direction": (found.random, SKY),
        "the mark": (found.mark, ORANGE),
    }
    figure = base("|J Δx| / |Δx|", "", showlegend=False, bargap=0.35)
    figure.add_bar(
        x=[round(value, 4) for value, _ in bars.values()], y=list(bars), orientation="h",
        marker={"color": [colour for _, colour in bars.values()]},
        text=[f"{value:.2f}" for value, _ in bars.values()], textposition="auto",
    )  # fmt: skip
    return figure.update_yaxes(showgrid=False)


def scores(found: Verified) -> go.Figure:
    """z of this picture under this key beside other keys on this picture, and unmarked pictures under this key."""
    figure = base("matched filter's z", "share", bargap=0, barmode="overlay")
    sets = {"other keys, this picture": (found.other_keys, SKY), "unmarked pictures, this key": (found.others, AMBER)}  # fmt: skip
    known = {name: (array(values), colour) for name, (values, colour) in sets.items() if len(values)}
    low = min((float(values.min()) for values, _ in known.values()), default=0.0)
    high = max((float(values.max()) for values, _ in known.values()), default=1.0)
    edges = np.linspace(low, max(high, low + 1e-6), BINS + 1)
    for name, (values, colour) in known.items():
        counts, _ = np.histogram(values, edges)
        figure.add_bar(
            x=np.round((edges[1:] + edges[:-1]) / 2, 3), y=np.round(counts / len(values), 4), name=name,
            marker={"color": colour}, opacity=0.7,
        )  # fmt: skip
    at = {"type": "line", "x0": found.z, "x1": found.z, "y0": 0, "y1": 1, "yref": "paper"}
    word = {"x": found.z, "y": 1, "yref": "paper", "text": f"z = {found.z:.1f}", "showarrow": False}
    side = "right" if found.z > (low + high) / 2 else "left"
    word |= {"xanchor": side, "yanchor": "top", "xshift": -4 if side == "right" else 4}
    figure.update_layout(
        shapes=[at | {"line": {"width": 2, "color": ORANGE}}], annotations=[word], uirevision=str(found.z)
    )
    reach = [min(low, found.z) - 0.5, max(high, found.z) + 0.5]
    return figure.update_xaxes(range=reach)


def plane(found: Verified, request: VerifyWatermark) -> go.Figure:
    """The evidence by coefficient, frequency 0 in the middle; around zero only as far as the mark reaches."""
    figure = _map(array(found.parts.plane.float()), "cycles a picture, across", "cycles a picture, down")
    if request.centre == "zero":
        reach = min(request.outer + 2, found.surface.shape[-1] / 2)
        figure.update_xaxes(range=[-reach, reach])
        figure.update_yaxes(range=[reach, -reach], autorange=False)
    return figure


def surface(found: Verified) -> go.Figure:
    """z by cyclic shift, no shift in the middle: a peak off the middle is a picture that was moved."""
    return _map(array(found.surface.float()), "shift across, pixels", "shift down, pixels")


def rings(found: Verified) -> go.Figure:
    """The evidence by ring of width 1 about the mark's centre."""
    ring = array(found.parts.ring)
    used = np.flatnonzero(np.abs(ring) > 1e-9)
    shown = ring[: used.max() + 1] if len(used) else ring[:1]
    figure = base("radius, cycles a picture", "share of z", showlegend=False, bargap=0.2)
    colours = [ORANGE if value >= 0 else BLUE for value in shown]
    figure.add_bar(x=np.arange(len(shown)), y=np.round(shown, 4), marker={"color": colours})
    return figure


def space(found: Verified) -> go.Figure:
    """The evidence by place, averaged over 5 x 5 pixels, over the picture."""
    smooth = smoothed(found.parts.space)
    values, n = array(smooth.float()), smooth.shape[-1]
    peak = float(np.abs(values).max()) or 1.0
    figure = base("", "", **_still())
    figure.add_layout_image(
        source=data_uri(found.x_0), xref="x", yref="y", x=-0.5, y=-0.5, sizex=n, sizey=n, sizing="stretch", layer="below"
    )  # fmt: skip
    figure.add_heatmap(z=values, colorscale=OVER_PICTURE, zmin=-peak, zmax=peak, hovertemplate="%{z:.3f}<extra></extra>")  # fmt: skip
    figure.update_yaxes(range=[n - 0.5, -0.5], scaleanchor="x", constrain="domain", **NO_TICKS)
    return figure.update_xaxes(range=[-0.5, n - 0.5], constrain="domain", **NO_TICKS)


def smoothed(values: Tensor) -> Tensor:
    """Means over 5 x 5 pixels of (n, n), wrapped around, so that the sum stays."""
    margin = min(SMOOTHED // 2, values.shape[-1] - 1)
    wrapped = F.pad(values[None, None], (margin,) * 4, mode="circular")
    return F.avg_pool2d(wrapped, 2 * margin + 1, stride=1)[0, 0]


def guesses(found: Verified) -> go.Figure:
    """z by what was undone before looking."""
    figure = base("z", "", showlegend=False, bargap=0.25)
    best = int(found.by_guess.argmax())
    values = np.round(array(found.by_guess), 3)
    colours = [ORANGE if i == best else GREY for i in range(len(values))]
    figure.add_bar(x=values, y=list(found.words), orientation="h", marker={"color": colours})
    return figure.update_yaxes(autorange="reversed", showgrid=False)


def _map(values: np.ndarray, x: str, y: str) -> go.Figure:
    """(n, n), its middle at n // 2, in colours that are pale at zero."""
    places, peak = np.arange(len(values)) - len(values) // 2, float(np.abs(values).max()) or 1.0
    figure = base(x, y, **_still())
    figure.add_heatmap(
        z=values, x=places, y=places, colorscale=SIGNED, zmin=-peak, zmax=peak,
        hovertemplate="%{x}, %{y}: %{z:.3f}<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", scaleanchor="x", constrain="domain", showgrid=False)
    return figure.update_xaxes(constrain="domain", showgrid=False)


def _still() -> dict:
    return {"margin": {"l": 48, "r": 8, "t": 12, "b": 40}}
