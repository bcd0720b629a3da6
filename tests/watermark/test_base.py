from dataclasses import dataclass

import pytest
import torch

from backend.denoiser.gaussian_mixture import gaussian
from backend.request import Progress, finish
from backend.schedule import CosineSchedule, VESchedule
from backend.watermark.base import Watermark, embed, flow, sample, twins
from tests.denoiser.examples import mixture

SHAPE = (1, 4, 4)


@dataclass(frozen=True)
class Constant(Watermark):
    """Adds a number to every pixel, and looks for their mean."""

    t: float
    added: float

    def inject(self, x_t):
        return x_t + self.added

    def score(self, x_t):
        return x_t.flatten(1).mean(1).double()


def white(variance=0.5, schedule=None):
    """Pixels that are independent and Gaussian about 0: x_t keeps its direction and is scaled by its deviation."""
    covariance = variance * torch.eye(16, dtype=torch.float64)
    return gaussian(schedule or CosineSchedule(), SHAPE, torch.zeros(16, dtype=torch.float64), covariance)


def deviation(denoiser, t, variance=0.5):
    alpha, sigma = denoiser.schedule(torch.tensor(t, dtype=torch.float64))
    return (alpha**2 * variance + sigma**2).sqrt()


def states(count=3, seed=0):
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Counted(torch.nn.Module):
    """A denoiser that counts its evaluations and the samples in each."""

    def __init__(self, denoiser):
        super().__init__()
        self.denoiser, self.schedule, self.shape, self.sizes = denoiser, denoiser.schedule, denoiser.shape, []

    def forward(self, x_t, t):
        self.sizes.append(len(x_t))
        return self.denoiser(x_t, t)


@pytest.mark.parametrize(("start", "end"), [(1.0, 0.0), (0.6, 0.2), (0.3, 0.0), (0.0, 0.3), (0.2, 1.0)])
def test_flow_is_the_exact_map_of_a_gaussian(start, end):
    """In the limit of many steps: down to second order at least, up to first."""
    D, x = white(), states()
    exact = x * deviation(D, end) / deviation(D, start)
    coarse, fine = (((finish(flow(D, x, start, end, n)) / exact) - 1).abs().max().item() for n in (60, 240))
    assert (fine < 0.002 and fine < coarse / 12) if start > end else (fine < 0.02 and fine < coarse / 3.5)


@pytest.mark.parametrize("t", [0.3, 1.0])
def test_flow_there_and_back_returns(t):
    D, x = mixture(shape=SHAPE), mixture(shape=SHAPE).means[:, None].view(3, *SHAPE) + 0.3 * states()
    there = finish(flow(D, x, 0.0, t, 100))
    assert (there - x).abs().max() > 0.1
    coarse, fine = (
        (finish(flow(D, finish(flow(D, x, 0.0, t, n)), t, 0.0, n)) - x).abs().max().item() for n in (25, 100)
    )
    assert fine < 0.08 and fine < coarse / 3.5


def test_on_the_way_up_what_the_model_does_not_expect_grows_as_it_must_and_never_beyond():
    """Pixels that hardly vary are 146 times as wide at t = 0.3; ten steps of the solver that goes down end 30 times as far, on the other side."""
    D, x = white(1e-5), torch.full((1, *SHAPE), 0.01, dtype=torch.float64)
    exact = x * deviation(D, 0.3, 1e-5) / deviation(D, 0.0, 1e-5)
    found = finish(flow(D, x, 0.0, 0.3, 10))
    assert (found > exact / 2).all() and (found <= exact).all()


def test_flow_to_where_it_stands_costs_nothing():
    D, x = Counted(white()), states()
    assert list(flow(D, x, 0.4, 0.4, 9)) == [] and D.sizes == []
    assert finish(flow(D, x, 0.4, 0.4, 9)) is x


def test_a_mark_at_the_end_of_the_flow_arrives_as_it_must():
    """The flow of a Gaussian is linear: what is added at t comes out scaled by its deviations, beside the twin."""
    D, mark, x_t = white(), Constant(0.3, 0.2), states()
    marked, twin = finish(twins(D, mark, x_t, 60))
    scale = deviation(D, 0.0) / deviation(D, 0.3)
    torch.testing.assert_close(twin, x_t * scale, rtol=0.01, atol=0)
    torch.testing.assert_close(marked - twin, torch.full_like(twin, 0.2) * scale, rtol=0.01, atol=0)
    difference = mark.score(marked) - mark.score(twin)
    torch.testing.assert_close(difference, (0.2 * scale).expand(3), rtol=0.01, atol=0)


@pytest.mark.parametrize("make", [embed, sample])
def test_the_twin_of_a_mark_that_does_nothing_is_the_marked(make):
    marked, twin = finish(make(mixture(shape=SHAPE), Constant(0.3, 0.0), states(), 8))
    assert torch.equal(marked, twin) and marked.shape == (3, *SHAPE)
    marked, again = finish(make(mixture(shape=SHAPE), Constant(0.3, 0.1), states(), 8))
    assert torch.equal(again, twin) and not torch.equal(marked, twin)


def test_embed_comes_back_to_the_picture():
    D, x = white(), states()
    marked, twin = finish(embed(D, Constant(0.3, 0.1), x, 60))
    torch.testing.assert_close(twin, x, rtol=0.02, atol=0)
    scale = deviation(D, 0.0) / deviation(D, 0.3)
    torch.testing.assert_close(marked - twin, torch.full_like(x, 0.1) * scale, rtol=0.01, atol=0)


@pytest.mark.parametrize("schedule", [CosineSchedule(), VESchedule()], ids=["cosine", "exploding"])
def test_sample_makes_pictures_of_the_models_variance_from_noise(schedule):
    D, noise = white(schedule=schedule), states()
    x_1 = noise * float(torch.hypot(*schedule(torch.ones((), dtype=torch.float64))))
    _, twin = finish(sample(D, Constant(0.3, 0.1), x_1, 60))
    torch.testing.assert_close(twin, noise * 0.5**0.5, rtol=0.02, atol=0)


@pytest.mark.parametrize(
    ("make", "t", "sizes"),
    [
        (embed, 0.3, [3] * 5 + [6] * 5),
        (sample, 0.3, [3] * 5 + [6] * 5),
        (embed, 0.0, []),  # the picture itself is marked
        (sample, 1.0, [6] * 5),  # the noise itself is marked
    ],
)
def test_every_evaluation_is_announced(make, t, sizes):
    D = Counted(white())
    progress = list(make(D, Constant(t, 0.1), states(), 5))
    assert D.sizes == sizes
    ways = len(sizes) // 5
    assert progress == [Progress(i + 1, 5, "network evaluations") for i in range(5)] * ways


def test_a_step_is_one_evaluation():
    D = Counted(white())
    for i, _ in enumerate(embed(D, Constant(0.3, 0.1), states(), 4)):
        assert len(D.sizes) == i + 1
