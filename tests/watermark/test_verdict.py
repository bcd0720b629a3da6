"""What a verdict says, and that it never says more than the tests do."""

import pytest

from backend.watermark.verdict import NO_PROOF, PROOF, verdict

NAME = "ab12 cd34 ef56 7890"


def test_a_mark_that_all_tests_find():
    words = verdict(NAME, 1e-20, 1 / 1000, 1 / 2001, "a turn of 16°")
    assert words.startswith(
        f"This picture carries the mark of key {NAME}, after undoing a turn of 16° (p at most 0.001 by each test)."
    )
    assert words.endswith(PROOF) and "not who made the picture" in words


def test_without_a_calibration_two_tests_decide():
    assert "carries the mark" in verdict(NAME, 1e-9, 1 / 1000, None, "")
    assert "no evidence" in verdict(NAME, 0.3, 0.4, None, "")


@pytest.mark.parametrize(
    ("p", "doubtful"),
    [
        ((1e-9, 0.2, 1 / 2001), "other keys"),
        ((1e-9, 1 / 1000, 0.3), "unmarked pictures"),
        ((0.1, 1 / 1000, 1 / 2001), "random key"),
    ],
)
def test_tests_that_disagree_prove_nothing(p, doubtful):
    words = verdict(NAME, *p, "")
    assert "disagree" in words and doubtful in words and "unproved" in words and "carries" not in words


def test_no_evidence_is_no_proof_of_absence():
    assert verdict(NAME, 1.0, 0.5, 0.7, "").endswith(NO_PROOF)


def test_a_calibration_too_small_to_reach_the_bar_would_be_a_veto():
    assert "disagree" in verdict(
        NAME, 1e-9, 1 / 1000, 1 / 301, ""
    )  # so it is not handed over: see test_watermark
