"""The tables of the methods that mark pictures: what is averaged over attacks, what is equal detection, and which rows there are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backend.metrics.frechet import frechet_distance
from backend.metrics.intervals import Estimate, bootstrap, jackknife, rate
from backend.watermark.evaluate import Detection
from backend.watermark.methods import NONE, OURS
from tests.benchmarks.report import point

DISTORTIONS = ("jpeg", "blur", "noise", "jitter")
GROUPS = {
    "distortion": DISTORTIONS,
    "regeneration": ("diffpure", "regenerate"),
    "adversarial": ("adversarial",),
    "geometric": ("rotate:15", "crop:0.75", "shift:1"),
}
ATTACKS = tuple(chain for group in GROUPS.values() for chain in group)
FPR = 0.01
RIVALS = ("Tree-Ring", "RingID")
GAIN = 3.0  # dB that the recommended method must be better by at equal detection


@dataclass(frozen=True)
class Found:
    """What came out for one method. psnr, ssim (N,): of marked pictures to their twins, and lpips where it was measured; way (N,): PSNR of the twins to
    what was given, None where nothing was. features, twins (N, F): of marked pictures and of their twins. right (N,): whether the label was read.
    detections: by chain of attacks, "" for none."""

    psnr: Tensor
    ssim: Tensor
    way: Tensor | None
    lpips: Tensor | None
    features: Tensor
    twins: Tensor
    right: Tensor
    detections: dict[str, Detection]

    def average(self, chains: Sequence[str]) -> "tuple[Estimate, Estimate | None]":
        return average([self.detections[chain] for chain in chains])


def average(ones: Sequence[Detection]) -> tuple[Estimate, Estimate | None]:
    """(AUC, TPR at 1 % FPR) averaged over attacks on the same pictures, with intervals over pictures; no TPR where the unmarked are too few.

    A mean of AUCs is itself a mean over pairs of a marked and an unmarked picture, so DeLong's variance holds for it as for one AUC. For the TPR each
    marked picture counts by the share of attacks after which it is found.
    """
    wins = torch.stack(
        [
            (one.marked[:, None] > one.unmarked).double() + 0.5 * (one.marked[:, None] == one.unmarked)
            for one in ones
        ]
    ).mean(0)
    value, marked, unmarked = float(wins.mean()), *wins.shape
    if value in (0.0, 1.0):
        smaller = min(marked, unmarked)
        auc = _at_the_edge(value, smaller, marked + unmarked)
    else:
        reach = 1.96 * float((wins.mean(1).var() / marked + wins.mean(0).var() / unmarked).sqrt())
        auc = Estimate(value, max(0.0, value - reach), min(1.0, value + reach), marked + unmarked)
    if not all(one.reaches(FPR) for one in ones):
        return auc, None
    caught = torch.stack([(one.marked > one.threshold(FPR)).double() for one in ones]).mean(0)
    value = float(caught.mean())
    if len(ones) == 1:
        return auc, rate(int(caught.sum()), marked)
    return auc, _at_the_edge(value, marked, marked) if value in (0.0, 1.0) else bootstrap(caught.tolist())


def _at_the_edge(value: float, trials: int, n: int) -> Estimate:
    """0 or 1 with Clopper-Pearson's interval of so many trials."""
    edge = rate(int(value) * trials, trials)
    return Estimate(value, edge.low, edge.high, n)


def table(about: str, found: dict[str, Found], reference: Tensor, label: str) -> Iterator[dict[str, Any]]:
    """The rows of both tables and of the comparison at equal detection.

    Args:
        about: data and scenario.
        found: by method, and the recommended one at every strength that was tried by `at(strength)`.
        reference: features (M, F) of held-out pictures.
        label: what the reader reads, "" for nothing.
    """
    strengths = {name: one for name, one in found.items() if name.startswith(at(""))}
    methods = {name: one for name, one in found.items() if name not in (*strengths, NONE)}
    methods |= (
        {NONE: found[NONE]} if NONE in found else {}
    )  # last, since it has no PSNR and would put that column behind
    for name, one in methods.items():
        rows = dict(quality(name, one, reference, label)) | dict(attacked(one))
        for measure, estimate in rows.items():
            yield row(f"{about}: quality, and what is found after an attack", about, name, measure, estimate)
    for name, one in methods.items():
        for group, chains in (*GROUPS.items(), ("average", ATTACKS)):
            if not set(chains) <= one.detections.keys():
                continue  # not asked for
            for measure, estimate in named(group, one.average(chains)):
                yield row(f"{about}: groups of attacks", about, name, measure, estimate)
    if all(set(DISTORTIONS) <= one.detections.keys() for one in found.values()):
        yield from trade(about, found, strengths)


def attacked(one: Found) -> Iterator[tuple[str, Estimate]]:
    """What is found after single attacks; a measure with a comma is not for the README."""
    first = ("", *DISTORTIONS)
    shown = "TPR" if all(detection.reaches(FPR) for detection in one.detections.values()) else "AUC"
    for chain in one.detections:
        for measure, estimate in named(chain or "clean", average([one.detections[chain]])):
            plain = chain in first and measure.startswith(shown)
            yield measure if plain else measure.replace(" ", ", "), estimate
    if set(first) <= one.detections.keys():
        yield from reversed(list(named("average", one.average(first))))


def named(words: str, estimates: tuple[Estimate, Estimate | None]) -> Iterator[tuple[str, Estimate]]:
    """("AUC ...", its estimate), and of the TPR where there is one."""
    for measure, estimate in zip(("AUC", "TPR"), estimates, strict=True):
        if estimate is not None:
            yield f"{measure} {words}", estimate


def quality(name: str, one: Found, reference: Tensor, label: str) -> Iterator[tuple[str, Estimate]]:
    """What the mark does to the pictures. Without a mark there is no twin to differ from."""
    if name != NONE:
        yield "PSNR (dB)", bootstrap(one.psnr.tolist())
        yield "SSIM", bootstrap(one.ssim.tolist())
        if one.lpips is not None:
            yield "LPIPS", bootstrap(one.lpips.tolist())
        if one.way is not None and bool(one.way.isfinite().all()):
            yield "PSNR of the way, without a mark (dB)", bootstrap(one.way.tolist())
    for measure, features in (("Frechet", one.features), ("Frechet of twins", one.twins)):
        yield (
            measure,
            jackknife(len(features), lambda places, some=features: frechet_distance(some[places], reference)),
        )
    if label:
        yield f"{label} read right", rate(int(one.right.sum()), len(one.right))


def at(strength: float | str) -> str:
    """The name of the recommended method at a strength."""
    return f"{OURS} at {strength}"


def trade(about: str, found: dict[str, Found], strengths: dict[str, Found]) -> Iterator[dict[str, Any]]:
    """For each rival whose strength is fixed the recommended method at the weakest strength that is found as often."""
    for name, one in sorted(strengths.items(), key=lambda item: _strength(item[0])):
        numbers = {"PSNR (dB)": bootstrap(one.psnr.tolist())} | dict(
            named("attacked", one.average(DISTORTIONS))
        )
        for measure, estimate in numbers.items():
            yield {"what": f"{about}: {name}: {measure}", "bar": "", **vars(estimate)}
    for rival in RIVALS:
        if rival not in found or not strengths:
            continue
        title, theirs = f"{about}: at the detection of a rival", found[rival].average(DISTORTIONS)
        chosen = equal(theirs, strengths)
        if chosen is None:
            print(f"{about}: no strength is found as often as {rival}.", flush=True)
            continue
        numbers = {
            "strength": point(_strength(chosen)),
            "PSNR (dB)": bootstrap(strengths[chosen].psnr.tolist()),
            "PSNR of the rival (dB)": bootstrap(found[rival].psnr.tolist()),
            **dict(named("after distortions", strengths[chosen].average(DISTORTIONS))),
            **dict(named("of the rival", theirs)),
        }
        for measure, estimate in numbers.items():
            yield row(title, about, f"{OURS} against {rival}", measure, estimate)
        gain = bootstrap((strengths[chosen].psnr - found[rival].psnr).tolist())
        yield row(title, about, f"{OURS} against {rival}", "gain in PSNR (dB)", gain, f">= {GAIN:g}")


def equal(rival: tuple[Estimate, Estimate | None], strengths: dict[str, Found]) -> str | None:
    """The weakest strength whose AUC and TPR after attacks are not below the rival's intervals; None if there is none."""
    for name in sorted(strengths, key=_strength):
        ours = strengths[name].average(DISTORTIONS)
        pairs = [(a, b) for a, b in zip(ours, rival, strict=True) if a is not None and b is not None]
        if all(mine.value >= theirs.low for mine, theirs in pairs):
            return name
    return None


def _strength(name: str) -> float:
    return float(name.removeprefix(at("")))


def row(
    table: str, about: str, method: str, measure: str, estimate: Estimate, bar: str = ""
) -> dict[str, Any]:
    return {
        "what": f"{about}: {method}: {measure}",
        "table": table,
        "method": method,
        "measure": measure,
        "bar": bar,
        **vars(estimate),
    }
