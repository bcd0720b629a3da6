"""The spectrum tab: the diffusion process itself, a picture destroyed and two pictures made.

    forward    x_t = alpha_t x_0 + sigma_t eps, with one eps for all t
    ODE        dx = [f x - g^2 / 2 score] dt, the probability flow, by DDIM              (backend.sampling.ddim)
    SDE        dx = [f x - g^2 score] dt + g dw, with fresh noise in every step          (backend.sampling.ancestral)

where f = d log(alpha) / dt, g^2 = d sigma^2 / dt - 2 sigma^2 f and score = (alpha D - x) / sigma^2
(https://arxiv.org/abs/2011.13456, Eq. 6 and 13). All three start from, or end in, the noise of one seed.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser, given, like
from backend.inference.load import Model
from backend.inference.pictures import open_picture, sample_of
from backend.request import Progress, Request, option, require
from backend.sampling import ancestral, ddim
from backend.sampling.noise import noise
from backend.sampling.times import grid
from backend.schedule import noise_level

BATCH = 8  # forward pictures denoised at once: more is hardly faster, and takes memory


@dataclass(frozen=True)
class Process:
    """The three processes at the same n = steps + 1 times, from noise (index 0, t = 1) to the picture (index n - 1, t = 0).

    t, noise_level (n,): the times, evenly spaced, and sigma / alpha there.
    forward, ode, sde (n, *shape) float16: x_t. forward is of the picture that was asked for; ode and sde share index 0.
    forward_mean, ode_mean, sde_mean (n, *shape) float16: the posterior means D(x_t, t); at t = 0 the picture itself.
    forward_error (n,): root mean square of D(x_t, t) - x_0 over the picture, whose values span 2.
    ode_seconds, sde_seconds: of compute. evaluations: of the network, for each of the two. label: "" for none.
    """

    t: Tensor
    noise_level: Tensor
    forward: Tensor
    forward_mean: Tensor
    forward_error: Tensor
    ode: Tensor
    ode_mean: Tensor
    sde: Tensor
    sde_mean: Tensor
    ode_seconds: float
    sde_seconds: float
    evaluations: int
    label: str


@dataclass(frozen=True)
class WatchProcess(Request):
    """A picture on its way to noise, and two on their way from noise, by the ODE and by the SDE; all under its label."""

    model: str = option("avatars", "the model")
    image: str = option("gallery:1", "the picture")
    steps: int = option(20, "the number of steps")
    seed: int = option(0, "the seed")

    def check(self) -> None:
        require(2 <= self.steps <= 100, "Ask for 2 to 100 steps.")
        require(0 <= self.seed < 2**31, "The seed must be between 0 and 2,147,483,647.")

    def needs(self) -> tuple[Request, ...]:
        return sample_of(self.model, self.image)

    def run(self, model: Model) -> Iterator[Any]:
        picture = yield from open_picture(self.image, model)
        denoiser = given(model.denoiser, **model.condition(label=picture.label or None))
        times = grid(denoiser.schedule, 1.0, 0.0, self.steps)
        alpha, sigma = (a.to(model.device) for a in denoiser.schedule(times))
        x_0, eps = picture.x_0.to(model.device), noise([self.seed], denoiser.shape).to(model.device)

        forward = like(alpha, eps) * x_0 + like(sigma, eps) * eps
        means = []
        for x_t, t in zip(forward[:-1].split(BATCH), times[:-1].split(BATCH), strict=True):
            means.append(_means(denoiser, x_t, t))
            yield self._progress(0, sum(map(len, means)))
        forward_mean = torch.cat([*means, x_0[None]])

        start = eps * float(torch.hypot(alpha[0], sigma[0]))
        ode = yield from self._watched(start, ddim.solve(denoiser, start, times), 1)
        sde = yield from self._watched(start, ancestral.solve(denoiser, start, times, [self.seed]), 2)
        yield Process(
            t=times.float(),
            noise_level=noise_level(denoiser.schedule, times).float(),
            forward=forward.half().cpu(),
            forward_mean=forward_mean.half().cpu(),
            forward_error=(forward_mean - x_0).flatten(1).square().mean(1).sqrt().cpu(),
            ode=ode[0],
            ode_mean=ode[1],
            sde=sde[0],
            sde_mean=sde[1],
            ode_seconds=ode[2],
            sde_seconds=sde[2],
            evaluations=self.steps,
            label=picture.label,
        )

    def _watched(self, start: Tensor, states: Iterable[tuple[Tensor, Tensor]], process: int) -> Iterator[Any]:
        """Returns x and the posterior means (n, *shape) along a solver's way, and the seconds that it computed."""
        xs, means, seconds = [start.half().cpu()], [], 0.0
        states = iter(states)
        for done in range(1, self.steps + 1):
            begun = time.perf_counter()
            x, x0 = next(states)
            xs.append(x.half().cpu())  # this also waits for the device
            seconds += time.perf_counter() - begun
            means.append(x0.half().cpu())
            yield self._progress(process, done)
        return torch.cat(xs), torch.cat([*means, xs[-1]]), seconds

    def _progress(self, process: int, done: int) -> Progress:
        return Progress(process * self.steps + done, 3 * self.steps, "network evaluations")


@torch.no_grad()
def _means(denoiser: Denoiser, x_t: Tensor, t: Tensor) -> Tensor:
    """The posterior means of x_t (B, *shape) at times t (B,)."""
    return denoiser(x_t, t)
