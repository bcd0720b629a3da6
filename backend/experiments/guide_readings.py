"""What a guided sampler says of itself step by step: norms, cosines and the residual of D_c - D_u beside its linear parts."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Readings:
    """Of every step, (steps,) float64; NaN at steps where the network is not asked for D_u: those that are not guided, and all of
    a rule that does not look at it (PAG, autoguidance, a classifier).

    level, weight: where the step begins, and gamma there. asked: samples in its evaluations, n or 2 n.
    difference: |D_c - D_u|. linear, projected (3, steps): |.| of the linear mean shift, Pos-CPC and Neg-CPC, and of the multiples of
        them in D_c - D_u; multiples (3, steps): these numbers' median. Norms are root mean squares over the samples.
    cosine: between D_c - D_u and the linear difference, mean. apart: |D_c - D_u - linear difference|^2 / |D_c - D_u|^2.
    residual: share of |D_c - D_u|^2 that is no multiple of the linear parts, 0 to 1.
    """

    level: Tensor
    weight: Tensor
    asked: Tensor
    difference: Tensor
    linear: Tensor
    projected: Tensor
    multiples: Tensor
    cosine: Tensor
    apart: Tensor
    residual: Tensor


def readings(level: Tensor, weight: Tensor, asked: Tensor, rows: list[dict[str, Tensor] | None]) -> Readings:
    """Over the samples of each step, from what `backend.guidance.split.measures` saw there."""
    missing = torch.tensor(torch.nan, dtype=torch.float64)

    def over(name: str, *axes: int, norm: bool = False) -> Tensor:
        each = [missing.expand(axes) if row is None else row[name].mean(-1) for row in rows]
        return torch.stack(each, -1).sqrt() if norm else torch.stack(each, -1)

    squares = over("difference")
    medians = [missing.expand((3,)) if row is None else row["multiples"].median(-1).values for row in rows]
    return Readings(
        level=level,
        weight=weight,
        asked=asked,
        difference=squares.sqrt(),
        linear=over("linear", 3, norm=True),
        projected=over("projected", 3, norm=True),
        multiples=torch.stack(medians, -1),
        cosine=over("cosine"),
        apart=over("apart") / squares,
        residual=over("residual") / squares,
    )
