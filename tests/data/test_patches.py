"""Patches of bundled photographs: what is tested was not trained on, and a seed always names the same patch."""

import torch

from backend.data import patches


def test_patches_are_grey_pictures_in_range():
    found = patches.batch(50, torch.Generator().manual_seed(0))
    assert found.shape == (50, 1, 16, 16) and found.dtype == torch.float32
    assert -1 <= float(found.min()) < -0.5 and 0.5 < float(found.max()) <= 1
    assert len(torch.unique(found.flatten(1), dim=0)) > 45


def test_a_seed_is_the_same_patch_in_any_company():
    together = patches.sample(range(5, 9))
    assert torch.equal(together[2:3], patches.sample(range(7, 8)))
    assert patches.sample(range(0)).shape == (0, 1, 16, 16)


def test_training_never_sees_the_right_quarter(monkeypatch):
    """On photographs whose grey is 1 exactly there."""
    border = int(patches.HELD_OUT * 100)
    photograph = torch.zeros(40, 100)
    photograph[:, border:] = 1
    monkeypatch.setattr(patches, "_photographs", lambda: [photograph] * len(patches.PHOTOGRAPHS))
    assert patches.batch(300, torch.Generator().manual_seed(0)).max() == 0
    assert patches.sample(range(300)).min() == 1


def test_photographs_are_halved_by_averaging():
    import skimage.data

    index = patches.PHOTOGRAPHS.index("camera")
    camera = torch.from_numpy(skimage.data.camera()).float() / 255
    wanted = camera[:2, :2].mean() * 2 - 1
    assert torch.isclose(patches._photographs()[index][0, 0], wanted, atol=1e-5)
