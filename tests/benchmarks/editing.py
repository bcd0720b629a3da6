"""Every method of local editing in one table: `python -m tests.benchmarks.editing`.

Held-out drawn faces, the regions mouth, eyes and hair, both signs of one strength that was set beforehand, in the unit
that all methods share: a predicted root-mean-square change of STRENGTH x 0.1 inside the region. Each edit is read by the
factor regressor, in standard deviations of the factors, and counts as a success if

    the factor that moves most belongs to the region and moves at least 1,
    no factor of another part moves more than half as much, and
    the drawing of the factors that are read meets the edited picture to 20 dB.

Leak is the energy of the change outside the region over inside, on the final pictures. An edit transfers to another face if
the factor that moved most in its own picture moves there by at least half as much, the same way, and what comes out is
still a face, as above: a step that wrecks every picture moves the same factors in all of them.

Faces that are done are kept, so that a run that was stopped goes on; `--share 0 2` and `--share 1 2` are two processes that
divide the faces between them, and the last one to end writes the result.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backend.data import avatars
from backend.editing import factors
from backend.editing.methods import METHODS, Case
from backend.editing.scene import Scene, Steering, along, unit_scale
from backend.experiments.edit import DENOISE_STEPS
from backend.experiments.edit_compare import SPAN as STRENGTH
from backend.experiments.edit_compare import edited, with_supervision
from backend.inference.load import Model, load
from backend.jacobian.linearize import linearize
from backend.metrics.image import psnr, ssim
from backend.request import finish
from backend.sampling.travel import travel
from tests.benchmarks import report
from tests.benchmarks.avatars import in_range
from tests.benchmarks.edit_faces import Face, others_with
from tests.benchmarks.editing_table import DRAWN, ROWS, table

TRANSFERRED = 4  # one face in so many is the source of a transfer
OTHERS = 3  # faces that it goes to, as in LOCO Edit's table
EXPLORERS = {"generalized", "held", "generalized_low"}  # which use the exploration, and pay for it
TRANSFERS = {
    "generalized",
    "generalized_low",
    "loco",
    "loco_low",
    "label_direction",
    "epsilon",
    "pullback",
    "noiseclr",
    "asyrp",
    "random",
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.editing", description=__doc__)
    parser.add_argument("--faces", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--share", type=int, nargs=2, default=(0, 1), metavar=("I", "N"))
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints/editing"))
    parser.add_argument("--only", nargs="+", choices=ROWS, help="these methods, and write no file")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    model = load("avatars")
    names = chosen.only or list(ROWS)
    begun = time.perf_counter()
    measure(model, names, range(chosen.share[0], chosen.faces, chosen.share[1]), chosen)
    faces = kept(chosen.checkpoints)
    if set(range(chosen.faces)) - faces.keys():
        return  # another process is still at work, and will write
    edits = [edit for face in range(chosen.faces) for edit in faces[face]["edits"] if edit["method"] in names]
    rows = list(table(edits, names))
    for row in rows:
        print("{what}: {value:.3g} [{low:.3g}, {high:.3g}], n = {n} {bar}".format(**row), flush=True)
    if not chosen.only:
        spent = max(sum(faces[face]["seconds"] for face in range(chosen.faces)), time.perf_counter() - begun)
        report.write("editing", rows, spent)


def measure(model: Model, names: list[str], faces: range, chosen: argparse.Namespace) -> None:
    """Adds to the checkpoints every face of a range that is not there yet."""
    chosen.checkpoints.mkdir(parents=True, exist_ok=True)
    done = kept(chosen.checkpoints)
    for face in faces:
        if face not in done:
            begun = time.perf_counter()
            found = list(edits_of(model, names, face))
            line = {"face": face, "seconds": time.perf_counter() - begun, "edits": found}
            with (chosen.checkpoints / f"{chosen.share[0]}.jsonl").open("a") as file:
                file.write(json.dumps(line) + "\n")


def kept(folder: Path) -> dict[int, dict[str, Any]]:
    """The faces that are done."""
    lines = (line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines())
    return {saved["face"]: saved for saved in map(json.loads, lines)}


def edits_of(model: Model, names: list[str], number: int) -> Iterator[dict[str, Any]]:
    """All methods on all visible regions of one face, at both signs."""
    faces = {t: Face(model, number, t) for t in {ROWS[name][1] for name in names}}
    own = next(iter(faces.values()))
    wanted = "sad" if avatars.EXPRESSIONS[int(own.label)] == "happy" else "happy"
    methods = [ROWS[name][0] for name in names]
    for region in own.regions:
        others = list(islice(others_with(model, region, number), OTHERS)) if number % TRANSFERRED == 0 else []
        for name in names:
            method, face = ROWS[name][0], faces[ROWS[name][1]]
            case = finish(with_supervision(face.case(region), model, wanted, methods))
            begun = time.perf_counter()
            found = finish(method.find(case))
            learning = time.perf_counter() - begun + (face.seconds if name in EXPLORERS else 0)
            begun = time.perf_counter()
            pictures = finish(edited(case, found, torch.tensor([-STRENGTH, STRENGTH]), method.hold)).clamp(
                -1, 1
            )
            about = {"face": number, "region": region, "method": name, "find": learning}
            about["draw"] = (time.perf_counter() - begun) / 2
            signs = [judged(model, case, face.still, picture) for picture in pictures]
            moved = (
                transferred(case, name, found, others, signs[1]["moved"])
                if others and name in TRANSFERS
                else []
            )
            for sign, judgement in zip((-1, 1), signs, strict=True):
                yield about | {"sign": sign} | judgement | ({"transfer": moved} if sign > 0 else {})


def judged(model: Model, case: Case, still: Tensor, picture: Tensor) -> dict[str, Any]:
    """What an edit did, by the factors and by the pixels."""
    reader, mask = model.reader(), case.scene.mask
    (moved,) = factors.changes(reader, still[None], picture[None])
    change = (picture - still).square()
    inside, outside = float((change * mask).sum()), float((change * ~mask).sum())
    return {
        "moved": [round(v, 4) for v in moved.tolist()],
        "drawn": float(drawn(model, picture[None])),
        "inside": inside,
        "leak": outside / max(inside, 1e-12),
        "ssim": float(ssim(picture[None], still[None])),
    } | ({"lpips": lpips()(picture[None], still[None])} if lpips() else {})


@torch.no_grad()
def drawn(model: Model, pictures: Tensor) -> Tensor:
    """How near pictures (n, 3, 64, 64) are to the drawing of the factors that are read in them, in dB: (n,)."""
    return psnr(avatars.render(in_range(model.reader()(pictures)[0])), pictures)


@cache
def lpips() -> Callable[[Tensor, Tensor], float] | None:
    """LPIPS on AlexNet's features; None unless torchvision and its weights are on this machine already."""
    weights = Path(torch.hub.get_dir()) / "checkpoints" / "alexnet-owt-7be5be79.pth"
    if find_spec("torchvision") is None or not weights.exists():
        return None
    from torchmetrics.image import LearnedPerceptualImagePatchSimilarity

    measure = LearnedPerceptualImagePatchSimilarity("alex")
    return lambda a, b: float(measure(a.clamp(-1, 1), b.clamp(-1, 1)))


def transferred(
    case: Case, name: str, found: Tensor | Steering, others: list[Face], moved: list[float]
) -> list[float]:
    """The positive edit on other faces: by what share of its move in its own picture the same factor moves there,
    0 where no face is left."""
    most = max(range(len(moved)), key=lambda i: abs(moved[i]))
    scene, shares = case.scene, []
    if isinstance(found, Tensor):
        step = STRENGTH * step_of(case, found)
    else:
        scale = STRENGTH * unit_scale(scene, found)
    for other in others:
        denoiser, x_t = other.bound, other.x_t[None]
        if isinstance(found, Tensor):
            x_t = x_t + step
        else:  # the same for that face's own label
            there = Scene(scene.denoiser, other.label, other.x_t, other.t, scene.mask)
            denoiser = finish(METHODS[name].find(replace(case, scene=there, x_0=other.x_0)))(
                torch.tensor([scale])
            )
        picture = finish(travel(denoiser, x_t, other.t, 0.0, DENOISE_STEPS)).clamp(-1, 1)
        (change,) = factors.changes(other.model.reader(), other.still[None], picture)
        face = float(drawn(other.model, picture)) >= DRAWN
        shares.append(round(float(change[most]) / moved[most], 4) if face else 0.0)
    return shares


def step_of(case: Case, v: Tensor) -> Tensor:
    """How far strength 1 moves x_t along a direction v (*shape)."""
    scene = case.scene
    response = linearize(lambda x: scene.bound(x, scene.t), scene.x_t).jvp(v[None])[0]
    return along(scene, v, response, torch.ones(1))[0] - scene.x_t


if __name__ == "__main__":
    main()
