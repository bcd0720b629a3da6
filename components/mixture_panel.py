"""The spectrum tab's view of the truth: mixtures of low-rank Gaussians, whose spectra are known, on the same axes."""

import math

import gradio as gr
import plotly.graph_objects as go

from backend.experiments.spectrum_survey import Survey, suited
from backend.experiments.spectrum_theory import ExploreMixture, MixtureSpectra
from backend.inference import catalogue
from backend.inference.cache import find
from backend.jacobian.spectrum import CUTS
from components.action import Action
from components.chart import Chart
from components.figures import base, line
from components.spectrum_figures import BAND, CUT_NAMES

FIRST = ExploreMixture()
SHOWN = 14  # singular values drawn
NETWORKS = ("digits", "patches", "small_faces")  # whose spectra are known whole


def build() -> Action:
    """The panel; returns its action."""
    shipped: MixtureSpectra | None = find(FIRST)
    drawn = _show(shipped, FIRST) if shipped else [None, None, ""]
    with gr.Column(elem_id="mixture"):
        gr.Markdown("### The truth: a mixture of K low-rank Gaussians (MoLRG); K = 1 is a Gaussian")
        with gr.Row(equal_height=True):
            d = gr.Slider(4, 128, FIRST.d, step=1, label="dimension d", min_width=160, elem_id="mixture-d")
            k = gr.Slider(
                1, 10, FIRST.components, step=1, label="subspaces K", min_width=160, elem_id="mixture-K"
            )
            r = gr.Slider(
                1, 32, FIRST.r, step=1, label="dimension r of each", min_width=160, elem_id="mixture-r"
            )
        with gr.Row(elem_classes="charts"):
            ranks = Chart(drawn[0], elem_id="mixture-ranks", label="Rank ratios of the mixture against noise")
            values = Chart(
                drawn[1], elem_id="mixture-values", label="Singular values of the mixture against noise"
            )
        words = gr.Markdown(drawn[2], elem_id="mixture-words")
        action = Action(
            ExploreMixture, {"d": d, "components": k, "r": r}, _show, [ranks, values, words], name="mixture"
        )
    action.on(d.input, k.input, r.input)
    return action


def _show(result: MixtureSpectra, request: ExploreMixture) -> list:
    return [_ranks(result), _values(result, request), _words(result, request)]


def _ranks(result: MixtureSpectra) -> go.Figure:
    figure = base("noise level t", "rank / d", yaxis_rangemode="tozero")
    for cut, ratio in zip(CUTS, result.rank_ratio, strict=True):
        low, high = (ratio.quantile(q, dim=1) for q in BAND)
        line(figure, result.t, ratio.mean(1), CUT_NAMES[cut], low, high)
    line(figure, result.t, result.effective.mean(1) / result.s.shape[-1], "effective rank (Roy, Vetterli)")
    at_hand = {card.name for card in catalogue.cards()}
    for name in NETWORKS:  # on the same axes, for who asks for them in the legend
        survey: Survey | None = find(suited(name)) if name in at_hand else None
        if survey is not None:
            line(
                figure, survey.t, survey.rank_ratio(min(CUTS)).mean(1), f"network of {name.replace('_', ' ')}"
            )
            figure.data[-1].update(visible="legendonly", line={"dash": "dot"})
    for level, name in ((result.one, "r / d"), (result.all, "K r / d")):
        figure.add_hline(
            level, line={"width": 1, "dash": "dot"}, annotation_text=name, annotation_position="top left"
        )
    return figure


def _values(result: MixtureSpectra, request: ExploreMixture) -> go.Figure:
    """Of the first point: lines by automatic differentiation, circles the closed form."""
    figure = base("noise level t", "singular value s", showlegend=False, yaxis_type="log")
    for i in range(min(SHOWN, request.components * request.r)):
        line(figure, result.t, result.s[:, 0, i], f"s{i + 1}")
        colour = figure.data[-1].line.color
        figure.add_scatter(
            x=result.t.numpy()[::3], y=result.s_closed_form[::3, 0, i].numpy(), mode="markers", showlegend=False,
            marker={"size": 5, "color": colour, "symbol": "circle-open"}, name=f"s{i + 1}, closed form",
        )  # fmt: skip
    top = float(result.s[:, 0].max())
    return figure.update_yaxes(range=[math.log10(top) - 4, math.log10(top) + 0.2])


def _words(result: MixtureSpectra, request: ExploreMixture) -> str:
    return (
        f"With little noise x_t tells its subspace and the rank is r = {request.r}; with much noise the mean averages over "
        f"all {request.components}, and it is K r = {request.components * request.r}. Automatic differentiation and the "
        f"closed form differ by at most {result.difference:.0e} of s₁."
    )
