"""The spectrum tab as it opens, with the shipped runs, as a person uses it."""

import pytest

from components import bias_panel, process_panel, spectrum_tab
from tests.browser.spectrum_page import (
    GROUP,
    PHONE,
    SLIDES,
    chart,
    come_into_sight,
    done,
    frames,
    grey,
    open_tab,
    scrubber,
    until,
)


@pytest.fixture(scope="module")
def shipped(lasting_page, address):
    """The tab as it opens; tests of it change nothing but places of sliders."""
    page = lasting_page()
    open_tab(page, address)
    return page


@pytest.mark.parametrize("viewport", [PHONE], ids=["phone"], indirect=True)
def test_on_a_telephone_nothing_is_wider_than_the_window(page, address, viewport, shots):
    open_tab(page, address)
    for name in GROUP:
        come_into_sight(page, name)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert all(
        280
        <= page.evaluate(f"document.querySelector('#{name} .plot')._fullLayout.width")
        <= viewport["width"]
        for name in GROUP
    )
    if shots:
        page.screenshot(path=shots / "spectrum_390.png", full_page=True)


def test_it_opens_alive(shipped, shots):
    assert shipped.evaluate(f"{scrubber()}.key") == spectrum_tab.FIRST.key()
    assert shipped.evaluate(f"{scrubber('process-t')}.key") == process_panel.FIRST.key()
    until(shipped, f"{scrubber()}.decoded === {10 * spectrum_tab.FIRST.times}")
    until(shipped, f"{scrubber('process-t')}.decoded === {6 * (process_panel.FIRST.steps + 1)}")
    for name in GROUP:
        come_into_sight(shipped, name)
        assert shipped.evaluate(frames(name)) == spectrum_tab.FIRST.times
    for name in ("denoising-error", "mixture-ranks", "mixture-values"):
        shipped.locator(f"#{name}").scroll_into_view_if_needed()
        until(shipped, f"{chart(name)}.drawn > 0")
    assert shipped.evaluate(f"{SLIDES}.rows[0].strip.title") == "v1 at t = 0.50"
    assert "K r = 12" in shipped.locator("#mixture-words").inner_text()
    assert shipped.evaluate("document.documentElement.scrollWidth") <= 1440
    if shots:
        shipped.screenshot(path=shots / "spectrum_1440.png", full_page=True)


def test_scrubbing_moves_pictures_and_charts_and_asks_nobody(shipped):
    for name in GROUP:
        come_into_sight(shipped, name)
    shipped.locator("#ranks").scroll_into_view_if_needed()
    asked: list[str] = []
    shipped.on("request", lambda request: asked.append(request.url))
    slider = shipped.locator("#spectrum-t input[type=range]")
    seen = set()
    slider.focus()
    for key, place in [
        ("Home", 0),
        ("ArrowRight", 1),
        ("End", spectrum_tab.FIRST.times - 1),
        ("ArrowLeft", 7),
    ]:
        shipped.keyboard.press(key)
        until(shipped, f"{scrubber()}.index === {place}")
        for name in GROUP[:3]:
            until(shipped, f"{chart(name)}.frame === {place} && {chart(name)}.shown === {place}")
        seen.add(tuple(grey(shipped, "spectrum-t")))
        words = shipped.locator("#spectrum-t output").inner_text()
        assert words == shipped.evaluate(f"{scrubber()}.captions[{place}]")
    assert len(seen) == 4, "other pictures at every noise level"
    assert shipped.evaluate(f"{scrubber('process-t')}.index") == 10, "another slider's group stays"
    assert asked == []
    for name in GROUP[3:]:  # those that were out of sight catch up
        come_into_sight(shipped, name)


def test_the_process_has_a_slider_of_its_own(shipped):
    slider = shipped.locator("#process-t input[type=range]")
    slider.focus()
    before = grey(shipped, "process-t")
    shipped.keyboard.press("Home")
    until(shipped, f"{chart('denoising-error')}.shown === 0")
    assert shipped.locator("#process-t output").inner_text() == "t = 0.00, σ/α = 0"
    assert grey(shipped, "process-t") != before


def test_linearity_is_drawn_by_the_measure_that_is_chosen(shipped):
    come_into_sight(shipped, "linear-chart")
    for words, title in (
        ("cosine", "cosine of D"),
        ("norm ratio", "|D(x + λv)| / |"),
        ("strict residual", "− λJv|"),
    ):
        shipped.locator("#linear-measure").get_by_text(words).click()
        until(shipped, f"document.querySelector('#linear-chart .ytitle')?.textContent.includes({title!r})")
    come_into_sight(shipped, "linear-chart")


def test_another_mixture_is_drawn_when_the_slider_is_let_go(shipped):
    shipped.locator("#mixture-values").scroll_into_view_if_needed()
    until(shipped, f"{chart('mixture-values')}.drawn > 0")
    curves = shipped.evaluate(f"{chart('mixture-values')}.figure.data.length")
    rail = shipped.locator("#mixture-r input[type=range]").bounding_box()
    height = rail["y"] + rail["height"] / 2
    shipped.mouse.move(rail["x"] + rail["width"] * 5 / 31, height)  # 6 of 1 to 32
    shipped.mouse.down()
    shipped.mouse.move(rail["x"] + 9, height, steps=3)
    shipped.mouse.up()
    r = int(shipped.locator("#mixture-r input[type=range]").input_value())
    assert r < 6
    until(shipped, f"document.querySelector('#mixture-words').textContent.includes('K r = {2 * r}.')")
    until(shipped, f"{chart('mixture-values')}.figure.data.length < {curves}")
    done(shipped, "ExploreMixture")


def test_students_are_drawn_along_each_axis_where_they_are_shipped(shipped):
    if spectrum_tab.find(bias_panel.FIRST) is None:
        pytest.skip("no run of TrainStudents in assets/runs")
    shipped.locator("#bias-0").scroll_into_view_if_needed()
    for words, title in (
        ("width", "width"),
        ("pictures N", "training pictures N"),
        ("training", "training steps"),
    ):
        shipped.locator("#bias-along").get_by_text(words, exact=True).click()
        until(shipped, f"document.querySelector('#bias-0 .xtitle')?.textContent === {title!r}")
    shipped.locator("#bias-t input[type=range]").focus()
    shipped.keyboard.press("Home")
    until(shipped, f"{chart('bias-0')}.shown === 0")
