"""What each embedded network is and how it is trained: `python -m backend.training NAME` runs a recipe."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backend.data import avatars, digits, patches, small_faces
from backend.denoiser.noise_classifier import avatars_classifier, digits_classifier
from backend.metrics.denoising import denoising_error
from backend.metrics.digits_reader import DigitsReader
from backend.metrics.factor_regressor import FactorRegressor
from backend.training.classifiers import avatars_noise_loss, digits_noise_loss, digits_reader_loss
from backend.training.loop import Loss, Plan, denoising_loss


@dataclass(frozen=True)
class Recipe:
    """A network, its loss and its plan. `save(network, folder)` writes weights and what describes them;
    `weights(folder)` reads them again, as the network's state dict."""

    build: Callable[[], nn.Module]
    loss: Loss
    plan: Plan
    save: Callable[[nn.Module, Path], None]
    weights: Callable[[Path], dict[str, Tensor]]


SCHEDULER = {
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
    "clip_sample": False,
}
CALIBRATION = 20_000_000  # seeds of the drawn faces and patches that calibrate
LABEL_DROPOUT = 0.15

Batch = Callable[[int, torch.Generator], tuple[Tensor, Tensor | None]]


@dataclass(frozen=True)
class Embedded:
    """An embedded denoiser: what is drawn from its data and what its U-Net looks like.

    batch(n, generator) -> pictures (n, C, H, W) and labels (n,), None where there are none; held_out() -> pictures that it
    is not trained on. t: the noise level recommended for editing. unet: what differs from `UNET`.
    """

    title: str
    data: str
    batch: Batch
    held_out: Callable[[], Tensor]
    size: int
    channels: int
    unet: Mapping[str, Any]
    t: float = 0.5
    labels: tuple[str, ...] = ()
    patch: int = 1
    batch_size: int = 32

    def build(self) -> nn.Module:
        """The network, untrained."""
        from diffusers import UNet2DModel

        from backend.denoiser.unet import UNetDenoiser
        from backend.schedule import from_scheduler_config

        channels = self.channels * self.patch**2
        config = UNET | {"in_channels": channels, "out_channels": channels} | self.unet
        if self.labels:
            config["num_class_embeds"] = len(self.labels) + 1
        unet = UNet2DModel(sample_size=self.size // self.patch, **config)
        schedule = from_scheduler_config(SCHEDULER)
        return UNetDenoiser(unet, schedule, "v_prediction", classes=len(self.labels), patch=self.patch)

    def loss(self, denoiser: nn.Module, generator: torch.Generator) -> Tensor:
        """The denoising loss of a fresh batch, labels dropped now and then."""
        x_0, labels = self.batch(self.batch_size, generator)
        device = next(denoiser.parameters()).device
        if labels is None:
            return denoising_loss(x_0.to(device), generator, denoiser)
        dropped = torch.rand(len(x_0), generator=generator) < LABEL_DROPOUT
        labels = labels.where(~dropped, -1).to(device)
        return denoising_loss(x_0.to(device), generator, denoiser, label=labels)

    def save(self, denoiser: nn.Module, folder: Path) -> None:
        """Weights in the Hub's layout, and card.json."""
        from diffusers import DDIMPipeline, DDIMScheduler

        card = {
            "title": self.title,
            "shape": denoiser.shape,
            "t": self.t,
            "labels": self.labels,
            "patch": self.patch,
            "data": self.data,
            "licence": "Apache-2.0",
            "usual_error": _usual_error(denoiser, self.held_out(), self.t),
        }
        DDIMPipeline(denoiser.unet.half(), DDIMScheduler(**SCHEDULER)).save_pretrained(
            folder, safe_serialization=True
        )
        (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n")

    def recipe(self, plan: Plan) -> Recipe:
        """With this plan."""
        return Recipe(self.build, self.loss, plan, self.save, _unet_weights)


UNET = {
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "norm_num_groups": 8,
    "attention_head_dim": 32,
}
THREE_LEVELS = {
    "block_out_channels": (32, 64, 128),
    "down_block_types": ("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
}


def _drawn_faces(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    faces = avatars.batch(n, generator)
    return avatars.render(faces.factors), faces.labels


def _digits(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    pictures, labels = digits.split("train")
    chosen = torch.randint(len(pictures), (n,), generator=generator)
    return pictures[chosen], labels[chosen]


AVATARS = Embedded(
    title="Avatars (drawn faces)",
    data="avatars",
    batch=_drawn_faces,
    held_out=lambda: avatars.render(avatars.sample(range(CALIBRATION, CALIBRATION + 200)).factors),
    size=64,
    channels=3,
    unet=THREE_LEVELS,
    labels=avatars.EXPRESSIONS,
    patch=2,
)
DIGITS = Embedded(
    title="Digits (handwritten, 8 x 8)",
    data="digits",
    batch=_digits,
    held_out=lambda: digits.split("test")[0],
    size=8,
    channels=1,
    unet={},
    labels=tuple("0123456789"),
    batch_size=64,
)
PATCHES = Embedded(
    title="Patches of photographs (16 x 16)",
    data="patches",
    batch=lambda n, generator: (patches.batch(n, generator), None),
    held_out=lambda: patches.sample(range(CALIBRATION, CALIBRATION + 200)),
    size=16,
    channels=1,
    unet={},
)
SMALL_FACES = Embedded(
    title="Small faces (68 photographs, 24 x 24)",
    data="small_faces",
    batch=lambda n, generator: (small_faces.batch(n, generator), None),
    held_out=lambda: small_faces.split("test"),
    size=24,
    channels=1,
    unet=THREE_LEVELS | {"block_out_channels": (32, 64, 64)},
)


def _unet_weights(folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    saved = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    return {f"unet.{name}": value.float() for name, value in saved.items()}


def _usual_error(denoiser: nn.Module, held_out: Tensor, t: float) -> float:
    """What 99 % of held-out pictures stay below in `denoising_error`."""
    device = next(denoiser.parameters()).device
    return (
        torch.tensor([denoising_error(denoiser, x_0.to(device), t) for x_0 in held_out]).quantile(0.99).item()
    )


def _regressor_loss(network: nn.Module, generator: torch.Generator, batch: int = 64) -> Tensor:
    faces = avatars.batch(batch, generator)
    pictures = avatars.render(faces.factors)
    grain = 0.08 * torch.rand(batch, 1, 1, 1, generator=generator)  # it must also read what a network paints
    pictures = pictures + grain * torch.randn(pictures.shape, generator=generator)
    device = next(network.parameters()).device
    return network.loss(pictures.to(device), faces.factors.to(device), faces.labels.to(device))


def _save_single(network: nn.Module, folder: Path) -> None:
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: value.half().contiguous() for name, value in network.state_dict().items()},
        folder / "model.safetensors",
    )


def _single_weights(folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}


RECIPES = {
    "avatars_regressor": Recipe(
        FactorRegressor,
        _regressor_loss,
        Plan(steps=6000, lr=2e-3, bf16=True),
        _save_single,
        _single_weights,
    ),
    "avatars": AVATARS.recipe(Plan(steps=10_000, lr=8e-4, bf16=True)),
    "digits": DIGITS.recipe(Plan(steps=6_000, lr=8e-4)),
    "patches": PATCHES.recipe(Plan(steps=8_000, lr=8e-4)),
    "small_faces": SMALL_FACES.recipe(Plan(steps=3_000, lr=8e-4)),
    "digits_reader": Recipe(
        DigitsReader,
        digits_reader_loss,
        Plan(steps=3000, lr=2e-3, weight_decay=0.05),
        _save_single,
        _single_weights,
    ),
    "digits_noise_classifier": Recipe(
        digits_classifier,
        digits_noise_loss,
        Plan(steps=2500, lr=2e-3, weight_decay=0.05),
        _save_single,
        _single_weights,
    ),
    "avatars_noise_classifier": Recipe(
        avatars_classifier,
        avatars_noise_loss,
        Plan(steps=3500, lr=2e-3, bf16=True),
        _save_single,
        _single_weights,
    ),
}
