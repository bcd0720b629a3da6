"""The trade on digits, and one placement of the shipped one on faces again."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from backend.experiments.watermark_trade import OURS, PSNRS, RECOMMENDED, RIVALS, Trade, WatermarkTrade
from backend.inference.cache import find
from backend.inference.load import load
from backend.inference.run import run
from backend.metrics.intervals import Estimate
from backend.request import BadInput, Progress, Request
from backend.watermark.trial import Point

REQUEST = WatermarkTrade(
    model="digits", times=(0.2,), placements=("4-16", "2-8"), chains=("noise",), pictures=6
)


def by_hand(decibels, d, method=OURS, t=0.1, placement="4-16"):
    at, seen = Estimate(decibels, decibels - 1, decibels + 1, 4), Estimate(d, d - 0.5, d + 0.5, 8)
    none = torch.zeros(2, 4)
    better = replace(seen, value=d + 3)
    return Point(
        method, t, placement, 1.0, none[0], none, none, at, (better, seen), (better, seen), (seen, seen)
    )


@pytest.fixture(scope="module")
def events():
    return list(run(REQUEST))


def test_every_point_is_told_as_soon_as_it_is_measured(events):
    trades = [event for event in events if isinstance(event, Trade)]
    assert [len(trade.points) for trade in trades] == list(range(1, 2 + 2 * len(PSNRS) + len(RIVALS)))
    told = [event for event in events if isinstance(event, Progress) and event.what == "points"]
    assert all(a.done <= b.done for a, b in pairwise(told))
    assert told[-1].done == told[-1].total - 1 == len(trades[-1].points) - 1


def test_the_default_the_placements_and_the_rivals_are_there(events):
    trade = events[-1]
    assert [point.method for point in trade.points] == [RECOMMENDED] + [OURS] * 2 * len(PSNRS) + list(RIVALS)
    assert [(site.t, site.placement) for site in trade.sites] == [(0.2, "2-8"), (0.2, "4-16")]
    assert trade.chains == ("", "noise:0.1") and trade.pictures == 6
    for placement in ("2-8", "4-16"):
        mine = [point for point in trade.of(OURS) if point.placement == placement]
        strengths, decibels = [p.strength for p in mine], [p.psnr.value for p in mine]
        assert strengths == sorted(strengths) and decibels == sorted(decibels, reverse=True)
    assert all(site.gauge.value > 0 and site.response.value > 0 for site in trade.sites)


def test_its_frontier_knee_and_matched_points_drawn_by_hand():
    points = [
        by_hand(30, 6),
        by_hand(34, 5.5),
        by_hand(38, 1),
        by_hand(33, 2, t=0.3),
        by_hand(34, 5, RECOMMENDED),
    ]
    trade = Trade((*points, by_hand(18, 9, "RingID")), (), ("", "jpeg:58"), 4)
    assert trade.frontier() == points[:3] and trade.knee() is points[1], "neither rivals nor beaten points"
    assert points[0].worst == 1 and points[0].detectability == 6
    assert trade.reached(5.75) == pytest.approx(32) and trade.reached(7) is None
    assert trade.at(0.1, "4-16", 36) == pytest.approx(3.25), "the default is no point of the sweep"
    assert (
        np.isnan(trade.at(0.1, "4-16", 29))
        and np.isnan(trade.at(0.3, "4-16", 34))
        and np.isnan(trade.at(0.5, "0-4", 34))
    )


def test_a_point_below_the_line_between_two_strengths_is_not_on_the_frontier():
    points = [
        by_hand(35, 3, RECOMMENDED),
        by_hand(30, 6),
        by_hand(38, 4),
        by_hand(34, 4.5, t=0.3),
        by_hand(39, 1, t=0.3),
    ]
    trade = Trade(tuple(points), (), ("", "jpeg:58"), 4)
    assert trade.frontier() == [points[1], points[2], points[4]], "5 at 34 dB, 1.9 at 38"
    assert trade.is_weakest(points[2]) and not trade.is_weakest(points[1])
    assert trade.knee() is None, "at 38 dB measuring ends"


def test_one_placement_of_the_shipped_trade_again():
    """Fewer pictures, so other ring levels: the PSNR of each picture is the same, its z nearly."""
    shipped = find(WatermarkTrade())
    few = WatermarkTrade(times=(0.1,), placements=("4-16",), chains=("jpeg",), pictures=4)
    for event in few.run(load("avatars")):
        if isinstance(event, Trade) and len(event.points) == 2:
            break
    again = event.points[1]
    (known,) = (
        p for p in shipped.of(OURS) if (p.t, p.placement, p.strength) == (0.1, "4-16", again.strength)
    )
    assert torch.allclose(again.decibels, known.decibels[:4], atol=0.02)
    assert torch.allclose(again.marked, known.marked[:2, :4], atol=1.0)
    assert event.points[0].psnr.value == pytest.approx(float(shipped.points[0].decibels[:4].mean()), abs=0.02)
    (site,) = (s for s in shipped.sites if (s.t, s.placement) == (0.1, "4-16"))
    assert event.sites[0].gauge.value == pytest.approx(site.gauge.value, rel=1e-2)
    assert event.sites[0].response.value == pytest.approx(site.response.value, rel=1e-2)


def test_the_shipped_trade_is_whole():
    shipped, request = find(WatermarkTrade()), WatermarkTrade()
    assert len(shipped.sites) == len(request.times) * len(request.placements)
    assert {point.method for point in shipped.points} == {OURS, RECOMMENDED, *RIVALS}
    assert all(point.decibels.shape == (request.pictures,) for point in shipped.points)
    assert Request.from_query("v=1&do=WatermarkTrade") == request


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"times": ()}, "1 to 8 different"),
        ({"times": (0.1, 0.1)}, "1 to 8 different"),
        ({"times": (0.0,)}, "between 0.01 and 0.9"),
        ({"placements": ("everywhere",)}, "A placement is one of"),
        ({"placements": ()}, "A placement is one of"),
        ({"chains": ("burn",)}, "An attack is one of"),
        ({"chains": ("jpeg",) * 5}, "at most 4"),
        ({"pictures": 3}, "4 to 64"),
        ({"model": "digits", "placements": ("0-4",)}, "No wave"),
        ({"model": "small_faces", "pictures": 20}, "not trained on"),
    ],
)
def test_what_cannot_be_is_a_sentence(fields, sentence):
    try:
        *_, found = run(WatermarkTrade(**fields))
        words = found.sentence
    except BadInput as error:
        words = str(error)
    assert sentence in words
