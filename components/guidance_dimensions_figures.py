"""The plots of guidance in many dimensions: distortion against d or K, where classes part, and the effective potential."""

import math
from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from torch import Tensor

from backend.experiments.guidance_dimension import GuideHighDimension, HighDimension
from backend.guidance import stages
from backend.guidance.stages import Potential
from components.figures import PALETTE, array, base, line

BLUE, ORANGE, GREEN, PINK, AMBER, _, GREY = PALETTE
AGAINST = {"dimensions": "dimension d", "classes": "number of classes K"}
KINDS = {"two": "two classes ±m", "exponential": "K = e^(a d)", "polynomial": "K = d^p"}
MEASURES = {
    "w2": "W₂² to the true class, over d",
    "overshoot": "overshoot of the mean, over |m|",
    "across": "variance across m, over the true one",
    "along": "variance along m, over the true one",
    "separability": "distance to the next class, in deviations",
}
TRUE = {"w2": 0.0, "overshoot": 0.0, "across": 1.0, "along": 1.0}
PREDICTED = {
    "overshoot": "predicted_overshoot",
    "across": "predicted_variance",
    "along": "predicted_variance",
}
CURVES = {
    "guided": ("guided by a constant γ", BLUE, "solid"),
    "conditional": ("the class alone, γ = 0", GREY, "dash"),
    "unconditional": ("all data, γ = −1", GREEN, "dot"),
}
HEIGHT = 9.0  # of the potential that is shown


def measure(
    result: HighDimension, name: str, against: str, others: Mapping[str, HighDimension] | None = None
) -> go.Figure:
    """One measure of the guided samples with and without guidance, 95 % intervals, and what large d predicts.

    others: results for other numbers of classes by name, whose guided samples are drawn too.
    """
    figure = _against(result, against, MEASURES[name])
    for run, words, colour in (("plain", "without guidance", GREY), ("guided", "guided", BLUE)):
        values = _values(result, run, name)
        error = 1.96 * _values(result, f"{run}_error", name)
        figure.add_scatter(
            x=array(getattr(result, against)), y=values, mode="lines+markers", name=words,
            line={"width": 1.75, "color": colour}, error_y={"array": error, "width": 3, "thickness": 1},
        )  # fmt: skip
    predicted = getattr(result, PREDICTED.get(name, ""), None)
    if predicted is not None and not predicted.isnan().all():
        _dashed(
            figure, result, against, _over(result, name, predicted), "predicted for large d", ORANGE, "dash"
        )
    for (kind, other), colour in zip((others or {}).items(), (PINK, AMBER), strict=False):
        _dashed(
            figure, other, against, _values(other, "guided", name), f"guided, {KINDS[kind]}", colour, "dot"
        )
    if name in TRUE:
        figure.add_hline(TRUE[name], line={"width": 1, "dash": "dot"})
    return figure


def transitions(result: HighDimension, against: str) -> go.Figure:
    """The noise level at which a class stands out, without guidance and, of many classes, with it; none where it never does."""
    figure = _against(result, against, "noise level σ / α at which classes part")
    for values, words, colour in (
        (result.transition, "without guidance", GREY), (result.guided_transition, "guided", BLUE),
    ):  # fmt: skip
        if not values.isnan().all():
            values = array(values)
            figure.add_scatter(
                x=array(getattr(result, against)), y=np.where(values > 0, values, np.nan), mode="lines+markers",
                name=words, line={"width": 1.75, "color": colour},
            )  # fmt: skip
    return figure.update_yaxes(rangemode="tozero")


def potential(result: HighDimension, request: GuideHighDimension) -> go.Figure:
    """The effective potential along m of two classes, a frame for each noise level, rising; points are its minima."""
    found = potential_of(result, request)
    low = min(float(getattr(found, name).min()) for name in CURVES)
    figure = base(
        "q, the coordinate along m", "effective potential U(q)", yaxis_range=[low - 0.7, low + HEIGHT]
    )
    frames = [_frame(found, i) for i in reversed(range(len(found.e)))]
    first = frames[len(frames) // 2]
    for curve, points, (words, colour, dash) in zip(
        first["data"][::2], first["data"][1::2], CURVES.values(), strict=True
    ):
        line(figure, found.q, curve["y"], words)
        figure.data[-1].update(line={"color": colour, "dash": dash})
        figure.add_scatter(
            **points, mode="markers", marker={"size": 8, "color": colour}, name=f"{words}, minima", showlegend=False
        )  # fmt: skip
    figure.frames = frames
    return figure


def potential_of(result: HighDimension, request: GuideHighDimension) -> Potential:
    """Of two classes, by the constant gamma, whatever the number of classes that were sampled."""
    return result.potential or stages.potentials(request.gamma)


def captions(result: HighDimension, request: GuideHighDimension) -> list[str]:
    """Of the frames, with the noise level in the largest d."""
    d, found = int(result.dimensions.max()), []
    for e in reversed(potential_of(result, request).e.tolist()):
        square = d / e**2 - request.variance
        level = f"σ/α = {math.sqrt(square):.3g} in d = {d}" if square > 0 else f"not reached in d = {d}"
        found.append(f"|m|/√(v + σ²/α²) = {e:g}, {level}{': the transition' if e == 1 else ''}")
    return found


def _frame(found: Potential, i: int) -> dict:
    data, q = [], array(found.q)
    for name in CURVES:
        y = array(getattr(found, name)[i])
        before = np.concatenate([[np.inf], y[:-2]])  # the leftmost of all, at -3, is at the edge
        least = np.flatnonzero((y[:-1] <= before) & (y[:-1] <= y[1:]))
        data += [{"y": y}, {"x": q[least], "y": y[least]}]
    return {"data": data, "traces": list(range(len(data)))}


def _against(result: HighDimension, against: str, title: str) -> go.Figure:
    places = sorted(set(getattr(result, against).tolist()))
    layout = {"xaxis_type": "log", "xaxis_tickvals": places, "uirevision": against}
    return base(AGAINST[against], title, **layout).update_xaxes(ticktext=[f"{place:,}" for place in places])


def _values(result: HighDimension, run: str, name: str) -> np.ndarray:
    return _over(result, name, getattr(getattr(result, run), name))


def _over(result: HighDimension, name: str, values: Tensor) -> np.ndarray:
    """The overshoot over |m|; the other measures as they are."""
    return array(values / result.dimensions.sqrt() if name == "overshoot" else values)


def _dashed(
    figure: go.Figure, result: HighDimension, against: str, y: np.ndarray, name: str, colour: str, dash: str
) -> None:
    line(figure, array(getattr(result, against)), y, name)
    figure.data[-1].update(line={"color": colour, "dash": dash})
