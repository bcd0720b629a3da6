"""The weight gamma over the noise level as a small plot: every kind is drawn, and a curve is painted on it.

Little noise is on the left, as in all charts over the noise level. Under the plot stand the weight's area over the log noise level
and what it will do to mean and variance by the linear model (backend.experiments.guidance_weight), before anything is sampled.
Behind the weight are the kernels: where a weight acts on the variance and on the mean, each scaled to its own maximum.

The browser sends the painted curve as a flat list: noise level, gamma, noise level, gamma, ... Python answers with a `Drawn`, which
travels in properties of its own; only a curve that is set from here writes the value (region_picker says why).
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from torch import Tensor

from backend.experiments.guidance_weight import Prediction
from backend.guidance.weights import LARGEST, MOST_POINTS

MAX_WORDS = 2000  # characters
POINTS = 24  # of a curve that is painted here; a link may bring up to MOST_POINTS

_FOLDER = Path(__file__).parent
_HTML = """
<div class="weight" role="group" aria-label="The weight over the noise level">
  <svg class="plot" tabindex="-1">
    <g class="grid"></g><g class="kernels"></g><path class="line"></path><path class="drawn"></path>
    <g class="ticks"></g><g class="points"></g>
  </svg>
  <p class="axis"><span>← less noise</span><span>noise level σ/α</span><span>more noise →</span></p>
  <p class="legend" title="Kernels of the class's four leading modes, each scaled to its own maximum"><span class="of-weight">γ</span>
    <span class="of-variance">acts on the variance</span><span class="of-mean">acts on the mean</span><span class="at"></span></p>
  <div class="editing">
    <p>Drag to draw γ. A point takes the arrow keys; Delete removes it; Enter on the plot adds one.</p>
    <button type="button" class="clear" title="So does a double click">Clear</button>
  </div>
  <p class="words" role="status"></p>
  <p class="notes"></p>
</div>
"""


@dataclass(frozen=True)
class Drawn:
    """What the control shows; None leaves what it has.

    prediction: the weight, its kernels and words about them. sentence: why there is none.
    kind: of the weight; under "curve" a person can draw.
    curve: noise level, gamma, noise level, gamma, ...: sets the value.
    """

    prediction: Prediction | None = None
    sentence: str | None = None
    kind: str | None = None
    curve: Sequence[float] | None = None


class WeightControl(gr.HTML):
    """Value in: Drawn, or a curve, or None to leave everything as it is. Value out: the curve, () where nothing is drawn.

    Event: `input` when a stroke ends, a point is moved, or all are cleared. Bind with trigger_mode="always_last".
    """

    def __init__(
        self,
        prediction: Prediction | None = None,
        *,
        kind: str = "constant",
        curve: Sequence[float] = (),
        elem_id: str | None = None,
        render: bool = True,
    ):
        super().__init__(
            html_template=_HTML,
            css_template=(_FOLDER / "weight_control.css").read_text(),
            js_on_load=(_FOLDER / "weight_control.js").read_text(),
            apply_default_css=False,
            elem_id=elem_id,
            render=render,
            shown=_shown(prediction, None),
            kind=kind,
            points={"flat": list(curve), "made": 0},
            most=POINTS,
        )
        self.value = list(curve)
        # Gradio puts arguments into the page by their names; what is no attribute would be an event there, and a copy of that
        # a copy of the whole page.
        self.kind, self.curve = kind, list(curve)

    def preprocess(self, payload: Any) -> tuple[float, ...]:
        """The curve. gr.Error for anything that this page cannot have sent."""
        if payload in (None, "", []):
            return ()
        try:
            if not isinstance(payload, list) or len(payload) > 2 * MOST_POINTS or len(payload) % 2:
                raise ValueError("no list of points")
            if not all(isinstance(entry, int | float) and not isinstance(entry, bool) for entry in payload):
                raise ValueError("not numbers")
            numbers = tuple(float(entry) for entry in payload)
            if not all(0 < level < math.inf for level in numbers[::2]):
                raise ValueError("no noise levels")
            if not all(-1 <= gamma <= LARGEST for gamma in numbers[1::2]):
                raise ValueError("no weights")
        except (ValueError, OverflowError):
            raise gr.Error("The drawn curve could not be read.") from None
        return numbers

    def postprocess(self, value: Drawn | Sequence[float] | None) -> dict[str, Any]:
        """An update of the properties, and of the value where a curve is set.

        Raises:
            ValueError: for a curve that is none.
        """
        drawn = value if isinstance(value, Drawn) else Drawn(curve=value)
        update, props = {"__type__": "update"}, {}
        if drawn.prediction is not None or drawn.sentence is not None:
            props["shown"] = _shown(drawn.prediction, drawn.sentence)
        if drawn.kind is not None:
            props["kind"] = drawn.kind
        if drawn.curve is not None:
            flat = [float(number) for number in drawn.curve]
            if len(flat) % 2 or len(flat) > 2 * MOST_POINTS:
                raise ValueError(f"a curve has pairs of numbers, at most {MOST_POINTS}")
            props["points"] = {"flat": flat, "made": time.time_ns()}
            update["value"] = flat
        return update | ({"props": props} if props else {})

    def api_info(self) -> dict[str, Any]:
        """The curve travels as a list of numbers."""
        return {"type": "array", "items": {"type": "number"}}


def words(prediction: Prediction) -> str:
    """The area, and what will become of mean and variance."""
    share = "there is no distance for the mean to move along"
    if prediction.shift is not None:
        share = f"the mean moves by {prediction.shift:.3g} of the distance between the means"
    told = (
        f"Area over log noise: {prediction.area:.3g}. By the linear model {share}, and the total variance becomes "
        f"{prediction.variance:.3g} of the class's own; without guidance {prediction.variance_plain:.3f}."
    )
    return told.replace("-", "−")


def _shown(prediction: Prediction | None, sentence: str | None) -> dict[str, Any]:
    """As JSON. A sentence alone leaves the weight that was drawn last."""
    if prediction is None:
        return {"words": "", "notes": (sentence or "")[:MAX_WORDS]}
    notes = " ".join(filter(None, (prediction.idle, prediction.unstable, prediction.note)))
    return {
        "low": prediction.low,
        "high": prediction.high,
        "level": _numbers(prediction.level, 6),
        "weight": _numbers(prediction.weight, 5),
        "variance": [_numbers(_scaled(kernel), 3) for kernel in prediction.kernel_variance],
        "mean": [_numbers(_scaled(kernel), 3) for kernel in prediction.kernel_mean],
        "words": words(prediction),
        "notes": notes[:MAX_WORDS],
    }


def _scaled(kernel: Tensor) -> Tensor:
    """Its size, at most 1."""
    return kernel.abs() / kernel.abs().max().clamp_min(1e-300)


def _numbers(values: Tensor, digits: int) -> list[float]:
    return [float(f"{value:.{digits}g}") for value in values.tolist()]
