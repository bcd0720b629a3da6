"""The edit tab: choose a picture, point at a region, slide along the directions found there. Layout and wiring only."""

import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

from backend.data import avatars
from backend.editing import direction_file
from backend.editing.results import Found, Region, Strips
from backend.experiments.edit import Edit, EditAll, EditWithFile
from backend.experiments.edit_directions import FindDirections, FindRegion
from backend.experiments.edit_preview import PreviewDirections
from backend.experiments.edit_transfer import Transfer
from backend.inference import catalogue, intake
from backend.inference.cache import find
from backend.inference.catalogue import ListModels
from backend.inference.pictures import GALLERY, Invert, Inverted, Picture, Sample, gallery_picture
from backend.request import BadInput
from components.action import Action, ask, endpoint, plain
from components.filmstrip import Filmstrip, Position, Slides, Strip
from components.page import Bar
from components.pictures import data_uri, gif, heat_uri, image
from components.region_picker import RegionPicker, Shown

FIRST = EditAll()  # what the page opens with; its result is shipped in assets/runs
METHODS = [("LOCO: projected off the rest", "loco"), ("generalised: region over rest", "generalized")]
UNUSUAL = (
    "**This picture is not of the kind that the model knows:** its denoising error is {:.1f} times what 99 % of the "
    "model's own pictures stay below. Directions will mean little."
)


def build(bar: Bar) -> Sequence[Action]:
    """The tab's content; returns the actions that a link may open."""
    at, first, asked, brushed = gr.State(FIRST.at), gr.State(FIRST.first), gr.State(0), gr.State(0)
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
                "at": at,
                "first": first,
            }
            sliding = Action(EditAll, fields, lambda r, q: [_slides(r, q)], [film], answer=False)
            with gr.Column(elem_id="previewing"):
                of_region = {name: fields[name] for name in ("model", "image", "t", "region", "k")}
                previewing = Action(
                    PreviewDirections,
                    of_region,
                    lambda r, q: [_preview(r, q)],
                    [film],
                    answer=False,
                    linked=False,
                )
    with sources:
        looking = _picture_sources(bar, picker)
    _files(bar, fields, film)

    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    anew = {"fn": lambda: ((), 0, time.time_ns()), "inputs": None, "outputs": [at, first, asked]}
    pointed = pointing.on(picker.input)
    sliding.on(asked.change)
    button.click(**anew, **quiet)
    film.input(_compose, film, [at, first, asked], trigger_mode="always_last", **quiet)

    # A region that changes is previewed at once where the method can, and refined unless it changes again.
    picker.input(sliding.interrupt, None, None, queue=False, **quiet)
    for event in (pointed.success, method.change):
        event(_brushed, method, brushed, **quiet)
    previewing.on(brushed.change).success(**anew, **quiet)
    for request in (ListModels, Sample, FindDirections, Edit, Transfer):
        function = endpoint(request, plain, ask)
        gr.api(function, api_name=function.__name__)
    return [sliding, pointing, looking]


def _picture_sources(bar: Bar, picker: RegionPicker) -> Action:
    """Gallery, seed and upload; all of them only name a picture in the bar, and naming one shows it."""
    with gr.Column(scale=6, min_width=330):
        gallery = gr.Gallery(
            _gallery(FIRST.model), show_label=False, columns=12, height="auto", allow_preview=False, elem_id="gallery",
            format="png", interactive=False, buttons=[], container=False, fit_columns=False,
        )  # fmt: skip
    with gr.Column(scale=4, min_width=330):
        with gr.Row(equal_height=True, elem_id="own"):
            seed = gr.Number(7, label="seed", precision=0, minimum=0, min_width=70, elem_id="seed")
            label = gr.Dropdown(
                _labels(FIRST.model), value="happy", label="label", min_width=110, elem_id="label"
            )
            draw = gr.Button("Draw from noise", min_width=90, elem_id="draw", size="sm")
            upload = gr.UploadButton(
                "Upload a picture", type="binary", min_width=90, elem_id="upload", size="sm"
            )
        note = gr.Markdown(elem_id="note")
        looking = Action(Invert, {"model": bar.model, "image": bar.image, "t": bar.t}, _look, [picker, note])
    looking.on(bar.image.change)

    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    gallery.select(_chosen, None, bar.image, **quiet)
    draw.click(
        lambda s, name: f"sample:{int(s or 0)}:{name or ''}".removesuffix(":"),
        [seed, label],
        bar.image,
        **quiet,
    )
    upload.upload(_stored, upload, [bar.image, note], **quiet)
    bar.model.change(_other_model, bar.model, [gallery, label, bar.image, bar.t], **quiet)
    return looking


def _files(bar: Bar, fields: dict[str, gr.components.Component], film: Filmstrip) -> None:
    """Downloads of what is shown, and directions from a file."""
    with gr.Row(elem_id="files", equal_height=True):
        names = {"png": "Picture", "gif": "Strip as GIF", "safetensors": "Directions"}
        buttons = {
            kind: gr.Button(name, size="sm", min_width=100, elem_id=f"save-{kind}")
            for kind, name in names.items()
        }
        given = gr.UploadButton(
            "Use directions from a file", type="binary", size="sm", min_width=180, elem_id="given"
        )
        ready = gr.DownloadButton(visible="hidden", elem_id="ready")
    reference = gr.Textbox(visible=False)
    with_file = Action(
        EditWithFile,
        {"model": bar.model, "image": bar.image, "file": reference},
        lambda r, q: [_one_strip(r, q)],
        [film],
    )
    with_file.on(reference.change)
    given.upload(_stored_directions, given, reference, show_progress="hidden", api_visibility="private")
    inputs = [*fields.values(), film]
    for kind, button in buttons.items():
        made = button.click(
            _saver(kind, list(fields)), inputs, ready, show_progress="hidden", api_visibility="private"
        )
        made.success(
            None, None, None, js="() => setTimeout(() => document.querySelector('#ready').click(), 200)"
        )


# What the actions show


def _region(result: Region, request: FindRegion) -> list[Shown]:
    return [Shown(region=request.region, overlay=result.rle)]


def _look(result: Inverted, request: Invert) -> list[Shown | str]:
    words = f"To t = {request.t:.2f} and back: {result.psnr:.1f} dB."
    if result.error > 1:
        words += " " + UNUSUAL.format(result.error)
    return [Shown(image=data_uri(result.x_0), parts=_parts(request.model)), words]


def _slides(result: Strips, request: EditAll) -> Slides:
    found, n = result.found, len(result.strips)
    at = [*request.at, *[0.0] * n][:n]
    symbol = "s" if request.method == "loco" else "g"
    strips = []
    for i, strip in enumerate(result.strips):
        strips.append(
            Strip(
                key=request.strip(i).key(),
                title=found.names[i] or f"direction {i + 1}",
                strengths=strip.strengths,
                frames=[data_uri(picture) for picture in strip.pictures],
                predicted=strip.predicted,
                label=_measures(symbol, found, i),
                heat=heat_uri(found.heat[i]),
                base=at,
                strength=at[i],
            )
        )
    return Slides(request.directions().key(), data_uri(result.original), strips)


def _preview(result: Strips, request: PreviewDirections) -> Slides:
    found, key = result.found, request.key()
    strips = [
        Strip(
            key=f"{key}:{i}",
            title=found.names[i] or f"direction {i + 1}",
            strengths=strip.strengths,
            frames=[data_uri(picture) for picture in strip.pictures],
            predicted=strip.predicted,
            label=_measures("g", found, i),
            heat=heat_uri(found.heat[i]),
        )
        for i, strip in enumerate(result.strips)
    ]
    return Slides(key, data_uri(result.original), strips)


def _measures(symbol: str, found: Found, i: int) -> str:
    s, leak = float(found.s[i]), float(found.leak[i])
    return f"{symbol} = {s:.2f}, α {symbol} = {found.alpha * s:.2f}, leak {leak:.2f}"


def _one_strip(result, request: EditWithFile) -> Slides:
    frames = [data_uri(picture) for picture in result.pictures]
    strip = Strip(request.key(), "direction from the file", result.strengths, frames, result.predicted)
    return Slides(request.key(), frames[len(frames) // 2], [strip])


def _opening(shipped: Strips | None) -> Shown:
    if shipped is None:
        return Shown()
    from backend.editing.region import encode_rle

    mask = encode_rle(shipped.found.mask)
    return Shown(data_uri(shipped.original), _parts(FIRST.model), FIRST.region, mask, pick=True)


# What the controls mean


def _compose(position: Position) -> tuple[tuple[float, ...], int, int]:
    return position.strengths, position.index, time.time_ns()


def _brushed(method: str) -> Any:
    return time.time_ns() if method == "generalized" else gr.skip()


def _chosen(event: gr.SelectData) -> str:
    return f"gallery:{event.index}"


def _stored(data: bytes) -> tuple[str, str]:
    try:
        return intake.store(data), ""
    except BadInput as error:
        return gr.skip(), f"**{error}**"


def _stored_directions(data: bytes) -> str:
    try:
        return intake.keep(direction_file.dump(direction_file.load(data)))
    except BadInput as error:
        raise gr.Error(str(error)) from None


def _other_model(name: str) -> tuple:
    card = catalogue.card(name)
    labels = gr.Dropdown(choices=_labels(name), value=card.labels[0] if card.labels else None)
    return _gallery(name), labels, "gallery:0", card.t


def _saver(kind: str, names: list[str]):
    def save(*values) -> str:
        """A file of what is shown. gr.Error where nothing was found yet."""
        *values, position = values
        request = EditAll.parse(dict(zip(names, values, strict=True)))
        result = find(request)
        if result is None:
            raise gr.Error("Find directions first.")
        strip = result.strips[position.index]
        if kind == "safetensors":
            data = direction_file.dump(_saved(request, result))
        elif kind == "gif":
            data = gif(strip.pictures)
        else:
            strength = (position.strengths or (0.0,) * request.k)[position.index]
            nearest = min(range(len(strip.strengths)), key=lambda i: abs(strip.strengths[i] - strength))
            return _file("picture.png", lambda path: image(strip.pictures[nearest]).save(path))
        return _file(
            f"directions.{kind}" if kind == "safetensors" else "strip.gif",
            lambda path: path.write_bytes(data),
        )

    return save


def _saved(request: EditAll, result: Strips) -> direction_file.Saved:
    found, card = result.found, catalogue.card(request.model)
    step = 0.1 * found.size**0.5 / found.gain
    return direction_file.Saved(
        found.v, found.s, step, card.name, catalogue.weights_sha256(card), request.t, request.region, request.seed,
        request.rank, found.names, request.method,
    )  # fmt: skip


def _file(name: str, write) -> str:
    path = Path(tempfile.mkdtemp()) / name
    write(path)
    return str(path)


@cache
def _gallery(model: str) -> list:
    pictures: list[Picture] = [gallery_picture(catalogue.card(model).data, i) for i in range(GALLERY)]
    return [image(picture.x_0) for picture in pictures]


def _labels(model: str) -> list[tuple[str, str]]:
    return [("any", ""), *((name, name) for name in catalogue.card(model).labels)]


def _parts(model: str) -> tuple[str, ...]:
    return avatars.PARTS if catalogue.card(model).data == "avatars" else ()
