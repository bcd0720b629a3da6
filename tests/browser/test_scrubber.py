"""The scrubber that moves charts, in a real Chromium."""

import pytest

from components.scrubber import Place
from tests.browser import chart_demo as demo
from tests.browser.chart_page import (
    MIDDLE,
    SCRUBBER,
    opened,
    scrub,
    serve,
    state,
    told,
    until,
)


@pytest.fixture(scope="module")
def address(server):
    return serve(server)


@pytest.fixture
def ready(page, address):
    return opened(page, address)


def grey(page, tile: int) -> int:
    return page.evaluate(
        f"document.querySelectorAll('#scrubber canvas')[{tile}].getContext('2d').getImageData(3, 3, 1, 1).data[0]"
    )


def test_pictures_and_caption_swap_at_once(ready):
    for k in (0, 19, 6):
        scrub(ready, k)
        assert [grey(ready, i) for i in range(6)] == [10 * k + i for i in range(5)] + [7]
        assert ready.locator("#scrubber output").inner_text() == f"t = {k / demo.FRAMES:.2f}"
    assert "pixels" in ready.locator("#scrubber canvas").first.get_attribute("class")


def test_keys(ready):
    ready.locator("#scrubber input").focus()
    for key, k in [("Home", 0), ("ArrowRight", 1), ("End", 19), ("ArrowLeft", 18)]:
        ready.keyboard.press(key)
        until(ready, f"{SCRUBBER}.index == {k}")
        told(ready, Place("first", k))


def test_a_click_on_a_picture_reaches_python(ready):
    scrub(ready, 2)
    ready.locator("#scrubber .tile").nth(4).click()
    told(ready, Place("first", 2, 4))


def test_new_scenes_keep_the_place_where_they_can(ready):
    scrub(ready, 3)
    ready.locator("#same").click()
    until(ready, f"{SCRUBBER}.key == 'same' && {SCRUBBER}.decoded == {6 * demo.FRAMES}")
    assert ready.evaluate(f"{SCRUBBER}.index") == 3 and grey(ready, 0) == 30
    assert "pixels" not in (ready.locator("#scrubber canvas").first.get_attribute("class") or "")
    ready.locator("#fewer").click()
    until(ready, f"{SCRUBBER}.key == 'fewer' && {state('moving')}.shown == 4")
    assert ready.evaluate("window.__scrub.demo") == 4


def test_it_follows_others_of_its_group(ready):
    for group, k in [("other", MIDDLE), ("demo", 1)]:
        ready.evaluate(
            "group => document.dispatchEvent(new CustomEvent('scrub', {detail: {group, index: 1}}))", group
        )
        assert ready.evaluate(f"{SCRUBBER}.index") == k
    assert grey(ready, 0) == 10
