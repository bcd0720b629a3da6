"""The watermark tab's key files: what the settings and the salt of a mark are kept in. They hold no passphrase."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import gradio as gr

from backend.experiments.watermark_verify import VerifyWatermark
from backend.inference import catalogue
from backend.request import BadInput
from backend.watermark import key_file
from backend.watermark.key import derive
from backend.watermark.key_file import KeyFile
from components.files_panel import as_file

ENTRIES = ("family", "centre", "inner", "outer", "channels", "t", "steps")  # of the scheme, on the page
NEW_SALT = "The salt is new, so the key is another one: embed again."
OPENED = "This key file belongs to key {}; its settings are in place."


def build(settings: Mapping[str, gr.components.Component]) -> None:
    """A button that saves the key file of the settings, with a fresh salt where there is none, and one that opens one."""
    with gr.Row(equal_height=True):
        save = gr.Button("Save a key file", size="sm", min_width=120, elem_id="wm-key-save")
        given = gr.UploadButton(
            "Open a key file", type="binary", size="sm", min_width=120, elem_id="wm-key-open"
        )
        ready = gr.DownloadButton(visible="hidden", elem_id="wm-key-ready")
    note = gr.Markdown(elem_id="wm-key-note")
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    names = list(settings)
    salted = gr.on(
        save.click, lambda *values: _salted(dict(zip(names, values, strict=True))), list(settings.values()),
        [settings["salt"], note, ready], **quiet,
    )  # fmt: skip
    salted.success(
        None,
        None,
        None,
        js=f"() => setTimeout(() => document.querySelector('#{ready.elem_id}').click(), 200)",
    )
    outputs = [*(settings[name] for name in ENTRIES), settings["salt"], note]
    given.upload(opened, [given, settings["passphrase"], settings["model"]], outputs, **quiet)


def saved(values: dict[str, Any]) -> KeyFile:
    """The key file of the settings of the page; its salt is fresh where they have none. Raises BadInput."""
    request = VerifyWatermark.parse(values)
    weights = catalogue.weights_sha256(catalogue.card(request.model))
    if not request.salt:
        return key_file.make(request.passphrase, request.scheme(), request.model, weights)
    key = derive(request.passphrase, request.scheme(), weights, request.salt)
    today = datetime.now(UTC).date().isoformat()
    return KeyFile(request.model, weights, request.scheme(), request.salt.lower(), key.fingerprint, today)


def opened(data: bytes, passphrase: str, model: str) -> list[Any]:
    """The values of the settings, the salt and the note. A file that this passphrase or model does not open changes nothing."""
    try:
        file = key_file.from_bytes(data)
        weights = catalogue.weights_sha256(catalogue.card(model))
        key_file.open_with(file, passphrase, model, weights)
    except BadInput as error:
        return [gr.skip()] * (len(ENTRIES) + 1) + [f"**{error}**"]
    return [*(getattr(file.scheme, name) for name in ENTRIES), file.salt, OPENED.format(file.fingerprint)]


def _salted(values: dict[str, Any]) -> tuple[Any, ...]:
    try:
        file = saved(values)
    except BadInput as error:
        raise gr.Error(str(error), print_exception=False) from None
    note = "" if values["salt"] else NEW_SALT
    return file.salt, note, as_file("watermark_key.json", key_file.to_bytes(file))
