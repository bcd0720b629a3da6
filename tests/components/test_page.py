"""Links, the theme and what launch is given. How the page behaves is tested in tests/browser."""

import copy
import inspect
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import pytest

import app
import components
from backend.request import BadInput, Request, option
from components import page
from components.action import Action
from components.region_picker import RegionPicker, Shown

FOLDER = Path(components.__file__).parent


@dataclass(frozen=True)
class LookAt(Request):
    """Looks at a region."""

    image: str = option("gallery:1", "the picture")
    region: str = "part:hair"
    t: float = 0.5


@dataclass(frozen=True)
class Elsewhere(Request):
    """An action that no tab here has."""


@pytest.fixture
def actions():
    with gr.Blocks():
        inputs = {"image": gr.Textbox(), "region": RegionPicker(), "t": gr.Slider()}
        return {Action(LookAt, inputs, lambda r, q: [], [], answer=False): "looking"}


def test_a_link_fills_the_components_of_its_action(actions):
    request = LookAt("sample:7:happy", "box:1,2,3,4", 0.25)
    action, values = page.opened(request.to_query(), actions)
    assert actions[action] == "looking"
    assert list(values.values()) == ["sample:7:happy", Shown(region="box:1,2,3,4", pick=True), 0.25]


def test_an_address_without_an_action_opens_the_page_as_it_is(actions):
    assert page.opened("", actions) == (None, {})
    assert page.opened("utm_source=mail", actions) == (None, {})


@pytest.mark.parametrize(
    "query",
    [
        Elsewhere().to_query(),
        "v=1&do=Nothing",
        "v=9&do=LookAt",
        "do=LookAt",
        "v=1&do=LookAt&t=much",
        "v=1&do=LookAt&size=3",
        "v=1&do=LookAt&image=upload:" + "0" * 64,
        "v=1&do=LookAt&region=" + "x" * 50_000,
    ],
)
def test_a_bad_link_is_one_sentence(actions, query):
    with pytest.raises(BadInput, match=r"^[A-Z][^.]*\.$"):
        page.opened(query, actions)


def test_launch_takes_everything_that_the_page_gives_it():
    assert set(page.LAUNCH) <= set(inspect.signature(gr.Blocks.launch).parameters)


def test_nothing_is_fetched_from_elsewhere():
    assert page.LAUNCH["theme"]._stylesheets == []
    for path in [p for kind in ("js", "css") for p in FOLDER.glob(f"*.{kind}")]:
        assert not re.search(r"(https?:)?//[a-z]", re.sub(r"//\s.*|://\s.*", "", path.read_text())), path.name


def test_the_templates_are_safe_from_gradios_two_template_languages():
    """Gradio runs HTML and CSS through Handlebars and then through a JavaScript template literal."""
    for path in FOLDER.glob("*.css"):
        assert not re.search(r"\{\{|`|\$\{|\\", path.read_text()), path.name
    for component in (RegionPicker(render=False),):
        assert not re.search(r"\{\{|`|\$\{|\\", component.html_template)


def test_bundled_fonts_have_the_latin_letters():
    """Gradio bundles some weights as subsets of a few kilobytes without them; whole faces are far larger."""
    theme = page.LAUNCH["theme"]
    for font in [f for f in theme._font + theme._font_mono if isinstance(f, gr.themes.LocalFont)]:
        for weight in font.weights:
            assert gr.themes.utils.fonts.font_file_path(font.name, weight).stat().st_size > 30_000


def test_the_whole_page_is_small_and_quick_to_copy():
    """Gradio copies all of it for every visit; what cannot be copied makes that a hundred times slower."""
    blocks = app.build()
    parts = copy.deepcopy(blocks.get_config_file()["components"])
    assert len(json.dumps(parts, default=lambda it: f"<{type(it).__name__}>")) < 9_000_000


def test_the_page_starts_without_what_takes_seconds_to_import():
    script = "import app, sys; print(*sys.modules)"
    root = FOLDER.parent
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=root, check=True
    )
    imported = {name.split(".")[0] for name in done.stdout.split()}
    assert "gradio" in imported and not imported & {
        "sklearn",
        "scipy",
        "diffusers",
        "skimage",
        "umap",
        "numba",
    }


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("v=1&do=SweepSpectrum&model=gaussian&times=1", "2 to 40 noise levels"),
        ("v=1&do=ExploreMixture&d=8&components=3&r=3", "do not fit"),
        ("v=1&do=GuideNetwork&model=digits", "There is no such class"),
        ("v=1&do=GuideNetwork&gamma=1e6", "gamma"),
        ("v=1&do=SplitJacobian&k=99", "1 to 20 components"),
    ],
)
def test_a_link_of_the_app_that_cannot_be_run_is_a_sentence(query, words):
    with pytest.raises(BadInput, match=words):
        page.opened(query, {})


def test_one_small_component_bears_the_progress_of_every_event():
    events = app.demo.get_config_file()["dependencies"]
    bearers = {tuple(one["show_progress_on"] or ()) for one in events if one["show_progress"] == "hidden"}
    ((bearer,),) = bearers
    assert app.demo.blocks[bearer].value == "<h1>Subspace Lab</h1>"
