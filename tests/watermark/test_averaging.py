import torch

from backend.watermark.averaging import common, forged, removed

SHAPE = (3, 6, 6)


def contents(n, seed):
    return 0.4 * (torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(seed)) - 0.5)


MARK = 0.1 * torch.randn(SHAPE, generator=torch.Generator().manual_seed(9)).clamp(-2, 2)


def test_against_the_originals_one_picture_gives_the_mark_away():
    for n in (1, 7):
        torch.testing.assert_close(common(contents(n, 0) + MARK, contents(n, 0)), MARK)


def test_against_others_the_error_falls_with_the_root_of_their_number():
    def error(n):
        return float((common(contents(n, 0) + MARK, contents(n, 1)) - MARK).norm())

    assert 6 < error(4) / error(256) < 10.7, "8 = sqrt(64)"


def test_removal_takes_the_mark_off_and_forgery_puts_it_on():
    pictures = contents(5, 2)
    torch.testing.assert_close(removed(pictures + MARK, MARK), pictures)
    torch.testing.assert_close(forged(pictures, MARK), pictures + MARK)
    bright = torch.full((1, *SHAPE), 0.99)
    assert forged(bright, MARK).max() == 1 and removed(-bright, MARK).min() == -1


def test_each_its_own_mark_averages_out():
    marks = torch.randn(64, *SHAPE, generator=torch.Generator().manual_seed(3))
    found = common(contents(64, 0) + marks, contents(64, 0))
    assert float(found.std()) < 1.3 * float(marks.std()) / 8
