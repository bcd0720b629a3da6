"""Settings of guidance side by side, from the same noises: what each makes of them, and its numbers.

Every setting is a GuideNetwork, written as its link. What each needs, gamma = 0 of all above all, is computed once and kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from backend.experiments.guide import GuideNetwork, NetworkGuidance
from backend.experiments.guide_quality import Quality
from backend.inference.cache import call
from backend.inference.load import Model
from backend.request import Progress, Request, option, require

MOST = 6  # settings
SHARED = ("model", "label", "seed", "samples", "steps")  # what gives all settings the same noises
FIRST = (
    {"gamma": 0.0},
    {"gamma": 3.0},
    {"gamma": 3.0, "weight": "interval", "low": 0.3, "high": 5.0},
    {"gamma": 3.0, "mode": "linear", "positive": False, "negative": False},
    {"gamma": 3.0, "mode": "linear", "mean_shift": False, "negative": False},
)


@dataclass(frozen=True)
class Outcome:
    """What one setting made.

    setting: its link. pictures (n, *shape) uint8: the samples, cut at -1 and 1, which are 0 and 255. area, quality, evaluations,
    asked, seconds, idle: as in NetworkGuidance and its guided Run.
    """

    setting: str
    pictures: Tensor
    area: float
    quality: Quality
    evaluations: int
    asked: int
    seconds: float
    idle: str


@dataclass(frozen=True)
class Comparison:
    """outcomes: of the settings in their order, the first ones while the rest is under way. note: as in NetworkGuidance."""

    outcomes: tuple[Outcome, ...]
    note: str


@dataclass(frozen=True)
class CompareGuidance(Request):
    """Up to six settings of guidance on one network, side by side from the same noises.

    Each setting is the link of a GuideNetwork, such as "v=1&do=GuideNetwork&gamma=2.0". All have the same model, class, seed,
    samples and steps.
    """

    model: Literal["avatars", "digits"] = option("avatars", "the model")
    settings: tuple[str, ...] = option(tuple(GuideNetwork(**one).to_query() for one in FIRST), "the settings")

    def check(self) -> None:
        require(1 <= len(self.settings) <= MOST, f"Compare 1 to {MOST} settings.")
        settings = self.each()
        require(len(set(settings)) == len(settings), "Give each setting once.")
        for field in SHARED:
            same = len({getattr(setting, field) for setting in settings}) == 1
            require(
                same,
                f"The settings must not differ in {_words(field)}, so that all start from the same noises.",
            )
        require(settings[0].model == self.model, "The settings must be those of the model.")

    def each(self) -> tuple[GuideNetwork, ...]:
        """The settings. Raises BadInput where one is none."""
        return tuple(map(GuideNetwork.from_query, self.settings))

    def needs(self) -> tuple[Request, ...]:
        return tuple(dict.fromkeys(one for each in self.each() for one in (*each.needs(), each)))

    def run(self, model: Model) -> Iterator[Any]:
        outcomes, notes = [], []
        for done, setting in enumerate(self.each()):
            yield Progress(done, len(self.settings), "settings")
            found = yield from call(setting, model)
            outcomes.append(_outcome(self.settings[done], found))
            notes.append(found.note)
            yield Comparison(tuple(outcomes), " ".join(dict.fromkeys(filter(None, notes))))


def _outcome(setting: str, found: NetworkGuidance) -> Outcome:
    guided = found.guided
    return Outcome(
        setting=setting,
        pictures=((guided.samples.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8),
        area=found.area,
        quality=guided.quality,
        evaluations=guided.evaluations,
        asked=guided.asked,
        seconds=guided.seconds,
        idle=found.idle,
    )


def _words(field: str) -> str:
    return GuideNetwork.__dataclass_fields__[field].metadata["words"]
