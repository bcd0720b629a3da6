"""A student of a stack is what it would be alone, up to rounding."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from backend.data import digits
from backend.denoiser.combine import Stacked
from backend.inference.device import make_differentiable
from backend.training.loop import Plan, denoising_loss, train
from backend.training.students import (
    build,
    clip_each,
    denoising_losses,
    draw,
    log_spaced,
    subsets,
    train_together,
)

PLAN = Plan(steps=5, lr=5e-3, warmup=2, decay=0.0, ema=0.5, clip=0.5, seed=3)
SIZES = (3, 40)
BATCH = 6


def student(width=4):
    """In float64, where two orders of the same sums agree; only the embedding of t stays in float32."""
    network = make_differentiable(build(width))
    for module in network.modules():
        if hasattr(module, "upcast_softmax"):
            module.upcast_softmax = False  # "up" is to float32
    return network.double()


def data():
    return [pictures.double() for pictures in subsets(SIZES)]


@pytest.fixture(scope="module")
def trained():
    """The steps of two students trained together, and the averages after each."""
    steps, averages = [], []
    for step in train_together(Stacked([student()] * 2), data(), PLAN, BATCH):
        steps.append(step)
        averages.append([step.average.unstack(s) for s in range(2)])
    return steps, averages


@pytest.mark.parametrize("s", [0, 1])
def test_a_student_of_a_stack_is_the_same_one_trained_alone(trained, s):
    """Against the loop that trains everything else, on a plain network; after each number of steps."""
    steps, averages = trained
    pictures = data()[s]

    def loss(network, generator):
        return denoising_loss(draw([pictures], BATCH, generator)[0], generator, network)

    for count in range(1, PLAN.steps + 1):
        alone = student()
        *_, last = train(alone, loss, replace(PLAN, steps=count))
        together = steps[count - 1]
        assert together.number == last.number == count
        assert together.loss[s].item() == pytest.approx(last.loss, rel=1e-6)
        assert together.gradient_norm[s].item() == pytest.approx(last.gradient_norm, rel=1e-6)
        for name, value in averages[count - 1][s].state_dict().items():
            torch.testing.assert_close(value, alone.state_dict()[name], rtol=1e-6, atol=1e-6, msg=name)


def test_gradients_were_clipped_at_all(trained):
    assert all((step.gradient_norm > PLAN.clip).any() for step in trained[0])


def test_the_stack_itself_is_trained_and_the_average_follows_it():
    students = Stacked([student()] * 2)
    *_, last = train_together(students, data(), replace(PLAN, ema=0.0), BATCH)
    for kept, new in zip(last.average.parameters(), students.parameters(), strict=True):
        assert torch.equal(kept, new.detach()) and not kept.requires_grad


def test_each_gradient_is_clipped_by_its_own_norm():
    generator = torch.Generator().manual_seed(0)
    shapes, scale = ((3, 4, 2), (3, 5)), torch.tensor([10.0, 0.01, 1.0])
    parameters = [nn.Parameter(torch.zeros(shape)) for shape in shapes]
    for parameter in parameters:
        size = parameter.shape
        parameter.grad = torch.randn(size, generator=generator) * scale.view(-1, *[1] * (len(size) - 1))
    before = [parameter.grad.clone() for parameter in parameters]
    norms = clip_each(parameters, 0.5)
    for s in range(3):
        alone = [nn.Parameter(torch.zeros_like(gradient[s])) for gradient in before]
        for one, gradient in zip(alone, before, strict=True):
            one.grad = gradient[s].clone()
        assert norms[s] == pytest.approx(float(nn.utils.clip_grad_norm_(alone, 0.5)))
        for one, parameter in zip(alone, parameters, strict=True):
            torch.testing.assert_close(parameter.grad[s], one.grad)
    assert torch.equal(parameters[0].grad[1], before[0][1])  # a short one stays


def test_students_see_other_pictures_at_the_same_times_with_the_same_noise():
    asked = []

    class Recorder(nn.Module):
        schedule = build(4).schedule

        def forward(self, x_t, t):
            asked.append((x_t, t))
            return torch.zeros_like(x_t)

    x_0 = torch.stack([torch.zeros(5, 1, 8, 8), torch.ones(5, 1, 8, 8)])
    losses = denoising_losses(Recorder(), x_0, torch.Generator().manual_seed(0))
    ((x_t, t),) = asked
    assert t.shape == (2, 5) and torch.equal(t[0], t[1])
    alpha, _ = Recorder.schedule(t[0])
    torch.testing.assert_close(x_t[1] - x_t[0], alpha.float().view(5, 1, 1, 1).expand(5, 1, 8, 8))
    assert losses[0] == 0 < losses[1]


def test_sets_are_nested_and_without_repeats():
    small, large, whole = subsets((5, 100, 1197), seed=1)
    assert torch.equal(small, large[:5]) and torch.equal(large, whole[:100])
    pictures, _ = digits.split("train")
    assert torch.equal(whole.flatten(1).sum(1).sort().values, pictures.flatten(1).sum(1).sort().values)
    assert not torch.equal(whole, pictures)
    assert not torch.equal(small, subsets((5,), seed=2)[0])


def test_draws_are_at_the_same_relative_places():
    small, large = draw([torch.arange(10.0), torch.arange(1000.0)], 5000, torch.Generator().manual_seed(0))
    assert torch.equal(small, (large / 100).floor())
    assert small.unique().tolist() == list(range(10)) and large.max() < 1000


def test_a_network_is_that_of_its_width_and_seed():
    before = torch.get_rng_state()
    networks = [build(8), build(8), build(8, seed=1)]
    assert torch.equal(torch.get_rng_state(), before)
    weights = [nn.utils.parameters_to_vector(network.parameters()) for network in networks]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert networks[0].unet.config.block_out_channels == (8, 16) and networks[0].shape == (1, 8, 8)
    assert networks[0].null == {} and networks[0].prediction == "v_prediction"


def test_marks_are_spaced_by_equal_factors():
    marks = log_spaced(2000)
    assert (marks[0], marks[-1], len(marks)) == (10, 2000, 8)
    factors = [b / a for a, b in pairwise(marks)]
    assert max(factors) / min(factors) < 1.1
    assert log_spaced(1) == [1] and log_spaced(3) == [3] and log_spaced(11) == [10, 11]
