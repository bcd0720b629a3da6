"""The edit tab's files: downloads of what is shown, and directions from a file."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import gradio as gr

from backend.editing import direction_file
from backend.editing.results import Strips
from backend.experiments.edit import EditAll, EditWithFile
from backend.inference import catalogue, intake
from backend.inference.cache import find
from backend.request import BadInput
from components.action import Action
from components.filmstrip import Filmstrip, Slides, Strip
from components.page import Bar
from components.pictures import data_uri, gif, image


def build(bar: Bar, fields: Mapping[str, gr.components.Component], film: Filmstrip) -> None:
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


def _one_strip(result, request: EditWithFile) -> Slides:
    frames = [data_uri(picture) for picture in result.pictures]
    strip = Strip(request.key(), "direction from the file", result.strengths, frames, result.predicted)
    return Slides(request.key(), frames[len(frames) // 2], [strip])


def _stored_directions(data: bytes) -> str:
    try:
        return intake.keep(direction_file.dump(direction_file.load(data)))
    except BadInput as error:
        raise gr.Error(str(error)) from None


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
