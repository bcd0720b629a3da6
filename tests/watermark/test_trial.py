"""Marks measured on digits, against what the parts of the bench give one by one."""

import pytest
import torch

from backend.inference.load import load
from backend.inference.pictures import held_out
from backend.metrics.image import psnr
from backend.request import finish
from backend.watermark import base, detection
from backend.watermark.attacks import attack, parse
from backend.watermark.key import random_keys
from backend.watermark.restoration import LIKELY
from backend.watermark.scheme import Scheme
from backend.watermark.shallow_diffuse import ShallowDiffuse, pattern, whitened
from backend.watermark.tree_ring import TreeRing
from backend.watermark.trial import OTHER_SEED, STRONGEST, Bench

SCHEME = Scheme("phases", "zero", 0.5, 3.0, "luma", 0.2, 6)
AT = ("ours", SCHEME.t, "low", 0.8)
N = 6


@pytest.fixture(scope="module")
def bench():
    model = load("digits")
    pictures, _ = held_out(model.card, range(2 * N))
    return Bench(model.denoiser, None, ("", "noise:0.1"), pictures[:N], pictures[N:], random_keys(N, 0))


@pytest.fixture(scope="module")
def start(bench):
    return finish(bench.start(SCHEME.t, SCHEME.steps, bench.planes(SCHEME)))


@pytest.fixture(scope="module")
def point(bench, start):
    return finish(bench.ours(start, SCHEME, AT))


def test_a_picture_alone_marked_and_scored_by_hand_is_the_same(bench, start, point):
    i, key = 2, random_keys(N, 0)[2]
    mark = ShallowDiffuse(SCHEME, pattern(key.secret, SCHEME, 8, 1), AT[-1])
    marked, twin = finish(base.embed(bench.denoiser, mark, bench.own[i : i + 1], SCHEME.steps))
    marked, twin = ((marked.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1, twin.clamp(-1, 1)
    assert float(point.decibels[i]) == pytest.approx(float(psnr(marked, twin)), abs=1e-2)
    levels = detection.ring_levels(start.seen[0], SCHEME)
    noisy = (
        attack(marked, parse("noise:0.1"), i),
        attack(bench.other[i : i + 1], parse("noise:0.1"), OTHER_SEED + i),
    )
    for picture, scores in zip(noisy, (point.marked, point.unmarked), strict=True):
        planes = finish(detection.look(bench.denoiser, picture, SCHEME, LIKELY))
        z = detection.evidence(whitened(planes, SCHEME, levels), mark.pattern, shifts=False).amax()
        assert float(scores[1, i]) == pytest.approx(float(z), abs=1e-2)


def test_marked_pictures_score_higher_and_the_worst_chain_is_the_least(point):
    assert point.marked.shape == point.unmarked.shape == (2, N) and point.decibels.shape == (N,)
    assert all(found.value > 1 for found in point.d_prime)
    assert point.detectability == min(found.value for found in point.d_prime)
    assert point.psnr.value == pytest.approx(float(point.decibels.mean()))


def test_strengths_cost_what_was_asked_for(bench, start):
    weakest, strongest = finish(bench.strengths(start, SCHEME, (24.0, 30.0), AT[-1]))
    for strength, decibels in ((weakest, 30), (strongest, 24)):
        found = finish(bench.ours(start, SCHEME, (*AT[:-1], strength)))
        assert float(found.decibels[:4].mean()) == pytest.approx(decibels, abs=1)
    assert finish(bench.strengths(start, SCHEME, (-60.0, -50.0), AT[-1])) == [STRONGEST]


def test_the_gauge_is_a_quotient_of_differences(bench, start):
    """|D(x + h u) - D(x)| / h for the mark and for noise where it lies."""
    (site,) = finish(bench.sites(start, {"low": SCHEME}))
    h, mine, found = 1e-2, bench.marks(SCHEME, 1.0), []
    for i in range(4):
        x = start.x_t[i : i + 1]
        change = mine[i].inject(x) - x
        change = change / change.norm()
        with torch.no_grad():
            found.append(float((bench.denoiser(x + h * change, SCHEME.t) - bench.denoiser(x - h * change, SCHEME.t)).norm() / (2 * h)))  # fmt: skip
    assert site.gauge.value == pytest.approx(sum(found) / 4, rel=2e-2)
    assert site.placement == "low" and site.t == SCHEME.t and site.response.value > 0


def test_a_rival_is_found_by_its_own_score_under_the_key_of_each_picture(bench):
    begun = finish(bench.start(1.0, 8, bench.inverted(8)))
    found = finish(bench.rival(begun, "Tree-Ring", TreeRing))
    i, key = 1, random_keys(N, 0)[1]
    mark = TreeRing(key.secret, (1, 8, 8))
    again = mark.score(finish(base.flow(bench.denoiser, bench.other[i : i + 1], 0.0, 1.0, 8)))
    assert float(found.unmarked[0, i]) == pytest.approx(float(again), abs=1e-4)
    assert (found.method, found.t, found.placement, found.strength) == ("Tree-Ring", 1.0, "", 0.0)
    assert float(found.marked[0].mean()) > float(found.unmarked[0].mean())
