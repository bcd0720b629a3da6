"""Regeneration (Zhao et al., https://arxiv.org/abs/2306.01953), and rinsing, which is several of them (WAVES, https://arxiv.org/abs/2401.08573).

    x_t = alpha_t x_0 + sigma_t eps,    then the flow (not the SDE) from t to 0

The papers do so in the latent space of an autoencoder, which alone takes part of a mark away. Our models see pixels, so that it differs from DiffPure
by the solver and its usual t alone. Where the data are Gaussian of variance v in some direction, of a change in x_0

    the flow keeps      alpha_t sqrt(v) / s,    s^2 = alpha_t^2 v + sigma_t^2
    the SDE keeps       alpha_t^2 v / s^2       the square of that

so that at the same t DiffPure takes more of a mark away where the data hardly vary. Rinsing adds new noise in every pass.
"""

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from backend.denoiser.base import Denoiser
from backend.request import Progress
from backend.sampling.travel import travel
from backend.watermark.diffpure import noised

STEPS = 10
RINSE_T = 0.06  # of each pass: regeneration's own


def regenerated(denoiser: Denoiser, pictures: Tensor, t: float, seeds: Sequence[int]) -> Iterator[Progress]:
    """Returns pictures (B, *shape) after noise to time t, in (0, 1], and the flow back; 10 evaluations each."""
    x_t = noised(denoiser.schedule, pictures, t, seeds)
    return (yield from travel(denoiser, x_t, t, 0.0, STEPS))


def rinsed(denoiser: Denoiser, pictures: Tensor, passes: int, seeds: Callable[[], Sequence[int]]) -> Iterator[Progress]:  # fmt: skip
    """Returns pictures (B, *shape) after so many regenerations, clipped to [-1, 1] after each. seeds: new ones at every call."""
    for _ in range(passes):
        pictures = yield from regenerated(denoiser, pictures, RINSE_T, seeds())
        pictures = pictures.clamp(-1, 1)
    return pictures
