"""What generalised directions can do beyond their own picture: `python -m tests.benchmarks.edit_directions`.

transfer      direction 1 of a region on other faces of the same expression on which the part is visible: whether the factor
              that it moves most in its own picture moves there too, the same way, by at least half as much, and what comes out
              is still a face (its factors, drawn, meet it to 20 dB). The same step, as in LOCO Edit, or as much of it as
              predicts the same change in that face; a random direction beside them. A source for every expression
composition   direction 1 of two regions together: whether all factors move by the sum of what each moves alone, to within
              20 % of the length of that sum
preview       directions of a changed region without a network evaluation: milliseconds, and their gain |J_in v| over that
              of the refined ones
linearity     |D(x + l v) - D(x) - l J v| / |l J v| at strengths of three directions

Factors are read by the regressor, in their standard deviations. Strengths were set beforehand.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations, islice
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backend.data import avatars
from backend.denoiser.base import given
from backend.editing import factors
from backend.editing.directions import RIDGE
from backend.editing.methods import METHODS, Case
from backend.experiments.edit import DENOISE_STEPS
from backend.experiments.edit_transfer import relative_lengths
from backend.inference.load import Model, load
from backend.jacobian.generalized import Memory, generalized, generalized_steps
from backend.jacobian.linearity import linearity
from backend.jacobian.linearize import linearize
from backend.metrics.intervals import bootstrap, rate
from backend.request import finish
from backend.sampling.travel import travel
from tests.benchmarks import report
from tests.benchmarks.edit_faces import REGIONS, Face, others_with
from tests.benchmarks.editing import drawn, step_of
from tests.benchmarks.editing_table import DRAWN
from tests.benchmarks.report import row

STRENGTH = 3.0  # of transfers and of each of two composed directions: half of what the table of methods uses
STRENGTHS = torch.tensor([1.0, 2.0, 4.0, 8.0])  # of linearity
FACES = 20  # for the others
BATCH = 25

Rows = Iterator[dict[str, Any]]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.edit_directions", description=__doc__)
    parser.add_argument("--targets", type=int, default=200, help="faces that each direction is carried to")
    parser.add_argument("--faces", type=int, default=FACES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="measure these, and write no file")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    model, begun, rows = load("avatars"), time.perf_counter(), []
    for name in chosen.only or SECTIONS:
        for found in SECTIONS[name](model, chosen):
            rows.append(found)
            print("{what}: {value:.3g} [{low:.3g}, {high:.3g}], n = {n} {bar}".format(**found), flush=True)
    if not chosen.only:
        report.write("edit_directions", rows, time.perf_counter() - begun)


def transfer(model: Model, chosen: argparse.Namespace) -> Rows:
    """Of each method the same step, and of generalised directions the same predicted change."""
    kinds = ("generalized, same change", "generalized, same step", "random, same step")
    went: dict[str, list[bool]] = {kind: [] for kind in kinds}
    rates: list[float] = []
    shares_of: list[float] = []
    for region in REGIONS:
        here: dict[str, list[bool]] = {kind: [] for kind in kinds}
        for label in range(len(avatars.EXPRESSIONS)):
            source = next(others_with(model, region, 520, label))
            targets = list(islice(others_with(model, region, 500, label), chosen.targets))
            source.explore()
            for kind in kinds:
                case = source.case(region)
                v = finish(METHODS[kind.split(",")[0]].find(case))
                step = STRENGTH * step_of(case, v)
                (own,), _ = moves([source], step)
                most = int(own.abs().argmax())
                moved, faces = moves(targets, step, case if "change" in kind else None)
                shares = moved[:, most] / own[most]
                results = ((shares >= 0.5) & faces).tolist()
                here[kind] += results
                if "change" in kind:
                    shares_of += shares.tolist()
                    rates.append(sum(results) / len(results))
        for kind, results in here.items():
            went[kind] += results
            yield row(f"transfer, {kind}, {region}", rate(sum(results), len(results)))
    for kind, results in went.items():
        yield row(f"transfer, {kind}", rate(sum(results), len(results)), ">= 0.9" if "change" in kind else "")
    for q in (0.1, 0.5, 0.9):
        one = bootstrap(rates, partial(np.quantile, q=q))
        yield row(f"transfer of one direction, {100 * q:.0f}th percentile of directions", one)
    yield row("transfer, same way at all", rate(sum(s > 0 for s in shares_of), len(shares_of)))
    for q in (0.1, 0.25, 0.5, 0.75):
        share = bootstrap(shares_of, partial(np.quantile, q=q))
        yield row(f"transfer, share of the source's amount, {100 * q:.0f}th percentile", share)


def moves(faces: list[Face], step: Tensor, source: Case | None = None) -> tuple[Tensor, Tensor]:
    """By how many standard deviations each factor moves in each face when `step` is added to its x_t, or, given the case
    that it comes from, as much of it as predicts the same change there: (n, F); and whether a face is left, (n,)."""
    changes, left = [], []
    for some in (faces[i : i + BATCH] for i in range(0, len(faces), BATCH)):
        model, t = some[0].model, some[0].t
        denoiser = given(model.denoiser, label=torch.stack([face.label for face in some]))
        x_t, steps = torch.stack([face.x_t for face in some]), step.expand(len(some), *step.shape)
        if source is not None:
            wanted = STRENGTH * 0.1 * source.scene.size**0.5
            times = relative_lengths(denoiser, x_t, t, step, source.scene.mask, wanted)
            steps = times.view(-1, 1, 1, 1) * steps
        edited = finish(travel(denoiser, x_t + steps, t, 0.0, DENOISE_STEPS)).clamp(-1, 1)
        stills = torch.stack([face.still for face in some])
        changes.append(factors.changes(model.reader(), stills, edited))
        left.append(drawn(model, edited) >= DRAWN)
    return torch.cat(changes), torch.cat(left)


def composition(model: Model, chosen: argparse.Namespace) -> Rows:
    errors = []
    for number in range(chosen.faces):
        face = Face(model, 300_000 + number)
        steps = {}
        for region in face.regions:
            case = face.case(region)
            steps[region] = STRENGTH * step_of(case, finish(METHODS["generalized"].find(case)))
        for one, other in combinations(steps.values(), 2):
            for sign in (-1, 1):
                alone = moves([face], one)[0][0] + moves([face], sign * other)[0][0]
                both = moves([face], one + sign * other)[0][0]
                errors.append(float((both - alone).norm() / alone.norm()))
    yield row(
        "composition, pairs within 20 % of the sum",
        rate(sum(e <= 0.2 for e in errors), len(errors)),
        ">= 0.8",
    )
    yield row("composition, distance from the sum, median", bootstrap(errors, median))


def preview(model: Model, chosen: argparse.Namespace) -> Rows:
    gains, shares, times = [], [], []
    for number in range(chosen.faces):
        face = Face(model, 400_000 + number)
        jacobian = linearize(lambda x, f=face: f.bound(x, f.t), face.x_t)
        for region in face.regions:
            mask = face.masks[region]
            begun = time.perf_counter()
            _, images = generalized(face.memory, mask, 5, RIDGE)
            times.append(1000 * (time.perf_counter() - begun))
            memory = Memory(list(face.memory.inputs), list(face.memory.images))
            _, refined = finish(generalized_steps(jacobian, memory, mask, 5, RIDGE))
            gains.append(float((images[0] * mask).norm() / (refined[0] * mask).norm()))
            shares.append(float((images * mask).square().sum() / (refined * mask).square().sum()) ** 0.5)
    yield row(
        "preview of a changed region, ms, 95th percentile",
        bootstrap(times, partial(np.quantile, q=0.95)),
        "<= 100",
    )
    yield row("preview's gain over the refined direction 1, median", bootstrap(gains, median), ">= 0.8")
    yield row(
        "preview's gain over that of all 5, root mean square, median", bootstrap(shares, median), ">= 0.8"
    )


def linear(model: Model, chosen: argparse.Namespace) -> Rows:
    measured: dict[str, list[Tensor]] = {"generalized": [], "loco": [], "random": []}
    for number in range(chosen.faces // 2):
        face = Face(model, 600_000 + number)
        for region in face.regions:
            case = face.case(region)
            jacobian = linearize(lambda x, f=face: f.bound(x, f.t), face.x_t)
            unit = float(step_of(case, finish(METHODS["generalized"].find(case))).norm())
            for name, found in measured.items():
                v = finish(METHODS[name].find(case))
                lengths = STRENGTHS * (unit if name == "random" else float(step_of(case, v).norm()))
                response = jacobian.jvp(v[None])[0]
                found.append(
                    linearity(lambda x, f=face: f.bound(x, f.t), face.x_t, v, response, lengths).residual
                )
    for name, found in measured.items():
        for i, strength in enumerate(STRENGTHS.tolist()):
            values = [float(one[i]) for one in found]
            title = f"linearity residual at strength {strength:g}, {METHODS[name].title}, median"
            yield row(title, bootstrap(values, median))


SECTIONS: dict[str, Callable[[Model, argparse.Namespace], Rows]] = {
    "transfer": transfer,
    "composition": composition,
    "preview": preview,
    "linearity": linear,
}

if __name__ == "__main__":
    main()
