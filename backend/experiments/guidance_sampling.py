"""What both views of exact mixtures share in the guidance tab: the weight that a request asks for, and the way of its samples."""

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
from backend.sampling import ancestral, heun, last
from backend.sampling.noise import noise
from backend.schedule import VESchedule

CLEANEST = 0.01  # the cleanest noise level above 0
MOST = 60_000  # samples times steps
NAMED = {"switch": "a switch", "curve": "a drawn curve"}
WINDOWED = ("interval", "triangle", "early", "late", "linear")


def check_weight(request: Any, noisiest: float) -> None:
    """What both requests ask of the weight and the sampler."""
    weights.checked(request.gamma)
    weights.interval(0.0, request.low, request.high)
    require(len(request.curve) % 2 == 0, "Every point of the curve needs a noise level and a gamma.")
    if request.weight == "switch":
        require(request.gamma > 0, "The switch needs a gamma above 0.")
    else:
        weight_of(request, noisiest)
    require(2 <= request.steps <= 400, "Ask for 2 to 400 steps.")
    require(request.samples * request.steps <= MOST, f"Samples times steps must be at most {MOST:,}.")
    require(0 <= request.seed < 2**31 - 2000, "The seed must be between 0 and 2,147,481,647.")


def weight_of(request: Any, noisiest: float) -> NoiseWeight:
    """Every kind but the switch. Raises BadInput."""
    window = (request.gamma, request.low, request.high)
    if request.weight == "constant":
        weight = weights.constant(request.gamma)
    elif request.weight == "linear":
        weight = weights.linear(*window, request.end)
    elif request.weight == "curve":
        weight = weights.curve(tuple(zip(request.curve[::2], request.curve[1::2], strict=True)))
    else:
        weight = getattr(weights, request.weight)(*window)
    if not request.equal_area or request.gamma == 0:
        return weight
    return weight.at_equal_area(weights.constant(request.gamma).area(CLEANEST, noisiest), CLEANEST, noisiest)


def idle_weight(request: Any, weight: NoiseWeight, levels: Tensor) -> list[str]:
    """Sentences about the weight's settings that change nothing, the weightiest first."""
    cls, found = type(request), []
    if request.gamma == 0 and request.weight not in ("linear", "curve"):
        found.append("Nothing is guided, because gamma is 0.")
    elif not weight(levels).any():
        found.append("Nothing is guided, because the weight is 0 at every step of the sampler.")
    if request.weight == "curve" and request.gamma != cls.gamma and not request.equal_area:
        found.append("gamma changes nothing, because the drawn curve is the weight.")
    if request.weight not in WINDOWED and (request.low, request.high) != (cls.low, cls.high):
        named = NAMED.get(request.weight, request.weight)
        found.append(f"The window changes nothing, because the weight is {named}.")
    return found


def times_of(noisiest: float, steps: int) -> tuple[VESchedule, Tensor]:
    """The schedule, and steps + 1 times: noise levels evenly spaced on a log scale, and 0."""
    schedule = VESchedule(CLEANEST, noisiest)
    levels = torch.logspace(math.log10(noisiest), math.log10(CLEANEST), steps, dtype=torch.float64)
    times = schedule.time(-2 * levels.log())
    times[0] = 1.0
    return schedule, torch.cat([times, torch.zeros(1, dtype=torch.float64)])


def guided_by(denoiser: MixtureDenoiser, weight: NoiseWeight, label: Tensor | int) -> Denoiser:
    return given(Guided(denoiser, [prompt], [weight]), label=torch.as_tensor(label))


def walk(denoiser: Denoiser, times: Tensor, solver: str, seeds: range, noisiest: float) -> Iterator[Tensor]:
    """The first state, and one after each step, (S, d) float64."""
    x = noisiest * noise(seeds, denoiser.shape, dtype=torch.float64)
    yield x
    if solver == "sde":
        yield from (x for x, _ in ancestral.solve(denoiser, x, times, seeds))
    else:
        for step in times.unfold(0, 2, 1):  # one state a step, whatever its evaluations
            x = last(heun.solve(denoiser, x, step))
            yield x
