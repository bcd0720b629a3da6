"""The edit tab's set of directions: kept from any pictures and regions, named, saved, opened, slid along together."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from backend.editing import direction_file
from backend.editing.direction_file import Saved
from backend.experiments.edit import EditAll
from backend.experiments.edit_directions import FindDirections
from backend.experiments.edit_set import EditSet, collect, saved_of
from backend.inference import intake
from backend.inference.cache import find
from backend.request import BadInput, Failed
from components.action import Action, ask
from components.files_panel import NOTHING, as_file, download
from components.filmstrip import Filmstrip, Position, Slides

STALE = "Find directions first: the picture or the region has changed since."


@dataclass(frozen=True)
class Entry:
    """One direction of the set, by what brings it back: the request that found it, or a file that holds it."""

    source: FindDirections | str
    index: int

    def saved(self) -> Saved:
        """The direction itself, computed again if it is no longer held. Raises BadInput if its file is gone."""
        if isinstance(self.source, str):
            return direction_file.pick(direction_file.load(intake.held(self.source)), self.index)
        found = find(self.source)
        if found is None:
            *_, found = ask(self.source)
            if isinstance(found, Failed):
                raise BadInput(found.sentence)
        return direction_file.pick(saved_of(self.source, found), self.index)


def build(
    fields: Mapping[str, gr.components.Component],
    film: Filmstrip,
    file: gr.State,
    asked: gr.State,
    sent: gr.State,
    show: Callable[[Any, EditSet], Slides],
) -> None:
    """The panel. fields: of EditAll; file: takes the name of the set that slides; asked: changes when it should be drawn;
    sent: the reference of a set that another tab sends."""
    entries = gr.State(())
    with gr.Accordion("My set of directions", open=False, elem_id="set") as panel:
        with gr.Row(equal_height=True):
            add = gr.Button("Add the direction that slides", size="sm", elem_id="set-add")
            given = gr.UploadButton("Open a set from a file", type="binary", size="sm", elem_id="given")
        with gr.Row(equal_height=True):
            title = gr.Textbox("", label="title", max_length=60, elem_id="set-title", scale=1, min_width=160)
            names = gr.Textbox(
                "", label="names, one a line; an emptied line drops its direction", lines=3, max_lines=8,
                max_length=500, elem_id="set-names", scale=3, min_width=240,
            )  # fmt: skip
        with gr.Row(equal_height=True):
            use = gr.Button("Slide along the set on this picture", size="sm", elem_id="set-use")
            save = gr.Button("Save the set", size="sm", elem_id="set-save")
        ready = gr.DownloadButton(visible="hidden", elem_id="set-ready")
        inputs = {name: fields[name] for name in ("model", "image", "at", "first")} | {"file": file}
        action = Action(EditSet, inputs, lambda r, q: [show(r, q)], [film], answer=False, linked=False)
    action.on(asked.change)

    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    add.click(_adder(list(fields)), [entries, names, film, *fields.values()], [entries, names], **quiet)
    whole = [entries, names, title, file, fields["at"], fields["first"], asked]
    given.upload(_opened, given, whole, **quiet)
    sent.change(
        lambda file: (*_opened(intake.held(file)), gr.Accordion(open=True)), sent, [*whole, panel], **quiet
    )
    use.click(
        _used, [entries, names, title], [entries, names, file, fields["at"], fields["first"], asked], **quiet
    )
    download(save, _saved, [entries, names, title], ready)


def _adder(fields: Sequence[str]) -> Callable[..., tuple]:
    def add(entries: tuple, names: str, position: Position, *values: Any) -> tuple[tuple, str]:
        """The set with the sliding direction added, under the name of the factor that it moves."""
        try:
            shown = EditAll.parse(dict(zip(fields, values, strict=True)))
        except BadInput as error:
            raise gr.Error(str(error)) from None
        request, drawn = shown.directions(), find(shown)
        found = drawn.found if drawn else find(request)
        if found is None or position.index >= len(found.v):
            raise gr.Error(NOTHING)
        if request.key() != position.key:
            raise gr.Error(STALE)
        entries, lines = _kept(entries, names)
        name = found.names[position.index] or f"direction {position.index + 1}"
        return (*entries, Entry(request, position.index)), "\n".join([*lines, name])

    return add


def _opened(data: bytes) -> tuple:
    """The set that a file holds, in the place of the present one, and slid along at once."""
    try:
        saved = direction_file.load(data)
        file = intake.keep(direction_file.dump(saved))
    except BadInput as error:
        raise gr.Error(str(error)) from None
    entries = tuple(Entry(file, i) for i in range(len(saved.v)))
    return entries, "\n".join(saved.names), saved.title, file, (), 0, time.time_ns()


def _used(entries: tuple, names: str, title: str) -> tuple:
    entries, lines = _kept(entries, names)
    return entries, "\n".join(lines), intake.keep(_file(entries, lines, title)), (), 0, time.time_ns()


def _saved(entries: tuple, names: str, title: str) -> str:
    entries, lines = _kept(entries, names)
    return as_file("set.safetensors", _file(entries, lines, title))


def _file(entries: Sequence[Entry], lines: Sequence[str], title: str) -> bytes:
    try:
        return collect([entry.saved() for entry in entries], lines, title)
    except BadInput as error:
        raise gr.Error(str(error)) from None


def _kept(entries: Sequence[Entry], names: str) -> tuple[tuple[Entry, ...], list[str]]:
    """The entries whose line still has a name, and the names. gr.Error where lines and directions do not match."""
    lines = [line.strip() for line in names.split("\n")] if names else []
    lines += [""] * (len(entries) - len(lines))  # a browser may drop empty lines at the end
    if any(lines[len(entries) :]):
        raise gr.Error("There are more names than directions in the set.")
    pairs = [(entry, line) for entry, line in zip(entries, lines, strict=False) if line]
    return tuple(entry for entry, _ in pairs), [line for _, line in pairs]
