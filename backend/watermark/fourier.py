"""Marks on the Fourier plane: which coefficients, and what a key makes of them.

The plane of an n x n picture is unshifted (torch.fft.fft2) and unitary ("ortho"), so that energy is the same on both sides. Radii count
cycles a picture, from 0 (the mean) to n / sqrt(2) (the corner, where both frequencies are Nyquist's). A mask is symmetric under k -> -k and a
pattern Hermitian, so that the picture is real without throwing half of the mark away, as taking the real part does.
"""

import hashlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor

CENTRES = ("zero", "nyquist")
"""What an annulus lies around: frequency zero, or the corner, as in Shallow Diffuse."""


def radius(n: int, centre: str = "zero") -> Tensor:
    """The distance of each coefficient of an n x n plane to the centre, in cycles a picture: (n, n) float64."""
    frequency = torch.fft.fftfreq(n, 1 / n, dtype=torch.float64).abs()
    if centre == "nyquist":
        frequency = n / 2 - frequency
    return torch.hypot(frequency[:, None], frequency[None])


def annulus(n: int, inner: float, outer: float, centre: str = "zero") -> Tensor:
    """The coefficients with inner < radius <= outer, or a disc with inner < 0: (n, n) bool, symmetric under k -> -k.

    Coefficients that are their own mirror image (where each axis has frequency 0 or Nyquist's, such as the mean) are real and are left out.
    """
    r = radius(n, centre)
    mask = (r > inner) & (r <= outer)
    half = [0] + ([n // 2] if n % 2 == 0 else [])
    for i in half:
        mask[i, half] = False
    return mask


def mirrored(plane: Tensor) -> Tensor:
    """plane(-k) of a plane (..., n, n)."""
    return plane.flip(-2, -1).roll((1, 1), (-2, -1))


def uniform(secret: bytes | Sequence[bytes], purpose: str, count: int) -> Tensor:
    """`count` numbers in [0, 1) that depend on the secret and the purpose alone, on every machine and version: SHAKE-256 in units of
    2^-53. (count,) float64, or (K, count) of K secrets."""
    if not isinstance(secret, bytes):
        return torch.stack([uniform(one, purpose, count) for one in secret])
    data = hashlib.shake_256(secret + b"/" + purpose.encode()).digest(8 * count)
    words = torch.frombuffer(bytearray(data), dtype=torch.int64)
    return (words >> 11 & (2**53 - 1)).double() / 2**53


def phases(secret: bytes | Sequence[bytes], mask: Tensor, purpose: str = "phases") -> Tensor:
    """Random phases, one a pair of coefficients k and -k: (n, n) complex128, or (K, n, n) of K secrets, of modulus 1 on the mask and 0 outside,
    Hermitian. Two keys agree by chance alone."""
    angle = 2 * math.pi * uniform(secret, purpose, mask.numel())
    place = torch.arange(mask.numel()).view(mask.shape)
    angle = angle[..., place[mask]] - angle[..., mirrored(place)[mask]]
    plane = torch.zeros(*angle.shape[:-1], *mask.shape, dtype=torch.complex128)
    plane[..., mask] = torch.polar(torch.ones_like(angle), angle)
    return plane


def rings(
    secret: bytes | Sequence[bytes], mask: Tensor, centre: str = "zero", purpose: str = "rings"
) -> Tensor:
    """One sign for every ring of width 1: (n, n) complex128, or (K, n, n) of K secrets, +-1 on the mask and 0 outside. A ring turns into
    itself, so a rotated picture keeps it; but there are few rings, so that two keys often agree in most."""
    ring = radius(mask.shape[-1], centre).round().long()
    signs = (uniform(secret, purpose, int(ring.max()) + 1) >= 0.5).double() * 2 - 1
    return (signs[..., ring] * mask).to(torch.complex128)


def plane(pictures: Tensor) -> Tensor:
    """The unitary Fourier planes of (..., n, n): complex128."""
    return torch.fft.fft2(pictures.double(), norm="ortho")


def picture(planes: Tensor, like: Tensor) -> Tensor:
    """The real pictures behind Hermitian planes (..., n, n), in the dtype of `like`."""
    return torch.fft.ifft2(planes, norm="ortho").real.to(like.dtype)


def ring_power(planes: Tensor, centre: str = "zero") -> Tensor:
    """The mean |F|^2 over the ring of width 1 that each coefficient lies in: (..., n, n) float64."""
    ring = radius(planes.shape[-1], centre).round().long().flatten().to(planes.device)
    power = planes.abs().square().flatten(-2)
    sums = power.new_zeros(*power.shape[:-1], int(ring.max()) + 1).index_add(-1, ring, power)
    return (sums / ring.bincount())[..., ring].view(planes.shape)
