"""The way along the flow, and where it starts."""

import torch

from backend.request import Progress, finish
from backend.sampling import ddim, dpm_solver, last
from backend.sampling.noise import noise
from backend.sampling.times import grid
from backend.sampling.travel import beginning, travel
from backend.schedule import VESchedule
from tests.denoiser.examples import mixture


def test_down_by_the_second_order_and_up_by_what_is_asked_for():
    D = mixture()
    x = noise([0, 1], D.shape).double()
    times = grid(D.schedule, 0.6, 0.0, 6, "noise_level")
    assert torch.equal(finish(travel(D, x, 0.6, 0.0, 6)), last(dpm_solver.solve(D, x, times)))
    assert torch.equal(finish(travel(D, x, 0.0, 0.6, 6)), last(dpm_solver.solve(D, x, times.flip(0))))
    up = finish(travel(D, x, 0.0, 0.6, 6, up=ddim.solve))
    assert torch.equal(up, last(ddim.solve(D, x, times.flip(0))))


def test_no_way_is_no_evaluation_and_every_other_is_counted():
    D = mixture()
    x = noise([0], D.shape).double()
    assert finish(travel(D, x, 0.3, 0.3, 6)) is x
    assert list(travel(D, x, 0.3, 0.0, 2)) == [Progress(i, 2, "network evaluations") for i in (1, 2)]


def test_it_begins_with_the_variance_of_the_schedule():
    D = mixture()
    alpha, sigma = D.schedule(torch.ones((), dtype=torch.float64))
    expected = noise([3], D.shape) * float((alpha**2 + sigma**2).sqrt())
    torch.testing.assert_close(beginning(D, [3]), expected)
    wide = mixture(schedule=VESchedule())
    assert beginning(wide, range(64)).std() > 20
