import math

import pytest
import torch

from backend.watermark.attacks import attack, parse
from backend.watermark.restoration import LIKELY, MOVED, Guess, _sharpened, undone


def smooth(count=2, n=64, rough=9):
    """Pictures without detail finer than n / rough pixels, inside [-0.8, 0.8]."""
    generator = torch.Generator().manual_seed(0)
    coarse = 1.6 * torch.rand(count, 3, rough, rough, generator=generator) - 0.8
    return torch.nn.functional.interpolate(coarse, size=(n, n), mode="bicubic").clamp(-0.8, 0.8)


def detailed(waves, n=64):
    """A picture (1, 1, n, n) of waves, each of so many cycles along x and y."""
    y, x = torch.meshgrid(torch.arange(n) / n, torch.arange(n) / n, indexing="ij")
    return sum(0.2 * torch.cos(2 * math.pi * (u * x + v * y) + u) for u, v in waves)[None, None]


def inside(x, margin=14):
    return x[..., margin:-margin, margin:-margin]


def psnr(x, y):
    return 10 * math.log10(4 / (x - y).square().mean().item())


def correlated(x, y):
    return torch.corrcoef(torch.stack([x.flatten(), y.flatten()]))[0, 1].item()


@pytest.mark.parametrize("angle", [10, -10, 15])
def test_a_rotation_is_undone_by_its_own_angle_alone(angle):
    x = smooth(rough=17)
    turned = attack(x, parse(f"rotate:{angle}"))
    none, right, wrong = (
        correlated(inside(undone(turned, Guess(angle=a))), inside(x)) for a in (0, angle, -angle)
    )
    assert right > 0.99 and none < 0.8 and wrong < none
    assert psnr(inside(undone(turned, Guess(angle=float(angle)))), inside(x)) > 30


@pytest.mark.parametrize("quarters", [1, -1, 2])
def test_a_right_angle_is_a_rotation_of_the_array(quarters):
    x = smooth(n=24)
    found, exact = undone(x, Guess(angle=90.0 * quarters)), torch.rot90(x, -quarters, (2, 3))
    torch.testing.assert_close(inside(found, 1), inside(exact, 1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("share", [0.75, 0.875])
def test_a_crop_is_undone_where_it_left_something(share):
    x = smooth(rough=17)
    cropped = attack(x, parse(f"crop:{share}"))
    margin = round(64 * (1 - share) / 2) + 2
    found = undone(cropped, Guess(share=share))
    assert psnr(inside(found, margin), inside(x, margin)) > 35 > 25 > psnr(cropped, x)
    beside = undone(cropped, Guess(share=share - 0.05))
    assert (
        psnr(inside(found, margin), inside(x, margin)) > psnr(inside(beside, margin), inside(x, margin)) + 5
    )
    torch.testing.assert_close(found[..., 0, 32], found[..., margin - 4, 32])  # its edge, repeated


def test_a_crop_after_a_turn_is_undone_at_once():
    x = smooth()
    seen = attack(x, parse("rotate:10,crop:0.75"))
    assert psnr(inside(undone(seen, Guess(angle=10.0, share=0.75))), inside(x)) > 35
    assert psnr(inside(undone(seen, Guess(angle=-10.0, share=0.75))), inside(x)) < 25


@pytest.mark.parametrize(
    ("blur", "waves"), [(1.2, [(3, 2), (7, -5), (11, 9), (2, 15)]), (2.2, [(3, 2), (5, -4), (2, 7)])]
)
def test_sharpening_inverts_a_blur(blur, waves):
    """Up to the frequencies that it leaves a few percent of."""
    x = detailed(waves)
    soft = attack(x, parse(f"blur:{blur}"))
    found = undone(soft, Guess(blur=blur))
    assert psnr(inside(found), inside(x)) > psnr(inside(soft), inside(x)) + 15
    assert psnr(found, x) > psnr(soft, x) + 3  # at the edges, too, nothing rings in


def test_sharpening_is_wieners_filter():
    """A wave is scaled by h (1 + f^2) / (h^2 + f^2), h = exp(-2 pi^2 s^2 q^2); inside, where no edge is near."""
    n, cycles, blur = 256, 48, 1.0
    wave = torch.cos(2 * math.pi * cycles * torch.arange(n, dtype=torch.float64) / n).expand(1, 1, n, n)
    h = math.exp(-2 * (math.pi * blur * cycles / n) ** 2)
    gain = h * (1 + 0.05**2) / (h**2 + 0.05**2)
    torch.testing.assert_close(
        inside(_sharpened(wave, blur), 64), gain * inside(wave, 64), atol=2e-3 * gain, rtol=0
    )


def test_sharpening_keeps_constants():
    x = torch.full((2, 3, 16, 16), 0.3) * torch.tensor([1.0, -2.0]).view(2, 1, 1, 1)
    for blur in (0.5, 1.2, 2.2, 8.0):
        assert torch.equal(_sharpened(x, blur), x)


def test_no_guess_changes_nothing_and_every_guess_keeps_the_form():
    x = smooth(n=16)
    assert torch.equal(undone(x, Guess()), x)
    for guess in (*LIKELY, *MOVED):
        kept, found = x.clone(), undone(x, guess)
        assert found.shape == x.shape and found.dtype == x.dtype and found.abs().max() <= 1
        assert torch.equal(x, kept)
        torch.testing.assert_close(found[1:], undone(x[1:], guess))


def test_what_is_looked_for():
    """Nothing comes first, no guess comes twice, and the moves reach what the attacks are judged by."""
    assert LIKELY[0] == Guess() and len({*LIKELY, *MOVED}) == len(LIKELY) + len(MOVED)
    assert {guess.angle for guess in MOVED} == {float(a) for a in range(-20, 21, 2)}
    assert min(abs(guess.angle - 15) for guess in MOVED) <= 1
    assert Guess(share=0.75) in MOVED and min(guess.share for guess in MOVED) == 0.7


@pytest.mark.parametrize(
    ("guess", "words"),
    [
        (Guess(), ""),
        (Guess(blur=2.2), "a blur of 2.2 pixels"),
        (Guess(angle=-10.0), "a turn of -10°"),
        (Guess(share=0.725), "a crop to 72.5%"),
        (Guess(1.2, 4.0, 0.9), "a blur of 1.2 pixels and a turn of 4° and a crop to 90.0%"),
    ],
)
def test_words(guess, words):
    assert guess.words == words
