"""Picture quality, by scikit-image. Pictures are (B, C, H, W) in [-1, 1], so their range is 2."""

import torch
from torch import Tensor

RANGE = 2.0


def psnr(pictures: Tensor, reference: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture to its reference: (B,) dB, infinite where equal."""
    from skimage.metrics import peak_signal_noise_ratio

    pairs = zip(reference.double().numpy(), pictures.double().numpy(), strict=True)
    return torch.tensor(
        [peak_signal_noise_ratio(a, b, data_range=RANGE) if (a != b).any() else torch.inf for a, b in pairs]
    )


def ssim(pictures: Tensor, reference: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004) of each picture to its reference: (B,), at most 1."""
    from skimage.metrics import structural_similarity

    pairs = zip(reference.double().numpy(), pictures.double().numpy(), strict=True)
    return torch.tensor([structural_similarity(a, b, data_range=RANGE, channel_axis=0) for a, b in pairs])
