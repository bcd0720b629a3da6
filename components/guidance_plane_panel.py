"""The guidance tab's view of an exact mixture in the plane: which modes guidance loses, what it narrows, and at which noise."""

from typing import Any

import gradio as gr
import plotly.graph_objects as go

from backend.experiments.guidance_mixture import GuideMixture, MixtureGuidance
from backend.experiments.guidance_weight import Prediction, of_mixture
from backend.inference.cache import find
from backend.metrics.intervals import Estimate
from components import guidance_plane_figures as figures
from components.action import Action
from components.chart import Chart
from components.scrubber import Scene, Scenes, Scrubber
from components.weight_row import weight_row

FIRST = GuideMixture()  # what the panel opens with; its result is shipped in assets/runs
GROUP = "plane"
WEIGHTS = ["constant", "interval", "triangle", "early", "late", "linear", "switch", "curve"]
UNCONDITIONAL = [
    ("the mixture of all classes", "mixture"),
    ("one broad Gaussian of its moments", "broad"),
]
SOLVERS = [("ODE (Heun)", "ode"), ("SDE (ancestral)", "sde")]
CHARTS = {
    "responsibilities": "Responsibilities of the class's modes over noise",
    "growth": "Norm growth and initialization bias over noise",
    "bias": "Mean of the samples over noise",
}
NOTE = (
    "Arrows: the chosen field, drawn to the longest of each noise level. Shading: where guidance draws neighbours together (blue) and "
    "apart (orange), by the divergence of D_c − D_u. Circles: two deviations of every mode, the class's own in blue. Lines: ways of "
    f"{figures.WAYS} samples; points: {figures.DOTS} samples at this noise level, coloured by the mode that they end in, with the shares of all."
)


def build() -> Action:
    """The panel; returns its action."""
    shipped: MixtureGuidance | None = find(FIRST)
    scenes, table, words, *drawn = (
        _show(shipped, FIRST)[:-1] if shipped else [None, "", "", *[None] * len(CHARTS)]
    )
    both = _portraits(FIRST, "difference")
    with gr.Column(elem_id="plane"):
        gr.Markdown("### A mixture in the plane: which modes guidance loses, and at which noise")
        with gr.Row():
            with gr.Column(scale=4, min_width=330):
                top = gr.Column()
                others = _controls()
                with top:
                    row = weight_row(
                        "plane-by",
                        WEIGHTS,
                        FIRST,
                        drawn=_foreseen(FIRST.values()),
                        predict=_foreseen,
                        others=others,
                    )
            with gr.Column(scale=6, min_width=330):
                numbers = gr.HTML(table, elem_classes="grid", elem_id="plane-numbers")
                said = gr.HTML(words, elem_id="plane-words")
        shown = gr.State(FIRST)
        charts = [
            Chart(figure, group=GROUP, elem_id=f"plane-{name}", label=title, render=False, height=300)
            for figure, (name, title) in zip(drawn, CHARTS.items(), strict=True)
        ]
        scrubber = Scrubber(scenes, group=GROUP, label="noise level", elem_id="plane-level", render=False)
        guiding = Action(
            GuideMixture, row.fields | others, _show, [scrubber, numbers, said, *charts, shown], read=row.read,
            name="guide_mixture",
        )  # fmt: skip
        with gr.Row(equal_height=True):
            field = gr.Dropdown(
                [(words, name) for name, words in figures.FIELDS.items()],
                value="difference", label="arrows", min_width=220, scale=3, elem_id="plane-field",
            )  # fmt: skip
            with gr.Column(scale=7, min_width=330):
                scrubber.render()
        with gr.Row(elem_classes="charts"):
            portraits = [
                Chart(figure, group=GROUP, elem_id=f"plane-{name}", label=f"Samples {title}", height=480)
                for figure, (name, title) in zip(both, figures.RUNS.items(), strict=True)
            ]
        gr.Markdown(NOTE)
        with gr.Row(elem_classes="charts"):
            for chart in charts:
                chart.render()

    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    guiding.on(*row.triggers, *(control.input for control in others.values()))
    gr.on(
        [shown.change, field.input], _portraits, [shown, field], portraits, trigger_mode="always_last", **quiet
    )  # fmt: skip
    return guiding


def _controls() -> dict[str, gr.components.Component]:
    """Field name -> component, of all but the weight."""

    def slider(name: str, low: float, high: float, step: float, words: str) -> gr.Slider:
        usual = getattr(FIRST, name)
        return gr.Slider(low, high, usual, step=step, label=words, min_width=140, elem_id=f"plane-{name}")

    def number(name: str, words: str) -> gr.Number:
        usual = getattr(FIRST, name)
        return gr.Number(usual, label=words, minimum=0, precision=0, min_width=90, elem_id=f"plane-{name}")

    def dropdown(name: str, choices: list, words: str) -> gr.Dropdown:
        usual = getattr(FIRST, name)
        return gr.Dropdown(choices, value=usual, label=words, min_width=130, elem_id=f"plane-{name}")

    fields: dict[str, gr.components.Component] = {}
    with gr.Row(equal_height=True):
        fields["weak"] = slider("weak", 0, 0.5, 0.01, "weight of the weak mode")
        fields["distance"] = slider("distance", 0, 8, 0.1, "distance of the two modes")
    with gr.Row(equal_height=True):
        fields["spacing"] = slider("spacing", 0.25, 4, 0.05, "spacing of the other classes")
        fields["side"] = slider("side", 2, 9, 1, "sites along a side of their grid")
    fields["unconditional"] = gr.Radio(
        UNCONDITIONAL, value=FIRST.unconditional, label="for all data, D_u is of", elem_id="plane-unconditional"
    )  # fmt: skip
    with gr.Row(equal_height=True):
        fields["solver"] = dropdown("solver", SOLVERS, "solver")
        fields["seed"] = number("seed", "seed")
        fields["label"] = number("label", "class (0 has two modes)")
    with gr.Row(equal_height=True):
        fields["variance"] = slider("variance", 0.01, 1, 0.01, "variance of a mode")
    with gr.Row(equal_height=True):
        fields["steps"] = slider("steps", 2, 400, 1, "steps")
        fields["samples"] = slider("samples", 20, 2000, 10, "samples")
    return fields


def _foreseen(values: dict[str, Any]) -> Prediction:
    """What Gaussians of the same means and covariances would do under these settings of GuideMixture. Raises BadInput."""
    return of_mixture(GuideMixture.parse(values))


def _show(result: MixtureGuidance, request: GuideMixture) -> list[Any]:
    return [
        _scenes(result, request),
        _table(result),
        _words(result),
        figures.responsibilities(result),
        figures.growth(result, request),
        figures.bias(result, request),
        request,
    ]


def _portraits(request: GuideMixture, field: str) -> list[go.Figure | None]:
    """Of what is shown; the charts stay where that is no longer at hand."""
    result: MixtureGuidance | None = find(request)
    if result is None:
        return [None] * len(figures.RUNS)
    return [figures.portrait(result, request, field, name) for name in figures.RUNS]


def _scenes(result: MixtureGuidance, request: GuideMixture) -> Scenes:
    stages = result.guided.stages
    captions = [
        f"σ/α = {level:.3g}, stage {figures.NAMES[stages.at(level)]}" for level in figures.levels(result)
    ]
    return Scenes(request.key(), [Scene(words) for words in captions])


def _table(result: MixtureGuidance) -> str:
    """What became of the class, beside the run without guidance."""
    runs = (result.plain, result.guided)
    rows = (
        ("share that ends in the weak mode", [run.weak for run in runs]),
        ("share that ends in the class", [run.own for run in runs]),
        ("variance within modes, over the true one", [run.within for run in runs]),
    )
    body = "".join(
        f"<tr><th scope='row'>{name}</th>{''.join(f'<td>{_estimate(one)}</td>' for one in found)}</tr>"
        for name, found in rows
    )
    head = "<th></th><th scope='col'>without guidance (γ = 0)</th><th scope='col'>guided</th>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _estimate(one: Estimate | None) -> str:
    return "–" if one is None else f"<b>{one.value:.3f}</b> [{one.low:.3f}, {one.high:.3f}]"


def _words(result: MixtureGuidance) -> str:
    stages, plain = result.guided.stages, result.plain.stages
    facts = (
        f"{result.guided.own.n:,} samples, {result.classes} classes; brackets are 95 % intervals. Area of the weight over log noise: "
        f"{result.area:.3g}. The class's modes part at σ/α = {_level(stages.separation)}; the samples are settled in one from "
        f"{_level(stages.resolved)} on, without guidance from {_level(plain.resolved)}."
    )
    notes = [f"<b>{note}</b>" for note in (result.idle, result.unstable) if note]
    return "".join(f"<p>{note}</p>" for note in (*notes, facts, stages.definition))


def _level(level: float | None) -> str:
    return "–" if level is None else f"{level:.3g}"
