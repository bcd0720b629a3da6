import pytest
import torch
from torch.func import jacrev

from backend.denoiser.base import given
from backend.denoiser.combine import Guided, Rescheduled, Stacked, prompt
from backend.denoiser.empirical import Empirical
from backend.sampling import heun, last, times
from backend.schedule import CosineSchedule, FlowSchedule, VESchedule, from_scheduler_config, noise_level
from tests.denoiser.contract import check_contract
from tests.denoiser.examples import mixture, unet

LABELS = torch.tensor([0, 1, 2, 0])
OTHERS = [VESchedule(), FlowSchedule(), from_scheduler_config({"beta_start": 1e-3, "beta_end": 0.01})]


def points(D, n=3):
    return torch.randn(n, *D.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def equal_times(D, schedule, t):
    """(t', alpha' / alpha) at which the schedules have one log-SNR."""
    t = torch.tensor(t, dtype=torch.float64)
    other = schedule.time(D.schedule.log_snr(t))
    return other, schedule(other)[0] / D.schedule(t)[0]


@pytest.mark.parametrize("schedule", OTHERS)
def test_rescheduled_contract(schedule):
    check_contract(
        Rescheduled(mixture(), schedule) if schedule is not OTHERS[1] else Capped(mixture(), schedule)
    )


class Capped(Rescheduled):
    """Flow matching has no signal at t = 1, which is noisier than any discrete schedule: stop before it."""

    def forward(self, x_t, t, **condition):
        return super().forward(x_t, torch.as_tensor(t, dtype=torch.float64).clamp_max(0.99), **condition)


@pytest.mark.parametrize("schedule", OTHERS)
@pytest.mark.parametrize("t", [1e-4, 0.2, 0.5])
def test_rescheduled_is_the_same_distribution(schedule, t):
    """Against the same mixture built on the other schedule."""
    D, expected = mixture(), mixture(schedule)
    time, _ = equal_times(D, schedule, t)
    torch.testing.assert_close(Rescheduled(D, schedule)(points(D), time), expected(points(D), time))


@pytest.mark.parametrize("schedule", OTHERS)
def test_rescheduling_keeps_ode_end_points(schedule):
    """Between the same noise levels both flows lead from one x / alpha to one x / alpha."""
    D = mixture()
    start, scale_start = equal_times(D, schedule, 0.5)
    end, scale_end = equal_times(D, schedule, 0.05)
    x = points(D)
    here = last(heun.solve(D, x, times.grid(D.schedule, 0.5, 0.05, 300)))
    other = Rescheduled(D, schedule)
    there = last(heun.solve(other, scale_start * x, times.grid(schedule, start.item(), end.item(), 300)))
    torch.testing.assert_close(there, scale_end * here, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("schedule", OTHERS)
def test_rescheduling_keeps_alpha_times_singular_values(schedule):
    D = mixture()
    time, scale = equal_times(D, schedule, 0.4)
    x = points(D)[0]
    s = torch.linalg.svdvals(jacrev(lambda x: D(x, 0.4))(x))
    other = torch.linalg.svdvals(jacrev(lambda x: Rescheduled(D, schedule)(x, time))(scale * x))
    torch.testing.assert_close(scale * other, s)
    if isinstance(schedule, VESchedule):
        assert not torch.allclose(other, s, rtol=1e-2)  # raw singular values do depend on the schedule


def test_rescheduling_does_not_extrapolate():
    with pytest.raises(ValueError, match="stronger"):
        Rescheduled(mixture(), FlowSchedule())(torch.zeros(6), 1.0)


def test_guided_contract():
    check_contract(Guided(unet().double(), [prompt], [1.5]), {"label": LABELS})
    check_contract(Guided(unet().double(), [prompt], [lambda level: level / (1 + level)]), {"label": LABELS})


@torch.no_grad()
def test_guidance_with_weight_zero_is_plain_to_the_bit():
    D, passes = unet(), []
    D.unet.register_forward_hook(lambda _, __, output: passes.append(len(output[0])))
    x = points(D, 4).float()
    for weight in (0.0, lambda level: 0 * level):
        for t in (0.3, torch.tensor([0.1, 0.3, 0.5, 1.0])):
            assert torch.equal(Guided(D, [prompt], [weight])(x, t, label=LABELS), D(x, t, label=LABELS))
    assert set(passes) == {4}  # terms of weight 0 are not evaluated


@torch.no_grad()
def test_guidance_is_classifier_free_guidance():
    """Against the rule of diffusers: eps_0 + guidance_scale (eps_c - eps_0), guidance_scale = 1 + gamma."""
    D, gamma, t = unet().double(), 2.5, 0.4
    x = points(D, 4)
    alpha, sigma = D.schedule(torch.tensor(t, dtype=torch.float64))
    eps_c, eps_0 = ((x - alpha * D(x, t, **c)) / sigma for c in ({"label": LABELS}, {}))
    expected = (x - sigma * (eps_0 + (1 + gamma) * (eps_c - eps_0))) / alpha
    torch.testing.assert_close(Guided(D, [prompt], [gamma])(x, t, label=LABELS), expected)


@torch.no_grad()
def test_guidance_is_one_pass_of_the_network():
    D, passes = unet(), []
    D.unet.register_forward_hook(lambda _, __, output: passes.append(len(output[0])))
    Guided(D, [prompt], [1.0])(points(D, 4).float(), 0.5, label=LABELS)
    assert passes == [8]


@torch.no_grad()
def test_weights_are_functions_of_the_noise_level():
    D = unet().double()
    x, t = points(D, 2), torch.tensor([0.2, 0.7], dtype=torch.float64)
    window = Guided(D, [prompt], [lambda level: 3.0 * (level > 1)])
    assert noise_level(D.schedule, t).tolist() == pytest.approx([0.333, 1.974], abs=0.01)
    label = torch.tensor(1)
    guided, always, never = (d(x, t, label=label) for d in (window, Guided(D, [prompt], [3.0]), D))
    torch.testing.assert_close(guided, torch.stack([never[0], always[1]]))


def test_every_term_needs_a_weight():
    with pytest.raises(ValueError, match="shorter"):
        Guided(unet(), [prompt], [])


def test_stacked_contract():
    networks = Stacked([unet(seed=s) for s in range(2)]).double()
    check_contract(networks, {"label": torch.stack([LABELS, LABELS.flip(0)])}, lead=(2,))
    pictures = points(mixture(), 8).reshape(2, 4, 6)
    check_contract(Stacked([Empirical(CosineSchedule(), p) for p in pictures]), lead=(2,))


@torch.no_grad()
def test_a_stack_is_its_students():
    students = [unet(seed=s).double() for s in range(3)]
    stack = Stacked(students)
    x = points(students[0], 6).reshape(3, 2, *students[0].shape)
    label = torch.tensor([[0, 1], [2, -1], [1, 1]])
    t = torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], dtype=torch.float64)
    value = stack(x, t, label=label)
    for s, student in enumerate(students):
        torch.testing.assert_close(value[s], student(x[s], t[s], label=label[s]), rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(
            stack.unstack(s)(x[s], t[s], label=label[s]), student(x[s], t[s], label=label[s])
        )


def test_a_stack_trains_each_student_alone():
    stack = Stacked([unet(seed=s, classes=0, patch=1) for s in range(2)])
    x = torch.randn(2, 3, *stack.shape, generator=torch.Generator().manual_seed(0))
    parameters = dict(stack.named_parameters())
    assert len(parameters) == len(list(unet(classes=0, patch=1).parameters()))
    stack(x, 0.5)[0].square().sum().backward()
    for name, parameter in parameters.items():
        assert parameter.grad[1].abs().max() == 0, name
    assert sum(parameter.grad[0].abs().sum() for parameter in parameters.values()) > 0


def test_a_stack_refuses_labels_outside():
    stack = Stacked([unet(seed=s) for s in range(2)])
    with pytest.raises(ValueError, match="between 0 and 2"):
        stack(torch.zeros(2, 1, *stack.shape), 0.5, label=torch.tensor(7))


@torch.no_grad()
def test_a_stack_keeps_its_students_through_a_state_dict():
    stack = Stacked([unet(seed=s, classes=0) for s in range(2)])
    other = Stacked([unet(seed=s, classes=0) for s in (7, 8)])
    x = torch.randn(2, 1, *stack.shape, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(other(x, 0.5), stack(x, 0.5))
    other.load_state_dict(stack.state_dict())
    assert torch.equal(other(x, 0.5), stack(x, 0.5))


def test_combinations_combine():
    """Guidance on a stack of students, served under another schedule."""
    stack = Stacked([unet(seed=s) for s in range(2)]).double()
    label = torch.stack([LABELS, LABELS])
    check_contract(
        Rescheduled(Guided(stack, [prompt], [1.0]), VESchedule(0.01, 10.0)), {"label": label}, lead=(2,)
    )
    check_contract(given(Guided(unet().double(), [prompt], [1.0]), label=torch.tensor(1)))
