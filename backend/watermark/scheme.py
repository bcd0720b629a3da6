"""What embedding and verifying must agree on, in a form that a key can be bound to."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, get_args

from backend.request import require

VERSION = 1  # of what the fields mean; raise it when an old scheme would mark other coefficients
LARGEST_RADIUS = 1024  # cycles a picture
MOST_STEPS = 200
OTHER_VERSION = "This watermark's scheme belongs to another version of Subspace Lab."
DECIMALS = 6  # 0.1 + 0.2 and 0.3 are the same setting

Family = Literal["phases", "rings"]
Centre = Literal["zero", "nyquist"]
Channels = Literal["luma", "red", "green", "blue", "all"]


@dataclass(frozen=True)
class Scheme:
    """A pattern of `family` on the annulus inner < radius <= outer of the Fourier plane, in the state at time t.

    Args:
        family: random phases, or one sign a ring.
        centre: of the annulus: frequency zero, or the corner of the plane.
        inner: in cycles a picture, from 0, which leaves out the centre alone.
        outer: in cycles a picture, above inner, at most 1,024.
        channels: the same pattern in all ("luma"), in one of them, or in each a pattern of its own ("all").
        t: where on the flow the mark lies, above 0 and at most 1.
        steps: of the flow from the picture to t, 1 to 200.
        version: of what these fields mean.

    inner, outer and t are kept to six decimals.

    Raises:
        BadInput: with one sentence for any field of another type or out of its range.
    """

    family: Family
    centre: Centre
    inner: float
    outer: float
    channels: Channels
    t: float
    steps: int
    version: int = VERSION

    def __post_init__(self) -> None:
        require(type(self.version) is int and self.version == VERSION, OTHER_VERSION)
        _choice(self.family, get_args(Family), "The kind of pattern")
        _choice(self.centre, get_args(Centre), "The centre of the pattern")
        _choice(self.channels, get_args(Channels), "The channels of the pattern")
        radii = "The radii of the pattern must be numbers with 0 <= inner < outer <= 1,024."
        self._number("inner", radii, lambda inner: 0 <= inner < LARGEST_RADIUS)
        self._number("outer", radii, lambda outer: self.inner < outer <= LARGEST_RADIUS)
        time = "The watermark's time t must be a number above 0 and at most 1."
        self._number("t", time, lambda t: 0 < t <= 1)
        whole = type(self.steps) is int and 1 <= self.steps <= MOST_STEPS
        require(whole, f"The watermark's flow must have a whole number of 1 to {MOST_STEPS} steps.")

    def _number(self, name: str, sentence: str, good: Callable[[float], bool]) -> None:
        value = getattr(self, name)
        require(isinstance(value, int | float) and not isinstance(value, bool), sentence)
        value = round(value, DECIMALS)
        require(good(value), sentence)  # before float(), which a huge whole number would overflow
        object.__setattr__(self, name, float(value) + 0.0)  # -0.0 becomes 0.0

    def text(self) -> str:
        """The one line of JSON, keys sorted, that stands for this scheme and no other."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """The scheme of parsed JSON. Raises BadInput as above, and for missing or unknown fields."""
        require(isinstance(values, dict), "A watermark's scheme must be a list of named settings.")
        version = values.get("version", VERSION)
        require(version == VERSION, OTHER_VERSION)  # first, since its fields may have other names
        names = [field.name for field in fields(cls)]
        missing = [name for name in names if name not in values]
        require(not missing, f"This watermark's scheme lacks {', '.join(missing)}.")
        require(len(values) == len(names), "This watermark's scheme has settings that are not known here.")
        return cls(**values)


def _choice(value: Any, choices: tuple[str, ...], words: str) -> None:
    require(isinstance(value, str) and value in choices, f"{words} must be one of {', '.join(choices)}.")
