"""The renderer is frozen: the two pictures beside this file hold what it drew when it was released."""

import math
from itertools import combinations
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from backend.data import avatars

HERE = Path(__file__).parent
SOLID = tuple(part for part in avatars.PARTS if part not in ("nose", "glasses"))


def index(name: str) -> int:
    return avatars.FACTOR_NAMES.index(name)


def faces(n: int) -> avatars.Faces:
    """n faces, the expressions in turn."""
    return avatars.sample(range(n), [i % len(avatars.EXPRESSIONS) for i in range(n)])


def sheet(tiles: Tensor) -> Tensor:
    """12 tiles (12, 64, 64, ...) as one sheet of 3 rows."""
    rows = tiles.unflatten(0, (3, 4)).movedim(2, 1)
    return rows.flatten(2, 3).flatten(0, 1)


def part_codes(factors: Tensor) -> Tensor:
    """(B, 64, 64) uint8: 1 + index of the solid part or 0 for none; plus 16 on the nose and 32 on glasses."""
    masks = avatars.masks(factors)
    codes = sum((i + 1) * masks[part].to(torch.uint8) for i, part in enumerate(SOLID))
    return codes + 16 * masks["nose"].to(torch.uint8) + 32 * masks["glasses"].to(torch.uint8)


def stored(name: str) -> Tensor:
    import numpy as np

    return torch.from_numpy(np.array(Image.open(HERE / name)))


def test_the_renderer_is_frozen():
    """Within half a level of 8 bits (and what another machine's rounding may add) in every pixel."""
    drawn = sheet(avatars.render(avatars.sample(range(12)).factors).movedim(1, -1) * 127.5 + 127.5)
    assert (drawn - stored("frozen_faces.png")).abs().max() < 0.52


def test_the_masks_are_frozen():
    """A pixel that lies on the threshold may differ on another machine."""
    assert (sheet(part_codes(avatars.sample(range(12)).factors)) != stored("frozen_parts.png")).sum() <= 3


def test_a_face_belongs_to_its_seed():
    together = avatars.sample([5, 3, 8])
    alone = avatars.sample([3])
    assert torch.equal(together.factors[1], alone.factors[0]) and together.labels[1] == alone.labels[0]
    assert not torch.equal(together.factors[0], together.factors[1])
    torch.testing.assert_close(
        avatars.render(together.factors)[1], avatars.render(alone.factors)[0], rtol=0, atol=1e-5
    )
    assert torch.equal(avatars.sample([3], [int(alone.labels[0])]).factors, alone.factors)


def test_a_batch_is_deterministic_and_holds_every_expression():
    first, second = (avatars.batch(300, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(first.factors, second.factors) and torch.equal(first.labels, second.labels)
    assert first.labels.unique().tolist() == list(range(6))


def test_neutral_faces_have_the_ranges_of_the_table():
    neutral = avatars.EXPRESSIONS.index("neutral")
    assert avatars.LOW[neutral].tolist() == pytest.approx([factor.low for factor in avatars.FACTORS])
    assert avatars.HIGH[neutral].tolist() == pytest.approx([factor.high for factor in avatars.FACTORS])
    assert (avatars.LOW <= avatars.HIGH).all()


@pytest.mark.parametrize("label", range(6), ids=avatars.EXPRESSIONS)
def test_factors_are_uniform_on_the_range_of_their_expression(label):
    """By Kolmogorov and Smirnov, at a p-value that 25 factors x 6 expressions pass by chance."""
    from scipy.stats import kstest

    drawn = avatars.sample(range(1000, 1500), [label] * 500).factors
    low, high = avatars.LOW[label], avatars.HIGH[label]
    for i, name in enumerate(avatars.FACTOR_NAMES):
        if low[i] == high[i]:
            assert (drawn[:, i] == low[i]).all()
        elif name != "glasses":
            unit = (drawn[:, i] - low[i]) / (high[i] - low[i])
            assert kstest(unit.numpy(), "uniform").pvalue > 1e-5, name


def test_half_of_the_faces_wear_no_glasses():
    glasses = avatars.sample(range(1000)).factors[:, index("glasses")]
    assert glasses.min() == 0 and glasses.max() <= 1
    assert abs((glasses == 0).float().mean() - 0.5) < 0.08  # five standard deviations


@pytest.mark.parametrize(("a", "b"), list(combinations(range(6), 2)))
def test_two_expressions_never_look_alike(a, b):
    """Some factor's ranges are apart, so the expression can be read from the factors without error."""
    apart = (avatars.LOW[a] > avatars.HIGH[b]) | (avatars.LOW[b] > avatars.HIGH[a])
    assert apart.any()


def test_pictures_have_the_size_and_the_range_that_was_promised():
    pictures = avatars.render(faces(12).factors, 40)
    assert pictures.shape == (12, 3, 40, 40) and pictures.dtype == torch.float32
    assert pictures.min() >= -1 and pictures.max() <= 1


def test_a_small_picture_is_the_large_one_made_small():
    factors = faces(6).factors
    small = F.avg_pool2d(avatars.render(factors, 128), 4)
    assert (avatars.render(factors, 32) - small).abs().mean() < 0.02


def test_solid_parts_are_disjoint_and_leave_only_borders():
    masks = avatars.masks(faces(24).factors)
    assert tuple(masks) == avatars.PARTS
    count = sum(masks[part].int() for part in SOLID)
    assert count.max() == 1
    assert (count == 0).float().mean() < 0.01  # pixels that three parts share
    near = sum(dilate(masks[part]).int() for part in SOLID)
    assert (near[count == 0] >= 2).all()


def test_nose_lies_on_the_face_and_glasses_on_what_they_cover():
    masks = avatars.masks(faces(24).factors)
    assert (masks["nose"] & ~(masks["face"] | masks["mouth"])).sum() <= 0.05 * masks["nose"].sum()
    wears = faces(24).factors[:, index("glasses")]
    assert not masks["glasses"][wears == 0].any() and masks["glasses"][wears > 0.6].flatten(1).any(1).all()


@pytest.mark.parametrize(("part", "factor"), [("background", "background hue"), ("shirt", "shirt hue")])
def test_a_mask_is_where_the_parts_colour_shows(part, factor):
    """The change under a new colour, 1 at its largest, is the visible share of the part."""
    factors = faces(12).factors
    red, blue = factors.clone(), factors.clone()
    red[:, index(factor)], blue[:, index(factor)] = 0.0, 1.0
    red[:, index("background lightness")] = blue[:, index("background lightness")] = 0.0
    change = (avatars.render(red) - avatars.render(blue)).abs().sum(1)
    share = change / change.flatten(1).amax(1)[:, None, None]
    mask = avatars.masks(factors)[part]
    decided = (share - 0.5).abs() > 0.01
    assert torch.equal(mask[decided], (share > 0.5)[decided])


# What a factor is allowed to change beside its own part: hair follows the width of the face.
REACH = {"face width": ("face", "hair")}
# Where visible ranges begin: there are no glasses below 0, and shorter hair stays behind the head.
FROM = {"glasses": 0.0, "hair length": 0.3}


@pytest.mark.parametrize("name", avatars.FACTOR_NAMES)
def test_a_factor_changes_its_part_and_little_else(name):
    i = index(name)
    factor = avatars.FACTORS[i]
    low, high = faces(12).factors, faces(12).factors
    low[:, i] = FROM.get(name, float(avatars.LOW[:, i].min()))
    high[:, i] = avatars.HIGH[:, i].max()
    energy = (avatars.render(low) - avatars.render(high)).square().sum(1)
    assert (energy.flatten(1).mean(1).sqrt() > 0.01).all()
    if factor.part != "head":
        parts = [avatars.masks(end)[part] for end in (low, high) for part in REACH.get(name, (factor.part,))]
        near = dilate(torch.stack(parts).any(0))
        inside = (energy * near).flatten(1).sum(1) / energy.flatten(1).sum(1)
        assert inside.min() > 0.95


@pytest.mark.parametrize("name", avatars.FACTOR_NAMES)
def test_a_picture_follows_its_factors_without_a_jump(name):
    i = index(name)
    low, high = FROM.get(name, float(avatars.LOW[:, i].min())), float(avatars.HIGH[:, i].max())
    factors = faces(1).factors.repeat(41, 1)
    factors[:, i] = torch.linspace(low, high, 41)
    steps = avatars.render(factors).diff(dim=0).square().flatten(1).mean(1).sqrt()
    assert steps.min() > 0 and steps.max() < 4 * steps.mean()


def test_faces_have_as_many_dimensions_as_factors():
    """The Jacobian of the drawing has full rank, by central differences."""
    wink = avatars.EXPRESSIONS.index("wink")
    centre = (avatars.LOW[wink] + avatars.HIGH[wink]) / 2
    centre[index("glasses")] = 0.5
    steps = 0.01 * torch.eye(len(avatars.FACTORS))
    jacobian = (avatars.render(centre + steps) - avatars.render(centre - steps)).flatten(1) / 0.02
    singular = torch.linalg.svdvals(jacobian)
    assert singular[-1] > 1e-2 * singular[0]


def test_prior_std_is_that_of_uniform_factors():
    """Factors that no expression touches have (high - low) / sqrt(12)."""
    std = avatars.prior_std()
    for name in ("skin tone", "tilt", "lip colour"):
        factor = avatars.FACTORS[index(name)]
        assert float(std[index(name)]) == pytest.approx((factor.high - factor.low) / math.sqrt(12), rel=0.03)
    assert (std > 0).all()


def dilate(mask: Tensor) -> Tensor:
    """The mask and every pixel that touches it."""
    return F.max_pool2d(mask.float(), 3, 1, 1).bool()
