"""Reads the digit off an 8 x 8 picture.

A small convolutional network trained on the split "classifier", 300 pictures that neither the digits' network nor the classifier
that guides has seen (`python -m backend.training digits_reader`). It judges samples and plays no part in guidance. Its
penultimate layer is the feature space of the digits.
"""

from pathlib import Path

from torch import Tensor, nn

FEATURES = 32


class DigitsReader(nn.Module):
    """Pictures (B, 1, 8, 8) in [-1, 1] -> logits (B, 10)."""

    def __init__(self):
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, stride in ((1, 32, 1), (32, 64, 2), (64, 64, 1)):
            layers += [nn.Conv2d(before, after, 3, stride, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 4 * 4, FEATURES), nn.SiLU())
        self.head = nn.Linear(FEATURES, 10)

    def features(self, pictures: Tensor) -> Tensor:
        """The penultimate layer, (B, 32)."""
        return self.trunk(pictures)

    def logits(self, features: Tensor) -> Tensor:
        """Of the ten digits, (B, 10), from features."""
        return self.head(features)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.logits(self.features(pictures))


def load_digits_reader(folder: Path) -> DigitsReader:
    """The trained reader of a folder `.../digits_reader`, float32, in evaluation mode."""
    from safetensors.torch import load_file

    network = DigitsReader()
    saved = load_file(folder / "model.safetensors")
    network.load_state_dict({name: value.float() for name, value in saved.items()})
    return network.eval().requires_grad_(False)
