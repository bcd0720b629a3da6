"""Every method of local editing in one table: `python -m tests.benchmarks.editing`.

Held-out drawn faces, the regions mouth, eyes and hair, both signs of one strength that was set beforehand, in the unit
that all methods share: a predicted root-mean-square change of STRENGTH x 0.1 inside the region. Each edit is read by the
factor regressor, in standard deviations of the factors, and counts as a success if

    the factor that moves most belongs to the region and moves at least 1,
    no factor of another part moves more than half as much, and
    the drawing of the factors that are read meets the edited picture to 20 dB.

Leak is the energy of the change outside the region over inside, on the final pictures. Faces done are kept in a
checkpoint, so that a run that was stopped goes on.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from backend.data import avatars
from backend.denoiser.base import Denoiser, given
from backend.editing.baselines import (
    asyrp,
    blended_diffusion,
    epsilon_jacobian,
    label_switch,
    noiseclr,
    pullback,
)
from backend.editing.directions import RIDGE, project_off
from backend.editing.label_direction import label_direction
from backend.editing.scene import Scene, Steering, along, steered
from backend.experiments.edit import DENOISE_STEPS
from backend.experiments.edit_directions import EXPLORED
from backend.inference.load import Model, load
from backend.inference.pictures import Invert, travel
from backend.jacobian.generalized import Memory, generalized_steps, remember
from backend.jacobian.linearize import linearize, restrict
from backend.jacobian.svd import svd, svd_steps
from backend.metrics.image import psnr, ssim
from backend.metrics.intervals import Estimate, bootstrap, rate
from backend.request import finish
from tests.benchmarks import report
from tests.benchmarks.avatars import held_out, in_range

FIRST = 500_000  # the first of the held-out faces used here
STRENGTH = 6.0
REGIONS = ("mouth", "eyes", "hair")
SMALLEST = 20  # pixels of a region that counts as visible
K, RANK = 5, 5
LEARN = {"asyrp": 200, "noiseclr": 200}  # steps
PICTURES = 100  # of those that learn


@dataclass(frozen=True)
class Learned:
    """What methods learn once: Asyrp's shift for each wanted expression, NoiseCLR's embeddings, and the seconds."""

    shifts: dict[int, Tensor]
    embeddings: Tensor
    seconds: dict[str, float]


@dataclass(frozen=True)
class Method:
    """One row of the table. find(case) gives the two edited pictures, at -STRENGTH and +STRENGTH, before clipping."""

    find: Callable[["Case"], Tensor]
    images: int
    one_step: bool
    supervision: str
    localised: bool


@dataclass(frozen=True)
class Case:
    """A face, its region, and what the Jacobian of the face was found to be."""

    model: Model
    scene: Scene
    x_0: Tensor
    wanted: int
    memory: Memory
    learned: Learned

    def towards(self, v: Tensor) -> Tensor:
        """Both edits along a direction v (*shape), by its response."""
        jacobian = linearize(lambda x: self.scene.bound(x, self.scene.t), self.scene.x_t)
        response = jacobian.jvp(v[None])[0]
        x_t = along(self.scene, v, response, torch.tensor([-STRENGTH, STRENGTH]))
        return finish(travel(self.scene.bound, x_t, self.scene.t, 0.0, DENOISE_STEPS))

    def steered(self, steering: Steering) -> Tensor:
        denoiser = steered(self.scene, steering, torch.tensor([-STRENGTH, STRENGTH]))
        x_t = self.scene.x_t.expand(2, *self.scene.x_t.shape)
        return finish(travel(denoiser, x_t, self.scene.t, 0.0, DENOISE_STEPS))


def loco(case: Case) -> Tensor:
    s = case.scene
    jacobian = linearize(lambda x: s.bound(x, s.t), s.x_t)
    inside = svd(restrict(jacobian, s.mask), K)
    return case.towards(project_off(inside.V, svd(restrict(jacobian, ~s.mask), RANK).V)[0])


def ours(case: Case) -> Tensor:
    s = case.scene
    jacobian = linearize(lambda x: s.bound(x, s.t), s.x_t)
    memory = Memory(list(case.memory.inputs), list(case.memory.images))
    return case.towards(finish(generalized_steps(jacobian, memory, s.mask, K, RIDGE))[0][0])


def towards_label(case: Case) -> Tensor:
    return case.towards(finish(label_direction(case.scene, torch.tensor(case.wanted), RANK))[0])


def random_direction(case: Case) -> Tensor:
    generator = torch.Generator().manual_seed(int(1e6 * float(case.x_0[0, 0, 0])))
    return case.towards(torch.randn(case.x_0.shape, generator=generator))


def of_epsilon(case: Case) -> Tensor:
    s = case.scene
    return case.towards(finish(epsilon_jacobian.epsilon_directions(s.bound, s.x_t, s.t, s.mask, 1))[0])


def of_bottleneck(case: Case) -> Tensor:
    s = case.scene
    return case.towards(finish(pullback.pullback(s.denoiser, s.x_t, s.t, s.label, 1))[0])


def by_noiseclr(case: Case) -> Tensor:
    return case.steered(noiseclr.steering(case.scene.denoiser, case.learned.embeddings[0], case.scene.label))


def by_asyrp(case: Case) -> Tensor:
    return case.steered(
        asyrp.steering(case.scene.denoiser, case.learned.shifts[case.wanted], case.scene.label)
    )


def by_blending(case: Case) -> Tensor:
    s = case.scene
    classifier = logits(case.model)
    return case.steered(
        blended_diffusion.steering(s.denoiser, s.label, case.x_0, s.mask, classifier, case.wanted)
    )


def by_label(case: Case) -> Tensor:
    s = case.scene
    return case.steered(label_switch.steering(s.denoiser, s.label, torch.tensor(case.wanted)))


METHODS = {
    "generalised directions": Method(ours, 1, True, "none", True),
    "LOCO": Method(loco, 1, True, "none", True),
    "T-LOCO, labels for prompts": Method(towards_label, 1, True, "labels", True),
    "Jacobian of epsilon": Method(of_epsilon, 1, True, "none", True),
    "pullback of the bottleneck": Method(of_bottleneck, 1, True, "none", False),
    "NoiseCLR": Method(by_noiseclr, PICTURES, False, "none", False),
    "Asyrp": Method(by_asyrp, PICTURES, False, "classifier", False),
    "Blended Diffusion": Method(by_blending, 1, False, "classifier", True),
    "label switch": Method(by_label, 1, False, "labels", False),
    "random direction": Method(random_direction, 0, True, "none", False),
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.editing", description=__doc__)
    parser.add_argument("--faces", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/editing.jsonl"))
    parser.add_argument("--only", nargs="+", choices=METHODS, help="these methods, and write no file")
    parser.add_argument("--dry", action="store_true", help="write no file")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    model = load("avatars")
    methods = {name: METHODS[name] for name in chosen.only or METHODS}
    begun = time.perf_counter()
    lines = list(measured(model, methods, chosen.faces, chosen.checkpoint))
    kept = chosen.checkpoint.with_suffix(".pt")
    rows = list(
        table(lines, methods, torch.load(kept, weights_only=True)["seconds"] if kept.exists() else {})
    )
    for row in rows:
        print("{what}: {value:.3g} [{low:.3g}, {high:.3g}], n = {n} {bar}".format(**row), flush=True)
    if not (chosen.only or chosen.dry):
        report.write(
            "editing", rows, max(sum(line["seconds"] for line in lines), time.perf_counter() - begun)
        )


def measured(
    model: Model, methods: dict[str, Method], faces: int, checkpoint: Path
) -> Iterator[dict[str, Any]]:
    """One line for each edit, from the checkpoint where it is there."""
    done: dict[int, list[dict[str, Any]]] = {}
    if checkpoint.exists():
        for text in checkpoint.read_text().splitlines():
            line = json.loads(text)
            done[line["face"]] = line["edits"]
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    learned = None
    for face in range(faces):
        if face not in done:
            learned = learned or learn(model, methods, checkpoint.with_suffix(".pt"))
            done[face] = list(edits(model, methods, face, learned))
            with checkpoint.open("a") as file:
                file.write(json.dumps({"face": face, "edits": done[face]}) + "\n")
        yield from done[face]


def learn(model: Model, methods: dict[str, Method], path: Path) -> Learned:
    """What Asyrp and NoiseCLR learn from PICTURES drawings, kept beside the checkpoint."""
    if path.exists():
        return Learned(**torch.load(path, weights_only=True))
    some = held_out(PICTURES, start=FIRST - 1000)
    pictures, seconds, shifts, embeddings = avatars.render(some.factors), {}, {}, torch.zeros(0)
    if "NoiseCLR" in methods:
        begun = time.perf_counter()
        embeddings = finish(noiseclr.learn(model.denoiser, pictures, 3, LEARN["noiseclr"]))
        seconds["NoiseCLR"] = time.perf_counter() - begun
    if "Asyrp" in methods:
        begun = time.perf_counter()
        for wanted in map(wanted_of, ("neutral", "happy")):
            steps = asyrp.learn(model.denoiser, pictures, some.labels, logits(model), wanted, LEARN["asyrp"])
            shifts[wanted] = finish(steps)
        seconds["Asyrp"] = (time.perf_counter() - begun) / 2
    torch.save({"shifts": shifts, "embeddings": embeddings, "seconds": seconds}, path)
    return Learned(shifts, embeddings, seconds)


def wanted_of(expression: str) -> int:
    """The expression that an edit leads to where a method needs one."""
    return avatars.EXPRESSIONS.index("sad" if expression == "happy" else "happy")


def edits(model: Model, methods: dict[str, Method], face: int, learned: Learned) -> Iterator[dict[str, Any]]:
    """All methods on all visible regions of one face."""
    one = held_out(1, start=FIRST + face)
    x_0, label = avatars.render(one.factors)[0], one.labels[0]
    wanted = wanted_of(avatars.EXPRESSIONS[int(label)])
    masks = avatars.masks(one.factors)
    bound: Denoiser = given(model.denoiser, label=label)
    t = model.card.t
    x_t = finish(travel(bound, x_0[None], 0.0, t, Invert.steps))[0]
    still = finish(travel(bound, x_t[None], t, 0.0, DENOISE_STEPS)).clamp(-1, 1)
    memory, begun = Memory(), time.perf_counter()
    finish(
        svd_steps(
            remember(linearize(lambda x: bound(x, t), x_t), memory), 1, tol=0.0, max_products=2 * EXPLORED
        )
    )
    explored = time.perf_counter() - begun
    for region in REGIONS:
        mask = masks[region][0]
        if int(mask.sum()) < SMALLEST:
            continue
        case = Case(model, Scene(model.denoiser, label, x_t, t, mask), x_0, wanted, memory, learned)
        for name, method in methods.items():
            begun = time.perf_counter()
            pictures = method.find(case).clamp(-1, 1)
            seconds = time.perf_counter() - begun + (explored / 3 if method.find is ours else 0)
            for sign, picture in zip((-1, 1), pictures, strict=True):
                yield {
                    "face": face,
                    "region": region,
                    "method": name,
                    "sign": sign,
                    "seconds": seconds / 2,
                } | judged(model, case, still[0], picture)


@torch.no_grad()
def judged(model: Model, case: Case, still: Tensor, picture: Tensor) -> dict[str, Any]:
    """What an edit did, by the factors and by the pixels."""
    reader, mask = model.reader(), case.scene.mask
    read = reader(torch.stack([still, picture]))[0]
    moved = ((read[1] - read[0]) / reader.std).abs()
    drawn = avatars.render(in_range(read[1:]))
    change = (picture - still).square()
    inside, outside = float((change * mask).sum()), float((change * ~mask).sum())
    return {
        "moved": [round(v, 4) for v in moved.tolist()],
        "drawn": float(psnr(drawn, picture[None])),
        "leak": outside / max(inside, 1e-12),
        "ssim": float(ssim(picture[None], still[None])),
    }


def table(
    lines: list[dict[str, Any]], methods: dict[str, Method], learned: dict[str, float]
) -> Iterator[dict[str, Any]]:
    """Rows of results, a method and a measure each."""
    paper = [line["leak"] for line in lines if line["method"] == "LOCO"]
    for name, method in methods.items():
        mine = [line for line in lines if line["method"] == name]
        bar = ">= 0.8" if method.find is ours else ""
        yield row(name, "local edit success", rate(sum(map(success, mine)), len(mine)), bar)
        leaks = [line["leak"] for line in mine]
        yield row(name, "leak, median", bootstrap(leaks, median), "<= 0.3" if method.find is ours else "")
        if method.find is ours and paper:
            shares = [a / b for a, b in zip(leaks, paper, strict=True)]
            yield row(
                name, "leak over LOCO's on the same edits, median", bootstrap(shares, median), "<= 0.333"
            )
        others = [max(sides(line)[1], 1e-9) for line in mine]
        yield row(name, "largest other factor moved, median", bootstrap(others, median))
        yield row(name, "SSIM", bootstrap([line["ssim"] for line in mine]))
        yield row(name, "seconds an edit", bootstrap([line["seconds"] for line in mine], median))
        yield row(name, "seconds to learn", bootstrap([learned.get(name, 0.0)]))
    for region in REGIONS:
        for name in ("generalised directions", "LOCO"):
            mine = [line for line in lines if line["method"] == name and line["region"] == region]
            if mine:
                yield row(name, f"local edit success, {region}", rate(sum(map(success, mine)), len(mine)))


def sides(line: dict[str, Any]) -> tuple[float, float]:
    """How far the factor of the region that moved most moved, and that of the other parts."""
    inside = [
        m for m, factor in zip(line["moved"], avatars.FACTORS, strict=True) if factor.part == line["region"]
    ]
    others = [
        m for m, factor in zip(line["moved"], avatars.FACTORS, strict=True) if factor.part != line["region"]
    ]
    return max(inside), max(others)


def success(line: dict[str, Any]) -> bool:
    """Whether an edit is local and semantic, as the module says."""
    inside, others = sides(line)
    return inside >= 1 and others <= inside / 2 and line["drawn"] >= 20


def row(method: str, measure: str, estimate: Estimate, bar: str = "") -> dict[str, Any]:
    return {
        "what": f"{method}: {measure}",
        "method": method,
        "measure": measure,
        "bar": bar,
        **vars(estimate),
    }


def logits(model: Model) -> Callable[[Tensor], Tensor]:
    """The expression classifier, which stands where others have CLIP."""
    return lambda pictures: model.reader()(pictures)[1]


if __name__ == "__main__":
    main()
