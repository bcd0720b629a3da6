"""How long the watermark takes on drawn faces: `python -m tests.benchmarks.watermark_speed`.

Through the gateway, nothing cached but the calibration, the network loaded: embedding, verifying without and with the search, and telling whose mark
it is among 1,000 sub-keys. Then 64 faces embedded in one call and in smaller batches, and looked at and scored under their key. Everything is told in
seconds of one thread's CPU, which is what it takes alone on a machine whatever runs beside it, in seconds on the wall, and as a multiple of what one
evaluation of the network on one face takes, measured just before.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor

from backend.experiments.watermark import EmbedWatermark, pattern_of
from backend.experiments.watermark_identify import IdentifyWatermark
from backend.experiments.watermark_verify import VerifyWatermark, calibration_of, unmarked
from backend.inference import cache
from backend.inference.load import load
from backend.inference.run import run
from backend.jobs import result_file
from backend.metrics.intervals import bootstrap
from backend.request import Failed, Request, finish
from backend.watermark import base, detection
from backend.watermark.restoration import LIKELY
from backend.watermark.shallow_diffuse import ShallowDiffuse, whitened
from components.watermark_first import DEMO, EMBED, reference
from tests.benchmarks import report

FACES, BATCHES = 64, (64, 32, 16)
SUB_KEYS = 1000
FIRST = 500_000  # held-out faces begin here
EVALUATIONS = 15  # of which the median is the unit


@dataclass(frozen=True)
class Took:
    """seconds on the wall; cpu: of the process; unit: CPU seconds of one evaluation, just before."""

    seconds: float
    cpu: float
    unit: float


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.watermark_speed", description=__doc__)
    parser.add_argument("--runs", type=int, default=3, help="of each request")
    parser.add_argument("--batches", type=int, default=1, help="runs of each batch")
    parser.add_argument("--dry", action="store_true", help="write no file")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    begun, used, rows = time.perf_counter(), time.process_time(), []
    for row in (*requests(chosen.runs), *batches(chosen.batches)):
        rows.append(row)
        print("{what}: {value:.4g} [{low:.4g}, {high:.4g}], n = {n} {bar}".format(**row), flush=True)
    seconds = time.perf_counter() - begun
    share = (time.process_time() - used) / seconds
    rows.append(
        report.row("CPU over wall of all this; below 1 other work ran beside it", report.point(share))
    )
    if not chosen.dry:
        report.write("watermark_speed", rows, seconds)


def requests(runs: int) -> Iterator[dict[str, Any]]:
    """What the tab's buttons ask. The first run of each is not counted."""
    key = {"passphrase": "a key that nothing is shipped of", "image": reference()}
    asked = {
        "one face embedded": (EmbedWatermark(**key | {"image": "gallery:4"}), "<= 3"),
        "verified": (VerifyWatermark(**key), "<= 3"),
        "verified with the search": (VerifyWatermark(**key, search=True), "<= 12"),
        f"whose mark, of {SUB_KEYS:,} sub-keys": (IdentifyWatermark(**key, sub_keys=SUB_KEYS), ""),
    }
    for what, (request, bar) in asked.items():
        yield from told(
            what, [timed(lambda request=request: answered(request)) for _ in range(runs + 1)][1:], bar
        )


def batches(runs: int) -> Iterator[dict[str, Any]]:
    """64 faces through the functions themselves, all at once and in parts."""
    model = load(EMBED.model)
    faces, scheme = unmarked(model.card, FIRST, FACES), EMBED.scheme()
    pattern = pattern_of(EMBED.secret(model), scheme, model)
    mark = ShallowDiffuse(scheme, pattern, EMBED.strength)
    levels = cache.find(calibration_of(VERIFY)).levels_of(LIKELY)

    def embedded(size: int) -> Tensor:
        parts = [finish(base.embed(model.denoiser, mark, part, EMBED.steps))[0] for part in faces.split(size)]
        return torch.cat(parts)

    def verified(pictures: Tensor) -> Tensor:
        planes = finish(detection.look(model.denoiser, pictures, scheme, LIKELY))
        return detection.evidence(whitened(planes, scheme, levels), pattern, shifts=False).amax(1)

    for size in BATCHES:
        what = f"{FACES} faces embedded, {size} at a time"
        bar = "<= 60" if size == FACES else ""
        yield from told(what, [timed(lambda size=size: embedded(size)) for _ in range(runs)], bar)
    marked = embedded(FACES).clamp(-1, 1)
    yield from told(
        f"{FACES} faces looked at and scored", [timed(lambda: verified(marked)) for _ in range(runs)], ""
    )
    z = verified(marked)
    yield report.row(f"z of {FACES} marked faces, their mean", bootstrap(z.tolist()))


VERIFY = VerifyWatermark(passphrase=DEMO)


def answered(request: Request) -> None:
    for event in run(request):
        if isinstance(event, Failed):
            raise RuntimeError(event.sentence)


def timed(work: Callable[[], Any]) -> Took:
    """Of some work, with nothing at hand but the calibration."""
    cache.results = cache.Cache(cache.results.limit, result_file.size)
    cache.find(calibration_of(VERIFY))
    model = load(EMBED.model)
    face, units = torch.zeros(1, *model.denoiser.shape), []
    with torch.no_grad():
        for _ in range(EVALUATIONS):
            begun = time.process_time()
            model.denoiser(face, EMBED.t)
            units.append(time.process_time() - begun)
    begun, used = time.perf_counter(), time.process_time()
    work()
    return Took(time.perf_counter() - begun, time.process_time() - used, median(units))


def told(what: str, runs: list[Took], bar: str) -> Iterator[dict[str, Any]]:
    yield report.row(f"{what}, CPU s", bootstrap([one.cpu for one in runs]), bar)
    yield report.row(f"{what}, s on the wall", bootstrap([one.seconds for one in runs]))
    yield report.row(f"{what}, in evaluations", bootstrap([one.cpu / one.unit for one in runs]))


if __name__ == "__main__":
    main()
