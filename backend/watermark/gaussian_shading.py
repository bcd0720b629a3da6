"""Gaussian Shading (Yang et al., https://arxiv.org/abs/2404.04956): the signs of the noise x_1 spell a message.

    sign x_1[place(i, j)] = message[i] xor stream[i, j],    i < bits,  j < copies

Given the magnitudes of fresh noise this is the paper's sampling from half a normal distribution, so that x_1 is exactly N(0, 1) for
whoever does not know the stream. Detection reads the signs, undoes the stream and takes the majority of the copies; the score is the
number of bits that agree. Signs do not depend on the scale of x_1.

Changed against the published code:
* Message, stream and places come from the secret by SHAKE-256, in the place of a random message and ChaCha20.
* The copies lie at secret places instead of in tiles, and their number is odd, so that there is no tie and an unmarked state agrees in a
  bit with probability 1/2 exactly; up to bits + 1 of the numbers are left as they are. 64 x 64 x 3 has 256 bits in 47 copies.
* The threshold is P(agreeing >= tau) <= fpr. There it is taken from P(agreeing > tau), one too low: 166 of 256 for one in a million.

One secret gives one pattern of signs. Used for more than one picture it is no longer lossless: all start from one orthant, and the mean of
many shows the signs. The paper's stream has a nonce for each picture, which the detector must then look up; here this is a sub-key for
each picture, and the detector tries them all and divides its rate of false positives by their number.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import comb, prod

import torch
from torch import Tensor

from backend.request import require
from backend.watermark.base import Watermark
from backend.watermark.fourier import uniform

MOST_BITS = 256
FEWEST_COPIES = 5


@dataclass(frozen=True)
class GaussianShading(Watermark):
    """Args:
        secret: 32 bytes.
        shape: of one state, at least 40 numbers.

    Raises:
        BadInput: for a smaller one.
    """

    secret: bytes = field(repr=False)
    shape: tuple[int, ...]
    t = 1.0

    def __post_init__(self) -> None:
        require(prod(self.shape) >= 8 * FEWEST_COPIES, "This picture is too small for a message of 8 bits.")

    @property
    def bits(self) -> int:
        """The length of the message: the largest power of 2 up to 256 of which five copies fit."""
        return min(MOST_BITS, 2 ** ((prod(self.shape) // FEWEST_COPIES).bit_length() - 1))

    @property
    def copies(self) -> int:
        """Of each bit: odd, at least 5."""
        return (prod(self.shape) // self.bits - 1) // 2 * 2 + 1

    @cached_property
    def message(self) -> Tensor:
        """(bits,) bool."""
        return uniform(self.secret, "gaussian shading message", self.bits) >= 0.5

    @cached_property
    def _stream(self) -> Tensor:
        drawn = uniform(self.secret, "gaussian shading stream", self.bits * self.copies)
        return drawn.view(self.bits, self.copies) >= 0.5

    @cached_property
    def _places(self) -> Tensor:
        drawn = uniform(self.secret, "gaussian shading places", prod(self.shape))
        return drawn.argsort(stable=True)[: self.bits * self.copies].view(self.bits, self.copies)

    def inject(self, x_t: Tensor) -> Tensor:
        marked = x_t.flatten(1).clone()
        places = self._places.to(x_t.device)
        positive = (self.message[:, None] ^ self._stream).to(x_t.device)
        size = marked[:, places].abs()
        marked[:, places] = torch.where(positive, size, -size)
        return marked.view_as(x_t)

    def decode(self, x_t: Tensor) -> Tensor:
        """The message read from each state x_t (B, *shape): (B, bits) bool."""
        positive = x_t.flatten(1)[:, self._places.to(x_t.device)] > 0
        votes = positive ^ self._stream.to(x_t.device)
        return votes.sum(-1) > self.copies // 2

    def score(self, x_t: Tensor) -> Tensor:
        """The number of bits that agree: (B,) float64; Binomial(bits, 1/2) without the mark."""
        return (self.decode(x_t) == self.message.to(x_t.device)).sum(-1).double()


def threshold(fpr: float, bits: int) -> int:
    """The smallest tau with P(Binomial(bits, 1/2) >= tau) <= fpr, counted exactly; bits + 1, which no state reaches, where even a whole
    message is more likely than that.

    Raises:
        ValueError: unless 0 < fpr < 1.
    """
    if not 0 < fpr < 1:
        raise ValueError("The rate of false positives must lie between 0 and 1.")
    allowed = Fraction(fpr) * 2**bits
    tau, above = bits + 1, 0  # above: the messages that agree in tau bits or more
    while above + comb(bits, tau - 1) <= allowed:
        tau -= 1
        above += comb(bits, tau)
    return tau
