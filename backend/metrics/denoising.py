"""How badly a model denoises a picture: large for pictures that are not of its kind."""

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser
from backend.sampling.noise import noise


@torch.no_grad()
def denoising_error(denoiser: Denoiser, x_0: Tensor, t: float, probes: int = 8) -> float:
    """Mean squared error of D(alpha x_0 + sigma eps, t) against x_0 (*shape), over `probes` fixed noises."""
    time = torch.tensor(t, dtype=torch.float64)
    alpha, sigma = (a.item() for a in denoiser.schedule(time))
    x_t = alpha * x_0 + sigma * noise(range(probes), denoiser.shape).to(x_0)
    return float((denoiser(x_t, time) - x_0).square().mean())
