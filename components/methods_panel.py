"""The edit tab's comparison: the same face and region, a row of pictures for each method."""

import time
from collections.abc import Mapping, Sequence
from html import escape

import gradio as gr

from backend.editing.methods import METHODS
from backend.editing.results import Compared, MethodStrip
from backend.experiments.edit_compare import CompareMethods
from components.action import Action
from components.pictures import data_uri, signed

_HEAD = "<tr><th scope='col'>method</th><th scope='col'>leak</th><th scope='col'>moves most</th>{}</tr>"


def build(fields: Mapping[str, gr.components.Component]) -> Action:
    """The button, the label that supervised methods lead to, and the grid."""
    asked = gr.State(0)
    with gr.Column(elem_id="methods"):
        button = gr.Button("Compare all methods here (about 20 s)", size="sm", elem_id="compare")
        grid = gr.HTML(visible=False, elem_id="compared", elem_classes="grid")
        inputs = {name: fields[name] for name in ("model", "image", "t", "region")}
        action = Action(CompareMethods, inputs, _show, [grid], answer=False)
    button.click(lambda: time.time_ns(), None, asked, show_progress="hidden", api_visibility="private")
    action.on(asked.change)
    return action


def _show(result: Compared, request: CompareMethods) -> Sequence[dict]:
    return [gr.HTML(table(result), visible=True)]


def table(result: Compared) -> str:
    """The grid as HTML: a row for each method, a column for each strength."""
    if not result.rows:
        return ""
    strengths = "".join(f"<th scope='col'>{signed(s)}</th>" for s in result.rows[0].strip.strengths)
    rows = "".join(map(_row, result.rows))
    words = f"<p>Direction 1 of each method, strength in the unit that all share; supervised methods lead to <b>{escape(result.wanted)}</b>.</p>"
    return f"{words}<table><thead>{_HEAD.format(strengths)}</thead><tbody>{rows}</tbody></table>"


def _row(row: MethodStrip) -> str:
    method = METHODS[row.method]
    moved = (
        f"{escape(row.factor)} {signed(row.amount)}<br><small>beside {row.beside:.1f}</small>"
        if row.factor
        else ""
    )
    notes = [] if method.supervision == "none" else [method.supervision]
    notes += ["learned"] * (method.images > 1) + ["whole picture"] * (not method.localised)
    small = f"<small>{', '.join(notes)}</small>" if notes else ""
    pictures = "".join(
        f"<td><img src='{data_uri(picture)}' alt='{escape(method.title)} at {signed(strength)}'></td>"
        for picture, strength in zip(row.strip.pictures, row.strip.strengths, strict=True)
    )
    leak = f"{row.leak:.2f}" if row.leak < 100 else "over 100"
    return f"<tr><th scope='row'>{escape(method.title)}<br>{small}</th><td>{leak}</td><td>{moved}</td>{pictures}</tr>"
