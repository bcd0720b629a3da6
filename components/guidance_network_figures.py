"""The plots of guidance on networks: the difference of the two means and its linear parts at every step, and the samples' ways.

Charts that follow the slider have a frame for every scene, as the noise rises: the samples, whose marker stands at the last step,
and then the steps, last to first.
"""

from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from backend.experiments.guide import NetworkGuidance
from components.figures import PALETTE, array, base, marker
from components.guidance_figures import PARTS

BLUE, PINK, GREY = PALETTE[0], PALETTE[3], PALETTE[-1]
LEVEL = "noise level σ / α"
LINEAR = tuple(PARTS)[:3]  # mean shift, Pos-CPC, Neg-CPC


def norms(result: NetworkGuidance) -> go.Figure:
    """The size of the network's difference, and of the linear parts: as the two Gaussians say, and as its nearest multiples."""
    readings = result.guided.readings
    figure = _over_noise(result, "rms over samples; dotted: nearest multiples", yaxis_rangemode="tozero")
    _line(figure, readings.level, readings.difference, "D_c − D_u", GREY)
    figure.data[-1].update(line={"width": 2.5})
    for name, linear, nearest in zip(LINEAR, readings.linear, readings.projected, strict=True):
        _line(figure, readings.level, linear, name, PARTS[name])
        _line(figure, readings.level, nearest, f"{name}, nearest multiple", PARTS[name], dash="dot")
        figure.data[-1].update(showlegend=False)
    return figure


def agreement(result: NetworkGuidance) -> go.Figure:
    """How near the network's difference is to the linear one."""
    readings = result.guided.readings
    figure = _over_noise(result, "share, cosine", yaxis_range=[min(0.0, _lowest(readings.cosine)), 1.05])
    _line(figure, readings.level, readings.cosine, "cosine with the linear difference", BLUE)
    _line(figure, readings.level, readings.residual, "residual: share that is no multiple of the parts", PINK)
    return figure


def multiples(result: NetworkGuidance) -> go.Figure:
    """The multiples of the linear parts that come nearest to the network's difference; 1 is the linear model."""
    readings = result.guided.readings
    figure = _over_noise(result, "nearest multiple, median", yaxis_range=[-1.5, 2.5])
    for name, values in zip(LINEAR, readings.multiples, strict=True):
        _line(figure, readings.level, values, name, PARTS[name])
    _line(figure, readings.level, torch.ones_like(readings.level), "the linear model", GREY, dash="dot")
    return figure


def weight(result: NetworkGuidance) -> go.Figure:
    """gamma at every step."""
    readings = result.guided.readings
    figure = _over_noise(result, "weight γ", yaxis_rangemode="tozero", showlegend=False)
    _line(figure, readings.level, readings.weight, "γ", BLUE)
    figure.data[-1].update(mode="lines+markers", marker={"size": 5})
    return figure


def plane(result: NetworkGuidance) -> go.Figure:
    """The ways of x0_hat in the plane of the class's leading principal components; a frame moves the points along them."""
    figure = base("principal component 1", "principal component 2")
    pairs = (("without guidance", GREY, result.plain), ("guided", BLUE, result.guided))
    for name, colour, run in pairs:
        x, y = _ways(run.paths)
        figure.add_scatter(
            x=x, y=y, mode="lines", name=f"{name}, way", legendgroup=name, showlegend=False, opacity=0.35,
            line={"width": 1, "color": colour}, hoverinfo="skip",
        )  # fmt: skip
    for name, colour, run in pairs:
        end = array(run.paths[-1])
        figure.add_scatter(
            x=end[:, 0], y=end[:, 1], mode="markers", name=name, legendgroup=name, marker={"size": 6, "color": colour}
        )  # fmt: skip
    figure.frames = [
        go.Frame(
            data=[{"x": array(run.paths[i])[:, 0], "y": array(run.paths[i])[:, 1]} for _, _, run in pairs],
            traces=[2, 3],
        )
        for i in reversed(range(len(result.guided.paths)))
    ]
    return figure


def places(result: NetworkGuidance) -> list[float]:
    """The noise level of every scene on a logarithmic axis."""
    levels = result.guided.readings.level.flip(0).tolist()
    return [levels[0], *levels]


def _over_noise(result: NetworkGuidance, title: str, **layout: Any) -> go.Figure:
    figure = base(LEVEL, title, xaxis_type="log", **layout)
    figure.frames = [go.Frame(layout={"shapes": marker(place)}) for place in places(result)]
    return figure.update_layout(shapes=marker(places(result)[0]))


def _line(figure: go.Figure, x: Tensor, y: Tensor, name: str, colour: str, dash: str = "solid") -> None:
    figure.add_scatter(
        x=array(x), y=array(y), mode="lines", name=name, line={"width": 1.75, "color": colour, "dash": dash}
    )


def _ways(paths: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Paths (steps + 1, n, 2) as one broken line, which NaN parts."""
    ways = array(paths).transpose(1, 0, 2)
    parted = np.concatenate([ways, np.full_like(ways[:, :1], np.nan)], axis=1).reshape(-1, 2)
    return parted[:, 0], parted[:, 1]


def _lowest(values: Tensor) -> float:
    return float(np.nanmin(array(values))) - 0.05 if np.isfinite(array(values)).any() else 0.0
