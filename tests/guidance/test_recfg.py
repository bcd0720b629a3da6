import pytest
import torch

from backend.denoiser.base import branches, given
from backend.denoiser.combine import Guided, prompt
from backend.guidance.recfg import noises, ratio, ratio_of_means, recfg
from backend.guidance.terms import PairDenoiser, terms
from backend.schedule import CosineSchedule, FlowSchedule, VESchedule
from tests.guidance.examples import aligned, skew, tensor

CONDITION = {"label": torch.tensor(0)}
SCHEDULES = [CosineSchedule(), VESchedule(), FlowSchedule()]
NAMES = ["cosine", "exploding", "flow"]


def noisy(pair, n=20, seed=0):
    """Pictures of the class and noise, each with its mirror image, so that their means are exact."""
    generator = torch.Generator().manual_seed(seed)
    z, eps = torch.randn(2, n, pair.d, generator=generator, dtype=torch.float64)
    own = pair.conditional
    deviations = z * own.variances.sqrt() @ own.vectors.mT
    pictures = own.mean + torch.cat([deviations, deviations, -deviations, -deviations])
    return pictures, torch.cat([eps, -eps, eps, -eps])


@pytest.mark.parametrize("schedule", SCHEDULES, ids=NAMES)
@pytest.mark.parametrize("t", [0.3, 0.5, 0.9])
def test_the_ratio_of_means_removes_the_mean_shift_of_gaussians(schedule, t):
    """Over noisy pictures of the class, what guidance adds has the mean shift for its mean, and what ReCFG adds has none."""
    pair = skew()
    D, (pictures, eps) = PairDenoiser(pair, schedule), noisy(pair)
    alpha, sigma = (float(a) for a in schedule(torch.tensor(t, dtype=torch.float64)))
    x_t = alpha * pictures + sigma * eps
    D_c, D_u = branches(D, x_t, t, [CONDITION, {}])
    shift = terms(pair, schedule)["mean_shift"](x_t, t, D_c, D_u)
    torch.testing.assert_close(prompt(x_t, t, D_c, D_u).mean(0), shift[0])
    assert shift[0].norm() > 1e-3
    r = ratio_of_means(*noises(D, CONDITION, pictures, eps, t))
    added = recfg(schedule, lambda _: r)(x_t, t, D_c, D_u)
    assert added.mean(0).abs().max() < 1e-9 * added.abs().max()
    torch.testing.assert_close(r, torch.zeros_like(r), rtol=0, atol=1e-6)  # E[eps_c] = 0: no contrast is left
    torch.testing.assert_close(added, D_c - x_t / alpha, rtol=1e-5, atol=1e-5)


def test_the_ratio_of_the_authors_code_is_known_between_gaussians_along_an_axis():
    pair = aligned(tensor(1.0, 0.5, 2.0), tensor(4.0, 0.5, 1.0), tensor(0.0, 1.5, 1.0))
    D, level = PairDenoiser(pair, VESchedule()), 0.8
    t = D.schedule.time(-2 * tensor(level).log())[0]
    pictures, eps = noisy(pair, 200_000)
    found = ratio(*noises(D, CONDITION, pictures, eps, t))
    v_c, v_u, d = tensor(1.0, 0.5, 2.0), tensor(4.0, 0.5, 1.0), pair.difference
    torch.testing.assert_close(found, (v_u + level**2) / (v_c + d**2 + level**2), rtol=5e-3, atol=0)


def test_the_noises_are_those_of_the_posterior_means():
    pair = skew()
    D, (pictures, eps) = PairDenoiser(pair, CosineSchedule()), noisy(pair)
    alpha, sigma = (float(a) for a in D.schedule(torch.tensor(0.6, dtype=torch.float64)))
    x_t = alpha * pictures + sigma * eps
    for found, mean in zip(
        noises(D, CONDITION, pictures, eps, 0.6), (D(x_t, 0.6, **CONDITION), D(x_t, 0.6)), strict=True
    ):
        torch.testing.assert_close(alpha * mean + sigma * found, x_t)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=NAMES)
def test_the_term_is_the_papers_sum_of_noises(schedule):
    """eps = (1 + gamma) eps_c - gamma r eps_u, and the ratio 1 is classifier-free guidance."""
    D, gamma, t = PairDenoiser(skew(), schedule), 2.0, 0.6
    x, r = torch.randn(4, 5, generator=torch.Generator().manual_seed(0)).double(), tensor(0.5, 1, 2, -1, 0)
    alpha, sigma = (float(a) for a in schedule(torch.tensor(t, dtype=torch.float64)))
    eps_c, eps_u = ((x - alpha * mean) / sigma for mean in branches(D, x, t, [CONDITION, {}]))
    eps = (1 + gamma) * eps_c - gamma * r * eps_u
    guided = given(Guided(D, [recfg(schedule, lambda _: r)], [gamma]), **CONDITION)
    torch.testing.assert_close(guided(x, t), (x - sigma * eps) / alpha)
    usual = given(Guided(D, [prompt], [gamma]), **CONDITION)
    one = given(Guided(D, [recfg(schedule, lambda _: torch.ones(5))], [gamma]), **CONDITION)
    torch.testing.assert_close(one(x, t), usual(x, t))


def test_a_number_that_is_never_noisy_keeps_the_ratio_1():
    assert ratio(torch.zeros(3, 2), torch.tensor([[0.0, 1.0]] * 3)).tolist() == [1.0, 0.0]
