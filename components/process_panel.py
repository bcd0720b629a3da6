"""The spectrum tab's first view: a picture on its way to noise, and the ODE and the SDE from one start on their way back."""

import json

import gradio as gr
import plotly.graph_objects as go

from backend.experiments.spectrum_process import Process, WatchProcess
from backend.inference.cache import find
from backend.inference.catalogue import ASSETS
from components.action import Action
from components.chart import Chart
from components.figures import base, line, marker
from components.page import Bar
from components.pictures import data_uri
from components.scrubber import Picture, Scene, Scenes, Scrubber

FIRST = WatchProcess()  # its result is shipped in assets/runs
GROUP = "process"
QUALITY, SPEED = "Frechet distance over its floor", "seconds a picture"  # in assets/results/process.json
ROWS = (
    ("forward: x_t", "forward"),
    ("D(x_t, t)", "forward_mean"),
    ("ODE: x_t", "ode"),
    ("D(x_t, t)", "ode_mean"),
    ("SDE: x_t", "sde"),
    ("D(x_t, t)", "sde_mean"),
)


def build(bar: Bar) -> Action:
    """The panel; returns its action."""
    shipped: Process | None = find(FIRST)
    with gr.Column(elem_id="process"):
        gr.Markdown("### The process: a picture becomes noise, and noise a picture")
        with gr.Row():
            with gr.Column(scale=6, min_width=330):
                scrubber = Scrubber(
                    _scenes(shipped, FIRST) if shipped else None, group=GROUP, elem_id="process-t"
                )
                words = gr.Markdown(_words(shipped) if shipped else "", elem_id="process-words")
                with gr.Row(equal_height=True):
                    seed = gr.Number(
                        0,
                        label="seed of the noise",
                        precision=0,
                        minimum=0,
                        min_width=90,
                        elem_id="process-seed",
                    )
                    steps = gr.Slider(
                        2, 100, FIRST.steps, step=1, label="steps", min_width=140, elem_id="process-steps"
                    )
                    button = gr.Button("Run this picture", elem_id="process-run", min_width=140)
            with gr.Column(scale=4, min_width=330):
                chart = Chart(
                    _figure(shipped) if shipped else None, group=GROUP, height=260, elem_id="denoising-error",
                    label="Error of the posterior mean against noise",
                )  # fmt: skip
        gr.HTML(_quality(), elem_classes="grid", elem_id="process-quality")
        fields = {"model": bar.model, "image": bar.image, "steps": steps, "seed": seed}
        action = Action(WatchProcess, fields, _show, [scrubber, words, chart])
    action.on(button.click)
    return action


def _show(result: Process, request: WatchProcess) -> list:
    return [_scenes(result, request), _words(result), _figure(result)]


def _scenes(process: Process, request: WatchProcess) -> Scenes:
    """From the picture to noise, as t rises."""
    scenes = []
    for i in reversed(range(len(process.t))):
        pictures = [Picture(name, data_uri(getattr(process, row)[i].float())) for name, row in ROWS]
        scenes.append(Scene(f"t = {process.t[i]:.2f}, σ/α = {process.noise_level[i]:.3g}", pictures))
    return Scenes(request.key(), scenes)


def _figure(process: Process) -> go.Figure:
    t, error = process.t.flip(0), process.forward_error.flip(0)
    figure = base("noise level t", "|D(x_t, t) − x₀|, root mean square", showlegend=False, shapes=marker(0.0))
    line(figure, t, error, "error of the posterior mean")
    figure.frames = [go.Frame(layout={"shapes": marker(float(one))}) for one in t]
    return figure


def _words(process: Process) -> str:
    each = (
        f"{process.evaluations} evaluations each: the ODE took {process.ode_seconds:.2f} s, "
        f"the SDE {process.sde_seconds:.2f} s."
    )
    return (
        f"{each} Both start from the same noise. The ODE returns the same picture every time; the SDE adds fresh noise "
        "in every step, and returns another with every seed."
    )


def _quality() -> str:
    """What tests/benchmarks/process measured of solvers on the faces: distance and time against evaluations."""
    path = ASSETS / "results" / "process.json"
    if not path.exists():
        return ""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in json.loads(path.read_text())["rows"]:
        solver, _, evaluations = row["method"].partition(", ")
        found.setdefault(solver, {}).setdefault(evaluations, {})[row["measure"]] = row["value"]
    body = ""
    for solver, settings in found.items():
        cells = "".join(
            f"<td>{evaluations.split()[0]}: {one[QUALITY]:.2f} <small>{1000 * one[SPEED]:.0f} ms</small></td>"
            for evaluations, one in settings.items()
            if SPEED in one
        )
        body += f"<tr><th scope='row'>{solver}</th>{cells}</tr>" * bool(cells)
    head = "<th scope='col'>faces by</th><th scope='col' colspan='4'>evaluations: Frechet distance over its floor, time a picture</th>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
