"""Below the two Gaussians: the same noises at twelve weights, and what becomes of mean and variance along them."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from backend.experiments.guidance_strip import GammaStrip, SweepGamma
from backend.inference.cache import find
from components.action import Action
from components.chart import Chart
from components.figures import base, line
from components.pictures import data_uri, sheet

FIRST = SweepGamma()  # its result is shipped in assets/runs


def build(
    inputs: Mapping[str, gr.components.Component], read: Callable[[dict[str, Any]], dict[str, Any]]
) -> Action:
    """The panel; returns its action.

    Args:
        inputs: field name -> component, of GuideGaussian. read: what makes fields of their values.
    """
    shipped: GammaStrip | None = find(FIRST)
    with gr.Row():
        with gr.Column(scale=6, min_width=330):
            button = gr.Button("Strip over γ: the same noises at twelve weights", elem_id="gamma-strip-run")
            pictures = gr.HTML(_pictures(shipped) if shipped else "", elem_id="gamma-strip")
        with gr.Column(scale=4, min_width=330):
            chart = Chart(
                _figure(shipped) if shipped else None,
                elem_id="gamma-moments",
                label="Variance and mean over γ",
                height=240,
            )
    action = Action(
        SweepGamma,
        inputs,
        lambda result, request: [_pictures(result), _figure(result)],
        [pictures, chart],
        read=lambda values: {name: v for name, v in read(values).items() if name != "gamma"},
        name="guidance_strip",
    )
    action.on(button.click)
    return action


def _pictures(result: GammaStrip) -> str:
    """A row for each noise, a column for each weight; nothing for points that are no pictures."""
    if result.pictures.dim() != 5:
        return ""
    n = len(result.gamma)
    page = sheet(result.pictures.transpose(0, 1).flatten(0, 1), n)
    marks = "".join(f"<span>{gamma:.1f}</span>" for gamma in result.gamma.tolist())
    return f"<figure class='strip'><img src='{data_uri(page)}' alt='samples over γ'><figcaption>{marks}</figcaption></figure>"


def _figure(result: GammaStrip) -> go.Figure:
    figure = base("guidance weight γ", "over the class's own", yaxis_type="log")
    line(figure, result.gamma, result.variance.clamp_min(1e-9), "total variance, exact")
    line(figure, result.gamma, result.shift.clamp_min(1e-9), "way of the mean from μ_c, over |μ_c − μ_u|")
    low, top = float(result.variance.min()), float(max(result.variance.max(), result.shift.max()))
    return figure.update_yaxes(range=[math.log10(min(max(low, 1e-3), 0.1)), math.log10(max(top, 2)) + 0.1])
