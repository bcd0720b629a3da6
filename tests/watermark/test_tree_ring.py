import math

import pytest
import torch
from scipy import stats

from backend.request import BadInput
from backend.watermark.fourier import mirrored, plane
from backend.watermark.replacement import normal, ring
from backend.watermark.tree_ring import TreeRing

KEY, OTHER = b"k" * 32, b"o" * 32
SHAPES = [(1, 8, 8), (3, 8, 8), (1, 25, 25), (3, 64, 64)]


def noise(count, shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *shape, generator=generator)


def null(mark):
    """Mean and variance of |F - w| over the mask for unmarked noise: |F - w| is Rician, and a pair of coefficients counts twice."""
    offset = mark.target[mark.mask].abs().numpy()
    rice = stats.rice(math.sqrt(2) * offset, scale=math.sqrt(0.5))
    return rice.mean().mean(), 2 * rice.var().sum() / len(offset) ** 2


def test_numbers_drawn_from_a_secret_are_normal():
    drawn = normal(KEY, "test", 20_000)
    assert stats.kstest(drawn.numpy(), "norm").pvalue > 0.01
    assert not torch.equal(drawn, normal(KEY, "another", 20_000))


def test_the_disc_is_the_papers_centred_and_without_the_mean():
    mark = TreeRing(KEY, (3, 64, 64))
    assert int(mark.mask.sum()) == 316  # lattice points within 10 of 0 are 317
    assert torch.equal(mark.mask, mirrored(mark.mask))
    assert not mark.mask[0, 0] and mark.mask[6, 8] and not mark.mask[7, 8]
    assert [round(0.16 * n) for n in (8, 25, 64)] == [1, 4, 10]
    assert ring(64)[[0, 6, 0, 1], [0, 8, 1, 1]].tolist() == [0, 10, 1, 2]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_ring_has_one_real_value(shape):
    mark = TreeRing(KEY, shape)
    rings = ring(shape[-1])[mark.mask]
    assert torch.equal(mark.target, mark.target.real.to(torch.complex128))
    assert not mark.target[~mark.mask].any()
    values = [mark.target[mark.mask].real[rings == r].unique() for r in rings.unique()]
    assert all(len(value) == 1 for value in values)
    assert len({value.item() for value in values}) == round(0.16 * shape[-1])


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_coefficients_of_the_real_picture_are_the_target_and_the_rest_is_as_it_was(shape):
    mark, x = TreeRing(KEY, shape), noise(4, shape)
    kept, marked = x.clone(), mark.inject(x)
    assert torch.equal(x, kept) and marked.dtype == x.dtype and marked.shape == x.shape
    planes, before = plane(marked), plane(x)
    found = planes[:, -1, mark.mask]
    torch.testing.assert_close(found, mark.target[mark.mask].expand_as(found), atol=1e-5, rtol=0)
    torch.testing.assert_close(planes[:, -1, ~mark.mask], before[:, -1, ~mark.mask], atol=1e-5, rtol=0)
    assert torch.equal(marked[:, :-1], x[:, :-1])
    assert mark.score(marked).abs().max() < 1e-5


@pytest.mark.parametrize("shape", [(1, 25, 25), (3, 64, 64)], ids=str)
def test_the_distance_of_unmarked_noise_is_that_of_a_rician(shape):
    mark = TreeRing(KEY, shape)
    found = -mark.score(noise(400, shape))
    mean, variance = null(mark)
    assert abs(found.mean() - mean) < 3.5 * math.sqrt(variance / 400)
    assert found.var() / variance == pytest.approx(1, abs=3.5 * math.sqrt(2 / 400))
    assert mean / math.sqrt(variance) > 10  # a marked state has distance 0


def test_its_variance_is_that_of_noise_over_keys():
    """One key's rings have the energy that they have; the mean over keys is 1."""
    energies = [TreeRing(bytes([i]) * 32, (1, 64, 64)) for i in range(200)]
    energy = torch.stack([mark.target[mark.mask].abs().square().mean() for mark in energies])
    assert abs(energy.mean() - 1) < 3.5 * energy.std() / math.sqrt(200)


def test_a_wrong_key_sees_about_what_it_sees_in_noise():
    shape = (3, 64, 64)
    marks = [TreeRing(bytes([i]) * 32, shape) for i in range(60)]
    marked = TreeRing(KEY, shape).inject(noise(1, shape))
    found = torch.stack([-mark.score(marked)[0] for mark in marks])
    expected = [(mark.target - TreeRing(KEY, shape).target)[mark.mask].abs().mean() for mark in marks]
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-5, rtol=0)
    assert found.min() > 0.3


def test_a_batch_is_scored_one_by_one():
    mark, x = TreeRing(KEY, (3, 25, 25)), noise(3, (3, 25, 25))
    torch.testing.assert_close(mark.inject(x), torch.cat([mark.inject(one[None]) for one in x]))
    torch.testing.assert_close(mark.score(x), torch.cat([mark.score(one[None]) for one in x]))
    assert mark.score(x).dtype == torch.float64


def test_the_p_value_is_the_formula_and_too_large_by_what_fixing_the_variance_takes():
    """Given sum |F|^2 over M real numbers, F lies on a sphere: its cosine with W follows a beta law, exactly. eta falls with the cosine
    and depends on nothing else but sum |F|^2, so the rate at a nominal P-value is known."""
    mark = TreeRing(KEY, (1, 64, 64))
    x = noise(4000, mark.shape)
    p, size = mark.p_value(x), int(mark.mask.sum())
    found, target = plane(x[0, 0])[mark.mask], mark.target[mark.mask]
    variance = found.abs().square().mean().item()
    eta, off_centre = (found - target).abs().square().sum().item(), target.abs().square().sum().item()
    assert p[0].item() == pytest.approx(stats.ncx2.cdf(eta / variance, size, off_centre / variance), rel=1e-9)
    for nominal in (0.05, 0.2):
        bound = stats.ncx2.ppf(nominal, size, off_centre)  # at variance 1
        cosine = (size + off_centre - bound) / (2 * math.sqrt(size * off_centre))
        rate = stats.beta((size - 1) / 2, (size - 1) / 2).sf((1 + cosine) / 2)
        assert rate < nominal
        seen = (p <= nominal).double().mean().item()
        assert abs(seen - rate) < 4 * math.sqrt(rate / 4000) + 0.05 * rate
    assert mark.p_value(mark.inject(x[:2])).max() < 1e-30


def test_two_keys_differ_and_neither_is_printed():
    assert not torch.equal(TreeRing(KEY, (1, 25, 25)).target, TreeRing(OTHER, (1, 25, 25)).target)
    assert "kkk" not in repr(TreeRing(KEY, (1, 25, 25)))


@pytest.mark.parametrize("shape", [(1, 7, 7), (3, 64, 32), (2,)])
def test_another_shape_is_refused(shape):
    with pytest.raises(BadInput, match="square"):
        TreeRing(KEY, shape)
