"""What a tab opens with comes when it is first opened, once, and never over what a run has shown."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
import pytest

from backend.request import Request, option
from components.action import Action
from components.page import LAUNCH, Tab, build
from components.scrubber import Picture, Scene, Scenes, Scrubber
from tests.browser.test_page import PIXELS

KEY = "document.querySelector('#later .scrubber')?.__state?.key"


@dataclass(frozen=True)
class Name(Request):
    """Shows scenes of that name."""

    called: str = option("run", "the name")

    def run(self, model: None) -> Iterator[Any]:
        yield Scenes(self.called, scenes)


scenes = [Scene("t = 0", [Picture("x", PIXELS)])]


def tab(bar) -> list[Action]:
    scrubber = Scrubber(Scenes("opening", scenes), group="g", elem_id="later")
    called, button = gr.Textbox("run", label="name"), gr.Button("Name", elem_id="name")
    action = Action(
        Name, {"called": called}, lambda r, q: [r], [scrubber], gateway=lambda q: q.checked().run(None)
    )
    action.on(button.click)
    return [action]


@pytest.fixture(scope="module")
def address(server):
    tabs = [Tab("first", "First", lambda bar: []), Tab("second", "Second", tab)]
    return server(build([("Small", "small")], tabs, model="small", image="gallery:1", t=0.5), **LAUNCH)


def test_it_comes_with_the_tab_and_does_not_come_again(page, address):
    page.goto(address)
    page.get_by_role("tab", name="Second").click()
    page.wait_for_function(f"{KEY} === 'opening'")
    page.locator("#name").click()
    page.wait_for_function(f"{KEY} === 'run'")
    page.get_by_role("tab", name="First").click()
    page.get_by_role("tab", name="Second").click()
    page.locator("#name").wait_for(state="visible")
    page.wait_for_timeout(500)  # for an answer that must not come
    assert page.evaluate(KEY) == "run"


def test_a_link_is_not_undone_by_it(page, address):
    page.goto(f"{address}?v=1&do=Name&called=linked")
    page.wait_for_function(f"{KEY} === 'linked'")
    page.wait_for_timeout(500)
    assert page.evaluate(KEY) == "linked"
