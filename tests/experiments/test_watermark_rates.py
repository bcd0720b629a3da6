"""Rates under a chain, on digits."""

import pytest
import torch

from backend.experiments.watermark_rates import EvaluateWatermark
from backend.inference.run import run
from backend.request import BadInput
from backend.watermark.evaluate import Detection

REQUEST = EvaluateWatermark(
    model="digits",
    passphrase="a key for digits",
    inner=1.0,
    outer=4.0,
    strength=1.5,
    chain="",
    pictures=100,
    steps=6,
)


@pytest.fixture(scope="module")
def rates():
    *_, found = run(REQUEST)
    return found


def test_marked_digits_score_higher(rates):
    assert rates.auc.value > 0.9 and rates.auc.low < rates.auc.value
    assert float(rates.marked.mean() - rates.unmarked.mean()) > 1.5
    one = Detection(rates.marked.double(), rates.unmarked.double())
    assert rates.auc.value == pytest.approx(one.auc().value, abs=1e-3)
    assert torch.equal(rates.false, torch.from_numpy(one.roc()[0]).float())


def test_levels_that_a_hundred_pictures_do_not_reach_are_named(rates):
    assert rates.levels == (0.1, 0.05, 0.01) and rates.beyond == (0.001,) and len(rates.tpr) == 3


def test_an_attack_costs_detection(rates):
    *_, after = run(EvaluateWatermark(**REQUEST.values() | {"chain": "noise:0.3"}))
    assert after.auc.value < rates.auc.value


def test_a_network_attacks_both_kinds(rates):
    *_, after = run(EvaluateWatermark(**REQUEST.values() | {"chain": "diffpure:0.4"}))
    assert after.auc.value < rates.auc.value - 0.05
    assert not torch.allclose(after.unmarked, rates.unmarked)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"pictures": 7}, "8 to 500"),
        ({"chain": "burn"}, "An attack is one of"),
        ({"passphrase": ""}, "passphrase"),
    ],
)
def test_what_cannot_be_is_a_sentence(fields, sentence):
    with pytest.raises(BadInput, match=sentence):
        run(EvaluateWatermark(**REQUEST.values() | fields))
