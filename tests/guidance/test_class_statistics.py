import math

import pytest
import torch

from backend.data import avatars, digits
from backend.guidance import class_statistics
from backend.guidance.class_statistics import covariance, of_class, of_sliders, shrunk
from backend.request import BadInput
from tests.guidance.examples import random


def test_digits_are_the_training_split():
    pictures, labels = digits.split("train")
    own = pictures[labels == 3].flatten(1).double()
    stats = of_class("digits", "3")
    assert (stats.n, stats.pair.d, stats.shrinkage, stats.note) == (len(own), 64, 0.0, "")
    torch.testing.assert_close(stats.pair.conditional.mean, own.mean(0))
    torch.testing.assert_close(
        stats.pair.conditional.covariance, own.T.cov(correction=0), rtol=1e-9, atol=1e-12
    )
    assert stats is of_class("digits", "3")
    assert torch.equal(stats.picture(own[:2]), pictures[labels == 3][:2].double())


def test_all_data_are_the_mixture_of_their_classes():
    """S_u = sum pi_k (S_k + d_k d_k^T), so S_u - pi_c S_c is a covariance."""
    for data, labels in class_statistics.LABELS.items():
        every = [of_class(data, label) for label in labels]
        total = torch.zeros_like(every[0].pair.conditional.covariance)
        for stats in every:
            d = stats.pair.difference
            total += (stats.pair.conditional.covariance + torch.outer(d, d)) / stats.bound
            rest = stats.pair.unconditional.covariance - stats.pair.conditional.covariance / stats.bound
            assert torch.linalg.eigvalsh(rest)[0] > -1e-9
        torch.testing.assert_close(total, every[0].pair.unconditional.covariance, rtol=1e-9, atol=1e-9)


def test_faces_come_back_from_their_coordinates():
    """In the leading 32 principal components nine tenths of the variance is left."""
    stats = of_class("avatars", "happy")
    assert (stats.n, stats.pair.d, stats.shape) == (1000, 32, (3, 64, 64))
    torch.testing.assert_close(stats.basis @ stats.basis.mT, torch.eye(32, dtype=torch.float64))
    diagonal = stats.pair.unconditional.covariance.diagonal()
    torch.testing.assert_close(stats.pair.unconditional.covariance, diagonal.diag(), rtol=0, atol=1e-4)
    assert (diagonal.diff() < 0).all()
    faces = avatars.render(avatars.sample(range(100, 160)).factors).double()
    mean = stats.picture(stats.pair.unconditional.mean)
    back = stats.picture(faces.flatten(1) @ stats.basis.mT)
    assert back.shape == faces.shape
    assert (back - faces).square().sum() < 0.2 * (faces - mean).square().sum()


def test_the_file_of_faces_is_what_its_command_draws():
    found = class_statistics._shipped()
    n = class_statistics.PER_EXPRESSION * len(avatars.EXPRESSIONS)
    some = range(n - 30, n)
    faces = avatars.sample([class_statistics.SEEDS + i for i in some], [i % 6 for i in some])
    flat = avatars.render(faces.factors).flatten(1)
    torch.testing.assert_close(
        found["coordinates"][some.start :], flat @ found["basis"].mT, rtol=0, atol=1e-3
    )
    assert torch.equal(found["labels"], torch.arange(n) % 6)
    in_basis = found["mean"] @ found["basis"].mT
    torch.testing.assert_close(in_basis, found["coordinates"].mean(0), rtol=0, atol=1e-3)


def test_leading_components_are_those_of_a_singular_value_decomposition():
    samples = torch.randn(20, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    _, _, right = torch.linalg.svd(samples - samples.mean(0), full_matrices=False)
    found = class_statistics.leading(samples, 3)
    torch.testing.assert_close((found @ right[:3].mT).abs(), torch.eye(3, dtype=torch.float64))


def test_too_few_pictures_are_drawn_towards_all_data():
    stats = of_class("digits", "3", 17)
    assert (stats.n, stats.shrinkage, stats.bound) == (17, 0.75, math.inf)
    assert stats.note.endswith(
        "17 pictures in 64 dimensions, which is too few: 75% of it is the covariance of all data."
    )
    pictures, labels = digits.split("train")
    own = covariance(pictures[labels == 3][:17].flatten(1).double())
    everything = stats.pair.unconditional.covariance
    torch.testing.assert_close(
        stats.pair.conditional.covariance, 0.25 * own + 0.75 * everything, rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize(("n", "shrinkage"), [(1, 1.0), (2, 0.75), (4, 0.25), (5, 0.0), (50, 0.0)])
def test_shrinkage_ends_where_the_covariance_has_full_rank(n, shrinkage):
    samples = torch.randn(n, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, used = shrunk(samples, random(4, 0).covariance)
    assert used == shrinkage and (found.variances > 0).all()
    if n == 1:
        torch.testing.assert_close(found.covariance, random(4, 0).covariance)


def test_sliders_at_angle_0_commute():
    pair = of_sliders(0.25, 2.0, 0.0).pair
    c, u = pair.conditional.covariance, pair.unconditional.covariance
    torch.testing.assert_close(c @ u, u @ c)
    torch.testing.assert_close((c / u).diagonal(), torch.tensor([0.25, 4.0], dtype=torch.float64))
    assert pair.difference.norm().item() == pytest.approx(2.0)
    turned = of_sliders(0.25, 2.0, 30.0).pair.conditional
    torch.testing.assert_close(turned.variances, pair.conditional.variances)
    assert (turned.covariance @ u - u @ turned.covariance).norm() > 0.1


def test_bad_input_is_a_sentence():
    with pytest.raises(BadInput, match=r"^There is no such class; the classes are 0, 1, .*9\.$"):
        of_class("digits", "ten")
    with pytest.raises(BadInput, match=r"^This class has 121 pictures\.$"):
        of_class("digits", "3", 122)
    with pytest.raises(ValueError, match="without pictures"):
        shrunk(torch.zeros(0, 4).double(), torch.eye(4).double())
