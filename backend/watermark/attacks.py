"""Attacks on marked pictures, alone or in a chain, marked and unmarked pictures alike: what they are, and those that need no network.

    attack(pictures, parse("jpeg:25,blur:1.5,rotate:15"))

A chain may also name attacks by a network; `network_attacks.attacked` runs any chain.

Strengths come from papers that attack pictures of 512 pixels: Shallow Diffuse (https://arxiv.org/abs/2410.21088, appendix C.1; where it
and its code differ, the code's). Every range holds that of WAVES (https://arxiv.org/abs/2401.08573, distortions) and the papers' strengths.
A blur by 4 pixels destroys a picture of 64, so `matched` gives the strength that costs there as many dB as the paper's does at 512; how
that was measured is in `tests.benchmarks.attack_strengths`.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from backend.request import require
from backend.watermark import distortions, geometry

LONGEST = 8  # links of a chain
RECOMMENDED = 64  # pixels: a name without a strength gets what is matched to this size
SEEDS = (
    2**31
)  # seeds of attacks begin here: those below are of samples, whose noise must not come back as an attack's
LEVEL = 2 / 255  # the distance of two neighbouring grey levels of 8 bits

NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?"
UNREADABLE = "A chain of attacks is written like jpeg:25,blur:1.5,rotate:15."
NOTHING_LEFT = "These attacks leave nothing of the picture."


@dataclass(frozen=True)
class Attack:
    """One link of a chain: a name in `KINDS` and a strength in that kind's unit."""

    name: str
    strength: float


@dataclass(frozen=True)
class Kind:
    """One kind of attack.

    label, unit: words for a page. low, high, step: the strengths that are allowed, and a slider's step. paper: the strength at 512
    pixels. distort: (C, H, W) in [-1, 1] -> (C, H, W), see `distortions`; None for what a network does, see `network_attacks`. whole:
    only low + n step is allowed.
    """

    label: str
    unit: str
    low: float
    high: float
    step: float
    paper: float
    distort: Callable[[Tensor, float, Generator], Tensor] | None
    whole: bool = False

    @property
    def network(self) -> bool:
        """Whether it takes a network."""
        return self.distort is None


# brightness: the paper draws a factor from U[0, 6]; its mean stands for it, so that every picture is attacked alike.
# contrast: WAVES' strongest. jitter, rotate, crop, shift: ours; Shallow Diffuse has no strength for them.
KINDS = {
    "jpeg": Kind("JPEG", "quality", 10, 95, 1, 25, distortions.jpeg, whole=True),
    "blur": Kind("Gaussian blur", "pixels", 0, 20, 0.1, 4, distortions.blur),
    "noise": Kind("Gaussian noise", "of the range", 0, 0.5, 0.01, 0.1, distortions.noise),
    "brightness": Kind("Brightness", "times", 0.1, 7, 0.1, 3, distortions.brightness),
    "contrast": Kind("Contrast", "times", 0.1, 7, 0.1, 2, distortions.contrast),
    "jitter": Kind("Colour jitter", "relative", 0, 1, 0.05, 0.5, distortions.jitter),
    "resize": Kind("Resize and restore", "of the side", 0.1, 1, 0.01, 0.25, geometry.resize),
    "crop": Kind("Crop", "of the side", 0.25, 1, 0.01, 0.75, geometry.crop),
    "rotate": Kind("Rotation", "degrees", -180, 180, 1, 15, geometry.rotate),
    "drop": Kind("Drop", "of the side", 0, 0.9, 0.01, 0.4, distortions.drop),
    "median": Kind("Median filter", "pixels a side", 1, 11, 2, 7, distortions.median, whole=True),
    "salt_and_pepper": Kind(
        "Salt and pepper", "of the values", 0, 0.5, 0.01, 0.05, distortions.salt_and_pepper
    ),
    "shift": Kind("Shift", "pixels", -16, 16, 1, 1, geometry.shift, whole=True),
    "flip": Kind("Mirror", "times", 1, 1, 1, 1, geometry.flip, whole=True),
    "diffpure": Kind("DiffPure", "t", 0.01, 0.9, 0.01, 0.3, None),
    "regenerate": Kind("Regeneration", "t", 0.01, 0.9, 0.01, 0.06, None),
    "rinse": Kind("Rinsing", "passes", 1, 8, 1, 4, None, whole=True),
    "adversarial": Kind("Adversarial", "of 255 levels", 0, 16, 0.5, 8, None),
}

# Strength on pictures of a size in pixels, from assets/results/attack_strengths.json. An 8-pixel digit has no resize and no median as
# mild as the paper's at 512, nor has a 24-pixel face a median: there stands the mildest.
MATCHED = {
    "jpeg": {8: 77, 24: 75, 64: 58},
    "blur": {8: 0.47, 24: 0.97, 64: 2.23},
    "resize": {8: 7 / 8, 24: 19 / 24, 64: 22 / 64},
    "median": {8: 3, 24: 3, 64: 5},
}

SPREADING = (
    "jpeg",
    "blur",
    "median",
    "resize",
    "rotate",
    "shift",
    "diffpure",
    "regenerate",
    "rinse",
)  # what may carry a picture into a dropped square


def parse(chain: str, size: int = RECOMMENDED) -> tuple[Attack, ...]:
    """The attacks of "jpeg:25,blur:1.5,rotate:15", in their order; "" is none.

    Args:
        chain: at most 8 names in `KINDS`, each with its strength, or without for what is `matched` to the size.
        size: pixels of a picture's side.

    Raises:
        BadInput: for another name or strength, and for a chain that crops to what it dropped.
    """
    links = chain.split(",") if chain.strip() else []
    require(len(links) <= LONGEST, f"A chain has at most {LONGEST} attacks.")
    attacks = tuple(_link(link.strip(), size) for link in links)
    require(_dropped(attacks) < 1, NOTHING_LEFT)
    return attacks


def text(chain: tuple[Attack, ...]) -> str:
    """The one way to write a chain that `parse` reads back as it was."""
    return ",".join(f"{link.name}:{repr(float(link.strength)).removesuffix('.0')}" for link in chain)


def attack(pictures: Tensor, chain: tuple[Attack, ...], seed: int = 0) -> Tensor:
    """Pictures (B, C, H, W) in [-1, 1] after every attack of a chain, clipped to [-1, 1] after each. Same shape, dtype and device.

    Picture i depends on itself and on seed + i alone, so that it is the same alone (with the seed seed + i) as in a batch.

    Raises:
        ValueError: if a link takes a network.
    """
    if any(KINDS[link.name].network for link in chain):
        raise ValueError("This chain takes a network; network_attacks.attacked runs it.")
    attacked = given(pictures)
    draws = generators(len(attacked), seed)
    for link in chain:
        attacked = distorted(attacked, link, draws)
    return attacked.to(pictures)


def given(pictures: Tensor) -> Tensor:
    """A copy of pictures as attacks see them: float32 on the CPU, in [-1, 1]."""
    return pictures.detach().to("cpu", torch.float32).clamp(-1, 1)


def generators(count: int, seed: int) -> list[Generator]:
    """What the chances of each of `count` pictures are drawn from, in the order of the links."""
    return [Generator().manual_seed(SEEDS + seed + i) for i in range(count)]


def distorted(pictures: Tensor, link: Attack, draws: list[Generator]) -> Tensor:
    """Pictures (B, C, H, W) after one link that takes no network, clipped to [-1, 1]."""
    distort = KINDS[link.name].distort
    after = [distort(one, link.strength, draw) for one, draw in zip(pictures, draws, strict=True)]
    return torch.stack(after).clamp(-1, 1) if after else pictures


def eight_bit(pictures: Tensor) -> Tensor:
    """Pictures in [-1, 1] as a PNG holds them: rounded to 256 levels."""
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def blank(pictures: Tensor) -> Tensor:
    """(B,) bool, whether a picture (B, C, H, W) is one flat grey or colour, within a grey level of 8 bits: nothing is left of it."""
    values = pictures.flatten(2)
    return (values.amax(-1) - values.amin(-1)).amax(-1) < LEVEL


def matched(name: str, size: int) -> float:
    """The strength of an attack in `KINDS` on pictures of this side in pixels that costs the PSNR of the paper's at 512 pixels.

    Between sizes that were measured, by interpolation over the logarithm of the size; outside them, that of the nearest. Attacks
    that do to every pixel the same whatever its neighbours (noise, brightness, ...), moves (rotate, crop, shift, flip) and what a
    network does keep the paper's.
    """
    kind = KINDS[name]
    table = {**MATCHED.get(name, {}), 512: kind.paper}
    strength = float(np.interp(math.log(size), [math.log(known) for known in table], list(table.values())))
    return float(kind.low + kind.step * round((strength - kind.low) / kind.step)) if kind.whole else strength


def _link(link: str, size: int) -> Attack:
    name, colon, number = (part.strip() for part in link.partition(":"))
    require(name in KINDS, f"An attack is one of {', '.join(KINDS)}.")
    if not colon:
        return Attack(name, matched(name, size))
    require(re.fullmatch(NUMBER, number, re.ASCII | re.IGNORECASE) is not None, UNREADABLE)
    kind, strength = KINDS[name], float(number) + 0.0  # -0.0 becomes 0.0
    allowed = kind.low <= strength <= kind.high
    if kind.whole:
        allowed = allowed and (strength - kind.low) % kind.step == 0
    require(allowed, f"The strength of {name} must be {_allowed(kind)} ({kind.unit}).")
    return Attack(name, strength)


def _allowed(kind: Kind) -> str:
    if kind.low == kind.high:
        return f"{kind.low:g}"
    if kind.whole:
        return f"{kind.low:g}, {kind.low + kind.step:g}, ... or {kind.high:g}"
    return f"from {kind.low:g} to {kind.high:g}"


def _dropped(chain: tuple[Attack, ...]) -> float:
    """The share of the side of what is seen last that a `drop` has greyed; at least 1 where that is all, but for interpolated edges."""
    grey = 0.0
    for link in chain:
        if link.name == "drop":
            grey = max(grey, link.strength)
        elif link.name == "crop":
            grey /= link.strength
        elif link.name in SPREADING:
            grey = 0.0
    return grey
