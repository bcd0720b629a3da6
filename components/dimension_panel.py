"""The spectrum tab's table: how low the rank gets for each model, beside the intrinsic dimension of its data."""

import math

import gradio as gr

from backend.experiments.spectrum_dimension import Dimensions, EstimateDimension
from backend.experiments.spectrum_survey import Survey, suited
from backend.inference import catalogue
from backend.inference.cache import find
from backend.jacobian.spectrum import CUTS
from backend.metrics.intervals import Estimate
from components.action import Action

HEAD = (
    "model", "d", *(f"lowest rank ratio, {100 * cut:.4g} %" for cut in CUTS), "rank there", "at t",
    "TwoNN", "maximum likelihood", "local PCA", "known factors",
)  # fmt: skip
NOTE = (
    "Estimates of the dimension are too low in many dimensions: of 1,000 points uniform in a cube of 26 dimensions they are "
    "17 to 18. Local PCA cannot exceed the number of neighbours."
)


def build() -> Action:
    """The panel; returns its action."""
    with gr.Column(elem_id="dimensions"):
        gr.Markdown("### How many dimensions: the lowest rank of each network beside that of its data")
        gr.HTML(_table(), elem_classes="grid")
        gr.Markdown(NOTE)
        with gr.Row(equal_height=True):
            data = gr.Dropdown(
                [("drawn faces", "avatars"), ("digits", "digits"), ("patches", "patches"), ("small faces", "small_faces")],
                value="avatars", label="data", min_width=140, elem_id="dimension-data",
            )  # fmt: skip
            n = gr.Slider(50, 2000, 1000, step=50, label="pictures", min_width=140, elem_id="dimension-n")
            neighbours = gr.Slider(
                2, 100, 20, step=1, label="neighbours", min_width=140, elem_id="dimension-k"
            )
            button = gr.Button("Estimate", elem_id="dimension-run", min_width=140)
        answer = gr.HTML(elem_classes="grid", elem_id="dimension-answer")
        fields = {"data": data, "n": n, "neighbours": neighbours}
        action = Action(EstimateDimension, fields, lambda r, q: [_estimates(r)], [answer], name="dimension")
    action.on(button.click)
    return action


def _table() -> str:
    """Of what is shipped for each model."""
    rows = ""
    for card in catalogue.cards():
        survey: Survey | None = find(suited(card.name))
        if survey is None:
            continue
        known: Dimensions | None = find(EstimateDimension(card.data)) if card.name != "gaussian" else None
        lowest, where = zip(*(_lowest(survey, cut) for cut in CUTS), strict=True)
        bound = survey.s.shape[-1]
        ratios = (f"{r:.4f}" if math.isfinite(r) else f"> {bound / survey.d:.4f}" for r in lowest)
        cells = [card.title, f"{survey.d:,}", *ratios]
        if math.isfinite(lowest[0]):
            cells += [f"{lowest[0] * survey.d:.0f}", f"{where[0]:.2f}"]
        else:
            cells += [f"above {bound}", "–"]
        if known:
            cells += [_words(getattr(known, name)) for name in ("two_nn", "maximum_likelihood", "local_pca")]
            cells += [str(known.factors) if known.factors else "–"]
        rows += _row(cells)
    return _framed(HEAD, rows) if rows else ""


def _lowest(survey: Survey, cut: float) -> tuple[float, float]:
    """The lowest mean rank ratio over pictures, and the noise level t where it is."""
    mean = survey.rank_ratio(cut).mean(1)
    i = int(mean.argmin())
    return float(mean[i]), float(survey.t[i])


def _estimates(found: Dimensions) -> str:
    head = ("pictures", "d", "TwoNN", "maximum likelihood", "local PCA", "known factors")
    estimates = [_words(getattr(found, name)) for name in ("two_nn", "maximum_likelihood", "local_pca")]
    return _framed(head, _row([f"{found.n:,}", f"{found.d:,}", *estimates, str(found.factors or "–")]))


def _words(estimate: Estimate) -> str:
    return f"{estimate.value:.1f} [{estimate.low:.1f}, {estimate.high:.1f}]"


def _row(cells: list[str]) -> str:
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _framed(head: tuple[str, ...], rows: str) -> str:
    names = "".join(f"<th scope='col'>{name}</th>" for name in head)
    return f"<table><thead><tr>{names}</tr></thead><tbody>{rows}</tbody></table>"
