import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from backend.denoiser.base import Denoiser, as_time, like
from backend.denoiser.gaussian_mixture import gaussian
from backend.schedule import CosineSchedule
from backend.training.loop import Plan, denoising_loss, train
from tests.training import tiny_run

ROOT = Path(__file__).parents[2]


def run_apart(*arguments: object) -> int:
    """The exit status of `tiny_run` in a process of its own."""
    command = [sys.executable, str(ROOT / "tests" / "training" / "tiny_run.py"), *map(str, arguments)]
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False).returncode


def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path):
    """Killed between two steps, then while a checkpoint is written, then resumed: equal to the bit."""
    checkpoint, weights = tmp_path / "run.pt", tmp_path / "weights.pt"
    assert run_apart(checkpoint, weights, "after", 17) == -signal.SIGKILL
    assert torch.load(checkpoint)["step"] == 17
    assert run_apart(checkpoint, weights, "saving", 29) == -signal.SIGKILL
    assert torch.load(checkpoint)["step"] == 28  # the whole one still stands
    assert run_apart(checkpoint, weights) == 0

    unbroken = tiny_run.run()[0].state_dict()
    resumed = torch.load(weights)
    assert all(torch.equal(resumed[name], unbroken[name]) for name in unbroken)


def test_a_finished_run_answers_from_its_checkpoint(tmp_path):
    first, steps = tiny_run.run(tmp_path / "run.pt")
    again, none = tiny_run.run(tmp_path / "run.pt")
    assert len(steps) == tiny_run.PLAN.steps and none == []
    assert not again.training
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))


def test_checkpoints_are_as_rare_as_asked(tmp_path):
    trained = tiny_run.network()
    steps = train(trained, tiny_run.loss, tiny_run.PLAN, tmp_path / "run.pt", every=1e9)
    for _ in range(tiny_run.PLAN.steps - 1):
        next(steps)
        assert not (tmp_path / "run.pt").exists()
    next(steps)
    assert torch.load(tmp_path / "run.pt")["step"] == tiny_run.PLAN.steps


def test_randomness_is_that_of_seed_and_step():
    """The same data whatever came before, other data at another step or seed."""
    drawn = []

    def loss(network: nn.Module, generator: torch.Generator) -> Tensor:
        drawn.append(torch.rand((), generator=generator).item())
        return sum(p.sum() for p in network.parameters())

    for seed in (0, 0, 1):
        list(train(nn.Linear(1, 1), loss, Plan(steps=5, seed=seed)))
    assert drawn[:5] == drawn[5:10]
    assert len(set(drawn)) == 10


def test_the_average_is_the_exponential_one():
    """a <- a + (1 - d_i) (w_i - a) over the weights after each step, d_i = min(ema, (1 + i) / (10 + i))."""
    plan = Plan(steps=30, lr=0.05, warmup=1, ema=0.7)
    network = nn.Linear(3, 2).double()
    expected = network.weight.detach().clone()

    def loss(network: nn.Module, generator: torch.Generator) -> Tensor:
        x = torch.randn(4, 3, generator=generator).double()
        return (network(x) - 1).square().mean()

    for step in train(network, loss, plan):
        decay = min(0.7, step.number / (9 + step.number))
        expected += (1 - decay) * (network.weight.detach() - expected)
    torch.testing.assert_close(network.weight.detach(), expected)


def test_the_learning_rate_rises_stays_and_falls():
    plan = Plan(steps=100, lr=2.0, warmup=10, decay=0.4)
    rates = [plan.lr_at(i) for i in range(100)]
    assert rates[0] == pytest.approx(0.2) and rates[4] == pytest.approx(1.0)
    assert rates[9:61] == [2.0] * 52
    assert rates[80] == pytest.approx(1.0) and rates[99] == pytest.approx(0.05)


def test_the_optimiser_gets_that_rate_and_a_clipped_gradient():
    """Adam's first step is as long as the learning rate; the reported norm is the unclipped one."""
    network = nn.Linear(1, 1, bias=False)
    before = network.weight.item()
    plan = Plan(steps=100, lr=0.5, warmup=10, weight_decay=0.0)
    step = next(train(network, lambda n, g: 30 * n.weight.sum(), plan))
    assert step.number == 1 and step.gradient_norm == pytest.approx(30)
    assert step.loss == pytest.approx(30 * before)
    assert network.weight.item() == pytest.approx(before - 0.05, abs=1e-6)


class Recorder(Denoiser):
    """Answers `answer` and remembers what it was asked."""

    shape = (3,)
    null = {"label": torch.tensor(-1)}  # noqa: RUF012

    def __init__(self, answer: Tensor | float = 0.0):
        super().__init__()
        self.schedule, self.answer = CosineSchedule(), answer

    def forward(self, x_t: Tensor, t: Tensor | float, **condition: Tensor) -> Tensor:
        self.x_t, self.t, self.condition = x_t, as_time(t), condition
        return torch.zeros_like(x_t) + self.answer


def asked(n: int = 64, cap: float = 10.0, answer: Tensor | float = 0.0) -> tuple[Recorder, Tensor, float]:
    """The recorder, the pictures and the loss of one call."""
    D, x_0 = Recorder(answer), torch.randn(n, 3, generator=torch.Generator().manual_seed(1))
    value = denoising_loss(x_0, torch.Generator().manual_seed(2), D, cap, label=torch.arange(n))
    return D, x_0, float(value)


def test_loss_weighs_errors_by_the_capped_snr():
    D, x_0, loss = asked()
    alpha, sigma = D.schedule(D.t)
    weight = (1 + (alpha / sigma) ** 2).clamp(max=10)
    assert (weight == 10).any() and (weight < 2).any()
    assert loss == pytest.approx(float((weight[:, None] * x_0.double() ** 2).mean()), rel=1e-4)
    assert torch.equal(D.condition["label"], torch.arange(64))


def test_uncapped_it_is_the_velocity_loss():
    """With v = alpha eps - sigma x_0 and its prediction (alpha x_t - D) / sigma."""
    D, x_0, loss = asked(cap=math.inf, answer=0.3)
    alpha, sigma = (like(a, x_0).double() for a in D.schedule(D.t))
    noise = (D.x_t - alpha * x_0) / sigma
    v, predicted = alpha * noise - sigma * x_0, (alpha * D.x_t - 0.3) / sigma
    assert loss == pytest.approx(float((v - predicted).square().mean()), rel=1e-3)


def test_pictures_are_noised_by_the_schedule_at_times_spread_evenly():
    n = 4096
    D, x_0, _ = asked(n)
    assert (D.t.sort().values * n).floor().tolist() == list(range(n))
    assert (D.t.diff() < 0).float().mean() == pytest.approx(0.5, abs=0.05)  # in no order
    alpha, sigma = (like(a, x_0) for a in D.schedule(D.t))
    noise = (D.x_t - alpha * x_0) / sigma
    assert abs(float(noise.mean())) < 0.05 and float(noise.std()) == pytest.approx(1, abs=0.05)


class Mlp(Denoiser):
    """A small network that is asked for the velocity."""

    shape = (2,)

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.schedule = CosineSchedule()
        self.layers = nn.Sequential(
            nn.Linear(4, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2)
        )

    def forward(self, x_t: Tensor, t: Tensor | float, **condition: Tensor) -> Tensor:
        alpha, sigma = (like(a, x_t).expand(*x_t.shape[:-1], 1) for a in self.schedule(as_time(t)))
        return alpha * x_t - sigma * self.layers(torch.cat([x_t, alpha, sigma], -1))


def test_training_finds_the_posterior_mean_of_a_gaussian():
    """The trained denoiser against the closed form: error as a share of the closed form's variance."""
    mean, root = torch.tensor([0.5, -1.0]), torch.tensor([[0.9, 0.0], [0.5, 0.2]])
    exact = gaussian(CosineSchedule(), (2,), mean.double(), (root @ root.T).double())
    network = Mlp()

    def loss(network: nn.Module, generator: torch.Generator) -> Tensor:
        return denoising_loss(torch.randn(256, 2, generator=generator) @ root.T + mean, generator, network)

    def error(t: float) -> float:
        generator = torch.Generator().manual_seed(9)
        x_0 = torch.randn(2000, 2, generator=generator) @ root.T + mean
        alpha, sigma = (float(a) for a in exact.schedule(torch.tensor(t)))
        x_t = alpha * x_0 + sigma * torch.randn(2000, 2, generator=generator)
        with torch.no_grad():
            truth = exact(x_t.double(), t)
            return float((network(x_t, t) - truth).square().mean() / truth.var(dim=0).mean())

    before = [error(t) for t in (0.3, 0.5, 0.7)]
    for _ in train(network, loss, Plan(steps=500, lr=5e-3, warmup=20, ema=0.98)):
        pass
    after = [error(t) for t in (0.3, 0.5, 0.7)]
    assert max(after) < 0.02 < min(before)
