import pytest
import torch

from backend.sampling.times import grid
from backend.schedule import CosineSchedule, FlowSchedule, VESchedule, noise_level

SCHEDULES = [CosineSchedule(), VESchedule(), FlowSchedule(3.0)]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_uniform_in_time(schedule):
    expected = torch.tensor([0.8, 0.6, 0.4, 0.2, 0.0], dtype=torch.float64)
    torch.testing.assert_close(grid(schedule, 0.8, 0.0, 4), expected)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("ends", [(0.9, 0.0), (0.0, 0.9), (0.9, 0.1), (0.1, 0.9)])
def test_uniform_in_the_seventh_root_of_the_noise_level(schedule, ends):
    times = grid(schedule, *ends, 8, spacing="noise_level")
    assert (times[0], times[-1]) == ends and times.dtype == torch.float64
    roots = noise_level(schedule, times) ** (1 / 7)
    torch.testing.assert_close(
        roots, torch.linspace(roots[0].item(), roots[-1].item(), 9, dtype=torch.float64)
    )


def test_time_is_the_noise_level_grid_of_a_variance_exploding_schedule():
    schedule = VESchedule()
    torch.testing.assert_close(grid(schedule, 1.0, 0.2, 8, "noise_level"), grid(schedule, 1.0, 0.2, 8))


@pytest.mark.parametrize(
    "start, end, n", [(1.0, 0.0, 0), (1.5, 0.0, 5), (1.0, -0.1, 5), (float("nan"), 0.0, 5)]
)
def test_impossible_grids_are_refused(start, end, n):
    with pytest.raises(ValueError, match="at least one step"):
        grid(CosineSchedule(), start, end, n)
