"""Statements about guidance where everything is known: Gaussians and exact mixtures."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from backend.experiments.guidance_dimension import GuideHighDimension
from backend.experiments.guidance_mixture import GuideMixture, MixtureGuidance
from backend.experiments.guidance_theory import GuideGaussian
from backend.guidance.class_statistics import LABELS
from backend.metrics.intervals import Estimate, bootstrap
from backend.request import Request
from tests.benchmarks.guidance_claims import Claim, Evidence

MECHANISMS = "Li, Wang and Qu 2025"
STAGES = "Jin, Shi and Gu 2025"
DISTORTIONS = "Ventura et al. 2026"
SEEDS = range(0, 5000, 1000)
SHAPES = ("constant", "interval", "triangle", "early", "late")  # of positive weights
NOISY, CLEAN = {"low": 1.0, "high": 80.0}, {"low": 0.0, "high": 0.5}


def result(request: Request) -> Any:
    *_, found = request.run(None)
    return found


def claims() -> Iterator[Claim]:
    yield from (enhance_and_suppress(), pattern(), shift_keeps_variance())
    yield from (early_erodes(), late_shrinks(), late_with_settled_modes())
    yield from (positive_weights_shrink(), negative_window(), many_classes())


def enhance_and_suppress() -> Claim:
    first = GuideGaussian(gamma=1.0, steps=60, mean_shift=False, samples=2)

    def ratios(**parts: bool) -> Estimate:
        """Of the variance along the leading contrastive component with guidance to that without, over digits."""
        found = []
        for label in LABELS["digits"]:
            shown = result(replace(first, label=label, **parts)).projections
            part = 0 if parts.get("positive", True) else 1
            found.append(float(shown.predicted.variance[part] / shown.predicted_plain.variance[part]))
        return bootstrap(found)

    only = {
        "positive": {"positive": True, "negative": False},
        "negative": {"positive": False, "negative": True},
    }
    return Claim(
        "Pos-CPC enhances what a class varies in more than all data do, Neg-CPC suppresses what it varies in less.",
        MECHANISMS,
        (
            Evidence(
                "variance along the leading Pos-CPC, Pos-CPC alone over no guidance, linear model of digits, γ = 1",
                ratios(**only["positive"]), above=1, link=replace(first, **only["positive"], samples=64),
            ),
            Evidence(
                "variance along the leading Neg-CPC, Neg-CPC alone over no guidance, linear model of digits, γ = 1",
                ratios(**only["negative"]), below=1, link=replace(first, **only["negative"], samples=64),
            ),
        ),
    )  # fmt: skip


def pattern() -> Claim:
    def shares(data: str) -> Estimate:
        found = [
            result(GuideGaussian(data=data, label=label, gamma=0.0, steps=2, samples=2))
            for label in LABELS[data]
        ]
        return bootstrap([one.components.pattern for one in found])

    return Claim(
        "The principal components of a class do not capture what sets it apart.",
        MECHANISMS,
        tuple(
            Evidence(
                f"share of |μ_c − μ_u|² in the 4 leading principal components of the class, {data}",
                shares(data), below=0.5, link=GuideGaussian(data=data, label=LABELS[data][1], gamma=1.0),
            )
            for data in LABELS
        ),
    )  # fmt: skip


def shift_keeps_variance() -> Claim:
    found = []
    for label in LABELS["digits"]:
        modes = result(GuideGaussian(label=label, positive=False, negative=False, samples=2)).modes
        found.append(float(modes.predicted.variance.sum() / modes.predicted_plain.variance.sum()))
    return Claim(
        "The mean shift lowers the variance: in the linear model.",
        "the lecture's slides",
        (
            Evidence(
                "total variance, mean shift alone over no guidance, linear model of digits, γ = 4",
                bootstrap(found), below=0.999, link=GuideGaussian(positive=False, negative=False),
            ),
        ),
    )  # fmt: skip


def mixtures(request: GuideMixture, read: Callable[[MixtureGuidance], float]) -> Estimate:
    """Of what `read` takes from runs of all seeds."""
    return bootstrap([read(result(replace(request, seed=seed))) for seed in SEEDS])


def early_erodes() -> Claim:
    early = GuideMixture(weight="interval", **NOISY)
    late = GuideMixture(weight="interval", **CLEAN)

    def ratio(request: GuideMixture) -> Estimate:
        return mixtures(request, lambda found: found.guided.weak.value / found.plain.weak.value)

    return Claim(
        "Early guidance erodes weak modes, late guidance does not.",
        STAGES,
        (
            Evidence("mass of the weak mode over that without guidance, weight at σ > 1", ratio(early), below=0.5, link=early),
            Evidence("mass of the weak mode over that without guidance, weight at σ ≤ 0.5", ratio(late), above=0.9, link=late),
        ),
    )  # fmt: skip


def late_shrinks() -> Claim:
    evidence = []
    for unconditional in ("mixture", "broad"):
        late = GuideMixture(weight="interval", unconditional=unconditional, **CLEAN)
        value = mixtures(late, lambda found: found.guided.within.value / found.plain.within.value)
        what = f"variance within modes over that without guidance, weight at σ ≤ 0.5, {unconditional} unconditional"
        evidence.append(Evidence(what, value, below=0.9, link=late))
    return Claim("Late guidance shrinks the variance within modes.", STAGES, tuple(evidence))


def late_with_settled_modes() -> Claim:
    far = GuideMixture(weight="interval", spacing=3.0, distance=6.0, low=0.0, high=0.3)
    broad = replace(far, unconditional="broad")

    def ratio(request: GuideMixture) -> Estimate:
        return mixtures(request, lambda found: found.guided.within.value / found.plain.within.value)

    return Claim(
        "It does so only while the unconditional model stays broader than the mode: not among far modes of a true mixture.",
        "found here",
        (
            Evidence("variance within modes over that without guidance, far modes, mixture", ratio(far), above=0.95, link=far),
            Evidence("the same, broad unconditional", ratio(broad), below=0.9, link=broad),
        ),
    )  # fmt: skip


def positive_weights_shrink() -> Claim:
    narrow = GuideGaussian(data="sliders", ratio=0.25, distance=2.0, gamma=2.0, samples=2, equal_area=True)
    wide = GuideHighDimension(dimensions=(16,), equal_area=True, low=0.1)
    exact, sampled = [], []
    for shape in SHAPES:
        modes = result(replace(narrow, weight=shape)).modes
        less = modes.variance_c < modes.variance_u
        exact.append(float((modes.predicted.variance / modes.predicted_plain.variance)[less].max()))
        for seed in SEEDS:
            found = result(replace(wide, weight=shape, seed=seed))
            sampled.append(float(found.guided.across / found.plain.across))
    low, high = min(exact), max(exact)
    return Claim(
        "No constant or positive weight keeps the variance of a mode that is narrower than the unconditional one.",
        DISTORTIONS,
        (
            Evidence(
                "variance of a mode with λ_c = λ_u / 4 over that without guidance: the most over five shapes of equal area, exact",
                Estimate(high, low, high, len(exact)), below=1, link=replace(narrow, samples=64),
            ),
            Evidence(
                "variance across the class in 16 dimensions with e^(d / 4) classes over that without, five shapes of equal area",
                bootstrap(sampled), below=1, link=wide,
            ),
        ),
    )  # fmt: skip


def negative_window() -> Claim:
    constant = GuideGaussian(data="sliders", ratio=0.25, distance=2.0, gamma=4.0, samples=2, steps=200)
    modes = {weight: result(replace(constant, weight=weight)).modes for weight in ("constant", "switch")}
    narrow = int((modes["switch"].variance_c / modes["switch"].variance_u).argmin())

    def exact(weight: str, what: str) -> Estimate:
        found = modes[weight]
        if what == "mean":
            value = found.predicted.mean[narrow] / found.delta[narrow]
        else:
            value = found.predicted.variance[narrow] / found.predicted_plain.variance[narrow]
        return Estimate(*[float(value)] * 3, 1)

    switched = GuideHighDimension(dimensions=(16,), weight="switch")
    runs = {w: [result(replace(switched, weight=w, seed=s)) for s in SEEDS] for w in ("constant", "switch")}

    def ratio(weight: str, what: str) -> Estimate:
        values = [float(getattr(one.guided, what) / getattr(one.plain, what)) for one in runs[weight]]
        return bootstrap(values)

    return Claim(
        "A window of negative guidance at low noise gives the variance back and keeps the classes apart.",
        DISTORTIONS,
        (
            Evidence(
                "variance of the narrow mode over that without guidance, the switch to γ = −1, two Gaussians, exact",
                exact("switch", "variance"), above=0.9, below=1.1, link=replace(constant, weight="switch", samples=64, mode=narrow + 1),
            ),
            Evidence("how far the mean of that mode moves, over μ_c − μ_u, switch", exact("switch", "mean"), above=0),
            Evidence("the same variance, constant γ = 4", exact("constant", "variance"), below=0.1),
            Evidence("variance across the class over that without guidance, 16 dimensions, switch", ratio("switch", "across"), above=0.85, link=switched),
            Evidence("the same, constant γ = 2", ratio("constant", "across")),
            Evidence("separability over that without guidance, 16 dimensions, switch", ratio("switch", "separability"), above=1),
            Evidence("the same, constant γ = 2", ratio("constant", "separability")),
        ),
    )  # fmt: skip


def many_classes() -> Claim:
    dimensions = (8, 16, 24)

    def growth(kind: str) -> tuple[Estimate, GuideHighDimension]:
        """The slope of log W2 against log d, over seeds."""
        request, slopes = GuideHighDimension(dimensions=dimensions, classes=kind), []
        for seed in SEEDS:
            w2 = result(replace(request, seed=seed)).guided.w2
            slopes.append(float(np.polyfit(np.log(dimensions), torch.log(w2).numpy(), 1)[0]))
        return bootstrap(slopes), request

    evidence = []
    for kind, words, bar in (
        ("exponential", "e^(d / 4) classes", {"above": 0}),
        ("polynomial", "d classes", {"below": 0}),
        ("two", "two classes", {"below": 0}),
    ):
        slope, request = growth(kind)
        what = f"slope of log W2² a dimension to the class against log d, d = 8 to 24, {words}"
        evidence.append(Evidence(what, slope, link=request, **bar))
    return Claim(
        "The distortion stays if the number of classes grows exponentially with the dimension, and vanishes if it grows more slowly.",
        DISTORTIONS,
        tuple(evidence),
    )
