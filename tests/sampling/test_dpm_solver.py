import pytest
import torch
from diffusers import DPMSolverMultistepScheduler

from backend.sampling import ddim, dpm_solver
from backend.sampling.times import grid
from backend.schedule import from_scheduler_config
from tests.denoiser.examples import mixture
from tests.sampling.examples import start, tensor


@pytest.mark.parametrize("kind", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("steps", [8, 20])
@pytest.mark.parametrize("to_picture", [True, False])
def test_every_state_is_that_of_diffusers(kind, steps, to_picture):
    scheduler = DPMSolverMultistepScheduler(
        beta_schedule=kind,
        prediction_type="sample",  # eps would lose digits to the scheduler's float32 where alpha is tiny
        solver_order=2,
        algorithm_type="dpmsolver++",
        solver_type="midpoint",
        timestep_spacing="trailing",
        final_sigmas_type="zero" if to_picture else "sigma_min",
        lower_order_final=to_picture,  # a step that ends in a picture is of first order, and no other
    )
    scheduler.set_timesteps(steps)
    schedule = from_scheduler_config(scheduler.config)
    D = mixture(schedule)
    times = torch.cat([(scheduler.timesteps + 1) / 1000, torch.zeros(1)]).double()
    times[-1] = 0.0 if to_picture else schedule.t_min
    x = start(d=6)
    for i, (found, _) in enumerate(dpm_solver.solve(D, x, times)):
        x = scheduler.step(D(x, times[i]), scheduler.timesteps[i], x).prev_sample
        torch.testing.assert_close(found, x, rtol=1e-4, atol=1e-4)


def test_the_first_step_is_ddim():
    schedule = from_scheduler_config({})
    times = grid(schedule, 1.0, 0.0, 10)
    first, expected = (
        next(solve(mixture(schedule), start(d=6), times))[0] for solve in (dpm_solver.solve, ddim.solve)
    )
    assert torch.equal(first, expected)


def test_inversion_may_pass_through_the_first_trained_step():
    """Both 0 and t_min ask the denoiser at t_min: no slope can be read from two means at one time."""
    schedule = from_scheduler_config({})
    times = torch.tensor([0, schedule.t_min, 0.1], dtype=torch.float64)
    assert all(x.isfinite().all() for x, _ in dpm_solver.solve(mixture(schedule), start(d=6), times))
    assert tensor(schedule.t_min) == times[1]
