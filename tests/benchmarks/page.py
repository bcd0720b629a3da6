"""How long a person waits at the page: `python -m tests.benchmarks.page`.

`python app.py` in a process of its own, from its start to a page in Chromium whose sliders move; then on that
page a slider's event until its frame is drawn, and until the browser has shown it; then the button "Find
directions" until predicted and until all denoised frames are there; then the slider of the spectrum tab until its charts
and pictures are on the screen. Every launch opens a fresh browser profile.
"""

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from playwright.sync_api import Page, sync_playwright

from backend.metrics.intervals import bootstrap, rate
from tests.benchmarks import report

SCRUBS = 100  # moves of the spectrum tab's slider
FILM = "(document.querySelector('#film .film')?.__state ?? {rows: []})"
PICKER = "(document.querySelector('#picker .picker')?.__state ?? {})"
LINE = "(document.querySelector('#slide .status-line .line')?.__state ?? {})"
USABLE = f"{FILM}.status === 'exact' && {PICKER}.picture && {PICKER}.mask"
SLIDE = """async (moves) => { // one event at a time, each waited for until the browser has shown what it drew
  const slider = document.querySelector('#film input[type=range]'), film = document.querySelector('#film .film').__state;
  const drawn = [], shown = [], [low, high] = [Number(slider.min), Number(slider.max)];
  const frame = () => new Promise(requestAnimationFrame), task = () => new Promise((done) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = done;
    channel.port2.postMessage(0);
  });
  for (let i = 0; i < moves; i++) {
    await frame();
    await task();
    slider.value = low + ((i * 0.381966) % 1) * (high - low);
    const begun = performance.now(), before = film.drawn;
    slider.dispatchEvent(new Event('input', { bubbles: true }));
    while (film.drawn === before) await frame();
    drawn.push(performance.now() - begun);
    await frame();
    await task();
    shown.push(performance.now() - begun);
  }
  return { drawn, shown };
}"""

SCRUB = """async (moves) => { // the same on the spectrum tab: all its pictures, and its charts as far as they are in sight
  const slider = document.querySelector('#spectrum-t input[type=range]');
  const charts = [...document.querySelectorAll('[role=tabpanel]:has(#spectrum-t) .chart')].map((one) => one.__state);
  const pictures = document.querySelector('#spectrum-t .scrubber').__state;
  const frame = () => new Promise(requestAnimationFrame), task = () => new Promise((done) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = done;
    channel.port2.postMessage(0);
  });
  const last = Number(slider.max), shown = [];
  const seen = charts.filter((one) => one.visible && one.figure?.frames.length === last + 1);
  for (let i = 0, place = pictures.index; i < moves; i++) {
    await frame();
    await task();
    place = (place + 1 + Math.floor(((i * 0.381966) % 1) * last)) % (last + 1); // never where it is
    slider.value = place;
    const begun = performance.now();
    slider.dispatchEvent(new Event('input', { bubbles: true }));
    do await frame();
    while (pictures.index !== place || seen.some((one) => one.shown !== place));
    await task();
    shown.push(performance.now() - begun);
  }
  return { shown, charts: seen.length };
}"""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.page", description=__doc__)
    parser.add_argument("--launches", type=int, default=5)
    parser.add_argument("--moves", type=int, default=200, help="of a slider")
    parser.add_argument("--dry", action="store_true", help="write no file")
    chosen = parser.parse_args(arguments)
    begun, rows = time.perf_counter(), []
    for row in measure(chosen.launches, chosen.moves):
        rows.append(row)
        print("{what}: {value:.4g} [{low:.4g}, {high:.4g}], n = {n} {bar}".format(**row), flush=True)
    if not chosen.dry:
        torch.set_num_threads(os.cpu_count() or 1)  # what the app's own process uses
        report.write("page", rows, time.perf_counter() - begun)


def measure(launches: int, moves: int) -> Iterator[dict[str, Any]]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        seconds, drawn, shown, predicted, exact, scrubbed = [], [], [], [], [], []
        for _ in range(launches):
            begun = time.perf_counter()
            with app() as address:
                page = browser.new_context(viewport={"width": 1440, "height": 1400}).new_page()
                page.set_default_timeout(120_000)
                opened(page, address)
                seconds.append(time.perf_counter() - begun)
                times = page.evaluate(SLIDE, moves)
                drawn += times["drawn"]
                shown += times["shown"]
                first, last = directions(page)
                predicted.append(first)
                exact.append(last)
                page.context.close()
                page = browser.new_context(viewport={"width": 1440, "height": 1400}).new_page()
                page.set_default_timeout(120_000)
                opened(page, address)  # as a lecture opens it, without edits before
                scrubbed += scrub(page, SCRUBS)
                page.context.close()
        browser.close()
    yield row("launch to a page whose sliders move, s", seconds, "<= 15")
    yield row("slider's event to its frame drawn, ms", drawn, "<= 16")
    within = rate(sum(one <= 16 for one in drawn), len(drawn))
    yield {"what": "slider's events whose frame was drawn within 16 ms", "bar": "", **vars(within)}
    yield row("slider's event to its frame shown, with the wait for the screen, ms", shown)
    yield row("first press of Find directions to predicted strips, model loaded on the way, s", predicted)
    yield row("the same, to all strips denoised, s", exact)
    what = "spectrum tab: slider's event to charts and pictures painted, ms, 95th percentile"
    yield {"what": what, "bar": "<= 50", **vars(bootstrap(scrubbed, percentile_95))}


@contextlib.contextmanager
def app() -> Iterator[str]:
    """`python app.py` on a free port; its address, before it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port), "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [sys.executable, "app.py"], cwd=report.ROOT, env=environment, stdout=subprocess.DEVNULL
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def opened(page: Page, address: str) -> None:
    """Asks until the server is up, then waits for the page to be usable."""
    port = int(address.rpartition(":")[2])
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
            break
        time.sleep(0.05)
    page.goto(address)
    page.wait_for_function(USABLE)


def directions(page: Page) -> tuple[float, float]:
    """Seconds from the button to the first new strips, and to all of them denoised, for a part not shown yet."""
    page.get_by_role("button", name="hair", exact=True).click()
    page.wait_for_function(f"{PICKER}.region === 'part:hair' && {PICKER}.mask && !{PICKER}.pending")
    before, begun = page.evaluate(f"{FILM}.key"), time.perf_counter()
    page.locator("#find").click()
    page.wait_for_function(f"{FILM}.key !== {before!r} && {FILM}.status !== ''")
    first = time.perf_counter() - begun
    page.wait_for_function(f"{LINE}.state === 'done'")
    return first, time.perf_counter() - begun


def scrub(page: Page, moves: int) -> list[float]:
    """Milliseconds from each event of the spectrum tab's slider until its pictures and charts are on the screen."""
    page.get_by_role("tab", name="Spectrum").click()
    page.locator("#ranks").scroll_into_view_if_needed()
    state = "document.querySelector('#{} {}')?.__state"
    for name in ("singular-values", "ranks", "truth"):
        page.wait_for_function(f"{state.format(name, '.chart')}?.shown >= 0")
    page.wait_for_function(
        "(one => one?.decoded > 0 && one.decoded === one.pictures.flat().length)("
        + state.format("spectrum-t", ".scrubber")
        + ")"
    )
    measured = page.evaluate(SCRUB, moves)
    if measured["charts"] < 3:
        raise RuntimeError("The charts of the spectrum tab were not in sight.")
    return measured["shown"]


def percentile_95(values: Any, axis: int = -1) -> Any:
    """As `bootstrap` asks for it: over one axis of many resamples at once."""
    return np.quantile(values, 0.95, axis=axis)


def row(what: str, values: list[float], bar: str = "") -> dict[str, Any]:
    return {"what": what, "bar": bar, **vars(bootstrap(values))}


if __name__ == "__main__":
    main()
