"""The watermark tab's red team: what attackers without the key make of marked pictures that they have."""

from collections.abc import Mapping
from typing import Any

import gradio as gr
import plotly.graph_objects as go

from backend.experiments.watermark_red_team import AMPLIFIED, MOST, Curve, RedTeam, RedTeamed
from backend.inference.cache import find
from backend.metrics.intervals import Estimate
from components.action import Action
from components.chart import Chart
from components.figures import PALETTE, base, line
from components.pictures import data_uri
from components.watermark_first import RED_TEAM
from components.watermark_pictures import row

GREY = PALETTE[6]
SECONDS = 0.8  # a face that is averaged, on two quiet cores
BOXES = {"originals": "the originals of its pictures", "others": "only other unmarked pictures"}
ABOUT = (
    "Pictures of one key have its mark in common: the mean of many, minus the mean of unmarked pictures, is that mark. Subtracted from another picture "
    "it removes the mark, added to one it forges it, and nobody needs the key. Against that each picture can be marked under a *sub-key* of its own. "
    "The attacked pictures are never among those averaged."
)


def build(settings: Mapping[str, Any], strength: gr.Slider) -> Action:
    """The panel. settings: of the mark, by field of Marking."""
    shipped: RedTeamed | None = find(RED_TEAM)
    drawn = _show(shipped, RED_TEAM) if shipped else ["", None, None, "", ""]
    gr.Markdown("### 5 Red team: what can be done without the key?")
    gr.Markdown(ABOUT)
    with gr.Row():
        with gr.Column(scale=4, min_width=330):
            pictures = gr.Slider(2, MOST, RED_TEAM.pictures, step=1, label="pictures averaged", elem_id="wm-red-count")  # fmt: skip
            button = gr.Button(_label(RED_TEAM.pictures), variant="primary", elem_id="wm-red-run")
            words = gr.HTML(drawn[0], elem_id="wm-red-words")
        with gr.Column(scale=6, min_width=330):
            charts = [
                Chart(
                    figure,
                    elem_id=f"wm-red-{box}",
                    height=300,
                    label=f"The attacker has {words_of}",
                    render=False,
                )
                for figure, (box, words_of) in zip(drawn[1:3], BOXES.items(), strict=True)
            ]
            shown = gr.HTML(drawn[3], elem_id="wm-red-pictures", render=False)
            numbers = gr.HTML(drawn[4], elem_id="wm-red-numbers", render=False)
            inputs = {**settings, "strength": strength, "pictures": pictures}
            attacking = Action(
                RedTeam, inputs, _show, [words, *charts, shown, numbers], name="watermark_red_team"
            )
            with gr.Row(elem_classes="charts"):
                for chart in charts:
                    with gr.Column(min_width=280):
                        gr.Markdown(f"**{chart.props['called']}**", elem_classes="wm-title")
                        chart.render()
    shown.render()
    numbers.render()
    attacking.on(button.click)
    pictures.change(_label, pictures, button, show_progress="hidden", api_visibility="private")
    return attacking


def _label(pictures: int) -> str:
    return f"Attack (about {max(5, 5 * round(SECONDS * (pictures + 16) / 5))} s)"


def _show(result: RedTeamed, request: RedTeam) -> list[Any]:
    words = f"<p>{' '.join(_sentences(result))}</p>"
    return [words, *(curves(result, box) for box in BOXES), _pictures(result), _numbers(result)]


def curves(result: RedTeamed, box: str) -> go.Figure:
    """z by the number of pictures averaged; solid under one key, dashed under sub-keys. Grey: what counts as a mark."""
    figure = base("pictures averaged", "z")
    for name, arm, dash in (("one key", result.one_key, "solid"), ("sub-keys", result.sub_keys, "dash")):
        for word, curve in (("removed", arm.removed[box]), ("forged", arm.forged[box])):
            values, low, high = ([getattr(one, part) for one in curve.z] for part in ("value", "low", "high"))
            i = line(figure, result.counts, values, f"{word}, {name}", low, high)
            figure.data[i].update(line_dash=dash, mode="lines+markers")
        level = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": arm.bar, "y1": arm.bar}
        figure.add_shape(level | {"line": {"width": 1, "color": GREY, "dash": dash}})
    return figure.update_xaxes(type="log", tickvals=list(result.counts))


def _numbers(result: RedTeamed) -> str:
    """After averaging all pictures."""
    both = (result.one_key, result.sub_keys)
    rows = [
        (f"{kind}, with {words}", *(cell for arm in both for cell in _cells(getattr(arm, kind)[box])))
        for box, words in BOXES.items()
        for kind in ("removed", "forged")
    ]
    columns = "".join(f"<th>z, {arm}</th><th>found</th><th>PSNR</th>" for arm in ("one key", "sub-keys"))
    before = "".join(f"<td>{_z(arm.before)}</td><td></td><td></td>" for arm in both)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" for cells in rows)
    copied = f"<td>{_z(result.copied)}</td><td></td><td>{_db(result.copied_psnr)}</td><td colspan=3>as under one key</td>"
    return (
        f"<p>After averaging {result.counts[-1]}, {result.nothing.n} pictures each, 95 % intervals:</p>"
        f"<table><tr><th></th>{columns}</tr><tr><td>marked</td>{before}</tr>{body}<tr><td>forged from one picture</td>{copied}</tr></table>"
    )


def _sentences(result: RedTeamed) -> list[str]:
    """What the numbers mean."""
    n, one, sub, of = result.counts[-1], result.one_key, result.sub_keys, result.nothing.n
    said = []
    for box, words in BOXES.items():
        gone, fake = one.removed[box], one.forged[box]
        said.append(
            f"Who has {n} pictures of one key and {words} leaves z {gone.z[-1].value:.1f} of {one.before.value:.1f} when removing the mark "
            f"({_count(gone.found[-1])} of {of} are still found) and reaches {fake.z[-1].value:.1f} when forging it ({_count(fake.found[-1])} of {of} count "
            f"as marked, {fake.psnr[-1].value:.0f} dB)."
        )
    kept = [_count(sub.removed[box].found[-1]) for box in BOXES]
    fake = [_count(sub.forged[box].found[-1]) for box in BOXES]
    said.append(
        f"Where each picture has a sub-key of its own, {' and '.join(map(str, kept))} of {of} are still found, and {' and '.join(map(str, fake))} "
        "forged ones count as marked; there more pictures forge worse, since all that an average holds is the marks of single pictures."
    )
    said.append(
        f"One marked picture and the model are enough to forge (z {result.copied.value:.1f}, {result.copied_psnr.value:.0f} dB to the cover), and no "
        "sub-key helps against that: a mark is evidence of the key, not of who made the picture."
        if result.copied.low > one.bar
        else f"One marked picture and the model are not enough to forge here (z {result.copied.value:.1f})."
    )
    return said


def _cells(curve: Curve) -> tuple[str, str, str]:
    return _z(curve.z[-1]), f"{_count(curve.found[-1])} of {curve.found[-1].n}", _db(curve.psnr[-1])


def _count(share: Estimate) -> int:
    return round(share.value * share.n)


def _z(found: Estimate) -> str:
    return f"{found.value:.1f} [{found.low:.1f}, {found.high:.1f}]"


def _db(found: Estimate) -> str:
    return f"{found.value:.1f} dB"


def _pictures(result: RedTeamed) -> str:
    n, one = result.counts[-1], result.one_key.pictures
    averaged = row(
        ("marked", data_uri(one["marked"])),
        (f"what {n} have in common, × {AMPLIFIED}", data_uri(one["delta, originals"])),
        ("mark removed", data_uri(one["removed, originals"])),
        ("never marked", data_uri(result.pictures["cover"])),
        ("forged by averaging", data_uri(one["forged, originals"])),
        ("forged from one picture", data_uri(result.pictures["copied"])),
    )
    others = row(
        (f"in common against other pictures, × {AMPLIFIED}", data_uri(one["delta, others"])),
        ("mark removed with it", data_uri(one["removed, others"])),
        ("forged with it", data_uri(one["forged, others"])),
        (f"in common under sub-keys, × {AMPLIFIED}", data_uri(result.sub_keys.pictures["delta, originals"])),
    )
    return averaged + others
