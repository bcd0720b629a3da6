"""The network's D_c - D_u beside the linear one: its nearest multiples of the mean shift, Pos-CPC and Neg-CPC, and the rest."""

import torch
from torch import Tensor

from backend.guidance.class_statistics import ClassStatistics
from backend.guidance.terms import terms
from backend.schedule import Schedule


class Split:
    """The `Term` of a mode, for `Guided`, that remembers what it saw until `take`.

    Args:
        on: whether the mean shift, Pos-CPC, Neg-CPC and the residual are added.
    """

    def __init__(self, stats: ClassStatistics, schedule: Schedule, mode: str, on: tuple[bool, ...]):
        self.parts = terms(stats.pair, schedule, stats.shape, stats.basis).values()
        self.mode, self.on = mode, on
        self._row: dict[str, Tensor] | None = None

    def __call__(self, x_t: Tensor, t: Tensor, conditional: Tensor, unconditional: Tensor) -> Tensor:
        difference = conditional - unconditional
        linear = torch.stack([part(x_t, t, conditional, unconditional) for part in self.parts])
        flat, flat_linear = (_flat(a, x_t.ndim - 1) for a in (difference, linear))
        multiples = nearest(flat, flat_linear)
        self._row = measures(flat, flat_linear, multiples)
        if self.mode == "network":
            return difference
        parts = linear
        if self.mode == "projected":
            parts = linear * multiples.to(linear).view(*multiples.shape, *[1] * (x_t.ndim - 1))
        if not self.on[3]:
            return sum((part for part, on in zip(parts, self.on, strict=False) if on), torch.zeros_like(x_t))
        return difference - sum(
            (part for part, on in zip(parts, self.on, strict=False) if not on), torch.zeros_like(x_t)
        )

    def take(self) -> dict[str, Tensor] | None:
        """What the last call saw, None if there was none since the last time."""
        row, self._row = self._row, None
        return row


def nearest(difference: Tensor, parts: Tensor) -> Tensor:
    """(3, B): the multiples of the parts (3, B, N), mean shift, Pos-CPC and Neg-CPC, whose sum is nearest to differences (B, N).

    The CPCs are orthogonal, because they lie in the positive and the negative eigenvectors of one matrix. A part that is 0, or
    a mean shift that is a sum of multiples of the other two, has the multiple 0.
    """
    shift, *cpc = parts

    def along(a: Tensor, b: Tensor, smallest: Tensor | float = 0.0) -> Tensor:
        """<a, b> / <b, b>, (B,)."""
        size = b.square().sum(-1)
        return torch.where(size > smallest, (a * b).sum(-1) / size.clamp_min(1e-300), 0.0)

    own = shift - sum(along(shift, part)[:, None] * part for part in cpc)
    first = along(difference, own, 1e-10 * shift.square().sum(-1))
    left = difference - first[:, None] * shift
    return torch.stack([first, *(along(left, part) for part in cpc)])


def measures(difference: Tensor, parts: Tensor, multiples: Tensor) -> dict[str, Tensor]:
    """Of each sample: squares of the norms of D_c - D_u (B,), of the linear parts (3, B), of their multiples (3, B), of the residual
    (B,) and of what the linear difference leaves (B,); the cosine (B,); the multiples (3, B)."""
    projected, linear = multiples[..., None] * parts, parts.sum(0)
    squares = difference.square().sum(-1)
    sizes = (squares * linear.square().sum(-1)).sqrt()
    return {
        "difference": squares,
        "linear": parts.square().sum(-1),
        "projected": projected.square().sum(-1),
        "multiples": multiples,
        "cosine": (difference * linear).sum(-1) / sizes.clamp_min(1e-300),
        "apart": (difference - linear).square().sum(-1),
        "residual": (difference - projected.sum(0)).square().sum(-1),
    }


def _flat(a: Tensor, axes: int) -> Tensor:
    return a.flatten(-axes).cpu().double()
