"""How long guidance takes: `python -m tests.benchmarks.guidance`.

On a network: the drawn faces' default, 16 samples by 20 steps of second order with guidance and as many at gamma = 0, through the
gateway, nothing cached, the network loaded: seconds to the first picture under way, and to the result. Between two Gaussians: what
a part that is switched off costs, milliseconds of the request, nothing cached, and with the drawing of all that the page shows.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from backend.experiments.guide import GuideNetwork, NetworkGuidance, Underway
from backend.inference import cache
from backend.inference.run import run
from backend.jobs import result_file
from backend.metrics.intervals import bootstrap
from backend.request import Failed, Request
from components import guidance_gaussian_panel as gaussian
from components import guidance_network_panel as network
from tests.benchmarks import report

PARTS = ("mean_shift", "positive", "negative")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.guidance", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of the network")
    parser.add_argument("--toggles", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dry", action="store_true", help="write no file")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    begun, rows = time.perf_counter(), []
    for row in (*faces(chosen.runs), *toggles(chosen.toggles)):
        rows.append(row)
        print("{what}: {value:.4g} [{low:.4g}, {high:.4g}], n = {n} {bar}".format(**row), flush=True)
    if not chosen.dry:
        report.write("guidance", rows, time.perf_counter() - begun)


def faces(runs: int) -> Iterator[dict[str, Any]]:
    """The first run, which loads the network, stands alone."""
    request = GuideNetwork()
    first, whole, computing, drawing = [], [], [], []
    for _ in range(runs + 1):
        times, result = timed(request, lambda event: isinstance(event, Underway))
        first.append(times[0])
        whole.append(times[1])
        computing.append(result.guided.seconds)
        drawing.append(took(lambda result=result: network._show(result, request)))
    what = "faces, 16 samples, 20 steps of second order"
    yield report.row(
        f"{what}: the first picture, network and data loaded on the way, s", report.point(first[0])
    )
    yield report.row(f"{what}: the first picture, s", bootstrap(first[1:]), "<= 1")
    yield report.row(f"{what}: all, with gamma = 0 and the numbers, s", bootstrap(whole[1:]), "<= 15")
    yield report.row(f"{what}: the guided steps alone, s", bootstrap(computing[1:]))
    yield report.row(f"{what}: drawing of sheets and charts, s", bootstrap(drawing[1:]))


def toggles(n: int) -> Iterator[dict[str, Any]]:
    """Parts are switched off in turn; the first round loads the data and is not counted."""
    asked, shown = [], []
    for i in range(n + len(PARTS)):
        request = replace(gaussian.FIRST, **{PARTS[i % len(PARTS)]: False})
        (_, seconds), result = timed(request, lambda event: False)
        asked.append(1000 * seconds)
        shown.append(
            1000 * (seconds + took(lambda result=result, request=request: gaussian._show(result, request)))
        )
    yield report.row("two Gaussians, a part off: the request, ms", bootstrap(asked[len(PARTS) :]))
    yield report.row(
        "two Gaussians, a part off: request and drawing, ms", bootstrap(shown[len(PARTS) :]), "<= 150"
    )


def timed(
    request: Request, early: Callable[[Any], bool]
) -> tuple[tuple[float, float], NetworkGuidance | Any]:
    """Seconds to the first early event and to the result, and this, with nothing at hand."""
    cache.results = cache.Cache(cache.results.limit, result_file.size)
    begun, first, event = time.perf_counter(), None, None
    for event in run(request):
        if first is None and early(event):
            first = time.perf_counter() - begun
    if isinstance(event, Failed):
        raise RuntimeError(event.sentence)
    whole = time.perf_counter() - begun
    return (whole if first is None else first, whole), event


def took(work: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
