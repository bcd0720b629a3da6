"""The Jacobian of the difference where it is known: two Gaussians, and a small network whose Jacobian is computed whole."""

import math

import pytest
import torch

from backend.denoiser.base import branches
from backend.guidance import class_statistics
from backend.guidance.jacobian_difference import applied, compared, difference, linear
from backend.guidance.terms import PairDenoiser
from backend.inference.load import load
from backend.inference.pictures import held_out
from backend.jacobian.linearize import linearize
from backend.jacobian.spectrum import total
from backend.jacobian.symmetric import eigenpairs_steps, energies_steps
from backend.request import finish
from backend.sampling.noise import noise
from backend.schedule import CosineSchedule, VESchedule
from tests.guidance.examples import skew


@pytest.mark.parametrize("schedule", [CosineSchedule(), VESchedule(0.01, 80)], ids=["cosine", "VE"])
@pytest.mark.parametrize("level", [0.2, 1.0, 5.0])
def test_of_two_gaussians_they_are_the_cpcs(schedule, level):
    pair = skew(6)
    t = float(schedule.time(torch.tensor(-2 * math.log(level), dtype=torch.float64)))
    f, alpha = difference(PairDenoiser(pair, schedule), t, {"label": torch.tensor(0)})
    x_t = torch.linspace(-1, 1, 6, dtype=torch.float64)
    jacobian = linearize(f, x_t / alpha)
    found = finish(eigenpairs_steps(jacobian, 6))
    values, vectors = pair.cpc(level)
    got = torch.cat([found.negative.values, found.positive.values.flip(0)])
    torch.testing.assert_close(got, values, rtol=0, atol=1e-6)
    both = torch.cat([found.negative.vectors, found.positive.vectors.flip(0)])
    cosines = (both @ vectors).diagonal().abs()
    torch.testing.assert_close(cosines, torch.ones(6).double(), rtol=0, atol=1e-6)
    energies = finish(energies_steps(jacobian, found, 2))
    assert energies.total.asymmetry < 1e-6
    assert energies.symmetric == pytest.approx(float(values.square().sum()))


@pytest.fixture(scope="module")
def digits():
    """A noisy digit at t = 0.4, the network, its class, and the whole Jacobian by autograd."""
    model = load("digits")
    (x_0,), (label,) = held_out(model.card, range(3, 4))
    t, condition = 0.4, model.condition(label=label)
    alpha, sigma = (float(a) for a in model.denoiser.schedule(torch.tensor(t, dtype=torch.float64)))
    x_t = alpha * x_0 + sigma * noise(range(1), (1, 8, 8))[0]

    def split(x):
        conditional, unconditional = branches(model.denoiser, x[None], t, [condition, {}])[:, 0]
        return conditional - unconditional

    dense = alpha * torch.autograd.functional.jacobian(split, x_t).reshape(64, 64).double()
    return model, t, condition, x_t, dense


@pytest.fixture(scope="module")
def found(digits):
    model, t, condition, x_t, _ = digits
    f, alpha = difference(model.denoiser, t, condition)
    jacobian = linearize(f, x_t / alpha)
    return jacobian, finish(eigenpairs_steps(jacobian, 8))


def test_a_networks_pairs_are_those_of_its_whole_jacobian(digits, found):
    *_, dense = digits
    values, vectors = torch.linalg.eigh((dense + dense.T) / 2)
    _, pairs = found
    for half, wanted, columns in (
        (pairs.positive, values.flip(0)[:8], vectors.flip(1)[:, :8]),
        (pairs.negative, values[:8], vectors[:, :8]),
    ):
        torch.testing.assert_close(half.values, wanted, rtol=0, atol=1e-4)
        cosines = (half.vectors.flatten(1).double() * columns.T).sum(1).abs()
        torch.testing.assert_close(cosines, torch.ones(8).double(), rtol=0, atol=1e-4)
        assert half.residual.max() < 1e-4


def test_its_asymmetry_is_that_of_the_whole_jacobian(digits, found):
    *_, dense = digits
    jacobian, pairs = found
    energies = finish(energies_steps(jacobian, pairs, 32))
    wanted = total(dense)
    assert wanted.asymmetry > 0.1, "or there is nothing to find"
    assert abs(energies.total.asymmetry - wanted.asymmetry) < 4 * energies.total.asymmetry_error + 1e-4
    exact = float(((dense + dense.T) / 2).square().sum())
    assert abs(energies.symmetric - exact) < 4 * energies.symmetric_error + 1e-4 * exact


def test_the_derivative_is_that_of_finite_differences(digits, found):
    model, t, condition, x_t, _ = digits
    f, alpha = difference(model.denoiser, t, condition)
    v = found[1].positive.vectors[0]
    y, step = x_t / alpha, 1e-2
    with torch.no_grad():
        slope = (f(y + step * v) - f(y - step * v)) / (2 * step)
    assert float((slope - found[0].jvp(v[None])[0]).norm() / slope.norm()) < 5e-3


def test_the_parts_are_the_eigenparts_of_the_whole_jacobian(digits):
    """With all pairs they are S_+ D_c and S_- D_c, whose sum is S D_c."""
    model, t, condition, x_t, dense = digits
    f, alpha = difference(model.denoiser, t, condition)
    pairs = finish(eigenpairs_steps(linearize(f, x_t / alpha), 64))
    mean = model.denoiser(x_t, t, **condition).detach()
    both = applied(pairs.positive, mean) + applied(pairs.negative, mean)
    wanted = ((dense + dense.T) / 2 @ mean.flatten().double()).view_as(mean)
    assert both.shape == (1, 8, 8) and float((both - wanted).norm() / wanted.norm()) < 1e-4
    assert (
        float((applied(pairs.positive, mean) * mean).sum())
        > 0
        > float((applied(pairs.negative, mean) * mean).sum())
    )


def test_the_linear_models_components_are_its_strongest():
    stats = class_statistics.of_class("digits", "3")
    values, vectors = stats.pair.cpc(1.0)
    got, pictures = linear(stats, 1.0, 5, -1)
    torch.testing.assert_close(got, values[:5])
    torch.testing.assert_close(pictures.flatten(1), vectors.mT[:5])
    got, pictures = linear(stats, 1.0, 64, 1)
    assert len(got) == len(pictures) == int((values > 1e-12).sum()) < 64
    assert (got.diff() <= 0).all() and got[0] == values[-1]


def test_components_are_compared_by_rank_and_by_span():
    axes = torch.eye(5)
    mixed = torch.stack([axes[0], -axes[1], (axes[2] + axes[4]) / 2**0.5, axes[3]])
    cosine, within = compared(mixed, axes[:3])
    torch.testing.assert_close(cosine[:3], torch.tensor([1, 1, 0.5**0.5]).double())
    assert cosine[3].isnan()
    torch.testing.assert_close(within, torch.tensor([1, 1, 0.5, 0]).double())


def test_without_a_picture_there_is_no_derivative():
    class Nothing(CosineSchedule):
        def __call__(self, t):
            return torch.zeros_like(t), torch.ones_like(t)

    with pytest.raises(ValueError, match="nothing is left"):
        difference(PairDenoiser(skew(), Nothing()), 1.0, {})
