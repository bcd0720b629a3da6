import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from backend.denoiser.gaussian_mixture import gaussian
from backend.sampling import ancestral, last
from backend.sampling.noise import noise
from backend.sampling.times import grid
from backend.schedule import CosineSchedule, FlowSchedule, VESchedule, from_scheduler_config
from tests.denoiser.examples import mixture, unet
from tests.sampling.examples import single, start, tensor

SEEDS = [3, 1, 4, 1]
COSINE = CosineSchedule()


def generators() -> list[torch.Generator]:
    """Those of SEEDS, past their first draw."""
    found = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    ancestral.draw(found, (6,))
    return found


@pytest.mark.parametrize("kind", ["linear", "scaled_linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("to_picture", [True, False])
def test_every_state_is_that_of_ddim_with_eta_1(kind, to_picture):
    scheduler = DDIMScheduler(
        beta_schedule=kind,
        prediction_type="sample",  # eps would lose digits to the scheduler's float32 where alpha is tiny
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=to_picture,
    )
    scheduler.set_timesteps(10)
    schedule = from_scheduler_config(scheduler.config)
    D, x, drawn = mixture(schedule), start(d=6), generators()
    times = grid(schedule, 1.0, 0.0, 10)
    times[-1] = 0.0 if to_picture else schedule.t_min
    for i, (found, x0) in enumerate(ancestral.solve(D, x, times, SEEDS)):
        z = ancestral.draw(drawn, (6,)).double()
        expected = scheduler.step(D(x, times[i]), scheduler.timesteps[i], x, eta=1.0, variance_noise=z)
        torch.testing.assert_close(found, expected.prev_sample, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(x0, expected.pred_original_sample, rtol=1e-4, atol=1e-4)
        x = expected.prev_sample


def test_every_state_is_that_of_ddpm():
    scheduler = DDPMScheduler(prediction_type="sample", timestep_spacing="trailing", clip_sample=False)
    scheduler.set_timesteps(10)
    schedule = from_scheduler_config(scheduler.config)
    D, x = mixture(schedule), start(1, d=6)
    times, drawn = grid(schedule, 1.0, 0.0, 10), generators()[0]
    for i, (found, _) in enumerate(ancestral.solve(D, x, times, SEEDS[:1])):
        x = scheduler.step(D(x, times[i]).float(), scheduler.timesteps[i], x, drawn).prev_sample.double()
        torch.testing.assert_close(found, x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "schedule", [COSINE, FlowSchedule(), VESchedule(0.01, 5.0)], ids=["cosine", "flow", "exploding"]
)
def test_a_step_keeps_the_noise_at_its_level(schedule):
    """From x_0, x_t and fresh noise, x' has the mean alpha' x_0 and the variance sigma'^2 of the forward process."""
    x_0, (eps, z) = start(d=5), torch.randn(2, 100_000, 4, 5, generator=torch.Generator().manual_seed(1))
    (alpha, sigma), (alpha_then, sigma_then) = schedule(tensor(0.6)), schedule(tensor(0.4))
    noise_then = ancestral.step(schedule, alpha * x_0 + sigma * eps, x_0, 0.6, 0.4, z) - alpha_then * x_0
    torch.testing.assert_close(noise_then.mean(), tensor(0.0), rtol=0, atol=4 * float(sigma_then) / 2e6**0.5)
    torch.testing.assert_close(noise_then.var(), sigma_then**2, rtol=4 * (2 / 2e6) ** 0.5, atol=0)


def test_many_steps_sample_the_variance_of_a_gaussian():
    variances = torch.linspace(0.1, 2, 5, dtype=torch.float64).repeat_interleave(60)
    D = gaussian(COSINE, (300,), torch.zeros_like(variances), variances.diag())
    seeds = range(32)
    x = last(ancestral.solve(D, noise(seeds, D.shape), grid(COSINE, 1.0, 0.0, 400), seeds))
    found = x.double().square().view(32, 5, 60).mean((0, 2)) / variances[::60]
    torch.testing.assert_close(found, torch.ones_like(found), rtol=0, atol=4 * (2 / (32 * 60)) ** 0.5)


def test_a_sample_is_the_same_alone_as_in_a_batch():
    D, times = unet("v_prediction", classes=0), grid(COSINE, 1.0, 0.0, 4)
    together = last(ancestral.solve(D, noise(SEEDS, D.shape), times, SEEDS))
    alone = last(ancestral.solve(D, noise([4], D.shape), times, [4]))
    assert together.dtype == torch.float32
    torch.testing.assert_close(together[2:3], alone, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(together[1], together[3], rtol=1e-4, atol=1e-4)


def test_the_noise_is_not_that_of_the_start():
    D = single(COSINE)
    (one, x0), *_ = ancestral.solve(D, noise([7], D.shape), grid(COSINE, 1.0, 0.0, 4), [7])
    alone = ancestral.step(COSINE, noise([7], D.shape), x0, 1.0, 0.75, noise([7], D.shape))
    assert (one - alone).abs().max() > 0.1


def test_one_state_for_each_evaluation_without_gradients_and_the_last_is_the_posterior_mean():
    D, seen = single(COSINE), []
    D.register_forward_hook(lambda *_: seen.append(torch.is_grad_enabled()))
    states = ancestral.solve(D, start().requires_grad_(), grid(COSINE, 1.0, 0.0, 6), SEEDS)
    for count, (x, x0) in enumerate(states, 1):
        assert len(seen) == count and torch.is_grad_enabled()
        assert not x.requires_grad and x.shape == x0.shape == (4, 5)
    assert seen == [False] * 6 and torch.equal(x, x0)


def test_there_is_no_way_back_and_a_seed_for_each_sample():
    with pytest.raises(ValueError, match="must fall"):
        last(ancestral.solve(single(COSINE), start(), grid(COSINE, 0.0, 1.0, 4), SEEDS))
    with pytest.raises(ValueError, match="one seed"):
        last(ancestral.solve(single(COSINE), start(), grid(COSINE, 1.0, 0.0, 4), [1]))
