"""Drawn faces whose factors of variation are known.

A face is 26 numbers. `draw` samples them given one of six expressions, `render` turns them into a picture,
and `masks` says which pixel shows which part, so that an edit can be scored against the truth and the
intrinsic dimension is known. It is a drawing, not a photograph: it stands in for photographs where no
pretrained weights can be downloaded.

The drawing itself is in `avatar_drawing`. Both are frozen: a test compares their output with stored pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.data import avatar_drawing

EXPRESSIONS = ("neutral", "happy", "sad", "surprised", "angry", "wink")
PARTS = avatar_drawing.PARTS
SIZE = 64


@dataclass(frozen=True)
class Factor:
    """One factor of variation: uniform on [low, high] unless the expression says otherwise."""

    name: str
    low: float
    high: float
    part: str  # the part of the picture that it changes, or "head" for the pose of the whole


FACTORS = (
    Factor("skin tone", 0, 1, "face"),
    Factor("face width", -1, 1, "face"),
    Factor("tilt", -1, 1, "head"),
    Factor("hair tone", 0, 1, "hair"),
    Factor("hair redness", 0, 1, "hair"),
    Factor("hair length", 0, 1, "hair"),
    Factor("hair volume", 0, 1, "hair"),
    Factor("fringe", 0, 1, "hair"),
    Factor("eye size", -1, 1, "eyes"),
    Factor("eye colour", 0, 1, "eyes"),
    Factor("eye opening", 0.55, 0.85, "eyes"),
    Factor("gaze", -1, 1, "eyes"),
    Factor("wink", 0, 0, "eyes"),
    Factor("brow height", -0.4, 0.4, "brows"),
    Factor("brow slant", -0.25, 0.25, "brows"),
    Factor("brow thickness", 0, 1, "brows"),
    Factor("nose size", 0, 1, "nose"),
    Factor("mouth curve", -0.2, 0.2, "mouth"),
    Factor("mouth width", 0.3, 0.7, "mouth"),
    Factor("mouth opening", 0, 0.2, "mouth"),
    Factor("lip colour", 0, 1, "mouth"),
    Factor("glasses", -1, 1, "glasses"),  # opacity; below 0 there are none, so it is clipped to [0, 1]
    Factor("light", -1, 1, "head"),
    Factor("background hue", 0, 1, "background"),
    Factor("background lightness", 0, 1, "background"),
    Factor("shirt hue", 0, 1, "shirt"),
)
FACTOR_NAMES = tuple(factor.name for factor in FACTORS)

# What an expression changes: ranges in place of the factor's own.
_EXPRESSION_RANGES = {
    "neutral": {},
    "happy": {"mouth curve": (0.55, 1.0), "mouth width": (0.6, 1.0), "mouth opening": (0.1, 0.7),
              "brow height": (-0.1, 0.5), "eye opening": (0.45, 0.75)},
    "sad": {"mouth curve": (-1.0, -0.55), "mouth width": (0.2, 0.6), "brow slant": (-1.0, -0.5),
            "brow height": (-0.1, 0.5), "eye opening": (0.4, 0.65)},
    "surprised": {"mouth curve": (-0.1, 0.2), "mouth width": (0.0, 0.35), "mouth opening": (0.65, 1.0),
                  "brow height": (0.55, 1.0), "eye opening": (0.85, 1.0)},
    "angry": {"mouth curve": (-0.7, -0.25), "mouth width": (0.4, 0.8), "mouth opening": (0.0, 0.35),
              "brow slant": (0.5, 1.0), "brow height": (-1.0, -0.4), "eye opening": (0.5, 0.75)},
    "wink": {"mouth curve": (0.25, 0.8), "mouth width": (0.4, 0.8), "wink": (0.9, 1.0),
             "brow height": (-0.2, 0.4)},
}  # fmt: skip


def _ranges() -> tuple[Tensor, Tensor]:
    low = torch.tensor([[f.low for f in FACTORS]] * len(EXPRESSIONS))
    high = torch.tensor([[f.high for f in FACTORS]] * len(EXPRESSIONS))
    for row, expression in enumerate(EXPRESSIONS):
        for name, (a, b) in _EXPRESSION_RANGES[expression].items():
            low[row, FACTOR_NAMES.index(name)], high[row, FACTOR_NAMES.index(name)] = a, b
    return low, high


LOW, HIGH = _ranges()  # (6, F) each: the range of each factor given the expression


@dataclass(frozen=True)
class Faces:
    """Factors (B, F) float32 in the units of `FACTORS`, and labels (B,) int64 indexing `EXPRESSIONS`."""

    factors: Tensor
    labels: Tensor


def draw(uniform: Tensor, labels: Tensor) -> Faces:
    """Factors from uniform numbers (B, F) in [0, 1] and labels (B,): the prior p(factors | expression)."""
    factors = LOW[labels] + (HIGH - LOW)[labels] * uniform
    glasses = FACTOR_NAMES.index("glasses")
    factors[:, glasses] = factors[:, glasses].clamp(min=0)
    return Faces(factors, labels)


def sample(seeds: Sequence[int], labels: Sequence[int] | None = None) -> Faces:
    """One face a seed, the same alone as in any batch. Labels index `EXPRESSIONS`; None draws them."""
    uniform, drawn = torch.empty(len(seeds), len(FACTORS)), torch.empty(len(seeds), dtype=torch.int64)
    for i, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(int(seed))
        drawn[i] = torch.randint(len(EXPRESSIONS), (), generator=generator)
        uniform[i] = torch.rand(len(FACTORS), generator=generator)
    return draw(uniform, drawn if labels is None else torch.as_tensor(labels, dtype=torch.int64))


def batch(n: int, generator: torch.Generator) -> Faces:
    """n faces from one generator: the endless stream that training reads."""
    labels = torch.randint(len(EXPRESSIONS), (n,), generator=generator)
    return draw(torch.rand(n, len(FACTORS), generator=generator), labels)


def render(factors: Tensor, size: int = SIZE) -> Tensor:
    """Pictures (B, 3, size, size) float32 in [-1, 1] of factors (B, F)."""
    return avatar_drawing.picture(_named(factors), size)


def masks(factors: Tensor, size: int = SIZE) -> dict[str, Tensor]:
    """Where each of `PARTS` is what one sees: part -> (B, size, size) bool.

    Parts are disjoint, but for the nose, which is also face, and glasses, which also lie over eyes and face.
    """
    return avatar_drawing.masks(_named(factors), size)


def prior_std() -> Tensor:
    """Standard deviation (F,) of each factor over faces of all expressions: the unit of an edit's size."""
    faces = batch(20_000, torch.Generator().manual_seed(0))
    return faces.factors.std(dim=0)


def _named(factors: Tensor) -> dict[str, Tensor]:
    return {name: factors[:, i, None, None] for i, name in enumerate(FACTOR_NAMES)}
