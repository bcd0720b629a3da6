"""Denoisers made of denoisers: under another schedule, with guidance, many at once."""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from backend.denoiser.base import Condition, Denoiser, as_time, branches, like
from backend.schedule import Schedule, noise_level


class Rescheduled(Denoiser):
    """The same denoiser served under another schedule.

    The posterior mean depends on x_t only through x_t / alpha and the noise level, so with s the denoiser's
    own time of equal log-SNR

        D'(x, t) = D(k x, s),    k^2 = (alpha_s^2 + sigma_s^2) / (alpha_t^2 + sigma_t^2).

    Raises:
        ValueError: at times noisier than the denoiser's own t = 1.
    """

    def __init__(self, denoiser: Denoiser, schedule: Schedule):
        super().__init__()
        self.denoiser, self.schedule = denoiser, schedule
        self.shape, self.null = denoiser.shape, denoiser.null

    def forward(self, x_t: Tensor, t: Tensor | float, **condition: Tensor) -> Tensor:
        t = as_time(t)
        s = self.denoiser.schedule.time(self.schedule.log_snr(t))
        scale = torch.hypot(*self.denoiser.schedule(s)) / torch.hypot(*self.schedule(t))
        return self.denoiser(like(scale, x_t) * x_t, s, **condition)


Term = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""(x_t, t, D_c, D_0) -> what one unit of guidance adds to D, in the units of x_0."""

Weight = float | Callable[[Tensor], Tensor]
"""A number, or a function of the noise level sigma / alpha (shape of t)."""


def prompt(x_t: Tensor, t: Tensor, conditional: Tensor, unconditional: Tensor) -> Tensor:
    """D_c - D_0, the term of classifier-free guidance (https://arxiv.org/abs/2207.12598, Eq. 6)."""
    return conditional - unconditional


class Guided(Denoiser):
    """D_c + sum_j w_j term_j, with D_c and D_0 from one pass of the network.

    `Guided(D, [prompt], [gamma])` is classifier-free guidance, D_c + gamma (D_c - D_0); diffusers'
    `guidance_scale` is 1 + gamma. Where all weights are 0 the answer is D_c to the bit, at the price of D_c.

    Args:
        base: a conditional denoiser; D_0 is its answer without conditions.
        terms: what is added, each a function of x_t, t, D_c and D_0.
        weights: as many numbers, or functions of the noise level.
    """

    def __init__(self, base: Denoiser, terms: Sequence[Term], weights: Sequence[Weight]):
        super().__init__()
        self.base, self.weighted = base, list(zip(terms, weights, strict=True))
        self.schedule, self.shape, self.null = base.schedule, base.shape, base.null

    def forward(self, x_t: Tensor, t: Tensor | float, **condition: Tensor) -> Tensor:
        t = as_time(t)
        weighted = [(term, self._at(weight, t)) for term, weight in self.weighted]
        weighted = [(term, weight) for term, weight in weighted if weight.any()]
        if not weighted:
            return self.base(x_t, t, **condition)
        conditional, unconditional = branches(self.base, x_t, t, [condition, {}])
        terms = [like(weight, x_t) * term(x_t, t, conditional, unconditional) for term, weight in weighted]
        return sum(terms, conditional)

    def _at(self, weight: Weight, t: Tensor) -> Tensor:
        return as_time(weight(noise_level(self.schedule, t)) if callable(weight) else weight)


class Stacked(Denoiser):
    """S denoisers of one architecture as one: sample x_t[s] goes to denoiser s, all in one vectorised pass.

    The first batch axis counts the denoisers: x_t is (S, *batch, *shape), t is () or (S, *batch). The stacked
    parameters are this module's own, so one optimiser trains all S; clip gradients for each denoiser, not
    over the stack.

    Args:
        denoisers: of equal class, architecture, schedule and shape; copied.
    """

    def __init__(self, denoisers: Sequence[Denoiser]):
        super().__init__()
        parameters, buffers = stack_module_state(list(denoisers))
        self.stack = nn.Module()
        for name, value in parameters.items():
            self.stack.register_parameter(_slashed(name), nn.Parameter(value.detach(), value.requires_grad))
        for name, value in buffers.items():
            self.stack.register_buffer(_slashed(name), value)
        # A shell without values borrows those of one denoiser at a time; the tuple hides it from nn.Module.
        self._shell = (copy.deepcopy(denoisers[0]).to("meta"),)
        self.schedule, self.shape, self.null = denoisers[0].schedule, denoisers[0].shape, denoisers[0].null

    def forward(self, x_t: Tensor, t: Tensor | float, **condition: Tensor) -> Tensor:
        t = as_time(t)
        condition = self.complete(condition, self.batch(x_t))

        def one(state: dict[str, Tensor], x_t: Tensor, t: Tensor, condition: dict[str, Tensor]) -> Tensor:
            return functional_call(self._shell[0], state, (x_t, t), condition)

        each = torch.vmap(one, in_dims=(0, 0, 0 if t.ndim else None, 0), randomness="different")
        return each(self._state(), x_t, t, condition)

    def complete(self, condition: Condition, batch: torch.Size) -> dict[str, Tensor]:
        return self._shell[0].complete(condition, batch)

    def train(self, mode: bool = True) -> "Stacked":
        self._shell[0].train(mode)
        return super().train(mode)

    def unstack(self, index: int) -> Denoiser:
        """A copy of denoiser `index`."""
        state = {name: value[index].detach().clone() for name, value in self._state().items()}
        denoiser = copy.deepcopy(self._shell[0])
        denoiser.load_state_dict(state, assign=True)
        return denoiser

    def _state(self) -> dict[str, Tensor]:
        stack = self.stack.state_dict(keep_vars=True)
        return {name.replace("/", "."): value for name, value in stack.items()}


def _slashed(name: str) -> str:
    return name.replace(".", "/")  # a member's name may hold no dot
