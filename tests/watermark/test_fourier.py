import hashlib
import math

import pytest
import torch
from scipy import stats

from backend.watermark.fourier import (
    CENTRES,
    annulus,
    mirrored,
    phases,
    picture,
    plane,
    radius,
    ring_power,
    rings,
    uniform,
)

KEY, OTHER = b"k" * 32, b"o" * 32
SIZES = [8, 9, 25, 64]


def planes(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return plane(torch.randn(*shape, generator=generator, dtype=torch.float64))


def frequencies(n):
    """Of each index, in the usual order, by their definition: 0, 1, ..., -2, -1."""
    return [k if k < (n + 1) // 2 else k - n for k in range(n)]


@pytest.mark.parametrize("centre", CENTRES)
@pytest.mark.parametrize("n", SIZES)
def test_radius_is_the_distance_to_the_centre(n, centre):
    corner = 0 if centre == "zero" else n / 2
    for i, u in enumerate(frequencies(n)):
        for j, v in enumerate(frequencies(n)):
            found = math.hypot(abs(u) - corner, abs(v) - corner)
            assert radius(n, centre)[i, j].item() == pytest.approx(found, abs=1e-12)


def test_mirrored_is_minus_k():
    x = torch.randn(5, 5, dtype=torch.float64)
    assert torch.equal(
        mirrored(x), torch.stack([torch.stack([x[-i % 5, -j % 5] for j in range(5)]) for i in range(5)])
    )
    found = planes(2, 8, 8)
    torch.testing.assert_close(mirrored(found), found.conj())  # of a real picture


@pytest.mark.parametrize("centre", CENTRES)
@pytest.mark.parametrize("n", SIZES)
def test_an_annulus_is_symmetric_and_leaves_out_what_mirrors_itself(n, centre):
    everything = annulus(n, -1, n, centre)
    assert torch.equal(everything, mirrored(everything))
    index = torch.arange(n * n).view(n, n)
    assert torch.equal(~everything, index == mirrored(index))
    assert int((~everything).sum()) == (4 if n % 2 == 0 else 1)
    part = annulus(n, 1, n / 3, centre)
    assert torch.equal(part, mirrored(part)) and part.any()
    assert radius(n, centre)[part].min() > 1 and radius(n, centre)[part].max() <= n / 3


@pytest.mark.parametrize(("inner", "outer"), [(-1, 10), (3, 16), (5, 13)])
def test_an_annulus_has_the_lattice_points_between_its_radii(inner, outer):
    """Around zero and around Nyquist alike; 3, 4, 5 lies on the radius 5, which belongs to the outer side."""
    points = [(u, v) for u in range(-31, 32) for v in range(-31, 32)]
    count = sum(inner < math.hypot(u, v) <= outer for u, v in points) - (inner < 0)
    for centre in CENTRES:
        assert int(annulus(64, inner, outer, centre).sum()) == count
    assert count == pytest.approx(math.pi * (outer**2 - max(inner, 0) ** 2), rel=0.03)
    assert not annulus(64, 5, 6)[3, 4] and annulus(64, 4, 5)[3, 4]


@pytest.mark.parametrize("centre", CENTRES)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("kind", [phases, rings])
def test_a_pattern_is_hermitian_of_modulus_1_and_loses_nothing_in_a_real_picture(kind, n, centre):
    mask = annulus(n, 1, n / 3, centre)
    W = kind(KEY, mask) if kind is phases else kind(KEY, mask, centre)
    torch.testing.assert_close(W.abs(), mask.double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(mirrored(W), W.conj(), atol=1e-12, rtol=0)
    assert torch.fft.ifft2(W, norm="ortho").imag.abs().max() < 1e-12
    real = picture(W, torch.zeros(1, dtype=torch.float64))
    assert real.square().sum().item() == pytest.approx(int(mask.sum()), rel=1e-12)
    torch.testing.assert_close(plane(real), W, atol=1e-12, rtol=0)
    assert picture(W, torch.zeros(1)).dtype == torch.float32


@pytest.mark.parametrize("centre", CENTRES)
@pytest.mark.parametrize("n", [25, 64])
def test_rings_turn_into_themselves_and_phases_do_not(n, centre):
    """As planes with frequency 0 in the middle, and so as pictures about their first pixel."""
    mask = annulus(n, 2, n / 3, centre)
    for W, keeps in [(rings(KEY, mask, centre), True), (phases(KEY, mask), False)]:
        # an even plane has its middle beside the centre of its array: a first row and column more make it odd
        wide = torch.fft.fftshift(W)
        if n % 2 == 0:
            wide = torch.cat([wide, wide[:1]])
            wide = torch.cat([wide, wide[:, :1]], 1)
        turned = [torch.rot90(wide), wide.flip(0), wide.flip(1)]
        assert [torch.equal(one, wide) for one in turned] == [keeps] * 3
    values = rings(KEY, mask, centre).real[mask]
    ring = radius(n, centre)[mask].round()
    assert all(len(values[ring == r].unique()) == 1 for r in ring.unique())
    assert set(values.tolist()) == {-1.0, 1.0}


def test_uniform_is_pinned():
    """A key made today must be read tomorrow: SHAKE-256 of the secret, "/" and the purpose, 8 bytes a number, little end first."""
    found = uniform(KEY, "phases", 3)
    data = hashlib.shake_256(KEY + b"/phases").digest(24)
    expected = [(int.from_bytes(data[8 * i : 8 * i + 8], "little") >> 11) / 2**53 for i in range(3)]
    assert found.tolist() == expected
    assert found.tolist() == [0.5734899518158961, 0.16309791675213192, 0.40607633170175506]
    assert torch.equal(uniform(KEY, "phases", 10)[:3], found)


def test_uniform_is_uniform():
    x = uniform(KEY, "phases", 20_000)
    assert x.dtype == torch.float64 and x.min() >= 0 and x.max() < 1
    assert stats.kstest(x.numpy(), "uniform").pvalue > 0.01
    assert stats.kstest((x[1:] - x[:-1]).numpy() % 1, "uniform").pvalue > 0.01  # neighbours are independent


@pytest.mark.parametrize("other", [(OTHER, "phases"), (KEY, "rings")], ids=["secret", "purpose"])
def test_secrets_and_purposes_are_independent(other):
    x, y = uniform(KEY, "phases", 20_000), uniform(*other, 20_000)
    assert abs(stats.pearsonr(x.numpy(), y.numpy()).statistic) < 3.5 / math.sqrt(20_000)
    assert stats.kstest((x - y).numpy() % 1, "uniform").pvalue > 0.01


def test_phases_of_two_keys_agree_by_chance_and_signs_of_rings_are_fair():
    mask = annulus(64, 3, 16)
    pairs = int(mask.sum()) / 2
    agreement = (phases(KEY, mask) * phases(OTHER, mask).conj()).real.sum().item() / (2 * pairs)
    assert (
        0 < abs(agreement) < 3.5 / math.sqrt(2 * pairs)
    )  # the mean of cos over the pairs, each of variance 1/2
    angles = phases(KEY, mask)[mask].angle() / (2 * math.pi) % 1
    assert stats.kstest(angles[: len(angles) // 2].numpy(), "uniform").pvalue > 0.01
    line = torch.zeros(64, 64, dtype=torch.bool)
    line[0, 4:14] = True  # ten rings
    ups = sum(int((rings(bytes([i]) * 32, line).real > 0).sum()) for i in range(200))
    assert stats.binomtest(ups, 2000).pvalue > 0.01


def test_planes_are_unitary():
    x = torch.randn(2, 3, 25, 25, generator=torch.Generator().manual_seed(1))
    found = plane(x)
    assert found.dtype == torch.complex128
    torch.testing.assert_close(found.abs().square().sum((-2, -1)), x.double().square().sum((-2, -1)))
    torch.testing.assert_close(picture(found, x), x)


@pytest.mark.parametrize("centre", CENTRES)
@pytest.mark.parametrize("n", [8, 9])
def test_ring_power_is_the_mean_over_a_ring(n, centre):
    found = planes(2, 3, n, n)
    power, ring = ring_power(found, centre), radius(n, centre).round()
    for i in range(n):
        for j in range(n):
            mean = found[..., ring == ring[i, j]].abs().square().mean(-1)
            torch.testing.assert_close(power[..., i, j], mean)
    turned = found.transpose(0, 1)  # whatever its strides
    torch.testing.assert_close(ring_power(turned, centre), power.transpose(0, 1))
    torch.testing.assert_close(power.sum(), found.abs().square().sum())


@pytest.mark.parametrize("draw", [phases, rings])
def test_several_secrets_draw_what_each_draws_alone(draw):
    mask = annulus(25, 2, 9)
    both = draw([KEY, OTHER], mask)
    assert both.shape == (2, 25, 25) and not torch.equal(both[0], both[1])
    for found, secret in zip(both, (KEY, OTHER), strict=True):
        torch.testing.assert_close(found, draw(secret, mask), atol=1e-14, rtol=0)
    assert torch.equal(uniform([KEY, OTHER], "x", 5)[1], uniform(OTHER, "x", 5))
