"""Averaging (Yang et al., https://arxiv.org/abs/2406.09026): what many pictures of one key have in common is its mark.

    delta = mean of marked pictures - mean of unmarked pictures

subtracted from another marked picture it removes the mark, added to an unmarked one it forges it. Grey box: the attacker has the originals of the
marked pictures, whose content then cancels. Black box: any unmarked pictures, so that delta also holds a difference of two means of contents, which
falls with the number of pictures as 1 / sqrt(n) and costs quality until then. Nobody needs the key, the detector or the model.
"""

from torch import Tensor


def common(marked: Tensor, unmarked: Tensor) -> Tensor:
    """delta (C, H, W), from marked (n, C, H, W) and unmarked (m, C, H, W) pictures in [-1, 1]."""
    return marked.mean(0) - unmarked.mean(0)


def removed(pictures: Tensor, delta: Tensor) -> Tensor:
    """Marked pictures (B, C, H, W) without what is common, clipped to [-1, 1]."""
    return (pictures - delta).clamp(-1, 1)


def forged(pictures: Tensor, delta: Tensor) -> Tensor:
    """Unmarked pictures (B, C, H, W) with what is common, clipped to [-1, 1]."""
    return (pictures + delta).clamp(-1, 1)
