import math

import pytest
import torch

from backend.denoiser.gaussian_mixture import gaussian
from backend.schedule import CosineSchedule
from backend.watermark import fourier
from backend.watermark.key import random_keys
from backend.watermark.scheme import Scheme
from backend.watermark.shallow_diffuse import (
    ShallowDiffuse,
    averaged,
    carriers,
    correlation,
    off_leading,
    pattern,
    spread,
    unpredicted,
    whitened,
    z_score,
)
from tests.denoiser.examples import mixture

KEY = b"k" * 32
CHANNELS = ["luma", "red", "green", "blue", "all"]


def scheme(channels="luma", family="phases", inner=3, outer=10, centre="zero"):
    return Scheme(family, centre, inner, outer, channels, t=0.3, steps=10)


def mark(channels="luma", family="phases", n=32, strength=1.0, how="add", count=3, **where):
    one = scheme(channels, family, **where)
    return ShallowDiffuse(one, pattern(KEY, one, n, count), strength, how)


def states(count=2, channels=3, n=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, channels, n, n, generator=generator, dtype=torch.float64)


def drawing(n=32):
    """A picture (1, 3, n, n) as far from Gaussian as can be: flat areas, an edge, a spot."""
    x = torch.full((1, 3, n, n), -0.5, dtype=torch.float64)
    x[..., n // 3 :, :] = 0.6
    x[:, 0, 5:9, 11:20] = 1.0
    x[:, 2, -4, 3] = -1.0
    return x


def planes_of(x, channels):
    return fourier.plane(carriers(x, channels))


def heard(x, scheme):
    return whitened(planes_of(x, scheme.channels), scheme)


@pytest.mark.parametrize("how", ["add", "replace"])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("family", ["phases", "rings"])
@pytest.mark.parametrize("centre", ["zero", "nyquist"])
def test_coefficients_of_the_mask_are_the_keys_and_the_others_untouched(how, channels, family, centre):
    """Eq. (6), and its addition. The size of a coefficient is that of the picture's own on its ring, computed here one by one."""
    one, x = mark(channels, family, strength=0.7, how=how, centre=centre), states()
    kept, marked = x.clone(), one.inject(x)
    assert torch.equal(x, kept) and marked.dtype == x.dtype and marked.shape == x.shape
    before, after = planes_of(x, channels), planes_of(marked, channels)
    mask = fourier.annulus(32, 3, 10, centre)
    ring = fourier.radius(32, centre).round()
    expected = before.clone()
    for i, j in mask.nonzero().tolist():
        local = before[..., ring == ring[i, j]].abs().square().mean(-1).sqrt()
        written = 0.7 * local * one.pattern[:, i, j]
        expected[..., i, j] = written if how == "replace" else before[..., i, j] + written
    torch.testing.assert_close(after, expected, atol=1e-10, rtol=0)
    untouched = fourier.plane(marked - x)[..., ~mask]
    assert untouched.abs().max() < 1e-10  # in every channel


@pytest.mark.parametrize("channels", CHANNELS)
def test_a_picture_stays_as_it_is_without_strength_and_other_channels_always(channels):
    x = states().float()
    assert torch.equal(mark(channels, strength=0.0).inject(x), x)
    marked = mark(channels).inject(x)
    changed = [i for i in range(3) if not torch.equal(marked[:, i], x[:, i])]
    assert changed == {"red": [0], "green": [1], "blue": [2]}.get(channels, [0, 1, 2])
    assert marked.dtype == torch.float32


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("count", [1, 3])
def test_carriers_read_back_what_was_spread(channels, count):
    size = len(carriers(states(1, count), channels)[0])
    change = states(4, size)
    back = spread(change, channels, count)
    assert back.shape == (4, count, 32, 32)
    torch.testing.assert_close(carriers(back, channels), change)


@pytest.mark.parametrize("channels", CHANNELS)
def test_the_mark_of_a_grey_picture(channels):
    x, one = states(channels=1), mark(channels, count=1)
    assert len(one.pattern) == 1
    marked = one.inject(x)
    assert marked.shape == x.shape
    assert (one.score(marked) - one.score(x)).min() > 5


def test_each_colour_has_a_pattern_of_its_own():
    red, green, blue = mark("all").pattern
    assert not torch.equal(red, green) and not torch.equal(green, blue)
    assert torch.equal(mark("all", count=1).pattern[0], red)
    assert torch.equal(
        mark("red").pattern, mark("blue").pattern
    )  # which channel carries it is not in the key


def test_a_mask_without_coefficients_is_refused():
    with pytest.raises(ValueError, match="between these radii"):
        pattern(KEY, scheme(inner=23, outer=24), 32)


@pytest.mark.parametrize("channels", CHANNELS)
def test_channels_without_a_mark_are_the_twins(channels):
    marked, twin = states(seed=1), states(seed=2)
    kept, mixed = twin.clone(), averaged(marked, twin, channels)
    carrying = {"red": [0], "green": [1], "blue": [2]}.get(channels, [0, 1, 2])
    for i in range(3):
        assert torch.equal(mixed[:, i], (marked if i in carrying else twin)[:, i])
    assert torch.equal(twin, kept)
    assert torch.equal(averaged(marked[:, :1], twin[:, :1], channels), marked[:, :1])


def test_off_leading_takes_off_the_part_along_the_vectors():
    """Against the dense projector I - V V^T; what is left of J dx is what the other singular values make of it."""
    generator = torch.Generator().manual_seed(0)
    J = torch.randn(2, 12, 12, generator=generator, dtype=torch.float64)
    _, S, Vh = torch.linalg.svd(J)
    change, V = torch.randn(2, 3, 2, 2, generator=generator, dtype=torch.float64), Vh[:, :4]
    left = off_leading(change, V.reshape(2, 4, 3, 2, 2))
    dense = (torch.eye(12, dtype=torch.float64) - V.mT @ V) @ change.flatten(1)[..., None]
    torch.testing.assert_close(left.flatten(1), dense[..., 0])
    assert torch.einsum("bkd,bd->bk", V, left.flatten(1)).abs().max() < 1e-12
    torch.testing.assert_close(off_leading(left, V.reshape(2, 4, 3, 2, 2)), left)
    torch.testing.assert_close(
        (J @ left.flatten(1)[..., None]).norm(dim=(1, 2)),
        (S[:, 4:] * (Vh[:, 4:] @ change.flatten(1)[..., None])[..., 0]).norm(dim=1),
    )
    none = torch.zeros(2, 0, 3, 2, 2, dtype=torch.float64)
    assert torch.equal(off_leading(change, none), change)


@pytest.mark.parametrize("t", [0.1, 0.5])
def test_unpredicted_is_the_closed_form_of_a_gaussian(t):
    """x_0 - mu - alpha C (alpha^2 C + sigma^2 I)^-1 (alpha x_0 - alpha mu) = sigma^2 (alpha^2 C + sigma^2 I)^-1 (x_0 - mu)."""
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(12, 12, generator=generator, dtype=torch.float64)
    C, mean = root @ root.T / 12, torch.randn(12, generator=generator, dtype=torch.float64)
    D, x = gaussian(CosineSchedule(), (3, 2, 2), mean, C), states(5, 3, 2)
    alpha, sigma = D.schedule(torch.tensor(t, dtype=torch.float64))
    noisy = alpha**2 * C + sigma**2 * torch.eye(12, dtype=torch.float64)
    exact = sigma**2 * torch.linalg.solve(noisy, (x.flatten(1) - mean).T).T
    torch.testing.assert_close(unpredicted(D, x, t), exact.view_as(x))
    eps = (alpha * x - alpha * D(alpha * x, t)) / sigma  # the noise that D finds in alpha x_0
    torch.testing.assert_close(unpredicted(D, x, t), sigma / alpha * eps)
    assert not unpredicted(D, x.requires_grad_(), t).requires_grad
    assert unpredicted(mixture(shape=(3, 2, 2)), x.float(), t).dtype == torch.float32


def test_whitened_planes_have_variance_1_on_every_ring():
    found = heard(states(2), scheme("all"))
    torch.testing.assert_close(fourier.ring_power(found), torch.ones(2, 3, 32, 32, dtype=torch.float64))
    torch.testing.assert_close(heard(5 * states(2), scheme("all")), found)
    assert not heard(torch.zeros(1, 3, 32, 32), scheme()).isnan().any()


@pytest.mark.parametrize(("channels", "count"), [("luma", 4000), ("all", 1500)])
def test_wrong_keys_of_phases_score_like_a_standard_normal_on_any_picture(channels, count):
    """Other keys on one picture that is nothing like Gaussian, marked by another key."""
    one = mark(channels, strength=1.0)
    found = heard(one.inject(drawing()), one.scheme)
    keys = random_keys(count, seed=5)
    z = torch.stack([z_score(found, pattern(key.secret, one.scheme, 32)) for key in keys])
    assert z_score(found, one.pattern).item() > 8
    assert abs(z.mean().item()) < 3.5 / math.sqrt(count)
    assert z.std().item() == pytest.approx(1, abs=3.5 / math.sqrt(2 * count))
    assert (z > 3.09).double().mean().item() <= 0.003


def test_wrong_keys_of_rings_collide():
    """A dozen signs: on a state that carries one ring key, others score far beyond what a standard normal would."""
    one = mark(family="rings", strength=1.0)
    found = heard(one.inject(states(1)), one.scheme)
    z = torch.stack([z_score(found, pattern(key.secret, one.scheme, 32)) for key in random_keys(2000, 5)])
    assert z.std().item() > 3
    assert (z > 3.09).double().mean().item() > 0.2
    assert abs(z.mean().item()) < 3.5 * z.std().item() / math.sqrt(2000)  # no worse than that: it is fair


@pytest.mark.parametrize(("channels", "planes"), [("luma", 1), ("all", 3)])
def test_a_mark_without_noise_scores_the_root_of_its_coefficients(channels, planes):
    one = mark(channels)
    size = planes * int(fourier.annulus(32, 3, 10).sum())
    z = z_score(3.0 * one.pattern, one.pattern)
    assert z.item() == pytest.approx(math.sqrt(size), rel=1e-12)
    assert z_score(-one.pattern, one.pattern).item() == pytest.approx(-math.sqrt(size), rel=1e-12)


def test_a_replaced_mark_scores_nearly_that():
    one = mark(how="replace")
    size = int(fourier.annulus(32, 3, 10).sum())
    # the whole rings inside the mask are the mark alone; those at its edge are shared with the picture
    assert one.score(one.inject(states()))[0].item() == pytest.approx(math.sqrt(size), rel=1e-3)


@pytest.mark.parametrize("shift", [(0, 0), (3, -5), (-1, 16)])
@pytest.mark.parametrize("channels", ["luma", "red", "all"])
def test_a_shift_is_found_where_it_is(channels, shift):
    one = mark(channels, strength=1.5)
    marked = one.inject(states())
    surface = correlation(heard(marked, one.scheme), one.pattern)
    torch.testing.assert_close(surface[:, 0, 0], one.score(marked))
    rolled = heard(marked.roll(shift, (-2, -1)), one.scheme)
    moved = correlation(rolled, one.pattern)
    torch.testing.assert_close(moved, surface.roll(shift, (-2, -1)))
    for picture in moved:
        row, column = divmod(int(picture.argmax()), 32)
        assert (row, column) == (shift[0] % 32, shift[1] % 32)
    by_hand = z_score(heard(marked.roll((-4, 7), (-2, -1)), one.scheme), one.pattern)  # moved back
    torch.testing.assert_close(surface[:, 4, -7], by_hand)


@pytest.mark.parametrize("turn", [lambda x: torch.rot90(x, 1, (-2, -1)), lambda x: x.flip(-1)])
def test_rings_outlive_a_quarter_turn_and_a_mirror(turn):
    """Both move the first pixel by one, which the search over shifts finds."""
    for family, lives in [("rings", True), ("phases", False)]:
        one = mark(family=family, strength=1.5)
        turned = correlation(heard(turn(one.inject(states(1))), one.scheme), one.pattern)
        assert (turned[0, [0, 0, -1, -1], [0, -1, 0, -1]].max().item() > 9) == lives


def test_a_batch_is_one_by_one():
    one, x = mark("all"), states(3)
    marked = one.inject(x)
    torch.testing.assert_close(marked, torch.cat([one.inject(a[None]) for a in x]))
    torch.testing.assert_close(one.score(marked), torch.cat([one.score(a[None]) for a in marked]))
    assert one.score(marked.float()).dtype == torch.float64 and one.score(marked).shape == (3,)
    assert one.t == 0.3
    surface = correlation(heard(marked, one.scheme), one.pattern)
    alone = [correlation(heard(a[None], one.scheme), one.pattern) for a in marked]
    torch.testing.assert_close(surface, torch.cat(alone))
