"""How good guided samples are, by what plays no part in guidance: labels read off them, their variance, what leaves the range."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from backend.data import avatars, digits
from backend.guidance.class_statistics import LABELS
from backend.inference.load import Model
from backend.metrics.intervals import Estimate, bootstrap, rate

BEYOND = 0.02  # a number is out of range where it leaves [-1, 1] by this
CUT = 1e4  # of what is shown: strong guidance has no bound, float16 ends at 65,504
REAL, REAL_SEEDS = 500, 40_000_000  # drawn faces of a class that samples are measured against
NO_READER = "There is no reader of digits that plays no part here, so their labels are not checked."


@dataclass(frozen=True)
class Quality:
    """Of n samples.

    accuracy: share that a network without part in guidance reads as the class; probability: what it gives the class, mean. None
        where there is no such network.
    variance: trace of the covariance over that of real pictures of the class; below 1 they are less diverse, far above 1 they are
        no pictures.
    clipped: share of the numbers outside [-1, 1] by more than 0.02.
    """

    accuracy: Estimate | None
    probability: float | None
    variance: Estimate
    clipped: float


def quality(model: Model, label: str, samples: Tensor) -> Quality:
    """Of samples (n, *shape) on the CPU."""
    accuracy = probability = None
    reader = model.reader()
    if reader is not None:
        own = model.card.labels.index(label)
        with torch.no_grad():
            read = reader(samples.clamp(-1, 1))[1].softmax(1)
        accuracy = rate(int((read.argmax(1) == own).sum()), len(samples))
        probability = float(read[:, own].mean())
    flat = samples.flatten(1).double()
    squares = (flat - flat.mean(0)).square().sum(1) * len(flat) / (len(flat) - 1)
    return Quality(
        accuracy=accuracy,
        probability=probability,
        variance=bootstrap((squares / real_trace(model.card.data, label)).tolist()),
        clipped=float((samples.abs() > 1 + BEYOND).double().mean()),
    )


@lru_cache(16)
def real_trace(data: str, label: str) -> float:
    """Trace of the covariance of real pictures of a class: digits that the network was trained on, or new drawn faces."""
    own = LABELS[data].index(label)
    if data == "digits":
        pictures, labels = digits.split("train")
        pictures = pictures[labels == own]
    else:
        faces = avatars.sample(range(REAL_SEEDS, REAL_SEEDS + REAL), [own] * REAL)
        pictures = torch.cat([avatars.render(factors) for factors in faces.factors.split(50)])
    return float(pictures.flatten(1).double().var(0).sum())


def seen(pictures: Tensor) -> Tensor:
    """On the CPU, finite."""
    return pictures.float().nan_to_num(0.0, CUT, -CUT).clamp(-CUT, CUT).cpu()
