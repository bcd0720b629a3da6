import math

import pytest
import torch
from torch.func import jacrev

from backend.denoiser.base import given
from backend.denoiser.combine import Guided, prompt
from backend.guidance import mixtures
from backend.guidance.mixtures import (
    Classes,
    MixtureDenoiser,
    Modes,
    distortion,
    divergence,
    grid,
    number,
    sphere,
    split,
    term,
)
from backend.guidance.terms import NAMES, Pair, gaussian, terms
from backend.schedule import CosineSchedule, FlowSchedule, VESchedule, noise_level
from tests.denoiser.contract import check_contract
from tests.guidance.examples import tensor

SCHEDULES = [CosineSchedule(), VESchedule(), FlowSchedule()]
CLASS = torch.tensor(0)


def points(n=40, d=2, scale=3.0):
    return scale * torch.randn(n, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def uneven() -> MixtureDenoiser:
    """Modes of several variances on both sides."""
    own = Modes(tensor(0.7, 0.3), tensor(1, 1, -1, 0.5).view(2, 2), tensor(0.2, 1.5))
    every = Modes(tensor(0.5, 0.2, 0.3), tensor(1, 1, -2, 0, 0.5, -1).view(3, 2), tensor(0.2, 0.6, 3))
    return MixtureDenoiser(VESchedule(), own, every)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=["cosine", "exploding", "flow"])
@pytest.mark.parametrize("t", [0.0, 1e-3, 0.3, 0.7, 0.99])
def test_the_three_parts_are_the_difference_of_the_posterior_means(schedule, t):
    D, x, t = uneven(), points(), torch.tensor(t, dtype=torch.float64)
    for mixture in (D, D.own, D.unconditional):
        mixture.schedule = schedule
    parts = split(D, x, t)
    assert tuple(parts) == NAMES
    expected = D(x, t, label=CLASS) - D(x, t)
    torch.testing.assert_close(sum(parts.values()), expected, rtol=1e-10, atol=1e-10)
    found = term(D, NAMES[1:])(x, t, x, x)
    torch.testing.assert_close(found, parts["positive"] + parts["negative"])


def test_two_gaussians_split_as_in_terms():
    own, every = (
        Modes(tensor(1), m.view(1, 2), v) for m, v in ((tensor(1, 2), tensor(0.3)), (tensor(0, 1), tensor(2)))
    )
    schedule, x = VESchedule(), points()
    pair = Pair(*(gaussian(m.mean, m.variance * torch.eye(2)) for m in (own, every)))
    for t in (0.2, 0.5, 0.8):
        found = split(MixtureDenoiser(schedule, own, every), x, t)
        for name, f in terms(pair, schedule).items():
            torch.testing.assert_close(found[name], f(x, torch.tensor(t).double(), x, x).expand_as(x))


def test_modes_of_one_variance_have_no_contrastive_part():
    """All of the difference is called mean shift, and yet it narrows: the name says nothing about the variance."""
    D = grid(1.5, 3, 3.0, 0.25, 0.09).given(VESchedule(), 0)
    t = VESchedule().time(-2 * tensor(0.8).log())[0]
    parts = split(D, points(), t)
    assert not parts["positive"].any() and not parts["negative"].any()
    at_mode = tensor(1.5, 0)[None]
    assert divergence(D.own, at_mode, t) < divergence(D.unconditional, at_mode, t)


def test_the_divergence_is_the_trace_of_the_jacobian():
    D, x = uneven(), points(5)
    for t in (0.3, 0.6):
        t = torch.tensor(t, dtype=torch.float64)
        for mixture in (D.own, D.unconditional):
            J = torch.stack([jacrev(lambda z, m=mixture, t=t: m(z, t))(z) for z in x])
            torch.testing.assert_close(divergence(mixture, x, t), J.diagonal(dim1=1, dim2=2).sum(1))


def test_contract():
    check_contract(uneven(), {"label": torch.tensor([0, -1, 0, -1])})
    check_contract(sphere(3, 5, 0.3, 0).every(CosineSchedule()), {"label": torch.tensor([4, -1, 0, 2])})
    D = uneven()
    check_contract(given(Guided(D, [prompt], [3.0]), label=CLASS))
    check_contract(given(Guided(D, [term(D, NAMES[:2])], [3.0]), label=CLASS))


def test_samples_in_parts_are_samples_at_once(monkeypatch):
    D = sphere(6, 20, 0.3, 0).every(VESchedule())
    x, label = points(30, 6), torch.arange(30) % 20
    label[::3] = -1
    whole = D(x, 0.5, label=label)
    monkeypatch.setattr(mixtures, "CHUNK", 500)
    torch.testing.assert_close(D(x, 0.5, label=label), whole)


def test_classes_on_a_grid():
    classes = grid(1.5, 3, 3.0, 0.25, 0.09)
    assert classes.count == 8  # 9 sites, of which (1.5, 0) and (-1.5, 0) give way
    mass = torch.zeros(8, dtype=torch.float64).index_add(0, classes.owner, classes.modes.weights)
    torch.testing.assert_close(mass, torch.full_like(mass, 1 / 8))
    own = classes.own(0)
    assert own.weights.tolist() == pytest.approx([0.75, 0.25]) and own.means.tolist() == [[1.5, 0], [-1.5, 0]]
    assert len(classes.own(7).weights) == 1
    squares = torch.cdist(classes.modes.means, classes.modes.means).fill_diagonal_(9)
    assert squares.min() == pytest.approx(1.5, abs=1e-6)
    assert [grid(s, n, 0.0, 0.0, 0.09).count for s, n in ((3, 3), (1.5, 5), (0.75, 9))] == [9, 25, 81]
    with pytest.raises(ValueError, match="no such class"):
        classes.own(8)


def test_the_broad_unconditional_has_the_mixtures_moments():
    x, classes = points(), grid(1.5, 5, 3.0, 0.25, 0.09, "broad")
    modes, broad = classes.modes, classes.unconditional
    assert len(broad.weights) == 1 and broad.mean.tolist() == pytest.approx(modes.mean.tolist())
    expected = modes.weights @ (modes.means - modes.mean).square().sum(1) / 2 + 0.09
    assert float(broad.variances) == pytest.approx(float(expected)) == pytest.approx(modes.variance)
    D = classes.given(VESchedule(), 0)
    torch.testing.assert_close(D(x, 0.0), x)


def test_classes_in_many_dimensions():
    two = sphere(9, 2, 0.3, 0).modes.means
    assert torch.equal(two[0], -two[1]) and two.norm(dim=1).tolist() == pytest.approx([3, 3])
    many = sphere(16, 500, 0.3, 0)
    torch.testing.assert_close(many.modes.means.norm(dim=1), torch.full((500,), 4.0).double())
    assert many.modes.between.diagonal().mean() == pytest.approx(1, abs=0.02)
    assert torch.equal(many.modes.means, sphere(16, 500, 0.3, 0).modes.means)
    assert number("two", 50, 1, 1) == (2, False)
    assert number("exponential", 8, 0.25, 1) == (round(math.e**2), False)
    assert number("polynomial", 8, 1, 2) == (64, False)
    assert number("exponential", 200, 2, 1) == (1000, True)
    assert number("exponential", 2, 0.01, 1) == (2, True)


def test_a_class_among_many_is_its_mode():
    classes, x, schedule = sphere(5, 7, 0.3, 0), points(7, 5), VESchedule()
    each = torch.stack([classes.given(schedule, k)(x[k], 0.5, label=CLASS) for k in range(7)])
    torch.testing.assert_close(classes.every(schedule)(x, 0.5, label=torch.arange(7)), each)
    assert noise_level(schedule, torch.tensor(0.5)) > 0.1


def test_distortion_of_exact_samples_is_nothing_and_that_of_others_is_found():
    n, d, v = 4000, 12, 0.3
    classes, label = sphere(d, 10, v, 0), torch.arange(n) % 10
    m = classes.modes.means[label]
    x = m + math.sqrt(v) * points(n, d, 1.0)
    value, error = distortion(x, label, classes)
    for name, expected in (("overshoot", 0), ("along", 1), ("across", 1)):
        assert abs(getattr(value, name) - expected) < 4 * getattr(error, name)
    assert error.overshoot.item() == pytest.approx(math.sqrt(v / n), rel=0.6)
    assert error.along.item() == pytest.approx(math.sqrt(2 / n), rel=0.6)
    assert value.w2 < 1e-3
    other, _ = distortion(m + 0.5 * (x - m) + m / m.norm(dim=1, keepdim=True), label, classes)
    torch.testing.assert_close(other.overshoot - 1, value.overshoot / 2)
    torch.testing.assert_close(
        torch.stack([other.along, other.across]), torch.stack([value.along, value.across]) / 4
    )
    assert other.w2.item() == pytest.approx(
        (1 + v / 4 * d) / d, rel=0.05
    )  # |m - m'|^2 + d (sqrt(v) / 2)^2, over d
    assert other.separability > 1.9 * value.separability and other.accuracy == 1


def test_modes_of_a_class_have_a_covariance_between_them():
    modes = Classes.own(grid(1.5, 3, 4.0, 0.25, 0.09), 0)
    torch.testing.assert_close(modes.between, tensor(0.75 * 0.25 * 16, 0).diag())
