"""The watermark tab's first step: a mark put into the bar's picture, and what that costs."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from backend.experiments.watermark import MOST_OFF, Embedded, EmbedWatermark
from backend.inference import catalogue, intake
from backend.inference.cache import find
from backend.request import BadInput
from components import watermark_figures as figures
from components import watermark_key_panel
from components.action import Action, plain
from components.chart import Chart
from components.files_panel import as_file, download
from components.page import Bar
from components.pictures import data_uri, png
from components.watermark_first import DEMO, EMBED
from components.watermark_pictures import asked_of, row, unattacked

FAMILIES = [("random phases", "phases"), ("one sign a ring", "rings")]
CENTRES = [("frequency zero", "zero"), ("Nyquist corner, the paper's", "nyquist")]
CHANNELS = [("brightness", "luma"), ("red", "red"), ("green", "green"), ("blue", "blue"), ("all, each its own", "all")]  # fmt: skip
SCENARIOS = [("a given picture", "picture"), ("a sample:... while it is made", "sampling")]
AMPLIFIED = 10


@dataclass(frozen=True)
class Marks:
    """The settings that embedding and verifying share, by field of Marking, without the picture; and what marks here are made from."""

    settings: Mapping[str, gr.components.Component]
    embedding: Action


def build(bar: Bar, picture: gr.Textbox, attacked: gr.Textbox, before_after: gr.HTML, asked: gr.Number) -> Marks:  # fmt: skip
    """The panel. The marked picture's reference goes to `picture`, to be attacked, and `attacked`, to be verified, and `asked` says that it has."""
    shipped: Embedded | None = find(EMBED)
    gr.Markdown("### 1 Embed: a mark where the Jacobian is small")
    with gr.Row():
        with gr.Column(scale=4, min_width=330, elem_id="wm-embed"):
            passphrase = gr.Textbox(
                DEMO, label="passphrase (this one is public: a demonstration)", type="password", placeholder=DEMO,
                elem_id="wm-passphrase", max_length=1000, html_attributes=gr.InputHTMLAttributes(autocomplete="off"),
            )  # fmt: skip
            strength = gr.Slider(0.1, 2, EMBED.strength, step=0.05, label="strength", elem_id="wm-strength")
            t = gr.Slider(0.02, 0.6, EMBED.t, step=0.01, label="the mark's own t", elem_id="wm-t")
            with gr.Row(equal_height=True):
                inner = gr.Number(EMBED.inner, label="inner radius, cycles", minimum=0, min_width=120, elem_id="wm-inner")  # fmt: skip
                outer = gr.Number(EMBED.outer, label="outer radius, cycles", minimum=0, min_width=120, elem_id="wm-outer")  # fmt: skip
            with gr.Accordion("More settings", open=False, elem_id="wm-more"):
                with gr.Row(equal_height=True):
                    family = _choice(FAMILIES, EMBED.family, "pattern")
                    centre = _choice(CENTRES, EMBED.centre, "centre")
                    channels = _choice(CHANNELS, EMBED.channels, "channels")
                with gr.Row(equal_height=True):
                    how = _choice(["add", "replace"], EMBED.how, "how (replace: the paper's)")
                    scenario = _choice(SCENARIOS, EMBED.scenario, "mark")
                with gr.Row(equal_height=True):
                    steps = gr.Slider(1, 100, EMBED.steps, step=1, label="steps each way", min_width=140)
                    off = gr.Slider(0, MOST_OFF, EMBED.off, step=1, label="singular vectors taken off", min_width=140)  # fmt: skip
                average = gr.Checkbox(EMBED.average, label="other channels as without the mark")
                with gr.Row(equal_height=True):
                    salt = gr.Textbox("", label="salt, from a key file", max_length=64, min_width=140, elem_id="wm-salt")  # fmt: skip
                    sub_key = gr.Number(EMBED.sub_key, label="sub-key, −1 for the key itself", precision=0, min_width=140, elem_id="wm-sub-key")  # fmt: skip
            settings = {
                "model": bar.model, "passphrase": passphrase, "salt": salt, "family": family, "centre": centre, "inner": inner,
                "outer": outer, "channels": channels, "t": t, "steps": steps, "sub_key": sub_key,
            }  # fmt: skip
            button = gr.Button("Embed the mark", variant="primary", elem_id="wm-embed-run")
            save = gr.Button("Download the marked picture (PNG)", size="sm", elem_id="wm-save")
            ready = gr.DownloadButton(visible="hidden", elem_id="wm-ready")
            watermark_key_panel.build(settings)
        with gr.Column(scale=6, min_width=330, elem_id="wm-marked"):
            pictures = gr.HTML(_pictures(shipped) if shipped else "", elem_id="wm-pictures")
            words = gr.HTML(_words(shipped) if shipped else "", elem_id="wm-embed-words")
            chart = Chart(
                figures.gauge(shipped.gauge) if shipped else None, elem_id="wm-gauge", height=190,
                label="How much of the mark the posterior mean shows",
            )  # fmt: skip
            own = {"scenario": scenario, "strength": strength, "how": how, "average": average, "off": off}
            embedding = Action(
                EmbedWatermark, {**settings, "image": bar.image, **own}, _show,
                [pictures, words, chart, picture, attacked, before_after, asked],
                answer=answer, name="watermark_embed", gateway=asked_of,
            )  # fmt: skip
    embedding.on(button.click)
    download(save, _saved, [picture], ready)
    bar.model.input(_usual_radii, bar.model, [inner, outer], show_progress="hidden", api_visibility="private")
    return Marks(settings, embedding)


def answer(result: Embedded) -> dict[str, Any]:
    """What the endpoint gives: the result, and the reference of the marked picture in 8 bits for /attack and /watermark_verify."""
    return plain(result) | {"reference": intake.store(png(result.marked))}


def _choice(choices: list, value: str, label: str) -> gr.Dropdown:
    return gr.Dropdown(choices, value=value, label=label, min_width=130)


def _show(result: Embedded, request: EmbedWatermark) -> list[Any]:
    reference = intake.store(png(result.marked))
    return [
        _pictures(result),
        _words(result),
        figures.gauge(result.gauge),
        reference,
        reference,
        unattacked(result.marked),
        time.time_ns(),
    ]


def _pictures(result: Embedded) -> str:
    difference = (result.marked - result.twin) * AMPLIFIED
    return row(
        ("given, x<sub>0</sub>", data_uri(result.x_0)),
        ("there and back without the mark: the twin", data_uri(result.twin)),
        ("marked", data_uri(result.marked)),
        (f"marked − twin, × {AMPLIFIED}", data_uri(difference)),
    )


def _words(result: Embedded) -> str:
    return (
        f"<p><b>{result.psnr:.1f} dB</b> PSNR and {result.ssim:.3f} SSIM to the twin, which is the same way there and back without the mark. "
        f"To the given picture: {result.whole:.1f} dB with the mark; {result.way:.1f} dB by the way itself, the ceiling. "
        f"Key <code>{result.fingerprint}</code>.</p>"
    )


def _saved(reference: str) -> str:
    try:
        return as_file("marked.png", intake.held(reference))
    except BadInput as error:
        raise gr.Error(str(error)) from None


def _usual_radii(model: str) -> tuple[float, float]:
    """As wide a share of another model's plane as of the faces'."""
    n = catalogue.card(model).shape[-1]
    return float(n // 16), float(n // 4)
