import pytest
import torch
from torch.func import jacrev

from backend.denoiser.base import given
from backend.denoiser.combine import Guided, prompt
from backend.guidance.power_law import EXPONENT, power_law
from backend.guidance.terms import PairDenoiser
from backend.schedule import CosineSchedule, FlowSchedule, VESchedule
from tests.denoiser.contract import check_contract
from tests.guidance.examples import skew

CLASS = torch.tensor(0)
SCHEDULES = [CosineSchedule(), VESchedule(), FlowSchedule()]
NAMES = ["cosine", "exploding", "flow"]


def points(n=4):
    return 3 * torch.randn(n, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=NAMES)
def test_the_exponent_0_is_classifier_free_guidance(schedule):
    D = PairDenoiser(skew(), schedule)
    t = torch.linspace(0.1, 0.9, 4, dtype=torch.float64)
    flat, usual = (Guided(D, [term], [2.0]) for term in (power_law(schedule, 1, 0.0), prompt))
    torch.testing.assert_close(flat(points(), t, label=CLASS), usual(points(), t, label=CLASS))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=NAMES)
def test_the_weight_is_a_power_of_the_difference_of_the_noise_predictions(schedule):
    """eps by its definition, (x - alpha D) / sigma, for each sample at its own time."""
    D, x = PairDenoiser(skew(), schedule), points()
    t = torch.linspace(0.1, 0.9, 4, dtype=torch.float64)
    D_c, D_u = D(x, t, label=CLASS), D(x, t)
    alpha, sigma = (a[:, None] for a in schedule(t))
    eps_c, eps_u = ((x - alpha * mean) / sigma for mean in (D_c, D_u))
    strength = (eps_c - eps_u).norm(dim=1, keepdim=True) ** EXPONENT
    assert strength.min() < 0.5 and strength.max() > 0.8
    found = power_law(schedule, 1)(x, t, D_c, D_u)
    torch.testing.assert_close(found, strength * (D_c - D_u))


def test_contract():
    D = given(
        Guided(PairDenoiser(skew(), CosineSchedule()), [power_law(CosineSchedule(), 1)], [2.0]), label=CLASS
    )
    check_contract(D)
    J = jacrev(lambda x: D(x, 0.4))(points()[0])
    assert J.isfinite().all()


def test_where_both_agree_nothing_is_added():
    x = points()
    assert torch.equal(power_law(CosineSchedule(), 1)(x, torch.tensor(0.5), x, x), torch.zeros_like(x))
