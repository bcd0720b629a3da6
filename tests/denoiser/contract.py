"""What every denoiser promises, checked on one denoiser in float64, so that tolerances can be tight."""

import pytest
import torch
from torch import Tensor
from torch.func import jvp, vjp

from backend.denoiser.base import Condition, Denoiser, branches
from backend.denoiser.combine import Rescheduled
from backend.schedule import VESchedule

BATCH = 4


def check_contract(
    denoiser: Denoiser, condition: Condition | None = None, lead: tuple[int, ...] = (), t: float = 0.4
) -> None:
    """Assert the contract of `Denoiser`.

    Args:
        denoiser: in float64.
        condition: values of shape (*lead, 4), a different one for each sample.
        lead: batch axes that every input must have (the students of a stack).
        t: the time of the derivatives.
    """
    condition = dict(condition or {})
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(*lead, BATCH, *denoiser.shape, generator=generator, dtype=torch.float64)
    axis = len(lead)
    check_values(denoiser, x, t, condition)
    check_batch(denoiser, x, t, condition, axis)
    check_derivatives(lambda x: denoiser(x, t, **condition), x, generator)
    check_schedule(denoiser, x, t, condition)
    check_conditions(denoiser, x, t, condition, axis)


def check_values(denoiser: Denoiser, x: Tensor, t: float, condition: Condition) -> None:
    value = denoiser(x, t, **condition)
    assert torch.equal(value, denoiser(x, t, **condition)), "not deterministic"
    assert torch.equal(value, denoiser(x, torch.tensor(t, dtype=torch.float64), **condition))
    for dtype in (torch.float32, torch.float64):
        y = denoiser(x.to(dtype), t, **condition)
        assert y.shape == x.shape and y.dtype == dtype and y.device == x.device
        torch.testing.assert_close(y.double(), value, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(value, denoiser(x, t / 2, **condition)), "does not see t"


def check_batch(denoiser: Denoiser, x: Tensor, t: float, condition: Condition, axis: int) -> None:
    """Any number of batch axes; each sample has its own time and condition and sees no other sample."""
    times = torch.linspace(t / 2, t, BATCH, dtype=torch.float64).expand(x.shape[: axis + 1])
    value = denoiser(x, times, **condition)
    for i in range(BATCH):
        own = {name: c.select(axis, i) for name, c in condition.items()}
        alone = denoiser(x.select(axis, i), times.select(axis, i), **own)
        torch.testing.assert_close(value.select(axis, i), alone, rtol=1e-9, atol=1e-9)

    def folded(a: Tensor) -> Tensor:
        return a.unflatten(axis, (2, BATCH // 2))

    value_folded = denoiser(folded(x), folded(times), **{name: folded(c) for name, c in condition.items()})
    torch.testing.assert_close(value_folded, folded(value), rtol=1e-9, atol=1e-9)


def check_derivatives(f, x: Tensor, generator: torch.Generator) -> None:
    """jvp and second derivative = finite differences; vjp the adjoint of jvp; double backward = jvp."""
    v, w, u = (torch.randn(x.shape, generator=generator, dtype=x.dtype) for _ in range(3))
    h = 1e-5
    _, Jv = jvp(f, (x,), (v,))
    torch.testing.assert_close(Jv, (f(x + h * v) - f(x - h * v)) / (2 * h), rtol=1e-5, atol=1e-6)

    many = torch.vmap(lambda v: jvp(f, (x,), (v,))[1])(torch.stack([v, w]))
    torch.testing.assert_close(many[0], Jv, rtol=1e-9, atol=1e-9)

    _, transposed = vjp(f, x)
    torch.testing.assert_close((u * Jv).sum(), (transposed(u)[0] * v).sum(), rtol=1e-9, atol=1e-9)

    def row(x: Tensor, u: Tensor) -> Tensor:
        return torch.autograd.grad((f(x) * u).sum(), x, create_graph=True)[0]

    x, u = x.clone().requires_grad_(), u.requires_grad_()
    Ju = row(x, u)
    twice = torch.autograd.grad((Ju * v).sum(), u, retain_graph=True)[0]
    torch.testing.assert_close(twice, Jv, rtol=1e-9, atol=1e-9)

    second = torch.autograd.grad((Ju * v).sum(), x, allow_unused=True, materialize_grads=True)[0]
    difference = ((row(x + h * w, u) - row(x - h * w, u)) * v).sum() / (2 * h)
    torch.testing.assert_close((second * w).sum(), difference.detach(), rtol=1e-4, atol=1e-5)


def check_schedule(denoiser: Denoiser, x: Tensor, t: float, condition: Condition) -> None:
    """Finite everywhere, continuous at t_min, and the same function of x_t / alpha under another schedule."""
    t_min = denoiser.schedule.t_min
    for time in (0.0, t_min / 2, t_min, 0.5, 1.0):
        assert denoiser(x, time, **condition).isfinite().all(), f"not finite at t = {time}"
    below, above = (denoiser(x, t_min * (1 + e), **condition) for e in (-1e-9, 1e-9))
    torch.testing.assert_close(below, above, rtol=1e-5, atol=1e-5)

    exploding = VESchedule()
    time = torch.tensor(t, dtype=torch.float64)
    alpha, _ = denoiser.schedule(time)
    other = Rescheduled(denoiser, exploding)(
        x / alpha, exploding.time(denoiser.schedule.log_snr(time)), **condition
    )
    torch.testing.assert_close(other, denoiser(x, t, **condition), rtol=1e-7, atol=1e-7)


def check_conditions(denoiser: Denoiser, x: Tensor, t: float, condition: Condition, axis: int) -> None:
    """Unknown names are refused; a missing condition is the null one; branches are the single answers."""
    with pytest.raises(ValueError, match="no condition 'nonsense'"):
        denoiser(x, t, nonsense=torch.tensor(0))
    assert condition.keys() == denoiser.null.keys(), "check_contract needs a value for every condition"
    plain, conditional = denoiser(x, t), denoiser(x, t, **condition)
    torch.testing.assert_close(denoiser(x, t, **denoiser.null), plain, rtol=1e-9, atol=1e-9)
    if condition:
        assert not torch.allclose(plain, conditional), "does not see its condition"
    both = branches(denoiser, x, t, [condition, {}])
    torch.testing.assert_close(both, torch.stack([conditional, plain]), rtol=1e-9, atol=1e-9)
    times = torch.linspace(t / 2, t, BATCH, dtype=torch.float64).expand(x.shape[: axis + 1])
    torch.testing.assert_close(
        branches(denoiser, x, times, [condition])[0], denoiser(x, times, **condition), rtol=1e-9, atol=1e-9
    )
