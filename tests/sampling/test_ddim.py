import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler

from backend.sampling import ddim
from backend.sampling.times import grid
from backend.schedule import FlowSchedule, from_scheduler_config
from tests.denoiser.examples import mixture
from tests.sampling.examples import start, tensor


@pytest.mark.parametrize("kind", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("to_picture", [True, False])
def test_every_state_is_that_of_diffusers(kind, to_picture):
    scheduler = DDIMScheduler(
        beta_schedule=kind, timestep_spacing="trailing", clip_sample=False, set_alpha_to_one=to_picture
    )
    scheduler.set_timesteps(10)
    schedule = from_scheduler_config(scheduler.config)
    D = mixture(schedule)
    times = grid(schedule, 1.0, 0.0, 10)
    times[-1] = 0.0 if to_picture else schedule.t_min
    x = start(d=6)
    for step, (found, x0) in zip(scheduler.timesteps, ddim.solve(D, x, times), strict=True):
        t = (step.item() + 1) / 1000
        alpha, sigma = schedule(tensor(t))
        expected = scheduler.step((x - alpha * D(x, t)) / sigma, step, x, eta=0.0)
        torch.testing.assert_close(found, expected.prev_sample, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(x0, expected.pred_original_sample, rtol=1e-4, atol=1e-4)
        x = expected.prev_sample


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_every_state_of_flow_matching_is_that_of_diffusers(shift):
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(10)
    schedule = FlowSchedule(shift)
    D = mixture(schedule)
    sigmas = scheduler.sigmas.double()
    times = sigmas / (shift - (shift - 1) * sigmas)
    x = start(d=6)
    for i, (found, _) in enumerate(ddim.solve(D, x, times)):
        velocity = (x - D(x, times[i])) / sigmas[i]  # eps - x_0
        x = scheduler.step(velocity, scheduler.timesteps[i], x).prev_sample.double()
        torch.testing.assert_close(found, x, rtol=1e-5, atol=1e-5)


def test_inversion_starts_in_the_direction_of_the_first_trained_step():
    schedule = from_scheduler_config({})
    D, x = mixture(schedule), start(d=6)
    found, x0 = next(ddim.solve(D, x, torch.tensor([0, 0.05], dtype=torch.float64)))
    alpha, sigma = schedule(tensor(0.001))
    alpha_then, sigma_then = schedule(tensor(0.05))
    assert torch.equal(x0, D(x, 0.001))
    torch.testing.assert_close(found, alpha_then * x + sigma_then * (x - alpha * x0) / sigma)


@pytest.mark.parametrize("ends", [(0.5, 0.49), (0.49, 0.5)])
def test_step_is_the_formula_of_the_paper(ends):
    """Eq. 12: sqrt(a') (x - sqrt(1 - a) eps) / sqrt(a) + sqrt(1 - a') eps."""
    schedule = from_scheduler_config({})
    D, x = mixture(schedule), start(d=6)
    (alpha, sigma), (alpha_then, sigma_then) = (schedule(tensor(t)) for t in ends)
    eps = (x - alpha * D(x, ends[0])) / sigma
    expected = alpha_then * (x - sigma * eps) / alpha + sigma_then * eps
    torch.testing.assert_close(ddim.step(schedule, x, D(x, ends[0]), *ends), expected)
