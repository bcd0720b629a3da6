"""What two of the compared methods learn once for a model: `python -m backend.experiments "v=1&do=LearnShift" --save assets/runs`.

LearnShift -> Asyrp's shift of the bottleneck towards one label          (backend.editing.baselines.asyrp)
LearnWords -> NoiseCLR's words, which steer every picture alike           (backend.editing.baselines.noiseclr)
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from backend.data import avatars
from backend.editing.baselines import asyrp, noiseclr
from backend.editing.methods import PICTURES
from backend.editing.results import Learned
from backend.inference.load import Model
from backend.request import Request, option, require

FIRST = 40_000_000  # seeds of the faces that are learned from
LONGEST = 2000  # steps


@dataclass(frozen=True)
class LearnShift(Request):
    """Asyrp's shift towards a label, against the classifier of expressions (https://arxiv.org/abs/2210.10960)."""

    model: str = option("avatars", "the model")
    wanted: str = option("happy", "the label to lead to")
    steps: int = option(200, "the number of steps")
    seed: int = option(0, "the seed")

    def check(self) -> None:
        _check(self.steps, self.seed)

    def run(self, model: Model) -> Iterator[Any]:
        classifier, (wanted,) = _classifier(model), model.condition(label=self.wanted)["label"]
        faces, began = _faces(), time.perf_counter()
        pictures, labels = avatars.render(faces.factors).to(model.device), faces.labels.to(model.device)
        shift = yield from asyrp.learn(
            model.denoiser, pictures, labels, classifier, int(wanted), self.steps, seed=self.seed
        )
        yield Learned(shift.cpu(), time.perf_counter() - began)


@dataclass(frozen=True)
class LearnWords(Request):
    """NoiseCLR's words in the place of class embeddings (https://arxiv.org/abs/2312.05390), from unlabelled pictures."""

    model: str = option("avatars", "the model")
    k: int = option(3, "the number of words")
    steps: int = option(200, "the number of steps")
    seed: int = option(0, "the seed")

    def check(self) -> None:
        _check(self.steps, self.seed)
        require(2 <= self.k <= 20, "Ask for 2 to 20 words.")

    def run(self, model: Model) -> Iterator[Any]:
        _classifier(model)
        pictures, began = avatars.render(_faces().factors).to(model.device), time.perf_counter()
        words = yield from noiseclr.learn(model.denoiser, pictures, self.k, self.steps, seed=self.seed)
        yield Learned(words.cpu(), time.perf_counter() - began)


def _check(steps: int, seed: int) -> None:
    require(1 <= steps <= LONGEST, f"Ask for 1 to {LONGEST} steps.")
    require(0 <= seed < 2**31, "The seed must be between 0 and 2,147,483,647.")


def _classifier(model: Model):
    """Logits of the labels. Raises BadInput where nothing reads this model's pictures."""
    reader = model.factor_reader()
    require(reader is not None, "This model has no labels to learn from.")
    return lambda pictures: reader(pictures)[1]


def _faces() -> avatars.Faces:
    return avatars.sample(range(FIRST, FIRST + PICTURES))
