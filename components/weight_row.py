"""The controls of a weight over the noise level, which every panel of the guidance tab has: kind, gamma, window, curve.

    row = weight_row("guide", KINDS, FIRST)
    action = Action(GuideGaussian, row.fields | {...}, show, [...], read=row.read)
    action.on(*row.triggers, ...)

Fields that a kind does not look at are hidden and keep their defaults, so that nothing on the page is without effect.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from backend.experiments.guidance_sampling import WINDOWED
from backend.experiments.guidance_weight import Prediction
from backend.request import BadInput, Request
from components.weight_control import Drawn, WeightControl

QUIET = {"show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True)
class WeightRow:
    """fields: field name -> component, for an Action's inputs. control: the plot. triggers: events after which to run anew."""

    fields: Mapping[str, gr.components.Component]
    control: WeightControl
    triggers: Sequence[Callable]

    def read(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values of an Action's inputs without those that this kind of weight does not look at."""
        shown = used(values["weight"], values["equal_area"])
        return {
            name: value for name, value in values.items() if name not in self.fields or shown.get(name, True)
        }


def used(kind: str, equal_area: bool) -> dict[str, bool]:
    """Field name -> whether this kind of weight looks at it. The area is made equal to that of the constant gamma."""
    return {
        "gamma": kind != "curve" or equal_area,
        "low": kind in WINDOWED,
        "high": kind in WINDOWED,
        "end": kind == "linear",
        "mode": kind == "switch",
        "curve": kind == "curve",
        "equal_area": kind != "constant",
    }


def weight_row(
    prefix: str,
    kinds: Sequence[str],
    usual: Request,
    *,
    drawn: Prediction | None = None,
    most: float = 10.0,
    predict: Callable[[dict[str, Any]], Prediction] | None = None,
    others: Mapping[str, gr.components.Component] | None = None,
) -> WeightRow:
    """Lays the controls out, in place.

    Args:
        prefix: of their ids.
        kinds: of weights to choose from.
        usual: the request that the panel opens with. Where it has a whole number `mode`, that is the mode which a switch keeps.
        drawn: its prediction.
        most: the largest gamma of the slider.
        predict: {field: value} of these controls and of `others` -> what the plot shows, at every change. May raise BadInput. None
            where the panel's own results come as fast; they go to the control as Drawn(prediction).
        others: further controls that the prediction depends on.
    """
    show = used(usual.weight, usual.equal_area)
    asked = gr.State(0)
    gamma = gr.Slider(
        -1, most, usual.gamma, step=0.1, label="guidance weight γ", visible=show["gamma"], elem_id=f"{prefix}-gamma"
    )  # fmt: skip
    with gr.Row(equal_height=True):
        kind = gr.Dropdown(
            list(kinds), value=usual.weight, label="weight over noise", min_width=130, elem_id=f"{prefix}-weight"
        )  # fmt: skip
        numbers = {
            name: gr.Number(
                getattr(usual, name), label=label, minimum=least, min_width=90, visible=show[name],
                precision=0 if name == "mode" else None, elem_id=f"{prefix}-{name}",
            )
            for name, label, least in (
                ("low", "window from σ/α", 0), ("high", "to", 0), ("end", "γ at its low end", -1), ("mode", "mode to keep", 1),
            )
            if name != "mode" or isinstance(getattr(usual, "mode", None), int)
        }  # fmt: skip
        equal = gr.Checkbox(
            usual.equal_area, label="area of the constant γ", min_width=150, visible=show["equal_area"],
            elem_id=f"{prefix}-equal",
        )  # fmt: skip
    control = WeightControl(drawn, kind=usual.weight, curve=usual.curve, elem_id=f"{prefix}-curve")
    fields = {"weight": kind, "gamma": gamma, **numbers, "equal_area": equal, "curve": control}
    hidden = [fields[name] for name in fields if name not in ("weight", "curve")]

    def lay_out(kind: str, equal_area: bool) -> list[Any]:
        show = used(kind, equal_area)
        visible = [gr.update(visible=show[name]) for name in fields if name not in ("weight", "curve")]
        return [*visible, Drawn(kind=kind)]

    gr.on([kind.change, equal.change], lay_out, [kind, equal], [*hidden, control], **QUIET)
    # A curve begins as the constant gamma, so that there are points to take hold of.
    kind.input(_begin, [kind, gamma, numbers["low"], numbers["high"], control], [control, asked], **QUIET)
    row = WeightRow(
        fields,
        control,
        [
            asked.change,
            gamma.input,
            equal.input,
            control.input,
            *(number.input for number in numbers.values()),
        ],
    )
    if predict is not None:
        _preview(row, predict, dict(others or {}))
    return row


def _begin(
    kind: str, gamma: float | None, low: float | None, high: float | None, curve: tuple[float, ...]
) -> tuple[Drawn | None, int]:
    """The curve that a person who chooses one starts from, if there is none yet; and a moment, for `asked`."""
    proposed = None
    if kind == "curve" and not curve and None not in (gamma, low, high) and 0 < low < high:
        proposed = Drawn(curve=(low, gamma, high, gamma))
    return proposed, time.time_ns()


def _preview(
    row: WeightRow,
    predict: Callable[[dict[str, Any]], Prediction],
    others: dict[str, gr.components.Component],
) -> None:
    """Not through the gateway: it takes no longer than drawing, and must not wait for a network's step or for a GPU."""
    inputs = {**row.fields, **others}

    def tell(*values: Any) -> Drawn:
        return _tell(predict, row.read(dict(zip(inputs, values, strict=True))))

    changes = [component.change for component in inputs.values() if component is not row.control]
    gr.on(
        [row.control.input, *changes],
        tell,
        list(inputs.values()),
        row.control,
        trigger_mode="always_last",
        **QUIET,
    )


def _tell(predict: Callable[[dict[str, Any]], Prediction], values: dict[str, Any]) -> Drawn:
    try:
        return Drawn(predict(values))
    except BadInput as error:
        return Drawn(sentence=str(error))
