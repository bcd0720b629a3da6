"""The 100 face crops of scikit-image, split once."""

import numpy as np
import skimage.data
import torch

from backend.data import small_faces


def test_the_split_is_by_index_and_loses_no_face():
    train, test = small_faces.split("train"), small_faces.split("test")
    assert train.shape == (68, 1, 24, 24) and test.shape == (32, 1, 24, 24)
    faces = skimage.data.lfw_subset()[:100, :24, :24]
    assert np.allclose(torch.cat([train, test])[:, 0].numpy(), 2 * faces - 1, atol=1e-6)


def test_a_batch_holds_training_faces_and_their_mirror_images():
    batch = small_faces.batch(200, torch.Generator().manual_seed(0))
    train = small_faces.split("train")
    known = torch.cat([train, train.flip(-1)]).flatten(1)
    nearest = torch.cdist(batch.flatten(1), known, compute_mode="donot_use_mm_for_euclid_dist").min(1)
    assert nearest.values.max() == 0
    mirrored = (nearest.indices >= len(train)).float().mean()
    assert 0.35 < float(mirrored) < 0.65
