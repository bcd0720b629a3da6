"""A picture to point at: click, box, lasso, brush or a named part, with the mask really used drawn on it.

The browser sends one short string, the *region* of backend.editing.region (natural pixels of the picture):

    click:x,y,tolerance,grain     pixels that covary with pixel (x, y); tolerance in [0, 1], grain in (0, 1]
    box:x0,y0,x1,y1               half-open rectangle
    rle:<h>x<w>:<runs>            lasso and brush, row-major run lengths, the first counts False
    part:<name>                   a part that the model's data name
    (empty)                       nothing picked

Python sends back a `Shown`. A mask is drawn only if it belongs to the region now picked, so an answer that
comes late for an earlier gesture is dropped by the browser. A new picture forgets a painted region, and is
asked anew about one that was named or placed.

What Python shows travels as the property `shown`, not as the component's value: a value written by an answer
would replace the region that a person picked meanwhile, and Gradio's deferred events would then ask about the
wrong one.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gradio as gr

MAX_REGION = 20_000  # characters; a 64x64 checkerboard, the worst case there, is 8,205
MAX_IMAGE = 8_000_000  # characters of a data URI
MAX_PARTS = 32

_FOLDER = Path(__file__).parent
_HTML = """
<div class="picker" data-mode="click">
  <div class="modes" role="radiogroup" aria-label="How to pick a region">
    <label title="Pick the pixels that vary together with one pixel">
      <input type="radio" value="click" checked>
      <svg viewBox="0 0 20 20"><circle cx="10" cy="10" r="2.4"/><path d="M10 2v4M10 14v4M2 10h4M14 10h4"/></svg>
      <span>Click</span></label>
    <label title="Drag a rectangle">
      <input type="radio" value="box">
      <svg viewBox="0 0 20 20"><rect x="3" y="4.5" width="14" height="11" rx=".6"/></svg>
      <span>Box</span></label>
    <label title="Draw around a region">
      <input type="radio" value="lasso">
      <svg viewBox="0 0 20 20"><path d="M9 3c4.5 0 8 2 8 5s-3.5 5-8 5-6-1.8-6-5 2.5-5 6-5z"/>
        <path d="M7 12.8c-1.5 1-1.5 3 .5 4.2"/></svg>
      <span>Lasso</span></label>
    <label title="Paint a region, or mend the one shown">
      <input type="radio" value="brush">
      <svg viewBox="0 0 20 20"><path d="M16.5 3.5 9 11"/>
        <path d="M8.8 11.2c-2.5-.4-3.6 1.3-3.8 3-.1 1-.7 1.7-1.8 2 3.5 1 7.2.2 7.4-3.3z"/></svg>
      <span>Brush</span></label>
  </div>
  <div class="stage">
    <canvas tabindex="0" role="img" aria-label="Picture. Arrow keys move, Enter picks, Escape gives up."></canvas>
    <p class="empty">No picture yet</p>
  </div>
  <div class="readout"><span class="where"></span><span class="area" role="status"></span></div>
  <div class="options">
    <label class="dial for-click" title="How much less than the clicked pixel another may vary with it">
      <span>tolerance</span>
      <input class="tolerance" type="range" min="0" max="1" step="0.01" value="0.5"><output></output></label>
    <label class="dial for-click" title="The noise level at which pixels are asked whether they vary together:
coarse joins whole parts, fine keeps detail">
      <span>grain</span>
      <input class="grain" type="range" min="0.1" max="0.8" step="0.05" value="0.6"><output></output></label>
    <label class="dial for-brush"><span>size</span>
      <input class="size" type="range" min="1" max="24" step="1" value="5"><output></output></label>
    <label class="tick for-brush"><input class="erase" type="checkbox"><span>erase</span></label>
    <p class="hint for-box">Drag a rectangle. Arrow keys move it, with Shift they resize it, Enter picks.</p>
    <p class="hint for-lasso">Draw around a region; the outline closes by itself.</p>
  </div>
  <div class="bottom">
    <div class="parts" role="group" aria-label="Named parts"></div>
    <button type="button" class="clear">Clear</button>
  </div>
</div>
"""


@dataclass(frozen=True)
class Shown:
    """What the picker shows.

    image: data URI of the picture at its natural size (drawn large), "" for no picture, None for the present one.
    parts: names offered as buttons; None keeps the present ones.
    region: the region that `overlay` belongs to; "" for none.
    overlay: "rle:..." of the mask really used, or "".
    pick: pick `region`, as a link does; else this answers a person's pick. A new picture picks its `region` too.
    """

    image: str | None = None
    parts: Sequence[str] | None = None
    region: str = ""
    overlay: str = ""
    pick: bool = False


class RegionPicker(gr.HTML):
    """Value in: Shown, or None to leave everything as it is. Value out: the region, "" when nothing is picked.

    Events: `input` when a region is picked, `clear` when it is given up. Bind with trigger_mode="always_last".
    """

    def __init__(self, value: Shown | None = None, *, elem_id: str | None = None, render: bool = True):
        super().__init__(
            html_template=_HTML,
            css_template=(_FOLDER / "region_picker.css").read_text(),
            js_on_load=(_FOLDER / "masks.js").read_text() + (_FOLDER / "region_picker.js").read_text(),
            apply_default_css=False,
            elem_id=elem_id,
            render=render,
            shown=_wire(value or Shown()),
        )
        self.value = value.region if value else ""

    def preprocess(self, payload: Any) -> str:
        """The region, unread: what it says is for backend.editing.region. gr.Error if this page cannot have sent it."""
        if payload is None:
            return ""
        if not isinstance(payload, str):
            raise gr.Error("The region must be text.")
        if len(payload) > MAX_REGION:
            raise gr.Error("The region is too detailed; draw a simpler outline.")
        return payload

    def postprocess(self, value: Shown | None) -> dict[str, Any]:
        """An update of the property `shown`, and of the value where the region is set from here.

        Each carries the moment it was made: a browser does not hear of an answer that equals the last one, and
        a region that is cleared and picked again has the same answer twice.

        Raises:
            ValueError: where it would be unsafe or too large to send.
        """
        if value is None:
            return {"__type__": "update"}
        update = {"__type__": "update", "props": {"shown": _wire(value) | {"made": time.time_ns()}}}
        chosen = value.pick or (
            value.image is not None and value.region
        )  # else the browser knows what it keeps
        return update | {"value": value.region} if chosen else update

    def api_info(self) -> dict[str, Any]:
        """The region travels as one string."""
        return {"type": "string"}


def _wire(shown: Shown) -> dict[str, Any]:
    """The same as JSON, checked."""
    if shown.image and not (shown.image.startswith("data:image/") and len(shown.image) <= MAX_IMAGE):
        raise ValueError("the picture must be a data URI of an image within the size limit")
    if len(shown.region) > MAX_REGION or len(shown.overlay) > MAX_IMAGE:
        raise ValueError("the region or its mask is too long")
    if shown.parts is not None and len(shown.parts) > MAX_PARTS:
        raise ValueError(f"at most {MAX_PARTS} parts")
    return asdict(shown) | {"parts": None if shown.parts is None else list(shown.parts)}
