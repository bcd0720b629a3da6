"""The losses of what reads labels: of digits, to judge samples; of noisy digits and drawn faces, to guide them."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backend.data import avatars, digits
from backend.denoiser.base import like
from backend.denoiser.noise_classifier import random_levels

TURN, GROW, SHIFT = 12.0, 0.12, 1.0  # degrees, share of the size, pixels: how far digits are moved, at most


def digits_reader_loss(network: nn.Module, generator: torch.Generator, batch: int = 128) -> Tensor:
    """Cross entropy on moved and grainy digits of the split "classifier"."""
    pictures, labels = _digits("classifier", batch, generator)
    pictures = moved(pictures, generator, 1.0)
    grain = 0.3 * torch.rand(batch, 1, 1, 1, generator=generator)  # it must also read what a network paints
    pictures = pictures + grain * torch.randn(pictures.shape, generator=generator)
    device = next(network.parameters()).device
    return F.cross_entropy(network(pictures.to(device)), labels.to(device), label_smoothing=0.02)


def digits_noise_loss(network: nn.Module, generator: torch.Generator, batch: int = 256) -> Tensor:
    """Cross entropy on noisy digits of the split "train", moved half as far as for the reader."""
    pictures, labels = _digits("train", batch, generator)
    return noisy_cross_entropy(network, moved(pictures, generator, 0.5), labels, generator)


def avatars_noise_loss(
    network: nn.Module, generator: torch.Generator, faces: int = 48, noises: int = 2
) -> Tensor:
    """Cross entropy on newly drawn faces, each with noise of several levels: noise is cheaper than a drawing."""
    drawn = avatars.batch(faces, generator)
    pictures = avatars.render(drawn.factors).repeat(noises, 1, 1, 1)
    return noisy_cross_entropy(network, pictures, drawn.labels.repeat(noises), generator)


def noisy_cross_entropy(
    network: nn.Module, x_0: Tensor, labels: Tensor, generator: torch.Generator
) -> Tensor:
    """-log p(c | x_t), mean over pictures (n, *shape) of labels (n,) with fresh noise; levels even on a log scale.

    Its minimum over all networks is the posterior of the classes at every noise level.
    """
    level = random_levels(len(x_0), generator)
    noise = torch.randn(x_0.shape, generator=generator)
    z = (x_0 + like(level, x_0) * noise) / like((1 + level.square()).sqrt(), x_0)
    device = next(network.parameters()).device
    return F.cross_entropy(network(z.to(device), level.to(device)).float(), labels.to(device))


def moved(pictures: Tensor, generator: torch.Generator, amount: float) -> Tensor:
    """Pictures (n, 1, 8, 8) turned, scaled, and shifted at random, with the digits' -1 around; `amount` 1 is the most."""
    n, side = len(pictures), pictures.shape[-1]
    turn, x, y, wide, high = amount * (2 * torch.rand(5, n, generator=generator) - 1)
    turn = turn * math.radians(TURN)
    rows = torch.stack(
        [
            torch.stack([turn.cos() * (1 + GROW * wide), -turn.sin(), x * SHIFT * 2 / side], 1),
            torch.stack([turn.sin(), turn.cos() * (1 + GROW * high), y * SHIFT * 2 / side], 1),
        ],
        1,
    )
    grid = F.affine_grid(rows, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures + 1, grid, align_corners=False) - 1


def _digits(split: str, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    pictures, labels = digits.split(split)
    chosen = torch.randint(len(pictures), (n,), generator=generator)
    return pictures[chosen], labels[chosen]
