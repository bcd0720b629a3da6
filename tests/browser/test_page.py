"""The page, an action on it, and links, in a real Chromium over a request that needs no model."""

import base64
import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
import pytest
from PIL import Image

from backend.request import Progress, Request, option, require
from components.action import Action
from components.page import LAUNCH, Tab, build
from components.region_picker import RegionPicker, Shown

DESK, PHONE = {"width": 1440, "height": 1000}, {"width": 390, "height": 1400}
LINE = "(document.querySelector('.status-line .line')?.__state ?? {})"
PICKER = "(document.querySelector('#picker .picker')?.__state ?? {})"
_file = io.BytesIO()
Image.linear_gradient("L").resize((8, 8)).save(_file, "PNG")
PIXELS = "data:image/png;base64," + base64.b64encode(_file.getvalue()).decode()
step = threading.Semaphore(0)  # the test hands out the steps of a slow count
counted: list[tuple[str, int]] = []


@dataclass(frozen=True)
class CountSteps(Request):
    """Counts to n; above 50 it waits for the test at every step."""

    model: str = "small"
    image: str = "gallery:1"
    t: float = 0.5
    n: int = option(3, "the count")
    region: str = "part:hair"

    def check(self) -> None:
        require(self.n <= 100, "Count to at most 100, please.")

    def run(self, model: None) -> Iterator[Any]:
        for i in range(self.n):
            if self.n > 50:
                assert step.acquire(timeout=20)
            counted.append((self.image, i))
            yield Progress(i + 1, self.n, "steps")
        yield f"{self.n} at t {self.t} in {self.region}"


def tab(bar) -> list[Action]:
    with gr.Row():
        with gr.Column():
            picker = RegionPicker(Shown(PIXELS, ["hair"]), elem_id="picker")
        with gr.Column():
            n = gr.Number(3, label="count", elem_id="n", precision=0)
            button = gr.Button("Count", variant="primary", elem_id="count")
            action = Action(
                CountSteps,
                {"model": bar.model, "image": bar.image, "t": bar.t, "n": n, "region": picker},
                lambda result, request: [result],
                [result := gr.Textbox(label="result", elem_id="result")],
                gateway=lambda request: request.checked().run(None),
            )
    action.on(button.click)
    result.elem_classes = ["result"]
    return [action]


@pytest.fixture(scope="module")
def address(server):
    models = [("Small model", "small"), ("Large model", "large")]
    other = Tab("spectrum", "Spectrum", lambda bar: [])
    blocks = build(models, [other, Tab("edit", "Edit", tab)], model="small", image="gallery:1", t=0.5)
    return server(blocks, **LAUNCH)


@pytest.fixture
def edit(page, address):
    page.goto(address)
    page.get_by_role("tab", name="Edit").click()
    page.wait_for_function(f"{LINE}.state && {PICKER}.picture")
    counted.clear()
    while step.acquire(blocking=False):
        pass
    return page


def until(page, condition: str) -> None:
    page.wait_for_function(condition)


def result(page) -> str:
    return page.locator("#result textarea, #result input").input_value()


def pick(page) -> None:
    page.get_by_role("button", name="hair", exact=True).click()
    until(page, f"{PICKER}.region === 'part:hair'")


@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"], indirect=True)
def test_an_action_runs_and_the_page_fits(edit, viewport, shots):
    pick(edit)
    edit.locator("#count").click()
    until(edit, f"{LINE}.state === 'done'")
    assert result(edit) == "3 at t 0.5 in part:hair"
    assert edit.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    if shots:
        edit.get_by_text("What am I looking at?").last.click()
        until(edit, "document.querySelector('.explain .katex-display')")
        edit.screenshot(path=shots / f"page_{viewport['width']}.png", full_page=True)
        edit.emulate_media(color_scheme="dark")


def test_progress_moves_and_cancel_stops_within_a_step(edit, shots):
    pick(edit)
    edit.locator("#n input").fill("60")
    edit.locator("#count").click()
    step.release(20)
    until(edit, f"{LINE}.done > 0 && {LINE}.total === 60")
    assert "of 60 steps" in edit.locator(".status-line .words").inner_text()
    if shots:
        edit.screenshot(path=shots / "page_running.png")
    while len(counted) < 20:
        edit.wait_for_timeout(20)
    edit.get_by_role("button", name="Cancel").click()
    until(edit, f"{LINE}.state === 'cancelled'")
    step.release(40)
    edit.locator("#n input").fill("2")  # the page goes on
    edit.locator("#count").click()
    until(edit, f"{LINE}.state === 'done'")
    assert result(edit) == "2 at t 0.5 in part:hair"
    assert len([i for _, i in counted if i >= 20]) <= 1, "at most the step under way was finished"


def test_an_error_is_a_sentence_and_loses_nothing(edit, shots):
    pick(edit)
    edit.locator("#count").click()
    until(edit, f"{LINE}.state === 'done'")
    edit.locator("#n input").fill("1000")
    edit.locator("#count").click()
    until(edit, f"{LINE}.state === 'failed'")
    assert edit.locator(".status-line .words").inner_text().endswith("Count to at most 100, please.")
    assert edit.locator(".status-line .words").get_attribute("role") == "alert"
    assert result(edit) == "3 at t 0.5 in part:hair"
    assert edit.evaluate(f"{PICKER}.region") == "part:hair"
    if shots:
        edit.screenshot(path=shots / "page_failed.png")


def test_the_address_reopens_the_same_run(edit):
    pick(edit)
    edit.locator("#n input").fill("5")
    edit.locator("#t input[type=number]").fill("0.25")
    edit.locator("#t input[type=number]").press("Enter")
    edit.locator("#count").click()
    until(edit, f"{LINE}.state === 'done'")
    assert "do=CountSteps" in edit.url and "n=5" in edit.url and "t=0.25" in edit.url
    shown = result(edit)
    edit.goto(edit.url)
    until(edit, f"{LINE}.state === 'done'")  # the tab is selected and the action has run, without a click
    assert result(edit) == shown == "5 at t 0.25 in part:hair"
    assert edit.evaluate(f"{PICKER}.region") == "part:hair"


def test_a_damaged_link_is_a_sentence_and_the_page_opens(page, address):
    page.goto(address + "?v=1&do=CountSteps&n=many")
    page.get_by_text("This link is damaged").wait_for()
    page.get_by_role("tab", name="Edit").click()
    page.locator("#count").wait_for()


def test_link_and_python_are_copied(browser, address):
    context = browser.new_context(viewport=DESK)
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    page = context.new_page()
    page.goto(address + "?v=1&do=CountSteps&n=4")
    page.wait_for_function(f"{LINE}.state === 'done'")
    page.get_by_role("button", name="Copy link").click()
    page.wait_for_function(
        "navigator.clipboard.readText().then(text => text.endsWith('?v=1&do=CountSteps&n=4'))"
    )
    page.get_by_role("button", name="Copy as Python").click()
    page.wait_for_function("navigator.clipboard.readText().then(text => text.includes('run(CountSteps('))")
    context.close()


def test_an_upload_has_no_link(edit):
    pick(edit)
    edit.locator("#image textarea, #image input").fill("upload:" + "0" * 64)
    edit.locator("#count").click()
    until(edit, f"{LINE}.state === 'done'")
    assert "upload" not in edit.url
    assert edit.get_by_role("button", name="Copy link").is_disabled()


def test_two_people_do_not_see_each_other(browser, edit, address):
    pick(edit)
    edit.locator("#n input").fill("60")
    edit.locator("#count").click()
    step.release(1)
    until(edit, f"{LINE}.total === 60")
    context = browser.new_context(viewport=DESK)
    second = context.new_page()
    second.goto(address)
    second.get_by_role("tab", name="Edit").click()
    second.wait_for_function(f"{LINE}.state && {PICKER}.picture")
    pick(second)
    second.locator("#image textarea, #image input").fill("gallery:9")
    second.locator("#count").click()
    until(second, f"{LINE}.state === 'done'")
    assert result(second) == "3 at t 0.5 in part:hair" and result(edit) == ""
    step.release(59)
    until(edit, f"{LINE}.state === 'done'")
    assert result(edit) == "60 at t 0.5 in part:hair"
    context.close()


def test_the_footer_opens_the_endpoints(browser, address):
    context = browser.new_context(viewport=DESK)  # gradio's own panel asks for pages that are switched off
    page = context.new_page()
    page.goto(address)
    page.get_by_role("link", name="Use from Python or MCP").click()
    page.get_by_text("/steps").first.wait_for()
    context.close()
