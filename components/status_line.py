"""The line under a button that says how its request is doing, with cancel, link and Python."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

_FOLDER = Path(__file__).parent
_HTML = """
<div class="line" data-state="idle">
  <div class="track"><i></i></div>
  <span class="words" role="status" aria-live="polite"></span>
  <span class="keys">
    <button type="button" class="cancel">Cancel</button>
    <button type="button" class="link">Copy link</button>
    <button type="button" class="python">Copy as Python</button>
  </span>
</div>
"""


class StatusLine(gr.HTML):
    """One line that says how a request is doing.

    Value in: a mapping with `state` (idle, running, done, failed, cancelled) and what belongs to it: words, done,
    total, query, why_no_link, python, linked; None leaves it as it is. Events: `stop`, by the Cancel button;
    `submit`, which answers the state "open" once the components of an opened link are filled.
    """

    def __init__(self, *, render: bool = True):
        super().__init__(
            html_template=_HTML,
            css_template=(_FOLDER / "status_line.css").read_text(),
            js_on_load=(_FOLDER / "status_line.js").read_text(),
            apply_default_css=False,
            elem_classes="status-line",
            render=render,
        )
        self.value = None

    def postprocess(self, value: Mapping[str, Any] | None) -> dict[str, Any]:
        """An update of the value, or of nothing."""
        return {"__type__": "update"} | ({} if value is None else {"value": dict(value)})
