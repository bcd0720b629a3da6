"""Statements about guidance of the networks: of drawn faces and of digits."""

import math
from collections.abc import Iterator

from torch import Tensor

from backend.experiments.guide import GuideNetwork
from backend.experiments.guide_linearity import CompareWithLinear, Linearity
from backend.guidance.class_statistics import LABELS
from backend.inference.load import load
from backend.metrics.intervals import bootstrap
from backend.request import BadInput
from tests.benchmarks.claims_exact import DISTORTIONS, MECHANISMS, STAGES
from tests.benchmarks.guidance_ablation import ARMS, KEPT, NOTHING, ONCE, WINDOWS, Setting, kept, paired
from tests.benchmarks.guidance_claims import Claim, Evidence

NETWORKS = ("digits", "avatars")
TITLES = {"digits": "network of digits", "avatars": "network of drawn faces"}


def claims() -> Iterator[Claim]:
    done = kept(KEPT)
    yield mean_shift_dominates()
    yield from (
        shift_alone(done),
        cpc_quality(done),
        naive(done),
        diversity(done),
        over_time(done),
        restored(done),
    )


def compared(
    done: dict, name: str, setting: Setting, other: Setting, measure: str, words: str, **bar: float
) -> Iterator[Evidence]:
    """One number of one data set, if it was measured."""
    found = paired(done, name, setting, other, measure)
    if found is not None:
        yield Evidence(f"{words}, {TITLES.get(name, name)}", found, link=link(name, setting), **bar)


def link(name: str, setting: Setting) -> GuideNetwork | None:
    """What shows a setting in the app."""
    if "," in name:
        return None
    values = {"model": name, "label": LABELS[name][1], "gamma": setting.gamma}
    request = GuideNetwork(**values | {**ARMS, **ONCE}.get(setting.arm, {}) | WINDOWS[setting.window])
    try:
        return request.checked()
    except BadInput:
        return None


def mean_shift_dominates() -> Claim:
    """By the shares of |D_c - D_u|^2 that each part alone explains, in the linear regime, mean over its noise levels and classes."""
    evidence = []
    for name in NETWORKS:
        model, shift, rest, inside = load(name), [], [], []
        for label in LABELS[name]:
            request = CompareWithLinear(model=name, label=label, samples=32)
            *_, found = request.run(model)
            near = regime(found)
            if near.any():
                inside.append(label)
                mean, positive, negative = (part.value[near].mean().item() for part in found.parts)
                shift.append(mean)
                rest.append(mean / max(positive, negative, 1e-12))
        setting = CompareWithLinear(model=name, label=LABELS[name][1])
        evidence += [
            Evidence(
                f"share of |D_c − D_u|² that the mean shift alone explains in the linear regime, {TITLES[name]}",
                bootstrap(shift), above=0.5, link=setting,
            ),
            Evidence(f"the same over that of the stronger CPC, {TITLES[name]}", bootstrap(rest), above=1, link=setting),
        ]  # fmt: skip
    return Claim("The mean shift dominates guidance in the linear regime.", MECHANISMS, tuple(evidence))


def regime(found: Linearity) -> Tensor:
    """The noise levels of the linear regime, (L,) bool; none where there is none."""
    lowest = found.conditional.regime
    return found.level >= (math.inf if lowest is None else lowest)


def shift_alone(done: dict) -> Claim:
    evidence = []
    for name in NETWORKS:
        for arm in ("mean shift", "Pos- and Neg-CPC"):
            setting = Setting(arm, 4.0, "noisy half")
            whole = Setting("network", 4.0, "noisy half")
            bar = {"above": 0.9} if arm == "mean shift" else {}
            words = f"accuracy with {arm} alone over that with the whole difference, γ = 4, σ/α > 2"
            evidence += compared(done, name, setting, whole, "accuracy", words, **bar)
    sentence = "At much noise the mean shift alone gives the class as surely as the network's whole guidance."
    return Claim(sentence, MECHANISMS, tuple(evidence))


def cpc_quality(done: dict) -> Claim:
    evidence = []
    for name in NETWORKS:
        for window in WINDOWS:
            setting = Setting("Pos- and Neg-CPC", 1.0, window)
            words = f"Frechet distance with both CPCs over that without guidance, γ = 1, {window}"
            evidence += compared(done, name, setting, NOTHING, "Frechet", words, below=1)
    return Claim(
        "Guidance by the contrastive components alone can raise quality.", MECHANISMS, tuple(evidence)
    )


def naive(done: dict) -> Claim:
    evidence = []
    for name in NETWORKS:
        whole = Setting("network", 1.0, "everywhere")
        words = "over that without guidance, γ = 1"
        evidence += compared(done, name, whole, NOTHING, "accuracy", f"accuracy {words}", above=1)
        evidence += compared(done, name, whole, NOTHING, "Frechet", f"Frechet distance {words}", below=1)
    return Claim("Naive conditional sampling is subpar: guidance betters it.", MECHANISMS, tuple(evidence))


def diversity(done: dict) -> Claim:
    evidence = []
    for name in (*NETWORKS, "digits, linear model", "avatars, linear model"):
        for window in WINDOWS:
            setting = Setting("mean shift", 4.0, window)
            words = f"variance with the mean shift alone over that without guidance, γ = 4, {window}"
            evidence += compared(done, name, setting, NOTHING, "variance", words, below=0.9)
    return Claim("The mean shift costs diversity.", MECHANISMS, tuple(evidence))


def over_time(done: dict) -> Claim:
    evidence = []
    for name in NETWORKS:
        for gamma in (1.0, 4.0):
            triangle, constant = (
                Setting("triangle", gamma, "everywhere"),
                Setting("network", gamma, "everywhere"),
            )
            words = f"with the triangle over that with the constant weight of equal area, γ = {gamma:g}"
            evidence += compared(
                done, name, triangle, constant, "Frechet", f"Frechet distance {words}", below=1
            )
            evidence += compared(done, name, triangle, constant, "recall", f"recall {words}")
    return Claim(
        "A weight that varies over noise beats the constant one of equal area.", STAGES, tuple(evidence)
    )


def restored(done: dict) -> Claim:
    evidence = []
    for name in NETWORKS:
        window, constant = (Setting(arm, 4.0, "everywhere") for arm in ("negative window", "network"))
        words = "with a linear weight from γ = 4 to −1 over that with the constant one"
        evidence += compared(done, name, window, constant, "variance", f"variance {words}", above=1)
        evidence += compared(done, name, window, constant, "accuracy", f"accuracy {words}", above=0.95)
    sentence = "On networks too a weight that ends below 0 gives variance back at the same accuracy."
    return Claim(sentence, DISTORTIONS, tuple(evidence))
