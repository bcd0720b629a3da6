"""Requests for the tests of the gateway, and what they did in this process."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from backend.inference import intake
from backend.inference.cache import call
from backend.request import BadInput, Progress, Request, require
from backend.sampling import ddim
from backend.sampling.noise import noise
from backend.sampling.times import grid


@dataclass
class Log:
    """What the requests below did in this process."""

    steps: list[str] = field(default_factory=list)
    inside: int = 0
    most_inside: int = 0
    closed: list[str] = field(default_factory=list)


log = Log()


@dataclass(frozen=True)
class Sum:
    total: Tensor
    of: str


@dataclass(frozen=True)
class AddUp(Request):
    """Adds 1..n to a matrix of its own, a step at a time, and notes who else computes meanwhile."""

    name: str = "a"
    n: int = 4

    def check(self):
        require(self.n > 0, "Ask for at least one number.")

    def run(self, model: Any) -> Iterator[Any]:
        total = torch.zeros(20, 20)
        try:
            for i in range(1, self.n + 1):
                log.inside += 1
                log.most_inside = max(log.most_inside, log.inside)
                log.steps.append(self.name)
                total = total + torch.full((20, 20), float(i)) @ torch.eye(20)
                log.inside -= 1
                yield Progress(i, self.n, "additions")
            yield Sum(total, self.name)
        finally:
            log.closed.append(self.name)


@dataclass(frozen=True)
class AddUpTwice(Request):
    def needs(self) -> tuple[Request, ...]:
        return (AddUp(n=3),)

    def run(self, model: Any) -> Iterator[Any]:
        found = yield from call(AddUp(n=3), model)
        yield Sum(2 * found.total, found.of)


@dataclass(frozen=True)
class GoWrong(Request):
    how: str = "bug"

    def run(self, model: Any) -> Iterator[Any]:
        yield Progress(1, 2, "steps")
        if self.how == "bug":
            raise KeyError("/secret/path")
        if self.how == "memory":
            torch.empty(2**55)
        if self.how == "python memory":
            raise MemoryError
        if self.how == "cuda memory":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        if self.how == "late refusal":
            raise BadInput("This region is empty.")


@dataclass(frozen=True)
class PaintDigit(Request):
    """A walking skeleton: the closed-form model, sampled."""

    model: str = "gaussian"
    seed: int = 0

    def run(self, model: Any) -> Iterator[Any]:
        denoiser, start = model.denoiser, noise([self.seed], model.denoiser.shape)
        steps = ddim.solve(denoiser, start, grid(denoiser.schedule, 1.0, 0.0, 8))
        for done, (state, _) in enumerate(steps, 1):
            yield Progress(done, 8, "network evaluations")
            x = state
        yield Sum(x[0].cpu(), "digit")


@dataclass(frozen=True)
class MeasureUpload(Request):
    image: str = ""

    def run(self, model: Any) -> Iterator[Any]:
        yield Sum(intake.open_upload(self.image, (3, 16, 16)).sum(), self.image)
