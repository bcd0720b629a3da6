"""Reads the factors and the expression back from a drawn face.

A small convolutional network trained on endless drawings (`python -m backend.training avatars_regressor`). It
scores samples and edits against the truth, and its penultimate layer is the feature space of the avatars.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from backend.data import avatars

FEATURES = 128


class FactorRegressor(nn.Module):
    """Pictures (B, 3, 64, 64) in [-1, 1] -> factors (B, F) in units of `avatars.FACTORS`, logits (B, 6)."""

    def __init__(self):
        super().__init__()
        widths = ((3, 32, 2), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 128, 2))
        layers: list[nn.Module] = []
        for before, after, stride in widths:
            layers += [nn.Conv2d(before, after, 3, stride, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Linear(128 * 4 * 4, FEATURES), nn.SiLU())
        self.head = nn.Linear(FEATURES, len(avatars.FACTORS) + len(avatars.EXPRESSIONS))
        prior = avatars.batch(20_000, torch.Generator().manual_seed(0)).factors
        self.register_buffer("mean", prior.mean(0))
        self.register_buffer("std", prior.std(0))

    def features(self, pictures: Tensor) -> Tensor:
        """The penultimate layer, (B, 128)."""
        return self.trunk(pictures)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        return self.read(self.features(pictures))

    def read(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Factors and logits from features (B, 128)."""
        standard, logits = self.head(features).split([len(self.mean), len(avatars.EXPRESSIONS)], dim=1)
        return standard * self.std + self.mean, logits

    def logits(self, features: Tensor) -> Tensor:
        """Of the six expressions, (B, 6), from features."""
        return self.read(features)[1]

    def loss(self, pictures: Tensor, factors: Tensor, labels: Tensor) -> Tensor:
        """Squared error in standard deviations of the prior, plus cross entropy of the expression."""
        read, logits = self(pictures)
        error = ((read - factors) / self.std).square().mean()
        return error + 0.1 * nn.functional.cross_entropy(logits, labels)


def load_regressor(folder: Path) -> FactorRegressor:
    """The trained regressor of a folder `.../avatars_regressor`, float32, in evaluation mode."""
    from safetensors.torch import load_file

    network = FactorRegressor()
    network.load_state_dict(
        {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}
    )
    return network.eval().requires_grad_(False)
