"""The page around the tabs: theme, model bar, links, explanations, footer.

    tabs = [Tab("edit", "Edit", edit_tab.build)]
    blocks = build([("Drawn faces", "avatars")], tabs, model="avatars", image="gallery:1", t=0.5)
    blocks.launch(**LAUNCH)

Model, picture and noise level are the three visible components of the `Bar`; every tab takes them as inputs, and
nothing mirrors them. A link is the query string of one request (backend.request): opening it fills the components
of the action that it names, selects that tab and runs it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import gradio as gr

from backend.request import BadInput, Request
from components.action import Action, unchanged

_FOLDER = Path(__file__).parent
_DOLLARS = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "$", "right": "$", "display": False},
]
_IDEA = r"$\hat x_0 = D(x_t, t, c) = \mathbb{E}\,[\,x_0 \mid x_t, c\,]$"  # of which every tab is a view
_FOOTER = """<footer>
<span>Apache License 2.0</span>
<a href="?view=api" onclick="document.querySelector('.show-api').click(); return false">Use from Python or MCP</a>
<span>The faces are drawn by a program, not photographed.</span>
</footer>"""


@dataclass(frozen=True)
class Bar:
    """What every tab looks at. sent: the reference of a direction file that another tab sends to the edit tab."""

    model: gr.Dropdown
    image: gr.Textbox
    t: gr.Slider
    sent: gr.State


@dataclass(frozen=True)
class Tab:
    """One tab. name: also of components/explain/<name>.md.
    build: lays the tab out and returns the actions that links may open."""

    name: str
    title: str
    build: Callable[[Bar], Sequence[Action]]


def build(
    models: Sequence[tuple[str, str]], tabs: Sequence[Tab], *, model: str, image: str, t: float
) -> gr.Blocks:
    """The whole page. models: (title, name) pairs; model, image, t: what the bar shows first."""
    # What handlers return as files is deleted from the disk after a day.
    with gr.Blocks(title="Subspace Lab", fill_width=True, delete_cache=(3600, 86400)) as blocks:
        with gr.Row(elem_id="masthead"):
            title = gr.HTML("<h1>Subspace Lab</h1>")
            gr.Markdown(_IDEA, latex_delimiters=_DOLLARS, elem_classes="equation")
        bar = _bar(models, model, image, t)
        notice = gr.HTML(elem_id="notice", visible=False)
        actions: dict[Action, str] = {}
        with gr.Tabs(elem_id="tabs") as strip:
            for tab in tabs:
                with gr.Tab(tab.title, id=tab.name):
                    actions |= dict.fromkeys(tab.build(bar), tab.name)
                    explanation(tab.name)
        gr.HTML(_FOOTER, elem_id="footer")
        _open_links(blocks, notice, strip, actions)
    _lighten(blocks, title)
    return blocks


def _lighten(blocks: gr.Blocks, bearer: gr.HTML) -> None:
    """No event here shows Gradio's own progress. The browser keeps its state all the same, and whenever any of it changes it copies every property
    of all components that have ever been an output, pictures too, which takes seconds. So one small component bears that of all events."""
    for event in blocks.fns.values():
        if event.show_progress == "hidden":
            event.show_progress_on = [bearer]


def _bar(models: Sequence[tuple[str, str]], model: str, image: str, t: float) -> Bar:
    with gr.Row(elem_id="bar", equal_height=True):
        wide = {"scale": 3, "min_width": 200}
        return Bar(
            gr.Dropdown(list(models), value=model, label="model", elem_id="model", **wide),
            gr.Textbox(image, label="picture", elem_id="image", max_lines=1, max_length=80, **wide),
            gr.Slider(0.02, 0.98, t, step=0.01, label="noise level t", elem_id="t", scale=4, min_width=240),
            gr.State(""),
        )


def explanation(name: str) -> None:
    """ "What am I looking at?" from components/explain/<name>.md, equations typeset offline; nothing without it."""
    path = _FOLDER / "explain" / f"{name}.md"
    if path.exists():
        with gr.Accordion("What am I looking at?", open=False, elem_classes="explain"):
            gr.Markdown(path.read_text(), latex_delimiters=_DOLLARS)


def opened(query: str, actions: dict[Action, str]) -> tuple[Action | None, dict[Any, Any]]:
    """The action that a query string names and what its components must show; (None, {}) when it names none.

    Raises:
        BadInput: when it is damaged or names an action of no tab here.
    """
    if "do=" not in query:
        return None, {}
    request = Request.from_query(query)
    for action in actions:
        if action.request is type(request):
            return action, action.restore(request)
    raise BadInput("This link belongs to an action that this page does not have.")


def _open_links(blocks: gr.Blocks, notice: gr.HTML, strip: gr.Tabs, actions: dict[Action, str]) -> None:
    """Reads the address once, when the page is loaded. A bad link is a sentence; the page opens as usual."""
    components = [notice, strip, *dict.fromkeys(c for action in actions for c in action.inputs.values())]
    components += [action.line for action in actions]  # last: a line starts the run when all else is in place

    def read(http: gr.Request) -> list[Any]:
        ours = {name: value for name, value in http.query_params.items() if not name.startswith("__")}
        try:
            action, values = opened(urlencode(ours), actions)
        except BadInput as error:
            sentence = f"<p role='alert'>{escape(str(error))}</p>"
            action, values = None, {notice: gr.HTML(sentence, visible=True)}
        if action is not None:
            values |= {strip: gr.Tabs(selected=actions[action]), action.line: {"state": "open"}}
        return [values.get(component, unchanged(component)) for component in components]

    blocks.load(read, None, components, show_progress="hidden", queue=False, api_visibility="private")


def theme() -> gr.themes.Base:
    """Calm paper, hairlines, and one accent, Okabe and Ito's blue; IBM Plex as bundled with gradio, so nothing is
    fetched, in the weights 400 and 700: the bundled files of other weights lack the Latin letters."""
    color, size, font = gr.themes.Color, gr.themes.Size, gr.themes.LocalFont
    blue = "#eef6fb #d8eaf5 #b0d6eb #7fbcdd #56b4e9 #1a86c1 #0072b2 #005b8f #084a71 #0c3b59 #08263a"
    ink = "#f7f8f8 #f0f2f3 #e1e5e8 #cbd2d8 #9aa5b1 #616c79 #4a5562 #333d48 #1e262f #161c23 #10151b"
    base = gr.themes.Base(
        primary_hue=color(*blue.split(), name="blue"),
        secondary_hue=color(*blue.split(), name="blue"),
        neutral_hue=color(*ink.split(), name="ink"),
        text_size=size("11px", "12px", "13.5px", "15px", "17px", "21px", "27px", name="lecture"),
        font=(font("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif"),
        font_mono=(font("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "monospace"),
    )
    light_and_dark = {
        "body_background_fill": ("#fcfcfb", "*neutral_950"),
        "body_text_color": ("*neutral_900", "*neutral_200"),
        "body_text_color_subdued": ("*neutral_500", "*neutral_400"),
        "background_fill_primary": ("white", "*neutral_900"),
        "background_fill_secondary": ("*neutral_100", "*neutral_800"),
        "border_color_primary": ("*neutral_200", "#2c3641"),
        "slider_color": ("*primary_600", "*primary_400"),
        "block_background_fill": ("transparent", "transparent"),
        "block_border_width": ("0px", "0px"),
        "block_title_text_color": ("*body_text_color_subdued", "*body_text_color_subdued"),
        "input_background_fill": ("white", "*neutral_900"),
        "button_primary_background_fill": ("*primary_600", "*primary_600"),
        "button_primary_background_fill_hover": ("*primary_700", "*primary_500"),
        "button_secondary_background_fill": ("white", "*neutral_900"),
        "button_secondary_border_color": ("*neutral_300", "*neutral_700"),
    }
    pairs = light_and_dark.items()
    return base.set(
        **{name: light for name, (light, _) in pairs},
        **{f"{name}_dark": dark for name, (_, dark) in pairs},
        color_accent="*primary_600",
        block_shadow="none",
        block_padding="0px",
        block_label_background_fill="transparent",
        block_title_text_weight="400",
        input_border_width="1px",
        input_shadow="none",
        input_shadow_focus="none",
        input_border_color_focus="*primary_600",
        button_primary_text_color="white",
        button_border_width="1px",
        button_large_text_weight="700",
        form_gap_width="0px",
        layout_gap="20px",
    )


# What launch() must be given besides its address. No folder of this machine is served, uploads are bounded, and few
# sessions are kept, because what can be computed again is not worth memory.
LAUNCH: dict[str, Any] = {
    "theme": theme(),
    "css": (_FOLDER / "page.css").read_text(),
    "footer_links": ["api"],  # hidden; the page's own footer clicks it
    "max_file_size": "20mb",
    "state_session_capacity": 200,
    "enable_monitoring": False,
    "ssr_mode": False,
}
