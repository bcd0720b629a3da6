import torch

from backend.editing.paste import paste


def whole(height: int, width: int) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0)) - 0.5


def test_no_change_leaves_every_pixel():
    assert torch.equal(paste(whole(90, 200), torch.zeros(3, 16, 16)), whole(90, 200))


def test_the_margins_stay_and_the_square_changes_evenly_where_the_change_is_even():
    before = whole(40, 100)
    after = paste(before, torch.full((1, 8, 8), 0.25))
    assert torch.equal(after[:, :, :30], before[:, :, :30]) and torch.equal(
        after[:, :, 70:], before[:, :, 70:]
    )
    torch.testing.assert_close(after[:, :, 30:70], before[:, :, 30:70] + 0.25)


def test_a_change_lands_where_the_model_saw_it():
    change = torch.zeros(3, 8, 8)
    change[:, 1, 6] = 1.0
    moved = (paste(torch.zeros(3, 160, 80), change) - 0).sum(0)
    top, left = divmod(int(moved.argmax()), 80)
    assert 40 + 10 <= top < 40 + 20 and 60 <= left < 70


def test_at_the_models_own_size_it_is_the_sum_and_a_small_upload_gets_the_average():
    before, change = whole(8, 8), whole(8, 8).flip(1) / 4
    torch.testing.assert_close(paste(before, change), before + change)
    small = paste(torch.zeros(3, 4, 4), change)
    torch.testing.assert_close(small, torch.nn.functional.avg_pool2d(change, 2))


def test_it_is_clipped():
    assert paste(whole(8, 8), torch.full((3, 8, 8), 9.0)).max() == 1
