"""The embedding attack of WAVES (https://arxiv.org/abs/2401.08573): a picture is moved as far as it goes in a network's features, while no value
changes by more than eps.

    max |f(x + d) - f(x)|^2    with |d|_inf <= eps

by projected gradient ascent on signs (Madry et al., https://arxiv.org/abs/1706.06083) from a random start. WAVES takes features of ResNet-18, CLIP and
autoencoders; here they are those of the network that reads labels off a model's pictures. It knows nothing of the mark. WAVES makes 200 steps; on faces
15 already reach 99 % of the distance that 100 do.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Generator, Tensor

from backend.request import Progress

STEPS = 15
LENGTH = 2.5 / STEPS  # of a step, in eps: the whole box is within reach


class Reader(Protocol):
    """A network with a feature space."""

    def features(self, pictures: Tensor) -> Tensor:
        """(B, C, H, W) in [-1, 1] -> (B, F), differentiable."""
        ...


def pushed(reader: Reader, pictures: Tensor, levels: float, seeds: Sequence[int]) -> Iterator[Progress]:
    """Returns pictures (B, C, H, W) in [-1, 1] moved away in the reader's features; 15 gradients each.

    levels: eps in 1/255 of the range from black to white. seeds: of the random starts.
    """
    eps = 2 * levels / 255
    with torch.no_grad():
        features = reader.features(pictures)
    moved = _within(pictures + eps * _start(seeds, pictures), pictures, eps)
    for done in range(STEPS):
        moved = _within(moved + LENGTH * eps * _uphill(reader, moved, features).sign(), pictures, eps)
        yield Progress(done + 1, STEPS, "gradients of the reader")
    return moved


@torch.enable_grad()
def _uphill(reader: Reader, pictures: Tensor, features: Tensor) -> Tensor:
    """The gradient of the squared distance of each picture's features to given ones."""
    pictures = pictures.detach().requires_grad_()
    distance = (reader.features(pictures) - features).square().sum()
    return torch.autograd.grad(distance, pictures)[0]


def _within(moved: Tensor, pictures: Tensor, eps: float) -> Tensor:
    """The nearest pictures in [-1, 1] and in the box."""
    return torch.maximum(torch.minimum(moved, pictures + eps), pictures - eps).clamp(-1, 1)


def _start(seeds: Sequence[int], pictures: Tensor) -> Tensor:
    """Uniform in [-1, 1], from one seed a picture: at the picture itself the distance is flat."""
    draws = [torch.rand(pictures.shape[1:], generator=Generator().manual_seed(seed)) for seed in seeds]
    return 2 * torch.stack(draws).to(pictures) - 1
