import math

import pytest
import torch
from scipy import stats

from backend.request import BadInput
from backend.watermark.gaussian_shading import GaussianShading, threshold

KEY, OTHER = b"k" * 32, b"o" * 32
SHAPES = [(1, 8, 8), (3, 8, 8), (1, 25, 25), (3, 25, 25), (1, 64, 64), (3, 64, 64)]


def noise(count, shape, seed=0):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))


def test_every_bit_has_an_odd_number_of_copies_that_fit():
    marks = [GaussianShading(KEY, shape) for shape in SHAPES]
    assert [mark.bits for mark in marks] == [8, 32, 64, 256, 256, 256]
    assert [mark.copies for mark in marks] == [7, 5, 9, 7, 15, 47]
    for mark in marks:
        left = math.prod(mark.shape) - mark.bits * mark.copies
        assert mark.copies % 2 == 1 and 0 <= left < 2 * mark.bits
        assert len(mark._places.unique()) == mark.bits * mark.copies


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_all_bits_agree_on_a_clean_state_and_magnitudes_stay(shape):
    mark, x = GaussianShading(KEY, shape), noise(4, shape)
    kept, marked = x.clone(), mark.inject(x)
    assert torch.equal(x, kept) and torch.equal(marked.abs(), x.abs()) and marked.dtype == x.dtype
    assert mark.score(marked).tolist() == [mark.bits] * 4
    assert torch.equal(mark.decode(marked), mark.message.expand(4, -1))
    assert torch.equal(mark.inject(marked), marked)


def test_fresh_noise_stays_normal():
    marked = GaussianShading(KEY, (3, 64, 64)).inject(noise(2, (3, 64, 64)))
    assert stats.kstest(marked.flatten().numpy(), "norm").pvalue > 0.01
    assert not torch.equal(marked, noise(2, (3, 64, 64)))
    # and neighbours stay independent
    assert (
        abs(torch.corrcoef(torch.stack([marked[..., 1:].flatten(), marked[..., :-1].flatten()]))[0, 1]) < 0.03
    )


def test_one_secret_for_many_pictures_shows_the_signs():
    """Why each picture needs its own: the mean of |N(0, 1)| is sqrt(2 / pi), and stays where the sign is fixed."""
    mark = GaussianShading(KEY, (1, 8, 8))
    mean = mark.inject(noise(4000, mark.shape)).mean(0).flatten()[mark._places]
    torch.testing.assert_close(mean.abs(), torch.full_like(mean, math.sqrt(2 / math.pi)), atol=0.05, rtol=0)
    fresh = torch.cat(
        [GaussianShading(i.to_bytes(32), mark.shape).inject(noise(1, mark.shape, i)) for i in range(400)]
    )
    assert fresh.mean(0).abs().max() < 4.5 / 20


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (1, 25, 25)], ids=str)
def test_unmarked_noise_agrees_as_a_binomial(shape):
    mark = GaussianShading(KEY, shape)
    found = mark.score(noise(4000, shape))
    law = stats.binom(mark.bits, 0.5)
    assert abs(found.mean() - law.mean()) < 3.5 * law.std() / math.sqrt(4000)
    assert found.var() / law.var() == pytest.approx(1, abs=3.5 * math.sqrt(2 / 4000))
    tau = threshold(0.05, mark.bits)
    low, high = stats.binom(4000, law.sf(tau - 1)).interval(0.999)
    assert low <= (found >= tau).sum() <= high


def test_a_wrong_secret_reads_at_chance():
    shape = (3, 64, 64)
    marked = GaussianShading(OTHER, shape).inject(noise(1, shape))
    agreed = sum(GaussianShading(bytes([i]) * 32, shape).score(marked).item() for i in range(40))
    low, high = stats.binom(40 * 256, 0.5).interval(0.999)
    assert low <= agreed <= high


@pytest.mark.parametrize("spread", [1.0, 3.0])
def test_noise_flips_as_many_bits_as_theory_says(spread):
    """A sign survives added noise with probability 1 - atan(spread) / pi; a bit if the majority of its copies does."""
    mark = GaussianShading(KEY, (3, 25, 25))
    x = mark.inject(noise(200, mark.shape)) + spread * noise(200, mark.shape, 1)
    expected = stats.binom(mark.copies, 1 - math.atan(spread) / math.pi).sf(mark.copies // 2)
    low, high = stats.binom(200 * mark.bits, expected).interval(0.999)
    assert low <= mark.score(x).sum() <= high


@pytest.mark.parametrize("bits", [8, 32, 64, 256])
@pytest.mark.parametrize("fpr", [0.3, 0.05, 0.01, 1e-3, 1e-6, 1e-12])
def test_the_threshold_is_the_smallest_that_keeps_the_rate(bits, fpr):
    tau = threshold(fpr, bits)
    law = stats.binom(bits, 0.5)
    assert law.sf(tau - 1) <= fpr < law.sf(tau - 2)


def test_the_threshold_is_not_one_too_low():
    assert threshold(1e-6, 256) == 167  # the published code accepts 166, at 1.18e-6
    assert stats.binom(256, 0.5).sf(165) == pytest.approx(1.18e-6, rel=0.01)
    assert threshold(2**-8, 8) == 8 and threshold(1e-3, 8) == 9
    for wrong in (0, 1, -1):
        with pytest.raises(ValueError):
            threshold(wrong, 8)


def test_a_batch_is_scored_one_by_one():
    mark, x = GaussianShading(KEY, (3, 25, 25)), noise(3, (3, 25, 25))
    assert torch.equal(mark.inject(x), torch.cat([mark.inject(one[None]) for one in x]))
    assert torch.equal(mark.score(x), torch.cat([mark.score(one[None]) for one in x]))
    assert mark.score(x).dtype == torch.float64


def test_a_tiny_shape_is_refused_and_a_key_not_printed():
    with pytest.raises(BadInput, match="8 bits"):
        GaussianShading(KEY, (1, 6, 6))
    assert "kkk" not in repr(GaussianShading(KEY, (1, 8, 8)))
