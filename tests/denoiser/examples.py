"""Small denoisers for the tests, all of them random but fixed."""

import torch

from backend.denoiser.gaussian_mixture import GaussianMixture
from backend.denoiser.unet import Prediction, UNetDenoiser
from backend.inference.device import make_differentiable
from backend.schedule import CosineSchedule, Schedule


def mixture(
    schedule: Schedule | None = None,
    shape: tuple[int, ...] = (6,),
    K: int = 3,
    r: int = 2,
    residual: float = 0.1,
) -> GaussianMixture:
    """K Gaussians with r large variances each, in float64."""
    d = torch.Size(shape).numel()
    generator = torch.Generator().manual_seed(0)
    factors = torch.linalg.qr(torch.randn(K, d, r, generator=generator, dtype=torch.float64))[0]
    return GaussianMixture(
        schedule or CosineSchedule(),
        shape,
        weights=torch.linspace(1, 2, K, dtype=torch.float64).softmax(0),
        means=torch.randn(K, d, generator=generator, dtype=torch.float64),
        factors=factors,
        eigenvalues=torch.rand(K, r, generator=generator, dtype=torch.float64) + 0.5,
        residual_variance=residual * torch.linspace(1, 2, K, dtype=torch.float64),
    )


def unet(prediction: Prediction = "epsilon", classes: int = 3, patch: int = 2, seed: int = 0) -> UNetDenoiser:
    """A U-Net with attention for (3, 8 patch, 8 patch) pictures; .double() makes all of it float64."""
    from diffusers import UNet2DModel

    torch.manual_seed(seed)
    network = UNet2DModel(
        sample_size=8,
        in_channels=3 * patch**2,
        out_channels=3 * patch**2,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        num_class_embeds=classes + 1 if classes else None,
    )
    for module in network.modules():
        if hasattr(module, "upcast_softmax"):
            module.upcast_softmax = False  # "up" is to float32, which would spoil tests in float64
    return UNetDenoiser(make_differentiable(network).eval(), CosineSchedule(), prediction, classes, patch)
