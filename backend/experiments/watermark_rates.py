"""How often a mark is found after a chain of attacks, and how often one is seen that is not there."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backend.experiments.watermark import Marking, pattern_of
from backend.experiments.watermark_verify import levels_of, unmarked
from backend.inference.load import Model
from backend.metrics.intervals import Estimate, bootstrap
from backend.request import option, require
from backend.watermark import base, detection
from backend.watermark.attacks import parse
from backend.watermark.evaluate import Detection
from backend.watermark.network_attacks import attacked, possible
from backend.watermark.restoration import LIKELY
from backend.watermark.shallow_diffuse import ShallowDiffuse, whitened

RATES_FROM = 150_000  # held-out pictures begin here, behind those that calibration looks at
LEVELS = (0.1, 0.05, 0.01, 0.001)


@dataclass(frozen=True)
class Rates:
    """Scores of marked and unmarked (n,) pictures after one chain, and what follows.

    false, true (points,): the ROC curve. auc; tpr: for each of the false positive rates in `levels` that so many unmarked pictures reach; `beyond` names
    those that they do not. psnr: of marked pictures against their twins, dB.
    """

    marked: Tensor
    unmarked: Tensor
    false: Tensor
    true: Tensor
    auc: Estimate
    levels: tuple[float, ...]
    tpr: tuple[Estimate, ...]
    beyond: tuple[float, ...]
    psnr: Estimate


@dataclass(frozen=True)
class EvaluateWatermark(Marking):
    """The ROC curve of a mark under a chain of attacks, on pictures marked and unmarked that all go through the same chain."""

    strength: float = option(0.6, "the strength")
    chain: str = option("jpeg", "the chain of attacks")
    pictures: int = option(48, "the number of pictures of each kind")

    def check(self) -> None:
        super().check()
        require(0 < self.strength <= 10, "The strength must be above 0 and at most 10.")
        require(8 <= self.pictures <= 500, "Ask for 8 to 500 pictures of each kind.")
        parse(self.chain)

    def run(self, model: Model) -> Iterator[Any]:
        from backend.metrics.image import psnr

        scheme, n = self.scheme(), self.pictures
        chain, reader = parse(self.chain, model.denoiser.shape[-1]), model.reader()
        possible(chain, reader)
        pattern = pattern_of(self.secret(model), scheme, model)
        watermark = ShallowDiffuse(scheme, pattern, self.strength)
        pictures = unmarked(model.card, RATES_FROM, 2 * n)
        own, other = pictures.to(model.device).split(n)
        marked, twins = yield from base.embed(model.denoiser, watermark, own, self.steps)
        levels = levels_of(self, LIKELY)
        scores = []
        for some, seed in ((marked, 0), (other, n)):
            after = yield from attacked(model.denoiser, reader, some.clamp(-1, 1), chain, seed)
            planes = yield from detection.look(model.denoiser, after, scheme, LIKELY)
            z = detection.evidence(whitened(planes, scheme, levels), pattern, shifts=False)
            scores.append(z.amax(1))
        one = Detection(*scores)
        false, true = map(torch.from_numpy, one.roc())
        reached = tuple(level for level in LEVELS if one.reaches(level))
        yield Rates(
            *(score.float() for score in scores), false.float(), true.float(), one.auc(), reached,
            tuple(map(one.tpr, reached)), tuple(level for level in LEVELS if level not in reached),
            bootstrap(psnr(marked.cpu().clamp(-1, 1), twins.cpu().clamp(-1, 1)).tolist()),
        )  # fmt: skip
