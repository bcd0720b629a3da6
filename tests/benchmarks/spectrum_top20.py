"""The twenty leading triplets of a face's Jacobian: seconds and memory; section top20 of `tests.benchmarks.spectrum`."""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from backend.denoiser.base import given
from backend.experiments.edit_directions import jacobian_of
from backend.experiments.spectrum import TOL
from backend.inference.cache import call
from backend.inference.load import load
from backend.inference.pictures import Invert, gallery_picture
from backend.jacobian.linearize import linearize
from backend.jacobian.svd import svd
from backend.metrics.intervals import bootstrap
from backend.request import finish
from backend.sampling.travel import travel
from tests.benchmarks import report
from tests.benchmarks.report import point, row
from tests.benchmarks.spectrum_search import FACE, Rows

TOP = 20


def top20(chosen: argparse.Namespace) -> Rows:
    """The graph of the network is recorded within the time; the picture is taken to its noise level before."""
    model, times = load("avatars"), {}
    for t in chosen.times:
        inverted = finish(call(Invert("avatars", f"gallery:{FACE}", t), model))
        seconds = []
        for _ in range(chosen.repeats + 1):  # the first warms up
            begun = time.perf_counter()
            found = svd(jacobian_of(model, inverted, t), TOP, tol=TOL)
            seconds.append(time.perf_counter() - begun)
        times[t] = seconds[1:]
        yield row(f"seconds for the {TOP} leading triplets, t = {t:g}", bootstrap(times[t], median))
        yield row(f"products for the {TOP} leading triplets, t = {t:g}", point(found.cost.products))
    slowest = max(times.values(), key=median)
    yield row(
        f"seconds for the {TOP} leading triplets, slowest noise level", bootstrap(slowest, median), "<= 6"
    )
    without = apart("evaluate", chosen.times[0], chosen.threads)
    peaks = [apart("triplets", t, chosen.threads) for t in chosen.times]
    yield row("peak memory with the network loaded and evaluated once, MB", point(without / 1e6))
    yield row(
        f"peak memory that the {TOP} leading triplets add, MB",
        bootstrap([(p - without) / 1e6 for p in peaks], np.max),
    )


def apart(what: str, t: float, threads: int) -> int:
    """The `peak` of a process of its own."""
    code = f"from tests.benchmarks.spectrum_top20 import peak; print(peak({what!r}, {t!r}, {threads!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=report.ROOT, check=True, capture_output=True, text=True
    )
    return int(done.stdout.split()[-1])


def peak(what: str, t: float, threads: int) -> int:
    """The most bytes of memory that this process has held once it has evaluated the network or found "triplets", too."""
    torch.set_num_threads(threads)
    model = load("avatars")
    picture = gallery_picture(model.card, FACE)
    denoiser = given(model.denoiser, **model.condition(label=picture.label or None))
    x = picture.x_0.to(model.device)
    with torch.no_grad():
        denoiser(x, t)
    if what == "triplets":
        x_t = finish(travel(denoiser, x[None], 0.0, t, Invert.steps))[0]
        svd(linearize(lambda x: denoiser(x, t), x_t), TOP, tol=TOL)
    return size_in("/proc/self/status", "VmHWM") or _largest_resident()


def size_in(path: str, name: str) -> int | None:
    """A size that Linux tells in a file of /proc; None elsewhere. Unlike `ru_maxrss` the peak is of this program alone: that
    begins with what its parent held (getrusage(2) keeps it through execve)."""
    if Path(path).exists():
        for line in Path(path).read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
    return None


def _largest_resident() -> int:
    found = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return found if sys.platform == "darwin" else found * 1024
