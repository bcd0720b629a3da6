"""One slider shared by all charts of a group, over pictures that change with it.

Python sends the scenes once; from then on the browser swaps decoded pictures and moves the charts by the event
"scrub" (components/chart), and never asks Python while the slider moves.

What Python shows travels as the property `shown`; only the browser writes the value (region_picker says why).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from components.view import View

MAX_SCENES = 200
MAX_PICTURES = 24
MAX_CHARACTERS = 24_000_000  # of all data URIs in one message
MAX_KEY = 200

_FOLDER = Path(__file__).parent
_HTML = """
<div class="scrubber" data-empty>
  <div class="bar">
    <span class="name"></span><div class="rail"><input type="range" min="0" step="1"></div><output></output>
  </div>
  <div class="tiles"></div>
</div>
"""


@dataclass(frozen=True)
class Picture:
    """uri: data URI of an image, the same size in every scene."""

    label: str
    uri: str


@dataclass(frozen=True)
class Scene:
    """One place of the slider. caption: stands beside it, such as "t = 0.35"."""

    caption: str
    pictures: Sequence[Picture] = ()


@dataclass(frozen=True)
class Scenes:
    """key: names what is looked at. The slider stays where it is under another key with as many scenes, and
    goes to the middle of any other number."""

    key: str = ""
    scenes: Sequence[Scene] = ()


@dataclass(frozen=True)
class Place:
    """Where the slider rests: scene `index`; `picture` is the one just clicked, or -1."""

    key: str = ""
    index: int = 0
    picture: int = -1


class Scrubber(View):
    """Value in: Scenes, or None to leave everything as it is. Value out: Place.

    Events: `input` when the slider has come to rest, `select` when a picture is clicked. Bind them with
    trigger_mode="always_last". group: the charts that it moves; it follows "scrub" events of others too.
    """

    def __init__(
        self,
        value: Scenes | None = None,
        *,
        group: str,
        label: str = "noise level t",
        elem_id: str | None = None,
        render: bool = True,
    ):
        super().__init__(
            html_template=_HTML,
            css_template=(_FOLDER / "scrubber.css").read_text(),
            js_on_load=(_FOLDER / "scrubber.js").read_text(),
            apply_default_css=False,
            elem_id=elem_id,
            render=render,
            shown=_wire(value or Scenes()),
            group=group,
            called=label,
        )
        self.value = None

    def preprocess(self, payload: Any) -> Place:
        """A Place. gr.Error for anything that this page cannot have sent."""
        if payload in (None, ""):
            return Place()
        try:
            key, index = str(payload["key"])[:MAX_KEY], int(payload["index"])
            picture = int(payload.get("picture", -1))
            if not 0 <= index < MAX_SCENES or not -1 <= picture < MAX_PICTURES:
                raise ValueError("not one of the scenes or pictures")
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError):
            raise gr.Error("The place of the slider could not be read.") from None
        return Place(key, index, picture)

    def wire(self, value: Scenes) -> dict[str, Any]:
        return _wire(value)

    def api_info(self) -> dict[str, Any]:
        """The place travels as an object of key, index and picture."""
        return {"type": "object"}


def _wire(scenes: Scenes) -> dict[str, Any]:
    """The same as JSON, checked."""
    if len(scenes.scenes) > MAX_SCENES or len(scenes.key) > MAX_KEY:
        raise ValueError(f"at most {MAX_SCENES} scenes and {MAX_KEY} characters of key")
    if len({len(scene.pictures) for scene in scenes.scenes}) > 1:
        raise ValueError("every scene must have as many pictures")
    pictures = [[(p.label, p.uri) for p in scene.pictures] for scene in scenes.scenes]
    if any(len(row) > MAX_PICTURES for row in pictures):
        raise ValueError(f"at most {MAX_PICTURES} pictures")
    uris = [uri for row in pictures for _, uri in row]
    if sum(map(len, uris)) > MAX_CHARACTERS:
        raise ValueError("the pictures are too large to send")
    if not all(uri.startswith("data:image/") for uri in uris):
        raise ValueError("pictures must be data URIs of images")
    return {"key": scenes.key, "captions": [scene.caption for scene in scenes.scenes], "pictures": pictures}
