"""An edit at the model's size, put back into the picture that was given, at its own."""

import torch.nn.functional as F
from torch import Tensor


def paste(whole: Tensor, change: Tensor) -> Tensor:
    """The picture with a change of its centre square added; what the model cannot see, fine grain and margins, stays.

    Args:
        whole: (3, H, W) in [-1, 1].
        change: (C, s, s), edited minus unedited, C 1 or 3; enlarged bicubically, or averaged down, to min(H, W).

    Returns (3, H, W), clipped to [-1, 1].
    """
    height, width = whole.shape[1:]
    side = min(height, width)
    if side >= change.shape[-1]:
        grown = F.interpolate(change[None], (side, side), mode="bicubic", align_corners=False)[0]
    else:
        grown = F.interpolate(change[None], (side, side), mode="area")[0]
    top, left = (height - side) // 2, (width - side) // 2
    pasted = whole.clone()
    pasted[:, top : top + side, left : left + side] += grown
    return pasted.clamp(-1, 1)
