"""The plots of guidance of an exact mixture in the plane: fields with the samples on their way, and what they do over noise.

Frames are the noise levels of the portrait, rising, as the panel's slider has them.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
from torch import Tensor

from backend.experiments.guidance_mixture import GuideMixture, MixtureGuidance, Paths, Portrait
from backend.guidance.stages import Stages
from components.figures import PALETTE, array, base, line, marker

BLUE, ORANGE, GREEN, _, _, _, GREY = PALETTE
FIELDS = {
    "difference": "what guidance adds, D_c − D_u",
    "guided": "D_c + γ (D_c − D_u), less x",
    "conditional": "D_c, less x",
    "unconditional": "D_u, less x",
    "mean_shift": "mean shift",
    "positive": "Pos-CPC",
    "negative": "Neg-CPC",
}
RUNS = {"plain": "without guidance (γ = 0)", "guided": "guided, from the same noises"}
ENDS = {"strong mode": BLUE, "weak mode": ORANGE, "another class": GREY}
WAYS, DOTS = (
    40,
    250,
)  # samples whose ways, and whose places are drawn: a browser draws more too slowly to slide
EVERY = 2  # a point of the portrait has an arrow
LONGEST = 0.9  # of the longest arrow, over the distance of two arrows
FAINT = 0.03  # of the longest: a shorter arrow is not drawn
NAMES = {1: "I", 2: "II", 3: "III"}
QUIET = [[0, "rgba(0,114,178,.45)"], [0.5, "rgba(128,128,128,0)"], [1, "rgba(213,94,0,.45)"]]


def levels(result: MixtureGuidance) -> list[float]:
    """Of the frames."""
    return result.portrait.levels.flip(0).tolist()


def portrait(result: MixtureGuidance, request: GuideMixture, field: str, name: str) -> go.Figure:
    """Arrows of a field, divergence of what guidance adds, modes, and the samples of a run by the mode that they end in.

    Args:
        field: one of FIELDS. name: of the run, one of RUNS.
    """
    points, run = array(result.portrait.points), getattr(result, name)
    reach, ends = float(points.max()), ends_of(result, request, run)
    layout = {"shapes": _circles(result, request), "margin": {"l": 36, "b": 28}}
    figure = base("", "", yaxis_scaleanchor="x", legend_title={"text": RUNS[name], "side": "top"}, **layout)
    figure.update_xaxes(range=[-reach, reach], constrain="domain", showgrid=False)
    figure.update_yaxes(range=[-reach, reach], constrain="domain", showgrid=False)
    frames = list(_frames(result, request, field, run, ends))
    first = frames[len(frames) // 2]
    strength = float(np.quantile(np.abs(array(result.portrait.divergence)), 0.98))
    side = round(len(points) ** 0.5)
    figure.add_heatmap(
        x=points[:side, 0], y=points[::side, 1], z=first["data"][0]["z"], colorscale=QUIET, zmin=-strength, zmax=strength,
        showscale=False, zsmooth="fast", hovertemplate="divergence of D_c − D_u %{z:.3g}<extra></extra>",
    )  # fmt: skip
    quiet = {"showlegend": False, "hoverinfo": "skip"}
    figure.add_scatter(**first["data"][1], mode="lines", line={"width": 1.25, "color": GREEN}, **quiet)
    ways = _inside(result, run)
    for name, colour in ENDS.items():
        way = ways[ends[:WAYS] == name]
        broken = np.concatenate([way, np.full((len(way), 1, 2), np.nan)], 1).reshape(-1, 2)
        figure.add_scatter(
            x=broken[:, 0], y=broken[:, 1], mode="lines", opacity=0.5, line={"width": 0.75, "color": colour}, **quiet
        )  # fmt: skip
    for (name, colour), dots in zip(ENDS.items(), first["data"][2:], strict=True):
        share = (ends == name).mean()
        figure.add_scatter(
            **dots, mode="markers", name=f"{name}, {100 * share:.1f} %", hoverinfo="skip",
            marker={"size": 4, "color": colour}, showlegend=bool(share),
        )  # fmt: skip
    figure.frames = frames
    return figure.update_layout(first["layout"])


def responsibilities(result: MixtureGuidance) -> go.Figure:
    """The class's modes on the way: the mean responsibility of the weak one, and how many samples are settled."""
    figure = _over_noise("mean, and share of samples", result)
    for run, name, dash in _runs(result):
        r = array(run.responsibilities)[:, :-1]
        if r.shape[-1] > 1:
            _add(figure, result, r[..., 1].mean(0), f"weak mode, {name}", ORANGE, dash)
        _add(figure, result, (r.max(-1) > 0.99).mean(0), f"settled, {name}", BLUE, dash)
    return figure.update_yaxes(range=[0, 1.12])


def growth(result: MixtureGuidance, request: GuideMixture) -> go.Figure:
    """Guided over plain: the mean norm, and for a constant gamma the root mean square distance to (1 + gamma) times the class's mean.

    Norm growth and initialization bias of Jin, Shi and Gu (https://arxiv.org/abs/2509.22007), theorem 3.2: at much noise guided
    samples are the nearer ones to that point.
    """
    figure = _over_noise("guided over without guidance", result)
    _add(figure, result, array(result.guided.norm / result.plain.norm)[:-1], "mean norm |x|", BLUE, "solid")
    if request.weight == "constant":  # the theorem's point; another weight has none
        far = (1 + request.gamma) * array(class_mean(result))
        guided, plain = (
            np.sqrt(((array(run.x)[:, :-1] - far) ** 2).sum(-1).mean(0))
            for run in (result.guided, result.plain)
        )
        _add(figure, result, guided / plain, "distance to (1 + γ) μ_c", ORANGE, "solid")
    return figure.add_hline(1, line={"width": 1, "dash": "dot"})


def bias(result: MixtureGuidance, request: GuideMixture) -> go.Figure:
    """How far guidance moves the mean of the samples along the class's mean, in units of it, with its 95 % interval."""
    mean = array(class_mean(result)).astype(float)
    size = float(np.linalg.norm(mean))
    title, unit = "shift of the mean, over |μ_c|", mean / max(size, 1e-9) ** 2
    if size < 1e-9:  # two equal modes around the origin
        title, unit = "shift of the mean along the modes", np.array([1.0, 0.0])
    figure = _over_noise(title, result)
    moved = (
        array(result.guided.x - result.plain.x)[:, :-1].astype(float) @ unit
    )  # same noises: what they share cancels
    middle, error = moved.mean(0), 1.96 * moved.std(0, ddof=1) / len(moved) ** 0.5
    line(
        figure, array(result.levels)[:-1], middle, "mean shifted by guidance", middle - error, middle + error
    )
    if size >= 1e-9 and request.weight == "constant":
        figure.add_hline(
            request.gamma, line={"width": 1, "dash": "dot"}, annotation_text="to (1 + γ) μ_c", annotation_position="bottom left"
        )  # fmt: skip
    return figure


def class_mean(result: MixtureGuidance) -> Tensor:
    masses = result.masses[result.own]
    return masses @ result.means[result.own] / masses.sum()


def _frames(
    result: MixtureGuidance, request: GuideMixture, field: str, run: Paths, ends: np.ndarray
) -> Iterator[dict]:
    shown, n = result.portrait, len(result.portrait.levels)
    points, side = array(shown.points), round(len(shown.points) ** 0.5)
    step = EVERY * 2 * float(points.max()) / (side - 1)
    some = np.arange(len(points)).reshape(side, side)[::EVERY, ::EVERY].flatten()
    steps = np.log(array(result.levels)[:-1])
    for i in reversed(range(n)):
        vectors = _field(shown, request, field, i)
        size = np.linalg.norm(vectors, axis=1)
        longest = float(size.max())
        drawn = size > max(FAINT * longest, 1e-9)
        vectors = np.where(drawn[:, None], vectors * LONGEST * step / max(longest, 1e-12), np.nan)
        x = array(run.x)[:DOTS, np.abs(steps - np.log(float(shown.levels[i]))).argmin()]
        words = f"longest arrow {longest:.2g}" if longest > 1e-9 else "0 everywhere"
        yield {
            "data": [
                {"type": "heatmap", "z": array(shown.divergence[i]).reshape(side, side)},
                arrows(points[some], vectors[some]),
                *({"x": x[ends[:DOTS] == name, 0], "y": x[ends[:DOTS] == name, 1]} for name in ENDS),
            ],
            "traces": [0, 1, *range(2 + len(ENDS), 2 + 2 * len(ENDS))],
            "layout": {"annotations": [_note(words)]},
        }


def arrows(points: np.ndarray, vectors: np.ndarray) -> dict[str, np.ndarray]:
    """x and y of a line that draws an arrow (P, 2) from every point, and lifts the pen between them; none where it is NaN."""
    points = np.where(np.isnan(vectors), np.nan, points)
    tips, across = points + vectors, np.stack([-vectors[:, 1], vectors[:, 0]], 1)
    left, right = (tips - 0.3 * vectors + side * 0.17 * across for side in (1, -1))
    way = np.stack([points, tips, left, tips, right, np.full_like(tips, np.nan)], 1).reshape(-1, 2)
    return {"x": way[:, 0], "y": way[:, 1]}


def _field(shown: Portrait, request: GuideMixture, field: str, i: int) -> np.ndarray:
    """Vectors (P, 2) at noise level i: where a denoised point would go, or what is added to it."""
    if field in ("mean_shift", "positive", "negative"):
        return array(getattr(shown, field)[i])
    conditional, unconditional = shown.conditional[i], shown.unconditional[i]
    if field == "difference":
        return array(conditional - unconditional)
    if field == "guided":
        gamma = float(request.weights()(shown.levels.double())[i])
        return array(conditional + gamma * (conditional - unconditional) - shown.points)
    return array((conditional if field == "conditional" else unconditional) - shown.points)


def ends_of(result: MixtureGuidance, request: GuideMixture, run: Paths) -> np.ndarray:
    """(S,) names in ENDS: the class's own mode that each sample ends in, or another class where that is more probable."""
    end, means, masses = array(run.x)[:, -1].astype(float), array(result.means), array(result.masses)
    settled = array(run.responsibilities)[:, -1].argmax(-1)
    square = ((end[:, None] - means) ** 2).sum(-1)
    likeliest = (np.log(masses) - square / (2 * request.variance)).argmax(1)
    names = np.where(settled == 0, "strong mode", "weak mode")
    return np.where(np.isin(likeliest, array(result.own)), names, "another class")


def _inside(result: MixtureGuidance, run: Paths) -> np.ndarray:
    """Ways (WAYS, n, 2) from the portrait's noisiest level on: before, they are far outside of it."""
    late = array(result.levels) <= 1.01 * float(result.portrait.levels.max())
    return array(run.x)[:WAYS, late]


def _circles(result: MixtureGuidance, request: GuideMixture) -> list[dict]:
    """Every mode at two of its deviations; the class's own are drawn through."""
    own, radius, shapes = set(result.own.tolist()), 2 * request.variance**0.5, []
    for k, (x, y) in enumerate(result.means.tolist()):
        corners = {"x0": x - radius, "x1": x + radius, "y0": y - radius, "y1": y + radius}
        kind = {"width": 1.5, "color": BLUE} if k in own else {"width": 1, "color": GREY, "dash": "dot"}
        shapes.append({"type": "circle", "layer": "below", "line": kind} | corners)
    return shapes


def _note(words: str) -> dict:
    place = {
        "x": 0.01,
        "y": 0.01,
        "xref": "x domain",
        "yref": "y domain",
        "xanchor": "left",
        "yanchor": "bottom",
    }
    return place | {
        "text": words,
        "showarrow": False,
        "bgcolor": "rgba(255,255,255,.6)",
        "font": {"size": 11, "color": "#333"},
    }


def _runs(result: MixtureGuidance) -> tuple[tuple[Paths, str, str], ...]:
    return (result.guided, "guided", "solid"), (result.plain, "γ = 0", "dash")


def _over_noise(title: str, result: MixtureGuidance) -> go.Figure:
    """An empty figure over the noise level: the stages of the guided samples as bands, and the slider's place."""
    low, high = float(result.levels[-2]), float(result.levels[0])
    bands = _bands(result.guided.stages, low, high)
    middle = levels(result)[len(result.portrait.levels) // 2]
    figure = base("noise level σ / α", title, xaxis_type="log", shapes=bands + marker(middle))
    figure.frames = [go.Frame(layout={"shapes": bands + marker(level)}) for level in levels(result)]
    return figure.update_xaxes(range=[np.log10(low), np.log10(high)])


def _bands(stages: Stages, low: float, high: float) -> list[dict]:
    """A rectangle for each stage, the cleanest first."""
    bounds = [level for level in (stages.separation, stages.resolved) if level and low < level < high]
    edges = [low, *sorted(bounds), high]
    shapes = []
    for a, b in pairwise(edges):
        stage = stages.at((a * b) ** 0.5)
        fill = f"rgba(128,128,128,{0.16 if stage == 2 else 0.05})"
        label = {"text": NAMES[stage], "textposition": "top center", "font": {"size": 12}}
        place = {"type": "rect", "xref": "x", "yref": "paper", "x0": a, "x1": b, "y0": 0, "y1": 1}
        shapes.append(place | {"layer": "below", "line": {"width": 0}, "fillcolor": fill, "label": label})
    return shapes


def _add(
    figure: go.Figure, result: MixtureGuidance, y: np.ndarray, name: str, colour: str, dash: str
) -> None:
    line(figure, array(result.levels)[:-1], y, name)
    figure.data[-1].update(line={"color": colour, "dash": dash})
