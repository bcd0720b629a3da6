"""The watermark tab's last step: how often the chain of attacks leaves the mark to be found, and how often one is seen that is not there."""

from collections.abc import Mapping
from typing import Any

import gradio as gr
import numpy as np
import plotly.graph_objects as go

from backend.experiments.watermark_rates import EvaluateWatermark, Rates
from backend.metrics.intervals import Estimate
from backend.request import BadInput
from backend.watermark.attacks import parse
from backend.watermark.network_attacks import evaluations
from components.action import Action
from components.chart import Chart
from components.figures import PALETTE, array, base

BLUE, ORANGE, GREY = PALETTE[0], PALETTE[1], PALETTE[6]
BINS = 30
SECONDS = 0.3  # a face of each kind, on two quiet cores
EVALUATION = 0.007  # seconds that a network takes for one more
EMPTY = (
    "<p>Marked and unmarked pictures of the model's data go through the chain above, all of them: a detector whose unmarked pictures stay clean "
    "may owe its success to the attack.</p>"
)


def build(settings: Mapping[str, Any], strength: gr.Slider, chain: gr.Textbox) -> Action:
    """The panel. settings: of the mark, by field of Marking."""
    gr.Markdown("### 4 Rates: how sure is the detector?")
    with gr.Row():
        with gr.Column(scale=4, min_width=330):
            pictures = gr.Slider(16, 200, 48, step=1, label="pictures of each kind", elem_id="wm-rates-count")
            button = gr.Button(_label(48), variant="primary", elem_id="wm-rates-run")
            words = gr.HTML(EMPTY, elem_id="wm-rates-words")
        with gr.Column(scale=6, min_width=330):
            inputs = {**settings, "strength": strength, "chain": chain, "pictures": pictures}
            roc = Chart(None, elem_id="wm-roc", height=300, label="ROC curve", render=False)
            spread = Chart(
                None, elem_id="wm-spread", height=300, label="Scores after the chain", render=False
            )
            rating = Action(EvaluateWatermark, inputs, _show, [words, roc, spread], name="watermark_rates")
            with gr.Row(elem_classes="charts"):
                roc.render()
                spread.render()
    rating.on(button.click)
    gr.on(
        [pictures.change, chain.change], _label, [pictures, chain], button, show_progress="hidden", api_visibility="private"
    )  # fmt: skip
    return rating


def _label(pictures: int, chain: str = "") -> str:
    """How long it takes, at the default steps; a chain that cannot be read yet counts as none."""
    try:
        by_network = evaluations(parse(chain))
    except BadInput:
        by_network = 0
    seconds = pictures * (SECONDS + 2 * EVALUATION * by_network)
    return f"Measure (about {max(5, 5 * round(seconds / 5))} s)"


def _show(result: Rates, request: EvaluateWatermark) -> list[Any]:
    return [_words(result, request), roc(result), spread(result)]


def _words(result: Rates, request: EvaluateWatermark) -> str:
    n = len(result.unmarked)
    rows = [("AUC", _shown(result.auc)), ("PSNR to the twin", f"{result.psnr.value:.1f} dB")]
    rows += [
        (f"found at {level:.1%} false alarms", _shown(found))
        for level, found in zip(result.levels, result.tpr, strict=True)
    ]
    rows += [
        (f"found at {level:.1%} false alarms", f"out of reach: it takes {round(1 / level) - 1:,} unmarked pictures, there are {n}")
        for level in result.beyond
    ]  # fmt: skip
    cells = "".join(
        f"<tr{' class=beyond' if value.startswith('out') else ''}><td>{name}</td><td>{value}</td></tr>"
        for name, value in rows
    )
    return f"<p>After <code>{request.chain or 'nothing'}</code>, {n} marked and {n} unmarked pictures, 95 % intervals:</p><table>{cells}</table>"


def _shown(found: Estimate) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def roc(result: Rates) -> go.Figure:
    """Found against seen where there is none; to the left of the grey edge there are too few unmarked pictures."""
    figure = base("false alarms", "marks found", showlegend=False)
    reach = 1 / (len(result.unmarked) + 1)
    figure.add_scatter(
        x=np.round(array(result.false), 4),
        y=np.round(array(result.true), 4),
        line={"shape": "hv", "color": ORANGE},
    )
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"width": 1, "dash": "dash", "color": GREY})
    edge = {"type": "rect", "x0": 0, "x1": reach, "y0": 0, "y1": 1, "line": {"width": 0}}
    figure.update_layout(shapes=[edge | {"fillcolor": GREY, "opacity": 0.25}])
    figure.update_xaxes(range=[0, 1])
    return figure.update_yaxes(range=[0, 1.02])


def spread(result: Rates) -> go.Figure:
    """The scores of both."""
    figure = base("best z", "pictures", barmode="overlay", bargap=0)
    both = np.concatenate([array(result.marked), array(result.unmarked)])
    edges = np.linspace(both.min(), max(both.max(), both.min() + 1e-6), BINS + 1)
    for name, values, colour in (("unmarked", result.unmarked, BLUE), ("marked", result.marked, ORANGE)):
        counts, _ = np.histogram(array(values), edges)
        figure.add_bar(
            x=np.round((edges[1:] + edges[:-1]) / 2, 3),
            y=counts,
            name=name,
            marker={"color": colour},
            opacity=0.7,
        )
    return figure
