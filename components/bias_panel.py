"""The spectrum tab's view of training: when a network is near the Gaussian-optimal denoiser, and when it memorizes."""

from collections.abc import Callable

import gradio as gr
import plotly.graph_objects as go
from torch import Tensor

from backend.experiments.spectrum_bias import Bias, TrainStudents
from backend.inference.cache import find
from components.action import Action
from components.chart import Chart
from components.figures import PALETTE, base, line
from components.scrubber import Scene, Scenes, Scrubber

FIRST = TrainStudents()  # its result is shipped in assets/runs
GROUP = "bias"
ALONG = [("training", "checkpoints"), ("pictures N", "sizes"), ("width", "widths")]
MINUTES = 12  # of the whole run on one core
NOTE = (
    "Solid: distance to the denoiser that is optimal for a Gaussian with the mean and covariance of the same pictures; dashed: to "
    "the empirical one, which has memorized them; 1 is as wrong as knowing the mean alone. Every network comes nearest to the "
    "Gaussian in the middle of training, the wider and the fewer its pictures the sooner, and then leaves it; with few pictures "
    "it goes on to memorize. None stays: for digits, which come in clusters, the Gaussian is a station on the way."
)


def build() -> Action:
    """The panel; returns its action."""
    shipped: Bias | None = find(FIRST)
    drawn = _figures(shipped, "checkpoints") if shipped else [None] * 3
    with gr.Column(elem_id="bias"):
        gr.Markdown("### What training learns first: networks of several widths, trained on N digits")
        with gr.Row(equal_height=True):
            scrubber = Scrubber(_scenes(shipped, FIRST) if shipped else None, group=GROUP, elem_id="bias-t")
            along = gr.Radio(ALONG, value="checkpoints", label="against", elem_id="bias-along", min_width=260)
        with gr.Row(elem_classes="charts"):
            names = (
                "Distances to the Gaussian-optimal and the memorizing denoiser",
                "Rank ratio",
                "Linearity residual",
            )
            charts = [
                Chart(figure, group=GROUP, elem_id=f"bias-{i}", label=name)
                for i, (figure, name) in enumerate(zip(drawn, names, strict=True))
            ]
        gr.Markdown(NOTE)
        with gr.Row(equal_height=True):
            steps = gr.Slider(
                50, 5000, FIRST.steps, step=50, label="training steps", min_width=140, elem_id="bias-steps"
            )
            seed = gr.Number(0, label="seed", precision=0, minimum=0, min_width=90, elem_id="bias-seed")
            button = gr.Button(f"Train again (about {MINUTES} minutes)", elem_id="bias-run", min_width=140)
        request = gr.State(FIRST)
        action = Action(
            TrainStudents, {"steps": steps, "seed": seed},
            lambda r, q: [_scenes(r, q), *_figures(r, "checkpoints"), q], [scrubber, *charts, request], name="students",
        )  # fmt: skip
    redraw = {"fn": _redrawn, "inputs": [request, along], "outputs": charts}
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    action.on(button.click).success(**redraw, **quiet)
    along.input(**redraw, **quiet)
    return action


def _redrawn(request: TrainStudents, along: str) -> list[go.Figure | None]:
    result: Bias | None = find(request)
    return _figures(result, along) if result else [None] * 3


def _scenes(result: Bias, request: TrainStudents) -> Scenes:
    return Scenes(request.key(), [Scene(f"t = {t:.2f}") for t in result.t.tolist()])


def _figures(result: Bias, along: str) -> list[go.Figure]:
    s = result.students
    pair = [("", "solid", s.to_gaussian), ("memorizing, ", "dash", s.to_empirical)]
    return [
        _figure(result, along, "distance", pair),
        _figure(result, along, "rank ratio, 98.01 % of the energy", [("", "solid", s.rank_ratio[..., 0])]),
        _figure(result, along, "|D(x + λv) − D(x) − λJv| / |λJv|, v₁", [("", "solid", s.residual_first)]),
    ]


def _figure(result: Bias, along: str, title: str, kinds: list[tuple[str, str, Tensor]]) -> go.Figure:
    """Lines of measures (W, S, C, T) against one axis; a frame for each noise level."""
    words = {"checkpoints": "training steps", "sizes": "training pictures N", "widths": "width"}
    figure = base(words[along], title, xaxis_type="log", yaxis_rangemode="tozero")
    x, pick, names = _axes(result, along)
    for kind, dash, values in kinds:
        for i, name in enumerate(names):
            line(figure, x, pick(values, i)[..., 0], f"{kind}{name}")
            figure.data[-1].update(
                line={"dash": dash, "color": PALETTE[i % len(PALETTE)]}, showlegend=not kind
            )
    figure.frames = [
        go.Frame(
            data=[{"y": pick(v, i)[..., n].numpy()} for _, _, v in kinds for i in range(len(names))],
            traces=list(range(len(figure.data))),
        )
        for n in range(len(result.t))
    ]
    return figure


def _axes(result: Bias, along: str) -> tuple[list, Callable[[Tensor, int], Tensor], list[str]]:
    """The axis, what picks line i of measures (W, S, C, T) along it, (n, T), and the names of the lines: the widest network
    for every N over training or every width over N after training."""
    if along == "checkpoints":
        return result.checkpoints.tolist(), lambda v, i: v[-1, i], [f"N = {n:,}" for n in result.sizes]
    if along == "sizes":
        return list(result.sizes), lambda v, i: v[i, :, -1], [f"width {w}" for w in result.widths]
    return list(result.widths), lambda v, i: v[:, i, -1], [f"N = {n:,}" for n in result.sizes]
