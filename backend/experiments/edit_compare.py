"""The edit tab: the same face and region edited by every method, at the same strengths."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from backend.data import avatars
from backend.editing import factors
from backend.editing.hold import hold
from backend.editing.methods import METHODS, Case, Method
from backend.editing.results import Compared, MethodStrip, Strip
from backend.editing.scene import Scene, Steering, along, steered
from backend.experiments.edit import DENOISE_STEPS, STRONGEST, strengths_of
from backend.experiments.edit_directions import (
    Explore,
    FindRegion,
    check_region,
    check_t,
    region_of,
    remembered,
)
from backend.experiments.edit_learn import LearnShift, LearnWords
from backend.inference.cache import call
from backend.inference.load import Model
from backend.inference.pictures import Invert
from backend.jacobian.linearize import linearize
from backend.request import Progress, Request, option, require
from backend.sampling.travel import travel

SPAN = 5.0  # of a strip: what the table of methods is measured at


@dataclass(frozen=True)
class CompareMethods(Request):
    """One strip for each method: direction 1 of those that find several, at strengths in the unit that all share.

    Strength 1 is a predicted root-mean-square change of 0.1 inside the region. Supervised methods lead to `wanted`; those
    that the literature trains or guides with CLIP use the classifier of expressions here.
    """

    model: str = option("avatars", "the model")
    image: str = option("gallery:1", "the picture")
    t: float = option(0.5, "the noise level t")
    region: str = option("part:mouth", "the region")
    methods: tuple[str, ...] = option((), "the methods (none for all that the model has)")
    wanted: str = option("", "the label that supervised methods lead to (empty for happy, or sad from there)")
    span: float = option(SPAN, "the largest strength of the strips")
    frames: int = option(5, "the number of frames")
    seed: int = option(0, "the seed")

    def check(self) -> None:
        check_region(self.model, self.region)
        check_t(self.t)
        known = set(self.methods) <= set(METHODS)
        require(known, f"There is no such method; the methods are {', '.join(METHODS)}.")
        require(len(set(self.methods)) == len(self.methods), "Name each method once.")
        require(
            0 < self.span <= STRONGEST, f"The largest strength must be above 0 and at most {STRONGEST:g}."
        )
        require(
            3 <= self.frames <= 13 and self.frames % 2 == 1, "Ask for an odd number of frames from 3 to 13."
        )
        require(0 <= self.seed < 2**31, "The seed must be between 0 and 2,147,483,647.")

    def needs(self) -> tuple[Request, ...]:
        where = (self.model, self.image)
        return Invert(*where, self.t), FindRegion(*where, self.region), Explore(*where, self.t)

    def run(self, model: Model) -> Iterator[Any]:
        able = [name for name, method in METHODS.items() if method.works_on(model.denoiser)]
        require(set(self.methods) <= set(able), f"Of these methods this model has {', '.join(able)}.")
        chosen = [name for name in METHODS if name in (self.methods or able)]
        inverted = yield from call(Invert(self.model, self.image, self.t), model)
        mask = yield from region_of(model, self.image, self.region)
        explored = yield from call(Explore(self.model, self.image, self.t), model)
        label = model.condition(label=inverted.label or None).get("label", torch.tensor([-1]))[0]
        scene = Scene(model.denoiser, label.to(model.device), inverted.x_t.to(model.device), self.t, mask)
        case = Case(scene, inverted.x_0.to(model.device), remembered(explored, model), seed=self.seed)
        wanted = self.wanted or ("sad" if inverted.label == "happy" else "happy")
        if any(METHODS[name].needs_labels for name in chosen):
            case = yield from with_supervision(case, model, wanted, [METHODS[name] for name in chosen])
        strengths, rows = strengths_of(self.span, self.frames), []
        for done, name in enumerate(chosen):
            yield Progress(done, len(chosen), "methods compared")
            began = time.perf_counter()
            found = yield from METHODS[name].find(case)
            pictures = yield from edited(case, found, strengths, METHODS[name].hold)
            pictures, seconds = pictures.clamp(-1, 1).cpu(), time.perf_counter() - began
            rows.append(_row(name, self, model, pictures, mask.cpu(), seconds))
            yield Compared(inverted.x_0, wanted, tuple(rows))


def with_supervision(case: Case, model: Model, wanted: str, methods: list[Method]) -> Iterator[Any]:
    """Returns the case with the wanted label, the classifier, and what those of the methods that learn have learned."""
    (index,) = model.condition(label=wanted)["label"].tolist()
    reader = model.factor_reader()
    case = replace(case, wanted=index, classifier=lambda pictures: reader(pictures)[1])
    if METHODS["asyrp"] in methods:
        shift = yield from call(LearnShift(model.card.name, wanted), model)
        case = replace(case, shift=shift.tensor.to(model.device))
    if METHODS["noiseclr"] in methods:
        words = yield from call(LearnWords(model.card.name), model)
        case = replace(case, word=words.tensor[0].to(model.device))
    return case


def edited(case: Case, found: Tensor | Steering, strengths: Tensor, held: bool = False) -> Iterator[Any]:
    """Returns the pictures (n, *shape), not clipped, of a method's finding at strengths (n,)."""
    scene = case.scene
    if isinstance(found, Tensor):
        jacobian = linearize(lambda x: scene.bound(x, scene.t), scene.x_t)
        denoiser, x_t = scene.bound, along(scene, found, jacobian.jvp(found[None])[0], strengths)
        if held:
            x_t = hold(denoiser, x_t, scene.t, jacobian.value, scene.mask, case.memory)
    else:
        denoiser = steered(scene, found, strengths)
        x_t = scene.x_t.expand(len(strengths), *scene.x_t.shape)
    return (yield from travel(denoiser, x_t, scene.t, 0.0, DENOISE_STEPS))


def _row(
    name: str, request: CompareMethods, model: Model, pictures: Tensor, mask: Tensor, seconds: float
) -> MethodStrip:
    middle = pictures[len(pictures) // 2]
    change = (pictures[[0, -1]] - middle).square()
    leak = float((change * ~mask).sum() / (change * mask).sum().clamp(min=1e-12))
    strip = Strip(tuple(strengths_of(request.span, request.frames).tolist()), pictures, False)
    reader = model.factor_reader()
    if reader is None:
        return MethodStrip(name, strip, leak, "", 0.0, 0.0, seconds)
    (moved,) = factors.changes(reader, pictures[:1], pictures[-1:])
    most = int(moved.abs().argmax())
    others = [f.part != avatars.FACTORS[most].part for f in avatars.FACTORS]
    beside = float(moved[torch.tensor(others)].abs().max())
    return MethodStrip(name, strip, leak, avatars.FACTOR_NAMES[most], float(moved[most]), beside, seconds)
