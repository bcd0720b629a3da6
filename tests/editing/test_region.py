import pytest
import torch
from hypothesis import given as for_all
from hypothesis import strategies as st
from torch import Tensor

from backend.denoiser.gaussian_mixture import gaussian
from backend.editing import region
from backend.editing.region import Click, Part
from backend.jacobian.linearize import linearize
from backend.request import BadInput
from backend.schedule import CosineSchedule

H, W = 6, 8


def parse(text: str) -> Part | Click | Tensor:
    return region.parse(text, H, W)


def test_a_part_is_named():
    assert parse("part:mouth") == Part("mouth")


def test_a_box_is_half_open_with_columns_first():
    mask = parse("box:1,2,4,5")
    expected = torch.zeros(H, W, dtype=torch.bool)
    for y in (2, 3, 4):
        for x in (1, 2, 3):
            expected[y, x] = True
    assert torch.equal(mask, expected)
    assert parse("box:0,0,8,6").all()


def test_a_click_has_two_dials_that_may_be_left_out():
    assert parse("click:7,5") == Click(7, 5, region.TOLERANCE, region.GRAIN)
    assert parse("click:0,3,0.25") == Click(0, 3, 0.25, region.GRAIN)
    assert parse("click:0,3,1,0.2") == Click(0, 3, 1.0, 0.2)


def test_painted_runs_begin_outside_and_go_row_by_row():
    mask = parse("rle:6x8:3,2,6,1,36")
    assert mask.flatten().nonzero().flatten().tolist() == [3, 4, 11]
    assert parse("rle:6x8:0,48").all() and not parse("rle:6x8:48").any()


masks = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(
    lambda size: st.lists(st.booleans(), min_size=size[0] * size[1], max_size=size[0] * size[1]).map(
        lambda bits: torch.tensor(bits).view(size)
    )
)


@for_all(masks)
def test_painted_regions_come_back(mask):
    text = region.encode_rle(mask)
    assert torch.equal(region.parse(text, *mask.shape), mask)
    size, runs = text.removeprefix("rle:").split(":")
    lengths = [int(run) for run in runs.split(",")]
    assert size == f"{mask.shape[0]}x{mask.shape[1]}" and sum(lengths) == mask.numel()
    assert all(length > 0 for length in lengths[1:])  # the shortest text: no empty run but the first


BAD = [
    "", "mouth", "all", "lasso:1,2",
    "part:", "part:two words", "part:../x", "part:" + "a" * 41,
    "box:", "box:1,2,3", "box:1,2,3,4,5", "box:1.5,2,3,4", "box:3,1,3,4", "box:4,1,3,4", "box:-1,0,3,4",
    "box:0,0,9,6", "box:0,0,8,7", "box:a,b,c,d", "box:0,0,1e1,4", "box:nan,0,1,1",
    "box:" + "9" * 5000 + ",0,1,1",
    "click:", "click:1", "click:1,2,3,4,5", "click:8,0", "click:0,6", "click:-1,0", "click:0.5,1",
    "click:nan,1", "click:inf,1", "click:1e400,0", "click:1,1,1.1", "click:1,1,-0.1", "click:1,1,nan",
    "click:1,1,0.5,0", "click:1,1,0.5,1.1", "click:1;1",
    "rle:", "rle:6x8", "rle:6x8:", "rle:8x6:48", "rle:6x8:47", "rle:6x8:49", "rle:6x8:50,-2", "rle:x:48",
    "rle:6x8:24,,24", "rle:6x8:24.0,24", "rle:6x8:48:1", "rle:6x8:" + ",".join(["1"] * 49),
]  # fmt: skip


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:24])
def test_a_bad_region_is_refused_with_one_sentence(text):
    with pytest.raises(BadInput) as refused:
        parse(text)
    sentence = str(refused.value)
    assert sentence[0].isupper() and sentence.endswith(".") and len(sentence) < 120 and "\n" not in sentence


kinds = st.sampled_from(["", "part:", "box:", "click:", "rle:", "rle:6x8:"])
numbers = st.lists(st.integers(-5, 50) | st.floats(), max_size=6).map(lambda n: ",".join(map(str, n)))


@for_all(st.tuples(kinds, numbers | st.text(max_size=30)).map("".join))
def test_any_text_is_a_region_or_refused(text):
    try:
        found = parse(text)
    except BadInput:
        return
    assert isinstance(found, Part | Click) or (found.shape == (H, W) and found.dtype == torch.bool)


def test_an_edit_needs_an_inside_and_an_outside():
    mask = parse("box:0,0,1,1")
    assert region.check_editable(mask) is mask
    with pytest.raises(BadInput, match="empty"):
        region.check_editable(torch.zeros(H, W, dtype=torch.bool))
    with pytest.raises(BadInput, match="whole picture"):
        region.check_editable(torch.ones(H, W, dtype=torch.bool))


def window(x: int, y: int) -> list[tuple[int, int]]:
    """The pixels that a click at (x, y) touches."""
    return [(i, j) for i in range(y - 1, y + 2) for j in range(x - 1, x + 2) if 0 <= i < H and 0 <= j < W]


def expected_map(covariance: Tensor, channels: int, x: int, y: int) -> Tensor:
    """The covariance with the window's sum, added over like colours, where it is positive."""
    table = covariance.view(channels, H, W, channels, H, W)
    rows = sum(table[:, i, j] for i, j in window(x, y))  # (clicked colour, colour, H, W)
    strength = torch.stack([rows[c, c] for c in range(channels)]).sum(0).clamp(min=0)
    return (strength / strength.quantile(0.995)).clamp(max=1)


@pytest.mark.parametrize(("x", "y"), [(3, 2), (0, 0), (7, 5)])
def test_a_click_shows_the_posterior_covariance(x, y):
    """Cov[x_0 | x_t] = (C^-1 + alpha^2 / sigma^2)^-1 for a Gaussian, whatever x_t is."""
    channels, t = 2, torch.tensor(0.6, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(channels * H * W, 10, generator=generator, dtype=torch.float64)
    covariance = mix @ mix.T / 10 + 0.05 * torch.eye(len(mix), dtype=torch.float64)
    D = gaussian(CosineSchedule(), (channels, H, W), torch.zeros(len(mix)).double(), covariance)
    alpha, sigma = D.schedule(t)
    posterior = torch.linalg.inv(torch.linalg.inv(covariance) + (alpha / sigma) ** 2 * torch.eye(len(mix)))

    x_t = torch.randn(channels, H, W, generator=generator, dtype=torch.float64)
    found = region.covariance_map(linearize(lambda z: D(z, t), x_t), x, y)
    torch.testing.assert_close(found, expected_map(posterior, channels, x, y), rtol=1e-6, atol=1e-9)


def test_a_row_of_a_lopsided_jacobian_is_symmetrised():
    A = torch.randn(H * W, H * W, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    jacobian = linearize(lambda z: (A @ z.flatten()).view(1, H, W), torch.zeros(1, H, W, dtype=torch.float64))
    expected = expected_map((A + A.T) / 2, 1, 4, 3)
    torch.testing.assert_close(region.covariance_map(jacobian, 4, 3), expected, rtol=1e-6, atol=1e-9)


def test_tolerance_goes_from_the_strongest_pixels_to_all():
    strength = torch.tensor([[1.0, 0.7, 0.4, 0.1, 0.0]])
    sizes = [int(region.covarying(strength, tolerance).sum()) for tolerance in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert sizes[0] == 1 and sizes == sorted(sizes)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.8])
def test_the_middle_tolerance_separates_two_populations(share):
    """A small part, a large one and a background are all cut between the two kinds of pixels."""
    generator = torch.Generator().manual_seed(0)
    inside = torch.rand(40, 40, generator=generator) < share
    strength = torch.where(inside, 0.8 + 0.1 * torch.rand(40, 40, generator=generator), torch.tensor(0.08))
    assert (region.covarying(strength, 0.5) == inside).all()


def test_a_map_without_contrast_has_no_threshold():
    assert not region.covarying(torch.zeros(4, 4), 0.5).any()
    assert region.covarying(torch.ones(4, 4), 0.5).all()
