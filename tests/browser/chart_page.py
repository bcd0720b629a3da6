"""The page of chart_demo.py, with charts and the scrubber that moves them, for the browser tests of both."""

import pytest

from components.page import LAUNCH
from tests.browser import chart_demo as demo

SCRUBBER = "(document.querySelector('#scrubber .scrubber')?.__state ?? {})"
DESK, PHONE = {"width": 1440, "height": 1400}, {"width": 390, "height": 2600}
everywhere = pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"], indirect=True)
NAMES = ["moving", "marked", "bars"]
MIDDLE = demo.FRAMES // 2


def state(name: str) -> str:
    return f"(document.querySelector('#{name} .chart')?.__state ?? {{}})"


def plot(name: str) -> str:
    return f"document.querySelector('#{name} .plot')"


def serve(server) -> str:
    """Its address."""
    return server(demo.build(), **LAUNCH)


def opened(page, address):
    """The page with all charts drawn and all pictures decoded."""
    demo.heard.clear()
    page.goto(address)
    for name in NAMES:
        page.wait_for_function(f"{state(name)}.shown == {MIDDLE}")
    page.wait_for_function(f"{SCRUBBER}.decoded == {6 * demo.FRAMES}")
    return page


def until(page, condition: str) -> None:
    page.wait_for_function(condition)


def scrub(page, index: int) -> None:
    """As if dragged there: no release, so Python is not told."""
    page.evaluate(
        "i => { const s = document.querySelector('#scrubber input'); s.value = i;"
        "s.dispatchEvent(new Event('input', {bubbles: true})); }",
        index,
    )


def told(page, value) -> None:
    """Until Python has heard exactly this, last."""
    words = str(value).replace("'", "\\'")
    until(page, f"document.querySelector('#said textarea, #said input').value == '{words}'")
    assert demo.heard[-1] == value
