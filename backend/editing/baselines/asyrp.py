"""Asyrp: a shift of the U-Net's bottleneck, learned so that faces read as having a wanted expression.

Kwon, Jeong and Uh, "Diffusion Models already have a Semantic Latent Space", ICLR 2023,
https://arxiv.org/abs/2210.10960, Sec. 3. With D_shifted the posterior mean when the shift is added to the
middle block's output (their P_t),

    loss = cross_entropy(classifier(D_shifted(x_t, t)), wanted) + KEEP mean |D_shifted(x_t, t) - D(x_t, t)|.

A classifier of expressions takes the place of CLIP's direction from one text to another. There is one shift for all
pictures and times, which the paper gets by averaging its own over both (its "global"); pictures are noised at random,
where the paper inverts them.

The paper's step shifts D in the predicted picture but not in the predicted noise,

    x' = alpha' D_shifted + sigma' (x - alpha D) / sigma,

whereas a steering is another posterior mean, which enters both. At the same x the change of either step is a multiple
of D_shifted - D, and a steering's is the paper's times 1 - n' / n, n = sigma / alpha the noise level: this is the near
cancellation of their Theorem 1. The paper's effect thus grows with the number of steps and belongs to no solver but
DDIM, while a steering's has a limit that all solvers share; since scales are measured in the change of D
(`backend.editing.scene.steered`), the factor changes the strength and how it is shared out over the steps, not what a
step changes.
"""

from collections.abc import Callable, Generator

import torch
import torch.nn.functional as F
from torch import Tensor

from backend.denoiser.base import Denoiser, given, like
from backend.denoiser.unet import UNetDenoiser
from backend.editing.baselines.bottleneck import bottleneck, decode_with, shifted
from backend.editing.scene import Steering
from backend.request import Progress

# Another expression of the same avatar is a mean change of 0.01 to 0.03, which costs 0.1 to 0.3, well below
# the log 6 = 1.8 that it gains from an undecided classifier; a change of the whole picture by a tenth of the range of
# pixels costs 2, more than any expression is worth.
KEEP = 10.0
BATCH = 16


def learn(
    denoiser: UNetDenoiser,
    pictures: Tensor,
    labels: Tensor,
    classifier: Callable[[Tensor], Tensor],
    wanted: int,
    steps: int,
    t_range: tuple[float, float] = (0.2, 0.6),
    seed: int = 0,
    lr: float = 1e-2,
) -> Generator[Progress, None, Tensor]:
    """Learns the shift (c, h, w) with Adam; neither the network nor the classifier changes.

    Yields Progress after each step, of two network evaluations and one backward pass for BATCH pictures.

    Args:
        pictures: (N, C, H, W) in [-1, 1], on the network's device.
        labels: int64 (N,), what the network is told about each picture, -1 for none.
        classifier: pictures (B, C, H, W) -> logits (B, classes), differentiable.
        wanted: index of the logit to raise.
        t_range: the times, uniform between these two, within (0, 1].
        seed: of pictures, times and noise. With the same seed the shift is the same.
        lr: in root-mean-squares of the bottleneck, so that it fits every network.

    Raises:
        ValueError: if there are no pictures or the network has no middle block.
    """
    if len(pictures) == 0:
        raise ValueError("Asyrp needs pictures to learn from.")
    with torch.no_grad():
        h = bottleneck(denoiser, pictures[:BATCH], t_range[0], labels[:BATCH])
    shift = torch.zeros_like(h[0])
    optimizer = torch.optim.Adam([shift], lr=lr * float(h.square().mean().sqrt()))
    generator = torch.Generator().manual_seed(seed)
    for done in range(1, steps + 1):
        chosen = torch.randint(len(pictures), (BATCH,), generator=generator)
        x_0, label = pictures[chosen.to(pictures.device)], labels[chosen.to(labels.device)]
        t = torch.empty(BATCH).uniform_(*t_range, generator=generator)
        noise = torch.randn(x_0.shape, generator=generator).to(x_0)
        alpha, sigma = (like(a, x_0) for a in denoiser.schedule(t))
        shift.grad = _gradient(denoiser, alpha * x_0 + sigma * noise, t, label, shift, classifier, wanted)
        optimizer.step()
        yield Progress(done, steps, "steps of Asyrp")
    return shift.detach().clone()


def steering(denoiser: UNetDenoiser, shift: Tensor, label: Tensor) -> Steering:
    """Sample i of a batch of n is steered by s_i times the shift, at all times.

    Below the times that the shift was learned at it fades by itself where the network predicts noise or velocity,
    since D is then moved by the change of the network's output times a factor that falls with sigma.

    Args:
        shift: (c, h, w).
        label: int64 (), -1 for none; a network without labels ignores it.
    """

    def at(scales: Tensor) -> Denoiser:
        steered = shifted(denoiser, scales.to(shift).view(-1, 1, 1, 1) * shift)
        return given(steered, label=label) if "label" in steered.null else steered

    return at


def _gradient(
    denoiser: UNetDenoiser,
    x_t: Tensor,
    t: Tensor,
    label: Tensor,
    shift: Tensor,
    classifier: Callable[[Tensor], Tensor],
    wanted: int,
) -> Tensor:
    """Of the loss, in the shift alone: backward() would leave gradients on weights that all threads share."""
    with torch.no_grad():
        kept = decode_with(denoiser, x_t, t, label, torch.zeros_like(shift))
    shift = shift.detach().requires_grad_()
    with torch.enable_grad():
        edited = decode_with(denoiser, x_t, t, label, shift)
        logits = classifier(edited)
        target = torch.full((len(logits),), wanted, device=logits.device)
        loss = F.cross_entropy(logits, target) + KEEP * (edited - kept).abs().mean()
        return torch.autograd.grad(loss, shift)[0]
