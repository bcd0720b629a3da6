"""The edit tab's answer to how linear the model is along the direction that slides."""

import time
from collections.abc import Mapping, Sequence

import gradio as gr

from backend.editing.results import Linear
from backend.experiments.edit_linearity import MeasureLinearity
from components.action import Action
from components.filmstrip import Filmstrip, Position

ROWS = (
    ("residual", "residual", "|D(x + λv) − D(x) − λJv| / |λJv|"),
    ("random", "the same, random direction", "as far in x_t"),
    ("norm_ratio", "norm ratio", "|D(x + λv)| / |D(x) + λJv|"),
    ("cosine", "cosine", "of the same two"),
)


def build(fields: Mapping[str, gr.components.Component], film: Filmstrip) -> Action:
    """The button, the table and the action; `fields` are those of FindDirections, by name."""
    slide, asked = gr.State(0), gr.State(0)
    with gr.Column(elem_id="linearity"):
        button = gr.Button("How linear is this direction?", size="sm", elem_id="linear")
        table = gr.HTML(visible=False, elem_classes="grid")
        action = Action(MeasureLinearity, {**fields, "slide": slide}, _show, [table], name="linearity")
    button.click(_touched, film, [slide, asked], show_progress="hidden", api_visibility="private")
    action.on(asked.change)
    return action


def _touched(position: Position) -> tuple[int, int]:
    return position.index, time.time_ns()


def _show(result: Linear, request: MeasureLinearity) -> Sequence[dict]:
    head = "".join(f"<th scope='col'>{strength:g}</th>" for strength in result.strengths)
    rows = ""
    for name, title, formula in ROWS:
        cells = "".join(f"<td>{value:.3f}</td>" for value in getattr(result, name))
        rows += f"<tr><th scope='row'>{title}<br><small>{formula}</small></th>{cells}</tr>"
    table = f"<table><thead><tr><th scope='col'>strength</th>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return [gr.HTML(table, visible=True)]
