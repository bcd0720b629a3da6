"""The guidance tab's view of how linear a network is: where the linear regime is, and what it explains of guidance."""

from typing import Any

import gradio as gr

from backend.experiments.guide_linearity import CompareWithLinear, Departure, Linearity
from backend.guidance.class_statistics import LABELS
from backend.inference.cache import find
from backend.request import BadInput
from components import guidance_linear_figures as figures
from components.action import Action, unchanged
from components.chart import Chart

FIRST = CompareWithLinear()  # what the panel opens with; its result is shipped in assets/runs
SHIPPED = {"avatars": FIRST, "digits": CompareWithLinear(model="digits", label="3")}
MODELS = [("drawn faces", "avatars"), ("digits", "digits")]
SECONDS = {"avatars": 0.03, "digits": 0.004}  # a sample and noise level, on 2 cores
CHARTS = {
    "gain": "What the network gains over its linear model",
    "error": "Error of the network over that of its linear model",
    "relative": "Distance of the network from its linear model",
    "sizes": "Size of the means and of their difference",
    "cosine": "Cosine of the network's difference and the linear one",
    "apart": "Distance of the network's difference from the linear one",
    "explained": "Share of the network's difference in the linear parts",
}


def build() -> Action:
    """The panel; returns its action."""
    shipped: Linearity | None = find(FIRST)
    drawn = _show(shipped, FIRST) if shipped else ["", *[None] * len(CHARTS)]
    gr.Markdown("### How linear is the network? Its distance from the Gaussians' posterior mean over noise")
    words = gr.HTML(drawn[0], elem_id="linear-words")
    with gr.Row(equal_height=True):
        model = gr.Dropdown(MODELS, value=FIRST.model, label="model", min_width=120, elem_id="linear-model")
        label = gr.Dropdown(
            list(LABELS[FIRST.model]),
            value=FIRST.label,
            label="class",
            allow_custom_value=True,  # a link may name a class of the other model before that has been chosen
            min_width=110,
            elem_id="linear-label",
        )
        samples = gr.Slider(
            8, 400, FIRST.samples, step=1, label="samples", min_width=150, elem_id="linear-samples"
        )
        levels = gr.Slider(
            3, 60, FIRST.levels, step=1, label="noise levels", min_width=150, elem_id="linear-levels"
        )
        button = gr.Button(
            _button(FIRST.model, FIRST.samples, FIRST.levels), min_width=190, elem_id="linear-run"
        )
    charts = [
        Chart(figure, elem_id=f"linear-{name}", label=words_, height=280, render=False)
        for figure, (name, words_) in zip(drawn[1:], CHARTS.items(), strict=True)
    ]
    comparing = Action(
        CompareWithLinear,
        {"model": model, "label": label, "samples": samples, "levels": levels},
        _show,
        [words, *charts],
        name="guide_linearity",
    )
    for row in (charts[:3], charts[3:6]):
        with gr.Row(elem_classes="charts"):
            for chart in row:
                chart.render()
    charts[6].render()

    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    comparing.on(button.click)
    model.change(_labels, [model, label], label, **quiet)
    gr.on(
        [model.change, samples.change, levels.change], _button, [model, samples, levels], button, **quiet
    )  # fmt: skip

    def known(name: str, label: str, samples: int, levels: int) -> list[Any]:
        """What is at hand of other settings; else everything stays, with its own name above it."""
        return _known(name, label, samples, levels) or [unchanged(c) for c in (words, *charts)]

    gr.on(
        [model.input, label.input, samples.input, levels.input],
        known,
        [model, label, samples, levels],
        [words, *charts],
        trigger_mode="always_last",
        **quiet,
    )
    return comparing


def _labels(model: str, label: str) -> gr.Dropdown:
    """The classes of a model; the one that was chosen, if it is among them."""
    usual = label if label in LABELS[model] else SHIPPED[model].label
    return gr.Dropdown(choices=list(LABELS[model]), value=usual)


def _button(model: str, samples: int, levels: int) -> str:
    seconds = 5 * round(SECONDS[model] * samples * levels / 5)
    return f"Compare (about {seconds} s)" if seconds > 5 else "Compare (a few seconds)"


def _known(model: str, label: str, samples: int, levels: int) -> list[Any] | None:
    label = label if label in LABELS[model] else SHIPPED[model].label  # as the dropdown is about to show
    try:
        request = CompareWithLinear.parse(
            {"model": model, "label": label, "samples": samples, "levels": levels}
        )
    except BadInput:
        return None
    found = find(request)
    return _show(found, request) if found is not None else None


def _show(result: Linearity, request: CompareWithLinear) -> list[Any]:
    return [
        _words(result, request),
        *(figures.departure(result, measure) for measure in ("gain", "error", "relative")),
        figures.sizes(result),
        figures.cosine(result),
        figures.apart(result),
        figures.explained(result),
    ]


def _words(result: Linearity, request: CompareWithLinear) -> str:
    of = dict((name, title) for title, name in MODELS)[request.model]
    first, last = float(result.explained.value[0]), float(result.explained.value[-1])
    worse = result.level[result.apart.value > 1]
    direction = (
        f"At σ/α = {float(worse.max()):.3g} and at {len(worse) - 1} cleaner levels the linear difference is farther from it than nothing. "
        if len(worse)
        else "Nowhere is the linear difference farther from it than nothing. "
    )
    facts = (
        f"<b>{of}, class “{request.label}”.</b> {_regime('D_c', result.conditional)} {_regime('D_u', result.unconditional)} "
        f"<i>Linear regime</i> is our definition: from the lowest of the {len(result.level)} noise levels from which on up the gain over the linear model is "
        "below 0.05; the paper names no bound. It is shaded for D_c, and begins at the dashed line for D_u."
    )
    parts = (
        f"Of the network's D_c − D_u the linear parts explain {100 * first:.0f} % at σ/α = {float(result.level[0]):.3g} and "
        f"{100 * last:.1f} % at {float(result.level[-1]):.3g} (chance {100 * result.chance:.2g} %); multiples are fitted to each picture. {direction}"
        f"Bands are 95 % intervals over {result.conditional.pictures} pictures of the class and {result.unconditional.pictures} of all; the linear model has "
        f"{result.d} of {result.dimensions:,} dimensions, from {result.conditional.of:,} and {result.unconditional.of:,} others."
    )
    return "".join(f"<p>{words}</p>" for words in (facts, parts, result.note) if words)


def _regime(name: str, found: Departure) -> str:
    if found.regime is None:
        return f"{name} is in its linear regime at none of these noise levels."
    return f"{name} is in its linear regime from σ/α = {found.regime:.3g} on up."
