"""Each distortion against another library or its definition."""

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageFilter
from scipy import ndimage

from backend.watermark import distortions as d

NONE = torch.Generator()  # for what is not random
LEVEL = 2 / 255


def picture(channels=3, size=24, seed=0):
    """Smooth, with some texture, from -0.9 to 0.9, in whole grey levels."""
    x = torch.randn(channels, size, size, generator=torch.Generator().manual_seed(seed))
    x = d.blur(x, 1.5, NONE) + 0.1 * x
    x = 0.9 * x / x.abs().max()
    return ((x + 1) * 127.5).round() / 127.5 - 1


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def as_image(x):
    return Image.fromarray(((x + 1) * 127.5).round().byte().movedim(0, -1).squeeze(-1).numpy())


def as_tensor(image):
    x = torch.from_numpy(np.array(image)).float() / 127.5 - 1
    return x[None] if x.ndim == 2 else x.movedim(-1, 0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [10, 25, 80])
def test_jpeg_is_pillows(channels, quality):
    x, file = picture(channels), io.BytesIO()
    as_image(x).save(file, "JPEG", quality=quality)
    assert torch.equal(d.jpeg(x, quality, NONE), as_tensor(Image.open(file)))


def test_jpeg_of_colour_is_subsampled_and_a_fine_one_hardly_changes_a_grey_picture():
    x = torch.zeros(3, 16, 16)
    x[:, ::2] = torch.tensor([0.8, -0.8, -0.8]).view(3, 1, 1)
    assert (d.jpeg(x, 95, NONE) - x).abs().mean() > 0.2  # chroma of neighbouring lines is shared
    grey = picture(1)
    assert (d.jpeg(grey, 95, NONE) - grey).abs().mean() < 2 * LEVEL


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5, 6.0])
def test_blur_is_scipys(sigma):
    x = picture(size=16)
    found = ndimage.gaussian_filter(x.double().numpy(), (0, sigma, sigma), mode="nearest")
    np.testing.assert_allclose(d.blur(x, sigma, NONE), found, atol=2e-6)


def test_a_radius_of_pillow_is_this_sigma():
    """Inside the picture: at the edges Pillow extends it anew for each of the three boxes that stand for its Gaussian."""
    x, inside = picture(size=64), slice(16, -16)
    found = as_tensor(as_image(x).filter(ImageFilter.GaussianBlur(4)))
    away = [(d.blur(x, s, NONE) - found)[:, inside, inside].abs().mean() for s in (3.4, 4, 4.6)]
    assert away[1] < LEVEL / 2 and away[1] == min(away)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_median_is_scipys(k):
    x = picture()
    found = ndimage.median_filter(x.numpy(), size=(1, k, k), mode="nearest")
    np.testing.assert_array_equal(d.median(x, k, NONE), found)


def test_noise_has_its_deviation_and_never_wraps_around():
    x = torch.full((3, 100, 100), 0.9)
    added = d.noise(x, 0.1, seeded()) - x
    assert added.std().item() == pytest.approx(0.2, rel=0.02) and abs(added.mean().item()) < 0.005
    assert d.noise(x, 0.1, seeded()).min() > -0.5  # 8-bit sums would come round to black


def test_salt_and_pepper_hits_its_share_of_values_half_of_each():
    x = torch.zeros(3, 100, 100)
    found = d.salt_and_pepper(x, 0.05, seeded())
    assert set(found.unique().tolist()) == {-1, 0, 1}
    assert (found == 1).float().mean().item() == pytest.approx(0.025, rel=0.1)
    assert (found == -1).float().mean().item() == pytest.approx(0.025, rel=0.1)
    assert not torch.equal(found[0], found[1])


@pytest.mark.parametrize(("size", "share", "side"), [(64, 0.4, 26), (8, 0.4, 4), (9, 0.4, 3), (64, 0, 0)])
def test_drop_is_a_centred_grey_square(size, share, side):
    x = torch.full((3, size, size), 0.7)
    found = d.drop(x, share, NONE)
    assert (found == 0).sum() == 3 * side**2 and (x == 0.7).all()
    assert torch.equal(found, found.flip(1)) and torch.equal(found, found.flip(2))
    assert torch.equal(found, found.transpose(1, 2))


@pytest.mark.parametrize("factor", [0.4, 1.0, 3.0])
@pytest.mark.parametrize(
    ("ours", "theirs"), [(d.brightness, ImageEnhance.Brightness), (d.contrast, ImageEnhance.Contrast)]
)
def test_brightness_and_contrast_are_pillows(ours, theirs, factor):
    """Pillow rounds to 8 bits, and the mean grey, too."""
    x = picture()
    found = as_tensor(theirs(as_image(x)).enhance(factor))
    assert (ours(x, factor, NONE) - found).abs().max() < 2.5 * LEVEL


def test_hue_turns_about_the_grey_axis():
    x = picture()
    torch.testing.assert_close(d.hue(x, 1 / 3), x.roll(1, 0))  # red becomes green
    torch.testing.assert_close(d.hue(x, -1 / 3), x.roll(-1, 0))
    torch.testing.assert_close(d.hue(x / 2, 0.1).mean(0), x.mean(0) / 2)
    grey = x[:1].expand(3, -1, -1)
    torch.testing.assert_close(d.hue(grey, 0.23), grey)


def test_jitter_draws_within_its_strength():
    x = 0.2 * picture() - 0.5  # far from clipping
    means = [(d.jitter(x, 0.5, seeded(i)) + 1).mean() / (x + 1).mean() for i in range(200)]
    assert min(means) == pytest.approx(0.5, abs=0.05) and max(means) == pytest.approx(1.5, abs=0.05)
    spreads = [d.jitter(x, 0.5, seeded(i)).std() / x.std() for i in range(200)]
    assert min(spreads) < 0.5 and max(spreads) > 1.5


def test_jitter_of_grey_is_brightness_and_contrast_alone():
    x = 0.2 * picture(1) - 0.5
    found = d.jitter(x, 0.5, seeded())
    light, contrasts = (0.5 * (2 * torch.rand(4, generator=seeded()) - 1))[:2].tolist()
    torch.testing.assert_close(found, d.contrast(d.brightness(x, 1 + light, NONE), 1 + contrasts, NONE))
    colour = d.jitter(x.expand(3, -1, -1), 0.5, seeded())  # saturation and hue do nothing to grey
    torch.testing.assert_close(colour, found.expand(3, -1, -1))
