"""The ODE against the SDE, quality against cost: `python -m tests.benchmarks.process`.

Drawn faces under all expressions in turn, by every solver at several numbers of network evaluations, on one grid of times
(uniform in t; DPM-Solver++ also on the grid that the app samples on) and from the same noise. Heun's method takes an odd
number of evaluations, the largest that is not above the others'. Measured for each:

    Frechet distance in the avatars feature space, as a multiple of its floor (renders against renders, as many)
    seconds a picture, one batch of BATCH at a time
    the share of samples that the drawing of their factors meets to 22 dB, as in tests.benchmarks.avatars

The distance is the mean over SETS sets of renders. Its interval is a jackknife over GROUPS groups of samples, because a
bootstrap's doubles would raise the distance itself. Settings share their noise, so differences between them are surer than
their intervals. What is done is kept, so that a run that was stopped goes on.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from backend.data import avatars
from backend.denoiser.base import given
from backend.inference.catalogue import weights_sha256
from backend.inference.load import load
from backend.jobs import atomic
from backend.metrics.frechet import frechet_distance
from backend.metrics.image import psnr
from backend.metrics.intervals import Estimate, bootstrap, rate
from backend.sampling import ancestral, ddim, dpm_solver, heun, last
from backend.sampling.noise import noise
from backend.sampling.times import grid
from tests.benchmarks import report
from tests.benchmarks.avatars import BATCH, SETS, Bench, draw, held_out, in_range, progress, read

BUDGETS = (5, 10, 20, 40)  # evaluations
GROUPS = 10
DRAWN = 22.0  # dB
QUALITY, SPEED, SHARE = "Frechet distance over its floor", "seconds a picture", "share drawn to 22 dB"


@dataclass(frozen=True)
class Solver:
    """title: in tables. solve(D, x, times, seeds) -> states. cost: evaluations a step, but the last one, which ends in the
    picture, takes 1. spacing: of the times, see `grid`."""

    title: str
    solve: Callable
    cost: int = 1
    spacing: str = "time"

    def steps(self, budget: int) -> int:
        """The most steps that take no more evaluations than this."""
        return (budget - 1) // self.cost + 1

    def evaluations(self, budget: int) -> int:
        """How many they take."""
        return self.cost * (self.steps(budget) - 1) + 1


def ode(solve: Callable) -> Callable:
    """A solver without noise, called like one with."""
    return lambda D, x, times, seeds: solve(D, x, times)


SOLVERS = {
    "ddim": Solver("ODE by DDIM", ode(ddim.solve)),
    "dpm_solver": Solver("ODE by DPM-Solver++", ode(dpm_solver.solve)),
    "dpm_solver_app": Solver(
        "ODE by DPM-Solver++ on the app's grid", ode(dpm_solver.solve), spacing="noise_level"
    ),
    "heun": Solver("ODE by Heun", ode(heun.solve), cost=2),
    "ancestral": Solver("SDE by ancestral steps", ancestral.solve),
}


@dataclass(frozen=True)
class Setting:
    """What a line of the checkpoint belongs to."""

    solver: str
    budget: int
    samples: int
    threads: int
    weights: str

    @property
    def method(self) -> str:
        solver = SOLVERS[self.solver]
        return f"{solver.title}, {solver.evaluations(self.budget)} evaluations"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.process", description=__doc__)
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints/process"))
    parser.add_argument("--only", nargs="+", choices=SOLVERS, help="these solvers, and write no file")
    chosen = parser.parse_args(arguments)
    if chosen.samples < 2 * GROUPS:
        parser.error(f"At least {2 * GROUPS} samples are needed.")
    torch.set_num_threads(chosen.threads)

    begun, model = time.perf_counter(), load("avatars")
    bench = Bench(model, model.reader(), chosen.samples, faces=0, repeats=0)
    renders, weights = Renders(bench), weights_sha256(model.card)
    rows = said(renders.rows())
    spent = time.perf_counter() - begun
    for solver in chosen.only or SOLVERS:
        for budget in BUDGETS:
            setting = Setting(solver, budget, chosen.samples, chosen.threads, weights)
            found = kept(chosen.checkpoints).get(setting) or measured(
                bench, renders, setting, chosen.checkpoints
            )
            rows += said(found["rows"])
            spent += found["seconds"]
    if not chosen.only:
        report.write("process", rows, spent)


def said(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, printed."""
    rows = list(rows)
    for one in rows:
        print("{what}: {value:.4g} [{low:.4g}, {high:.4g}], n = {n}".format(**one), flush=True)
    return rows


def row(method: str, measure: str, estimate: Estimate) -> dict[str, Any]:
    """A row of the results."""
    return {"what": f"{method}: {measure}", "method": method, "measure": measure} | asdict(estimate)


class Renders:
    """SETS sets of as many renders as there are samples, under the same labels: their features, and the floor."""

    def __init__(self, bench: Bench):
        n = bench.samples
        self.bench, self.labels = bench, torch.arange(n) % len(avatars.EXPRESSIONS)
        self.sets = [
            read(bench, draw(held_out(n, start=(i + 1) * n, labels=self.labels).factors))[2]
            for i in progress(range(SETS), "sets of renders")
        ]
        pairs = zip(self.sets, [*self.sets[1:], self.sets[0]], strict=True)
        self.floors = [frechet_distance(one, other) for one, other in pairs]
        self.floor = sum(self.floors) / SETS

    def distance(self, features: Tensor) -> float:
        """The mean Frechet distance of features (N, 128) to the sets, as a multiple of the floor."""
        return sum(frechet_distance(features, one) for one in self.sets) / SETS / self.floor

    def rows(self) -> Iterator[dict[str, Any]]:
        """What other renders score."""
        yield row("renders", "Frechet distance, not over its floor", bootstrap(self.floors))
        yield row("renders", QUALITY, bootstrap([one / self.floor for one in self.floors]))
        pictures = draw(held_out(self.bench.samples, labels=self.labels).factors)
        yield row("renders", SHARE, drawn(self.bench, pictures, read(self.bench, pictures)[0]))


def measured(bench: Bench, renders: Renders, setting: Setting, folder: Path) -> dict[str, Any]:
    """The rows of one setting and the seconds that they took, added to the checkpoints."""
    begun = time.perf_counter()
    pictures, seconds = sampled(bench, setting, renders.labels)
    factors, _, features = read(bench, pictures)
    rows = [
        row(setting.method, QUALITY, jackknife(renders.distance, features)),
        row(setting.method, SPEED, bootstrap(seconds, median)),
        row(setting.method, SHARE, drawn(bench, pictures, factors)),
    ]
    line = {"setting": asdict(setting), "seconds": time.perf_counter() - begun, "rows": rows}
    folder.mkdir(parents=True, exist_ok=True)
    atomic.append(folder / "settings.jsonl", (json.dumps(line) + "\n").encode())
    return line


def kept(folder: Path) -> dict[Setting, dict[str, Any]]:
    """The settings that are done."""
    path = folder / "settings.jsonl"
    lines = map(json.loads, path.read_text().splitlines() if path.exists() else ())
    return {Setting(**line["setting"]): line for line in lines}


def sampled(bench: Bench, setting: Setting, labels: Tensor) -> tuple[Tensor, list[float]]:
    """Samples of seeds 0, 1, ... with these labels, and the seconds a picture of each batch."""
    solver, model = SOLVERS[setting.solver], bench.model
    schedule, shape = model.denoiser.schedule, model.denoiser.shape
    times = grid(schedule, 1.0, 0.0, solver.steps(setting.budget), solver.spacing)
    scale = float(torch.hypot(*schedule(times[0])))
    pictures, seconds = [], []
    batches = torch.arange(len(labels)).split(BATCH)
    for i, batch in enumerate([batches[0], *batches]):  # the first one twice: to warm up
        D, seeds = given(model.denoiser, label=labels[batch]), batch.tolist()
        x = scale * noise(seeds, shape).to(model.device)
        way = solver.solve(D, x, times if i else times[:2], seeds)
        begun = time.perf_counter()
        picture = last(way).cpu()
        if i:
            pictures.append(picture.clamp(-1, 1))
            seconds.append((time.perf_counter() - begun) / len(batch))
    return torch.cat(pictures), seconds


def drawn(bench: Bench, pictures: Tensor, factors: Tensor) -> Estimate:
    """The share of pictures that the drawing of their factors meets to DRAWN."""
    return rate(int((psnr(draw(in_range(factors)), pictures) >= DRAWN).sum()), len(pictures))


def jackknife(statistic: Callable[[Tensor], float], samples: Tensor, groups: int = GROUPS) -> Estimate:
    """A statistic of samples (N, ...) with the interval value - 1.96 s to value + 1.96 s, where s^2 = (g - 1) / g sum (v_i - mean v)^2 over
    the values v_i that it has without group i of g (Efron and Stein 1981, https://doi.org/10.1214/aos/1176345462).
    """
    group = torch.arange(len(samples)) * groups // len(samples)
    value = statistic(samples)
    without = torch.tensor([statistic(samples[group != i]) for i in range(groups)], dtype=torch.float64)
    error = 1.96 * float(((groups - 1) * without.var(unbiased=False)).sqrt())
    return Estimate(value, value - error, value + error, len(samples))


if __name__ == "__main__":
    main()
