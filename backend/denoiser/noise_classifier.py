"""Which class a noisy picture is of, log p(c | x_t), at every noise level: what classifier guidance differentiates.

x_t = alpha x_0 + sigma eps is read under any schedule: the network sees z = x_t / sqrt(alpha^2 + sigma^2), of unit size, and the
noise level l = sigma / alpha (Dhariwal and Nichol 2021, https://arxiv.org/abs/2105.05233, section 4, with the step in its place).

Where noise outweighs the picture, log p(c | x_t) = mu_c . x_t alpha / sigma^2 + const falls as 1 / l. The logits are made to:

    logits = f(z, l) / sqrt(1 + (l / 4)^2)

so that (sigma^2 / alpha) grad log p(c | x_t) keeps the size of a picture at any noise, however much the network f is off there.
"""

import math
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backend.denoiser.base import like

CLEANEST, NOISIEST = 0.02, 50.0  # noise levels that it is trained on; beyond, f is that of the nearer end
FALL = 4.0  # the noise level from which logits fall
EMBEDDED = 64  # numbers that the noise level becomes


class NoiseClassifier(nn.Module):
    """Logits of K classes.

    Args:
        shape: of a picture, (C, H, W).
        classes: K.
        patch: side of the squares that become one place of the first layer.
        widths: channels, of sides H / patch, H / patch / 2, ...
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, patch: int, widths: tuple[int, ...]):
        super().__init__()
        channels, height, width = shape
        self.shape = shape
        self.stem = nn.Conv2d(channels, widths[0], patch, patch)
        blocks: list[nn.Module] = []
        for i, one in enumerate(widths):
            if i:
                blocks.append(_Block(widths[i - 1], one, 2))
            blocks += [_Block(one, one, 1), _Block(one, one, 1)]
        self.blocks = nn.ModuleList(blocks)
        self.norm = nn.GroupNorm(8, widths[-1])
        shrunk = patch * 2 ** (len(widths) - 1)
        self.head = nn.Linear(widths[-1] * (height // shrunk) * (width // shrunk), classes)
        self.register_buffer("frequencies", torch.logspace(-1, 1, EMBEDDED // 2))
        self.embed = nn.Sequential(nn.Linear(EMBEDDED, EMBEDDED), nn.SiLU())

    def forward(self, z: Tensor, level: Tensor) -> Tensor:
        """Logits (B, K) float32 of z (B, *shape), x_t over sqrt(alpha^2 + sigma^2), at noise levels (B,), 0 to inf."""
        level = level.to(z)
        angle = level.clamp(CLEANEST, NOISIEST).log()[:, None] * self.frequencies.to(z)
        embedding = self.embed(torch.cat([angle.sin(), angle.cos()], 1))
        h = self.stem(z)
        for block in self.blocks:
            h = block(h, embedding)
        logits = self.head(F.silu(self.norm(h)).flatten(1))
        return logits / (1 + (level / FALL).square()).sqrt()[:, None]

    def logits(self, x_t: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """Logits (*batch, K) of x_t (*batch, *shape) = alpha x_0 + sigma eps; alpha > 0 and sigma are () or (*batch)."""
        batch = x_t.shape[:-3]
        size = torch.hypot(alpha, sigma)
        z = (x_t / like(size, x_t)).reshape(-1, *self.shape)
        level = (sigma / alpha).to(z).expand(batch).reshape(-1)
        return self(z, level).unflatten(0, batch) if batch else self(z, level)[0]


class _Block(nn.Module):
    """A convolution whose input the noise level scales and shifts; beside it, where the shape allows, the input as it is."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.norm = nn.GroupNorm(8, before)
        self.film = nn.Linear(EMBEDDED, 2 * before)
        self.conv = nn.Conv2d(before, after, 3, stride, padding=1)
        self.residual = stride == 1

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.film(embedding)[..., None, None].chunk(2, 1)
        found = self.conv(F.silu(self.norm(h) * (1 + scale) + shift))
        return h + found if self.residual else found


def digits_classifier() -> NoiseClassifier:
    """Of the ten digits, untrained."""
    return NoiseClassifier((1, 8, 8), 10, patch=1, widths=(32, 64))


def avatars_classifier() -> NoiseClassifier:
    """Of the six expressions, untrained."""
    return NoiseClassifier((3, 64, 64), 6, patch=4, widths=(64, 96, 96))


def load_classifier(network: NoiseClassifier, folder: Path) -> NoiseClassifier:
    """With the trained weights of a folder, float32, in evaluation mode."""
    from safetensors.torch import load_file

    saved = load_file(folder / "model.safetensors")
    network.load_state_dict({name: value.float() for name, value in saved.items()})
    return network.eval().requires_grad_(False)


def random_levels(n: int, generator: torch.Generator) -> Tensor:
    """Noise levels (n,) to train on: one of each of n equal parts of the log scale, in random order."""
    place = (torch.randperm(n, generator=generator) + torch.rand(n, generator=generator)) / n
    return CLEANEST * (place * math.log(NOISIEST / CLEANEST)).exp()
