"""The watermark tab: a mark put in, attacked, and looked for, top to bottom. Each step hands its picture to the next; last, what many pictures give away."""

from collections.abc import Sequence

import gradio as gr

from backend.inference import catalogue, intake
from components import watermark_attack_panel as attack
from components import watermark_embed_panel as embed
from components import watermark_first
from components import watermark_keyring_panel as keyring
from components import watermark_rates_panel as rates
from components import watermark_red_team_panel as red_team
from components import watermark_trade_panel as trade
from components import watermark_verify_panel as verify
from components.action import Action
from components.page import Bar
from components.watermark_pictures import unattacked


def build(bar: Bar) -> Sequence[Action]:
    """The tab's content; returns the actions that a link may open. Verifying starts by itself when a step has made a picture."""
    reference = watermark_first.reference()
    # No State: a browser hears of its change before it has what came with it.
    asked = gr.Number(0, visible="hidden")
    wide = {"max_lines": 1, "max_length": 80, "render": False}
    source = gr.Textbox(reference, label="picture to attack", elem_id="wm-source", **wide)
    picture = gr.Textbox(reference, label="picture to verify", elem_id="wm-picture", **wide)
    before_after = gr.HTML(
        unattacked(intake.open_upload(reference, catalogue.card(watermark_first.EMBED.model).shape)),
        elem_id="wm-before-after",
        render=False,
    )
    marks = embed.build(bar, source, picture, before_after, asked)
    attacking = attack.build(bar, source, picture, before_after, asked)
    verifying = verify.build(bar, marks.settings, source, picture, asked)
    identifying = keyring.build(marks.settings, picture)
    rating = rates.build(marks.settings, marks.embedding.inputs["strength"], attacking.inputs["chain"])
    breaking = red_team.build(marks.settings, marks.embedding.inputs["strength"])
    trading = trade.build(bar)
    return [marks.embedding, attacking, verifying, identifying, rating, breaking, trading]
