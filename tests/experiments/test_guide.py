import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from backend.denoiser.base import given
from backend.denoiser.combine import Guided, prompt
from backend.experiments import guide_quality
from backend.experiments.guide import BYTES, GuideNetwork, NetworkGuidance, Underway, grid
from backend.experiments.guide_quality import real_trace, seen
from backend.guidance import class_statistics
from backend.guidance.split import Split, nearest
from backend.guidance.terms import PairDenoiser
from backend.inference import cache
from backend.inference.load import load
from backend.inference.run import run
from backend.jobs import result_file
from backend.request import Progress
from backend.sampling import ancestral, dpm_solver, last
from backend.sampling.noise import noise
from backend.schedule import CosineSchedule, noise_level
from tests.experiments.guiding import FACES, OFF, TINY, own_results, result  # noqa: F401  a fixture


def linear_network(label="3"):
    """digits' network replaced by its linear model."""
    network, stats = load("digits"), class_statistics.of_class("digits", label)
    linear = PairDenoiser(stats.pair, CosineSchedule(), (1, 8, 8))
    linear.register_buffer("place", torch.zeros(()))  # a model is where its buffers are
    return replace(network, denoiser=linear)


def sampled(denoiser, values, solver="ode"):
    """What a solver makes of the same noises, without anything of the experiment's."""
    seed, n = values.get("seed", 0), values["samples"]
    times = grid(denoiser.schedule, values["steps"])
    x = noise(range(seed, seed + n), denoiser.shape)
    x = x * float(torch.hypot(*denoiser.schedule(times[0])))
    if solver == "sde":
        return last(ancestral.solve(denoiser, x, times, range(seed, seed + n)))
    return last(dpm_solver.solve(denoiser, x, times))


class Counting(torch.nn.Module):
    """A denoiser that notes how many samples each of its evaluations had."""

    def __init__(self, denoiser):
        super().__init__()
        self.denoiser, self.seen = denoiser, []
        self.schedule, self.shape, self.null = denoiser.schedule, denoiser.shape, denoiser.null
        self.batch, self.complete = denoiser.batch, denoiser.complete

    def forward(self, x_t, t, **condition):
        self.seen.append(math.prod(self.batch(x_t)))
        return self.denoiser(x_t, t, **condition)


@pytest.mark.parametrize("solver", ["ode", "sde"])
@pytest.mark.parametrize("values", [TINY, FACES], ids=["digits", "avatars"])
def test_without_guidance_it_is_plain_sampling_to_the_bit(values, solver):
    network = load(values["model"])
    expected = sampled(given(network.denoiser, **network.condition(label=values["label"])), values, solver)
    for mode in ("network", "linear", "projected"):
        found = result(**values, solver=solver, gamma=0.0, mode=mode)
        assert torch.equal(found.guided.samples, expected) and torch.equal(found.plain.samples, expected)
    guided = result(**values, solver=solver, gamma=2.0)
    assert torch.equal(guided.plain.samples, expected)
    assert not torch.equal(guided.guided.samples, expected)


@pytest.mark.parametrize("values", [TINY, TINY | {"solver": "sde"}, FACES], ids=["digits", "sde", "avatars"])
def test_the_mode_network_is_classifier_free_guidance(values):
    network, found = load(values["model"]), result(**values)
    gamma = GuideNetwork().gamma
    denoiser = given(Guided(network.denoiser, [prompt], [gamma]), **network.condition(label=values["label"]))
    assert torch.equal(found.guided.samples, sampled(denoiser, values, values.get("solver", "ode")))
    windowed = result(**values, weight="interval", low=0.5, high=20.0)
    expected = Guided(network.denoiser, [prompt], [lambda level: gamma * ((level > 0.5) & (level <= 20.0))])
    expected = given(expected, **network.condition(label=values["label"]))
    assert torch.equal(
        windowed.guided.samples, sampled(expected, values, values.get("solver", "ode")).clamp(-1e4, 1e4)
    )


@pytest.mark.parametrize("values", [TINY, FACES], ids=["digits", "avatars"])
def test_all_parts_together_are_the_networks_whole_difference(values):
    whole, parts = result(**values), result(**values, mode="projected")
    torch.testing.assert_close(parts.guided.samples, whole.guided.samples, rtol=1e-4, atol=1e-4)
    some = result(**values, mode="projected", residual=False)
    rest = result(**values, mode="projected", mean_shift=False, positive=False, negative=False)
    assert (some.guided.samples - whole.guided.samples).abs().max() > 0.01
    assert (rest.guided.samples - whole.guided.samples).abs().max() > 0.01


def test_a_step_is_the_sum_of_its_parts():
    """One evaluation, each part alone; the linear mode adds the parts of the data's two Gaussians as they are."""
    network, stats = load("digits"), class_statistics.of_class("digits", "3")
    x, t = noise(range(3), (1, 8, 8)), torch.tensor(0.7, dtype=torch.float64)
    D_c, D_u = network.denoiser(x, t, label=torch.tensor(3)), network.denoiser(x, t)

    def added(mode, *on):
        return Split(stats, network.denoiser.schedule, mode, on)(x, t, D_c, D_u)

    single = [tuple(i == j for j in range(4)) for i in range(4)]
    for mode in ("projected", "linear"):
        for_each = [added(mode, *on) for on in single[: 4 if mode == "projected" else 3]]
        both = added(mode, True, True, False, False)
        torch.testing.assert_close(both, for_each[0] + for_each[1], rtol=1e-4, atol=1e-5)
        whole = D_c - D_u
        if mode == "linear":
            linear = PairDenoiser(stats.pair, network.denoiser.schedule, (1, 8, 8))
            whole = linear(x, t, label=torch.tensor(0)) - linear(x, t)
        torch.testing.assert_close(sum(for_each), whole, rtol=1e-4, atol=1e-5)
    residual = added("projected", *single[3]).flatten(1)
    for on in single[:3]:  # nothing of the linear parts is left in it
        cosine = torch.cosine_similarity(residual, added("linear", *on).flatten(1))
        assert cosine.abs().max() < 1e-4


def test_switched_off_parts_are_no_guidance():
    found = result(mode="linear", **OFF)
    assert torch.equal(found.guided.samples, found.plain.samples)
    assert found.guided.asked == 18  # not even asked for D_u
    assert found.idle.startswith("Nothing is guided, because all parts are switched off.")
    assert torch.equal(result(mode="projected", **OFF).guided.samples, found.plain.samples)


def test_a_network_that_is_the_linear_model_has_no_residual():
    network = linear_network()
    whole, linear = (result(network, mode=mode, gamma=1.0, steps=10) for mode in ("network", "linear"))
    torch.testing.assert_close(whole.guided.samples, linear.guided.samples, rtol=1e-4, atol=1e-4)
    readings = whole.guided.readings
    assert readings.residual.max() < 1e-5 and readings.apart.max() < 1e-5
    assert readings.cosine.min() > 1 - 1e-5
    torch.testing.assert_close(readings.linear, readings.projected, rtol=1e-2, atol=1e-4)
    seen = readings.level < 10  # where no part is rounding
    torch.testing.assert_close(
        readings.multiples[:, seen], torch.ones(3, int(seen.sum()), dtype=torch.float64), rtol=0, atol=0.02
    )
    for on in ("mean_shift", "positive", "negative"):
        alone = OFF | {on: True}
        first, second = (
            result(network, mode=mode, gamma=1.0, steps=10, **alone) for mode in ("linear", "projected")
        )
        torch.testing.assert_close(first.guided.samples, second.guided.samples, rtol=1e-2, atol=1e-2)


def test_the_nearest_multiples_are_least_squares():
    generator = torch.Generator().manual_seed(0)
    shift, positive, negative, difference = torch.randn(4, 5, 20, generator=generator, dtype=torch.float64)
    positive[:, 10:], negative[:, :10] = 0, 0  # orthogonal, as the CPCs are
    found = nearest(difference, torch.stack([shift, positive, negative]))
    for i in range(5):
        basis = torch.stack([shift[i], positive[i], negative[i]], 1)
        expected = torch.linalg.lstsq(basis, difference[i][:, None]).solution[:, 0]
        torch.testing.assert_close(found[:, i], expected)
    nothing = torch.zeros_like(shift)
    assert torch.equal(nearest(difference, torch.stack([nothing] * 3)), torch.zeros(3, 5).double())
    twins = nearest(difference, torch.stack([2 * positive, positive, negative]))
    assert (twins[0] == 0).all() and twins.isfinite().all()


def test_pictures_come_early_and_the_last_result_is_whole():
    *early, found = run(GuideNetwork(**FACES, gamma=2.0))
    steps = [event for event in early if isinstance(event, Underway)]
    assert [event.step for event in steps] == [1, 2]
    following = [after for event, after in pairwise(early) if isinstance(event, Underway)]
    assert [event.done for event in following] == [1, 2]
    for event in steps:
        assert event.x0_hat.shape == (2, 3, 64, 64) and event.x0_hat.dtype == torch.float16
        assert torch.equal(event.x0_hat, found.guided.states[event.step - 1])
    assert isinstance(found, NetworkGuidance)
    assert found.guided.samples.shape == (2, 3, 64, 64)
    assert found.guided.states.shape == found.plain.states.shape == (4, 2, 3, 64, 64)
    assert found.guided.paths.shape == (4, 2, 2)
    told = [event for event in early if isinstance(event, Progress)]
    assert sum(event.done == 3 for event in told) == 2  # guided, then gamma = 0
    long = [event for event in run(GuideNetwork(**TINY | {"steps": 45})) if isinstance(event, Underway)]
    assert len(long) == 14


def test_gamma_0_is_computed_once():
    result(mode="network")
    assert cache.find(GuideNetwork(**TINY, gamma=0.0)) is not None
    network = replace(load("digits"), denoiser=Counting(load("digits").denoiser))
    found = result(network, mode="linear")
    assert network.denoiser.seen == [6] * 6
    assert GuideNetwork(**TINY, gamma=2.0).needs() == (GuideNetwork(**TINY, gamma=0.0),)
    assert GuideNetwork(**TINY, gamma=0.0).needs() == ()
    assert torch.equal(found.plain.samples, result(gamma=0.0).guided.samples)


def test_evaluations_are_counted():
    """One pass a step: of n samples, or of class and null together, 2 n, where something is guided."""
    network = replace(load("digits"), denoiser=Counting(load("digits").denoiser))
    for values in ({}, {"weight": "interval", "low": 0.1, "high": 5.0}, {"mode": "linear", "solver": "sde"}):
        network.denoiser.seen.clear()
        cache.results = cache.Cache(2**28, result_file.size)
        found = result(network, **values)
        guided, plain = found.guided, found.plain
        assert guided.evaluations == plain.evaluations == 6
        assert guided.readings.asked.tolist() + plain.readings.asked.tolist() == network.denoiser.seen
        assert guided.asked + plain.asked == sum(network.denoiser.seen)
        assert plain.asked == 18
        doubled = (guided.readings.weight != 0).tolist()
        assert guided.readings.asked.tolist() == [6 if both else 3 for both in doubled]
        assert guided.readings.residual.isnan().tolist() == [not both for both in doubled]


def test_a_cancel_stops_the_network():
    network = replace(load("digits"), denoiser=Counting(load("digits").denoiser))
    events = GuideNetwork(**TINY).run(network)
    while not isinstance(next(events), Underway):
        pass
    events.close()
    assert len(network.denoiser.seen) == 1
    assert cache.find(GuideNetwork(**TINY, gamma=0.0)) is None
    assert torch.is_grad_enabled()


def test_readings():
    """Against the network itself, at the first step, where x is noise alone."""
    found, network = result(gamma=1.0), load("digits")
    readings, stats = found.guided.readings, class_statistics.of_class("digits", "3")
    x = noise(range(5, 8), (1, 8, 8)) * float(
        torch.hypot(*network.denoiser.schedule(torch.ones(()).double()))
    )
    D_c, D_u = network.denoiser(x, 1.0, label=torch.tensor(3)), network.denoiser(x, 1.0)
    difference = (D_c - D_u).flatten(1).double()
    assert float(readings.difference[0]) == pytest.approx(
        float(difference.square().sum(1).mean().sqrt()), 1e-4
    )
    shift = stats.pair.difference  # all that the linear models differ by without a picture
    assert float(readings.linear[0, 0]) == pytest.approx(float(shift.norm()), 1e-4)
    assert float(readings.cosine[0]) == pytest.approx(
        float(torch.cosine_similarity(difference, shift[None]).mean()), 1e-3
    )
    torch.testing.assert_close(
        readings.level, noise_level(network.denoiser.schedule, grid(network.denoiser.schedule, 6)[:-1])
    )
    assert readings.level[1].item() == pytest.approx(100) and readings.level[-1].item() == pytest.approx(0.02)
    assert ((readings.residual >= 0) & (readings.residual <= 1)).all()
    assert found.area == pytest.approx(math.log(100 / 0.02))


def test_quality():
    faces = result(**FACES, gamma=1.0)
    read = load("avatars").reader()(faces.guided.samples.clamp(-1, 1))[1].softmax(1)
    own = load("avatars").card.labels.index("sad")
    quality = faces.guided.quality
    assert (
        quality.accuracy.value == float((read.argmax(1) == own).double().mean()) and quality.accuracy.n == 2
    )
    assert quality.probability == pytest.approx(float(read[:, own].mean()), 1e-4)
    flat = faces.guided.samples.flatten(1).double()
    assert quality.variance.value == pytest.approx(float(flat.var(0).sum()) / real_trace("avatars", "sad"))
    assert faces.note == "" and faces.pictures == 1000 and faces.d == 32 and 0.05 < faces.chance < 0.5
    digits = result(gamma=1.0)
    assert digits.guided.quality.accuracy.n == 3 and digits.note == ""
    assert digits.chance < 0.1
    assert digits.guided.quality.clipped == pytest.approx(
        float((digits.guided.samples.abs() > 1.02).double().mean())
    )
    with_all = guide_quality.quality(load("avatars"), "sad", seen(torch.full((2, 3, 64, 64), math.nan)))
    assert with_all.variance.value == 0 and with_all.clipped == 0


def test_states_are_bounded_and_what_explodes_is_cut():
    found = result(**FACES, gamma=100.0, mode="linear", negative=False)
    assert found.guided.samples.isfinite().all() and found.guided.states.isfinite().all()
    assert found.guided.samples.abs().max() <= 1e4
    most = GuideNetwork(samples=40, steps=100)
    kept = most._kept(load("avatars"))
    assert kept == 6 and kept * 101 * 3 * 64 * 64 * 2 <= BYTES
    assert GuideNetwork()._kept(load("avatars")) == 16
