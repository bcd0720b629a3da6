"""What each part of guidance does: `python -m tests.benchmarks.guidance_ablation`.

Arms x weights x windows of noise, 100 samples a class and seed, on the networks of drawn faces and digits and on the linear models
of both. All arms of a class and seed start from the same noises. Of every setting the numbers of backend.experiments.guide_quality,
means over classes and seeds with bootstrap intervals over those blocks.

Networks sample by DPM-Solver++ 2M in STEPS steps; that of the drawn faces in bfloat16, which is twice as fast on this processor.
What is done is kept, so that a run that was stopped goes on; blocks come in an order that makes every part of the grid balanced,
and the file is written from those that are complete. `--share 0 2` and `--share 1 2` are two processes that divide them.
"""

import argparse
import copy
import dataclasses
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch

from backend.experiments.guidance_theory import GuideGaussian
from backend.experiments.guide import GuideNetwork
from backend.experiments.guide_quality import Quality, quality
from backend.guidance.class_statistics import LABELS
from backend.inference.catalogue import ASSETS, weights_sha256
from backend.inference.load import Model, load
from backend.jobs import atomic
from backend.metrics.intervals import Estimate, bootstrap
from tests.benchmarks import report

GAMMAS = (1.0, 4.0)
EDGE = 2.0  # noise level between the two windows
WINDOWS = {
    "everywhere": {},
    "noisy half": {"weight": "interval", "low": EDGE, "high": 1e6},
    "clean half": {"weight": "interval", "low": 0.0, "high": EDGE},
}
OFF = {"mean_shift": False, "positive": False, "negative": False}
ARMS = {  # of networks
    "network": {"mode": "network"},
    "linear direction": {"mode": "linear"},
    "mean shift": {"mode": "linear", **OFF, "mean_shift": True},
    "Pos-CPC": {"mode": "linear", **OFF, "positive": True},
    "Neg-CPC": {"mode": "linear", **OFF, "negative": True},
    "Pos- and Neg-CPC": {"mode": "linear", **OFF, "positive": True, "negative": True},
    "residual": {"mode": "projected", **OFF},
}
LINEAR = {"linear direction": {}} | {name: ARMS[name] for name in list(ARMS)[2:6]}  # of linear models
ONCE = {  # in no window of its own
    "negative window": {"weight": "linear", "low": 0.1, "high": 10.0, "end": -1.0},
    "triangle": {"weight": "triangle", "low": 0.1, "high": 10.0, "equal_area": True},
    "interval": {"weight": "interval", "low": 0.1, "high": 10.0, "equal_area": True},
}
RULES = ("apg", "zero_star", "power_law", "cfg_plus_plus", "recfg", "classifier")
PLAIN = "no guidance"
STEPS = 12
FEWEST = 3  # blocks that an interval is taken of
KEPT = ASSETS / "results" / "guidance_ablation"  # every block's numbers
DATA = ("digits", "avatars", "digits, linear model", "avatars, linear model")
MEASURES = {
    "accuracy": lambda q: q.accuracy.value,
    "variance": lambda q: q.variance.value,
    "Frechet": lambda q: q.frechet.value / q.frechet_floor.value,
    "recall": lambda q: q.recall.value,
    "Vendi": lambda q: q.vendi / q.vendi_real,
    "clipped": lambda q: q.clipped,
}


class Block(NamedTuple):
    """One class from the noises of one seed. data: of DATA."""

    data: str
    label: str
    seed: int


class Setting(NamedTuple):
    """arm: of ARMS, ONCE or RULES. window: of WINDOWS."""

    arm: str
    gamma: float
    window: str


NOTHING = Setting(PLAIN, 0.0, "everywhere")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.guidance_ablation", description=__doc__)
    parser.add_argument("--samples", type=int, default=100, help="of a class and seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--classes", type=int, default=10, help="of each data set, at most")
    parser.add_argument("--data", nargs="+", choices=DATA, default=DATA)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--share", type=int, nargs=2, default=(0, 1), metavar=("I", "N"))
    parser.add_argument("--checkpoints", type=Path, default=KEPT)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    file = chosen.checkpoints / f"{chosen.share[0]}.jsonl"
    blocks = list(blocks_of(chosen.data, chosen.classes, chosen.seeds))
    for block in blocks[chosen.share[0] :: chosen.share[1]]:
        for setting in settings_of(block):
            if key(block, setting, chosen.samples) not in kept(chosen.checkpoints):
                line = measured(block, setting, chosen.samples)
                file.parent.mkdir(parents=True, exist_ok=True)
                atomic.append(file, (json.dumps(line) + "\n").encode())
                print("{seconds:6.1f} s  {key}".format(**line), flush=True)
    done = kept(chosen.checkpoints)
    everything = list(blocks_of(DATA, 10, chosen.seeds))  # what other commands have done counts too
    rows = list(table(everything, done, chosen.samples))
    if rows:
        report.write("guidance_ablation", rows, sum(line["seconds"] for line in done.values()))


def blocks_of(data: tuple[str, ...], classes: int, seeds: int) -> Iterator[Block]:
    """Linear models first, which take a moment; then all classes from one seed before the next seed."""
    for one in sorted(data, key=lambda one: ("linear" not in one, "digits" not in one)):
        for seed in range(seeds):
            for label in LABELS[one.partition(",")[0]][:classes]:
                yield Block(one, label, 1000 * seed)


def settings_of(block: Block) -> Iterator[Setting]:
    """All of a block. The network of the drawn faces, the slowest, takes what is in no window from the first seed alone."""
    linear = "linear model" in block.data
    yield NOTHING
    for gamma in GAMMAS:
        for arm in LINEAR if linear else ARMS:
            yield from (Setting(arm, gamma, window) for window in WINDOWS)
        if block.data != "avatars" or block.seed == 0:
            for arm in ONCE if linear else (*ONCE, *RULES):
                yield Setting(arm, gamma, "everywhere")


def measured(block: Block, setting: Setting, samples: int) -> dict[str, Any]:
    """One line of the checkpoints."""
    begun = time.perf_counter()
    found = sampled(block, setting, samples)
    values = {}
    for name, measure in MEASURES.items():
        try:
            values[name] = measure(found)
        except AttributeError:  # one of its numbers could not be computed
            values[name] = None
    return {"key": key(block, setting, samples), "values": values, "seconds": time.perf_counter() - begun}


def sampled(block: Block, setting: Setting, samples: int) -> Quality:
    """The quality of a block's samples in a setting."""
    values = {"label": block.label, "gamma": setting.gamma, "seed": block.seed, "samples": samples}
    if setting.arm in RULES:
        values["rule"] = setting.arm
        if setting.arm == "classifier":  # gamma = 0 is all data there, and 1 the class
            values["gamma"] += 1
    elif setting.arm != PLAIN:
        values |= {**LINEAR, **ONCE}[setting.arm] if "," in block.data else {**ARMS, **ONCE}[setting.arm]
    values |= WINDOWS[setting.window]
    name = block.data.partition(",")[0]
    if "," in block.data:
        values.pop("mode", None)
        *_, result = GuideGaussian(data=name, **values).run(None)
        return quality(load(name), block.label, result.samples)
    model = model_of(name)
    *_, result = GuideNetwork(model=name, steps=STEPS, **values).run(model)
    return result.guided.quality


@cache
def model_of(name: str) -> Model:
    """The network that samples."""
    model = load(name)
    if name != "avatars":
        return model
    return dataclasses.replace(model, denoiser=copy.deepcopy(model.denoiser).bfloat16())


@cache
def weights_of(data: str) -> str:
    return weights_sha256(load(data.partition(",")[0]).card)[:8]


def key(block: Block, setting: Setting, samples: int) -> str:
    """What a line belongs to."""
    return json.dumps([*block, *setting, samples, STEPS, weights_of(block.data)])


def kept(folder: Path) -> dict[str, dict[str, Any]]:
    """The lines that are done."""
    lines = (line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines())
    return {saved["key"]: saved for saved in map(json.loads, lines)}


def table(blocks: list[Block], done: dict[str, dict[str, Any]], samples: int) -> Iterator[dict[str, Any]]:
    """The rows, over the blocks whose settings are all done, where there are enough."""
    found: dict[tuple[str, Setting, str], list[float]] = defaultdict(list)
    for block in blocks:
        lines = {s: done.get(key(block, s, samples)) for s in settings_of(block)}
        if None in lines.values():
            continue
        for setting, line in lines.items():
            for name, value in line["values"].items():
                if value is not None:
                    found[block.data, setting, name].append(value)
    for (data, setting, name), values in found.items():
        if len(values) >= FEWEST:
            mean = bootstrap(values)
            yield row(data, setting, name, Estimate(mean.value, mean.low, mean.high, samples * len(values)))


def paired(
    done: dict[str, dict[str, Any]],
    data: str,
    setting: Setting,
    other: Setting,
    measure: str,
    samples: int = 100,
) -> Estimate | None:
    """A measure in one setting over that in another, mean over the blocks that have both; None for too few. n counts blocks."""
    lines: dict[str, dict[Setting, float]] = defaultdict(dict)
    for saved, line in done.items():
        name, label, seed, *rest = json.loads(saved)
        one = Setting(*rest[:3])
        if name == data and one in (setting, other) and saved == key(Block(name, label, seed), one, samples):
            lines[label, seed][one] = line["values"][measure]
    found = [
        line[setting] / line[other] for line in lines.values() if len(line) == 2 and None not in line.values()
    ]
    return bootstrap(found) if len(found) >= FEWEST else None


def row(data: str, setting: Setting, measure: str, estimate: Estimate) -> dict[str, Any]:
    """A row of the results; those of one window are named with a comma, which keeps them out of the README."""
    gamma = "" if setting.arm == PLAIN else f", γ = {setting.gamma:g}"
    where = "" if setting.window == "everywhere" else f", {setting.window}"
    about = {"data": data, "arm": setting.arm, "gamma": setting.gamma, "window": setting.window}
    method = f"{data}: {setting.arm}{gamma}"
    named = {"what": f"{method}{where}: {measure}", "method": method, "measure": f"{measure}{where}"}
    return named | about | vars(estimate)


if __name__ == "__main__":
    main()
