import torch

from backend.inference.load import load
from backend.request import finish
from backend.watermark.adversarial import pushed


class Linear:
    """Features that are one sum over the pixels."""

    def __init__(self, weights):
        self.weights = weights

    def features(self, pictures):
        return (pictures * self.weights).flatten(1).sum(1, keepdim=True)


def test_linear_features_are_moved_to_a_corner_of_the_box():
    weights = torch.randn(3, 6, 6, generator=torch.Generator().manual_seed(1))
    x = torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(2)) - 0.5
    found = finish(pushed(Linear(weights), x, 8, [1, 2, 3, 4]))
    change = (found - x) * 255 / 2
    torch.testing.assert_close(change.abs(), torch.full_like(x, 8), atol=1e-3, rtol=0)
    agreement = (change * weights.sign()).flatten(1).mean(1)
    torch.testing.assert_close(agreement.abs(), torch.full((4,), 8.0), atol=1e-3, rtol=0)


def test_the_range_is_kept_and_no_strength_is_no_change():
    x = torch.ones(1, 3, 6, 6)
    found = finish(pushed(Linear(torch.ones(3, 6, 6)), x, 8, [3]))
    assert found.max() <= 1 and found.min() >= 1 - 16 / 255 - 1e-6
    assert torch.equal(finish(pushed(Linear(torch.ones(3, 6, 6)), x / 2, 0, [3])), x / 2)


def test_the_readers_features_move_much_farther_than_by_chance():
    reader = load("digits").reader()
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = finish(pushed(reader, x, 8, range(4)))
    chance = (found - x).abs() * torch.randn(x.shape, generator=torch.Generator().manual_seed(5)).sign()
    moved, by_chance = ((reader.features(y) - reader.features(x)).norm(dim=1) for y in (found, x + chance))
    assert (moved > 2 * by_chance).all()
