"""Chains of attacks of which some take a network:

    pictures = yield from attacked(model.denoiser, model.reader(), pictures, parse("diffpure:0.3,jpeg:58"), seed)

The attacker has the model itself, which is more than most have. Each link is in its own file: diffpure, regeneration, adversarial.
"""

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Generator, Tensor

from backend.denoiser.base import Denoiser
from backend.request import Progress, require
from backend.watermark import adversarial, attacks, diffpure, regeneration
from backend.watermark.adversarial import Reader
from backend.watermark.attacks import KINDS, Attack

BATCH = 32  # pictures in one evaluation
NO_READER = "The adversarial attack needs a network that reads this model's pictures, and there is none; the faces and the digits have one."


def possible(chain: Sequence[Attack], reader: Reader | None) -> None:
    """Raises BadInput if a link needs a reader and there is none."""
    require(reader is not None or not any(link.name == "adversarial" for link in chain), NO_READER)


def evaluations(chain: Sequence[Attack]) -> int:
    """Of a network, that a chain costs a picture; a gradient of the reader counts as one."""
    cost = {
        "diffpure": lambda strength: diffpure.STEPS,
        "regenerate": lambda strength: regeneration.STEPS,
        "rinse": lambda passes: regeneration.STEPS * int(passes),
        "adversarial": lambda strength: adversarial.STEPS,
    }
    return sum(cost[link.name](link.strength) for link in chain if KINDS[link.name].network)


def attacked(
    model_denoiser: Denoiser, reader: Reader | None, pictures: Tensor, chain: Sequence[Attack], seed: int = 0
) -> Iterator[Progress]:
    """Returns pictures (B, C, H, W) in [-1, 1] after every attack of a chain, clipped to [-1, 1] after each. Same shape, dtype, device.

    Picture i depends on itself and on seed + i alone, as with `attacks.attack`, which gives the same where no link takes a network.

    Args:
        reader: on the CPU, such as Model.reader() gives; None for none.

    Raises:
        BadInput: before anything is computed, if a link needs a reader and there is none.
    """
    possible(chain, reader)
    after, draws = attacks.given(pictures), attacks.generators(len(pictures), seed)
    for link in chain:
        if not KINDS[link.name].network:
            after = attacks.distorted(after, link, draws)
            continue
        parts = []
        for begin in range(0, len(after), BATCH):
            part, some = after[begin : begin + BATCH], draws[begin : begin + BATCH]
            parts.append((yield from _by_network(model_denoiser, reader, part, link, some)).clamp(-1, 1))
        after = torch.cat(parts) if parts else after
    return after.to(pictures)


def _by_network(
    denoiser: Denoiser, reader: Reader | None, pictures: Tensor, link: Attack, draws: Sequence[Generator]
) -> Iterator[Progress]:
    """Returns pictures (B, C, H, W), on the CPU, after one link that takes a network."""
    if link.name == "adversarial":
        return (yield from adversarial.pushed(reader, pictures, link.strength, _seeds(draws)))
    x = pictures.to(next(itertools.chain(denoiser.parameters(), denoiser.buffers())).device)
    if link.name == "diffpure":
        x = yield from diffpure.purified(denoiser, x, link.strength, _seeds(draws))
    elif link.name == "regenerate":
        x = yield from regeneration.regenerated(denoiser, x, link.strength, _seeds(draws))
    else:
        x = yield from regeneration.rinsed(denoiser, x, int(link.strength), lambda: _seeds(draws))
    return x.cpu()


def _seeds(draws: Sequence[Generator]) -> list[int]:
    """A new seed for each picture, none of a sample's, which lie below `attacks.SEEDS`."""
    return [int(torch.randint(attacks.SEEDS, 2**62, (), generator=draw)) for draw in draws]
