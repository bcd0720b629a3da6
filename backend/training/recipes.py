"""What each embedded network is and how it is trained: `python -m backend.training NAME` runs a recipe."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from backend.data import avatars
from backend.metrics.denoising import denoising_error
from backend.metrics.factor_regressor import FactorRegressor
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


AVATARS_UNET = {
    "sample_size": 32,
    "in_channels": 12,  # 2 x 2 pixel blocks of 3 colours
    "out_channels": 12,
    "block_out_channels": (32, 64, 128),
    "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
    "norm_num_groups": 8,
    "attention_head_dim": 32,
    "num_class_embeds": len(avatars.EXPRESSIONS) + 1,
}
AVATARS_SCHEDULER = {
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "v_prediction",
    "clip_sample": False,
}
HELD_OUT = 20_000_000  # seeds of the faces that calibrate


def _avatars_denoiser() -> nn.Module:
    from diffusers import UNet2DModel

    from backend.denoiser.unet import UNetDenoiser
    from backend.schedule import from_scheduler_config

    schedule = from_scheduler_config(AVATARS_SCHEDULER)
    return UNetDenoiser(
        UNet2DModel(**AVATARS_UNET), schedule, "v_prediction", classes=len(avatars.EXPRESSIONS), patch=2
    )


def _avatars_loss(
    denoiser: nn.Module, generator: torch.Generator, batch: int = 32, label_dropout: float = 0.15
) -> Tensor:
    faces = avatars.batch(batch, generator)
    dropped = torch.rand(batch, generator=generator) < label_dropout
    device = next(denoiser.parameters()).device
    x_0 = avatars.render(faces.factors).to(device)
    return denoising_loss(x_0, generator, denoiser, label=faces.labels.where(~dropped, -1).to(device))


def _save_avatars(denoiser: nn.Module, folder: Path) -> None:
    from diffusers import DDIMPipeline, DDIMScheduler

    card = {
        "title": "Avatars (drawn faces)",
        "shape": denoiser.shape,
        "t": 0.5,
        "labels": avatars.EXPRESSIONS,
        "patch": denoiser.patch,
        "data": "avatars",
        "licence": "Apache-2.0",
        "usual_error": _usual_error(
            denoiser, avatars.render(avatars.sample(range(HELD_OUT, HELD_OUT + 200)).factors), 0.5
        ),
    }
    DDIMPipeline(denoiser.unet.half(), DDIMScheduler(**AVATARS_SCHEDULER)).save_pretrained(
        folder, safe_serialization=True
    )
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n")


def _avatars_weights(folder: Path) -> dict[str, Tensor]:
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


def _save_regressor(network: nn.Module, folder: Path) -> None:
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: value.half().contiguous() for name, value in network.state_dict().items()},
        folder / "model.safetensors",
    )


def _regressor_weights(folder: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}


RECIPES = {
    "avatars_regressor": Recipe(
        FactorRegressor,
        _regressor_loss,
        Plan(steps=6000, lr=2e-3, bf16=True),
        _save_regressor,
        _regressor_weights,
    ),
    "avatars": Recipe(
        _avatars_denoiser,
        _avatars_loss,
        Plan(steps=10_000, lr=8e-4, bf16=True),
        _save_avatars,
        _avatars_weights,
    ),
}
