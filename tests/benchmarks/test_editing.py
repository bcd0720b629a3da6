"""What counts as a local edit, on moves written by hand."""

import pytest

from backend.data import avatars
from tests.benchmarks.editing import METHODS, sides, success, table


def line(region: str = "mouth", drawn: float = 25.0, **moved: float) -> dict:
    """An edit that moved these factors, in standard deviations; underscores stand for spaces."""
    moves = [moved.get(name.replace(" ", "_"), 0.0) for name in avatars.FACTOR_NAMES]
    return {
        "method": "LOCO",
        "region": region,
        "moved": moves,
        "drawn": drawn,
        "leak": 0.1,
        "ssim": 0.9,
        "seconds": 1.0,
    }


def test_the_factors_of_a_region_are_told_from_the_others():
    assert sides(line(mouth_curve=1.5, lip_colour=0.2, gaze=0.4, tilt=0.1)) == (1.5, 0.4)
    assert sides(line("eyes", mouth_curve=1.5, gaze=0.4)) == (0.4, 1.5)


@pytest.mark.parametrize(
    ("edit", "good"),
    [
        (line(mouth_curve=1.0, gaze=0.5), True),
        (line(mouth_curve=0.99), False),
        (line(mouth_curve=2.0, gaze=1.01), False),
        (line(mouth_curve=2.0, drawn=19.9), False),
        (line("hair", mouth_curve=2.0), False),
    ],
)
def test_a_success_moves_its_region_alone_and_stays_a_face(edit, good):
    assert success(edit) is good


def test_the_table_counts_them():
    edits = [line(mouth_curve=2.0), line(mouth_curve=0.1)]
    rows = {row["what"]: row for row in table(edits, {"LOCO": METHODS["LOCO"]}, {})}
    assert rows["LOCO: local edit success"]["value"] == 0.5 and rows["LOCO: local edit success"]["n"] == 2
    assert rows["LOCO: leak, median"]["value"] == 0.1
