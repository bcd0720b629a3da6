"""Card -> Model, once a process."""

import itertools
import json
import os
import threading
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from backend.data import digits
from backend.denoiser.autoencoder import Autoencoder
from backend.denoiser.base import Denoiser
from backend.denoiser.gaussian_mixture import GaussianMixture
from backend.denoiser.noise_classifier import (
    NoiseClassifier,
    avatars_classifier,
    digits_classifier,
    load_classifier,
)
from backend.denoiser.unet import UNetDenoiser
from backend.inference.catalogue import ASSETS, Card, card
from backend.inference.device import make_differentiable, pick_device, pick_dtype
from backend.metrics.digits_reader import DigitsReader, load_digits_reader
from backend.metrics.factor_regressor import FactorRegressor, load_regressor
from backend.request import BadInput
from backend.schedule import CosineSchedule, from_scheduler_config


@dataclass(frozen=True)
class Model:
    """What a request runs on. The denoiser and the autoencoder are shared by all threads and never change."""

    card: Card
    denoiser: Denoiser
    autoencoder: Autoencoder

    @property
    def device(self) -> torch.device:
        """Where the denoiser is."""
        return next(itertools.chain(self.denoiser.parameters(), self.denoiser.buffers())).device

    def condition(self, label: str | None = None) -> dict[str, Tensor]:
        """The Condition of a label's name, {} for "" or None. Raises BadInput for an unknown name."""
        if not label:
            return {}
        if label not in self.card.labels:
            known = f"its labels are {', '.join(self.card.labels)}" if self.card.labels else "it has none"
            raise BadInput(f"This model has no such label; {known}.")
        return {"label": torch.tensor([self.card.labels.index(label)])}

    def reader(self) -> FactorRegressor | DigitsReader | None:
        """What reads the labels off this model's pictures, on the CPU; None where nothing does. It guides nothing."""
        return _digits_reader() if self.card.data == "digits" and self.card.labels else self.factor_reader()

    def factor_reader(self) -> FactorRegressor | None:
        """What reads the known factors off this model's pictures, on the CPU; None where none are known."""
        return _avatars_reader() if self.card.data == "avatars" else None

    def noise_classifier(self) -> NoiseClassifier | None:
        """log p(c | x_t) of this model's labels at every noise level, where the denoiser is; None where there is none."""
        if self.card.data not in NOISE_CLASSIFIERS or not self.card.labels:
            return None
        return _noise_classifier(self.card.data, self.device)


NOISE_CLASSIFIERS = {"avatars": avatars_classifier, "digits": digits_classifier}


@cache
def _avatars_reader() -> FactorRegressor:
    return load_regressor(ASSETS / "weights" / "avatars_regressor")


@cache
def _digits_reader() -> DigitsReader:
    return load_digits_reader(ASSETS / "weights" / "digits_reader")


@cache
def _noise_classifier(data: str, device: torch.device) -> NoiseClassifier:
    folder = ASSETS / "weights" / f"{data}_noise_classifier"
    return make_differentiable(load_classifier(NOISE_CLASSIFIERS[data](), folder).to(device))


_models: dict[str, Model] = {}
_lock = threading.Lock()


def _fresh_lock() -> None:
    """A process forked while another thread loads would wait for it forever."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_lock)


def load(name: str) -> Model:
    """The model of that name, built at the first call. Thread-safe. Raises BadInput for an unknown name."""
    found = card(name)
    with _lock:
        if name not in _models:
            _models[name] = build(found)
        return _models[name]


def is_loaded(name: str) -> bool:
    """Whether `load` would answer at once."""
    return name in _models


def build(found: Card) -> Model:
    """A new Model from a card, on this machine's device and in its dtype, frozen, in evaluation mode."""
    denoiser = _unet(found) if found.kind == "unet" else _gaussian(found)
    denoiser = denoiser.to(pick_device(), pick_dtype()).eval().requires_grad_(False)
    return Model(found, denoiser, Autoencoder())


def _unet(found: Card) -> Denoiser:
    from diffusers import UNet2DModel  # takes seconds to import

    unet = UNet2DModel.from_pretrained(
        found.path / "unet",
        local_files_only=True,
        use_safetensors=True,
        torch_dtype=torch.float32,
        low_cpu_mem_usage=False,  # it would ask for accelerate, which a network this small has no need of
    )
    config = json.loads((found.path / "scheduler" / "scheduler_config.json").read_bytes())
    denoiser = UNetDenoiser(
        make_differentiable(unet),
        from_scheduler_config(config),
        config.get("prediction_type", "epsilon"),
        classes=len(found.labels),
        patch=found.patch,
    )
    if denoiser.shape != found.shape:
        raise ValueError(f"The network works on {denoiser.shape}, the card says {found.shape}.")
    return denoiser


def _gaussian(found: Card) -> Denoiser:
    """The Gaussian with the mean and the covariance of the digits' training split."""
    pictures = digits.split("train")[0].flatten(1).double()
    variances, axes = torch.linalg.eigh(pictures.T.cov())
    return GaussianMixture(
        CosineSchedule(),
        found.shape,
        weights=torch.ones(1),
        means=pictures.mean(0)[None],
        factors=axes[None],
        eigenvalues=variances.clamp_min(0)[None],
        residual_variance=torch.zeros(1),
    )
