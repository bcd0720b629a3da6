"""The guidance tab's settings side by side: what each makes of the same noises, and its numbers in a table."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import gradio as gr
from torch import Tensor

from backend.experiments.guidance_sampling import WINDOWED
from backend.experiments.guide import GuideNetwork
from backend.experiments.guide_compare import MOST, SHARED, CompareGuidance, Comparison
from backend.inference.cache import find
from backend.request import BadInput
from components.action import Action
from components.guidance_numbers import numbers
from components.guidance_pictures import sheet_uri
from components.sheets import Sheet, Sheets

FIRST = CompareGuidance()  # its result is shipped in assets/runs
PARTS = {"mean_shift": "mean shift", "positive": "Pos-CPC", "negative": "Neg-CPC", "residual": "residual"}
MODES = {"linear": "linear", "projected": "split"}
RULES = {
    "cfg": "CFG",
    "apg": "APG",
    "zero_star": "CFG-Zero*",
    "pag": "PAG",
    "autoguidance": "autoguidance",
    "power_law": "power law",
    "cfg_plus_plus": "CFG++",
    "recfg": "ReCFG",
    "classifier": "classifier guidance",
}


def build(
    fields: Mapping[str, gr.components.Component],
    keep: gr.Button,
    seconds: Callable[[GuideNetwork], float],
    read: Callable[[dict[str, Any]], dict[str, Any]],
) -> Action:
    """The panel; returns its action. fields: those of GuideNetwork that a person sets; keep: adds them to the settings; seconds:
    about how long a setting takes; read: what makes fields of their values."""

    def words(settings: list[str]) -> str:
        return f"Run side by side (about {max(1, round(sum(map(seconds, _missing(settings)))))} s)"

    shipped: Comparison | None = find(FIRST)
    sheets, table, notes = _show(shipped, FIRST) if shipped else [(), "", ""]
    with gr.Column(elem_id="beside"):
        gr.Markdown("### Side by side: settings of guidance from the same noises")
        settings = gr.Dropdown(
            _choices(FIRST.settings), value=list(FIRST.settings), multiselect=True, allow_custom_value=True, max_choices=MOST,
            label=f"settings, at most {MOST}; × removes one", elem_id="beside-settings",
        )  # fmt: skip
        button = gr.Button(words(list(FIRST.settings)), elem_id="beside-run")
        pictures = Sheets(sheets, group="beside", elem_id="beside-sheets")
        rows = gr.HTML(table, elem_classes="grid", elem_id="beside-numbers")
        said = gr.HTML(notes, elem_id="beside-words")
        comparing = Action(
            CompareGuidance,
            {"settings": settings},
            _show,
            [pictures, rows, said],
            read=_read,
            name="guide_compare",
        )
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    comparing.on(button.click)
    keep.click(
        lambda kept, *values: _kept(kept, read(dict(zip(fields, values, strict=True)))),
        [settings, *fields.values()],
        settings,
        **quiet,
    )
    settings.change(
        lambda kept: (gr.Dropdown(choices=_choices(kept)), words(kept)), settings, [settings, button], **quiet
    )
    return comparing


def caption(setting: str) -> str:
    """What makes a setting, from its link; the link itself where it is none."""
    try:
        one = GuideNetwork.from_query(setting)
    except BadInput:
        return setting
    solver = ", SDE" if one.solver == "sde" else ""
    if one == one.plain():
        return f"γ = 0{solver}"
    words = f"{_rule(one)}, γ = {one.gamma:g}"
    if one.weight == "curve":
        words = f"{_rule(one)}, drawn curve"
    elif one.weight in WINDOWED:
        words += f", {one.weight} {one.low:g} to {one.high:g}"
    return words + (", equal area" if one.equal_area else "") + solver


def _rule(one: GuideNetwork) -> str:
    if one.mode == "network":
        return RULES[one.rule]
    parts = [
        words
        for name, words in PARTS.items()
        if getattr(one, name) and (name, one.mode) != ("residual", "linear")
    ]
    return f"{MODES[one.mode]}: {' + '.join(parts) or 'nothing'}"


def _choices(settings: Sequence[str] | None) -> list[tuple[str, str]]:
    return [(caption(one), one) for one in settings or ()]


def _missing(settings: Sequence[str] | None) -> list[GuideNetwork]:
    """What has to be computed to see these settings."""
    try:
        asked = CompareGuidance.parse(_read({"settings": settings}))
    except BadInput:
        return []
    return [] if find(asked) else [one for one in asked.needs() if not find(one)]


def _read(values: dict[str, Any]) -> dict[str, Any]:
    """The model is that of the first setting."""
    settings = values["settings"] or []
    model = GuideNetwork.from_query(settings[0]).model if settings else FIRST.model
    return {"settings": settings, "model": model}


def _kept(settings: list[str], values: dict[str, Any]) -> dict[str, Any]:
    """The settings with one more. One from other noises starts a new list, with gamma = 0 before it."""
    try:
        added = GuideNetwork.parse(values)
        query = added.to_query()
        if query is None:
            raise BadInput(added.why_no_link())
        kept = list(settings or [])
        if kept and _noises(GuideNetwork.from_query(kept[0])) != _noises(added):
            gr.Info("This setting has other noises than those in the list, so a new list begins with it.")
            kept = []
        start = kept or [added.plain().to_query()]
        asked = list(dict.fromkeys([*start, query]))
        if len(asked) > MOST:
            raise BadInput(f"At most {MOST} settings stand side by side; remove one first.")
        CompareGuidance.parse({"model": added.model, "settings": asked})
    except BadInput as error:
        raise gr.Error(str(error), print_exception=False) from None
    return gr.update(choices=_choices(asked), value=asked)


def _noises(setting: GuideNetwork) -> tuple:
    return tuple(getattr(setting, name) for name in SHARED)


def _show(result: Comparison, request: CompareGuidance) -> list[Any]:
    sheets = [Sheet(caption(one.setting), [sheet_uri(_floats(one.pictures))]) for one in result.outcomes]
    idle = [
        f"<b>{escape(caption(one.setting))}: {one.idle}</b>"
        for one in result.outcomes
        if one.idle and one.area
    ]
    return [sheets, _table(result), "".join(f"<p>{note}</p>" for note in [*idle, result.note] if note)]


def _table(result: Comparison) -> str:
    """A column for each setting, as under the sheets."""
    columns = [
        {"area of γ over log noise": f"{one.area:.3g}"}
        | numbers(one.quality, one.evaluations, one.asked, one.seconds)
        for one in result.outcomes
    ]
    head = "".join(f"<th scope='col'>{escape(caption(one.setting))}</th>" for one in result.outcomes)
    body = "".join(
        f"<tr><th scope='row'>{name}</th>{''.join(f'<td>{column[name]}</td>' for column in columns)}</tr>"
        for name in columns[0]
    )
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>"


def _floats(pictures: Tensor) -> Tensor:
    return pictures.float() / 127.5 - 1
