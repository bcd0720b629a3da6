"""Regions of a picture, as people point at them.

On the wire a region is one line of text, in natural pixels with the origin at the top left:

    part:mouth                  a named part, where the model's pictures have known parts
    box:x0,y0,x1,y1             half-open: columns x0 to x1 - 1, rows y0 to y1 - 1
    click:x,y,tolerance,grain   the pixels that vary with the clicked one; see `covarying`
    rle:<h>x<w>:<runs>          any mask, row-major run lengths, beginning with the run of pixels outside

All become one boolean mask (H, W).
"""

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from backend.jacobian.linearize import Linearized
from backend.request import BadInput, require

GRAIN = 0.6  # the noise level t at which a click asks what belongs together: coarse enough for whole parts
TOLERANCE = 0.5


@dataclass(frozen=True)
class Part:
    """A named part of the picture."""

    name: str


@dataclass(frozen=True)
class Click:
    """A clicked pixel; tolerance in [0, 1] from the point alone to everything, grain a time in (0, 1]."""

    x: int
    y: int
    tolerance: float = TOLERANCE
    grain: float = GRAIN


def parse(region: str, height: int, width: int) -> Part | Click | Tensor:
    """What a region's text says: a part, a click, or a mask (height, width) bool.

    Raises:
        BadInput: with one sentence, if it is not a region of such a picture.
    """
    kind, _, rest = region.partition(":")
    if kind == "part":
        require(rest.isidentifier() and len(rest) <= 40, "A part is named by one word, such as part:mouth.")
        return Part(rest)
    if kind == "box":
        x0, y0, x1, y1 = (int(v) for v in _numbers(rest, (4,), whole=True))
        require(
            0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height,
            "The box must lie inside the picture and hold a pixel.",
        )
        mask = torch.zeros(height, width, dtype=torch.bool)
        mask[y0:y1, x0:x1] = True
        return mask
    if kind == "click":
        x, y, *dials = _numbers(rest, (2, 3, 4))
        require(
            x == int(x) and y == int(y) and 0 <= x < width and 0 <= y < height,
            "The click lies outside the picture.",
        )
        click = Click(int(x), int(y), *dials)
        require(0 <= click.tolerance <= 1, "The tolerance of a click must be between 0 and 1.")
        require(0 < click.grain <= 1, "The grain of a click must be above 0 and at most 1.")
        return click
    if kind == "rle":
        return decode_rle(region, height, width)
    raise BadInput("A region begins with part:, box:, click: or rle:.")


def encode_rle(mask: Tensor) -> str:
    """A mask (H, W) bool as `rle:<h>x<w>:<runs>`."""
    flat = mask.flatten().cpu()
    values, runs = torch.unique_consecutive(flat, return_counts=True)
    runs = ([] if not values[0] else [0]) + runs.tolist()
    return f"rle:{mask.shape[0]}x{mask.shape[1]}:{','.join(map(str, runs))}"


def decode_rle(text: str, height: int, width: int) -> Tensor:
    """The mask (height, width) of `rle:<h>x<w>:<runs>`. Raises BadInput if it does not fit the picture."""
    size, _, runs = text.removeprefix("rle:").partition(":")
    require(size == f"{height}x{width}", "The painted region belongs to a picture of another size.")
    lengths = [int(v) for v in _numbers(runs, None, whole=True)]
    require(
        min(lengths) >= 0 and sum(lengths) == height * width, "The painted region does not fill its picture."
    )
    mask = torch.zeros(height * width, dtype=torch.bool)
    ends = list(accumulate(lengths))
    for start, end in zip(ends[::2], ends[1::2], strict=False):
        mask[start:end] = True
    return mask.view(height, width)


def check_editable(mask: Tensor) -> Tensor:
    """The mask, if it leaves something to change and something to keep. Raises BadInput otherwise."""
    require(bool(mask.any()), "The region is empty; point at something, or paint a larger one.")
    require(
        not bool(mask.all()),
        "The region is the whole picture; leave something outside that should stay as it is.",
    )
    return mask


def covariance_map(jacobian: Linearized, x: int, y: int) -> Tensor:
    """How strongly each pixel varies with pixel (x, y), given the noisy picture: (H, W), 1 at the strongest.

    By Tweedie's formula the posterior covariance is Cov[x_0 | x_t] = (sigma_t^2 / alpha_t) dD/dx_t (e.g.
    Manor and Michaeli, https://arxiv.org/abs/2309.13598, Theorem 1), so a row of the Jacobian, symmetrised
    because a network's is not quite symmetric, says what is still undecided together with a pixel: one vjp
    and one jvp for each colour. Covariances of like colours are added and negative sums dropped: what
    brightens while the clicked pixel darkens is another thing.
    """
    channels, height, width = jacobian.value.shape
    probes = torch.zeros(channels, channels, height, width, device=jacobian.value.device)
    rows, columns = slice(max(y - 1, 0), y + 2), slice(max(x - 1, 0), x + 2)  # a finger is wider than a pixel
    for channel in range(channels):
        probes[channel, channel, rows, columns] = 1
    row = (jacobian.vjp(probes) + jacobian.jvp(probes)) / 2
    strength = row.diagonal().sum(dim=-1).clamp(min=0)
    return (strength / strength.quantile(0.995).clamp(min=1e-12)).clamp(max=1).cpu()


def covarying(strength: Tensor, tolerance: float) -> Tensor:
    """The mask of a click, from its covariance map (H, W).

    At tolerance 0.5 the threshold is Otsu's (1979, https://doi.org/10.1109/TSMC.1979.4310076) between what
    varies with the click and what does not, found on the map to the power 2/3, halfway between amounts and
    their roots, so that a mouth and a background are both cut at their edge. Tolerance 0 leaves the strongest
    pixels; the threshold falls as threshold^(2 tolerance).
    """
    from skimage.filters import threshold_otsu

    if strength.min() == strength.max():
        return strength > 0
    otsu = float(threshold_otsu(strength.pow(2 / 3).double().numpy())) ** 1.5
    return (strength > otsu ** (2 * tolerance)) | (strength == strength.max())


def _numbers(text: str, counts: tuple[int, ...] | None, whole: bool = False) -> list[float]:
    try:
        values = [int(v) if whole else float(v) for v in text.split(",")]
    except ValueError:
        raise BadInput("A region's numbers must be separated by commas.") from None
    require(all(abs(v) < 1e9 for v in values), "A region's numbers must be finite.")  # also refuses NaN
    require(counts is None or len(values) in counts, "The region has the wrong number of numbers.")
    return values
