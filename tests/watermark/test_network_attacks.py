"""Chains with a network in them."""

import pytest
import torch

from backend.inference.load import load
from backend.request import BadInput, Progress, finish
from backend.watermark import attacks, network_attacks
from backend.watermark.attacks import KINDS, attack, parse
from backend.watermark.network_attacks import attacked, evaluations, possible
from tests.watermark.test_distortions import picture

CHAINS = (*(name for name, kind in KINDS.items() if kind.network), "noise:0.05,diffpure,jpeg:50,rinse:2")


def pictures(n=3, size=8):
    return torch.stack([picture(1, size, seed) for seed in range(n)])


@pytest.fixture(scope="module")
def gaussian():
    return load("gaussian").denoiser


@pytest.fixture(scope="module")
def reader():
    return load("digits").reader()


@pytest.mark.parametrize("chain", CHAINS)
def test_a_picture_is_attacked_the_same_alone_and_stays_in_range(chain, gaussian, reader, monkeypatch):
    monkeypatch.setattr(network_attacks, "BATCH", 2)
    x = pictures()
    before = x.clone()
    found = finish(attacked(gaussian, reader, x, parse(chain, 8), seed=5))
    assert torch.equal(x, before) and not torch.equal(found, x)
    assert found.shape == x.shape and found.dtype == x.dtype and found.abs().max() <= 1
    alone = [finish(attacked(gaussian, reader, x[i : i + 1], parse(chain, 8), seed=5 + i)) for i in range(3)]
    torch.testing.assert_close(torch.cat(alone), found, atol=1e-4, rtol=0)
    other = finish(attacked(gaussian, reader, x, parse(chain, 8), seed=9))
    assert (other - found).abs().mean() > 1e-3


def test_without_a_network_it_is_the_plain_attack(gaussian):
    x, chain = pictures(), parse("noise:0.2,jpeg:50,rotate:20", 8)
    assert torch.equal(finish(attacked(gaussian, None, x, chain, 7)), attack(x, chain, 7))
    assert finish(attacked(gaussian, None, x[:0], parse("diffpure"), 7)).shape == (0, 1, 8, 8)
    assert finish(attacked(gaussian, None, x.double(), parse("diffpure"), 7)).dtype == torch.float64


def test_links_are_done_in_their_order_and_draw_anew(gaussian):
    x = pictures(1)
    first = finish(attacked(gaussian, None, x, parse("regenerate:0.1,flip"), 3))
    torch.testing.assert_close(
        first, finish(attacked(gaussian, None, x, parse("regenerate:0.1"), 3)).flip(-1)
    )
    assert not torch.allclose(first, finish(attacked(gaussian, None, x, parse("flip,regenerate:0.1"), 3)))
    draws = attacks.generators(2, 0)
    seeds = [*network_attacks._seeds(draws), *network_attacks._seeds(draws)]
    assert len(set(seeds)) == 4 and min(seeds) >= attacks.SEEDS, "none is a sample's"


def test_it_costs_what_it_says(gaussian, reader):
    chain = parse("diffpure,rinse:3,jpeg,regenerate,adversarial", 8)
    events = list(attacked(gaussian, reader, pictures(), chain, 0))
    assert len(events) == 15 + 30 + 10 + 15 == evaluations(chain) and evaluations(parse("jpeg")) == 0
    assert all(isinstance(event, Progress) for event in events)


def test_without_a_reader_the_adversarial_attack_is_a_sentence(gaussian, reader):
    with pytest.raises(BadInput, match="needs a network that reads") as refused:
        next(attacked(gaussian, None, pictures(), parse("diffpure,adversarial"), 0))
    assert str(refused.value).endswith(".")
    possible(parse("diffpure,adversarial"), reader)
    possible(parse("diffpure"), None)
