"""Every method of local editing behind one interface, so that they can be compared on the same face and region.

A method looks at a `Case` and finds

    a direction (*shape)     added to x_t in one step, or
    a steering               another denoiser on the way from t to the picture,

both of which `backend.editing.scene` measures in the same unit of strength. Methods that the literature trains or guides
with CLIP use an expression classifier here.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser
from backend.denoiser.unet import UNetDenoiser
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
from backend.editing.scene import Scene, Steering
from backend.jacobian.generalized import Memory, generalized_steps
from backend.jacobian.linearize import Linearized, linearize, restrict
from backend.jacobian.svd import svd_steps
from backend.request import Progress

RANK = 5  # of what is projected off, as in LOCO Edit
STILL = 0.02  # the ridge of directions whose rest is held
PICTURES = 100  # that Asyrp and NoiseCLR learn from, as in its table

Finding = Generator[Progress, None, Tensor | Steering]


@dataclass(frozen=True)
class Case:
    """What a method may look at.

    scene: the picture at noise level t and the region; x_0 (*shape): the picture itself. memory: columns of the Jacobian
    that were multiplied before, at least one, which generalised directions go on from. wanted: the index of the label
    that supervised methods lead to; classifier: pictures (n, *shape) -> logits (n, labels). shift, word: what Asyrp and
    NoiseCLR learned, see `baselines`. The last four are None where the model has no labels.
    """

    scene: Scene
    x_0: Tensor
    memory: Memory
    wanted: int | None = None
    classifier: Callable[[Tensor], Tensor] | None = None
    shift: Tensor | None = None
    word: Tensor | None = None
    seed: int = 0


@dataclass(frozen=True)
class Method:
    """One method: its name, how it finds its edit, and what the literature's table says about it.

    hold: take back what the step changed outside (backend.editing.hold). images: pictures to learn from. one_step: acts at one noise level only. supervision: "none", "labels" or "classifier".
    localised: knows the region. labels: needs a model with labels.
    """

    title: str
    find: Callable[[Case], Finding]
    images: int
    one_step: bool
    supervision: str
    localised: bool
    hold: bool = False

    @property
    def needs_labels(self) -> bool:
        """Whether it works with a network's labels only."""
        return self.supervision != "none" or self.images > 1

    def works_on(self, denoiser: Denoiser) -> bool:
        """Whether the denoiser has what it needs: labels, or a middle block."""
        if self.needs_labels:
            return "label" in denoiser.null
        return self.find is not _pullback or isinstance(denoiser, UNetDenoiser)


def generalized(case: Case, ridge: float = RIDGE) -> Finding:
    """Finds direction 1 of the region, going on from what the case remembers."""
    s = case.scene
    memory = Memory(list(case.memory.inputs), list(case.memory.images))
    return (yield from generalized_steps(_jacobian(s), memory, s.mask, 1, ridge))[0][0]


def _held(case: Case) -> Finding:
    return (yield from generalized(case, STILL))


def _loco(case: Case) -> Finding:
    jacobian, mask = _jacobian(case.scene), case.scene.mask
    inside = yield from svd_steps(restrict(jacobian, mask), 1, seed=case.seed)
    outside = yield from svd_steps(restrict(jacobian, ~mask), RANK, seed=case.seed)
    return project_off(inside.V, outside.V)[0]


def _label_direction(case: Case) -> Finding:
    return (yield from label_direction(case.scene, torch.tensor(case.wanted), RANK, case.seed))[0]


def _epsilon(case: Case) -> Finding:
    s = case.scene
    return (yield from epsilon_jacobian.epsilon_directions(s.bound, s.x_t, s.t, s.mask, 1, case.seed))[0]


def _pullback(case: Case) -> Finding:
    s = case.scene
    return (yield from pullback.pullback(s.denoiser, s.x_t, s.t, s.label, 1, case.seed))[0]


def _noiseclr(case: Case) -> Finding:
    yield from ()
    return noiseclr.steering(case.scene.denoiser, case.word, case.scene.label)


def _asyrp(case: Case) -> Finding:
    yield from ()
    return asyrp.steering(case.scene.denoiser, case.shift, case.scene.label)


def _blended_diffusion(case: Case) -> Finding:
    yield from ()
    s = case.scene
    return blended_diffusion.steering(s.denoiser, s.label, case.x_0, s.mask, case.classifier, case.wanted)


def _label_switch(case: Case) -> Finding:
    yield from ()
    s = case.scene
    return label_switch.steering(s.denoiser, s.label, torch.tensor(case.wanted))


def _random(case: Case) -> Finding:
    yield from ()
    noise = torch.randn(case.x_0.shape, generator=torch.Generator().manual_seed(case.seed)).to(case.x_0)
    return noise / noise.norm()


METHODS = {
    "generalized": Method("generalised directions", generalized, 1, True, "none", True),
    "held": Method("generalised, the rest held", _held, 1, True, "none", True, hold=True),
    "loco": Method("LOCO", _loco, 1, True, "none", True),
    "label_direction": Method("T-LOCO, labels for prompts", _label_direction, 1, True, "labels", True),
    "epsilon": Method("Jacobian of epsilon", _epsilon, 1, True, "none", True),
    "pullback": Method("pullback of the bottleneck", _pullback, 1, True, "none", False),
    "noiseclr": Method("NoiseCLR", _noiseclr, PICTURES, False, "none", False),
    "asyrp": Method("Asyrp", _asyrp, PICTURES, False, "classifier", False),
    "blended": Method("Blended Diffusion", _blended_diffusion, 1, False, "classifier", True),
    "label_switch": Method("label switch", _label_switch, 1, False, "labels", False),
    "random": Method("random direction", _random, 0, True, "none", False),
}


def _jacobian(scene: Scene) -> Linearized:
    return linearize(lambda x: scene.bound(x, scene.t), scene.x_t)
