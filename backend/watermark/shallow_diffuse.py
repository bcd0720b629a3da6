"""Shallow Diffuse (Li, Zhang and Qu, https://arxiv.org/abs/2410.21088): a mark in x_t at a small t, where the posterior mean hardly sees it.

The paper replaces the coefficients of a mask M by those of a key, Eq. (6):

    x_t' = IDFT( DFT(x_t) (1 - M) + W M )

and argues that the change dx = x_t' - x_t lies in the null space of J = dD/dx_t, since J has low rank. Beside it stands the addition
x_t' = x_t + IDFT(W M): replacing pays twice, once for the mark and once for the picture that it removes, and leaves a gap in the spectrum that
anybody can see without the key. In both, |W| is `strength` times the root mean square of the picture's own coefficients on the same ring, so
that the mark hides where the picture is busy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser, like
from backend.watermark import fourier
from backend.watermark.base import Watermark
from backend.watermark.scheme import Scheme

COLOURS = ("red", "green", "blue")


@dataclass(frozen=True)
class ShallowDiffuse(Watermark):
    """The mark of one key.

    pattern (G, n, n) complex: of modulus 1 on the mask and 0 outside, one for each carrier. how: whether it is added or replaces.
    """

    scheme: Scheme
    pattern: Tensor
    strength: float = 1.0
    how: Literal["add", "replace"] = "add"

    @property
    def t(self) -> float:
        return self.scheme.t

    def inject(self, x_t: Tensor) -> Tensor:
        planes = fourier.plane(carriers(x_t, self.scheme.channels))
        local = fourier.ring_power(planes, self.scheme.centre).sqrt()
        change = self.strength * local * self.pattern.to(planes)
        if self.how == "replace":
            change = change - planes * (self.pattern.abs() > 0).to(planes)
        return x_t + spread(fourier.picture(change, x_t), self.scheme.channels, x_t.shape[-3])

    def score(self, x_t: Tensor) -> Tensor:
        planes = fourier.plane(carriers(x_t, self.scheme.channels))
        return z_score(whitened(planes, self.scheme), self.pattern)


def pattern(
    secret: bytes | Sequence[bytes], scheme: Scheme, size: int, channels: int = len(COLOURS)
) -> Tensor:
    """What a key makes of a scheme's mask on an n x n plane: (G, n, n) complex128, G the number of carriers among so many channels, or
    (K, G, n, n) of K secrets.

    Raises:
        ValueError: if no coefficient lies in the mask.
    """
    mask = fourier.annulus(size, scheme.inner, scheme.outer, scheme.centre)
    if not mask.any():
        raise ValueError("No Fourier coefficient of this picture lies between these radii.")
    purposes = COLOURS[:channels] if scheme.channels == "all" else ("carrier",)
    if scheme.family == "rings":
        return torch.stack([fourier.rings(secret, mask, scheme.centre, one) for one in purposes], -3)
    return torch.stack([fourier.phases(secret, mask, one) for one in purposes], -3)


def carriers(pictures: Tensor, channels: str) -> Tensor:
    """The planes that carry a mark, (..., G, n, n): the mean of all channels of pictures (..., C, n, n), one of them, or each."""
    if channels == "luma" or pictures.shape[-3] == 1:
        return pictures.mean(-3, keepdim=True)
    if channels == "all":
        return pictures
    index = COLOURS.index(channels)
    return pictures[..., index : index + 1, :, :]


def spread(change: Tensor, channels: str, count: int) -> Tensor:
    """A change of the carriers (..., G, n, n) as one of all `count` channels: what `carriers` reads back."""
    if channels in ("luma", "all") or count == 1:
        return change.expand(*change.shape[:-3], count, -1, -1)
    index = COLOURS.index(channels)
    zero = torch.zeros_like(change)
    return torch.cat([change if i == index else zero for i in range(count)], -3)


def averaged(marked: Tensor, twin: Tensor, channels: str) -> Tensor:
    """Channel averaging, as in the authors' code: the channels that carry no mark are taken from the twin (footnote 3 of the paper).
    Changes nothing where all channels carry it."""
    if channels in ("luma", "all") or marked.shape[-3] == 1:
        return marked
    mixed = twin.clone()
    index = COLOURS.index(channels)
    mixed[..., index, :, :] = marked[..., index, :, :]
    return mixed


def off_leading(change: Tensor, vectors: Tensor) -> Tensor:
    """A change (B, *shape) with its part along orthonormal right singular vectors of J (B, k, *shape) taken off: what then lies in the
    null space as far as k vectors reach. The paper only argues that a random change lies there already."""
    flat, basis = change.flatten(1), vectors.flatten(2).to(change)
    along = torch.einsum("bkd,bd->bk", basis, flat)
    return (flat - torch.einsum("bk,bkd->bd", along, basis)).view_as(change)


@torch.no_grad()
def unpredicted(denoiser: Denoiser, pictures: Tensor, t: float) -> Tensor:
    """What the model does not expect of pictures (B, *shape): x_0 - D(alpha_t x_0, t), one evaluation.

    Flow and noise keep a mark only in part, but the picture itself is what hides it: the denoiser predicts the picture and not the mark, so the
    difference is nearly free of the picture. It is sigma_t / alpha_t times the noise that D finds in alpha_t x_0.
    """
    alpha, _ = denoiser.schedule(torch.tensor(t, dtype=torch.float64))
    return pictures - denoiser(like(alpha, pictures) * pictures, t)


def whitened(planes: Tensor, scheme: Scheme, levels: Tensor | None = None) -> Tensor:
    """Planes (..., n, n) in units of their own ring's root mean square, or of that of unmarked pictures, `levels`, where that is more: a ring that
    a blur has emptied must not count as much as the others."""
    own = fourier.ring_power(planes, scheme.centre).sqrt()
    return planes / (own if levels is None else torch.maximum(own, levels)).clamp_min(1e-12)


def z_score(planes: Tensor, pattern: Tensor) -> Tensor:
    """The matched filter of whitened planes (..., G, n, n): z (...,) = Re <Q, W> / |Q| over the mask.

    For a key of random phases, drawn independently of the picture, it has mean 0 and variance 1 whatever the picture, and is nearly normal: k and -k
    have one phase, so the variance is sum over pairs of (2 |Q|)^2 / 2 = sum of |Q|^2.
    """
    pattern = pattern.to(planes)
    agreement = (planes * pattern.conj()).real.flatten(-3).sum(-1)
    return agreement / _norm(planes, pattern)


def correlation(planes: Tensor, pattern: Tensor) -> Tensor:
    """z for every cyclic shift (dy, dx) that the picture may have undergone: (..., n, n), by one inverse FFT."""
    pattern = pattern.to(planes)
    return by_shift(planes, pattern) / _norm(planes, pattern)[..., None, None]


def by_shift(planes: Tensor, pattern: Tensor) -> Tensor:
    """Re <Q, W> for every cyclic shift, not divided by |Q|: (..., n, n). Half of the coefficients tell all, since both are Hermitian."""
    half = planes.shape[-1] // 2 + 1
    product = (planes[..., :half] * pattern[..., :half].conj()).sum(-3)
    return torch.fft.irfft2(product, s=planes.shape[-2:], norm="forward")


def _norm(planes: Tensor, pattern: Tensor) -> Tensor:
    on_mask = (planes.real.square() + planes.imag.square()) * (pattern.abs() > 0)
    return on_mask.flatten(-3).sum(-1).sqrt().clamp_min(1e-12)
