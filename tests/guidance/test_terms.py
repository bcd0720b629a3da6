import pytest
import torch
from torch.func import jacrev

from backend.denoiser import gaussian_mixture
from backend.denoiser.base import given
from backend.denoiser.combine import Guided, prompt
from backend.guidance.terms import NAMES, Pair, PairDenoiser, gaussian, term, terms
from backend.schedule import CosineSchedule, FlowSchedule, VESchedule, noise_level
from tests.denoiser.contract import check_contract
from tests.guidance.examples import aligned, random, skew, tensor

SCHEDULES = [CosineSchedule(), VESchedule(), FlowSchedule()]
TIMES = [0.0, 1e-3, 0.3, 0.7, 1.0]
CLASS = torch.tensor(0)


def points(d=5, n=3):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=["cosine", "exploding", "flow"])
@pytest.mark.parametrize("t", TIMES)
def test_the_three_parts_are_the_difference_of_the_posterior_means(schedule, t):
    """Against D_c and D_u of backend.denoiser, which knows nothing of parts; at flow matching's t = 1 alpha is 0."""
    pair, t = skew(), torch.tensor(t, dtype=torch.float64)
    x = points() * 10
    conditional, unconditional = (
        gaussian_mixture.gaussian(schedule, (5,), g.mean, g.covariance)(x, t)
        for g in (pair.conditional, pair.unconditional)
    )
    parts = {name: f(x, t, conditional, unconditional) for name, f in terms(pair, schedule).items()}
    assert tuple(parts) == NAMES
    torch.testing.assert_close(sum(parts.values()), conditional - unconditional, rtol=1e-10, atol=1e-10)
    D = PairDenoiser(pair, schedule)
    torch.testing.assert_close(D(x, t, label=CLASS), conditional, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(D(x, t), unconditional, rtol=1e-10, atol=1e-10)
    for names in [(), NAMES[:2], NAMES[1:], NAMES]:
        together = term(pair, schedule, names)(x, t, conditional, unconditional)
        torch.testing.assert_close(together, sum((parts[n] for n in names), torch.zeros_like(x)))


def test_the_parts_are_what_the_paper_writes():
    """(I - A_u)(mu_c - mu_u), and the eigenparts of A_c - A_u on x - mu_c, with A by the inverse of a matrix."""
    pair, schedule, x = skew(), VESchedule(), points()
    t = schedule.time(-2 * tensor(0.8).log())[0]
    A_c, A_u = (
        g.covariance @ torch.linalg.inv(g.covariance + 0.64 * torch.eye(5, dtype=torch.float64))
        for g in (pair.conditional, pair.unconditional)
    )
    values, vectors = torch.linalg.eigh(A_c - A_u)
    assert values[0] < 0 < values[-1]
    found = {name: f(x, t, x, x) for name, f in terms(pair, schedule).items()}
    z = x - pair.conditional.mean
    shift = pair.difference - A_u @ pair.difference
    torch.testing.assert_close(found["mean_shift"], shift.expand(3, 5))
    positive, negative = ((vectors * v) @ vectors.mT for v in (values.clamp_min(0), values.clamp_max(0)))
    torch.testing.assert_close(found["positive"], z @ positive)
    torch.testing.assert_close(found["negative"], z @ negative)
    cpc_values, cpc = pair.cpc(0.8)
    torch.testing.assert_close(cpc_values, values)
    torch.testing.assert_close(cpc * cpc_values @ cpc.mT, A_c - A_u)


def test_positive_enhances_and_negative_suppresses():
    """D_c moves towards mu_c; Pos-CPC points away from it, Neg-CPC towards it, the mean shift is the same for every x."""
    pair, x = skew(), points(n=50) * 3
    found = {name: f(x, 0.5, x, x) for name, f in terms(pair, VESchedule(0.01, 100.0)).items()}
    z = x - pair.conditional.mean
    assert ((found["positive"] * z).sum(1) >= 0).all() and ((found["negative"] * z).sum(1) <= 0).all()
    assert (found["mean_shift"] == found["mean_shift"][0]).all()


@pytest.mark.parametrize("schedule", SCHEDULES, ids=["cosine", "exploding", "flow"])
def test_guided_by_the_parts_is_guided_by_the_prompt(schedule):
    D = PairDenoiser(skew(), schedule)
    every = Guided(D, list(terms(D.pair, schedule).values()), [2.5] * 3)
    usual = Guided(D, [prompt], [2.5])
    t = torch.linspace(0.1, 0.9, 3, dtype=torch.float64)  # one for each sample
    found, expected = (G(points(), t, label=CLASS) for G in (every, usual))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(found[1], every(points()[1], t[1], label=CLASS))


@pytest.mark.parametrize("schedule", [CosineSchedule(), VESchedule()], ids=["cosine", "exploding"])
def test_contract(schedule):
    D = PairDenoiser(skew(6), schedule, (1, 2, 3))
    check_contract(D, {"label": torch.tensor([0, -1, 0, -1])})
    check_contract(given(Guided(D, [term(D.pair, schedule, NAMES[:2], D.shape)], [3.0]), label=CLASS))


def test_float32_samples_keep_their_dtype_and_the_parts_add_to_any_network():
    pair, schedule = skew(6), CosineSchedule()
    x = torch.randn(2, 1, 2, 3)
    for f in terms(pair, schedule, (1, 2, 3)).values():
        assert f(x, torch.tensor(0.4), x, x).dtype == torch.float32
        assert f(x, torch.tensor(0.4), x, x).shape == x.shape


def test_in_a_subspace_the_parts_act_on_coordinates_alone():
    pair, schedule = skew(), CosineSchedule()
    basis = torch.linalg.qr(torch.randn(8, 5, generator=torch.Generator().manual_seed(0)).double()).Q.mT
    x = points(8)
    for inside, whole in zip(
        terms(pair, schedule).values(), terms(pair, schedule, (8,), basis).values(), strict=True
    ):
        torch.testing.assert_close(whole(x, 0.4, x, x), inside(x @ basis.mT, 0.4, x, x) @ basis)


def test_a_noise_level_is_decomposed_once_and_the_jacobian_is_that_of_the_parts():
    pair, schedule = skew(), CosineSchedule()
    D = PairDenoiser(pair, schedule)
    f = terms(pair, schedule)["positive"]
    t = torch.tensor(0.4, dtype=torch.float64)
    J = jacrev(lambda x: f(x, t, x, x))(points()[0])
    D(points(), t)
    assert pair.at.cache_info().misses == 1 and pair.at.cache_info().hits >= 1
    values = torch.linalg.eigvalsh(J)
    assert (values > -1e-12).all()
    assert int((values > 1e-9).sum()) == int((pair.cpc(noise_level(schedule, t).item())[0] > 1e-9).sum())


def test_a_direction_without_variance_stays():
    """At noise 0 too: both gains are 0 there, and 1 where there is variance."""
    pair = aligned(tensor(0, 1), tensor(0, 2), tensor(0, 1))
    assert torch.equal(pair.at(0.0).gain_c, tensor(0, 1).diag())
    assert torch.equal(pair.cpc(0.0)[0], tensor(0, 0))


def test_what_is_no_gaussian_is_refused():
    eye = torch.eye(2, dtype=torch.float64)
    for mean, covariance in [
        (tensor(0, 0), -eye),
        (tensor(0, 0, 0), eye),
        (tensor(0, torch.nan), eye),
        (tensor(0, 0), tensor(1, 2, 0, 1).view(2, 2)),
    ]:
        with pytest.raises(ValueError, match=r"\.$"):
            gaussian(mean, covariance)
    with pytest.raises(ValueError, match="same dimension"):
        Pair(random(2, 0), random(3, 0))
