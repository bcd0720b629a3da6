import math
import time
from dataclasses import replace

import pytest
import torch
from scipy.stats import wasserstein_distance

from backend.data import avatars, digits
from backend.experiments import guide_quality
from backend.experiments.guide_quality import COMPONENTS, FEWEST, REAL, drawn, quality, real_pictures
from backend.inference.load import load
from backend.metrics.diversity import precision_recall, vendi
from backend.metrics.frechet import frechet_distance

HAPPY = 1


def of(label, n, seed=0):
    """New drawn faces of one expression."""
    return drawn(range(seed, seed + n), [label] * n)


def digits_of(label, split="train"):
    pictures, labels = digits.split(split)
    return pictures[labels == label]


def test_real_pictures_are_as_good_as_real_pictures():
    found = quality(load("avatars"), "happy", of(HAPPY, 60))
    assert found.accuracy.value == 1 and found.clipped == 0
    assert found.variance.value == pytest.approx(1, abs=0.15)
    assert found.vendi == pytest.approx(found.vendi_real, rel=0.15)
    assert found.recall.value > 0.6 and found.precision.value > 0.6
    assert found.recall.n == found.precision.n == found.frechet.n == found.frechet_floor.n == 60
    assert found.frechet.value < 2 * found.frechet_floor.high
    assert found.frechet.low <= found.frechet.value <= found.frechet.high


def test_copies_are_not_diverse_and_another_class_is_far():
    model, own = load("avatars"), of(HAPPY, 20)
    copies = quality(model, "happy", own[:1].repeat(20, 1, 1, 1) + 1e-3 * torch.randn(20, 3, 64, 64))
    assert copies.vendi < 1.1 < 5 < copies.vendi_real
    assert copies.recall.value < 0.1 and copies.variance.value < 0.01
    other = quality(model, "happy", of(2, 20))
    assert other.accuracy.value < 0.1 and other.precision.value == 0
    assert other.frechet.low > other.frechet_floor.high
    assert quality(model, "happy", own).frechet.value < other.frechet.value / 5


def test_the_digits_have_a_reader_that_guides_nothing():
    model = load("digits")
    mine, other = quality(model, "3", digits_of(3)[:20]), quality(model, "3", digits_of(8)[:20])
    assert mine.accuracy.value > 0.9 and mine.probability > 0.9
    assert other.accuracy.value < 0.1 and other.frechet.low > other.frechet_floor.high
    assert mine.factors == ()
    half = len(digits_of(3, "test")) // 2
    assert mine.frechet.n == mine.frechet_floor.n == mine.recall.n == half == 15  # of 31 real ones


def test_real_digits_are_those_that_nothing_here_has_learned_from():
    reader = load("digits").reader()
    real = real_pictures("digits", "3", reader).features
    expected = reader.features(digits_of(3, "test"))
    assert real.shape == expected.shape
    torch.testing.assert_close(real.sort(0).values, expected.sort(0).values, rtol=1e-3, atol=1e-4)
    faces = real_pictures("avatars", "happy", load("avatars").reader())
    assert len(faces.features) == REAL and faces.axes.shape == (128, COMPONENTS)


def test_the_numbers_are_those_of_the_metrics():
    model, samples = load("avatars"), of(HAPPY, 16)
    found, reader = quality(model, "happy", samples), model.reader()
    real = real_pictures("avatars", "happy", reader)
    features = reader.features(samples)
    mean = real.features.mean(0)
    assert found.vendi == pytest.approx(vendi(features - mean), rel=1e-4)
    precision, recall = precision_recall(real.features[:16], features)
    assert (found.precision, found.recall) == (precision, recall)
    distance = frechet_distance(real.plane(features), real.plane(real.features[:16]))
    assert found.frechet.value == pytest.approx(distance, rel=1e-4)
    torch.testing.assert_close(real.axes.mT @ real.axes, torch.eye(COMPONENTS, dtype=torch.float64))


def test_factors_are_read_and_compared_one_by_one():
    """A mouth as long as it gets moves its own factors alone; distances are in standard deviations of the prior."""
    model, faces = load("avatars"), avatars.sample(range(16), [HAPPY] * 16)
    plain = dict(quality(model, "happy", avatars.render(faces.factors)).factors)
    index = avatars.FACTOR_NAMES.index("hair length")
    faces.factors[:, index] = 1.0
    long = dict(quality(model, "happy", avatars.render(faces.factors)).factors)
    assert list(plain) == list(avatars.FACTOR_NAMES)
    assert long["hair length"] > 1.0 > plain["hair length"] + 0.3
    assert all(abs(long[name] - plain[name]) < 0.3 for name in ("skin tone", "mouth curve", "light"))
    reader = model.reader()
    read = reader(avatars.render(faces.factors))[0][:, index]
    real = reader.read(real_pictures("avatars", "happy", reader).features)[0][:, index]
    expected = wasserstein_distance(read.numpy(), real.numpy()) / float(avatars.prior_std()[index])
    assert long["hair length"] == pytest.approx(expected, rel=1e-3)


def test_too_few_samples_have_no_number_rather_than_a_bad_one():
    model = load("digits")
    two, four, eleven = (quality(model, "3", digits_of(3)[:n]) for n in (2, 4, FEWEST - 1))
    assert two.recall is None and two.frechet is None and two.vendi is not None
    assert four.recall is not None and four.recall.n == 4
    assert eleven.frechet is None and eleven.frechet_floor is None
    assert quality(model, "3", digits_of(3)[:FEWEST]).frechet.n == FEWEST


def test_without_a_reader_only_pixels_are_judged():
    model = load("digits")
    blind = replace(model, card=replace(model.card, labels=()))
    assert blind.reader() is None
    found = quality(blind, "3", digits_of(3)[:20])
    assert found.accuracy is found.probability is found.vendi is found.frechet is None
    assert found.variance.value > 0.3


def test_samples_that_exploded_have_numbers():
    found = quality(load("digits"), "3", guide_quality.seen(torch.full((16, 1, 8, 8), math.inf)))
    assert found.clipped == 1 and found.vendi == pytest.approx(1) and found.frechet.value > 0


def test_it_is_fast_after_the_first_time():
    """In processor time: 16 samples in well under 0.3 s."""
    for name, label, samples in (("avatars", "happy", of(HAPPY, 16)), ("digits", "3", digits_of(3)[:16])):
        quality(load(name), label, samples)
        began = time.process_time()
        quality(load(name), label, samples)
        assert time.process_time() - began < 0.3
