"""The guidance tab's view of real networks: samples with and without guidance from the same noises, at every step."""

from dataclasses import replace
from typing import Any

import gradio as gr

from backend.experiments.guidance_weight import PredictGuidance, Prediction, predict
from backend.experiments.guide import GuideNetwork, NetworkGuidance, Underway
from backend.experiments.guide_film import Film, FilmGuidance
from backend.guidance.class_statistics import LABELS
from backend.inference.cache import find
from components import guidance_compare_panel as compare
from components import guidance_network_figures as figures
from components.action import Action, plain, unchanged
from components.chart import Chart
from components.guidance_numbers import numbers
from components.guidance_pictures import file_uri, sheet_uri
from components.scrubber import Scene, Scenes, Scrubber
from components.sheets import Sheet, Sheets
from components.weight_row import weight_row

FIRST = GuideNetwork()  # what the panel opens with
OPENING = FilmGuidance(
    FIRST.model, FIRST.to_query()
)  # the same in short; its result is shipped in assets/runs
GROUP = "network"
SECONDS = {"avatars": 0.008, "digits": 0.0015}  # of one sample in one pass, on one core
MODELS = [("drawn faces", "avatars"), ("digits", "digits")]
MODES = [
    ("the network's D_c − D_u", "network"),
    ("linear direction instead", "linear"),
    ("D_c − D_u, split along the linear parts", "projected"),
]
PARTS = {
    "mean_shift": "add mean shift",
    "positive": "add Pos-CPC",
    "negative": "add Neg-CPC",
    "residual": "add residual",
}
WEIGHTS = ["constant", "interval", "triangle", "early", "late", "linear", "curve"]
FORESEEN = ("model", "label", "rule", "mode", "mean_shift", "positive", "negative", "solver", "steps")
NOT_CFG = "This is what CFG would do; the rule that is chosen is another."
SOLVERS = [("ODE (DPM-Solver++ 2M)", "ode"), ("SDE (ancestral)", "sde")]
NAMES = ("without guidance (γ = 0)", "guided, same noises")
CHARTS = {
    "norms": "Size of D_c − D_u and of its linear parts over the noise level",
    "agreement": "Cosine with the linear difference, and the share that is not linear, over the noise level",
    "multiples": "Multiples of the linear parts that come nearest to D_c − D_u",
    "plane": "Ways of the posterior mean in the plane of the class's leading principal components",
    "weight": "The weight at every step",
}


def build() -> list[Action]:
    """The panel and, below it, settings side by side; returns their actions."""
    film: Film | None = find(OPENING)
    sheets, scenes, words, table, *drawn = (
        _drawn(film.guidance, FIRST, _projected(film)) if film else [(), None, "", "", *[None] * len(CHARTS)]
    )
    with gr.Column(elem_id="network"):
        gr.Markdown("### Networks: what guidance adds to a U-Net, and how much of it two Gaussians explain")
        with gr.Row():
            with gr.Column(scale=4, min_width=330):
                fields = _controls()
                others = {name: fields[name] for name in FORESEEN}
                row = weight_row(
                    "network-by",
                    WEIGHTS,
                    FIRST,
                    drawn=_foreseen(FIRST.values()),
                    predict=_foreseen,
                    others=others,
                )
                fields |= row.fields
                with gr.Row(equal_height=True):
                    button = gr.Button(
                        _words(FIRST.model, FIRST.samples, FIRST.steps),
                        variant="primary",
                        elem_id="network-run",
                    )
                    keep = gr.Button("Keep beside the others", elem_id="network-keep")
            with gr.Column(scale=6, min_width=330):
                pictures = Sheets(sheets, group=GROUP, elem_id="network-sheets")
                scrubber = Scrubber(scenes, group=GROUP, label="noise level", elem_id="network-step")
                said = gr.HTML(words, elem_id="network-words")
        charts = [
            Chart(figure, group=GROUP, elem_id=f"network-{name}", label=title, render=False, height=300)
            for figure, (name, title) in zip(drawn, CHARTS.items(), strict=True)
        ]
        numbers_ = gr.HTML(table, elem_classes="grid", elem_id="network-numbers", render=False)
        outputs = [pictures, scrubber, said, numbers_, *charts]
        guiding = Action(
            GuideNetwork, fields, lambda event, request: _shown(event, request, outputs), outputs,
            read=row.read, answer=_answer, name="guide",
        )  # fmt: skip
        with gr.Row():
            with gr.Column(min_width=330):
                numbers_.render()
            with gr.Column(min_width=330):
                charts[-1].render()
        for pair in (charts[:2], charts[2:4]):
            with gr.Row(elem_classes="charts"):
                for chart in pair:
                    chart.render()

    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    model, label, samples, steps = (fields[name] for name in ("model", "label", "samples", "steps"))
    guiding.on(button.click)
    model.input(lambda name: LABELS[name][1], model, label, **quiet)
    model.change(lambda name: gr.Dropdown(choices=list(LABELS[name])), model, label, **quiet)
    asked = [model, samples, steps]
    gr.on([one.change for one in asked], _words, asked, button, trigger_mode="always_last", **quiet)
    return [guiding, compare.build(fields, keep, seconds, row.read)]


def _controls() -> dict[str, gr.components.Component]:
    """Field name -> component."""
    with gr.Row(equal_height=True):
        fields: dict[str, Any] = {
            "model": gr.Dropdown(
                MODELS, value=FIRST.model, label="network", min_width=120, elem_id="network-model"
            ),
            # Of a link's class the choices come a moment later than the class itself.
            "label": gr.Dropdown(
                list(LABELS[FIRST.model]), value=FIRST.label, label="class", min_width=90, allow_custom_value=True,
                elem_id="network-label",
            ),
        }  # fmt: skip
    fields["rule"] = gr.Dropdown(
        [(title, name) for name, title in compare.RULES.items()],
        value=FIRST.rule,
        label="rule, with the network's difference",
        elem_id="network-rule",
    )
    fields["mode"] = gr.Radio(MODES, value=FIRST.mode, label="what is added to D_c", elem_id="network-mode")
    with gr.Row(equal_height=True):
        fields |= {
            name: gr.Checkbox(getattr(FIRST, name), label=words, min_width=130, elem_id=f"network-{name}")
            for name, words in PARTS.items()
        }
    with gr.Row(equal_height=True):
        fields["solver"] = gr.Dropdown(
            SOLVERS, value=FIRST.solver, label="solver", min_width=160, elem_id="network-solver"
        )
        fields["seed"] = gr.Number(
            FIRST.seed, label="seed", precision=0, minimum=0, min_width=80, elem_id="network-seed"
        )
    with gr.Row(equal_height=True):
        for name, words, low, high in (("samples", "samples", 2, 64), ("steps", "steps", 3, 60)):
            fields[name] = gr.Slider(
                low, high, getattr(FIRST, name), step=1, label=words, min_width=140, elem_id=f"network-{name}"
            )
    return fields


def _foreseen(values: dict[str, Any]) -> Prediction:
    """What the linear model makes of these settings of GuideNetwork; those of samples count for nothing. Raises BadInput."""
    known = PredictGuidance().values()
    parts = [name for name in PARTS if name in known]
    asked = {name: value for name, value in values.items() if name in known and name != "mode"}
    if values["mode"] == "network":  # the whole difference, whatever is ticked
        asked |= dict.fromkeys(parts, True)
    found = predict(PredictGuidance.parse(asked | {"data": values["model"], "sampler": "network"}))
    return found if values["rule"] == "cfg" else replace(found, note=NOT_CFG)


def _words(model: str, samples: int, steps: int) -> str:
    guided, without = (
        seconds(GuideNetwork(model, gamma=g, samples=samples, steps=steps)) for g in (1.0, 0.0)
    )
    return f"Run (about {max(1, round(guided + without))} s)"


def seconds(request: GuideNetwork) -> float:
    """About what the guided run takes on one core: in every step each sample under the class, and with guidance under none."""
    passes = 1 if request == request.plain() else 2
    return passes * request.samples * request.steps * SECONDS[request.model]


def _shown(event: Any, request: GuideNetwork, outputs: list[gr.components.Component]) -> list[Any]:
    if isinstance(event, Underway):
        words = f"x̂₀ after step {event.step} of {event.steps}"
        return [[Sheet(words, [sheet_uri(event.x0_hat)])], *(unchanged(one) for one in outputs[1:])]
    return _show(event, request)


def _show(result: NetworkGuidance, request: GuideNetwork) -> list[Any]:
    return _drawn(result, request, _sheets(result))


def _drawn(result: NetworkGuidance, request: GuideNetwork, sheets: list[Sheet]) -> list[Any]:
    """Everything but the sheets is made of what a film keeps too."""
    return [
        sheets,
        _scenes(result, request),
        _sentences(result),
        _table(result),
        *(getattr(figures, name)(result) for name in CHARTS),
    ]


def _sheets(result: NetworkGuidance) -> list[Sheet]:
    """Of every scene: the samples, and the means on the way to them, last step first."""
    return [
        Sheet(name, [sheet_uri(states) for states in run.states.flip(0)])
        for name, run in zip(NAMES, (result.plain, result.guided), strict=True)
    ]


def _projected(film: Film) -> list[Sheet]:
    """The sheets of a film."""
    return [
        Sheet(name, [file_uri(file.numpy().tobytes()) for file in reversed(files)])
        for name, files in zip(NAMES, (film.plain, film.guided), strict=True)
    ]


def _scenes(result: NetworkGuidance, request: GuideNetwork) -> Scenes:
    levels = result.guided.readings.level.tolist()
    steps = [Scene(f"x̂₀ of step {i}, σ/α = {level:.3g}") for i, level in enumerate(levels, 1)]
    return Scenes(request.key(), [Scene("the samples"), *reversed(steps)])


def _sentences(result: NetworkGuidance) -> str:
    facts = (
        f"Area of the weight over log noise: {result.area:.3g}. The linear parts are those of {result.pictures:,} pictures of the "
        f"class in {result.d} dimensions; chance alone makes {result.chance:.0%} of the squared mean difference."
    )
    notes = [f"<b>{result.idle}</b>" if result.idle else "", facts, result.note]
    return "".join(f"<p>{note}</p>" for note in notes if note)


def _table(result: NetworkGuidance) -> str:
    runs = (result.plain, result.guided)
    columns = [numbers(run.quality, run.evaluations, run.asked, run.seconds) for run in runs]
    body = "".join(
        f"<tr><th scope='row'>{name}</th>{''.join(f'<td>{column[name]}</td>' for column in columns)}</tr>"
        for name in columns[0]
    )
    head = "<th></th>" + "".join(f"<th scope='col'>{name}</th>" for name in NAMES)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _answer(result: NetworkGuidance) -> dict[str, Any]:
    """For a program: everything but the states, which are too many to send."""
    found = plain(result)
    for run in ("guided", "plain"):
        del found[run]["states"]
    return found
