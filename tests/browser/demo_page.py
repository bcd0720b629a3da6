"""The page of demo.py, with the region picker and the filmstrip, for the browser tests of both."""

from collections.abc import Iterator

import pytest

from components.page import LAUNCH
from tests.browser import demo

PICKER = "(document.querySelector('#picker .picker')?.__state ?? {})"
FILM = "(document.querySelector('#film .film')?.__state ?? {})"
DESK, PHONE = {"width": 1440, "height": 1400}, {"width": 390, "height": 1800}
everywhere = pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"], indirect=True)


def serve(server) -> str:
    """Its address."""
    return server(demo.build(), **LAUNCH)


def opened(page, address) -> Iterator:
    """The page with both components drawn; every answer is let go before and after."""
    demo.heard.clear()
    demo.gate.set()
    page.goto(address)
    page.wait_for_function(f"{PICKER}.picture && {FILM}.rows?.length == 4")
    yield page
    demo.gate.set()


def until(page, condition: str) -> None:
    page.wait_for_function(condition)


def spot(page, x: float, y: float, root: str = "#picker") -> tuple[float, float]:
    """Window coordinates of natural pixel coordinates."""
    box = page.locator(f"{root} canvas").bounding_box()
    return box["x"] + x / demo.SIZE * box["width"], box["y"] + y / demo.SIZE * box["height"]
