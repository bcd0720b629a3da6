"""The watermark tab's second step: the marked picture attacked."""

import time
from functools import partial
from typing import Any

import gradio as gr

from backend.experiments.watermark import Attack, Attacked
from backend.inference import catalogue, intake
from backend.request import BadInput
from backend.watermark import attacks
from components.action import Action, plain
from components.page import Bar
from components.pictures import data_uri, png
from components.watermark_pictures import asked_of, row, unattacked

BY_NETWORK = "By a network, with the model itself or what reads its pictures; seconds a picture:"


def build(bar: Bar, picture: gr.Textbox, attacked: gr.Textbox, before_after: gr.HTML, asked: gr.Number) -> Action:  # fmt: skip
    """The panel: `picture` is attacked, and what is left of it goes to `attacked`, to be verified."""
    gr.Markdown("### 2 Attack: does it survive?")
    with gr.Row():
        with gr.Column(scale=4, min_width=330, elem_id="wm-attack"):
            picture.render()
            chain = gr.Textbox(
                "jpeg", label="chain of attacks, such as jpeg:25,blur:1.5,rotate:15", max_lines=1, elem_id="wm-chain", max_length=400
            )  # fmt: skip
            with gr.Row(elem_id="wm-kinds"):
                kinds = _buttons(network=False)
            gr.Markdown(BY_NETWORK, elem_id="wm-by-network")
            with gr.Row(elem_id="wm-network-kinds"):
                kinds |= _buttons(network=True)
            button = gr.Button("Attack", variant="primary", elem_id="wm-attack-run")
            with gr.Row(equal_height=True):
                clear = gr.Button("Clear the chain", size="sm", min_width=120, elem_id="wm-clear")
                back = gr.Button("Back to the unattacked", size="sm", min_width=120, elem_id="wm-back")
        with gr.Column(scale=6, min_width=330, elem_id="wm-attacked"):
            before_after.render()
            attacking = Action(
                Attack, {"model": bar.model, "image": picture, "chain": chain}, _show, [before_after, attacked, asked],
                answer=answer, name="attack", gateway=asked_of,
            )  # fmt: skip
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    for name, kind in kinds.items():
        kind.click(partial(added, name), [chain, bar.model], chain, **quiet)
    clear.click(lambda: "", None, chain, **quiet)
    back.click(_back, [picture, bar.model], [attacked, before_after, asked], **quiet)
    attacking.on(button.click)
    return attacking


def answer(result: Attacked) -> dict[str, Any]:
    """What the endpoint gives: the result, and the reference of the attacked picture in 8 bits."""
    return plain(result) | {"reference": intake.store(png(result.after))}


def added(name: str, chain: str, model: str) -> str:
    """The chain and one more attack, as strong as the paper's for pictures of this size. gr.Error where a chain cannot be longer."""
    strength = round(attacks.matched(name, catalogue.card(model).shape[-1]), 2)
    longer = ",".join(filter(None, [chain.strip(" ,"), attacks.text((attacks.Attack(name, strength),))]))
    try:
        attacks.parse(longer)
    except BadInput as error:
        raise gr.Error(str(error), print_exception=False) from None
    return longer


def _buttons(*, network: bool) -> dict[str, gr.Button]:
    """A button for each kind of attack that takes a network, or for each that does not."""
    return {
        name: gr.Button(kind.label, size="sm", min_width=70, elem_id=f"wm-add-{name}")
        for name, kind in attacks.KINDS.items()
        if kind.network == network
    }


def _back(reference: str, model: str) -> tuple[Any, ...]:
    """The picture itself is to be verified."""
    try:
        shown = unattacked(intake.open_upload(reference, catalogue.card(model).shape))
    except BadInput:  # not an upload, or no longer held: verifying says so
        shown = ""
    return reference, shown, time.time_ns()


def _show(result: Attacked, request: Attack) -> list[Any]:
    chain = attacks.text(attacks.parse(request.chain, result.before.shape[-1])).replace(",", ", ")
    shown = row(
        ("before", data_uri(result.before)),
        (f"after {chain or 'nothing'}: {result.psnr:.1f} dB", data_uri(result.after)),
    )
    return [shown, intake.store(png(result.after)), time.time_ns()]
