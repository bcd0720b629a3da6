"""What the three solvers have in common."""

import threading

import pytest
import torch

from backend.sampling import ddim, dpm_solver, heun, last
from backend.sampling.noise import noise
from backend.sampling.times import grid
from backend.schedule import CosineSchedule, FlowSchedule, VESchedule, from_scheduler_config
from tests.denoiser.examples import mixture, unet
from tests.sampling.examples import exact_flow, order, single, start

COSINE, LINEAR, FLOW = CosineSchedule(), from_scheduler_config({}), FlowSchedule()
SOLVERS = {"ddim": ddim.solve, "heun": heun.solve, "dpm_solver": dpm_solver.solve}
every = pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS)


@pytest.mark.parametrize(
    "schedule", [COSINE, FLOW, VESchedule(0.01, 5.0)], ids=["cosine", "flow", "exploding"]
)
@pytest.mark.parametrize("ends", [(0.9, 0.3), (0.3, 0.9)], ids=["sample", "invert"])
@pytest.mark.parametrize("name, expected", [("ddim", 1), ("heun", 2), ("dpm_solver", 2)])
def test_order_of_convergence_on_a_gaussian(name, expected, ends, schedule):
    assert order(SOLVERS[name], schedule, *ends) == pytest.approx(expected, abs=0.25)


@pytest.mark.parametrize("ends", [(1.0, 0.0), (0.0, 0.6), (0.0, 1.0)])
@pytest.mark.parametrize("name, tolerance", [("ddim", 2e-2), ("heun", 2e-3), ("dpm_solver", 2e-3)])
def test_the_flow_of_a_gaussian_from_end_to_end(name, tolerance, ends):
    D, x = single(LINEAR), start()
    found = last(SOLVERS[name](D, x, grid(LINEAR, *ends, 400)))
    torch.testing.assert_close(found, exact_flow(D, x, *ends), rtol=tolerance, atol=tolerance)


@every
@pytest.mark.parametrize("schedule", [COSINE, FLOW], ids=["cosine", "flow"])
def test_a_mixture_comes_back_from_its_inversion(solve, schedule):
    D = mixture(schedule)
    x = D.means + 0.2 * start(3, d=6)
    noisy = last(solve(D, x, grid(schedule, 0.0, 0.7, 400)))
    back = last(solve(D, noisy, grid(schedule, 0.7, 0.0, 400)))
    assert (noisy - x).abs().max() > 0.5
    torch.testing.assert_close(back, x, rtol=0.05, atol=0.05)


@every
def test_flow_matching_starts_from_pure_noise(solve):
    """alpha is 0 at t = 1, and nothing may be divided by it."""
    D, x = single(FLOW), start()
    found = last(solve(D, x, grid(FLOW, 1.0, 0.0, 400)))
    torch.testing.assert_close(found, exact_flow(D, x, 1.0, 0.0), rtol=0.02, atol=0.02)


@every
@pytest.mark.parametrize("ends", [(1.0, 0.0), (0.0, 0.6)])
def test_one_state_for_each_evaluation(solve, ends):
    D, evaluations = single(COSINE), []
    D.register_forward_hook(lambda *_: evaluations.append(1))
    for count, (x, x0) in enumerate(solve(D, start(), grid(COSINE, *ends, 6)), 1):
        assert len(evaluations) == count
        assert x.shape == x0.shape == (4, 5)
    assert count == {ddim.solve: 6, dpm_solver.solve: 6, heun.solve: 11 if ends[1] == 0 else 12}[solve]


@every
def test_the_last_step_to_a_picture_is_the_posterior_mean(solve):
    *_, (x, x0) = solve(single(COSINE), start(), grid(COSINE, 1.0, 0.0, 6))
    assert torch.equal(x, x0)


@every
def test_x_keeps_its_dtype_and_its_batch(solve):
    D = unet("v_prediction", classes=0)
    x = noise([1, 2, 3], D.shape)
    together = last(solve(D, x, grid(D.schedule, 1.0, 0.0, 4)))
    alone = last(solve(D, noise([2], D.shape), grid(D.schedule, 1.0, 0.0, 4)))
    assert together.dtype == torch.float32
    torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-4)


@every
def test_gradients_are_off_inside_and_untouched_outside(solve):
    D, seen = single(COSINE), []
    D.register_forward_hook(lambda *_: seen.append(torch.is_grad_enabled()))
    for x, x0 in solve(D, start().requires_grad_(), grid(COSINE, 1.0, 0.0, 3)):
        assert torch.is_grad_enabled()
        assert not x.requires_grad and not x0.requires_grad
    assert not any(seen)


@every
def test_a_generator_may_hop_threads(solve):
    D, states, flags = single(COSINE), [], []
    steps = solve(D, start(), grid(COSINE, 1.0, 0.0, 3))

    def advance():
        states.append(next(steps)[0])
        flags.append(torch.is_grad_enabled())

    for _ in range(3):
        thread = threading.Thread(target=advance)
        thread.start()
        thread.join()
    assert flags == [True] * 3
    expected = [x for x, _ in solve(D, start(), grid(COSINE, 1.0, 0.0, 3))][:3]
    assert all(torch.equal(a, b) for a, b in zip(states, expected, strict=True))


def test_last_needs_a_step():
    with pytest.raises(ValueError, match="two times"):
        last(ddim.solve(single(COSINE), start(), torch.tensor([1.0])))
