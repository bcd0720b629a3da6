import math

import pytest
import torch
from scipy import ndimage, stats

from backend.request import BadInput
from backend.watermark.fourier import mirrored, plane
from backend.watermark.replacement import ring
from backend.watermark.ringid import RingID

KEY, OTHER = b"k" * 32, b"o" * 32
SHAPES = [(1, 8, 8), (3, 8, 8), (1, 25, 25), (2, 25, 25), (3, 64, 64)]


def noise(count, shape, seed=0):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


def test_the_rings_are_the_papers():
    mark = RingID(KEY, (3, 64, 64))
    assert ring(64)[mark.mask].unique().tolist() == list(range(4, 15))
    assert torch.equal(mark.mask, mirrored(mark.mask))
    assert sorted(mark.targets) == [0, 2] and sorted(RingID(KEY, (1, 64, 64)).targets) == [0]
    counts = [len(ring(n)[RingID(KEY, (1, n, n)).mask].unique()) for n in (8, 25, 64)]
    assert counts == [2, 4, 11]


def picture_of(mark):
    return torch.fft.ifft2(mark.targets[0], norm="ortho").real


def unshifted(mark):
    """The rings where they were before the shift by half a picture, for an even n."""
    return picture_of(mark).roll((mark.shape[-1] // 2,) * 2, (0, 1))


@pytest.mark.parametrize("n", [8, 64])
def test_without_its_shift_a_ring_has_one_sign(n):
    mark = RingID(KEY, (1, n, n))
    found, rings = plane(unshifted(mark))[mark.mask], ring(n)[mark.mask]
    for r in rings.unique():
        one = found[rings == r]
        torch.testing.assert_close(one, one[0].real.sign().to(one).expand_as(one))


def test_shifted_rings_survive_a_rotation_about_the_middle():
    """Correlation with the target after 30 degrees, over keys: the shift is what a rotation needs."""

    def kept(mark, pattern):
        turned = torch.from_numpy(ndimage.rotate(pattern.numpy(), 30, reshape=False, order=3))
        found, target = plane(turned)[mark.mask], plane(pattern)[mark.mask]
        return (found * target.conj()).real.sum() / (found.norm() * target.norm())

    marks = [RingID(bytes([i]) * 32, (1, 64, 64)) for i in range(10)]
    assert min(kept(mark, picture_of(mark)) for mark in marks) > 0.5
    assert max(abs(kept(mark, unshifted(mark))) for mark in marks) < 0.3


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_coefficients_of_the_real_picture_are_the_target_and_the_rest_is_as_it_was(shape):
    mark, x = RingID(KEY, shape), noise(4, shape)
    kept, marked = x.clone(), mark.inject(x)
    assert torch.equal(x, kept) and marked.dtype == x.dtype
    for channel in range(shape[0]):
        planes, before = plane(marked[:, channel]), plane(x[:, channel])
        if channel not in mark.targets:
            assert torch.equal(marked[:, channel], x[:, channel])
            continue
        target = mark.targets[channel]
        torch.testing.assert_close(target, mirrored(target).conj(), atol=1e-12, rtol=0)
        found = planes[:, mark.mask]
        torch.testing.assert_close(found, target[mark.mask].expand_as(found), atol=1e-5, rtol=0)
        torch.testing.assert_close(planes[:, ~mark.mask], before[:, ~mark.mask], atol=1e-5, rtol=0)
    assert mark.score(marked).abs().max() < 1e-5


def test_the_rings_have_the_energy_of_noise_in_every_key():
    for secret in (KEY, OTHER):
        mark = RingID(secret, (1, 64, 64))
        torch.testing.assert_close(
            mark.targets[0][mark.mask].abs(), torch.ones(int(mark.mask.sum())).double()
        )


@pytest.mark.parametrize("channels", [1, 3])
def test_the_distance_of_unmarked_noise_is_the_smaller_of_two_ricians(channels):
    mark = RingID(KEY, (channels, 64, 64))
    found = -mark.score(noise(400, mark.shape))
    moments = []
    for target in mark.targets.values():
        rice = stats.rice(math.sqrt(2) * target[mark.mask].abs().numpy(), scale=math.sqrt(0.5))
        moments.append((rice.mean().mean(), math.sqrt(2 * rice.var().sum()) / len(rice.mean())))
    if channels == 1:
        (mean, deviation), *_ = moments
        assert mean == pytest.approx(82.02 / 64, abs=0.01)
    else:  # the mean of the smaller of two normals (Clark 1961)
        (m1, s1), (m2, s2) = moments
        spread = math.hypot(s1, s2)
        apart = (m1 - m2) / spread
        mean = m1 * stats.norm.cdf(-apart) + m2 * stats.norm.cdf(apart) - spread * stats.norm.pdf(apart)
        deviation = max(s1, s2)
    assert abs(found.mean() - mean) < 3.5 * deviation / 20
    assert mean / deviation > 20


def test_one_good_channel_is_enough():
    mark, x = RingID(KEY, (3, 64, 64)), noise(2, (3, 64, 64))
    for channel in mark.targets:
        half = x.clone()
        half[:, channel] = mark.inject(x)[:, channel]
        assert mark.score(half).abs().max() < 1e-5


def test_a_wrong_key_differs_in_about_half_of_its_rings():
    n = 64
    mask, rings = RingID(KEY, (1, n, n)).mask, ring(n)
    agree = []
    for i in range(100):
        same = (RingID(bytes([i]) * 32, (1, n, n)).targets[0] - RingID(KEY, (1, n, n)).targets[0]).abs() < 1
        agree += [same[mask & (rings == r)].all().item() for r in range(4, 15)]
    low, high = stats.binom(1100, 0.5).interval(0.999)
    assert low <= sum(agree) <= high


def test_a_batch_is_scored_one_by_one():
    mark, x = RingID(KEY, (3, 25, 25)), noise(3, (3, 25, 25))
    torch.testing.assert_close(mark.inject(x), torch.cat([mark.inject(one[None]) for one in x]))
    torch.testing.assert_close(mark.score(x), torch.cat([mark.score(one[None]) for one in x]))
    assert mark.score(x).dtype == torch.float64


def test_another_shape_is_refused_and_a_key_not_printed():
    with pytest.raises(BadInput, match="square"):
        RingID(KEY, (3, 64, 32))
    assert "kkk" not in repr(RingID(KEY, (1, 25, 25)))
