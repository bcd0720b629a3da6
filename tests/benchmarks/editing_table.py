"""The rows of the table of methods: which there are, what counts as a success, and what is said of each."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from backend.data import avatars
from backend.editing.methods import METHODS, generalized
from backend.experiments.edit_learn import LearnShift, LearnWords
from backend.inference.cache import find
from backend.metrics.intervals import Estimate, bootstrap, rate
from tests.benchmarks.edit_faces import REGIONS, T

DRAWN = 20.0  # dB to the drawing of its factors, for a picture that is still a face
LOW = 0.3  # where the paper's projection did best
LOW_RIDGE = 3.0  # of generalised directions there
ROWS = {name: (method, T) for name, method in METHODS.items()} | {
    "loco_low": (METHODS["loco"], LOW),
    "generalized_low": (
        replace(
            METHODS["generalized"],
            title=f"generalised directions, ridge {LOW_RIDGE:g}",
            find=partial(generalized, ridge=LOW_RIDGE),
        ),
        LOW,
    ),
}


def table(edits: list[dict[str, Any]], names: list[str]) -> Iterator[dict[str, Any]]:
    """Rows of results, a method and a measure each."""
    paper = {place(edit): edit["leak"] for edit in edits if edit["method"] == "loco"}
    learned = {"asyrp": find(LearnShift()), "noiseclr": find(LearnWords())}
    for name in names:
        method, mine = ROWS[name][0], [edit for edit in edits if edit["method"] == name]
        kind = f" ({method.supervision})" if method.supervision != "none" else ""
        title = method.title + kind + (f", t = {ROWS[name][1]:g}" if ROWS[name][1] != T else "")
        ours, held = name.startswith("generalized"), name == "held"

        def one(measure: str, estimate: Estimate, bar: str = "", title: str = title) -> dict[str, Any]:
            return row(title, measure, estimate, bar)

        yield one("local edit success", rate(sum(map(success, mine)), len(mine)), ">= 0.8" if ours else "")
        far = farther(mine)
        yield one("success to the farther side", rate(sum(map(success, far)), len(far)))
        leaks = [edit["leak"] for edit in mine]
        yield one("median leak", bootstrap(leaks, median), "<= 0.3" if ours or held else "")
        shares = [edit["leak"] / paper[place(edit)] for edit in mine if place(edit) in paper]
        if shares:
            theirs = np.array([paper[place(edit)] for edit in mine])
            ratio = bootstrap(range(len(mine)), partial(of_medians, np.array(leaks), theirs))
            yield one("median leak over LOCO's median", ratio, "<= 0.333" if held else "")
            yield one("median of leak over LOCO's", bootstrap(shares, median), "<= 0.333" if held else "")
        yield one("largest other factor", bootstrap([sides(edit)[1] for edit in mine], median))
        yield one("SSIM", bootstrap([edit["ssim"] for edit in mine]))
        if mine and "lpips" in mine[0]:
            yield one("LPIPS", bootstrap([edit["lpips"] for edit in mine]))
        went = [share >= 0.5 for edit in mine for share in edit.get("transfer", ())]
        if went:
            yield one("transfer success", rate(sum(went), len(went)))
        yield one("seconds to find", bootstrap([edit["find"] for edit in mine], median))
        yield one("seconds to draw", bootstrap([edit["draw"] for edit in mine], median))
        if learned.get(name):
            yield one("seconds to learn", bootstrap([learned[name].seconds]))
        facts = {
            "images to learn from": method.images,
            "one step": method.one_step,
            "localised": method.localised,
        }
        for measure, value in facts.items():
            yield one(measure, Estimate(float(value), float(value), float(value), 1))
        for region in REGIONS:
            here = [edit for edit in mine if edit["region"] == region]
            if here:
                yield one(f"success, {region}", rate(sum(map(success, here)), len(here)))
                yield one(f"leak, {region}", bootstrap([edit["leak"] for edit in here], median))


def of_medians(a: np.ndarray, b: np.ndarray, chosen: np.ndarray) -> float:
    """The median of a (n,) over that of b (n,), of the entries with these indices."""
    return float(np.median(a[chosen.astype(int)]) / np.median(b[chosen.astype(int)]))


def place(edit: dict[str, Any]) -> tuple[Any, ...]:
    return edit["face"], edit["region"], edit["sign"]


def farther(edits: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of the two signs of each edit the one whose final picture changes more inside the region: nobody has to know a
    factor to choose it, and it leaves out faces that already stand at the end of one."""
    best: dict[tuple[Any, ...], dict[str, Any]] = {}
    for edit in edits:
        key = place(edit)[:2]
        if key not in best or edit["inside"] > best[key]["inside"]:
            best[key] = edit
    return list(best.values())


def sides(edit: dict[str, Any]) -> tuple[float, float]:
    """How far the factor of the region that moved most moved, and that of the other parts."""
    moved = [
        (abs(m), factor.part == edit["region"])
        for m, factor in zip(edit["moved"], avatars.FACTORS, strict=True)
    ]
    return max(m for m, own in moved if own), max(m for m, own in moved if not own)


def success(edit: dict[str, Any]) -> bool:
    """Whether an edit is local and semantic, as the module says."""
    inside, others = sides(edit)
    return inside >= 1 and others <= inside / 2 and edit["drawn"] >= DRAWN


def row(method: str, measure: str, estimate: Estimate, bar: str = "") -> dict[str, Any]:
    return {
        "what": f"{method}: {measure}",
        "method": method,
        "measure": measure,
        "bar": bar,
        **vars(estimate),
    }
