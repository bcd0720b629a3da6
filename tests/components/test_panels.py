"""The edit tab's panels without a browser: the grid of methods, and the lines of a set."""

import re

import gradio as gr
import pytest
import torch

from backend.editing.results import Compared, MethodStrip, Strip
from backend.experiments.edit_directions import FindDirections
from components.methods_panel import table
from components.pictures import signed
from components.set_panel import Entry, _kept


def test_amounts_are_written_with_their_sign():
    assert [signed(a) for a in (1.26, -0.5, 0.04, -0.04, 0.0)] == ["+1.3", "\N{MINUS SIGN}0.5", "0", "0", "0"]


def test_the_grid_has_a_row_a_method_and_a_picture_a_strength():
    strip = Strip((-2.0, 0.0, 2.0), torch.zeros(3, 3, 4, 4), False)
    rows = [
        MethodStrip("loco", strip, 0.25, "mouth <b>", 1.5, 0.3, 2.0),
        MethodStrip("asyrp", strip, 1e3, "", 0.0, 0.0, 1.0),
    ]
    found = table(Compared(torch.zeros(3, 4, 4), "<i>happy</i>", tuple(rows)))
    assert found.count("<tr>") == 3 and found.count("<img") == 6
    assert "<b>happy" not in found and "mouth &lt;b&gt; +1.5" in found and "over 100" in found
    assert re.findall(r"alt='([^']*)'", found)[:3] == [
        "LOCO at \N{MINUS SIGN}2.0",
        "LOCO at 0",
        "LOCO at +2.0",
    ]
    assert table(Compared(torch.zeros(3, 4, 4), "happy", ())) == ""


ENTRIES = tuple(Entry(FindDirections(k=3), i) for i in range(3))


@pytest.mark.parametrize(
    ("names", "kept", "lines"),
    [
        ("a\nb\nc", (0, 1, 2), ["a", "b", "c"]),
        (" a \n\nc", (0, 2), ["a", "c"]),
        ("a\nb", (0, 1), ["a", "b"]),  # the last line was emptied
        ("a\nb\nc\n\n", (0, 1, 2), ["a", "b", "c"]),
        ("", (), []),
    ],
)
def test_an_emptied_line_drops_its_direction(names, kept, lines):
    assert _kept(ENTRIES, names) == (tuple(ENTRIES[i] for i in kept), lines)


def test_a_line_too_many_is_a_sentence():
    with pytest.raises(gr.Error, match="more names than directions"):
        _kept(ENTRIES, "a\nb\nc\nd")
