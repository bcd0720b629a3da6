import math

import pytest
import torch

from backend.data import digits
from backend.denoiser.base import given
from backend.denoiser.combine import Guided, prompt
from backend.experiments.guide_patterns import WAYS, CompareClasses, Patterns, SideBySide, between, held, way
from backend.experiments.guide_rules import grid
from backend.guidance.class_statistics import LABELS, of_class
from backend.guidance.terms import PairDenoiser
from backend.inference.load import load
from backend.inference.run import run
from backend.jobs import result_file
from backend.metrics.two_way import shares
from backend.request import BadInput, Progress, Request
from backend.sampling import dpm_solver, last
from backend.sampling.noise import noise
from backend.schedule import CosineSchedule

TINY = CompareClasses(noises=3, steps=5, gamma=1.5, seed=4)


@pytest.fixture(scope="module")
def events():
    return list(TINY.run(load("digits")))


@pytest.fixture(scope="module")
def found(events):
    return events[-1]


def by_hand(denoiser, label):
    """Samples of one class, by the solver alone."""
    times = grid(denoiser.schedule, TINY.steps)
    start = noise(range(4, 7), denoiser.shape) * float(torch.hypot(*denoiser.schedule(times[0])))
    return last(dpm_solver.solve(given(denoiser, label=torch.tensor(label)), start, times))


def test_every_class_starts_from_the_same_noises(found):
    network = load("digits").denoiser
    for name, denoiser in (("conditional", network), ("cfg", Guided(network, [prompt], [TINY.gamma]))):
        pictures = found.ways[WAYS.index(name)].pictures
        assert pictures.shape == (3, 10, 1, 8, 8) and pictures.dtype == torch.uint8
        for label in (0, 7):
            expected = ((by_hand(denoiser, label).clamp(-1, 1) + 1) * 127.5).round()
            assert (pictures[:, label] - expected).abs().max() <= 1


def test_the_linear_model_is_that_of_each_class(found):
    """Sampled alone, on pictures, and by the same steps."""
    pictures = found.ways[WAYS.index("linear")].pictures
    for label in (2, 9):
        pair = of_class("digits", str(label)).pair
        linear = PairDenoiser(pair, load("digits").denoiser.schedule, (1, 8, 8))
        times = grid(linear.schedule, TINY.steps)
        start = noise(range(4, 7), (1, 8, 8)) * float(torch.hypot(*linear.schedule(times[0])))
        own = last(dpm_solver.solve(given(linear, label=torch.tensor(0)), start.double(), times))
        expected = ((own.clamp(-1, 1) + 1) * 127.5).round()
        assert (pictures[:, label] - expected).abs().max() <= 1


def test_classifier_guidance_starts_from_the_unconditional_model():
    """At weight 0, gamma = -1, nothing of the class is left, and every class gets the same picture."""
    *_, found = CompareClasses(noises=3, steps=5, gamma=-1.0).run(load("digits"))
    for name in ("cfg", "classifier", "linear_cfg"):
        one = found.ways[WAYS.index(name)]
        assert (one.pictures.float() - one.pictures[:, :1].float()).abs().max() <= 1
        assert one.shares.noise.value == pytest.approx(1, abs=1e-3)


def test_without_weight_free_guidance_is_plain_sampling_and_says_so():
    *_, found = CompareClasses(noises=3, steps=5, gamma=0.0).run(load("digits"))
    conditional, cfg, classifier, linear, linear_cfg = found.ways
    assert torch.equal(conditional.pictures, cfg.pictures)
    assert torch.equal(linear.pictures, linear_cfg.pictures)
    assert not torch.equal(classifier.pictures, conditional.pictures)
    assert found.idle == "With gamma = 0 classifier-free guidance is plain sampling of the class."


def test_results_come_way_by_way_and_progress_counts_evaluations(events, found):
    partial = [event for event in events if isinstance(event, Patterns)]
    assert [len(event.ways) for event in partial] == [1, 2, 3, 4, 5]
    assert tuple(one.name for one in found.ways) == WAYS and found.labels == LABELS["digits"]
    told = [event for event in events if isinstance(event, Progress)]
    assert [event.done for event in told] == list(range(26)) and told[-1].total == 25
    assert found.idle == "" and torch.is_grad_enabled()


def test_the_numbers_of_a_way_are_those_of_its_samples():
    model, labels = load("digits"), LABELS["digits"]
    stats = [of_class("digits", label) for label in labels]
    means = torch.stack([one.pair.conditional.mean for one in stats])
    shift = means.view(1, 10, 1, 8, 8) + 0.05 * torch.randn(4, 10, 1, 8, 8)
    everything = stats[0].pair.unconditional.mean
    one = way("cfg", shift.float(), model, stats)
    expected = shares(shift)
    assert one.shares.label.value == pytest.approx(expected.label.value, abs=1e-4)
    assert one.shares.label.value > 0.9 and one.accuracy.n == 40 and one.accuracy.value > 0.7
    assert one.cosine.min() > 0.9
    real = means - everything
    doubled = everything + 2 * real
    far = way("cfg", doubled.view(1, 10, 1, 8, 8).expand(3, 10, 1, 8, 8).float(), model, stats)
    torch.testing.assert_close(far.length, one.length * 2, rtol=0.1, atol=0.0)


def test_what_principal_components_hold_of_the_difference_of_the_means():
    stats = of_class("digits", "3")
    own, found = stats.pair.conditional, held(stats)
    for k in (1, 5, 64):
        projector = own.vectors[:, :k] @ own.vectors[:, :k].mT
        share = (projector @ stats.pair.difference).square().sum() / stats.pair.difference.square().sum()
        assert float(found[k - 1]) == pytest.approx(float(share))
    assert float(found[-1]) == pytest.approx(1) and (found.diff() >= -1e-12).all()


def test_the_share_between_real_classes_is_that_of_the_pictures():
    """Of the digits, whose classes are nearly equally frequent, and whose shrinkage is slight."""
    pictures, labels = digits.split("train")
    flat = pictures.flatten(1).double()
    means = torch.stack([flat[labels == c].mean(0) for c in range(10)])
    within = torch.stack([flat[labels == c].var(0, correction=0).sum() for c in range(10)]).mean()
    among = means.var(0, correction=0).sum()
    found = between([of_class("digits", label) for label in LABELS["digits"]])
    assert found == pytest.approx(float(among / (among + within)), abs=0.02)


def test_side_by_side_asks_each_denoiser_for_its_own():
    schedule = CosineSchedule()
    each = [given(PairDenoiser(of_class("digits", c).pair, schedule), label=torch.tensor(0)) for c in "13"]
    x = noise(range(4), (2, 64)).double()
    both = SideBySide(each)(x, 0.5)
    for k in (0, 1):
        torch.testing.assert_close(both[:, k], each[k](x[:, k], 0.5))


def test_faces_have_their_linear_model_on_principal_components():
    request = CompareClasses(model="avatars", noises=3, steps=3, gamma=1.0)
    *_, found = request.run(load("avatars"))
    assert [one.pictures.shape for one in found.ways] == [(3, 6, 3, 64, 64)] * 5
    assert found.captured.shape == (6, 32) and 0 < found.real < 1
    for one in found.ways:
        whole = one.shares.noise.value + one.shares.label.value + one.shares.both.value
        assert whole == pytest.approx(1, abs=1e-6)


def test_the_claim_holds_for_digits():
    """Guidance lowers the share of the noise and raises that of the class; 8 noises, gamma = 2."""
    *_, found = CompareClasses().run(load("digits"))
    conditional, cfg = found.ways[:2]
    assert cfg.shares.noise.value < conditional.shares.noise.value - 0.03
    assert cfg.shares.label.value > conditional.shares.label.value + 0.03


def test_a_cancel_leaves_gradients_on():
    walk = TINY.run(load("digits"))
    for _ in range(3):
        next(walk)
    walk.close()
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"gamma": math.nan}, "must be a finite number"),
        ({"gamma": -1.5}, "must be a number from -1 to 100"),
        ({"noises": 2}, "3 to 64 noises"),
        ({"steps": 2}, "3 to 200 steps"),
        ({"noises": 64, "steps": 100}, "at most 1,600"),
        ({"seed": -1}, "seed must be between"),
        ({"model": "patches"}, "model"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_a_sentence(values, sentence):
    with pytest.raises(BadInput, match=sentence) as refused:
        CompareClasses.parse(values).checked()
    assert str(refused.value).endswith(".")


def test_it_survives_the_disk_and_a_link(tmp_path):
    *_, found = run(TINY)
    result_file.save(tmp_path, TINY, found)
    loaded = result_file.load(tmp_path, TINY)
    assert torch.equal(loaded.ways[2].pictures, found.ways[2].pictures)
    assert loaded.ways[0].shares == found.ways[0].shares
    assert Request.from_query(TINY.to_query()) == TINY
