"""The rules of guidance other than the default, inside the request."""

import math
import threading
from dataclasses import replace
from typing import get_args, get_type_hints

import pytest
import torch

from backend.data import digits
from backend.denoiser.base import given
from backend.denoiser.combine import Guided
from backend.experiments.guide import GuideNetwork
from backend.experiments.guide_rules import GuideRatios, grid, pictures_of
from backend.guidance import cfg_plus_plus, recfg
from backend.guidance.classifier_guidance import classifier_term
from backend.guidance.guiders import DEGRADED, Guider
from backend.guidance.power_law import power_law
from backend.guidance.weights import constant
from backend.inference import cache
from backend.inference.load import load
from backend.request import BadInput, Request
from backend.sampling import ancestral, dpm_solver, last
from backend.sampling.noise import noise
from backend.schedule import noise_level
from tests.experiments.guiding import TINY, own_results, result  # noqa: F401  a fixture

RULES = get_args(get_type_hints(GuideNetwork)["rule"])
OTHERS = RULES[1:]
BLIND = (*DEGRADED, "classifier")
CONDITION = {"label": torch.tensor(3)}


def start(schedule):
    return noise(range(5, 8), (1, 8, 8)) * float(torch.hypot(*schedule(torch.ones(()).double())))


def sampled(denoiser, solver="ode"):
    x, times = start(denoiser.schedule), grid(denoiser.schedule, 6)
    if solver == "sde":
        return last(ancestral.solve(denoiser, x, times, range(5, 8)))
    return last(dpm_solver.solve(denoiser, x, times))


def expected(rule, gamma, solver="ode"):
    """The rule's samples from the modules that have one each, without anything of the experiment's."""
    D = load("digits").denoiser
    times = grid(D.schedule, 6)
    if rule == "cfg_plus_plus":
        return last(cfg_plus_plus.solve(D, CONDITION, start(D.schedule), times, constant(gamma)))
    if rule == "power_law":
        return sampled(given(Guided(D, [power_law(D.schedule, 3)], [gamma]), **CONDITION), solver)
    if rule == "recfg":
        *_, ratios = GuideRatios("digits", "3", 6).run(load("digits"))
        table = dict(zip(times.tolist(), ratios.table, strict=False))
        term = recfg.recfg(D.schedule, lambda t: table[t.item()])
        return sampled(given(Guided(D, [term], [gamma]), **CONDITION), solver)
    if rule == "classifier":
        term = classifier_term(load("digits").noise_classifier(), D.schedule, 3)
        return sampled(given(Guided(D, [term], [gamma]), label=torch.tensor(-1)), solver)  # D_c is D_u
    return sampled(Guider(rule, D, CONDITION, gamma, 6), solver)


@pytest.mark.parametrize("solver", ["ode", "sde"])
@pytest.mark.parametrize("rule", OTHERS)
def test_a_rule_is_what_its_module_says(rule, solver):
    if (rule, solver) == ("cfg_plus_plus", "sde"):
        return
    found = result(rule=rule, solver=solver, gamma=2.0)
    torch.testing.assert_close(found.guided.samples, expected(rule, 2.0, solver), rtol=1e-4, atol=1e-4)
    assert torch.equal(found.plain.samples, result(solver=solver, gamma=0.0).guided.samples)
    assert (found.guided.samples - found.plain.samples).abs().max() > 1e-3
    assert (found.guided.samples - result(solver=solver, gamma=2.0).guided.samples).abs().max() > 1e-3


@pytest.mark.parametrize("rule", [rule for rule in OTHERS if rule != "classifier"])
def test_without_weight_every_rule_is_plain_sampling_to_the_bit(rule):
    """Of no weight at all nothing else is asked, and outside a window a step is that of D_c: of CFG++, DDIM's."""
    found = result(rule=rule, gamma=0.0)
    assert torch.equal(found.guided.samples, found.plain.samples)
    assert found.guided.asked == 18 and found.guided.evaluations == 6
    assert found.idle.startswith("Nothing is guided, because gamma is 0.")
    late = result(rule=rule, weight="interval", low=0.001, high=0.01)
    assert torch.equal(late.guided.samples, found.plain.samples)
    early = result(rule=rule, weight="interval", low=1e4, high=1e6)  # the first step alone
    assert early.guided.readings.asked.tolist() == [6, 3, 3, 3, 3, 3]
    if rule != "cfg_plus_plus":
        window = result(rule=rule, weight="interval", low=0.5, high=20.0)
        assert torch.equal(window.guided.states[0], window.plain.states[0])


def test_a_classifier_without_weight_samples_all_data():
    found = result(rule="classifier", gamma=0.0)
    assert torch.equal(found.guided.samples, sampled(load("digits").denoiser))
    assert not torch.equal(found.guided.samples, found.plain.samples)
    assert found.idle.startswith("The classifier guides nothing, because the weight is 0 at every step")


@pytest.mark.parametrize("rule", RULES)
def test_readings_and_evaluations_of_every_rule(rule):
    """At the first step every rule that looks at D_c and D_u sees the same two."""
    network, seen = load("digits"), []
    for once in (GuideNetwork(**TINY, gamma=0.0), GuideRatios("digits", "3", 6)):
        cache.results.put(once.key(), list(once.run(network))[-1])
    # A copy of the network takes its hook along.
    handle = network.denoiser.unet.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    try:
        found = result(rule=rule, weight="interval", low=0.5, high=1e6).guided
    finally:
        handle.remove()
    guided = found.readings.weight != 0
    assert 0 < guided.sum() < 6
    once = torch.where(guided, 1 if rule == "classifier" else 2, 1) * 3
    assert torch.equal(found.readings.asked, once) and found.asked == int(once.sum())
    assert found.evaluations == 6 + int(guided.sum()) * (rule in DEGRADED)
    assert sum(seen) == found.asked and len(seen) == found.evaluations
    if rule in BLIND:
        assert found.readings.difference.isnan().all() and found.readings.residual.isnan().all()
    else:
        usual = result(weight="interval", low=0.5, high=1e6).guided.readings
        torch.testing.assert_close(found.readings.difference[0], usual.difference[0])
        torch.testing.assert_close(found.readings.cosine[0], usual.cosine[0])
        assert torch.equal(found.readings.residual.isnan(), ~guided)


def test_the_ratios_are_from_noisy_pictures_of_the_class_and_computed_once():
    network = load("digits")
    *progress, ratios = GuideRatios("digits", "3", 6).run(network)
    assert ratios.table.shape == (6, 1, 8, 8) and ratios.asked == 2 * 32 * 6 and len(progress) == 7
    own = pictures_of("digits", "3", 32)
    pictures, labels = digits.split("train")
    assert torch.equal(own, pictures[labels == 3][:32])
    assert (ratios.table[0] - 1).abs().max() < 1e-3  # of noise alone both networks see the same
    assert (ratios.table[3:] - 1).abs().max() > 0.01
    request = GuideNetwork(**TINY, rule="recfg")
    assert request.needs() == (request.plain(), GuideRatios("digits", "3", 6))
    result(rule="recfg")
    assert cache.find(GuideRatios("digits", "3", 6)) is not None
    assert pictures_of("avatars", "sad", 2).shape == (2, 3, 64, 64)


def test_what_a_rule_has_to_say():
    found = result(rule="cfg_plus_plus", gamma=3.0)
    schedule = load("digits").denoiser.schedule
    levels = noise_level(schedule, grid(schedule, 6))
    same = cfg_plus_plus.equivalent(torch.full((6,), 3.0).double(), levels)
    assert f"gamma from {same.min():.2f} to {same.max():.2f}." in found.note
    assert "The ratios took 384 samples" in result(rule="recfg").note
    assert "gamma = 0 would be samples of all classes" in result(rule="classifier").note
    assert result(rule="pag").note == ""
    assert "A gamma above 11.5 changes nothing" in result(rule="cfg_plus_plus", gamma=20.0).idle
    assert result(rule="power_law").idle == ""


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"rule": "magnitude"}, "The rule must be one of cfg, apg, zero_star"),
        ({"rule": "apg", "mode": "linear"}, "go with classifier-free guidance alone"),
        ({"rule": "classifier", "mode": "projected"}, "go with classifier-free guidance alone"),
        ({"rule": "cfg_plus_plus", "solver": "sde"}, "needs the solver ode"),
        ({"rule": "pag", "gamma": math.nan}, "finite number"),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_a_sentence(values, sentence):
    with pytest.raises(BadInput, match=sentence + r".*\.$"):
        GuideNetwork.parse(TINY | values)


def test_bad_ratios_are_a_sentence():
    for values in ({"label": "ten"}, {"steps": 2}):
        with pytest.raises(BadInput, match=r"\.$"):
            GuideRatios.parse({"model": "digits", "label": "3"} | values)
    model = load("digits")
    bare = replace(model, card=replace(model.card, data="patches"))
    with pytest.raises(BadInput, match="no classifier of noisy pictures"):
        result(bare, rule="classifier")


def test_a_link_keeps_the_rule():
    request = GuideNetwork(**TINY, rule="zero_star")
    assert Request.from_query(request.to_query()) == request
    assert request.key() != GuideNetwork(**TINY).key()


def test_two_rules_at_once_do_not_disturb_one_another():
    alone = {rule: result(rule=rule).guided.samples for rule in ("pag", "autoguidance", "cfg")}
    found, begin = {}, threading.Barrier(3)

    def one(rule):
        begin.wait()
        found[rule] = result(rule=rule).guided.samples

    threads = [threading.Thread(target=one, args=(rule,)) for rule in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for rule, samples in alone.items():
        assert torch.equal(found[rule], samples), rule
