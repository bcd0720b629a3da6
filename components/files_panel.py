"""The edit tab's downloads of what is shown."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import gradio as gr

from backend.editing import direction_file
from backend.editing.paste import paste
from backend.experiments.edit import EditAll
from backend.experiments.edit_set import EditSet, saved_of
from backend.inference import intake
from backend.inference.cache import find
from backend.request import BadInput
from components.filmstrip import Filmstrip, Position
from components.pictures import gif, png

NAMES = {
    "png": "Picture",
    "whole": "In the whole upload",
    "gif": "Strip as GIF",
    "safetensors": "Directions",
}
NOTHING = "Find directions first."


def build(fields: Mapping[str, gr.components.Component], film: Filmstrip, file: gr.State) -> None:
    """The row of buttons; `fields` are those of EditAll, `file` names the set that slides, if one does."""
    with gr.Row(elem_id="files", equal_height=True):
        buttons = {
            kind: gr.Button(name, size="sm", min_width=100, elem_id=f"save-{kind}")
            for kind, name in NAMES.items()
        }
        ready = gr.DownloadButton(visible="hidden", elem_id="ready")
    inputs = [film, file, *fields.values()]
    for kind, button in buttons.items():
        download(button, _saver(kind, list(fields)), inputs, ready)


def download(button: gr.Button, made: Callable, inputs: list, ready: gr.DownloadButton) -> None:
    """A button that saves the file whose path `made` returns; `ready` is a hidden button that the browser clicks."""
    done = button.click(made, inputs, ready, show_progress="hidden", api_visibility="private")
    press = f"() => setTimeout(() => document.querySelector('#{ready.elem_id}').click(), 200)"
    done.success(None, None, None, js=press)


def as_file(name: str, data: bytes) -> str:
    """The path of a new file of that name."""
    path = Path(tempfile.mkdtemp()) / name
    path.write_bytes(data)
    return str(path)


def _saver(kind: str, names: list[str]) -> Callable[..., str]:
    def save(position: Position, file: str, *values) -> str:
        """A file of what is shown. gr.Error where nothing was found yet."""
        given = dict(zip(names, values, strict=True))
        try:
            if position.key.startswith("set:"):
                chosen = {name: given[name] for name in ("model", "image", "at", "first")}
                request = EditSet.parse(chosen | {"file": file})
            else:
                request = EditAll.parse(given)
            result = find(request)
            if result is None:
                raise BadInput(NOTHING)
            if kind == "safetensors":
                own = isinstance(request, EditSet)
                data = intake.held(file) if own else direction_file.dump(saved_of(request, result.found))
                return as_file("directions.safetensors", data)
            strip = result.strips[position.index]
            if kind == "gif":
                return as_file("strip.gif", gif(strip.pictures))
            strength = (*position.strengths, *[0.0] * 8)[position.index]
            nearest = min(range(len(strip.strengths)), key=lambda i: abs(strip.strengths[i] - strength))
            shown = strip.pictures[nearest]
            if kind == "whole":
                still = strip.pictures[strip.strengths.index(0.0)]
                shown = paste(intake.open_whole(request.image), shown - still)
            return as_file("picture.png", png(shown))
        except BadInput as error:
            raise gr.Error(str(error)) from None

    return save
