"""The Jacobian of whole pictures and what its spectrum says: `python -m tests.benchmarks.spectrum`.

svd      Jacobian products (columns and rows alike) until the span of the k leading right singular vectors of one held-out
         face is found to a sine of its largest principal angle: ours, LOCO Edit's iteration, and PROPACK by SciPy. Each is
         stopped by that very angle, to a reference of another seed, converged to 1e-6; between counts that were measured,
         the logarithm of the sine is taken as linear. How many ours takes until its own bound stops it stands beside
top20    seconds and memory for the 20 leading triplets, as closely as the app finds them
ranks    of each model's usual survey the lowest mean rank ratio over pictures, beside the intrinsic dimension of its data;
         of drawn faces the share of the true tangent space that singular vectors and principal components find
whole    only where named in --only: all rows of the Jacobian at one noise level, and by them what the app estimates. Kept in
         checkpoints, so that a run that was stopped goes on

Ours and PROPACK are run anew for every count. Products that they ask for again come from memory, and are counted again.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from backend.experiments.spectrum_dimension import EstimateDimension
from backend.experiments.spectrum_survey import Survey, suited
from backend.inference.cache import call
from backend.inference.catalogue import cards
from backend.inference.load import load
from backend.jacobian.spectrum import CUTS
from backend.metrics.intervals import Estimate, bootstrap
from backend.request import finish
from tests.benchmarks import report
from tests.benchmarks.report import point
from tests.benchmarks.spectrum_search import searches
from tests.benchmarks.spectrum_top20 import top20
from tests.benchmarks.spectrum_whole import whole

TIMES = (0.2, 0.5, 0.8)
KS = (1, 5, 20)
MOST = 2000  # products of one search

Rows = Iterator[dict[str, Any]]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.spectrum", description=__doc__)
    parser.add_argument("--times", type=float, nargs="+", default=TIMES, help="noise levels of svd and top20")
    parser.add_argument("--k", type=int, nargs="+", default=KS, help="numbers of singular vectors in svd")
    parser.add_argument("--seeds", type=int, default=5, help="runs of ours and of PROPACK for each k and t")
    parser.add_argument("--theirs", type=int, default=3, help="runs of the published iteration")
    parser.add_argument("--most", type=int, default=MOST, help="products before a search is given up")
    parser.add_argument("--repeats", type=int, default=5, help="repetitions of what is timed")
    parser.add_argument("--models", nargs="+", help="of ranks; all at hand if left out")
    parser.add_argument("--t", type=float, default=0.65, help="noise level of the whole Jacobian")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, help="measure these; a file is written for whole alone"
    )
    parser.add_argument("--dry", action="store_true", help="write no file")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)

    begun, rows = time.perf_counter(), []
    for name in chosen.only or USUAL:
        for found in SECTIONS[name](chosen):
            rows.append(found)
            print("{what}: {value:.4g} [{low:.4g}, {high:.4g}], n = {n}".format(**found), flush=True)
    if not chosen.dry and chosen.only in (None, ["whole"]):
        report.write(
            "spectrum_whole" if chosen.only else "spectrum", rows, seconds=time.perf_counter() - begun
        )


def ranks(chosen: argparse.Namespace) -> Rows:
    """Of each model what its survey says, and beside it how many dimensions its data have."""
    for found in cards():
        if chosen.models and found.name not in chosen.models:
            continue
        survey: Survey = finish(call(suited(found.name), load(found.name)))
        yield from rank_rows(found.name, survey)
        if found.kind == "unet":  # the closed form's own data fill all dimensions
            dimensions = finish(call(EstimateDimension(found.data), None))
            yield of(found.name, "TwoNN", dimensions.two_nn)
            yield of(found.name, "maximum likelihood", dimensions.maximum_likelihood)
            yield of(found.name, "local PCA", dimensions.local_pca)
            if dimensions.factors:
                yield of(found.name, "known factors", point(dimensions.factors))


def rank_rows(name: str, survey: Survey) -> Rows:
    """The lowest mean rank ratio by each cut, as a ratio, as a rank and where, or a bound; what is found of the truth."""
    n = survey.s.shape[1]
    for cut in CUTS:
        energy = f"at {100 * cut:.4g} %"
        ratio, t = lowest(survey, cut)
        if t is None:
            yield of(name, f"lowest rank ratio {energy} is above", ratio)
            continue
        yield of(name, f"lowest rank ratio {energy}", ratio)
        whole = (ratio.value * survey.d, ratio.low * survey.d, ratio.high * survey.d)
        yield of(name, f"rank there {energy}", Estimate(*whole, ratio.n))
        yield of(name, f"t there {energy}", replace(point(t), n=n))
    for what, shares in survey.found.items():
        for t, share in zip(survey.t.tolist(), shares, strict=True):
            title = f"share of the true tangent space found by {what}, t = {t:.3g}"
            yield of(name, title, bootstrap(share.tolist()))


def of(model: str, measure: str, estimate: Estimate) -> dict[str, Any]:
    """A row of a table with a line for each model."""
    return {"what": f"{model}: {measure}", "method": model, "measure": measure, **vars(estimate)}


def lowest(survey: Survey, cut: float) -> tuple[Estimate, float | None]:
    """The lowest mean rank ratio over pictures, and the t where it is; None, and what it is above, where at no t the known
    values of all pictures reach the cut."""
    ratios = survey.rank_ratio(cut)
    mean = ratios.mean(1)
    i = int(mean.argmin())
    if math.isfinite(mean[i]):
        return bootstrap(ratios[i].tolist()), float(survey.t[i])
    bound = ratios.clamp_max(survey.s.shape[-1] / survey.d).mean(1).min()
    return replace(point(float(bound)), n=ratios.shape[1]), None


SECTIONS: dict[str, Callable[[argparse.Namespace], Rows]] = {
    "svd": searches,
    "top20": top20,
    "ranks": ranks,
    "whole": whole,
}
USUAL = ("svd", "top20", "ranks")

if __name__ == "__main__":
    main()
