"""The guidance tab's view of similar patterns: what the same noises become in every class, with guidance and without."""

import base64
import io
from pathlib import Path
from typing import Any

import gradio as gr
import plotly.graph_objects as go
from torch import Tensor

from backend.experiments.guide_patterns import CompareClasses, Patterns, Way
from backend.guidance.class_statistics import LABELS
from backend.inference.cache import find
from backend.metrics.intervals import Estimate
from components.action import Action
from components.chart import Chart
from components.figures import PALETTE, base, line
from components.pictures import data_uri, image, sheet

FIRST = CompareClasses()  # its result is shipped in assets/runs
MODELS = [("digits", "digits"), ("drawn faces", "avatars")]
SECONDS = {"digits": 0.004, "avatars": 0.035}  # a noise, class and step, all ways, on 2 cores
SMALL, ZOOM = 16, 4  # pixels of a side up to which pictures stay PNG, and how many each of them becomes
STYLE = (Path(__file__).parent / "guidance_patterns.css").read_text()
NAMES = {
    "conditional": "conditional only, γ = 0",
    "cfg": "classifier-free guidance",
    "classifier": "classifier guidance",
    "linear": "Gaussians, γ = 0",
    "linear_cfg": "Gaussians, guided",
}
SHARES = {"noise": "the noise", "label": "the class", "both": "both together"}


def build() -> Action:
    """The panel; returns its action."""
    shipped: Patterns | None = find(FIRST)
    drawn = _show(shipped, FIRST) if shipped else ["", None, None, ""]
    gr.Markdown(
        "### Similar patterns: the same noises in every class\n"
        "A row is one noise, a column one class. Where rows look alike whatever the class, the noise decides the picture."
    )
    sheets = gr.HTML(drawn[0], css_template=STYLE, elem_id="patterns-sheets")
    with gr.Row(equal_height=True):
        model = gr.Dropdown(MODELS, value=FIRST.model, label="model", min_width=120, elem_id="patterns-model")
        gamma = gr.Slider(
            -1, 10, FIRST.gamma, step=0.1, label="guidance weight γ", min_width=160, elem_id="patterns-gamma"
        )
        noises = gr.Slider(
            3, 16, FIRST.noises, step=1, label="noises", min_width=120, elem_id="patterns-noises"
        )
        steps = gr.Slider(3, 100, FIRST.steps, step=1, label="steps", min_width=120, elem_id="patterns-steps")
        seed = gr.Number(
            FIRST.seed, label="seed", precision=0, minimum=0, min_width=80, elem_id="patterns-seed"
        )
        button = gr.Button(
            _button(FIRST.model, FIRST.noises, FIRST.steps), min_width=190, elem_id="patterns-run"
        )
    bars = Chart(
        drawn[1], elem_id="patterns-shares", label="Variance of samples by noise and class", render=False
    )
    captured = Chart(
        drawn[2],
        elem_id="patterns-captured",
        label="The difference of the means in principal components",
        render=False,
    )
    words = gr.HTML(drawn[3], css_template=STYLE, elem_id="patterns-words", render=False)
    comparing = Action(
        CompareClasses,
        {"model": model, "seed": seed, "noises": noises, "steps": steps, "gamma": gamma},
        _show,
        [sheets, bars, captured, words],
        name="guide_patterns",
    )
    words.render()
    with gr.Row(elem_classes="charts"):
        bars.render()
        captured.render()
    comparing.on(button.click)
    gr.on(
        [model.change, noises.change, steps.change], _button, [model, noises, steps], button,
        show_progress="hidden", api_visibility="private",
    )  # fmt: skip
    return comparing


def _button(model: str, noises: int, steps: int) -> str:
    """What a click does and how long it takes, where that is over ten seconds."""
    seconds = SECONDS[model] * noises * steps * len(LABELS[model])
    return f"Sample every class (about {seconds:.0f} s)" if seconds > 10 else "Sample every class"


def _show(result: Patterns, request: CompareClasses) -> list[Any]:
    return [_sheets(result, request), _bars(result), _captured(result), _words(result, request)]


def _sheets(result: Patterns, request: CompareClasses) -> str:
    """One sheet a way, a row a noise and a column a class."""
    cells = "".join(
        f"<figure><img src='{_uri(way.pictures)}' alt='{NAMES[way.name]}'><figcaption>{_named(way, request)}: "
        f"{_percent(way.shares.noise)} of the variance is the noise's, {_percent(way.shares.label)} the class's"
        "</figcaption></figure>"
        for way in result.ways
    )
    return f"<div class='ways'>{cells}</div>"


def _named(way: Way, request: CompareClasses) -> str:
    return NAMES[way.name] + (f", γ = {request.gamma:g}" if "γ" not in NAMES[way.name] else "")


def _uri(pictures: Tensor) -> str:
    """Pictures (n, K, *shape) uint8 as one picture: digits lossless, faces as JPEG."""
    page = sheet(pictures.flatten(0, 1).float() / 127.5 - 1, pictures.shape[1])
    if pictures.shape[-1] <= SMALL:
        return data_uri(page.repeat_interleave(ZOOM, 1).repeat_interleave(ZOOM, 2))
    file = io.BytesIO()
    image(page).save(file, "JPEG", quality=88, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _bars(result: Patterns) -> go.Figure:
    """Three bars a way, with their intervals."""
    figure = base("", "share of the samples' variance", barmode="group", yaxis_range=[0, 1])
    ways = [NAMES[way.name].replace(", ", "<br>").replace(" guidance", "<br>guidance") for way in result.ways]
    for colour, (field, name) in zip(PALETTE, SHARES.items(), strict=False):
        found = [getattr(way.shares, field) for way in result.ways]
        figure.add_bar(
            x=ways,
            y=[one.value for one in found],
            name=name,
            marker={"color": colour},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [one.high - one.value for one in found],
                "arrayminus": [one.value - one.low for one in found],
                "thickness": 1,
                "width": 3,
            },
        )
    return figure.add_scatter(
        x=ways,
        y=[result.real] * len(ways),
        name="between the classes of real pictures",
        mode="lines",
        line={"width": 1.5, "dash": "dot", "color": PALETTE[-1]},
    )


def _captured(result: Patterns) -> go.Figure:
    """The mean over the classes, and the band from the least to the most."""
    figure = base("leading principal components k of the class", "share of |μ_c − μ_u|²", yaxis_range=[0, 1])
    k = range(1, result.captured.shape[1] + 1)
    low, high = result.captured.amin(0), result.captured.amax(0)
    line(figure, list(k), result.captured.mean(0), "held by them, all classes", low, high)
    line(figure, list(k), [i / len(k) for i in k], "by k directions at random")
    figure.data[-1].line.dash = "dot"
    return figure


def _words(result: Patterns, request: CompareClasses) -> str:
    """A table of the numbers, and what they say of the claim."""
    head = "".join(
        f"<th scope='col'>{name}</th>"
        for name in (
            "",
            "variance by the noise",
            "by the class",
            "by both together",
            "read as the class",
            "cosine of class means with the real",
            "their length over the real",
        )
    )
    body = "".join(
        f"<tr><th scope='row'>{_named(way, request)}</th>"
        + "".join(f"<td>{_ranged(getattr(way.shares, field))}</td>" for field in SHARES)
        + f"<td>{_ranged(way.accuracy)}</td><td>{float(way.cosine.mean()):.2f}</td><td>{float(way.length.mean()):.2f}</td></tr>"
        for way in result.ways
    )
    few = min(4, result.captured.shape[1])
    notes = [
        _claim(result),
        f"The {few} leading principal components of a class hold {100 * float(result.captured[:, few - 1].mean()):.0f} % of "
        f"what sets its mean apart; {few} directions at random would hold {100 * few / result.captured.shape[1]:.0f} %.",
        f"Intervals of shares leave out one of the {request.noises} noises at a time. Who reads the classes plays no part in guidance.",
        f"<b>{result.idle}</b>" if result.idle else "",
    ]
    paragraphs = "".join(f"<p>{note}</p>" for note in notes if note)
    return f"<div class='numbers'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{paragraphs}"


def _claim(result: Patterns) -> str:
    """Whether guidance makes samples of different classes more distinct here; "" until both are known."""
    ways = {way.name: way.shares for way in result.ways}
    if not {"conditional", "cfg"} <= ways.keys():
        return ""
    before, after = ways["conditional"], ways["cfg"]
    fell = after.noise.value < before.noise.value
    apart = before.noise.low > after.noise.high or before.noise.high < after.noise.low
    sure = "their intervals do not overlap" if apart else "their intervals overlap"
    return (
        f"Classifier-free guidance {'lowers' if fell else 'does not lower'} the share that the noise alone decides, from "
        f"{_percent(before.noise)} to {_percent(after.noise)} ({sure}); the class's goes from {_percent(before.label)} to "
        f"{_percent(after.label)}."
    )


def _percent(estimate: Estimate) -> str:
    return f"{100 * estimate.value:.0f} %"


def _ranged(estimate: Estimate) -> str:
    return (
        f"{100 * estimate.value:.0f} % <small>({100 * estimate.low:.0f} to {100 * estimate.high:.0f})</small>"
    )
