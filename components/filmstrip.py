"""Sliders over frames that are already in the browser: one big picture, a row for each of up to 8 directions.

Python renders a *strip*, a row of frames at given strengths, once; from then on sliding swaps decoded frames in
the browser and never asks Python. A strip shows its own direction with the other sliders held at `base`. When a
slider comes to rest elsewhere, the other strips no longer fit: the browser then adds the differences of the
strips it has and says "preview", until Python, which is told by the `input` event, sends strips for the new base.

Frames may come in any order and more than once: what is missing is interpolated ("preview"), what is marked
predicted is replaced when the exact frame arrives, and no slider moves while that happens.

What Python shows travels as the property `shown`; only the browser writes the value (region_picker says why).
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from components.view import View

MAX_STRIPS = 8
MAX_FRAMES = 65
MAX_CHARACTERS = 24_000_000  # of all data URIs in one message
MAX_KEY = 200

_FOLDER = Path(__file__).parent
_HTML = """
<div class="film">
  <div class="screen">
    <div class="stage">
      <canvas tabindex="0" role="img"
        aria-label="Edited picture. Hold the space bar or press on it to see the original."></canvas>
      <p class="empty">Directions appear here</p>
    </div>
    <div class="panel">
      <div class="readout">
        <span class="what"></span><span class="strength"></span><span class="state" role="status"></span>
      </div>
      <div class="bar">
        <button type="button" class="compare">Hold to compare</button>
        <button type="button" class="undo" disabled>Undo</button>
        <button type="button" class="reset" disabled>Reset all</button>
      </div>
    </div>
  </div>
  <div class="rows"></div>
</div>
"""


@dataclass(frozen=True)
class Strip:
    """One direction.

    key: names these very frames (direction and base), so that the browser need not decode them twice.
    strengths: increasing, one a frame, 0 among them. frames: data URIs, None where not rendered yet.
    predicted: whether a frame is only a prediction, for all frames or one by one.
    base: strengths at which the other strips were held, in their order, own entry ignored; () = all 0.
    heat: data URI drawn over the picture on request (transparent where nothing moves), or "".
    strength: where the slider starts when the slides are new.
    """

    key: str
    title: str
    strengths: Sequence[float]
    frames: Sequence[str | None]
    predicted: bool | Sequence[bool] = False
    label: str = ""
    heat: str = ""
    base: Sequence[float] = ()
    strength: float = 0.0


@dataclass(frozen=True)
class Slides:
    """key: names picture, region and noise level; a new key puts every slider at its `strength`.
    original: data URI of what the picture is compared with."""

    key: str = ""
    original: str = ""
    strips: Sequence[Strip] = ()


@dataclass(frozen=True)
class Position:
    """Where the sliders rest: strengths in the order of the strips; `index` is the slider last touched."""

    key: str = ""
    index: int = 0
    strengths: tuple[float, ...] = ()


class Filmstrip(View):
    """Value in: Slides, or None to leave everything as it is. Value out: Position.

    Events: `input` when a slider has come to rest at another strength (also after Undo and Reset), `select` when
    another row is taken up. Bind them with trigger_mode="always_last".
    """

    def __init__(self, value: Slides | None = None, *, elem_id: str | None = None, render: bool = True):
        super().__init__(
            html_template=_HTML,
            css_template=(_FOLDER / "filmstrip.css").read_text(),
            js_on_load=(_FOLDER / "filmstrip.js").read_text(),
            apply_default_css=False,
            elem_id=elem_id,
            render=render,
            shown=_wire(value or Slides()),
        )
        self.value = None

    def preprocess(self, payload: Any) -> Position:
        """A Position. gr.Error for anything that this page cannot have sent."""
        if payload in (None, ""):
            return Position()
        try:
            key, index = str(payload["key"])[:MAX_KEY], int(payload["index"])
            strengths = tuple(float(s) for s in payload["strengths"])
            if not all(map(math.isfinite, strengths)) or len(strengths) > MAX_STRIPS:
                raise ValueError("not strengths")
            if not 0 <= index < max(1, len(strengths)):
                raise ValueError("not one of the strips")
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError):
            raise gr.Error("The slider positions could not be read.") from None
        return Position(key, index, strengths)

    def wire(self, value: Slides) -> dict[str, Any]:
        return _wire(value)

    def api_info(self) -> dict[str, Any]:
        """The position travels as an object of key, index and strengths."""
        return {"type": "object"}


def _wire(slides: Slides) -> dict[str, Any]:
    """The same as JSON, checked."""
    if len(slides.strips) > MAX_STRIPS or len(slides.key) > MAX_KEY:
        raise ValueError(f"at most {MAX_STRIPS} strips and {MAX_KEY} characters of key")
    uris = [slides.original, *(uri for strip in slides.strips for uri in (strip.heat, *strip.frames))]
    if sum(len(uri) for uri in uris if uri) > MAX_CHARACTERS:
        raise ValueError("the frames are too large to send")
    if any(uri and not uri.startswith("data:image/") for uri in uris):
        raise ValueError("frames must be data URIs of images")
    strips = [_wire_strip(strip, len(slides.strips)) for strip in slides.strips]
    return {"key": slides.key, "original": slides.original, "strips": strips}


def _wire_strip(strip: Strip, k: int) -> dict[str, Any]:
    """One of k strips as JSON, checked. ValueError where its lists do not fit together."""
    n = len(strip.strengths)
    if not 1 <= n <= MAX_FRAMES or len(strip.frames) != n:
        raise ValueError(f"a strip has 1 to {MAX_FRAMES} frames and as many strengths")
    if list(strip.strengths) != sorted(set(strip.strengths)) or 0 not in strip.strengths:
        raise ValueError("strengths must increase and contain 0")
    predicted = [strip.predicted] * n if isinstance(strip.predicted, bool) else list(strip.predicted)
    base = [float(b) for b in strip.base] or [0.0] * k
    if len(predicted) != n or len(base) != k:
        raise ValueError("predicted needs an entry a frame, base an entry a strip")
    lists = {"strengths": list(strip.strengths), "frames": list(strip.frames)}
    return asdict(strip) | lists | {"predicted": predicted, "base": base}
