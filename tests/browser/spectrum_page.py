"""What a person does on the spectrum tab, for the browser tests, and the states that they wait for."""

import re

from backend.experiments.spectrum import SweepSpectrum
from tests.browser.edit_page import QUICK

PHONE = {"width": 390, "height": 1800}
GROUP = (
    "singular-values",
    "ranks",
    "truth",
    "angles",
    "linear-chart",
    "asymmetry",
    "over-noise",
)  # charts that follow the slider
MINE = SweepSpectrum("gaussian", "gallery:0", times=5, k=20)
SLIDES = "(document.querySelector('#singular-film .film')?.__state ?? {rows: []})"
LINES = (
    "[...document.querySelectorAll('[role=tabpanel]:has(#singular-values) .status-line .line')]"
    ".map(one => one.__state ?? {})"
)


def chart(name: str) -> str:
    return f"(document.querySelector('#{name} .chart')?.__state ?? {{}})"


def scrubber(name: str = "spectrum-t") -> str:
    return f"(document.querySelector('#{name} .scrubber')?.__state ?? {{}})"


def frames(name: str) -> str:
    return f"({chart(name)}.figure?.frames.length ?? 0)"


def until(page, condition: str) -> None:
    page.wait_for_function(condition)


def done(page, name: str) -> None:
    """Until an action of that name is what has ended last."""
    until(page, f"{LINES}.some(one => one.state === 'done' && one.query?.includes('do={name}'))")


def open_tab(page, address: str) -> None:
    page.set_default_timeout(QUICK)
    page.goto(address)
    page.get_by_role("tab", name="Spectrum").click()
    page.locator("#singular-values").scroll_into_view_if_needed()
    until(page, f"{scrubber()}.decoded > 0 && {chart('singular-values')}.shown >= 0")


def come_into_sight(page, name: str) -> None:
    """A chart is drawn once it is in the window."""
    page.locator(f"#{name}").scroll_into_view_if_needed()
    until(page, f"{chart(name)}.drawn > 0 && {chart(name)}.shown === {scrubber()}.index")


def grey(page, name: str) -> list[int]:
    """A pixel of each picture beside a slider."""
    return page.evaluate(
        f"[...document.querySelectorAll('#{name} canvas')].map(c => c.getContext('2d').getImageData(9, 5, 1, 1).data[0])"
    )


def choose_model(page, title: str) -> None:
    page.locator("#model input").click()
    page.get_by_role("option", name=re.compile(title)).click()


def name_picture(page, name: str) -> None:
    page.locator("#image textarea, #image input").fill(name)
    page.locator("#image textarea, #image input").press("Enter")


def press_point(page, name: str, number: int) -> None:
    """Clicks on a point of the last curve. Plotly answers where it has found one under the pointer, and forgets that when a
    new figure comes meanwhile."""
    page.locator(f"#{name}").scroll_into_view_if_needed()
    until(page, f"{chart(name)}.drawn > 0")
    clicked = f"{chart(name)}.clicked?.at ?? 0"
    before = page.evaluate(clicked)
    for _ in range(10):
        spot = page.evaluate(
            f"""i => {{
              const plot = document.querySelector('#{name} .plot'), {{xaxis, yaxis}} = plot._fullLayout;
              const {{x, y}} = plot._fullData.at(-1), box = plot.getBoundingClientRect();
              return [box.x + xaxis._offset + xaxis.c2p(x[i]), box.y + yaxis._offset + yaxis.c2p(y[i])];
            }}""",
            number,
        )
        page.mouse.move(*spot)
        until(page, f"document.querySelector('#{name} .plot')._hoverdata?.length > 0")
        page.mouse.click(*spot)
        if page.evaluate(clicked) != before:
            return
    raise AssertionError(f"no point of {name} answered")
