"""The guidance tab's last view: what is said of guidance, and the numbers that came out here; and every part on its own."""

import json
from html import escape
from itertools import groupby
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from backend.inference.catalogue import ASSETS
from components.chart import Chart
from components.figures import PALETTE, base

CLAIMS, ABLATION = (ASSETS / "results" / f"guidance_{name}.json" for name in ("claims", "ablation"))
VERDICTS = {"holds": "✓", "holds in part": "◐", "does not hold": "✗"}
MARKS = {True: "✓", False: "✗", None: ""}
NOTE = "A statement holds where the whole interval of every number does; n counts classes, blocks of 100 samples of a class, or seeds."
FIRST = "digits"  # whose ablation the chart shows first
AXES = ("variance", "Frechet")  # measures of tests.benchmarks.guidance_ablation


def build() -> None:
    """The panel, which asks nothing: it shows what tests.benchmarks measured."""
    saved = [json.loads(path.read_text()) if path.exists() else None for path in (CLAIMS, ABLATION)]
    if not any(saved):
        return
    claims, ablation = saved
    with gr.Column(elem_id="guidance-claims"):
        gr.Markdown("### What is said of guidance, and what comes out")
        if claims:
            gr.Markdown(f"{NOTE} `{claims['command']}`, {claims['date']}.")
            gr.HTML(_table(claims["rows"]), elem_classes="grid")
        if ablation:
            data = list(dict.fromkeys(row["data"] for row in ablation["rows"]))
            first = FIRST if FIRST in data else data[0]
            with gr.Row():
                chosen = gr.Dropdown(
                    data, value=first, label="samples of", elem_id="ablation-data", min_width=160, scale=0
                )
            chart = Chart(
                _ablation(ablation["rows"], first),
                elem_id="ablation",
                label="Every part on its own: distance against variance",
                height=420,
            )
            chosen.input(
                lambda name: _ablation(ablation["rows"], name) if name in data else None,
                chosen, chart, show_progress="hidden", api_visibility="private",
            )  # fmt: skip


def _table(rows: list[dict[str, Any]]) -> str:
    """A block of rows for each statement."""
    body = ""
    for sentence, group in groupby(rows, key=lambda row: row["claim"]):
        group = list(group)
        head = f"<b>{escape(sentence)}</b> <small>{escape(group[0]['source'])}</small> <b>{VERDICTS[group[0]['verdict']]} {group[0]['verdict']}</b>"
        body += f"<tr><th scope='row' colspan='5'>{head}</th></tr>"
        body += "".join(map(_row, group))
    names = ("measured", "", "95 % interval", "n", "to hold")
    head = "".join(f"<th scope='col'>{name}</th>" for name in names)
    return f"<table class='claims'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _row(row: dict[str, Any]) -> str:
    what = escape(row["what"])
    if row["link"]:
        what = f"<a href='?{escape(row['link'])}'>{what}</a>"
    interval = (
        "exact"
        if row["high"] - row["low"] <= 1e-6 * abs(row["value"])
        else f"{row['low']:.3g} to {row['high']:.3g}"
    )
    held = f"{escape(row['expected'])} {MARKS[row['holds']]}"
    cells = (what, f"{row['value']:.3g}", interval, f"{row['n']}", held)
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _ablation(rows: list[dict[str, Any]], data: str) -> go.Figure:
    """A point for each setting: total variance over that of real pictures, and Frechet distance over its floor; the window by its
    shape, gamma by its size."""
    figure = base(
        f"{AXES[0]} over that of real pictures",
        "Frechet distance over its floor",
        xaxis_type="log",
        yaxis_type="log",
    )
    found: dict[tuple, dict[str, dict[str, Any]]] = {}
    for row in rows:
        if row["data"] == data:
            measure = row["measure"].partition(",")[0]
            found.setdefault((row["arm"], row["gamma"], row["window"]), {})[measure] = row
    shapes = {"everywhere": "circle", "noisy half": "triangle-up", "clean half": "triangle-down"}
    arms = list(dict.fromkeys(arm for arm, _, _ in found))
    for i, arm in enumerate(arms):
        points = [
            (key, one) for key, one in found.items() if key[0] == arm and all(axis in one for axis in AXES)
        ]
        if not points:
            continue
        x, y = ([one[axis] for _, one in points] for axis in AXES)
        figure.add_scatter(
            x=[one["value"] for one in x], y=[one["value"] for one in y], mode="markers", name=arm,
            error_x=_errors(x), error_y=_errors(y),
            text=[_words(key, one) for key, one in points], hovertemplate="%{text}<extra>" + arm + "</extra>",
            marker={
                "color": PALETTE[i % len(PALETTE)], "symbol": [shapes[key[2]] + "-open" * (i >= len(PALETTE)) for key, _ in points],
                "size": [8 + 1.5 * key[1] for key, _ in points],
            },
        )  # fmt: skip
    return figure.add_vline(1, line={"width": 1, "dash": "dot"})


def _errors(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "type": "data", "symmetric": False, "width": 0, "thickness": 1,
        "array": [row["high"] - row["value"] for row in rows], "arrayminus": [row["value"] - row["low"] for row in rows],
    }  # fmt: skip


def _words(key: tuple, measures: dict[str, dict[str, Any]]) -> str:
    numbers = "<br>".join(f"{name}: {row['value']:.3g}" for name, row in measures.items())
    return f"γ = {key[1]:g}, {key[2]}<br>{numbers}"
