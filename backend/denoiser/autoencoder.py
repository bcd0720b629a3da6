"""Pixels <-> x_0, the space in which a denoiser works. Models of pixels have the identity."""

from torch import Tensor, nn


class Autoencoder(nn.Module):
    """The identity, and the base of learned ones. Both ways are differentiable; pixels are in [-1, 1]."""

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels (*batch, C, H, W) -> x_0 (*batch, *shape)."""
        return pixels

    def decode(self, x_0: Tensor) -> Tensor:
        """x_0 (*batch, *shape) -> pixels (*batch, C, H, W)."""
        return x_0
