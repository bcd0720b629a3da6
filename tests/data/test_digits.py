import pytest
import torch
from sklearn.datasets import load_digits

from backend.data import digits


def test_the_split_is_the_whole_set_in_its_order():
    parts = [digits.split(name) for name in ("train", "classifier", "test")]
    assert [len(labels) for _, labels in parts] == [1197, 300, 300]
    whole = load_digits()
    levels = (torch.cat([pictures for pictures, _ in parts]).squeeze(1) + 1) * 8
    assert torch.equal(levels, torch.from_numpy(whole.images).float())
    assert torch.equal(torch.cat([labels for _, labels in parts]), torch.from_numpy(whole.target))


@pytest.mark.parametrize("name", ["train", "classifier", "test"])
def test_pictures_are_grey_and_in_range(name):
    pictures, labels = digits.split(name)
    assert pictures.shape[1:] == (1, 8, 8) and pictures.dtype == torch.float32
    assert pictures.min() == -1 and pictures.max() == 1
    assert labels.dtype == torch.int64 and labels.unique().tolist() == list(range(10))


def test_an_unknown_part_is_refused():
    with pytest.raises(KeyError):
        digits.split("validation")
