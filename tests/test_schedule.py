import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st

from backend.schedule import (
    CosineSchedule,
    DiscreteSchedule,
    FlowSchedule,
    VESchedule,
    from_scheduler_config,
    noise_level,
)

SCHEDULES = {
    "cosine": CosineSchedule(),
    "linear": from_scheduler_config({}),
    "few": DiscreteSchedule(torch.linspace(0.9, 0, 7)),
    "exploding": VESchedule(),
    "flow": FlowSchedule(),
    "shifted flow": FlowSchedule(shift=3.0),
}
every = pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
inside = st.floats(1e-6, 1 - 1e-6)


def tensor(t: float) -> torch.Tensor:
    return torch.tensor(t, dtype=torch.float64)


@every
def test_the_picture_is_at_zero(schedule):
    alpha, sigma = schedule(tensor(0.0))
    assert (alpha, sigma) == (1, 0)
    assert schedule.log_snr(tensor(0.0)) == torch.inf


@every
def test_log_snr_falls_strictly(schedule):
    t = torch.linspace(1e-5, 1, 5001, dtype=torch.float64)
    assert (schedule.log_snr(t).diff() < 0).all()


@every
@given(t=inside)
def test_time_inverts_log_snr(schedule, t):
    assert schedule.time(schedule.log_snr(tensor(t))).item() == pytest.approx(t, rel=1e-9)


@every
@given(t=inside)
def test_log_snr_inverts_time(schedule, t):
    log_snr = schedule.log_snr(tensor(t))
    assert schedule.log_snr(schedule.time(log_snr)).item() == pytest.approx(
        log_snr.item(), rel=1e-9, abs=1e-9
    )


@every
def test_the_ends_of_time(schedule):
    assert schedule.time(tensor(torch.inf)) == 0
    for dtype in (torch.float32, torch.float64):
        end = torch.ones((), dtype=dtype)
        assert schedule.time(schedule.log_snr(end)).item() == pytest.approx(1)


@pytest.mark.parametrize("name", ["cosine", "linear", "few", "exploding"])
def test_no_time_is_noisier_than_one(name):
    schedule = SCHEDULES[name]
    with pytest.raises(ValueError, match="stronger"):
        schedule.time(schedule.log_snr(tensor(1.0)) - 0.01)


@every
def test_shape_and_dtype_are_those_of_t(schedule):
    t = torch.rand(2, 3, generator=torch.Generator().manual_seed(0))
    for dtype in (torch.float32, torch.float64):
        for a in (*schedule(t.to(dtype)), schedule.log_snr(t.to(dtype)), noise_level(schedule, t.to(dtype))):
            assert a.shape == (2, 3) and a.dtype == dtype


@every
@given(t=inside)
def test_noise_level_is_sigma_over_alpha(schedule, t):
    expected = torch.exp(-schedule.log_snr(tensor(t)) / 2).item()
    assert noise_level(schedule, tensor(t)).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("steps", [50, 1000])
def test_discrete_steps_are_those_of_diffusers(kind, steps):
    scheduler = DDIMScheduler(
        num_train_timesteps=steps, beta_schedule=kind, beta_start=0.00085, beta_end=0.012
    )
    schedule = from_scheduler_config(scheduler.config)
    t = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    alpha, sigma = schedule(t)
    expected = scheduler.alphas_cumprod.double()
    torch.testing.assert_close(alpha**2, expected, rtol=2e-6, atol=0)
    torch.testing.assert_close(sigma**2, 1 - expected, rtol=0, atol=2e-6)
    torch.testing.assert_close(schedule.step(t), torch.arange(steps).double(), rtol=0, atol=1e-9)


def test_the_cosine_schedule_has_the_betas_of_diffusers():
    alpha, _ = CosineSchedule()(torch.arange(1, 1001, dtype=torch.float64) / 1000)
    expected = DDIMScheduler(beta_schedule="squaredcos_cap_v2").alphas_cumprod.double()
    torch.testing.assert_close(alpha**2, expected, rtol=1e-6, atol=0)


def test_log_snr_is_linear_between_steps():
    schedule = SCHEDULES["few"]
    left, middle, right = schedule.log_snr(torch.tensor([3, 3.25, 4], dtype=torch.float64) / 7)
    torch.testing.assert_close(middle, 0.75 * left + 0.25 * right)


def test_sigma_is_linear_below_the_first_step():
    schedule = SCHEDULES["linear"]
    _, sigma = schedule(torch.tensor([0, 0.25, 1], dtype=torch.float64) * schedule.t_min)
    torch.testing.assert_close(sigma[1], sigma[2] / 4)
    assert schedule.step(tensor(schedule.t_min / 2)) == 0


@pytest.mark.parametrize("schedule", [SCHEDULES["cosine"], SCHEDULES["few"]])
@given(t=st.floats(0, 1))
def test_discrete_schedules_preserve_variance(schedule, t):
    alpha, sigma = schedule(tensor(t))
    assert (alpha**2 + sigma**2).item() == pytest.approx(1, abs=1e-14)


def test_zero_terminal_snr_stays_finite():
    schedule = SCHEDULES["few"]
    alpha, _ = schedule(tensor(1.0))
    assert alpha.item() == pytest.approx(1e-6)
    assert schedule.log_snr(torch.linspace(0.8, 1, 20)).isfinite().all()


def test_ve_grid_is_that_of_edm():
    schedule = VESchedule(0.002, 80.0)
    _, sigma = schedule(torch.linspace(1, schedule.t_min, 18, dtype=torch.float64))
    i = torch.arange(18, dtype=torch.float64)
    expected = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    torch.testing.assert_close(sigma, expected)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_flow_sigmas_are_those_of_diffusers(shift):
    scheduler = FlowMatchEulerDiscreteScheduler(
        shift=shift
    )  # its table is shifted, from t = 1 down to 1 / 1000
    alpha, sigma = FlowSchedule(shift)(torch.arange(1000, 0, -1, dtype=torch.float64) / 1000)
    torch.testing.assert_close(sigma, scheduler.sigmas.double(), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(alpha + sigma, torch.ones_like(sigma))


@pytest.mark.parametrize("table", [[0.5], [0.5, 0.6], [1.0, 0.5], [0.5, 0.0, 0.0], [[0.9, 0.5]]])
def test_a_table_that_is_no_schedule_is_refused(table):
    with pytest.raises(ValueError, match="strictly decreasing"):
        DiscreteSchedule(torch.tensor(table))


@pytest.mark.parametrize("config", [{"beta_schedule": "sigmoid"}, {"rescale_betas_zero_snr": True}])
def test_an_unknown_scheduler_is_refused(config):
    with pytest.raises(ValueError, match="not supported"):
        from_scheduler_config(config)


def test_trained_betas_come_first():
    betas = [0.1, 0.2, 0.3]
    alpha, _ = from_scheduler_config({"trained_betas": betas, "num_train_timesteps": 3})(tensor(1.0))
    assert alpha.item() ** 2 == pytest.approx(0.9 * 0.8 * 0.7)
