"""Charts, in a real Chromium."""

import csv
from pathlib import Path

import numpy as np
import pytest

from components.chart import Point
from components.scrubber import Place
from tests.browser import chart_demo as demo
from tests.browser.chart_page import (
    MIDDLE,
    NAMES,
    PHONE,
    SCRUBBER,
    everywhere,
    opened,
    plot,
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


def y(page, name: str, curve: int = 0) -> list[float]:
    """What Plotly has calculated and drawn."""
    return page.evaluate(f"{plot(name)}.calcdata[{curve}].map(p => p.y ?? p.s)")


def spot(page, name: str, x: float, y: float) -> tuple[float, float]:
    """Window coordinates of a place on a plot's axes."""
    return tuple(
        page.evaluate(
            f"([x, y]) => {{ const p = {plot(name)}, {{xaxis, yaxis}} = p._fullLayout, box = p.getBoundingClientRect();"
            "return [box.x + xaxis._offset + xaxis.c2p(x), box.y + yaxis._offset + yaxis.c2p(y)] }",
            [x, y],
        )
    )


def click(page, name: str, x: float, y: float) -> None:
    """Plotly answers a click on what it has found under the pointer."""
    page.mouse.move(*spot(page, name, x, y))
    until(page, f"{plot(name)}._hoverdata?.length > 0")
    page.mouse.click(*spot(page, name, x, y))


def zoom(page, name: str) -> list[float]:
    page.mouse.move(*spot(page, name, 0.2, -0.5))
    page.mouse.down()
    page.mouse.move(*spot(page, name, 0.6, 0.5), steps=4)
    page.mouse.up()
    until(page, f"{plot(name)}._fullLayout.xaxis.range[0] > 0.1")
    return limits(page, name)


def limits(page, name: str) -> list[float]:
    return page.evaluate(
        f"[...{plot(name)}._fullLayout.xaxis.range, ...{plot(name)}._fullLayout.yaxis.range]"
    )


def download(page, name: str, kind: str) -> str:
    with page.expect_download() as waiting:
        page.locator(f"#{name} .{kind}").click()
    assert waiting.value.suggested_filename == f"{name}.{kind}"
    return Path(waiting.value.path()).read_text()


# ---- clicks


def test_a_click_on_a_point_reaches_python(ready):
    x, height = float(demo.X[15]), float(demo.wave(MIDDLE)[15])
    click(ready, "moving", x, height)
    told(ready, Point(0, 15, x, height, MIDDLE))
    click(ready, "heat", 2, 1)
    told(ready, Point(0, 6, 2.0, 1.0, -1))
    click(ready, "bars", 3, demo.wave(MIDDLE)[3] / 2)
    told(ready, Point(0, 3, "s3", float(demo.wave(MIDDLE)[3]), MIDDLE))


@pytest.mark.parametrize("viewport", [PHONE], ids=["phone"], indirect=True)
def test_a_tap_is_one_click_and_a_finger_may_scroll_the_page(ready, viewport):
    ready.context.new_cdp_session(ready).send(
        "Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 1}
    )
    x, height = float(demo.X[15]), float(demo.wave(MIDDLE)[15])
    ready.touchscreen.tap(*spot(ready, "moving", x, height))
    told(ready, Point(0, 15, x, height, MIDDLE))
    ready.touchscreen.tap(*spot(ready, "marked", float(demo.X[20]), float(demo.wave(0, 2)[20])))
    told(ready, Point(4, 20, float(demo.X[20]), float(demo.wave(0, 2)[20]), MIDDLE))
    assert len(demo.heard) == 2
    kept = ready.evaluate(
        f"""() => {{
          const target = {plot("moving")}.querySelector(".nsewdrag");
          const touches = [new Touch({{identifier: 1, target, clientX: 200, clientY: 500}})];
          const send = (kind) => target.dispatchEvent(
            new TouchEvent(kind, {{bubbles: true, cancelable: true, touches, changedTouches: touches}}));
          return [send("touchstart"), send("touchmove"), send("touchend")];
        }}"""
    )
    assert kept[:2] == [True, True], "Plotly leaves the movement to the browser"


def test_an_empty_chart_says_so_and_the_others_have_names(ready):
    assert ready.locator("#empty .note").inner_text() == "Nothing to plot yet"
    assert not ready.locator("#empty .csv").is_visible()
    assert ready.get_by_role("figure", name="The moving chart").is_visible()


# ---- zoom


def test_the_zoom_outlasts_a_new_figure_and_a_scrub(ready):
    before = zoom(ready, "moving")
    scrub(ready, 3)
    until(ready, f"{state('moving')}.shown == 3")
    assert limits(ready, "moving") == before
    drawn = ready.evaluate(f"{state('moving')}.drawn")
    ready.locator("#another").click()
    until(ready, f"{state('moving')}.drawn > {drawn}")
    assert y(ready, "moving") == pytest.approx(demo.wave(3, 1.0)), "a new figure shows the frame of its group"
    assert limits(ready, "moving") == before
    ready.mouse.dblclick(*spot(ready, "moving", 0.4, 0))
    until(ready, f"{plot('moving')}._fullLayout.xaxis.range[0] < 0.01")


def test_none_leaves_everything_as_it_is(ready):
    before = ready.evaluate(f"[{state('moving')}.drawn, {SCRUBBER}.drawn]")
    ready.locator("#nothing").click()
    until(ready, "document.querySelector('#said textarea, #said input').value == 'nothing new'")
    ready.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert ready.evaluate(f"[{state('moving')}.drawn, {SCRUBBER}.drawn]") == before
    assert y(ready, "moving") == pytest.approx(demo.wave(MIDDLE))


# ---- frames


def test_every_chart_of_the_group_and_no_other_follows(ready):
    for k in (0, 19, 7):
        scrub(ready, k)
        for name in NAMES:
            until(ready, f"{state(name)}.shown == {k}")
        assert y(ready, "moving") == pytest.approx(demo.wave(k))
        assert y(ready, "bars") == pytest.approx(demo.wave(k)[:12])
        assert y(ready, "bars", 1) == pytest.approx(demo.wave(k, 1)[:12])
        place = ready.evaluate(
            f"{plot('marked')}.querySelector('.shapelayer path').getBoundingClientRect().x"
        )
        assert place == pytest.approx(spot(ready, "marked", k / demo.FRAMES, 0)[0], abs=1)
    assert (
        y(ready, "other") == pytest.approx(demo.wave(0)) and ready.evaluate(f"{state('other')}.shown") == -1
    )
    assert demo.heard == [], "Python is not told while the slider moves"


def test_a_hidden_chart_catches_up(ready):
    scrub(ready, 4)
    until(ready, f"{state('moving')}.shown == 4")
    ready.get_by_role("tab", name="hidden").click()
    until(ready, f"{state('hidden')}.shown == 4")
    assert y(ready, "hidden") == pytest.approx(demo.wave(4))
    scrub(ready, 5)  # now the others are hidden
    until(ready, f"{state('hidden')}.shown == 5")
    assert ready.evaluate(f"{state('moving')}.shown") == 4
    ready.get_by_role("tab", name="seen").click()
    until(ready, f"{state('moving')}.shown == 5")
    assert y(ready, "moving") == pytest.approx(demo.wave(5))


def test_scrubbing_three_charts(ready):
    """Dragged with the mouse, from input event to after the paint. What it takes is printed, not asserted: the
    machine is shared."""
    box = ready.locator("#scrubber input").bounding_box()
    at = [box["x"] + 9 + (box["width"] - 18) * k / (demo.FRAMES - 1) for k in range(demo.FRAMES)]
    ready.mouse.move(at[MIDDLE], box["y"] + box["height"] / 2)
    ready.mouse.down()
    for k in [*range(demo.FRAMES), *reversed(range(demo.FRAMES))]:
        ready.mouse.move(at[k], box["y"] + box["height"] / 2)
        for name in NAMES:
            until(ready, f"{state(name)}.shown == {k}")
    ready.mouse.up()
    swaps, charts = ready.evaluate(f"[{SCRUBBER}.swaps, {state('marked')}.swaps]")
    assert len(swaps) >= 2 * demo.FRAMES - 2
    for what, times in [("input to paint", swaps), ("scrub to paint", charts)]:
        print(f"\n{what}, ms: median {np.median(times):.1f}, p95 {np.quantile(times, 0.95):.1f}", end="")
    told(ready, Place("first", 0))


# ---- downloads


def test_the_table_holds_every_frame(ready):
    rows = list(csv.DictReader(download(ready, "moving", "csv").splitlines()))
    assert list(rows[0]) == ["frame", "curve", "x", "y", "error_y"] and len(rows) == demo.N * demo.FRAMES
    assert [row["frame"] for row in rows[:: demo.N]] == [f"t={k}" for k in range(demo.FRAMES)]
    assert {row["curve"] for row in rows} == {"sine"}
    third = [{k: float(v) for k, v in row.items() if k in "xy"} for row in rows if row["frame"] == "t=3"]
    assert [row["y"] for row in third] == demo.wave(3).tolist()
    assert [row["x"] for row in third] == demo.X.tolist() and float(rows[7]["error_y"]) == 0.007


def test_the_table_of_a_heat_map_without_frames(ready):
    rows = list(csv.DictReader(download(ready, "heat", "csv").splitlines()))
    assert rows[6] == {"frame": "", "curve": "0", "x": "2", "y": "1", "z": "6"} and len(rows) == 12


def test_the_drawing_is_for_paper_in_the_dark_too(ready):
    turn(ready, "add", "marked")
    svg = download(ready, "marked", "svg")
    assert svg.startswith("<svg") and svg.count('class="trace scatter') == 6 and "four sines" in svg
    ink = ready.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--body-text-color')")
    assert rgb(ready, ink) in svg.replace(", ", ",")


def rgb(page, colour: str) -> str:
    """Any CSS colour as browsers write it."""
    return page.evaluate(
        "c => { const e = document.body.appendChild(document.createElement('i')); e.style.color = c;"
        "const v = getComputedStyle(e).color; e.remove(); return v.replaceAll(', ', ',') }",
        colour,
    )


def turn(page, change: str, name: str) -> None:
    """add: to dark, remove: to light; until a chart is drawn in the colours of the page."""
    page.evaluate(f"document.body.classList.{change}('dark')")
    until(
        page,
        f"{state(name)}.colours.startsWith(getComputedStyle({plot(name)}).getPropertyValue('--body-text-color'))",
    )


def tint(page, name: str) -> str:
    """Of the axis title."""
    return page.evaluate(
        f"getComputedStyle({plot(name)}.querySelector('.xtitle')).fill.replaceAll(', ', ',')"
    )


def test_colours_follow_the_page(ready):
    light = tint(ready, "moving")
    assert light == rgb(ready, "var(--body-text-color)")
    before = zoom(ready, "moving")
    for change in ("add", "remove"):
        turn(ready, change, "moving")
        assert tint(ready, "moving") == rgb(ready, "var(--body-text-color)")
        assert (tint(ready, "moving") == light) == (change == "remove")
        assert limits(ready, "moving") == before


def test_one_library_for_all_charts_and_no_other_file(ready, address):
    urls = ready.evaluate("[...document.querySelectorAll('script[src*=\"plotly.min.js\"]')].map(s => s.src)")
    assert len(urls) == 1
    answer = ready.request.get(urls[0].replace("plotly.min.js", "widgetbundle.js"))
    assert answer.status == 403
    assert (
        ready.request.get(urls[0].replace("package_data/plotly.min.js", "graph_objects/__init__.py")).status
        == 403
    )


# ---- the page


@everywhere
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nothing_is_wider_than_the_window(ready, viewport, shots, dark):
    if dark:
        for name in NAMES:
            turn(ready, "add", name)
    width = viewport["width"]
    assert ready.evaluate("document.documentElement.scrollWidth") <= width
    assert all(280 <= ready.evaluate(f"{plot(name)}._fullLayout.width") <= width for name in NAMES)
    if shots:
        ready.screenshot(path=shots / f"charts_{width}{'_dark' * dark}.png", full_page=True)
