"""How well a mark is found: marked and unmarked pictures go through the same attacks, and their scores are compared.

A detector that is only tested on attacked marked pictures may owe its success to the attack: the unmarked ones must be attacked too, since an attack changes
their scores as well.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backend.metrics.intervals import Estimate, rate


@dataclass(frozen=True)
class Detection:
    """Scores of marked (N,) and unmarked (M,) pictures after the same attacks."""

    marked: Tensor
    unmarked: Tensor

    def auc(self) -> Estimate:
        """The chance that a marked picture scores higher than an unmarked one, with its 95 % interval by DeLong's variance; where the
        two are apart, Clopper-Pearson's for the smaller set instead of a point."""
        wins = (self.marked[:, None] > self.unmarked).double() + 0.5 * (self.marked[:, None] == self.unmarked)
        value, n = float(wins.mean()), len(self.marked) + len(self.unmarked)
        if value in (0.0, 1.0):
            smaller = min(len(self.marked), len(self.unmarked))
            apart = rate(int(value) * smaller, smaller)
            return Estimate(value, apart.low, apart.high, n)
        spread = wins.mean(1).var() / len(self.marked) + wins.mean(0).var() / len(self.unmarked)
        reach = 1.96 * float(spread.sqrt())
        return Estimate(value, max(0.0, value - reach), min(1.0, value + reach), n)

    def threshold(self, fpr: float) -> float:
        """The smallest score that at most a share `fpr` of the unmarked pictures reach. Raises ValueError where there are too few of them to
        tell: fewer than 1/fpr - 1."""
        if not self.reaches(fpr):
            raise ValueError("There are too few unmarked pictures for this false positive rate.")
        allowed = int(fpr * (len(self.unmarked) + 1)) - 1  # so that the rate holds for a new picture too
        return float(self.unmarked.sort(descending=True).values[allowed])

    def reaches(self, fpr: float) -> bool:
        """Whether the unmarked pictures are enough for this false positive rate."""
        return fpr * (len(self.unmarked) + 1) >= 1 - 1e-9

    def tpr(self, fpr: float) -> Estimate:
        """The share of marked pictures above that threshold, with its Clopper-Pearson interval."""
        return rate(int((self.marked > self.threshold(fpr)).sum()), len(self.marked))

    def roc(self) -> tuple[np.ndarray, np.ndarray]:
        """(false positive rate, true positive rate) at every threshold, from (0, 0) to (1, 1)."""
        cuts = torch.cat([self.marked, self.unmarked]).unique().flip(0)
        cuts = torch.cat([torch.tensor([torch.inf], dtype=cuts.dtype), cuts])
        false = (self.unmarked >= cuts[:, None]).double().mean(1)
        true = (self.marked >= cuts[:, None]).double().mean(1)
        return false.numpy(), true.numpy()
