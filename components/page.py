"""The page around the tabs: theme, model bar, links, explanations, footer.

    blocks = build([("Drawn faces", "avatars")], [Tab("edit", "Edit", edit_tab.build)], model="avatars", image="gallery:1", t=0.5)
    blocks.launch(**LAUNCH)

Model, picture and noise level are the three visible components of the `Bar`; every tab takes them as inputs, and nothing
mirrors them. A link is the query string of one request (backend.request): opening it fills the components of the action
that it names, selects that tab and runs it.
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

# One accent, Okabe and Ito's blue; vermilion beside it only where a sign or a failure must be told apart.
BLUE = gr.themes.Color(
    name="blue", c50="#eef6fb", c100="#d8eaf5", c200="#b0d6eb", c300="#7fbcdd", c400="#56b4e9", c500="#1a86c1", c600="#0072b2",
    c700="#005b8f", c800="#084a71", c900="#0c3b59", c950="#08263a",
)  # fmt: skip
INK = gr.themes.Color(
    name="ink", c50="#f7f8f8", c100="#f0f2f3", c200="#e1e5e8", c300="#cbd2d8", c400="#9aa5b1", c500="#616c79", c600="#4a5562",
    c700="#333d48", c800="#1e262f", c900="#161c23", c950="#10151b",
)  # fmt: skip
TEXT = gr.themes.Size(name="lecture", xxs="11px", xs="12px", sm="13.5px", md="15px", lg="17px", xl="21px", xxl="27px")


@dataclass(frozen=True)
class Bar:
    """What every tab looks at."""

    model: gr.Dropdown
    image: gr.Textbox
    t: gr.Slider


@dataclass(frozen=True)
class Tab:
    """One tab. name: also of components/explain/<name>.md. build: lays it out and returns the actions that links may open."""

    name: str
    title: str
    build: Callable[[Bar], Sequence[Action]]


def build(models: Sequence[tuple[str, str]], tabs: Sequence[Tab], *, model: str, image: str, t: float) -> gr.Blocks:
    """The whole page. models: (title, name) pairs; model, image, t: what the bar shows first."""
    with gr.Blocks(title="Subspace Lab", fill_width=True, analytics_enabled=False, delete_cache=(3600, 86400)) as blocks:
        with gr.Row(elem_id="masthead"):
            gr.HTML("<h1>Subspace Lab</h1>")
            gr.Markdown(_IDEA, latex_delimiters=_DOLLARS, elem_classes="equation")
        with gr.Row(elem_id="bar", equal_height=True):
            bar = Bar(
                gr.Dropdown(list(models), value=model, label="model", elem_id="model", scale=3, min_width=200),
                gr.Textbox(image, label="picture", elem_id="image", max_lines=1, max_length=80, scale=3, min_width=200),
                gr.Slider(0.02, 0.98, value=t, step=0.01, label="noise level t", elem_id="t", scale=4, min_width=240),
            )
        notice = gr.HTML(elem_id="notice", visible=False)
        actions: dict[Action, str] = {}
        with gr.Tabs(elem_id="tabs") as strip:
            for tab in tabs:
                with gr.Tab(tab.title, id=tab.name):
                    actions |= dict.fromkeys(tab.build(bar), tab.name)
                    explanation(tab.name)
        gr.HTML(_FOOTER, elem_id="footer")
        _open_links(blocks, notice, strip, actions)
    return blocks


def explanation(name: str) -> None:
    """ "What am I looking at?" from components/explain/<name>.md: equations are typeset offline. Nothing if there is no page."""
    path = _FOLDER / "explain" / f"{name}.md"
    if path.exists():
        with gr.Accordion("What am I looking at?", open=False, elem_classes="explain"):
            gr.Markdown(path.read_text(), latex_delimiters=_DOLLARS)


def opened(query: str, actions: dict[Action, str]) -> tuple[Action | None, dict[Any, Any]]:
    """The action that a query string names, and what its components must show. (None, {}) when it names none; BadInput
    when it is damaged or names an action of no tab here."""
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
    lines = [action.line for action in actions]  # last: they start the run, so everything else must be in place

    def read(http: gr.Request) -> list[Any]:
        ours = {name: value for name, value in http.query_params.items() if not name.startswith("__")}
        try:
            action, values = opened(urlencode(ours), actions)
        except BadInput as error:
            action, values = None, {notice: gr.HTML(f"<p role='alert'>{escape(str(error))}</p>", visible=True)}
        if action is not None:
            values |= {strip: gr.Tabs(selected=actions[action]), action.line: {"state": "open"}}
        return [values.get(component, unchanged(component)) for component in [*components, *lines]]

    blocks.load(read, None, [*components, *lines], show_progress="hidden", queue=False, api_visibility="private")


def theme() -> gr.themes.Base:
    """Calm paper, one accent, hairlines; IBM Plex as bundled with gradio, so nothing is fetched. Weights 400 and 700 only:
    the files of the other weights lack the Latin letters."""
    sans = (gr.themes.LocalFont("IBM Plex Sans", weights=(400, 700)), "system-ui", "sans-serif")
    mono = (gr.themes.LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "monospace")
    base = gr.themes.Base(
        primary_hue=BLUE, secondary_hue=BLUE, neutral_hue=INK, text_size=TEXT, font=sans, font_mono=mono,
        spacing_size=gr.themes.sizes.spacing_md, radius_size=gr.themes.sizes.radius_md,
    )  # fmt: skip
    return base.set(
        body_background_fill="#fcfcfb", body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900", body_text_color_dark="*neutral_200",
        body_text_color_subdued="*neutral_500", body_text_color_subdued_dark="*neutral_400",
        background_fill_primary="white", background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_100", background_fill_secondary_dark="*neutral_800",
        border_color_primary="*neutral_200", border_color_primary_dark="#2c3641",
        color_accent="*primary_600", slider_color="*primary_600", slider_color_dark="*primary_400",
        block_background_fill="transparent", block_background_fill_dark="transparent",
        block_border_width="0px", block_border_width_dark="0px", block_shadow="none", block_padding="0px",
        block_label_background_fill="transparent", block_title_text_weight="400",
        block_title_text_color="*body_text_color_subdued", block_title_text_color_dark="*body_text_color_subdued",
        input_background_fill="white", input_background_fill_dark="*neutral_900", input_border_width="1px",
        input_shadow="none", input_shadow_focus="none", input_border_color_focus="*primary_600",
        button_primary_background_fill="*primary_600", button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600", button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="white", button_secondary_background_fill="white",
        button_secondary_background_fill_dark="*neutral_900", button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_700", button_border_width="1px", button_large_text_weight="600",
        form_gap_width="0px", layout_gap="20px",
    )  # fmt: skip


_DOLLARS = [{"left": "$$", "right": "$$", "display": True}, {"left": "$", "right": "$", "display": False}]

_IDEA = r"$\hat x_0 = D(x_t, t, c) = \mathbb{E}\,[\,x_0 \mid x_t, c\,]$"  # every tab is a view of this one function

_FOOTER = """<footer><span>Apache License 2.0</span><a href="?view=api">Use from Python or MCP</a>
<span>The faces are drawn by a program, not photographed.</span></footer>"""

# What launch() must be given besides its address. No folder of this machine is served, uploads are bounded, and few sessions
# are kept, because what can be computed again is not worth memory.
LAUNCH: dict[str, Any] = {
    "theme": theme(),
    "css": (_FOLDER / "page.css").read_text(),
    "head": '<meta name="viewport" content="width=device-width, initial-scale=1">',
    "footer_links": [],
    "max_file_size": "20mb",
    "state_session_capacity": 200,
    "enable_monitoring": False,
    "ssr_mode": False,
}
