import torch

from backend.sampling import ddim, heun, last
from backend.sampling.times import grid
from backend.schedule import CosineSchedule, VESchedule
from tests.denoiser.examples import mixture
from tests.sampling.examples import exact_flow, single, start


def edm_sampler(denoise, x: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    """Algorithm 1 of EDM (https://arxiv.org/abs/2206.00364) without churn, in its own words."""
    for i in range(len(sigmas) - 1):
        d = (x - denoise(x, sigmas[i])) / sigmas[i]
        step = x + (sigmas[i + 1] - sigmas[i]) * d
        if sigmas[i + 1] != 0:
            d_next = (step - denoise(step, sigmas[i + 1])) / sigmas[i + 1]
            step = x + (sigmas[i + 1] - sigmas[i]) * (d + d_next) / 2
        x = step
    return x


def test_it_meets_edm_at_short_steps():
    schedule = VESchedule(0.01, 20.0)
    D, x = mixture(schedule), 20 * start(d=6)
    times = grid(schedule, 1.0, 0.3, 400)
    expected = edm_sampler(lambda x, sigma: D(x, schedule.time(-2 * sigma.log())), x, schedule(times)[1])
    torch.testing.assert_close(last(heun.solve(D, x, times)), expected, rtol=1e-3, atol=1e-3)


def test_long_steps_from_pure_noise_beat_ddim_at_equal_cost():
    D, x = single(CosineSchedule()), start(50)
    exact = exact_flow(D, x, 1.0, 0.0)
    errors = [
        (last(solve(D, x, grid(D.schedule, 1.0, 0.0, n))) - exact).norm()
        for solve, n in ((heun.solve, 10), (ddim.solve, 20))
    ]
    assert errors[0] < errors[1] / 2
