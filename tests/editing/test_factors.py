import pytest
import torch
from torch import Tensor, nn

from backend.data import avatars
from backend.editing.factors import most_moved, part_mask
from backend.request import BadInput


class PerfectReader(nn.Module):
    """Knows the factors of the pictures that it was shown."""

    def __init__(self, pictures: Tensor, factors: Tensor):
        super().__init__()
        self.pictures, self.factors, self.std = pictures, factors, avatars.prior_std()

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        at = (pictures[:, None] - self.pictures).abs().flatten(2).sum(2).argmin(1)
        return self.factors[at], torch.zeros(len(pictures), 6)


def album(factors: Tensor) -> tuple[PerfectReader, Tensor]:
    pictures = avatars.render(factors)
    return PerfectReader(pictures, factors), pictures


def test_a_part_is_where_the_drawing_has_it():
    faces = avatars.sample(range(3)).factors
    faces[:, avatars.FACTOR_NAMES.index("glasses")] = 1.0
    reader, pictures = album(faces)
    for part in avatars.PARTS:
        for i in range(3):
            assert torch.equal(part_mask(reader, pictures[i], part), avatars.masks(faces)[part][i])


def test_parts_that_are_not_there_are_refused():
    faces = avatars.sample([0]).factors
    faces[:, avatars.FACTOR_NAMES.index("glasses")] = 0.0
    reader, pictures = album(faces)
    with pytest.raises(BadInput, match=r"^This picture shows no glasses\.$"):
        part_mask(reader, pictures[0], "glasses")
    with pytest.raises(BadInput, match=r"^There is no such part; .*mouth.*\.$"):
        part_mask(reader, pictures[0], "beard")


def test_the_factor_that_moved_most_is_counted_in_standard_deviations():
    """Mouth opening moves less in its own units than the gaze does, but more of its deviations."""
    before = avatars.sample(range(2)).factors
    after = before.clone()
    std = dict(zip(avatars.FACTOR_NAMES, avatars.prior_std(), strict=True))
    after[0, avatars.FACTOR_NAMES.index("gaze")] += 0.7 * std["gaze"]
    after[0, avatars.FACTOR_NAMES.index("mouth opening")] -= 0.8 * std["mouth opening"]
    assert 0.8 * std["mouth opening"] < 0.7 * std["gaze"]
    after[1, avatars.FACTOR_NAMES.index("tilt")] += 0.1
    reader, _ = album(torch.cat([before, after]))
    pictures = avatars.render(before), avatars.render(after)
    assert most_moved(reader, *pictures) == ("mouth opening", "tilt")
