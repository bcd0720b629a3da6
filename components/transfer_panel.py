"""The edit tab's row of other pictures, with the direction that slides added to each."""

import time
from collections.abc import Mapping

import gradio as gr

from backend.editing.results import Transferred
from backend.experiments.edit_transfer import ROW, Transfer
from components.action import Action
from components.filmstrip import Filmstrip, Position
from components.pictures import image, signed


def build(fields: Mapping[str, gr.components.Component], film: Filmstrip) -> Action:
    """The button, the row and the action behind them; `fields` are those of FindDirections, by name."""
    slide, strength, asked = gr.State(0), gr.State(Transfer.strength), gr.State(0)
    with gr.Column(elem_id="transfer"):
        button = gr.Button("Try on eight other pictures", size="sm", elem_id="others")
        words = gr.Markdown(visible=False)
        row = gr.Gallery(
            show_label=False, columns=len(ROW), height="auto", allow_preview=False, elem_id="transferred", format="png",
            interactive=False, buttons=[], container=False, fit_columns=False, visible=False,
        )  # fmt: skip
        inputs = {**fields, "slide": slide, "strength": strength}
        action = Action(Transfer, inputs, _show, [words, row], answer=False)
    button.click(_of_film, film, [slide, strength, asked], show_progress="hidden", api_visibility="private")
    action.on(asked.change)
    return action


def _of_film(position: Position) -> tuple[int, float, int]:
    """The direction that slides, at the strength where it stands, or the default one at rest."""
    strengths = position.strengths or (0.0,)
    return position.index, strengths[position.index] or Transfer.strength, time.time_ns()


def _show(result: Transferred, request: Transfer) -> list[dict]:
    words, captions = "", [""] * len(result.edited)
    if result.factor:
        words = f"**{result.factor}**: {signed(result.amount)} standard deviations in its own picture, and in others"
        captions = [signed(amount) for amount in result.amounts]
    above = [(image(picture), "") for picture in result.originals]
    below = [(image(picture), caption) for picture, caption in zip(result.edited, captions, strict=True)]
    return [gr.Markdown(words, visible=bool(words)), gr.Gallery(above + below, visible=True)]
