"""Held-out faces for the benchmarks of editing: inverted to a noise level, with their parts, explored on demand."""

import time
from collections.abc import Iterator

from backend.data import avatars
from backend.denoiser.base import given
from backend.editing.methods import Case
from backend.editing.scene import Scene
from backend.experiments.edit import DENOISE_STEPS
from backend.experiments.edit_directions import EXPLORED
from backend.inference.load import Model
from backend.inference.pictures import Invert
from backend.jacobian.generalized import Memory, remember
from backend.jacobian.linearize import linearize
from backend.jacobian.svd import svd_steps
from backend.request import finish
from backend.sampling.travel import travel
from tests.benchmarks.avatars import held_out

FIRST = 500_000  # the first of the held-out faces used here
REGIONS = ("mouth", "eyes", "hair")
SMALLEST = 20  # pixels of a region that counts as visible
T = 0.65  # of all methods but one: chosen, as strengths and the ridge were, on other faces


class Face:
    """One held-out face at noise level t: x_0, x_t, its unedited return `still`, its parts and its exploration."""

    def __init__(self, model: Model, number: int, t: float = T, explore: bool = True):
        one = held_out(1, start=FIRST + number)
        self.model, self.number, self.t = model, number, t
        self.x_0, self.label = avatars.render(one.factors)[0], one.labels[0]
        self.masks = {name: mask[0] for name, mask in avatars.masks(one.factors).items()}
        self.bound = given(model.denoiser, label=self.label)
        self.x_t = finish(travel(self.bound, self.x_0[None], 0.0, self.t, Invert.steps))[0]
        self.still = finish(travel(self.bound, self.x_t[None], self.t, 0.0, DENOISE_STEPS))[0].clamp(-1, 1)
        self.memory, self.seconds = Memory(), 0.0
        if explore:
            self.explore()

    def explore(self) -> None:
        """Fills the memory, and notes the seconds that it took."""
        begun = time.perf_counter()
        jacobian = remember(linearize(lambda x: self.bound(x, self.t), self.x_t), self.memory)
        finish(svd_steps(jacobian, 1, tol=0.0, max_products=2 * EXPLORED))
        self.seconds = time.perf_counter() - begun

    @property
    def regions(self) -> list[str]:
        """Those of REGIONS that can be seen."""
        return [region for region in REGIONS if int(self.masks[region].sum()) >= SMALLEST]

    def case(self, region: str) -> Case:
        scene = Scene(self.model.denoiser, self.label, self.x_t, self.t, self.masks[region])
        return Case(scene, self.x_0, self.memory, seed=self.number)


def others_with(model: Model, region: str, number: int, label: int | None = None) -> Iterator[Face]:
    """Other held-out faces, a run of them for each number, on which the region can be seen; of one expression if given."""
    start = 1000 * (number + 1)
    for i in range(start, start + 10_000):
        if label in (None, int(held_out(1, start=FIRST + i).labels[0])):
            face = Face(model, i, explore=False)
            if region in face.regions:
                yield face
