"""Angles that are known by construction."""

import math

import pytest
import torch

from backend.jacobian.subspaces import found_share, principal_angles, tangent


def test_angles_between_planes_in_space():
    a = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0]])
    b = torch.tensor([[math.cos(0.3), 0, math.sin(0.3), 0], [0, math.cos(1.2), 0, math.sin(1.2)]])
    assert torch.allclose(principal_angles(a, b), torch.tensor([0.3, 1.2], dtype=torch.float64), atol=1e-6)
    assert torch.allclose(principal_angles(a, 5 * a.flip(0)), torch.zeros(2, dtype=torch.float64), atol=1e-6)


def test_the_share_found_is_the_mean_squared_cosine():
    truth = torch.eye(3, 8)
    assert found_share(truth, torch.eye(5, 8)) == pytest.approx(1)
    assert found_share(truth, torch.eye(2, 8)) == pytest.approx(2 / 3)
    assert found_share(truth, torch.eye(8)[4:]) == pytest.approx(0)
    tilted = torch.tensor([[math.cos(0.5)] + [0.0] * 6 + [math.sin(0.5)]])
    assert found_share(tilted, torch.eye(1, 8)) == pytest.approx(math.cos(0.5) ** 2)


def test_a_random_subspace_finds_its_share_of_the_dimensions():
    g = torch.Generator().manual_seed(0)
    shares = [found_share(torch.eye(3, 50), torch.randn(10, 50, generator=g)) for _ in range(300)]
    assert sum(shares) / 300 == pytest.approx(0.2, abs=0.02)


def test_the_tangent_of_a_sphere_is_orthogonal_to_its_radius():
    """Two angles draw a point of the sphere; a third factor changes nothing and does not count."""

    def draw(factors):
        a, b = factors[:, 0], factors[:, 1]
        return torch.stack([a.sin() * b.cos(), a.sin() * b.sin(), a.cos()], 1)

    at = torch.tensor([0.7, 0.4, 2.0], dtype=torch.float64)
    basis = tangent(draw, at, torch.full((3,), 1e-4, dtype=torch.float64))
    assert basis.shape == (2, 3)
    assert torch.allclose(basis @ basis.T, torch.eye(2, dtype=torch.float64), atol=1e-10)
    assert torch.allclose(basis @ draw(at[None])[0], torch.zeros(2, dtype=torch.float64), atol=1e-6)
