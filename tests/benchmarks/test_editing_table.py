"""What counts as a local edit, on moves written by hand."""

import pytest

from backend.data import avatars
from tests.benchmarks.editing_table import farther, sides, success, table


def edit(
    region: str = "mouth", drawn: float = 25.0, sign: int = 1, inside: float = 1.0, **moved: float
) -> dict:
    """An edit that moved these factors, in standard deviations; underscores stand for spaces."""
    moves = [moved.get(name.replace(" ", "_"), 0.0) for name in avatars.FACTOR_NAMES]
    return {
        "face": 0,
        "method": "loco",
        "region": region,
        "sign": sign,
        "moved": moves,
        "drawn": drawn,
        "inside": inside,
        "leak": 0.1,
        "ssim": 0.9,
        "find": 1.0,
        "draw": 0.5,
    }


def test_the_factors_of_a_region_are_told_from_the_others():
    assert sides(edit(mouth_curve=1.5, lip_colour=0.2, gaze=-0.4, tilt=0.1)) == (1.5, 0.4)
    assert sides(edit("eyes", mouth_curve=1.5, gaze=0.4)) == (0.4, 1.5)


@pytest.mark.parametrize(
    ("one", "good"),
    [
        (edit(mouth_curve=-1.0, gaze=0.5), True),
        (edit(mouth_curve=0.99), False),
        (edit(mouth_curve=2.0, gaze=1.01), False),
        (edit(mouth_curve=2.0, drawn=19.9), False),
        (edit("hair", mouth_curve=2.0), False),
    ],
)
def test_a_success_moves_its_region_alone_and_stays_a_face(one, good):
    assert success(one) is good


def test_the_farther_side_is_the_one_that_changes_more():
    plus, minus = edit(inside=1.0), edit(sign=-1, inside=2.0)
    other = edit("hair", inside=0.1)
    assert farther([plus, minus, other]) == [minus, other]


def test_the_table_counts_them():
    edits = [edit(mouth_curve=2.0) | {"transfer": [0.6, 0.4, -0.7]}, edit(sign=-1, mouth_curve=0.1)]
    rows = {row["what"]: row for row in table(edits, ["loco"])}
    assert rows["LOCO: local edit success"]["value"] == 0.5 and rows["LOCO: local edit success"]["n"] == 2
    assert (
        rows["LOCO: median leak"]["value"] == 0.1 and rows["LOCO: median of leak over LOCO's"]["value"] == 1
    )
    assert rows["LOCO: median leak over LOCO's median"]["value"] == 1
    assert rows["LOCO: transfer success"]["value"] == pytest.approx(1 / 3)
