"""The watermark tab's third step: is the mark of this key in that picture, what is the answer worth, and where does the evidence lie?"""

import time
from collections.abc import Mapping
from html import escape
from typing import Any

import gradio as gr

from backend.experiments.watermark_verify import CalibrateWatermark, Verified, VerifyWatermark, calibration_of
from backend.inference import intake
from backend.inference.cache import find
from backend.request import BadInput
from backend.watermark.calibration import Nulls
from components import watermark_figures as figures
from components.action import Action
from components.chart import Chart
from components.page import Bar
from components.watermark_first import verify
from components.watermark_pictures import asked_of

WRONG = "not the passphrase"
CHARTS = {  # name on the page -> what it is called
    "scores": "What the score is worth: z beside other keys and unmarked pictures",
    "plane": "Evidence by Fourier coefficient",
    "space": "Evidence by place, over the picture",
    "surface": "z by shift of the picture",
    "rings": "Evidence by ring",
    "guesses": "z by what was undone first",
}
UNCALIBRATED = (
    "For these settings nothing is known yet of unmarked pictures, so the third test is missing and the others decide. Calibrating looks at "
    "the model's own unmarked pictures; it takes about a minute for faces."
)


def build(bar: Bar, settings: Mapping[str, gr.components.Component], source: gr.Textbox, picture: gr.Textbox, asked: gr.Number) -> Action:  # fmt: skip
    """The panel: `picture` is verified with the settings of step 1 whenever `asked` changes."""
    first = verify()
    shipped: Verified | None = find(first)
    drawn = _show(shipped, first) if shipped else ["", "", *[None] * (1 + len(CHARTS))]
    gr.Markdown("### 3 Verify: is it there, and what is the answer worth?")
    with gr.Row():
        with gr.Column(scale=4, min_width=330, elem_id="wm-verify"):
            picture.render()
            upload = gr.UploadButton("Upload any picture", type="binary", size="sm", elem_id="wm-upload")
            other = gr.Textbox(
                "", label="another passphrase (empty: the one above)", type="password", elem_id="wm-other", max_length=1000,
                html_attributes=gr.InputHTMLAttributes(autocomplete="off"),
            )  # fmt: skip
            search = gr.Checkbox(False, label="search over shifts, turns and crops (slower, and tries cost significance)", elem_id="wm-search")  # fmt: skip
            button = gr.Button("Verify", variant="primary", elem_id="wm-verify-run")
            with gr.Row(equal_height=True, elem_id="wm-controls"):
                marked = gr.Button("The marked picture", size="sm", min_width=90, elem_id="wm-control-marked")
                original = gr.Button("The unmarked original", size="sm", min_width=90, elem_id="wm-control-original")  # fmt: skip
                wrong = gr.Button("A wrong key", size="sm", min_width=90, elem_id="wm-control-wrong")
            note = gr.Markdown(elem_id="wm-note")
        with gr.Column(scale=6, min_width=330, elem_id="wm-verified"):
            verdict = gr.HTML(drawn[0], elem_id="wm-verdict")
            numbers = gr.HTML(drawn[1], elem_id="wm-numbers")
            with gr.Column(visible=bool(shipped) and shipped.pictures is None, elem_id="wm-calibration") as missing:  # fmt: skip
                gr.Markdown(UNCALIBRATED)
                calibrate = gr.Button("Calibrate (about a minute)", elem_id="wm-calibrate")
                fields = {name: settings[name] for name in ("model", "centre", "inner", "outer", "channels", "t")}  # fmt: skip
                calibrating = Action(
                    CalibrateWatermark, fields, lambda r, q: [time.time_ns()], [asked],
                    read=_to_calibrate, answer=counted, name="watermark_calibrate", linked=False,
                )  # fmt: skip
            charts = [
                Chart(figure, elem_id=f"wm-{name}", label=words, render=False, height=300)
                for figure, (name, words) in zip(drawn[3:], CHARTS.items(), strict=True)
            ]
            verifying = Action(
                VerifyWatermark, {**settings, "image": picture, "search": search, "other": other}, _show,
                [verdict, numbers, missing, *charts], read=_read, name="watermark_verify", gateway=asked_of,
            )  # fmt: skip
    for three in (charts[:3], charts[3:]):
        with gr.Row(elem_classes="charts"):
            for chart in three:
                with gr.Column(min_width=280):
                    gr.Markdown(f"**{chart.props['called']}**", elem_classes="wm-title")
                    chart.render()

    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    verifying.on(button.click, asked.change)
    calibrating.on(calibrate.click)
    again = [picture, other, asked]
    marked.click(lambda reference: (reference, "", time.time_ns()), source, again, **quiet)
    original.click(lambda reference: (reference, "", time.time_ns()), bar.image, again, **quiet)
    wrong.click(lambda: (WRONG, time.time_ns()), None, [other, asked], **quiet)
    upload.upload(_stored, upload, [picture, note, asked], **quiet)
    return verifying


def counted(result: Nulls) -> dict[str, int]:
    """What the endpoint of a calibration gives: how many pictures were looked at."""
    return {"pictures": len(result.coefficients)}


def _read(values: dict[str, Any]) -> dict[str, Any]:
    """Another passphrase takes the place of the first."""
    other = values.pop("other")
    return values | ({"passphrase": other} if other else {})


def _to_calibrate(values: dict[str, Any]) -> dict[str, Any]:
    """As many pictures as verifying will look for."""
    return calibration_of(VerifyWatermark(**values)).values()


def _stored(data: bytes) -> tuple[Any, ...]:
    try:
        return intake.store(data), "", time.time_ns()
    except BadInput as error:
        return gr.skip(), f"**{error}**", gr.skip()


def _show(result: Verified, request: VerifyWatermark) -> list[Any]:
    return [
        _verdict(result),
        _numbers(result),
        gr.Column(visible=result.pictures is None),
        figures.scores(result),
        figures.plane(result, request),
        figures.space(result),
        figures.surface(result),
        figures.rings(result),
        figures.guesses(result),
    ]


def _verdict(result: Verified) -> str:
    first, _, rest = result.sentence.partition(". ")
    kind = "found" if first.startswith("This picture carries") else "none"
    return f"<p class='{kind}' role='status'><b>{escape(first)}.</b> {escape(rest)}</p>"


def _numbers(result: Verified) -> str:
    """The three p values, each with what it assumes."""
    ways = "1 way" if result.tries == 1 else f"{result.tries:,} ways"
    n = len(result.others)
    rows = [
        ("a random key", _p(result.analytic), f"z = {result.z:.2f} is normal over keys; Bonferroni over {ways} of looking"),
        ("other keys", _p(result.keys), f"{len(result.other_keys)} other keys on this very picture; holds for any picture, no less than 1/{len(result.other_keys) + 1:,}"),
        ("unmarked pictures", "–" if result.pictures is None else _p(result.pictures),
         f"{n:,} unmarked pictures under this key; holds where the picture is like them, no less than 1/{n + 1:,}" if n else "not calibrated for these settings"),
    ]  # fmt: skip
    body = "".join(f"<tr><td>{a}</td><td><code>{b}</code></td><td>{c}</td></tr>" for a, b, c in rows)
    head = "<tr><th>compared with</th><th>p</th><th>assumes</th></tr>"
    undone = f"<p>Undone first: {escape(result.undone)}.</p>" if result.undone else ""
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>{undone}"


def _p(value: float) -> str:
    return f"{value:.2g}"
