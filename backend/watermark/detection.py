"""Looking for a mark: the evidence of every guess, where it lies, and what it is worth.

The evidence is the matched filter's z (backend.watermark.shallow_diffuse) on what the model does not predict of the picture. Three tests say what z is
worth, and they do not assume the same:

    analytic    z is normal with variance 1 over keys; Bonferroni over what was tried
    keys        the same picture under other keys of the same kind, (1 + #{others >= z}) / (n + 1): valid for any picture, one evaluation in all
    pictures    unmarked pictures under the same key, (1 + #{others >= z}) / (n + 1): conformal, valid where the picture is like them
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser
from backend.request import Progress
from backend.watermark import fourier
from backend.watermark.key import Key, random_keys
from backend.watermark.restoration import Guess, undone
from backend.watermark.scheme import Scheme
from backend.watermark.shallow_diffuse import by_shift, carriers, correlation, pattern, unpredicted, z_score

BATCH = 32  # pictures in one evaluation
KEYS = 250  # whose patterns are held at once: 16 MB a carrier of 64 x 64 pixels


def look(
    denoiser: Denoiser, pictures: Tensor, scheme: Scheme, guesses: Sequence[Guess]
) -> Iterator[Progress]:
    """Returns the Fourier planes of what the model does not predict of pictures (B, C, n, n), under every guess: (B, U, G, n, n)
    complex128. An evaluation a guess and picture."""
    batches = pictures.split(BATCH)
    found = []
    for guess in guesses:
        for batch in batches:
            rest = unpredicted(denoiser, undone(batch, guess), scheme.t)
            found.append(fourier.plane(carriers(rest, scheme.channels).cpu()))
            yield Progress(len(found), len(guesses) * len(batches), "network evaluations")
    planes = torch.cat(found)  # guess by guess
    return planes.unflatten(0, (len(guesses), len(pictures))).transpose(0, 1)


def ring_levels(planes: Tensor, scheme: Scheme) -> Tensor:
    """The root mean square over pictures on each coefficient's ring, of planes (B, U, G, n, n): (U, G, n, n). What unmarked pictures have
    there is what a mark has to stand out from."""
    return fourier.ring_power(planes, scheme.centre).mean(0).sqrt()


def evidence(planes: Tensor, pattern: Tensor, *, shifts: bool) -> Tensor:
    """The z of whitened planes (..., U, G, n, n) under each guess (..., U); with `shifts` the largest over all cyclic shifts."""
    return correlation(planes, pattern).flatten(-2).amax(-1) if shifts else z_score(planes, pattern)


def tried(guesses: int, size: int, *, shifts: bool) -> int:
    """In how many ways a mark was looked for."""
    return guesses * size**2 if shifts else guesses


def analytic(z: float, tries: int) -> float:
    """The chance that a random key reaches z in one of so many tries, at most: Bonferroni's bound, in [0, 1]."""
    return min(1.0, tries * 0.5 * math.erfc(z / math.sqrt(2)))


def under_keys(planes: Tensor, scheme: Scheme, keys: Sequence[Key]) -> Tensor:
    """z of one picture's whitened planes (U, G, n, n) under each key and guess: (K, U) float64. What `evidence` says of each, all in one product."""
    heard, mask = _heard(planes, scheme)
    found = [(some[..., mask].flatten(1).conj() @ heard.T).real for some in _patterns(planes, scheme, keys)]
    return torch.cat(found) / heard.norm(dim=1).clamp_min(1e-12)


def under_other_keys(planes: Tensor, scheme: Scheme, count: int, *, shifts: bool, seed: int = 0) -> Tensor:
    """The best z of one picture's whitened planes (U, G, n, n) under each of `count` other keys: (count,)."""
    keys = random_keys(count, seed)
    if not shifts:
        return under_keys(planes, scheme, keys).amax(1)
    best = [
        by_shift(planes, one).flatten(1).amax(1) for some in _patterns(planes, scheme, keys) for one in some
    ]
    return (torch.stack(best) / _heard(planes, scheme)[0].norm(dim=1).clamp_min(1e-12)).amax(1)


def _heard(planes: Tensor, scheme: Scheme) -> tuple[Tensor, Tensor]:
    """What planes (U, G, n, n) hold on the mask, (U, G M), and the mask (n, n)."""
    mask = fourier.annulus(planes.shape[-1], scheme.inner, scheme.outer, scheme.centre)
    return planes[..., mask].flatten(1), mask


def _patterns(planes: Tensor, scheme: Scheme, keys: Sequence[Key]) -> Iterator[Tensor]:
    """The patterns of keys as planes take them, some at a time: (at most KEYS, G, n, n) each."""
    for first in range(0, len(keys), KEYS):
        secrets = [key.secret for key in keys[first : first + KEYS]]
        yield pattern(secrets, scheme, planes.shape[-1], planes.shape[-3])


def exceeded(z: float, others: Tensor) -> float:
    """(1 + #{others >= z}) / (n + 1), at most 1 and never 0."""
    return (1 + int((others >= z).sum())) / (len(others) + 1)


@dataclass(frozen=True)
class Parts:
    """Where the evidence lies: each part adds up to z.

    plane (n, n): by coefficient, frequency 0 in the middle. ring (R,): by ring of width 1 about the scheme's centre. channel (G,): by carrier.
    space (n, n): by pixel, what is found there on the mask times the mark that is looked for, not smoothed.
    """

    plane: Tensor
    ring: Tensor
    channel: Tensor
    space: Tensor


def parts(planes: Tensor, pattern: Tensor, scheme: Scheme) -> Parts:
    """The parts of z of one picture's whitened planes (G, n, n). By Parseval, sum over k of Re Q conj(W) = sum over pixels of q w."""
    mask = pattern.abs() > 0
    norm = (planes.abs().square() * mask).sum().sqrt().clamp_min(1e-12)
    by = (planes * pattern.conj()).real / norm
    total = by.sum(0)
    ring = fourier.radius(planes.shape[-1], scheme.centre).round().long().flatten()
    rings = torch.zeros(int(ring.max()) + 1, dtype=total.dtype).index_add(0, ring, total.flatten())
    heard = torch.fft.ifft2(planes * mask, norm="ortho").real
    sought = torch.fft.ifft2(pattern, norm="ortho").real
    return Parts(torch.fft.fftshift(total), rings, by.flatten(1).sum(1), (heard * sought).sum(0) / norm)
