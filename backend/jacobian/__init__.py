"""The derivative of a denoiser at one point: its products and its leading singular vectors."""
