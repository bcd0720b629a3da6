"""What an edit did and where a part is, in terms of the known factors of the drawn faces."""

import torch
from torch import Tensor

from backend.data import avatars
from backend.metrics.factor_regressor import FactorRegressor
from backend.request import require


@torch.no_grad()
def changes(reader: FactorRegressor, before: Tensor, after: Tensor) -> Tensor:
    """By how many of its standard deviations each factor changed, (n, F), from pictures (n, 3, 64, 64), or one for all,
    to pictures (n, 3, 64, 64)."""
    return (reader(after)[0] - reader(before)[0]) / reader.std


def most_moved(reader: FactorRegressor, before: Tensor, after: Tensor) -> tuple[str, ...]:
    """For each pair of pictures (k, 3, 64, 64), the factor that changed most."""
    return tuple(avatars.FACTOR_NAMES[i] for i in changes(reader, before, after).abs().argmax(dim=1).tolist())


@torch.no_grad()
def part_mask(reader: FactorRegressor, x_0: Tensor, part: str) -> Tensor:
    """Where a part is in a picture (3, 64, 64), by reading its factors and drawing them: (64, 64) bool.

    Raises:
        BadInput: if there is no such part, or the picture does not show it.
    """
    require(part in avatars.PARTS, f"There is no such part; the parts are {', '.join(avatars.PARTS)}.")
    mask = avatars.masks(reader(x_0[None])[0])[part][0]
    require(bool(mask.any()), f"This picture shows no {part}.")
    return mask
