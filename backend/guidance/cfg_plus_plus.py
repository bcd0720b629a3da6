"""CFG++ (Chung et al., https://arxiv.org/abs/2406.08070, Algorithm 2): the guided posterior mean, noised again without guidance.

    x' = alpha' (D_u + lambda (D_c - D_u)) + sigma' eps_u,        eps_u = (x - alpha D_u) / sigma

It changes the step of the sampler, here DDIM's, not the posterior mean. With the noise levels l = sigma / alpha before and l' after
the step it is, whatever the schedule, a step of classifier-free guidance with the weight

    1 + gamma = lambda l / (l - l')

(for flow matching lambda sigma (1 - sigma') / (sigma - sigma')). So it depends on the grid: on equal ratios of l
it is a constant weight, which grows with the number of steps, and the last step, to l' = 0, has 1 + gamma = lambda.

lambda comes from gamma by the one pair that the authors' code sets side by side (https://github.com/CFGpp-diffusion/CFGpp): lambda 0.6
for 1 + gamma = 7.5. It is proportional to 1 + gamma, 0 for the unconditional gamma = -1, and ends at 1, which the paper does not
leave. Other grids guide differently at the same lambda: `equivalent` says how.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

from backend.denoiser.base import Condition, Denoiser, as_time, branches
from backend.denoiser.combine import Term, prompt
from backend.sampling import ddim
from backend.schedule import noise_level

SHARE = 0.6 / 7.5
FULL = 1 / SHARE - 1  # gamma from which lambda is 1


def strength(gamma: float) -> float:
    """lambda, 0 to 1, of a weight gamma >= -1."""
    return min(1.0, SHARE * (1 + gamma))


def equivalent(gamma: Tensor, levels: Tensor) -> Tensor:
    """The weight of classifier-free guidance with DDIM that makes the same steps, (n,) float64.

    Args:
        gamma: of each step, (n,), that lambda comes from.
        levels: noise levels of the grid, (n + 1,) falling.
    """
    strengths = torch.tensor([strength(g) for g in gamma.tolist()], dtype=torch.float64)
    same = strengths * levels[:-1] / -levels.diff() - 1
    return torch.where(gamma == 0, 0.0, same)


@torch.no_grad()
def solve(
    denoiser: Denoiser,
    condition: Condition,
    x: Tensor,
    times: Tensor,
    weight: Callable[[Tensor], Tensor],
    direction: Term = prompt,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Follow the flow from x (*batch, *shape) at times[0] down to times[-1], with D_c and D_u from one evaluation a step.

    Args:
        weight: gamma of a noise level; where it is 0, the step is DDIM's with D_c.
        direction: D_c - D_u, or a term in its place.

    Yields:
        x at the next time, and the guided posterior mean that led there.
    """
    schedule = denoiser.schedule
    for now, then in pairwise(times.tolist()):
        t = as_time(now)
        gamma = float(weight(noise_level(schedule, t)))
        if gamma == 0:
            x0 = denoiser(x, t, **condition)
            x = ddim.step(schedule, x, x0, now, then)
        else:
            conditional, unconditional = branches(denoiser, x, t, [condition, {}])
            added = strength(gamma) * direction(x, t, conditional, unconditional)
            alpha, _ = ddim.level(schedule, then)
            x = ddim.step(schedule, x, unconditional, now, then) + alpha * added
            x0 = unconditional + added
        yield x, x0
