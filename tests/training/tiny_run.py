"""A tiny training run that can be told to die of SIGKILL.

python tiny_run.py CHECKPOINT WEIGHTS              to the end; the weights are saved
python tiny_run.py CHECKPOINT WEIGHTS after 17     dies right after step 17
python tiny_run.py CHECKPOINT WEIGHTS saving 17    dies with half of step 17's checkpoint on the disk
"""

import os
import signal
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from backend.training.loop import Plan, Step, train

PLAN = Plan(steps=40, lr=1e-2, warmup=5, ema=0.9, seed=3)


def network() -> nn.Module:
    """With a buffer that counts, which a resumption must restore as well."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.SiLU(), nn.Linear(16, 4))


def loss(network: nn.Module, generator: torch.Generator) -> Tensor:
    x = torch.randn(8, 4, generator=generator)
    return (network(x) - x.cumsum(1)).square().mean()


def run(checkpoint: Path | None = None, die: str = "", at: int = 0) -> tuple[nn.Module, list[Step]]:
    """The trained network and its steps; a checkpoint after every step."""
    trained, steps, save = network(), [], torch.save

    def save_half(state: dict, path: Path) -> None:
        save(state, path)
        if state["step"] == at:
            os.truncate(path, os.path.getsize(path) // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    if die == "saving":
        torch.save = save_half
    for step in train(trained, loss, PLAN, checkpoint, every=0.0):
        steps.append(step)
        if die == "after" and step.number == at:
            os.kill(os.getpid(), signal.SIGKILL)
    return trained, steps


if __name__ == "__main__":
    checkpoint, weights, *how = sys.argv[1:]
    network_at_the_end, _ = run(Path(checkpoint), *(how[:1]), *map(int, how[1:]))
    torch.save(network_at_the_end.state_dict(), weights)
