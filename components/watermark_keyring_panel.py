"""The watermark tab's keyring: whose mark is in the picture that is verified, among a key, its sub-keys and the keys of other passphrases?"""

from collections.abc import Mapping
from html import escape
from typing import Any

import gradio as gr
import numpy as np
import plotly.graph_objects as go

from backend.experiments.watermark_identify import MOST_OTHERS, IdentifyWatermark, Owner
from backend.watermark.verdict import ALPHA
from components.action import Action
from components.chart import Chart
from components.figures import PALETTE, array, base
from components.watermark_pictures import asked_of

BLUE, ORANGE, AMBER, GREY = PALETTE[0], PALETTE[1], PALETTE[4], PALETTE[6]
SUB_KEYS = 100
EMPTY = (
    "<p>The picture is looked at once, and every key is tried on it: that of step 1, its sub-keys from 0 on, and those of further passphrases "
    "under the same settings and salt. The more keys are tried, the more a score has to show.</p>"
)
LINES = gr.InputHTMLAttributes(autocomplete="off", spellcheck=False, autocapitalize="off")


def build(settings: Mapping[str, gr.components.Component], picture: gr.Textbox) -> Action:
    """The panel. settings: of the mark, by field of Marking; `picture` is the one that is verified."""
    gr.Markdown("### Whose mark is it?")
    with gr.Row():
        with gr.Column(scale=4, min_width=330, elem_id="wm-keyring"):
            sub_keys = gr.Number(
                SUB_KEYS, label="sub-keys to try, from number 0", precision=0, elem_id="wm-sub-keys"
            )
            further = gr.Textbox(
                "", label=f"further passphrases, one a line, at most {MOST_OTHERS}", lines=3, max_lines=8,
                elem_id="wm-further", max_length=20_000, html_attributes=LINES,
            )  # fmt: skip
            revoked = gr.Textbox(
                "", label="revoked keys by fingerprint, one a line", placeholder="ab12 cd34 ef56 7890", lines=2, max_lines=8,
                elem_id="wm-revoked", max_length=20_000, html_attributes=LINES,
            )  # fmt: skip
            button = gr.Button("Whose mark is it?", variant="primary", elem_id="wm-whose-run")
        with gr.Column(scale=6, min_width=330, elem_id="wm-whose"):
            words = gr.HTML(EMPTY, elem_id="wm-whose-words")
            chart = Chart(None, elem_id="wm-keys", height=300, label="z of every key, and what it takes")
            inputs = {name: part for name, part in settings.items() if name != "sub_key"}
            own = {"image": picture, "sub_keys": sub_keys, "further": further, "gone": revoked}
            identifying = Action(
                IdentifyWatermark, inputs | own, _show, [words, chart],
                read=_read, name="watermark_identify", gateway=asked_of,
            )  # fmt: skip
    identifying.on(button.click)
    return identifying


def _read(values: dict[str, Any]) -> dict[str, Any]:
    """Lines as lists, without empty ones. A passphrase keeps the spaces around it."""
    lines = {name: (values.pop(name) or "").splitlines() for name in ("further", "gone")}
    others = tuple(line for line in lines["further"] if line.strip())
    return values | {
        "others": others,
        "revoked": tuple(line.strip() for line in lines["gone"] if line.strip()),
    }


def _show(result: Owner, request: IdentifyWatermark) -> list[Any]:
    return [_words(result), scores(result)]


def _words(result: Owner) -> str:
    first, _, rest = result.sentence.partition("). ")
    kind = "none" if not result.found else "gone" if result.revoked else "found"
    return f"<p class='{kind}' role='status'><b>{escape(first)}).</b> {escape(rest)}</p>"


def scores(result: Owner) -> go.Figure:
    """z of every key, sub-keys at their numbers and further passphrases behind them, and the bar that all of them have to reach together."""
    z, names = np.round(array(result.z), 3), np.array(result.names)
    passing = np.isin(names, [result.found, *result.others])
    figure = base("sub-key; −1 is the key itself, further passphrases follow", "best z", showlegend=False)
    for some, colour, size in ((~passing, BLUE, 4), (passing, ORANGE, 9)):
        figure.add_scatter(
            x=np.flatnonzero(some) - 1, y=z[some], text=names[some], mode="markers", marker={"color": colour, "size": size},
            hovertemplate="%{text}: z = %{y}<extra></extra>",
        )  # fmt: skip
    bar = {"type": "line", "x0": 0, "x1": 1, "xref": "paper", "y0": result.bar, "y1": result.bar}
    figure.update_layout(
        shapes=[bar | {"line": {"width": 1, "dash": "dash", "color": GREY}}],
        annotations=[
            {"x": 1, "xref": "paper", "xanchor": "right", "y": result.bar, "yanchor": "bottom", "showarrow": False,
             "text": f"p = {ALPHA:g} for all {result.tries:,} together"}
        ],
        uirevision=f"{len(z)} {z.max()}",
    )  # fmt: skip
    low, high = min(float(z.min()), 0.0), max(float(z.max()), result.bar)
    figure.update_xaxes(range=[-0.02 * len(z) - 1.5, 1.02 * len(z) - 1.5])
    return figure.update_yaxes(range=[low - 0.5, high + 0.08 * (high - low) + 0.5])
