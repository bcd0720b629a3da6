"""A small random U-Net as a denoiser, so that tests of rules need no trained one."""

import torch
from diffusers import UNet2DModel

from backend.denoiser.unet import UNetDenoiser
from backend.inference.device import make_differentiable
from backend.schedule import CosineSchedule

CONDITION = {"label": torch.tensor(1)}


def network(seed: int = 0) -> UNetDenoiser:
    """Of 1 x 8 x 8 pictures of three classes, with attention in the middle and beside it; its labels matter."""
    torch.manual_seed(seed)
    unet = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=8,
        norm_num_groups=4,
        num_class_embeds=4,
    )
    torch.nn.init.normal_(unet.class_embedding.weight, std=8.0)
    denoiser = UNetDenoiser(make_differentiable(unet), CosineSchedule(), "v_prediction", classes=3)
    return denoiser.eval().requires_grad_(False)
