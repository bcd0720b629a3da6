"""The quality gate of the avatars model, without a browser: `python -m tests.benchmarks.avatars`.

Drawings, regressor, samples, inversion, clicks and waiting times, each beside its bar, on the weights in
assets/weights. Every face is held out: its seed is one that training never saw. Intervals are 95 %. Times are
meant for two quiet cores.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor

from backend.data import avatars
from backend.denoiser.base import given
from backend.editing import region
from backend.experiments.edit import Edit
from backend.experiments.edit_directions import FindDirections, FindRegion
from backend.inference.load import Model, load
from backend.inference.pictures import Invert, Sample
from backend.inference.run import run
from backend.jacobian.linearize import linearize
from backend.metrics.factor_regressor import FactorRegressor
from backend.metrics.frechet import frechet_distance
from backend.metrics.image import psnr
from backend.metrics.intervals import Estimate, bootstrap, rate
from backend.request import Failed, Progress, Request, finish
from backend.sampling.noise import noise
from backend.sampling.travel import travel
from tests.benchmarks import report

HELD_OUT = 30_000_000  # seeds of the faces measured here begin at this one
SETS = 10  # independent sets of renders that the samples are compared with
PARTS = ("hair", "face", "mouth", "background")
BATCH = 50

Rows = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class Bench:
    """The networks and how much to measure."""

    model: Model
    reader: FactorRegressor
    samples: int
    faces: int
    repeats: int


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.avatars", description=__doc__)
    parser.add_argument("--samples", type=int, default=2000, help="samples, and drawings that are read")
    parser.add_argument("--faces", type=int, default=100, help="faces inverted and clicked")
    parser.add_argument("--repeats", type=int, default=20, help="repetitions of what is timed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="measure these, and write no file")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)

    begun, rows = time.perf_counter(), []
    model = load("avatars")
    bench = Bench(model, model.reader(), chosen.samples, chosen.faces, chosen.repeats)
    for name in chosen.only or SECTIONS:
        for found in SECTIONS[name](bench):
            rows.append(found)
            print(
                "{what}: {value:.4g} [{low:.4g}, {high:.4g}], n = {n}, bar {bar}".format(**found), flush=True
            )
    if not chosen.only:
        report.write("avatars", rows, seconds=time.perf_counter() - begun)


def row(what: str, estimate: Estimate, bar: str = "") -> dict[str, Any]:
    """A row of the results; the bar is like ">= 0.9", or "" where there is none."""
    found = {
        "what": what,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.n,
    }
    return found | {"bar": bar}


def drawing(bench: Bench) -> Rows:
    """How fast faces are drawn."""
    factors = held_out(BATCH).factors
    seconds = timed(lambda: avatars.render(factors), bench.repeats)
    yield row("faces drawn a second", bootstrap([BATCH / s for s in seconds], median), ">= 500")


def reading(bench: Bench) -> Rows:
    """How well the regressor reads drawings."""
    faces = held_out(bench.samples)
    factors, logits, _ = read(bench, draw(faces.factors))
    explained = 1 - (factors - faces.factors).square() / faces.factors.var(dim=0, unbiased=False)
    each = {name: bootstrap(v.tolist()) for name, v in zip(avatars.FACTOR_NAMES, explained.T, strict=True)}
    for name, estimate in each.items():
        yield row(f"R^2 of {name}", estimate)
    least = min(each, key=lambda name: each[name].value)
    yield row(f"least R^2 of {len(each)} factors, {least}", each[least], ">= 0.9")
    right = int((logits.argmax(1) == faces.labels).sum())
    yield row("expressions read right from drawings", rate(right, bench.samples), ">= 0.97")


def sampling(bench: Bench) -> Rows:
    """Whether conditional samples are faces of the drawn kind. Distances vary over sets of renders."""
    n = bench.samples
    labels = torch.arange(n) % len(avatars.EXPRESSIONS)
    pictures = sampled(bench, labels)
    factors, logits, features = read(bench, pictures)

    sets = [
        read(bench, draw(held_out(n, start=(i + 1) * n, labels=labels).factors))[2]
        for i in progress(range(SETS), "sets of renders")
    ]
    distances = [frechet_distance(features, one) for one in sets]
    floors = [frechet_distance(one, other) for one, other in zip(sets, [*sets[1:], sets[0]], strict=True)]
    floor, sizes = sum(floors) / SETS, f"in regressor features, {n} against {n}"
    yield row(f"Frechet distance of samples and renders {sizes}", bootstrap(distances))
    yield row(f"Frechet distance of renders and renders {sizes}", bootstrap(floors))
    yield row("ratio of the two Frechet distances", bootstrap([d / floor for d in distances]), "<= 3")

    again = psnr(draw(in_range(factors)), pictures)
    yield row("samples that their drawing meets to 22 dB", rate(int((again >= 22).sum()), n), ">= 0.9")
    yield row("PSNR of samples and their drawings (dB)", bootstrap(again.tolist()))
    yield row(
        "samples of the expression asked for", rate(int((logits.argmax(1) == labels).sum()), n), ">= 0.95"
    )


def inversion(bench: Bench) -> Rows:
    """To t = 0.6 and back: with the face's label, and without one, as for an upload."""
    faces = held_out(bench.faces)
    x_0 = draw(faces.factors)
    for kind, labels in (("", faces.labels), (", no label", torch.full_like(faces.labels, -1))):
        for steps, bar in ((20, ">= 38"), (50, ">= 42")):
            noisy = moved(bench, x_0, labels, 0.0, 0.6, steps)
            back = moved(bench, noisy, labels, 0.6, 0.0, steps)
            what = f"PSNR of inversion to t = 0.6 and back, {steps} evaluations each way{kind} (dB)"
            yield row(what, bootstrap(psnr(back, x_0).tolist()), bar)


def clicking(bench: Bench) -> Rows:
    """IoU of what a click deep inside a part picks with that part, at the default grain and tolerance."""
    from scipy.ndimage import distance_transform_edt

    faces = held_out(bench.faces)
    masks, overlaps = avatars.masks(faces.factors), {part: [] for part in PARTS}
    noisy = moved(bench, draw(faces.factors), faces.labels, 0.0, region.GRAIN, Invert.steps)
    for i in progress(range(bench.faces), "faces clicked"):
        D = given(bench.model.denoiser, label=faces.labels[i])
        jacobian = linearize(lambda x, D=D: D(x, region.GRAIN), noisy[i].to(bench.model.device))
        for part in PARTS:
            true = masks[part][i]
            y, x = divmod(int(distance_transform_edt(true.numpy()).argmax()), true.shape[1])
            picked = region.covarying(region.covariance_map(jacobian, x, y), region.TOLERANCE)
            overlaps[part].append(float((picked & true).sum() / (picked | true).sum()))
    for part in PARTS:
        yield row(f"IoU of a click on {part}", bootstrap(overlaps[part]), ">= 0.6")
    means = [sum(values) / len(PARTS) for values in zip(*overlaps.values(), strict=True)]
    yield row("IoU of a click, mean of the four parts", bootstrap(means), ">= 0.6")


def waiting(bench: Bench) -> Rows:
    """What a person waits for: a network evaluation, then, through the gateway, directions and strips.

    The picture is from the gallery and already inverted, as it is on the page before a click.
    """
    x, label = noise([0], bench.model.denoiser.shape).to(bench.model.device), torch.tensor(1)
    seconds = timed(torch.no_grad()(lambda: bench.model.denoiser(x, 0.5, label=label)), 5 * bench.repeats)
    yield row("one network evaluation (ms)", bootstrap([1000 * s for s in seconds], median), "<= 15")

    served: list[tuple[float, ...]] = []
    for i in progress(range(max(4, bench.repeats // 2)), "people served"):
        asked = FindDirections(image=f"gallery:{i}", region="click:32,44", seed=1000 + i)  # no run is shipped
        for t in (asked.t, region.GRAIN):
            finished(Invert(image=asked.image, t=t))
        click, found = finished(FindRegion(image=asked.image, region=asked.region)), finished(asked)
        strip = finished(Edit(**asked.values()))
        served.append(
            (click.last + found.last, found.result.products, strip.first, strip.last, strip.steps + 1)
        )
    directions, products, first, whole, evaluations = (
        [*map(float, values)] for values in zip(*served, strict=True)
    )
    yield row("5 directions of a clicked region (s)", bootstrap(directions), "<= 3")
    yield row("Jacobian products of 5 directions", bootstrap(products))
    yield row("first frames of a strip of 13 (s)", bootstrap(first), "<= 1")
    yield row("all frames of a strip of 13 (s)", bootstrap(whole), "<= 4")
    yield row("network evaluations of a strip of 13, all frames at once", bootstrap(evaluations))


SECTIONS: dict[str, Callable[[Bench], Rows]] = {
    "drawing": drawing,
    "reading": reading,
    "sampling": sampling,
    "inversion": inversion,
    "clicking": clicking,
    "waiting": waiting,
}


def held_out(n: int, start: int = 0, labels: Tensor | None = None) -> avatars.Faces:
    """n faces that nothing was trained on."""
    first = HELD_OUT + start
    return avatars.sample(range(first, first + n), None if labels is None else labels.tolist())


def draw(factors: Tensor) -> Tensor:
    """Drawings of any number of faces."""
    return torch.cat([avatars.render(some) for some in factors.split(BATCH)])


def in_range(factors: Tensor) -> Tensor:
    """Factors that a face can have; a regressor may answer a little more or less."""
    low = avatars.LOW.amin(0)
    low[avatars.FACTOR_NAMES.index("glasses")] = 0
    return factors.clamp(low, avatars.HIGH.amax(0))


@torch.no_grad()
def read(bench: Bench, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(factors, logits of the expressions, features) of any number of pictures."""
    parts = [(*bench.reader(some), bench.reader.features(some)) for some in pictures.split(BATCH)]
    return tuple(torch.cat(part) for part in zip(*parts, strict=True))


def sampled(bench: Bench, labels: Tensor) -> Tensor:
    """What `Sample` makes of seeds 0, 1, ... with these labels."""
    alpha, sigma = bench.model.denoiser.schedule(torch.ones((), dtype=torch.float64))
    x = noise(range(len(labels)), bench.model.denoiser.shape) * float(torch.hypot(alpha, sigma))
    return moved(bench, x, labels, 1.0, 0.0, Sample.steps).clamp(-1, 1)


def moved(bench: Bench, x: Tensor, labels: Tensor, start: float, end: float, steps: int) -> Tensor:
    """Any number of pictures along the flow from time `start` to `end`."""
    done = []
    for some, label in progress([*zip(x.split(BATCH), labels.split(BATCH), strict=True)], "batches moved"):
        way = travel(given(bench.model.denoiser, label=label), some.to(bench.model.device), start, end, steps)
        done.append(finish(way).cpu())
    return torch.cat(done)


@dataclass(frozen=True)
class Finished:
    """A request's result, the seconds to its first and to its last answer, and its network evaluations."""

    result: Any
    first: float
    last: float
    steps: int


def finished(request: Request) -> Finished:
    """Runs a request through the gateway. Raises RuntimeError if it fails."""
    begun, first, result, steps = time.perf_counter(), None, None, 0
    for event in run(request):
        if isinstance(event, Failed):
            raise RuntimeError(event.sentence)
        if isinstance(event, Progress):
            steps += event.what == "network evaluations"
        else:
            first, result = first or time.perf_counter() - begun, event
    return Finished(result, first, time.perf_counter() - begun, steps)


def timed(work: Callable[[], Any], repeats: int) -> list[float]:
    """Seconds of each of `repeats` calls, after three to warm up."""
    moments = []
    for _ in range(repeats + 3):
        begun = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        moments.append(time.perf_counter() - begun)
    return moments[3:]


def progress(items: Iterable, what: str) -> Iterator:
    """The items, with a line on stderr every ten seconds."""
    items, said = list(items), time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - said > 10:
            said = time.monotonic()
            print(f"  {done} of {len(items)} {what}", file=sys.stderr, flush=True)
        yield item


if __name__ == "__main__":
    main()
