"""Each move against another library or its definition."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from backend.watermark import geometry as g
from tests.watermark.test_distortions import NONE, picture


def resized(x, size, resampling=Image.Resampling.BICUBIC):
    """By Pillow, in float, channel by channel."""
    return torch.stack(
        [torch.from_numpy(np.array(Image.fromarray(c.numpy()).resize((size, size), resampling))) for c in x]
    )


@pytest.mark.parametrize(("size", "share", "side"), [(24, 0.25, 6), (24, 0.8, 19), (8, 0.01, 1)])
def test_resize_is_pillows(size, share, side):
    x = 0.8 * picture(size=size)
    found = resized(resized(x, side).clamp(-1, 1), size).clamp(-1, 1)
    torch.testing.assert_close(g.resize(x, share, NONE), found, atol=2e-5, rtol=0)


@pytest.mark.parametrize(("size", "share", "margin"), [(64, 0.75, 8), (24, 0.5, 6), (9, 0.6, 2)])
def test_crop_enlarges_the_middle(size, share, margin):
    x = 0.8 * picture(size=size)
    middle = x[:, margin : size - margin, margin : size - margin]
    torch.testing.assert_close(g.crop(x, share, NONE), resized(middle, size).clamp(-1, 1), atol=2e-5, rtol=0)
    torch.testing.assert_close(g.crop(x.flip(1), share, NONE), g.crop(x, share, NONE).flip(1))


def test_rotation_by_a_right_angle_is_exact():
    for channels, size in [(1, 8), (3, 25)]:
        x = picture(channels, size)
        torch.testing.assert_close(g.rotate(x, 90, NONE), torch.rot90(x, 1, (1, 2)), atol=1e-4, rtol=0)
        torch.testing.assert_close(g.rotate(x, -90, NONE), torch.rot90(x, -1, (1, 2)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("degrees", [15, -40.5])
def test_rotation_is_scipys(degrees):
    """In the corners, too: the nearest edge pixel."""
    x = picture(size=24)
    found = ndimage.rotate(x.numpy(), degrees, axes=(2, 1), reshape=False, order=1, mode="nearest")
    same, other = (np.abs(g.rotate(x, a, NONE).numpy() - found).max() for a in (degrees, -degrees))
    assert same < 1e-4 < other


def test_rotation_keeps_angles_where_sides_differ():
    """A point to the right of the centre goes as far above it."""
    x = torch.zeros(1, 9, 17)
    x[0, 4, 11] = 1
    assert g.rotate(x, 90, NONE)[0, 1, 8].item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("pixels", [1, 3, -2, 20])
def test_shift_moves_whole_pixels_and_repeats_the_edge(pixels):
    x = picture(size=16)
    found = g.shift(x, pixels, NONE)
    row, column = ((torch.arange(16) - pixels).clamp(0, 15) for _ in range(2))
    assert torch.equal(found, x[:, row][:, :, column])
    inside = slice(pixels, None) if pixels > 0 else slice(None, pixels)
    rolled = x.roll((pixels, pixels), (1, 2))
    assert torch.equal(found[:, inside, inside], rolled[:, inside, inside])


def test_flip():
    x = picture()
    assert torch.equal(g.flip(x, 1, NONE), torch.from_numpy(np.flip(x.numpy(), 2).copy()))
