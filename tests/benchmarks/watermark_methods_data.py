"""What `tests.benchmarks.watermark_methods` is given of each model: settings, what unmarked pictures look like, and what marked ones are held against."""

from functools import cache

import torch
from torch import Tensor

from backend.data import digits
from backend.experiments.watermark import EmbedWatermark
from backend.experiments.watermark_verify import calibration_of
from backend.inference.cache import find
from backend.inference.load import load
from backend.inference.pictures import held_out
from backend.request import finish
from backend.watermark import calibration
from backend.watermark.calibration import Nulls
from tests.benchmarks.watermark import PASSPHRASE

SETTINGS = {
    "avatars": EmbedWatermark(model="avatars", passphrase=PASSPHRASE),
    "digits": EmbedWatermark(model="digits", passphrase=PASSPHRASE, inner=1.0, outer=4.0, strength=0.6),
}
FEW = {"digits": 150}  # half of the pictures that no network has seen
REFERENCE, REFERENCES = (
    800_000,
    1000,
)  # where the pictures that marked ones are held against begin, of drawn faces, and how many they are
LABELS = {"avatars": "expression", "digits": "digit"}


@cache
def nulls(name: str) -> Nulls:
    """What ships with the project, or what the digits show that no network but the reader has seen."""
    asked = SETTINGS[name]
    found = find(calibration_of(asked).checked()) if name not in FEW else None
    if found is None:
        pictures, _ = digits.split("classifier")
        found = finish(calibration.calibrate(load(name).denoiser, pictures, asked.scheme()))
    return found


def secret(name: str) -> bytes:
    return SETTINGS[name].secret(load(name)).secret


@cache
def reference(name: str) -> Tensor:
    """Features of held-out pictures that are not marked."""
    model = load(name)
    numbers = range(FEW[name], 2 * FEW[name]) if name in FEW else range(REFERENCE, REFERENCE + REFERENCES)
    with torch.no_grad():
        return torch.cat(
            [model.reader().features(part) for part in held_out(model.card, numbers)[0].split(100)]
        )
