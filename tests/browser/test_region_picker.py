"""The region picker in a real Chromium, by mouse, touch and keyboard, at a desk and on a telephone."""

import numpy as np
import pytest

from tests.browser import demo
from tests.browser.demo_page import PHONE, PICKER, everywhere, opened, serve, spot, until


@pytest.fixture(scope="module")
def address(server):
    return serve(server)


@pytest.fixture
def ready(page, address):
    yield from opened(page, address)


def drag(page, *points: tuple[float, float]) -> None:
    page.mouse.move(*spot(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*spot(page, *point), steps=4)
    page.mouse.up()


def mode(page, name: str) -> None:
    """The browser loses a click on what is being drawn anew, so it is repeated until it has taken effect."""
    for _ in range(10):
        page.locator(f"#picker .modes input[value={name}]").click(force=True)
        if page.evaluate(f"{PICKER}.mode") == name:
            return
    raise AssertionError(f"the picker does not change to {name}")


def region(page) -> str:
    return page.evaluate(f"{PICKER}.region")


def settled(page, kind: str) -> str:
    until(page, f"{PICKER}.region.startsWith('{kind}:') && !{PICKER}.pending")
    return region(page)


def decoded(wire: str) -> np.ndarray:
    return demo.mask_of(wire, demo.face())


@everywhere
def test_click_sends_the_pixel_and_shows_the_mask_of_the_answer(ready, shots, viewport):
    ready.mouse.click(*spot(ready, 32.5, 8.5))
    assert settled(ready, "click") == "click:32,8,0.5,0.6"
    expected = demo.mask_of("click:32,8,0.5,0.6", demo.face())
    assert ready.evaluate(f"{PICKER}.area") == expected.sum()
    assert ready.evaluate(f"Array.from({PICKER}.mask.data)") == expected.ravel().astype(int).tolist()
    assert f"{expected.sum()} pixels" in ready.locator("#picker .area").inner_text()
    if shots:
        ready.screenshot(path=shots / f"picker_{viewport['width']}.png", full_page=True)


def test_touch_picks_where_it_taps(browser, address):
    context = browser.new_context(viewport=PHONE, has_touch=True)
    phone = context.new_page()
    phone.goto(address)
    phone.wait_for_function(f"{PICKER}.picture")
    phone.touchscreen.tap(*spot(phone, 10.5, 60.5))
    assert settled(phone, "click").startswith("click:10,60,")
    context.close()


def test_tolerance_asks_again_about_the_same_pixel(ready):
    ready.mouse.click(*spot(ready, 32.5, 8.5))
    settled(ready, "click")
    slider = ready.locator("#picker .tolerance")
    slider.focus()
    for _ in range(5):
        ready.keyboard.press("ArrowRight")
    until(ready, f"{PICKER}.region === 'click:32,8,0.55,0.6' && !{PICKER}.pending")
    assert ready.evaluate(f"{PICKER}.area") == demo.mask_of("click:32,8,0.55,0.6", demo.face()).sum()
    assert [r for r in demo.heard if r.startswith("click")][-1] == "click:32,8,0.55,0.6"


@everywhere
def test_box_is_half_open_and_may_be_drawn_backwards(ready, viewport):
    mode(ready, "box")
    drag(ready, (40.5, 50.5), (24.2, 38.7))
    assert settled(ready, "box") == "box:24,38,41,51"
    assert ready.evaluate(f"{PICKER}.area") == 17 * 13


def test_a_region_given_up_and_picked_again_is_answered_again(ready):
    eyes = ready.locator("#picker .parts button", has_text="eyes")
    for _ in range(2):
        eyes.click()
        until(ready, f"{PICKER}.region === 'part:eyes' && !{PICKER}.pending && {PICKER}.mask")
        ready.locator("#picker .clear").click()
        until(ready, f"{PICKER}.region === '' && !{PICKER}.mask")
    for _ in range(2):  # and without giving it up
        eyes.click()
        until(ready, f"{PICKER}.region === 'part:eyes' && !{PICKER}.pending && {PICKER}.mask")


def test_lasso_keeps_the_pixels_whose_centres_are_inside(ready):
    mode(ready, "lasso")
    drag(ready, (10, 10), (30, 10), (30, 25), (10, 25))
    mask = decoded(settled(ready, "rle"))
    assert mask[10:25, 10:30].mean() > 0.97 and mask.sum() <= 20 * 15 + 8


def test_brush_paints_adds_and_erases(ready):
    mode(ready, "brush")
    drag(ready, (20, 20), (40, 20))
    first = decoded(settled(ready, "rle"))
    y, x = np.mgrid[0:64, 0:64] + 0.5
    near = np.hypot(np.clip(x, 20, 40) - x, y - 20) <= 2.5
    assert (first == near).mean() > 0.998
    drag(ready, (30, 40), (31, 40))
    until(ready, f"{PICKER}.area > {first.sum()} && !{PICKER}.pending")
    second = decoded(region(ready))
    assert (second & first).sum() == first.sum()
    ready.locator("#picker .erase").check()
    ready.locator("#picker .size").fill("9")
    drag(ready, (15, 20), (50, 20))
    until(ready, f"{PICKER}.area < {second.sum()} && !{PICKER}.pending")
    assert not (decoded(region(ready)) & first).any()
    drag(ready, (25, 40), (36, 40))  # nothing is left: the region is given up
    until(ready, f"{PICKER}.region === ''")


def test_brush_mends_the_mask_of_a_click(ready):
    ready.mouse.click(*spot(ready, 32.5, 8.5))
    clicked = demo.mask_of(settled(ready, "click"), demo.face())
    mode(ready, "brush")
    drag(ready, (5, 5), (6, 5))
    mended = decoded(settled(ready, "rle"))
    assert (mended & clicked).sum() == clicked.sum() and mended[5, 5] and not clicked[5, 5]


def test_part_buttons_and_a_part_that_has_no_mask(ready):
    ready.get_by_role("button", name="hair", exact=True).click()
    assert settled(ready, "part") == "part:hair" and ready.evaluate(f"{PICKER}.area") > 100
    assert ready.get_by_role("button", name="hair", exact=True).get_attribute("aria-pressed") == "true"
    ready.get_by_role("button", name="background", exact=True).click()
    until(ready, f"{PICKER}.region === 'part:background' && !{PICKER}.pending")
    assert ready.evaluate(f"{PICKER}.mask") is None


def test_a_mask_is_never_stale(ready):
    ready.get_by_role("button", name="hair", exact=True).click()
    settled(ready, "part")
    demo.gate.clear()
    ready.get_by_role("button", name="eyes", exact=True).click()
    assert ready.evaluate(f"{PICKER}.pending && {PICKER}.mask === null && {PICKER}.ghost === null")
    mode(ready, "box")
    drag(ready, (10, 10), (20, 20))  # the answer about the eyes is still to come
    box = ready.evaluate(f"{PICKER}.area")
    demo.gate.set()
    settled(ready, "box")
    until(ready, "document.querySelector('#said textarea, #said input').value.startsWith('box')")
    assert ready.evaluate(f"{PICKER}.area") == box and region(ready).startswith("box:")


def test_clearing_ignores_the_answer_that_comes_after_it(ready):
    demo.gate.clear()
    ready.get_by_role("button", name="eyes", exact=True).click()
    ready.get_by_role("button", name="Clear").click()
    assert region(ready) == ""
    demo.gate.set()
    until(ready, "document.querySelector('#said textarea, #said input').value === 'part:eyes'")
    assert ready.evaluate(f"{PICKER}.mask === null && {PICKER}.region === ''")


def test_a_new_picture_never_shows_the_old_mask_and_is_asked_anew(ready):
    ready.mouse.click(*spot(ready, 32.5, 8.5))
    picked = settled(ready, "click")
    before = ready.evaluate(f"{PICKER}.image")
    demo.gate.clear()
    ready.locator("#another").click()
    until(ready, f"{PICKER}.image !== {before!r} && {PICKER}.picture && {PICKER}.pending")
    assert ready.evaluate(f"[{PICKER}.region, {PICKER}.mask, {PICKER}.ghost]") == [picked, None, None]
    assert ready.locator("#picker .parts button").count() == 2
    demo.gate.set()
    settled(ready, "click")
    assert ready.evaluate(f"{PICKER}.area") > 0


def test_a_new_picture_forgets_what_was_painted(ready):
    mode(ready, "brush")
    drag(ready, (20, 20), (40, 20))
    settled(ready, "rle")
    before = ready.evaluate(f"{PICKER}.image")
    ready.locator("#another").click()
    until(ready, f"{PICKER}.image !== {before!r} && {PICKER}.picture")
    assert ready.evaluate(f"[{PICKER}.region, {PICKER}.mask, {PICKER}.pending]") == ["", None, False]


def test_python_can_set_a_region_as_a_link_does(ready):
    ready.locator("#link").click()
    until(ready, f"{PICKER}.region === 'box:8,40,56,60'")
    assert ready.evaluate(f"{PICKER}.area") == 48 * 20


def test_keyboard_alone(ready):
    canvas = ready.locator("#picker canvas")
    canvas.focus()
    for key in ["ArrowRight", "Shift+ArrowUp", "ArrowUp", "Enter"]:
        ready.keyboard.press(key)
    assert settled(ready, "click") == "click:33,23,0.5,0.6"
    ready.locator("#picker .modes input[value=click]").focus()
    ready.keyboard.press("ArrowRight")  # radio buttons: the next mode
    assert ready.evaluate(f"{PICKER}.mode") == "box"
    canvas.focus()
    for key in ["ArrowDown", "ArrowLeft", "Shift+ArrowRight"]:
        ready.keyboard.press(key)
    assert ready.evaluate(f"{PICKER}.mask") is None, "a box that is being moved is not the old mask"
    ready.keyboard.press("Enter")
    assert settled(ready, "box") == "box:21,23,42,43"
    mode(ready, "lasso")
    canvas.focus()
    for key in ["Enter", "Shift+ArrowRight", "Enter", "Shift+ArrowDown", "Enter", "Enter"]:
        ready.keyboard.press(key)
    triangle = decoded(settled(ready, "rle"))
    assert 20 <= triangle.sum() <= 40 and triangle[34, 38]
    mode(ready, "brush")
    canvas.focus()
    ready.keyboard.press("Escape")
    ready.keyboard.press("Shift+ArrowLeft")
    ready.keyboard.press(" ")
    until(ready, f"{PICKER}.area > {triangle.sum()} && !{PICKER}.pending")


def test_escape_gives_up_a_gesture(ready):
    ready.mouse.click(*spot(ready, 32.5, 8.5))
    before = settled(ready, "click")
    mode(ready, "box")
    ready.mouse.move(*spot(ready, 10, 10))
    ready.mouse.down()
    ready.mouse.move(*spot(ready, 30, 30))
    ready.locator("#picker canvas").focus()
    ready.keyboard.press("Escape")
    ready.mouse.up()
    assert region(ready) == before and ready.evaluate(f"{PICKER}.mask !== null")
