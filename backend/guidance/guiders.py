"""The guiders of diffusers on one of our U-Nets, in the units of x_0: one object for one run of a sampler.

    cfg           D_c + gamma (D_c - D_u)                              https://arxiv.org/abs/2207.12598, Eq. 6
    apg           D_c + gamma d, with d the part across D_c of D_c - D_u - 0.75 d_before, cut to the norm 2.5
                                                                       https://arxiv.org/abs/2410.02416
    zero_star     v_c + gamma (v_c - s v_u), s = <v_c, v_u> / |v_u|^2, of velocities; v = 0 at the sampler's first step
                                                                       https://arxiv.org/abs/2503.18886
    pag           D_c + gamma (D_c - D_c without attention scores)     https://arxiv.org/abs/2403.17377
    autoguidance  D_c + gamma (D_c - D_c without an attention layer)   https://arxiv.org/abs/2406.02507

A guider acts on the predictions that it is handed, and all but the first ask which they are: here they are posterior means, as in
the papers, and for Zero-star, which is made for flow matching, the velocity of the flow at the same noise level,
v = eps - D = (x_t - (alpha + sigma) D) / sigma. The settings of APG are its paper's for EDM2-S. PAG and autoguidance degrade the
attention of the middle block. What is worse than the network is then the same network, asked for the same class.

diffusers' `guidance_scale` multiplies from D_u, 1 + gamma, or from D_c (`use_original_formulation`), gamma. Here it is the latter:
only so is APG that of its paper, and only so does PAG know gamma = -1.

The hooks of PAG and autoguidance sit on a copy of the network, which other threads never see, and only during its evaluation.
"""

import copy
import logging
from typing import Any

import torch
from torch import Tensor

from backend.denoiser.base import Condition, as_time, branches, like
from backend.denoiser.combine import Term, Weight, prompt
from backend.denoiser.unet import UNetDenoiser
from backend.schedule import noise_level

NAMES = ("cfg", "apg", "zero_star", "pag", "autoguidance")
DEGRADED = ("pag", "autoguidance")  # those that ask a degraded network instead of D_u
MOMENTUM, LARGEST_NORM = -0.75, 2.5  # of APG
MIDDLE = {"indices": [0], "fqn": "mid_block.attentions", "skip_ff": False}


class Guider:
    """The guided posterior mean at one step of a sampler after the other, by a guider of diffusers.

    It remembers its steps, so it is no `Denoiser` and has no Jacobian; a solver takes it as one. Where the weight is 0 the answer is
    D_c to the bit, at the price of D_c.

    Args:
        name: one of NAMES.
        denoiser: the network, untouched.
        condition: of D_c; D_u has none.
        weight: gamma, or a function of the noise level.
        steps: of the sampler.
        watch: is shown x_t, t, D_c and D_u where both are asked for.

    Raises:
        ValueError: for another name.
    """

    def __init__(
        self,
        name: str,
        denoiser: UNetDenoiser,
        condition: Condition,
        weight: Weight,
        steps: int,
        watch: Term = prompt,
    ):
        if name not in NAMES:
            raise ValueError(f"There is no guider {name!r}; there are {', '.join(NAMES)}.")
        self.name, self.denoiser, self.condition = name, denoiser, condition
        self.weight, self.steps, self.watch = weight, steps, watch
        self.schedule, self.shape = denoiser.schedule, denoiser.shape
        self.guider = _guider(name)
        self.degraded = _fused(copy.deepcopy(denoiser)) if name in DEGRADED else None
        self._step = 0

    @torch.no_grad()
    def __call__(self, x_t: Tensor, t: Tensor | float) -> Tensor:
        """At the sampler's next step, x_t (*batch, *shape) at time t, ()."""
        t, step = as_time(t), self._step
        self._step += 1
        weight = self.weight(noise_level(self.schedule, t)) if callable(self.weight) else self.weight
        gamma = float(weight)
        if gamma == 0:
            return self.denoiser(x_t, t, **self.condition)
        if self.name == "pag":
            self.guider.skip_layer_guidance_scale = gamma
            self.guider.set_state(step + 1, self.steps + 1, t)  # it never guides step 0
        else:
            self.guider.guidance_scale = gamma
            self.guider.set_state(step, self.steps, t)
        batches = self.guider.prepare_inputs({})
        for batch, prediction in zip(batches, self._predictions(x_t, t), strict=True):
            batch.noise_pred = self._handed(prediction, x_t, t)
        return self._taken(self.guider(batches).pred, x_t, t)

    def _predictions(self, x_t: Tensor, t: Tensor) -> list[Tensor]:
        """Posterior means in the order in which the guider asks for them."""
        if self.degraded is None:
            both = branches(self.denoiser, x_t, t, [self.condition, {}])
            self.watch(x_t, t, *both)
            return list(both)
        found, unet = [], self.degraded.unet
        for network in (self.denoiser, self.degraded):
            self.guider.prepare_models(unet)
            if self.name == "pag" and network is self.degraded:
                self.guider.prepare_models(
                    unet
                )  # its hooks come with a third pass, as if CFG took the second
            try:
                found.append(network(x_t, t, **self.condition))
            finally:
                self.guider.cleanup_models(unet)
        return found

    def _handed(self, x0: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """What the guider is given for a posterior mean."""
        if self.name != "zero_star":
            return x0
        alpha, sigma = (like(a, x_t) for a in self.schedule(t))
        return (x_t - (alpha + sigma) * x0) / sigma

    def _taken(self, prediction: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The posterior mean of a guider's answer."""
        if self.name != "zero_star":
            return prediction
        alpha, sigma = (like(a, x_t) for a in self.schedule(t))
        return (x_t - sigma * prediction) / (alpha + sigma)


def _guider(name: str) -> Any:
    # Every guider says at its birth that it is experimental; the version is pinned.
    logging.getLogger("diffusers.guiders.guider_utils").setLevel(logging.ERROR)
    from diffusers import guiders  # takes seconds to import
    from diffusers.guiders.adaptive_projected_guidance import MomentumBuffer
    from diffusers.hooks import LayerSkipConfig

    usual = {"use_original_formulation": True, "start": 0.0, "stop": 1.0}
    if name == "cfg":
        return guiders.ClassifierFreeGuidance(**usual)
    if name == "apg":
        guider = guiders.AdaptiveProjectedGuidance(
            eta=0.0, adaptive_projected_guidance_rescale=LARGEST_NORM, **usual
        )
        guider.momentum_buffer = MomentumBuffer(MOMENTUM)  # it makes one at step 0 alone, guided or not
        return guider
    if name == "zero_star":
        return guiders.ClassifierFreeZeroStarGuidance(zero_init_steps=1, **usual)
    if name == "pag":
        scores = LayerSkipConfig(skip_attention=False, skip_attention_scores=True, **MIDDLE)
        return guiders.PerturbedAttentionGuidance(
            guidance_scale=0.0,
            perturbed_guidance_start=0.0,
            perturbed_guidance_stop=1.0,
            perturbed_guidance_config=scores,
            **usual,
        )
    # Dropout 1 leaves the layer out; less of it would be drawn anew at every step, from the process's one generator.
    layer = LayerSkipConfig(skip_attention=True, dropout=1.0, **MIDDLE)
    return guiders.AutoGuidance(auto_guidance_config=layer, **usual)


def _fused(denoiser: UNetDenoiser) -> UNetDenoiser:
    """With the fused attention, in place: the only one that the hooks know."""
    from diffusers.models.attention_processor import Attention, AttnProcessor2_0

    for module in denoiser.unet.modules():
        if isinstance(module, Attention):
            module.set_processor(AttnProcessor2_0())
    return denoiser
