"""What the requests of the guidance tab share: the weight that one asks for, and the way of samples where all is known."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from backend.denoiser.base import Denoiser, given
from backend.denoiser.combine import Guided, prompt
from backend.guidance import weights
from backend.guidance.mixtures import MixtureDenoiser
from backend.guidance.weights import NoiseWeight
from backend.request import require
from backend.sampling import ancestral, ddim, heun, last
from backend.sampling.noise import noise
from backend.schedule import VESchedule

CLEANEST = 0.01  # the cleanest noise level above 0
MOST = 60_000  # samples times steps
NAMED = {"switch": "a switch", "curve": "a drawn curve"}
WINDOWED = ("interval", "triangle", "early", "late", "linear")


Ends = tuple[float, float]
"""The noise levels between which a weight's area is taken: the cleanest one above 0, and the noisiest."""


def check_weight(request: Any, ends: Ends) -> None:
    """Raises BadInput unless a request's `gamma`, `weight`, `low`, `high`, `end`, `curve` and `equal_area` make a weight."""
    weights.checked(request.gamma)
    weights.interval(0.0, request.low, request.high)
    require(len(request.curve) % 2 == 0, "Every point of the curve needs a noise level and a gamma.")
    if request.weight == "switch":
        require(request.gamma > 0, "The switch needs a gamma above 0.")
    else:
        weight_of(request, ends)


def check_sampler(request: Any) -> None:
    """Raises BadInput unless samples of an exact mixture can be drawn so."""
    require(2 <= request.steps <= 400, "Ask for 2 to 400 steps.")
    require(request.samples * request.steps <= MOST, f"Samples times steps must be at most {MOST:,}.")
    require(0 <= request.seed < 2**31 - 2000, "The seed must be between 0 and 2,147,481,647.")


def weight_of(request: Any, ends: Ends) -> NoiseWeight:
    """gamma over the noise level, of every kind but the switch, which looks at what is guided. Raises BadInput."""
    window = (request.gamma, request.low, request.high)
    if request.weight == "constant":
        weight = weights.constant(request.gamma)
    elif request.weight == "linear":
        weight = weights.linear(*window, request.end)
    elif request.weight == "curve":
        weight = weights.curve(tuple(zip(request.curve[::2], request.curve[1::2], strict=True)))
    else:
        weight = getattr(weights, request.weight)(*window)
    return as_wide(request, weight, ends)


def as_wide(request: Any, weight: NoiseWeight, ends: Ends) -> NoiseWeight:
    """With the area of the constant gamma, where the request asks for that."""
    if not request.equal_area or request.gamma == 0:
        return weight
    return weight.at_equal_area(weights.constant(request.gamma).area(*ends), *ends)


def idle_weight(request: Any, at_steps: Tensor) -> list[str]:
    """Sentences about settings that change nothing, from the weight at every step (n,), the weightiest first."""
    found = []
    if request.gamma == 0 and request.weight not in ("linear", "curve"):
        found.append("Nothing is guided, because gamma is 0.")
    elif not at_steps.any():
        found.append("Nothing is guided, because the weight is 0 at every step of the sampler.")
    return found + unused(request)


def unused(request: Any) -> list[str]:
    """Sentences about a gamma and a window that were set, and that this kind of weight does not look at."""
    usual, found = type(request), []
    if request.weight == "curve" and request.gamma != usual.gamma and not request.equal_area:
        found.append("gamma changes nothing, because the drawn curve is the weight.")
    if request.weight not in WINDOWED and (request.low, request.high) != (usual.low, usual.high):
        named = NAMED.get(request.weight, request.weight)
        found.append(f"The window changes nothing, because the weight is {named}.")
    return found


def times_of(ends: Ends, steps: int) -> tuple[VESchedule, Tensor]:
    """The schedule, whose alpha is 1, and steps + 1 times: noise levels in equal ratios from the noisiest, and 0."""
    low, high = ends
    schedule = VESchedule(low, high)
    levels = torch.logspace(math.log10(high), math.log10(low), steps, dtype=torch.float64)
    times = schedule.time(-2 * levels.log())
    times[0] = 1.0
    return schedule, torch.cat([times, torch.zeros(1, dtype=torch.float64)])


def guided_by(denoiser: MixtureDenoiser, weight: NoiseWeight, label: Tensor | int) -> Denoiser:
    """D_c + gamma (D_c - D_u) for a class, or one for each sample, (S,)."""
    return given(Guided(denoiser, [prompt], [weight]), label=torch.as_tensor(label))


def walk(denoiser: Denoiser, times: Tensor, solver: str, seeds: range, noisiest: float) -> Iterator[Tensor]:
    """The first state, and one after each step, (S, *shape) float64, by the "ode" (Heun), by "ddim" or by the "sde"."""
    x = noisiest * noise(seeds, denoiser.shape, dtype=torch.float64)
    yield x
    if solver == "sde":
        yield from (x for x, _ in ancestral.solve(denoiser, x, times, seeds))
        return
    solve = {"ode": heun, "ddim": ddim}[solver].solve
    for step in times.unfold(0, 2, 1):  # one state a step, whatever its evaluations
        x = last(solve(denoiser, x, step))
        yield x
