"""The edit tab: choose a picture, point at a region, slide along the directions found there. Layout and wiring only."""

import time
from collections.abc import Sequence
from typing import Any

import gradio as gr

from backend.editing.results import Found, Region, Strips
from backend.experiments.edit import Edit, EditAll
from backend.experiments.edit_compare import CompareMethods
from backend.experiments.edit_directions import FindDirections, FindRegion
from backend.experiments.edit_preview import PreviewDirections
from backend.experiments.edit_set import EditSet, EditWithFile
from backend.experiments.edit_transfer import Transfer
from backend.inference.cache import find
from backend.inference.catalogue import ListModels
from backend.inference.pictures import Sample
from backend.request import BadInput
from components import files_panel, linearity_panel, methods_panel, set_panel, sources_panel, transfer_panel
from components.action import Action, ask, endpoint, plain
from components.filmstrip import Filmstrip, Position, Slides, Strip
from components.page import Bar
from components.pictures import data_uri, heat_uri
from components.region_picker import RegionPicker, Shown

FIRST = EditAll()  # what the page opens with; its result is shipped in assets/runs
ENDPOINTS = {  # what has no action of the same name; None for the last word of the class name
    ListModels: None,
    Sample: None,
    FindDirections: None,
    Edit: None,
    EditWithFile: None,
    Transfer: None,
    CompareMethods: "compare_methods",
}
AGAIN = 1.0  # seconds in which the same directions are asked for once: a dropdown tells a choice twice
METHODS = [("LOCO", "loco"), ("generalised", "generalized")]


def build(bar: Bar) -> Sequence[Action]:
    """The tab's content; returns the actions that a link may open."""
    at, first, asked, brushed = gr.State(FIRST.at), gr.State(FIRST.first), gr.State(0), gr.State("")
    shipped: Strips | None = find(FIRST)
    sources = gr.Row(elem_id="sources")
    with gr.Row():
        with gr.Column(scale=4, min_width=330, elem_id="point"):
            picker = RegionPicker(_opening(shipped), elem_id="picker")
            pointing = Action(
                FindRegion,
                {"model": bar.model, "image": bar.image, "region": picker},
                _region,
                [picker],
                linked=False,
            )
            with gr.Row(equal_height=True):
                k = gr.Slider(1, 8, value=FIRST.k, step=1, label="directions k", elem_id="k", min_width=140)
                method = gr.Dropdown(
                    METHODS, value=FIRST.method, label="method", elem_id="method", min_width=140
                )
            with gr.Row(equal_height=True, visible=FIRST.method == "generalized") as of_generalized:
                ridge = gr.Slider(
                    0.01, 1, FIRST.ridge, step=0.01, label="ridge μ (small: only the region moves)",
                    elem_id="ridge", min_width=200,
                )  # fmt: skip
                hold = gr.Checkbox(FIRST.hold, label="hold the rest", elem_id="hold", min_width=120)
            button = gr.Button("Find directions", variant="primary", elem_id="find")
        with gr.Column(scale=6, min_width=330, elem_id="slide"):
            film = Filmstrip(_slides(shipped, FIRST) if shipped else None, elem_id="film")
            fields = {
                "model": bar.model,
                "image": bar.image,
                "t": bar.t,
                "region": picker,
                "k": k,
                "method": method,
                "ridge": ridge,
                "hold": hold,
                "at": at,
                "first": first,
            }
            sliding = Action(EditAll, fields, lambda r, q: [_slides(r, q)], [film], answer=False)
            with gr.Column(elem_id="previewing"):
                of_region = {name: fields[name] for name in ("model", "image", "t", "region", "k", "ridge")}
                previewing = Action(
                    PreviewDirections,
                    of_region,
                    lambda r, q: [_preview(r, q)],
                    [film],
                    answer=False,
                    linked=False,
                )
    with sources:
        looking = sources_panel.build(bar, picker, FIRST.model)
    file, set_asked = gr.State(""), gr.State(0)
    files_panel.build(fields, film, file)
    of_directions = {name: part for name, part in fields.items() if name not in ("hold", "at", "first")}
    transferring = transfer_panel.build(of_directions, film)
    measuring = linearity_panel.build(of_directions, film)
    comparing = methods_panel.build(fields)
    set_panel.build(fields, film, file, set_asked, bar.sent, _set_slides)

    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    anew = {"fn": lambda: ((), 0, time.time_ns()), "inputs": None, "outputs": [at, first, asked]}
    pointed = pointing.on(picker.input)
    sliding.on(asked.change)
    button.click(**anew, **quiet)
    film.input(_compose, film, [at, first, asked, set_asked], trigger_mode="always_last", **quiet)

    # A region that changes is previewed at once where the method can, and refined unless it changes again.
    # A picture that arrives asks for its region again: what already runs or shows it, as after a link, goes on.
    def superseded(http: gr.Request, image: str, region: str) -> None:
        if not sliding.is_running(http, image=image, region=region):
            sliding.interrupt(http)

    def to_preview(http: gr.Request, last: str, position: Position, *values: Any) -> Any:
        now = dict(zip(fields, values, strict=True))
        known = sliding.is_running(http, image=now["image"], region=now["region"])
        key, moment = _new_directions(position, now), time.monotonic()
        before, _, then = last.partition(" ")
        if known or not key or (key == before and moment - float(then) < AGAIN):
            return gr.skip()
        return f"{key} {moment}"

    picker.input(superseded, [bar.image, picker], None, queue=False, **quiet)
    for event in (pointed.success, method.input, ridge.release):
        event(to_preview, [brushed, film, *fields.values()], brushed, **quiet)
    method.change(lambda name: gr.Row(visible=name == "generalized"), method, of_generalized, **quiet)
    hold.input(lambda: time.time_ns(), None, asked, **quiet)
    previewing.on(brushed.change).success(**anew, **quiet)
    for request, name in ENDPOINTS.items():
        function = endpoint(request, plain, ask, name)
        gr.api(function, api_name=function.__name__)
    return [sliding, pointing, looking, transferring, measuring, comparing]


# What the actions show


def _region(result: Region, request: FindRegion) -> list[Shown]:
    return [Shown(region=request.region, overlay=result.rle)]


def _slides(result: Strips, request: EditAll) -> Slides:
    symbol = "s" if request.method == "loco" else "g"
    keys = [request.strip(i).key() for i in range(len(result.strips))]
    return _drawn(request.directions().key(), keys, symbol, result, request.at)


def _set_slides(result: Strips, request: EditSet) -> Slides:
    keys = [request.strip(i).key() for i in range(len(result.strips))]
    return _drawn(f"set:{request.file}:{request.image}", keys, "s", result, request.at)


def _preview(result: Strips, request: PreviewDirections) -> Slides:
    key = request.key()
    return _drawn(key, [f"{key}:{i}" for i in range(len(result.strips))], "g", result, ())


def _drawn(key: str, keys: Sequence[str], symbol: str, result: Strips, at: Sequence[float]) -> Slides:
    found, at = result.found, [*at, *[0.0] * len(keys)][: len(keys)]
    strips = [
        Strip(
            key=keys[i],
            title=found.names[i] or f"direction {i + 1}",
            strengths=strip.strengths,
            frames=[data_uri(picture) for picture in strip.pictures],
            predicted=strip.predicted,
            label=_measures(symbol, found, i),
            heat=heat_uri(found.heat[i]),
            base=at,
            strength=at[i],
        )
        for i, strip in enumerate(result.strips)
    ]
    return Slides(key, data_uri(result.original), strips)


def _measures(symbol: str, found: Found, i: int) -> str:
    s, leak = float(found.s[i]), float(found.leak[i])
    return f"{symbol} = {s:.2f}, α {symbol} = {found.alpha * s:.2f}, leak {leak:.2f}"


def _opening(shipped: Strips | None) -> Shown:
    if shipped is None:
        return Shown()
    from backend.editing.region import encode_rle

    mask = encode_rle(shipped.found.mask)
    return Shown(
        data_uri(shipped.original), sources_panel.parts_of(FIRST.model), FIRST.region, mask, pick=True
    )


# What the controls mean


def _compose(position: Position) -> tuple[Any, ...]:
    """Strengths, the direction touched, and which action is to draw them: that of the set if one slides."""
    moments = [gr.skip(), time.time_ns()] if position.key.startswith("set:") else [time.time_ns(), gr.skip()]
    return position.strengths, position.index, *moments


def _new_directions(position: Position, values: dict[str, Any]) -> str:
    """The key of the directions to be previewed; "" where the method cannot, or the sliders are those of these very ones."""
    try:
        request = EditAll.parse(values)
    except BadInput:
        return ""
    key = request.directions().key()
    return key if request.method == "generalized" and key != position.key else ""
