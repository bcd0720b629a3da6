import copy
import logging
import threading

import pytest
import torch
from diffusers import guiders as theirs
from diffusers.models.attention_processor import Attention

from backend.denoiser.base import branches, given
from backend.denoiser.combine import Guided, prompt
from backend.guidance.guiders import DEGRADED, LARGEST_NORM, MOMENTUM, NAMES, Guider
from backend.guidance.weights import interval
from backend.sampling import dpm_solver, last
from backend.sampling.noise import noise
from backend.sampling.times import grid
from tests.guidance.networks import CONDITION, network

T = torch.tensor(0.6, dtype=torch.float64)


def noisy(n=3):
    return noise(range(n), (1, 8, 8))


def sampled(denoiser, steps=6):
    return last(dpm_solver.solve(denoiser, noisy(), grid(denoiser.schedule, 0.99, 0.0, steps)))


def both(D, x, t=T):
    return branches(D, x, t, [CONDITION, {}])


def dot(a, b):
    return (a * b).flatten(1).sum(1).view(-1, 1, 1, 1)


@pytest.mark.parametrize("gamma", [2.5, -1.0, -0.5])
def test_the_guider_of_cfg_is_our_guidance(gamma):
    D = network()
    expected = given(Guided(D, [prompt], [gamma]), **CONDITION)
    found = Guider("cfg", D, CONDITION, gamma, 6)
    torch.testing.assert_close(found(noisy(), T), expected(noisy(), T), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(sampled(Guider("cfg", D, CONDITION, gamma, 6)), sampled(expected))
    stock = theirs.ClassifierFreeGuidance(guidance_scale=1 + gamma)  # diffusers' own convention
    stock.set_state(0, 6, T)
    D_c, D_u = both(D, noisy())
    torch.testing.assert_close(expected(noisy(), T), stock.forward(D_c, D_u).pred, rtol=1e-5, atol=1e-5)


def test_apg_is_its_formula():
    """Momentum, then the cap, then what is parallel to D_c goes; the second step knows the first."""
    D, gamma, x, t = network(), 3.0, noisy(), 0.99
    guider, before = Guider("apg", D, CONDITION, gamma, 6), 0.0
    for step in range(3):
        x_t = x / (step + 1)
        D_c, D_u = both(D, x_t, t)
        before = D_c - D_u + MOMENTUM * before
        norm = before.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        assert step or (norm > LARGEST_NORM).any()
        capped = before * (LARGEST_NORM / norm).clamp_max(1)
        across = capped - dot(capped, D_c) / dot(D_c, D_c) * D_c
        torch.testing.assert_close(guider(x_t, t), D_c + gamma * across, rtol=1e-4, atol=1e-4)


def test_apg_with_eta_1_and_neither_momentum_nor_cap_is_cfg():
    guider, D = Guider("apg", network(), CONDITION, 2.0, 6), network()
    guider.guider.momentum_buffer.momentum = 0.0
    guider.guider.adaptive_projected_guidance_rescale, guider.guider.eta = 0.0, 1.0
    expected = given(Guided(D, [prompt], [2.0]), **CONDITION)(noisy(), T)
    torch.testing.assert_close(guider(noisy(), T), expected, rtol=1e-5, atol=1e-5)


def test_zero_star_is_its_formula_in_velocities():
    D, gamma, x = network(), 3.0, noisy()
    guider = Guider("zero_star", D, CONDITION, gamma, 6)
    alpha, sigma = (float(a) for a in D.schedule(T))
    torch.testing.assert_close(guider(x, T), x / (alpha + sigma))  # at the first step nothing moves
    v_c, v_u = ((x - alpha * mean) / sigma - mean for mean in both(D, x))  # eps - x_0
    s = dot(v_c, v_u) / dot(v_u, v_u)
    assert (s - 1).abs().min() > 0.01
    v = v_c + gamma * (v_c - s * v_u)
    torch.testing.assert_close(guider(x, T), (x - sigma * v) / (alpha + sigma), rtol=1e-4, atol=1e-4)


def test_a_velocity_of_0_keeps_the_flow_where_it_is():
    """x / (alpha + sigma) is the point of flow matching at the same noise level."""
    D = network()
    times = torch.tensor([0.9, 0.5], dtype=torch.float64)
    ((x, _),) = dpm_solver.solve(Guider("zero_star", D, CONDITION, 1.0, 6), noisy(), times)
    start, end = (float(sum(D.schedule(t))) for t in times)
    torch.testing.assert_close(x / end, noisy() / start)


def degraded(D, processor):
    """The network with another processor in the attention of its middle block."""
    D = copy.deepcopy(D)
    for module in D.unet.mid_block.attentions.modules():
        if isinstance(module, Attention):
            module.set_processor(processor)
    return D


def values_alone(attention, hidden, *_, **__):
    """Self-attention whose matrix of scores is the identity."""
    flat = hidden.flatten(2).mT
    normed = attention.group_norm(flat.mT).mT
    out = attention.to_out[0](attention.to_v(normed))
    return (out.mT.reshape(hidden.shape) + hidden) / attention.rescale_output_factor


def nothing(attention, hidden, *_, **__):
    return hidden


@pytest.mark.parametrize(("name", "processor"), [("pag", values_alone), ("autoguidance", nothing)])
def test_the_degraded_network_is_the_one_it_should_be(name, processor):
    """PAG: attention without scores; autoguidance: no attention; both for the class, in the middle block alone, at every step."""
    D, x, gamma = network(), noisy(), 2.0
    worse = degraded(D, processor)
    D_c, D_bad = D(x, T, **CONDITION), worse(x, T, **CONDITION)
    assert (D_c - D_bad).abs().max() > 1e-3
    guider = Guider(name, D, CONDITION, gamma, 3)
    for _ in range(3):
        torch.testing.assert_close(guider(x, T), D_c + gamma * (D_c - D_bad), rtol=1e-4, atol=1e-5)
    backwards = Guider(name, D, CONDITION, -1.0, 3)(x, T)
    torch.testing.assert_close(backwards, D_bad, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_without_weight_it_is_the_conditional_network_to_the_bit(name):
    D = network()
    plain = given(D, **CONDITION)
    assert torch.equal(sampled(Guider(name, D, CONDITION, 0.0, 6)), sampled(plain))
    window = Guider(name, D, CONDITION, interval(2.0, 0.2, 1.0), 6)
    assert torch.equal(window(noisy(), 0.9), plain(noisy(), 0.9))  # before any step that is guided
    assert not torch.equal(window(noisy(), 0.4), plain(noisy(), 0.4))
    assert torch.equal(window(noisy(), 0.05), plain(noisy(), 0.05))


@pytest.mark.parametrize("name", NAMES)
def test_the_network_stays_as_it_was(name):
    """No hook of diffusers, no other attention, and none on the copy between two evaluations either."""
    D = network()
    before = D(noisy(), T, **CONDITION)
    processors = [type(m.processor) for m in D.unet.modules() if isinstance(m, Attention)]
    guider = Guider(name, D, CONDITION, 2.0, 6)
    sampled(guider)
    assert torch.equal(D(noisy(), T, **CONDITION), before)
    assert [type(m.processor) for m in D.unet.modules() if isinstance(m, Attention)] == processors
    assert not any(hasattr(m, "_diffusers_hook") for m in D.modules())
    if name in DEGRADED:
        hooks = [m._diffusers_hook.hooks for m in guider.degraded.modules() if hasattr(m, "_diffusers_hook")]
        assert hooks and not any(hooks)
        torch.testing.assert_close(guider.degraded(noisy(), T, **CONDITION), before, rtol=1e-4, atol=1e-5)


def test_a_hook_goes_even_if_the_network_fails():
    guider = Guider("pag", network(), CONDITION, 2.0, 6)
    with pytest.raises(RuntimeError):
        guider(torch.zeros(1, 1, 8, 8, dtype=torch.float32)[..., :7], T)
    assert not any(
        m._diffusers_hook.hooks for m in guider.degraded.modules() if hasattr(m, "_diffusers_hook")
    )


def test_two_threads_with_different_rules_do_not_disturb_one_another():
    D = network()
    names = ["pag", "cfg", "autoguidance", "pag", "zero_star", "apg"]
    alone = {name: sampled(Guider(name, D, CONDITION, 2.0, 20), 20) for name in set(names)}
    found, start = {}, threading.Barrier(len(names))

    def one(place, name):
        start.wait()
        found[place] = sampled(Guider(name, D, CONDITION, 2.0, 20), 20)

    threads = [threading.Thread(target=one, args=pair) for pair in enumerate(names)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place, name in enumerate(names):
        assert torch.equal(found[place], alone[name]), name


@pytest.mark.parametrize("name", NAMES)
def test_evaluations(name):
    """Class and null in one pass; a degraded network takes a second one."""
    D, seen = network(), []
    guider = Guider(name, D, CONDITION, interval(2.0, 0.2, 1.0), 6)
    for network_ in filter(None, (D, guider.degraded)):
        network_.unet.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    guider(noisy(), 0.4)
    assert seen == ([3, 3] if name in DEGRADED else [6])
    seen.clear()
    guider(noisy(), 0.9)
    assert seen == [3]


def test_the_watch_sees_what_the_guider_is_given():
    D, seen = network(), []
    Guider("apg", D, CONDITION, 2.0, 6, lambda *given: seen.append(given))(noisy(), T)
    ((x_t, t, D_c, D_u),) = seen
    assert torch.equal(x_t, noisy()) and t == T
    torch.testing.assert_close(torch.stack([D_c, D_u]), both(D, noisy()))
    Guider("pag", D, CONDITION, 2.0, 6, lambda *given: seen.append(given))(noisy(), T)
    assert len(seen) == 1


def test_it_is_quiet_and_refuses_what_is_no_guider(caplog):
    with caplog.at_level(logging.WARNING):
        for name in NAMES:
            Guider(name, network(), CONDITION, 2.0, 6)
    assert not caplog.records
    with pytest.raises(ValueError, match="no guider 'magnitude'"):
        Guider("magnitude", network(), CONDITION, 2.0, 6)
