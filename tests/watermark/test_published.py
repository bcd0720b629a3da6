import pytest
import torch

from backend.request import BadInput
from backend.watermark.fourier import mirrored, plane
from backend.watermark.published import Published

KEY, OTHER = b"k" * 32, b"o" * 32
SHAPES = [(1, 8, 8), (3, 8, 8), (1, 25, 25), (3, 64, 64)]


def noise(count, shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *shape, generator=generator, dtype=torch.float64)


def test_the_disc_lies_around_the_corner_and_has_the_codes_radius():
    mask = Published(KEY, (3, 64, 64)).mask
    assert mask.sum() == 316  # of the 317 whole numbers (a, b) with a^2 + b^2 <= 100 not the corner itself
    frequency = torch.fft.fftfreq(64, 1 / 64).abs()
    i, j = mask.nonzero().T
    assert torch.hypot(32 - frequency[i], 32 - frequency[j]).max() <= 10
    assert not mask[32, 32]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_coefficients_of_the_disc_are_the_keys_and_all_others_the_states(shape):
    mark, x = Published(KEY, shape), noise(2, shape)
    kept, marked = x.clone(), mark.inject(x)
    assert torch.equal(x, kept) and torch.equal(marked[:, :-1], x[:, :-1])
    assert torch.equal(mark.mask, mirrored(mark.mask)) and mark.mask.any()
    torch.testing.assert_close(mark.target, mirrored(mark.target).conj())
    expected = torch.where(mark.mask, mark.target, plane(x[:, -1]))
    torch.testing.assert_close(plane(marked[:, -1]), expected, atol=1e-10, rtol=0)
    torch.testing.assert_close(mark.score(marked), torch.zeros(2, dtype=torch.float64), atol=1e-10, rtol=0)


def test_rings_have_one_value_each():
    mark = Published(KEY, (3, 64, 64))
    frequency = torch.fft.fftfreq(64, 1 / 64, dtype=torch.float64).abs()
    corner = torch.hypot(32 - frequency[:, None], 32 - frequency)
    for ring in range(1, 11):
        values = mark.target[mark.mask & (corner > ring - 1) & (corner <= ring)]
        assert len(values) > 0 and values.imag.abs().max() == 0
        assert (values == values[0]).all()
    assert mark.target.real[mark.mask].unique().numel() == 10


def test_the_right_key_scores_higher_than_another_and_than_no_mark():
    x = noise(20, (3, 64, 64))
    mark = Published(KEY, (3, 64, 64))
    marked = mark.inject(x) + 0.5 * noise(20, (3, 64, 64), 1)
    assert mark.score(marked).min() > mark.score(x).max()
    assert mark.score(marked).min() > Published(OTHER, (3, 64, 64)).score(marked).max()
    assert mark.t == 0.3


def test_another_shape_is_refused():
    with pytest.raises(BadInput, match="square"):
        Published(KEY, (3, 64, 32))
