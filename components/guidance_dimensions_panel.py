"""The guidance tab's view of many dimensions: what guidance distorts, and what becomes of that as d and K grow."""

from dataclasses import replace
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from backend.experiments.guidance_dimension import GuideHighDimension, HighDimension
from backend.experiments.guidance_weight import Prediction, of_dimension
from backend.guidance import mixtures
from backend.inference.cache import find
from backend.request import require
from components import guidance_dimensions_figures as figures
from components.action import Action
from components.chart import Chart
from components.scrubber import Scene, Scenes, Scrubber
from components.weight_row import weight_row

FIRST = (
    GuideHighDimension()
)  # what the panel opens with; its result is shipped in assets/runs, as are those of other classes
GROUP = "potential"
CLASSES = [(words, kind) for kind, words in figures.KINDS.items()]
AGAINST = [(words, field) for field, words in figures.AGAINST.items()]
WEIGHTS = ["constant", "interval", "triangle", "early", "late", "linear", "switch", "curve"]
SOLVERS = [("ODE (Heun)", "ode"), ("SDE (ancestral)", "sde")]
DIMENSIONS = (2, 4, 8, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256)
CHARTS = {
    "w2": "Distance to the true class",
    "overshoot": "Overshoot of the mean",
    "across": "Variance across the class direction",
    "along": "Variance along the class direction",
    "separability": "Separability of the classes",
    "transitions": "Noise level at which classes part",
}
AT_ONCE = 16  # dimensions that are foreseen while a control moves; the time grows faster than their cube
STATE, PRODUCT = 2.5e-3, 6e-8  # seconds of a state, and of a sample, class and dimension in it, on one core
NOTE = (
    "Bars are 95 % intervals (jackknife). Dotted lines: the guided samples of other numbers of classes under the same settings, where "
    "they have been run. W₂ is between Gaussians of the samples' moments along and across m and the class. Below: the effective "
    "potential that a sample of one of two classes ±m feels along m. All data have one minimum before the transition and two after it."
)


def build() -> Action:
    """The panel; returns its action."""
    shipped: HighDimension | None = find(FIRST)
    scenes, potential, words, _ = _show(shipped, FIRST) if shipped else [None, None, "", FIRST]
    drawn = _redrawn(FIRST, "dimensions")
    with gr.Column(elem_id="guide-dimensions"):
        gr.Markdown("### Many dimensions: what guidance distorts, and what becomes of it as d and K grow")
        with gr.Row():
            with gr.Column(scale=6, min_width=330):
                top = gr.Column()
                others = _controls()
                with top:
                    row = weight_row(
                        "many-by",
                        WEIGHTS,
                        FIRST,
                        drawn=_foreseen(FIRST.values()),
                        predict=_foreseen,
                        others=others,
                    )
            with gr.Column(scale=4, min_width=330):
                button = gr.Button(
                    _label(FIRST.dimensions, FIRST.classes, FIRST.rate, FIRST.power, FIRST.samples, FIRST.steps),
                    variant="primary", elem_id="many-run",
                )  # fmt: skip
                said = gr.HTML(words, elem_id="many-words")
                against = gr.Radio(AGAINST, value="dimensions", label="against", elem_id="many-against")
        scrubber = Scrubber(
            scenes, group=GROUP, label="noise", elem_id="many-level", render=False
        )  # fmt: skip
        well = Chart(
            potential, group=GROUP, elem_id="many-potential", label="Effective potential along m", height=300,
            render=False,
        )  # fmt: skip
        shown = gr.State(FIRST)
        guiding = Action(
            GuideHighDimension,
            row.fields | others,
            _show,
            [scrubber, well, said, shown],
            read=lambda values: row.read(_read(values)),
            name="guide_dimension",
        )
        charts = [
            Chart(figure, elem_id=f"many-{name}", label=title, height=280, render=False)
            for figure, (name, title) in zip(drawn, CHARTS.items(), strict=True)
        ]
        for three in (charts[:3], charts[3:]):
            with gr.Row(elem_classes="charts"):
                for chart in three:
                    chart.render()
        gr.Markdown(NOTE)
        scrubber.render()
        well.render()

    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    guiding.on(button.click)
    gr.on(
        [shown.change, against.input], _redrawn, [shown, against], charts, trigger_mode="always_last", **quiet
    )  # fmt: skip
    costly = [others[name] for name in ("dimensions", "classes", "rate", "power", "samples", "steps")]
    gr.on([one.change for one in costly], _label, costly, button, **quiet)
    return guiding


def _controls() -> dict[str, gr.components.Component]:
    """Field name -> component, of all but the weight."""

    def slider(name: str, low: float, high: float, step: float, words: str) -> gr.Slider:
        usual = getattr(FIRST, name)
        return gr.Slider(low, high, usual, step=step, label=words, min_width=140, elem_id=f"many-{name}")

    def number(name: str, words: str, least: float, whole: bool = False) -> gr.Number:
        return gr.Number(
            getattr(FIRST, name), label=words, minimum=least, precision=0 if whole else None, min_width=90,
            elem_id=f"many-{name}",
        )  # fmt: skip

    def dropdown(name: str, choices: list, words: str) -> gr.Dropdown:
        usual = getattr(FIRST, name)
        return gr.Dropdown(choices, value=usual, label=words, min_width=130, elem_id=f"many-{name}")

    fields: dict[str, gr.components.Component] = {}
    with gr.Row(equal_height=True):
        fields["dimensions"] = gr.Dropdown(
            list(DIMENSIONS), value=list(FIRST.dimensions), label="dimensions d", multiselect=True,
            allow_custom_value=True, min_width=220, elem_id="many-dimensions",
        )  # fmt: skip
        fields["classes"] = dropdown("classes", CLASSES, "number of classes K")
        fields["rate"] = number("rate", "rate a", 0)
        fields["power"] = number("power", "power p", 0)
    with gr.Row(equal_height=True):
        fields["solver"] = dropdown("solver", SOLVERS, "solver")
        fields["variance"] = slider("variance", 0.01, 1, 0.01, "variance of a class")
        fields["seed"] = number("seed", "seed", 0, whole=True)
    with gr.Row(equal_height=True):
        fields["steps"] = slider("steps", 2, 400, 1, "steps")
        fields["samples"] = slider("samples", 20, 2000, 10, "samples")
    return fields


def _read(values: dict[str, Any]) -> dict[str, Any]:
    """Dimensions may have been typed. Raises BadInput."""
    return values | {"dimensions": _whole(values["dimensions"])}


def _foreseen(values: dict[str, Any]) -> Prediction:
    """What Gaussians would do under these settings in the smallest of the dimensions, or in fewer. Raises BadInput."""
    request = GuideHighDimension.parse(_read(values))
    smallest = min(request.dimensions)
    d = min(smallest, AT_ONCE)
    why = "" if d == smallest else ", because more dimensions would take too long"
    return replace(of_dimension(replace(request, dimensions=(d,))), note=f"This is for d = {d}{why}.")


def _whole(dimensions: Any) -> tuple[int, ...]:
    try:
        return tuple(int(d) for d in dimensions or ())
    except (TypeError, ValueError):
        require(False, "Every dimension must be a whole number.")


def _label(dimensions: Any, classes: str, rate: float, power: float, samples: int, steps: int) -> str:
    """Of the button; without seconds where there are none to tell, as while something is being typed."""
    try:
        dimensions = [d for d in map(int, dimensions) if d > 0]
        products = sum(d * mixtures.number(classes, d, rate, power)[0] for d in dimensions)
        seconds = 2 * steps * (STATE * len(dimensions) + PRODUCT / 2 * samples * products)
    except (TypeError, ValueError, OverflowError):
        return "Run"
    return f"Run (about {max(1, round(seconds))} s)"


def _show(result: HighDimension, request: GuideHighDimension) -> list[Any]:
    scenes = [Scene(words) for words in figures.captions(result, request)]
    return [
        Scenes(request.key(), scenes),
        figures.potential(result, request),
        _words(result, request),
        request,
    ]


def _redrawn(request: GuideHighDimension, against: str) -> list[go.Figure | None]:
    """Of what is shown; the charts stay where that is no longer at hand."""
    result: HighDimension | None = find(request)
    if result is None:
        return [None] * len(CHARTS)
    kinds = [kind for kind in figures.KINDS if kind != request.classes]
    others = {kind: found for kind in kinds if (found := find(replace(request, classes=kind))) is not None}
    measures = [figures.measure(result, name, against, others) for name in figures.MEASURES]
    return [*measures, figures.transitions(result, against)]


def _words(result: HighDimension, request: GuideHighDimension) -> str:
    classes = ", ".join(f"{K:,}" for K in result.classes.tolist())
    worst = int(result.guided.w2.argmax())
    facts = (
        f"{request.samples:,} samples in each of d = {', '.join(map(str, request.dimensions))}, of K = {classes} classes with |m| = √d. Guidance takes the "
        f"classes furthest from the truth in d = {request.dimensions[worst]}: W₂²/d is {float(result.guided.w2[worst]):.3g}, without guidance "
        f"{float(result.plain.w2[worst]):.2g}. The classifier that knows all classes puts {100 * float(result.guided.accuracy.min()):.1f} % or more of the guided "
        f"samples into their own, {100 * float(result.plain.accuracy.min()):.1f} % or more of the others."
    )
    notes = [f"<b>{result.idle}</b>" if result.idle else "", result.note, facts]
    return "".join(f"<p>{note}</p>" for note in notes if note)
