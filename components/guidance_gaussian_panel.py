"""The guidance tab's first view: guidance taken apart, live, where everything is known: two Gaussians."""

import time
from typing import Any

import gradio as gr
from torch import Tensor

from backend.experiments.guidance_theory import GaussianGuidance, GuideGaussian
from backend.experiments.guidance_weight import PredictGuidance, Prediction, of_run
from backend.guidance.class_statistics import LABELS
from backend.inference.cache import find
from components import guidance_figures as figures
from components import guidance_strip_panel
from components.action import Action, ask, endpoint, plain
from components.chart import Chart
from components.pictures import data_uri, sheet
from components.weight_control import Drawn
from components.weight_row import weight_row

FIRST = GuideGaussian(gamma=1.0)  # what the tab opens with; its result is shipped in assets/runs
FORESEEN = PredictGuidance(gamma=FIRST.gamma)  # likewise, so that the page starts without reading digits
SHOWN = 16  # samples drawn
DATA = [
    ("digits", "digits"),
    ("drawn faces, 32 components", "avatars"),
    ("two Gaussians by sliders", "sliders"),
]
PARTS = {"mean_shift": "mean shift", "positive": "Pos-CPC", "negative": "Neg-CPC"}
WEIGHTS = ["constant", "interval", "triangle", "early", "late", "linear", "switch", "curve"]
METHODS = [
    ("on the class: CFG, γ = 0 is conditional only", "cfg"),
    ("on all data: classifier guidance", "classifier"),
]
SOLVERS = [("ODE (Heun)", "ode"), ("ODE (Euler)", "ddim"), ("SDE", "sde")]
CHARTS = {
    "variances": "Variance along the principal components of the class",
    "projections": "Samples along the leading contrastive components and the mean difference",
    "plane": "Samples in the plane of the leading principal components",
    "norms": "Size of the parts over the noise level",
}


def build() -> tuple[Action, Action]:
    """The panel; returns its actions."""
    shipped: GaussianGuidance | None = find(FIRST)
    drawn = _show(shipped, FIRST, find(FORESEEN)) if shipped else ["", "", "", Drawn(), *[None] * len(CHARTS)]
    asked = gr.State(0)
    gr.Markdown(
        "### Two Gaussians: a class and all data. What guidance adds is the sum of three parts, exactly"
    )
    with gr.Row():
        with gr.Column(scale=4, min_width=330, elem_id="guide"):
            with gr.Row(equal_height=True, elem_id="parts"):
                parts = {
                    field: gr.Checkbox(True, label=name, min_width=90, elem_id=field)
                    for field, name in PARTS.items()
                }
            row = weight_row("guide", WEIGHTS, FIRST, drawn=drawn[3].prediction)
            with gr.Row(equal_height=True):
                data = gr.Dropdown(DATA, value=FIRST.data, label="data", min_width=150, elem_id="guide-data")
                label = gr.Dropdown(
                    list(LABELS[FIRST.data]),
                    value=FIRST.label,
                    label="class",
                    min_width=90,
                    elem_id="guide-label",
                )
            method = gr.Radio(METHODS, value=FIRST.method, label="base", elem_id="guide-method")
            with gr.Row(equal_height=True):
                solver = gr.Dropdown(
                    SOLVERS, value=FIRST.solver, label="solver", min_width=120, elem_id="guide-solver"
                )
                steps = gr.Slider(
                    2, 200, FIRST.steps, step=1, label="steps", min_width=180, elem_id="guide-steps"
                )
                seed = gr.Number(
                    FIRST.seed, label="seed", precision=0, minimum=0, min_width=80, elem_id="guide-seed"
                )
            with gr.Row(visible=False, equal_height=True) as sliders:
                ratio = gr.Slider(
                    0.05, 20, FIRST.ratio, step=0.05, label="λ_c / λ_u", min_width=120, elem_id="guide-ratio"
                )
                distance = gr.Slider(
                    0,
                    10,
                    FIRST.distance,
                    step=0.1,
                    label="distance of means",
                    min_width=120,
                    elem_id="guide-distance",
                )
                angle = gr.Slider(
                    -90, 90, FIRST.angle, step=1, label="angle", min_width=120, elem_id="guide-angle"
                )
        with gr.Column(scale=6, min_width=330):
            samples = gr.HTML(drawn[0], elem_id="guided")
            words = gr.HTML(drawn[1], elem_id="guide-words")
            fields = {
                **row.fields, "data": data, "label": label, "method": method, "solver": solver, "steps": steps, "seed": seed,
                "ratio": ratio, "distance": distance, "angle": angle, **parts,
            }  # fmt: skip
            charts = [
                Chart(figure, elem_id=f"guide-{name}", label=words_, render=False, height=300)
                for figure, (name, words_) in zip(drawn[4:], CHARTS.items(), strict=True)
            ]
            components = gr.HTML(drawn[2], elem_id="guide-components", render=False)
            guiding = Action(
                GuideGaussian,
                fields,
                _show,
                [samples, words, components, row.control, *charts],
                read=row.read,
                name="guidance_theory",
            )
    with gr.Row(elem_classes="charts"):
        for chart in charts[:2]:
            chart.render()
    components.render()
    with gr.Row(elem_classes="charts"):
        for chart in charts[2:]:
            chart.render()
    strip = guidance_strip_panel.build(fields, row.read)

    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    live = (*parts.values(), label, method, solver, steps, seed, ratio, distance, angle)
    guiding.on(asked.change, *row.triggers, *(control.input for control in live))
    gr.api(endpoint(PredictGuidance, plain, ask, "guide_weight"), api_name="guide_weight")
    data.input(_other_data, data, [label, asked], **quiet)
    data.change(lambda name: gr.Row(visible=name == "sliders"), data, sliders, **quiet)
    return guiding, strip


def _other_data(name: str) -> tuple[gr.Dropdown, int]:
    labels = list(LABELS.get(name, ("–",)))
    usual = FIRST.label if FIRST.label in labels else labels[min(1, len(labels) - 1)]
    return gr.Dropdown(choices=labels, value=usual, visible=name in LABELS), time.time_ns()


def _show(
    result: GaussianGuidance, request: GuideGaussian, prediction: Prediction | None = None
) -> list[Any]:
    return [
        _samples(result),
        _words(result),
        _components(result),
        Drawn(prediction or of_run(request, result)),
        figures.variances(result),
        figures.histograms(result),
        figures.plane(result),
        figures.norms(result),
    ]


def _samples(result: GaussianGuidance) -> str:
    """Two sheets of samples from the same noises; nothing for points that are no pictures."""
    if result.samples.dim() != 4:
        return ""
    cells = "".join(
        f"<figure><img src='{data_uri(sheet(pictures[:SHOWN], 4))}' alt='{name}'><figcaption>{name}</figcaption></figure>"
        for name, pictures in (("without guidance", result.plain), ("guided, same noises", result.samples))
    )
    return f"<div class='sheets'>{cells}</div>"


def _words(result: GaussianGuidance) -> str:
    modes = result.modes
    trace = float(modes.predicted.variance.sum() / modes.variance_c.sum())
    plain = float(modes.predicted_plain.variance.sum() / modes.variance_c.sum())
    moved = modes.predicted.mean - modes.predicted_plain.mean
    shift = float(moved.norm() / modes.delta.norm().clamp_min(1e-12))
    facts = (
        f"Total variance over the class's own: <b>{trace:.3g}</b>, without guidance {plain:.3f} (what is missing is the "
        f"solver's). The mean moved by {shift:.3g} of the distance between the means."
    )
    notes = [facts, *(f"<b>{note}</b>" for note in (result.idle, result.unstable) if note), result.note]
    return "".join(f"<p>{note}</p>" for note in notes if note)


def _components(result: GaussianGuidance) -> str:
    """Means and components as pictures."""
    parts = result.components
    if parts.mean_c.dim() != 3:
        return ""
    rows = [
        ("mean of the class", parts.mean_c), ("mean of all", parts.mean_u), ("difference", _scaled(parts.difference)),
        *((f"PC {i + 1}", _scaled(v)) for i, v in enumerate(parts.principal)),
        *((f"Pos-CPC {i + 1}", _scaled(v)) for i, v in enumerate(parts.positive)),
        *((f"Neg-CPC {i + 1}", _scaled(v)) for i, v in enumerate(parts.negative)),
    ]  # fmt: skip
    tiles = "".join(
        f"<figure><img src='{data_uri(picture)}' alt='{name}'><figcaption>{name}</figcaption></figure>"
        for name, picture in rows
    )
    share = (
        f"The class's four leading principal components hold {100 * parts.pattern:.0f} % of the difference of the means; their "
        f"mean squared cosine with those of all data is {parts.overlap:.2f}."
    )
    return f"<div class='tiles'>{tiles}</div><p>{share}</p>"


def _scaled(vector: Tensor) -> Tensor:
    """Grey where it is 0."""
    return vector / vector.abs().max().clamp_min(1e-12)
