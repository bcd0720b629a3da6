"""Large pictures side by side that follow a slider of their group, and show what is under way before there is one.

Python sends all frames once; the browser decodes them, and swaps them by the event "scrub" (components/scrubber).
What Python shows travels as the property `shown` (region_picker says why).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.view import View

MAX_SHEETS = 8
MAX_FRAMES = 201
MAX_CHARACTERS = 24_000_000  # of all data URIs in one message

_FOLDER = Path(__file__).parent
_HTML = '<div class="sheets"></div>'


@dataclass(frozen=True)
class Sheet:
    """frames: data URIs of images, one for each place of the slider, or one for all places. A slider further on shows the last."""

    label: str
    frames: Sequence[str]


class Sheets(View):
    """Value in: Sheets of pictures, or None to leave everything as it is. group: whose "scrub" events it follows."""

    def __init__(self, value: Sequence[Sheet] = (), *, group: str, elem_id: str | None = None):
        super().__init__(
            html_template=_HTML,
            css_template=(_FOLDER / "sheets.css").read_text(),
            js_on_load=(_FOLDER / "sheets.js").read_text(),
            apply_default_css=False,
            elem_id=elem_id,
            shown=_wire(value),
            group=group,
        )
        self.value = None

    def wire(self, value: Sequence[Sheet]) -> list[dict[str, Any]]:
        return _wire(value)


def _wire(sheets: Sequence[Sheet]) -> list[dict[str, Any]]:
    """The same as JSON, checked."""
    uris = [uri for sheet in sheets for uri in sheet.frames]
    if len(sheets) > MAX_SHEETS or any(not 1 <= len(sheet.frames) <= MAX_FRAMES for sheet in sheets):
        raise ValueError(f"at most {MAX_SHEETS} sheets, of 1 to {MAX_FRAMES} frames")
    if sum(map(len, uris)) > MAX_CHARACTERS:
        raise ValueError("the pictures are too large to send")
    if not all(uri.startswith("data:image/") for uri in uris):
        raise ValueError("pictures must be data URIs of images")
    return [{"label": sheet.label, "frames": list(sheet.frames)} for sheet in sheets]
