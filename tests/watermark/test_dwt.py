import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from backend.request import BadInput
from backend.watermark.dwt import BITS, Dwt, _low_band, available

KEY, OTHER = b"k" * 32, b"o" * 32


class Stripes:
    """Stands in for the package: bit i is the third of 32 levels that the i-th stripe of 1/32 of the width lies in."""

    calls: list

    def __init__(self, kind=None, length=None):
        assert (kind, length) in [(None, None), ("bits", BITS)]

    def set_watermark(self, kind, bits):
        assert kind == "bits" and len(bits) == BITS and set(bits) <= {0, 1}
        self.bits = np.array(bits)

    def _check(self, bgr, settings):
        assert bgr.dtype == np.uint8 and bgr.ndim == 3 and bgr.shape[2] == 3
        assert bgr.shape[0] * bgr.shape[1] >= 256 * 256 and bgr.flags["C_CONTIGUOUS"]
        self.calls.append((bgr.copy(), settings))

    def encode(self, bgr, **settings):
        self._check(bgr, settings)
        bits = np.repeat(self.bits, bgr.shape[1] // BITS)[None, :, None]
        return (bgr // 32 * 32 + 8 + 16 * bits).astype(np.uint8)

    def decode(self, bgr, **settings):
        self._check(bgr, settings)
        stripes = np.stack(np.split(bgr % 32 >= 16, BITS, axis=1))
        return stripes.mean((1, 2, 3)) > 0.5


@pytest.fixture
def package(monkeypatch):
    fake = type("Fake", (Stripes,), {"calls": []})
    module = SimpleNamespace(WatermarkEncoder=fake, WatermarkDecoder=fake)
    monkeypatch.setitem(sys.modules, "imwatermark", module)
    return fake


def flat(shape, *levels):
    """One flat picture a level, 0 to 255."""
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, *shape) / 127.5 - 1


@pytest.mark.parametrize(
    "shape", [(3, 256, 256), (1, 256, 256), (3, 64, 64), (1, 64, 64), (3, 320, 256)], ids=str
)
def test_the_message_comes_back(package, shape):
    mark, x = Dwt(KEY, shape), flat(shape, 48, 110, 200)
    kept, marked = x.clone(), mark.inject(x)
    assert torch.equal(x, kept) and marked.shape == x.shape and marked.dtype == x.dtype
    assert mark.score(marked).tolist() == [BITS] * 3 and mark.score(marked).dtype == torch.float64
    agreed = (mark.message == Dwt(OTHER, shape).message).sum().item()
    assert Dwt(OTHER, shape).score(marked).tolist() == [agreed] * 3
    assert mark.resampled == (shape[1] < 256)


def test_a_picture_keeps_what_the_mark_does_not_change(package, monkeypatch):
    """Neither eight bits nor the change of size show in it."""
    monkeypatch.setattr(package, "encode", lambda self, bgr, **settings: bgr.copy())
    for shape in [(3, 64, 64), (1, 256, 256)]:
        x = 2 * torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)) - 1
        assert torch.equal(Dwt(KEY, shape).inject(x), x)


def test_the_package_gets_blue_first_and_the_band_of_its_defaults(package):
    shape = (3, 256, 256)
    x = torch.tensor([10, 100, 200]).view(1, 3, 1, 1).expand(1, *shape) / 127.5 - 1
    Dwt(KEY, shape, "dwtDct").inject(x)
    ((image, settings),) = package.calls
    assert image[0, 0].tolist() == [200, 100, 10]
    assert settings == {"method": "dwtDct", "scales": [0, 36, 0]}
    package.calls.clear()
    Dwt(KEY, (1, 64, 64)).score(flat((1, 64, 64), 100))
    ((image, settings),) = package.calls
    assert image.shape == (256, 256, 3) and settings == {"method": "dwtDctSvd", "scales": [36, 0, 0]}


def test_colours_come_back_in_their_channels(package, monkeypatch):
    def encode(self, bgr, **settings):
        marked = bgr.copy()
        marked[..., 0] += 10  # blue
        return marked

    monkeypatch.setattr(package, "encode", encode)
    x = flat((3, 64, 64), 100)
    change = (Dwt(KEY, (3, 64, 64)).inject(x) - x).mean((0, 2, 3))
    torch.testing.assert_close(change, torch.tensor([0, 0, 10 / 127.5]), atol=1e-6, rtol=0)


def test_pixels_that_ran_over_stay_and_swapped_details_go(package, monkeypatch):
    def encode(self, bgr, **settings):
        marked = bgr.copy()
        marked[:2, :2] = 0  # of 255: what uint8 makes of 256
        marked[2::2, ::2] -= 20
        marked[2::2, 1::2] += 20  # a detail that has no mean over 2 x 2
        return marked

    monkeypatch.setattr(package, "encode", encode)
    x = flat((3, 256, 256), 255)
    x[:, :, 2:] = 100 / 127.5 - 1
    assert torch.equal(Dwt(KEY, (3, 256, 256)).inject(x), x)


def test_the_low_band_is_the_mean_of_two_by_two():
    added = torch.arange(15, dtype=torch.float64).view(1, 1, 3, 5)
    expected = torch.tensor([[3, 3, 5, 5, 6.5], [3, 3, 5, 5, 6.5], [10.5, 10.5, 12.5, 12.5, 14]])
    torch.testing.assert_close(_low_band(added)[0, 0], expected.double())


def test_a_batch_is_marked_one_by_one(package):
    mark, x = Dwt(KEY, (3, 64, 64)), flat((3, 64, 64), 48, 110, 200)
    torch.testing.assert_close(mark.inject(x), torch.cat([mark.inject(one[None]) for one in x]))


def test_without_the_package_a_sentence_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "imwatermark", None)
    available.cache_clear()
    try:
        assert not available()
        for call in (Dwt(KEY, (3, 64, 64)).inject, Dwt(KEY, (3, 64, 64)).score):
            with pytest.raises(BadInput, match="invisible-watermark, which is not installed"):
                call(flat((3, 64, 64), 100))
    finally:
        available.cache_clear()


def test_a_key_is_not_printed():
    assert "kkk" not in repr(Dwt(KEY, (1, 8, 8)))


@pytest.mark.skipif(not available(), reason="invisible-watermark is not installed")
@pytest.mark.parametrize("grey", [False, True], ids=["colour", "grey"])
def test_the_real_package_marks_photographs(grey):
    from skimage import data

    photographs = [data.astronaut()[:256, :256], data.coffee()[:256, :256], data.chelsea()[:256, :256]]
    x = torch.stack([torch.tensor(p).permute(2, 0, 1) / 127.5 - 1 for p in photographs])
    x = x.mean(1, keepdim=True) if grey else x
    mark = Dwt(KEY, tuple(x.shape[1:]))
    marked = mark.inject(x)
    assert mark.score(marked).tolist() == [BITS] * 3
    psnr = 10 * torch.log10(4 / (marked - x).square().flatten(1).mean(1))
    assert psnr.min() > 38  # 28 with the package's details
    assert mark.score(x).max() < 26  # P(Binomial(32, 1/2) >= 26) is 3e-4
