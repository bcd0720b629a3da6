"""RingID (Ci et al., https://arxiv.org/abs/2404.14055): rings that tell many keys apart, and noise in a second channel.

Each ring of width 1 in the last channel of x_1 is +1 or -1, the root mean square of noise, so that the mark changes no energy; with at
least two channels the first holds a noise pattern on the same coefficients. The distance is the smaller one of the two channels'. Radii
are the paper's, 3 to 14 of 64, scaled with the picture: 2^11 keys of 64 pixels, 2^4 of 25, 2^2 of 8.

The picture of rings without phase is round about pixel (0, 0), the corner, so that a rotation about the middle takes it apart. RingID
shifts it by half a picture, which multiplies coefficient (k1, k2) by (-1)^(k1 + k2); then it turns into itself. (For an odd n, with k1 and
k2 from -(n - 1) / 2, this is a shift to between two pixels. The middle lies half a pixel beside n / 2, which costs little: after 75 degrees
the correlation with the pattern is 0.61 for 64 pixels, 0.75 about the true middle, and 0.01 without the shift.)

Corrected against the published code: values are real from the start. There they are complex and the target is what taking the real part
leaves of them, which is the same pattern. Rings are those of the radius in the place of a majority over 360 rotations.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from backend.watermark.fourier import annulus, plane, uniform
from backend.watermark.replacement import Replacement, distance, normal, replaced, ring

INNER, OUTER = 3 / 64, 14 / 64  # radius / n


@dataclass(frozen=True)
class RingID(Replacement):
    """Rings of one sign each, and noise in a second channel."""

    @cached_property
    def mask(self) -> Tensor:
        """The annulus, the same in both channels: (n, n) bool."""
        n = self.shape[-1]
        return annulus(n, round(INNER * n), round(OUTER * n))

    @cached_property
    def targets(self) -> dict[int, Tensor]:
        """Channel -> (n, n) complex128, Hermitian on the mask: rings in the last, noise in the first if that is another one."""
        n = self.shape[-1]
        rings, k = ring(n), torch.fft.fftfreq(n, 1 / n).round().long()
        signs = (uniform(self.secret, "ringid", int(rings.max()) + 1) >= 0.5).double() * 2 - 1
        middle = 1 - 2 * ((k[:, None] + k[None]) % 2)
        targets = {self.shape[0] - 1: (signs[rings] * middle * self.mask).to(torch.complex128)}
        if self.shape[0] > 1:
            targets[0] = plane(normal(self.secret, "ringid noise", n * n).view(n, n)) * self.mask
        return targets

    def inject(self, x_t: Tensor) -> Tensor:
        marked = x_t.clone()
        for channel, target in self.targets.items():
            marked[:, channel] = replaced(x_t[:, channel], self.mask, target)
        return marked

    def score(self, x_t: Tensor) -> Tensor:
        distances = [distance(x_t[:, channel], self.mask, target) for channel, target in self.targets.items()]
        return -torch.stack(distances).amin(0)
