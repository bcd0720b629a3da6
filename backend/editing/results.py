"""What the edit tab's requests give back: plain data on the CPU, pictures in [-1, 1]."""

from dataclasses import dataclass

from torch import Tensor

from backend.editing.directions import STEP

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

    def length(self, i: int) -> float:
        """How far along v_i strength 1 is."""
        return STEP * self.size**0.5 / float(self.gain[i])


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


@dataclass(frozen=True)
class Learned:
    """What a method learned once for a model, and the seconds that it took."""

    tensor: Tensor
    seconds: float


@dataclass(frozen=True)
class MethodStrip:
    """What one method made of a picture.

    method: its name among backend.editing.methods.METHODS. leak: energy of the change outside the region over inside, at
    both ends of the strip. factor: the one that moves most between its ends, by `amount` of its standard deviations;
    beside: the largest move of a factor of another part; "", 0 and 0 where nothing reads the factors. seconds: to find the
    edit and to draw it.
    """

    method: str
    strip: Strip
    leak: float
    factor: str
    amount: float
    beside: float
    seconds: float


@dataclass(frozen=True)
class Compared:
    """The picture (*shape) before any edit, the label that supervised methods lead to, and a strip for each method."""

    original: Tensor
    wanted: str
    rows: tuple[MethodStrip, ...]


@dataclass(frozen=True)
class Linear:
    """How linear D is at strengths (n,) of one direction, measures (n,) as in backend.jacobian.linearity; `random` is the
    residual along a random direction, as far in x_t."""

    strengths: tuple[float, ...]
    residual: tuple[float, ...]
    norm_ratio: tuple[float, ...]
    cosine: tuple[float, ...]
    random: tuple[float, ...]
