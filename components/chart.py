"""A Plotly figure in the page: its points answer a click, its zoom is kept, its frames follow a slider.

    chart = Chart(group="spectrum", label="Singular values over t")
    chart.select(open_point, chart, [...])       # open_point receives a Point
    ... return figure                            # the value of `chart` in any handler

gr.Plot knows no clicks and forgets its zoom with every new figure; nor may it share a page with this component,
because both would set window.Plotly.

Frames are Plotly's own (go.Frame: data, traces, layout). When the document receives the event "scrub" with the
detail {group, index}, every chart of that group shows frame `index`, or its last one; one that is hidden then, or
made later, does so when it comes into sight. components/scrubber sends such events.

Colours of text, axes and grid that a figure leaves open are the page's, light or dark. A zoom lasts as long as
`layout.uirevision` stays what it was; a figure that should be seen whole again brings another one.

What Python shows travels as the property `shown`; only the browser writes the value (region_picker says why).
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import plotly
import plotly.graph_objects as go

from components.view import View

MAX_CHARACTERS = 24_000_000  # of one figure as JSON
MAX_TEXT = 200  # characters of a category
MAX_NUMBER = 2**31  # of curves, points, frames

_FOLDER = Path(__file__).parent
# The one file that is served besides gradio's own: the library as it comes with the Python package, 4.8 MB.
_LIBRARY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
gr.set_static_paths([_LIBRARY])

_HTML = """
<div class="chart" role="figure" data-empty>
  <div class="area"><div class="plot"></div><p class="note" role="status">Nothing to plot yet</p></div>
  <div class="keys">
    <button type="button" class="svg" title="Download the plot as a vector graphic">SVG</button>
    <button type="button" class="csv" title="Download the numbers as a table">CSV</button>
  </div>
</div>
"""


@dataclass(frozen=True)
class Point:
    """What was clicked: point `index` of curve `curve` (both from 0, cells of a heat map in row-major order), while
    frame `frame` was shown (-1: none). curve -1: nothing yet."""

    curve: int = -1
    index: int = -1
    x: float | str = 0.0
    y: float | str = 0.0
    frame: int = -1


class Chart(View):
    """Value in: a Figure (one without traces empties the chart), or None to leave everything as it is.
    Value out: Point.

    Event: `select` when a point is clicked. group: whose "scrub" events it follows; height: CSS pixels;
    label: what it is called for who cannot see it; elem_id also names the downloads.
    """

    def __init__(
        self,
        value: go.Figure | None = None,
        *,
        group: str = "",
        elem_id: str | None = None,
        render: bool = True,
        height: int = 320,
        label: str = "",
    ):
        super().__init__(
            html_template=_HTML,
            css_template=(_FOLDER / "chart.css").read_text(),
            js_on_load=(_FOLDER / "chart.js").read_text(),
            apply_default_css=False,
            elem_id=elem_id,
            render=render,
            shown="" if value is None else _wire(value),
            group=group,
            height=height,
            called=label,
            file=elem_id or "chart",
            library=_LIBRARY.as_posix(),
        )
        self.value = None

    def preprocess(self, payload: Any) -> Point:
        """A Point. gr.Error for anything that this page cannot have sent."""
        if payload in (None, ""):
            return Point()
        try:
            whole = [_whole(payload[name], low) for name, low in [("curve", 0), ("index", 0), ("frame", -1)]]
            return Point(*whole[:2], _place(payload["x"]), _place(payload["y"]), whole[2])
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError):
            raise gr.Error("The point of the plot could not be read.") from None

    def wire(self, value: go.Figure) -> str:
        return _wire(value)

    def api_info(self) -> dict[str, Any]:
        """The point travels as an object of curve, index, x, y and frame."""
        return {"type": "object"}


def _wire(figure: go.Figure) -> str:
    """As JSON text, which the browser need not watch entry by entry as it does objects."""
    text = figure.to_json()
    if len(text) > MAX_CHARACTERS:
        raise ValueError("the figure is too large to send")
    return text


def _whole(value: Any, low: int) -> int:
    number = int(value)
    if number != value or not low <= number < MAX_NUMBER:
        raise ValueError("not a place in a figure")
    return number


def _place(value: Any) -> float | str:
    """A number, or the text of a category or date."""
    if isinstance(value, str):
        return value[:MAX_TEXT]
    if not math.isfinite(number := float(value)):
        raise ValueError("not a coordinate")
    return number
