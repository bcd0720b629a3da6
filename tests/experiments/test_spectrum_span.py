"""The truth about drawn faces: a renderer that is differentiated, and how much of it a subspace holds."""

import pytest
import torch

from backend.data import avatars
from backend.experiments.spectrum_span import compared, components, tangent_of
from backend.inference.catalogue import card
from backend.inference.load import load
from backend.inference.pictures import HELD_OUT, gallery_picture
from backend.jacobian.subspaces import found_share


def test_the_tangent_of_a_gallery_face_is_that_of_its_own_factors():
    model = load("avatars")
    x_0 = gallery_picture(card("avatars"), 1).x_0
    basis = tangent_of(model, "gallery:1", x_0)
    assert basis.shape[1] == 12_288 and 20 <= len(basis) <= len(avatars.FACTORS)
    factors = avatars.sample([HELD_OUT + 1], [1]).factors
    curve = torch.zeros_like(factors)
    curve[0, avatars.FACTOR_NAMES.index("mouth curve")] = 0.01
    change = avatars.render(factors + curve) - avatars.render(factors - curve)
    assert found_share(change.flatten(1), basis) > 0.97


def test_factors_are_read_off_a_picture_that_has_no_known_ones():
    model, x_0 = load("avatars"), gallery_picture(card("avatars"), 1).x_0
    known, read = tangent_of(model, "gallery:1", x_0), tangent_of(model, "sample:7:happy", x_0)
    assert found_share(known, read) > 0.5


def test_there_is_no_tangent_without_a_renderer():
    assert tangent_of(load("gaussian"), "gallery:0", torch.zeros(1, 8, 8)) is None


def test_principal_components_are_those_of_the_data():
    basis = components("gaussian")
    assert basis.shape == (50, 64)
    assert torch.allclose(basis @ basis.T, torch.eye(50), atol=1e-5)


def test_shares_and_angles_of_subspaces_that_hold_the_truth():
    model, x_0 = load("avatars"), gallery_picture(card("avatars"), 1).x_0
    truth = tangent_of(model, "gallery:1", x_0)
    random = torch.randn(50, 12_288, generator=torch.Generator().manual_seed(0))
    padded = torch.cat([truth, random])[:50].view(-1, 3, 64, 64)
    found, angles = compared(model, "gallery:1", x_0, padded, random.view(-1, 3, 64, 64))
    assert found["u"] == pytest.approx(1, abs=1e-4)
    assert found["v"] < 0.02 and found["random"] == pytest.approx(50 / 12_288)
    assert 0.2 < found["PCA"] < 0.9
    assert angles["u and truth"][: len(truth)].max() < 1e-2
    assert set(angles) == {"u and PCA", "v and PCA", "u and truth", "v and truth", "PCA and truth"}
