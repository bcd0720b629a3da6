"""What the edit tab's requests give back: plain data on the CPU, pictures in [-1, 1]."""

from dataclasses import dataclass

from torch import Tensor

THUMBNAIL = 2.0  # the strength of the previews on a direction's card


@dataclass(frozen=True)
class Region:
    """mask (H, W) bool; strength (H, W) in [0, 1]: for a click, how strongly each pixel varies with it, else the mask."""

    mask: Tensor
    strength: Tensor
    rle: str


@dataclass(frozen=True)
class Explored:
    """The Jacobian J on a space of inputs: inputs (n, *shape), independent; images (n, *shape) = J inputs, whole; value
    (*shape), the posterior mean itself."""

    value: Tensor
    inputs: Tensor
    images: Tensor


@dataclass(frozen=True)
class Found:
    """k local directions of one region, strongest first.

    v (k, *shape) unit; s (k,) singular values of the masked Jacobian, of generalised directions the gain;
    gain (k,) = |J v| inside the region; leak (k,) energy of J v outside over inside; heat (k, H, W) = |J v| of each pixel, 1 at its largest; minus and plus (k, *shape)
    previews, one evaluation at strength -THUMBNAIL and +THUMBNAIL; names (k,), "" where nothing reads the factors; mask
    (H, W); size, values in the region; alpha, the schedule's at t (alpha s does not depend on the schedule); residual (k,)
    of the singular triplets; products and evaluations spent.
    """

    v: Tensor
    s: Tensor
    gain: Tensor
    leak: Tensor
    heat: Tensor
    minus: Tensor
    plus: Tensor
    names: tuple[str, ...]
    mask: Tensor
    size: int
    alpha: float
    residual: Tensor
    products: int


@dataclass(frozen=True)
class Strip:
    """Pictures (n, *shape) in [-1, 1] at strengths (n,) of one direction.

    predicted: True for the posterior means, seen after one network evaluation; False for the edits themselves.
    """

    strengths: tuple[float, ...]
    pictures: Tensor
    predicted: bool


@dataclass(frozen=True)
class Strips:
    """The picture (*shape) before any edit, the directions, and one strip for each."""

    original: Tensor
    found: Found
    strips: tuple[Strip, ...]


@dataclass(frozen=True)
class Transferred:
    """Pictures (n, *shape) before and after a direction of another picture was added.

    factor: the one that the direction moves most in its own picture, by `amount` of its standard deviations; amounts (n,):
    by how many it moved in these. "", 0 and () where nothing reads the factors.
    """

    originals: Tensor
    edited: Tensor
    factor: str
    amount: float
    amounts: tuple[float, ...]
