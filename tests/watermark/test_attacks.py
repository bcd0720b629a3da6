import json

import pytest
import torch

from backend.metrics.image import psnr
from backend.request import BadInput
from backend.sampling.noise import noise
from backend.watermark.attacks import KINDS, MATCHED, Attack, attack, blank, matched, parse, text
from tests.benchmarks import attack_strengths, report
from tests.watermark.test_distortions import picture

IDENTITY = {"blur": 0, "noise": 0, "brightness": 1, "contrast": 1, "jitter": 0, "resize": 1, "crop": 1}
IDENTITY |= {"rotate": 0, "drop": 0, "median": 1, "salt_and_pepper": 0, "shift": 0}
PLAIN = [name for name, kind in KINDS.items() if not kind.network]
EVERY = ("noise:0.2,jitter:0.5,salt_and_pepper:0.1", "jpeg:25,blur:1.5,rotate:15", *PLAIN)


def pictures(n=3, channels=3, size=24):
    return torch.stack([picture(channels, size, seed) for seed in range(n)])


@pytest.mark.parametrize("chain", EVERY)
@pytest.mark.parametrize(("channels", "size"), [(3, 24), (1, 8), (1, 25)])
def test_a_picture_is_attacked_the_same_alone_and_stays_in_range(chain, channels, size):
    x, chain = pictures(3, channels, size), parse(chain, size)
    before = x.clone()
    found = attack(x, chain, seed=5)
    assert found.shape == x.shape and found.dtype == x.dtype and torch.equal(x, before)
    assert found.abs().max() <= 1 and found.isfinite().all() and not torch.equal(found, x)
    alone = torch.cat([attack(x[i : i + 1], chain, seed=5 + i) for i in range(3)])
    assert torch.equal(alone, found)


@pytest.mark.parametrize("name", [name for name in PLAIN if KINDS[name].low < KINDS[name].high])
def test_the_ends_of_every_slider_leave_the_range_alone(name):
    x = pictures(2, size=16)
    for strength in (KINDS[name].low, KINDS[name].high):
        assert text(parse(text((Attack(name, strength),)))) == text((Attack(name, strength),))
        found = attack(x, (Attack(name, strength),))
        assert found.abs().max() <= 1 and found.isfinite().all()


@pytest.mark.parametrize("name", IDENTITY)
def test_no_strength_changes_nothing(name):
    x = pictures()
    torch.testing.assert_close(attack(x, parse(f"{name}:{IDENTITY[name]}")), x, atol=1e-5, rtol=0)


def test_a_chain_is_its_links_in_order():
    x = pictures()
    found = attack(x, parse("rotate:20,shift:3,jpeg:30"))
    steps = attack(attack(attack(x, parse("rotate:20")), parse("shift:3")), parse("jpeg:30"))
    torch.testing.assert_close(found, steps)
    assert not torch.allclose(found, attack(x, parse("shift:3,rotate:20,jpeg:30")), atol=0.05)


def test_links_of_one_chain_draw_anew_and_other_seeds_differ():
    x = torch.zeros(1, 3, 16, 16)
    twice = attack(x, parse("noise:0.05,noise:0.05"))
    assert twice.std().item() == pytest.approx(0.1 * 2**0.5, rel=0.1)  # the same noise twice would double it
    assert not torch.equal(attack(x, parse("noise"), 1), attack(x, parse("noise"), 2))


def test_noise_is_not_the_noise_that_a_sample_of_the_same_seed_began_with():
    x = attack(torch.zeros(1, 3, 16, 16), parse("noise:0.05"), seed=7)
    start = noise([7], (3, 16, 16))
    assert abs(torch.corrcoef(torch.stack([x.flatten(), start.flatten()]))[0, 1]) < 0.15


def test_no_attack_gives_the_pictures_clipped_and_types_are_kept():
    x = 2 * pictures()
    found = attack(x, ())
    assert torch.equal(found, x.clamp(-1, 1)) and found.data_ptr() != x.data_ptr()
    inside = pictures()
    attack(inside, ()).zero_()
    assert inside.abs().max() > 0
    assert attack(x.half(), parse("blur:1")).dtype == torch.float16
    assert attack(x.double(), parse("blur:1")).dtype == torch.float64
    assert attack(x[:0], parse("blur:1")).shape == (0, 3, 24, 24)


def test_chains_are_read_and_written():
    assert parse("") == () == parse("  ") and text(()) == ""
    chain = (Attack("jpeg", 25.0), Attack("blur", 1.5), Attack("rotate", -15.0), Attack("noise", 0.1))
    assert parse(" jpeg:25, blur : 1.50,rotate:-1.5e1,noise:.1") == chain
    assert text(chain) == "jpeg:25,blur:1.5,rotate:-15,noise:0.1"
    odd = (Attack("noise", 1 / 3), Attack("blur", 1e-7), Attack("rotate", 0.0))
    assert parse(text(odd)) == odd and text(parse("rotate:-0")) == "rotate:0"
    assert len(parse(",".join(["flip"] * 8))) == 8


def test_what_a_network_does_is_read_and_written_but_not_run_without_one():
    chain = parse("diffpure, regenerate:0.1, rinse:2, adversarial:4.5")
    assert chain[0] == Attack("diffpure", 0.3) and [link.strength for link in chain[1:]] == [0.1, 2, 4.5]
    assert parse(text(chain)) == chain
    assert parse("drop:0.6,diffpure,crop:0.5")[1].name == "diffpure", "it paints over what was dropped"
    with pytest.raises(ValueError, match="takes a network"):
        attack(pictures(), chain)


def test_a_name_alone_takes_what_is_matched_to_the_size():
    assert parse("blur,drop,flip") == (Attack("blur", 2.23), Attack("drop", 0.4), Attack("flip", 1))
    assert parse("blur,jpeg", 512) == (Attack("blur", 4.0), Attack("jpeg", 25))
    for name in KINDS:
        for size in (8, 16, 24, 64, 200, 512, 1024):
            assert parse(f"{name}:{matched(name, size)!r}") == parse(name, size)  # all are allowed


BAD_NAMES = ("melt:1", "Jpeg:25", "jpeg;25", "<b>", ":", ",", "jpeg:25,")
BAD_NUMBERS = ("jpeg:", "jpeg:nan", "blur:inf", "blur:1e999", "blur:1_0", "blur:١", "jpeg:25:3")
BAD_STRENGTHS = (
    "diffpure:0",
    "regenerate:1",
    "rinse:1.5",
    "rinse:9",
    "adversarial:17",
    "jpeg:96",
    "jpeg:25.5",
    "median:4",
    "noise:-0.1",
    "shift:0.5",
    "flip:2",
)
NOTHING_LEFT = ("drop:0.6,crop:0.5", "drop:0.4,crop:0.6,flip,crop:0.6")


@pytest.mark.parametrize(
    "chain", [*BAD_NAMES, *BAD_NUMBERS, *BAD_STRENGTHS, *NOTHING_LEFT, ",".join(["flip"] * 9)]
)
def test_bad_chains_are_refused_in_a_sentence(chain):
    with pytest.raises(BadInput) as refused:
        parse(chain)
    sentence = str(refused.value)
    assert sentence[0].isupper() and sentence.endswith(".") and "<b>" not in sentence


def test_what_is_refused_as_nothing_is_nothing_and_what_is_not_is_something():
    x = pictures(1, size=64)
    assert blank(attack(x, (Attack("drop", 0.6), Attack("crop", 0.5)))).all()
    assert not blank(attack(x, parse("drop:0.6,crop:0.75"))).any()
    assert not blank(attack(x, parse("crop:0.5,drop:0.6"))).any()
    assert not blank(attack(x, parse("drop:0.6,rotate:45,crop:0.5"))).any()  # the square stands on its corner


def test_blank_pictures_are_flat_ones():
    flat = torch.tensor([0.3, -0.2, 1.0]).view(3, 1, 1).expand(3, 8, 8)
    speck = flat.clone()
    speck[1, 2, 3] += 0.05
    assert blank(torch.stack([flat, speck, flat + 0.003 * picture(3, 8)])).tolist() == [True, False, True]


@pytest.mark.parametrize(("name", "size"), [("blur", 24), ("jpeg", 64)])
def test_matched_strengths_are_measured_again(name, size):
    pictures = attack_strengths.small(size, 100)
    strength, left = attack_strengths.match(name, pictures, attack_strengths.target(name))
    assert strength == MATCHED[name][size] == matched(name, size)
    assert attack_strengths.mean(left) == pytest.approx(attack_strengths.target(name), abs=0.3)


def test_matched_strengths_are_those_of_the_results():
    saved = json.loads((report.RESULTS / "attack_strengths.json").read_text())
    values = {row["what"]: row["value"] for row in saved["rows"]}
    for name, sizes in MATCHED.items():
        for size, strength in sizes.items():
            assert values[f"strength of {name} at {size} px ({attack_strengths.DATA[size]})"] == strength


def test_between_sizes_strength_is_interpolated_and_beyond_them_it_stays():
    assert matched("blur", 4) == 0.47 and matched("blur", 2048) == 4
    middle = round((64 * 512) ** 0.5)
    assert matched("blur", middle) == pytest.approx((2.23 + 4) / 2, rel=1e-3)
    assert matched("median", 256) in (5, 7) and matched("jpeg", 100).is_integer()
    assert matched("noise", 64) == 0.1 and matched("rotate", 64) == 15


def test_bisection_finds_the_strength_that_scanning_finds():
    x = pictures(2, size=12)
    for name, goal in [("resize", 22.0), ("blur", 25.0), ("median", 60.0)]:
        strength, _ = attack_strengths.match(name, x, goal)
        each = {
            s: psnr(attack(x, (Attack(name, s),)), x).mean().item() for s in attack_strengths.harms(name, 12)
        }
        assert abs(each[strength] - goal) == min(abs(left - goal) for left in each.values())
