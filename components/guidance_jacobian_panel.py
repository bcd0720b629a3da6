"""The guidance tab's view of one picture where guidance is not linear: eigenvectors of the Jacobian of D_c - D_u."""

from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import plotly.graph_objects as go
from torch import Tensor

from backend.experiments.guide_jacobian import LARGEST_K, Components, JacobianSplit, SplitJacobian
from backend.guidance.class_statistics import LABELS
from backend.inference.cache import find
from components.action import Action
from components.chart import Chart, Point
from components.figures import PALETTE, array, base
from components.page import Bar
from components.pictures import MINUS, data_uri
from components.scrubber import Picture, Scene, Scenes, Scrubber

FIRST = SplitJacobian()  # what the panel opens with; its result is shipped in assets/runs
OWN = [("the picture's own", "")]
GAMMAS = (0, 1, 2, 3, 4, 6, 8, 11, 15)  # the paper's pictures are at 15
GUIDED = {
    "positive": "D_c + γ Pos-CPC",
    "negative": "D_c + γ Neg-CPC",
    "both": "D_c + γ both",
    "difference": "CFG: D_c + γ (D_c − D_u)",
}
SIGNS = {"Pos-CPC": ("positive", PALETTE[1]), "Neg-CPC": ("negative", PALETTE[0])}
AGAIN = "Take a picture apart first: what is shown is no longer at hand."
STYLE = (Path(__file__).parent / "guidance_jacobian.css").read_text()


def build(bar: Bar) -> Action:
    """The panel; returns its action."""
    shipped: JacobianSplit | None = find(FIRST)
    drawn = _show(shipped, FIRST)[:-1] if shipped else [None, "", "", "", None]
    shown = gr.State(FIRST)
    gr.Markdown(
        "### One picture, where guidance is not linear: eigenvectors of the Jacobian of $D_c - D_u$",
        latex_delimiters=[{"left": "$", "right": "$", "display": False}],
    )
    with gr.Row():
        with gr.Column(scale=5, min_width=330):
            values = Chart(drawn[0], elem_id="jacobian-values", label="Eigenvalues", height=300)
            chosen = gr.HTML(drawn[1], css_template=STYLE, elem_id="jacobian-chosen")
        with gr.Column(scale=6, min_width=330):
            tiles = gr.HTML(drawn[2], css_template=STYLE, elem_id="jacobian-vectors")
            words = gr.HTML(drawn[3], elem_id="jacobian-words")
    means = Scrubber(drawn[4], group="jacobian", label="guidance weight γ", elem_id="jacobian-means")
    with gr.Row(equal_height=True):
        label = gr.Dropdown(
            [*OWN, *((name, name) for name in LABELS[FIRST.model])],
            value=FIRST.label,
            label="class",
            allow_custom_value=True,  # a link may name a class of the other model before that has been chosen
            min_width=150,
            elem_id="jacobian-label",
        )
        k = gr.Slider(
            1, LARGEST_K, FIRST.k, step=1, label="components of each sign", min_width=180, elem_id="jacobian-k"
        )  # fmt: skip
        button = gr.Button("Take this picture apart (about 10 s)", min_width=220, elem_id="jacobian-run")
    fields = {"model": bar.model, "image": bar.image, "t": bar.t, "label": label, "k": k}
    splitting = Action(
        SplitJacobian, fields, _show, [values, chosen, tiles, words, means, shown], name="guide_jacobian"
    )
    splitting.on(button.click)
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    values.select(_touched, [values, shown], chosen, **quiet)
    bar.model.change(_labels, [bar.model, label], label, **quiet)
    return splitting


def _labels(model: str, label: str) -> gr.Dropdown:
    """The classes of a model, none for those that have none here; the one that was chosen, if it is among them."""
    names = LABELS.get(model, ())
    return gr.Dropdown(
        choices=[*OWN, *((name, name) for name in names)], value=label if label in names else ""
    )


def _show(result: JacobianSplit, request: SplitJacobian) -> list[Any]:
    name = "Pos-CPC" if len(result.positive.values) else "Neg-CPC"
    return [
        _values(result),
        _chosen(result, name, 0),
        _tiles(result),
        _words(result),
        _means(result, request),
        request,
    ]


def _values(result: JacobianSplit) -> go.Figure:
    """Bars: eigenvalues of this picture, strongest first; points: those of the linear model at this noise level."""
    figure = base("component", "eigenvalue of J_c − J_u", barmode="overlay")
    for name, (field, colour) in SIGNS.items():
        half: Components = getattr(result, field)
        ranks = np.arange(1, len(half.values) + 1)
        figure.add_bar(x=ranks, y=array(half.values), name=name, marker={"color": colour})
    for name, (field, colour) in SIGNS.items():
        half = getattr(result, field)
        figure.add_scatter(
            x=np.arange(1, len(half.linear) + 1), y=array(half.linear), mode="markers", name=f"{name} of the linear model",
            marker={"symbol": "diamond", "size": 9, "color": colour, "line": {"width": 1.5, "color": "white"}},
        )  # fmt: skip
    return figure.update_xaxes(dtick=1 if len(result.positive.values) <= 10 else 2)


def _touched(point: Point, request: SplitJacobian) -> str:
    """A bar of either sign: its eigenvector."""
    result = find(request)
    names = list(SIGNS)
    if result is None or not 0 <= point.curve < 2 * len(names):
        raise gr.Error(AGAIN)
    name = names[point.curve % len(names)]
    if not 0 <= point.index < len(getattr(result, SIGNS[name][0]).values):
        raise gr.Error("This picture has no component of that rank.")
    return _chosen(result, name, point.index)


def _chosen(result: JacobianSplit, name: str, index: int) -> str:
    half: Components = getattr(result, SIGNS[name][0])
    if index >= len(half.values):
        return ""
    cosine = float(half.cosine[index])
    beside = (
        f"Its cosine with the linear model's {name} {index + 1} is {cosine:.2f}"
        if cosine == cosine
        else f"The linear model has no {name} {index + 1}"
    )
    facts = (
        f"<b>{name} {index + 1}</b>: eigenvalue {_number(half.values[index], 3)}. {beside}, and {100 * float(half.within[index]):.0f} % of it lies in the span "
        f"of the {len(half.linear)} leading ones (chance {100 * half.chance:.2g} %)."
    )
    picture = data_uri(_scaled(half.vectors[index].float()))
    return f"<div class='chosen'><img src='{picture}' alt='{name} {index + 1}'><p>{facts}</p></div>"


def _tiles(result: JacobianSplit) -> str:
    """The eigenvectors of each sign in a row, behind x_t and D_c."""
    rows = []
    for name, (field, _) in SIGNS.items():
        half: Components = getattr(result, field)
        rows.append(
            [
                (f"{name[:3]} {i}: {_number(value, 2)}", _scaled(vector.float()))
                for i, (value, vector) in enumerate(zip(half.values, half.vectors, strict=True), 1)
            ]
        )
    pictures = [
        ("x_t", _scaled(result.x_t.float())),
        ("D_c", result.conditional.float()),
        ("D_c − D_u", _scaled(result.difference.float())),
    ]
    return "".join(
        "<div class='tiles'>"
        + "".join(
            f"<figure><img src='{data_uri(picture)}' alt='{name}'><figcaption>{name}</figcaption></figure>"
            for name, picture in row
        )
        + "</div>"
        for row in (pictures, *rows)
    )


def _words(result: JacobianSplit) -> str:
    leading = float(
        max(half.residual.max() for half in (result.positive, result.negative) if len(half.residual))
    )
    k = len(result.positive.values) + len(result.negative.values)
    facts = (
        f"Class “{result.label}” at σ/α = {result.level:.3g}. The {k} components hold {100 * result.held:.0f} ± {100 * result.held_error:.1f} % of the energy of the "
        f"symmetrised Jacobian; |J − Jᵀ| / |J| = {result.asymmetry:.2f} ± {result.asymmetry_error:.2f}, where exact posterior means have 0 and "
        f"a random matrix √2. Largest residual of a pair {leading:.0e}; {result.products} Jacobian products."
    )
    heuristic = (
        "Guidance by them is a heuristic by its authors’ own word: γ V Λ Vᵀ D_c is added to D_c. Its cosine with what CFG adds, D_c − D_u, is "
        f"{_number(result.cosine_positive, 2)} for Pos-CPC and {_number(result.cosine_negative, 2)} for Neg-CPC. It would be exact where D(x) = J x; here "
        f"|J x − (D_c − D_u)| is {result.homogeneity:.2f} of |D_c − D_u|."
    )
    return "".join(f"<p>{words}</p>" for words in (facts, heuristic, result.note) if words)


def _means(result: JacobianSplit, request: SplitJacobian) -> Scenes:
    """One step's guided posterior mean, a scene for each gamma."""
    scenes = [
        Scene(
            f"γ = {gamma}",
            [Picture(name, data_uri(result.guided(gamma, part))) for part, name in GUIDED.items()],
        )
        for gamma in GAMMAS
    ]
    return Scenes(request.key(), scenes)


def _scaled(picture: Tensor) -> Tensor:
    """Grey where it is 0."""
    return picture / picture.abs().max().clamp_min(1e-12)


def _number(value: Tensor | float, digits: int) -> str:
    return f"{float(value):.{digits}f}".replace("-", MINUS)
