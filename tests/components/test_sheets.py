"""What large pictures send to the browser."""

import pytest

from components.sheets import MAX_SHEETS, Sheet, Sheets

DOT = "data:image/png;base64,AA=="


def test_sheets_travel_as_a_property():
    component = Sheets([Sheet("a", [DOT, DOT])], group="g")
    assert component.props["shown"] == [{"label": "a", "frames": [DOT, DOT]}] and component.value is None
    assert component.postprocess([Sheet("b", [DOT])]) == {
        "__type__": "update", "props": {"group": "g", "shown": [{"label": "b", "frames": [DOT]}]},
    }  # fmt: skip


def test_none_leaves_them_and_nothing_empties_them():
    component = Sheets(group="g")
    assert component.postprocess(None) == {"__type__": "update"}
    assert component.postprocess([])["props"] == {"group": "g", "shown": []}


@pytest.mark.parametrize(
    "sheets",
    [
        [Sheet("a", ["https://example.org/a.png"])],
        [Sheet("a", ["javascript:alert(1)"])],
        [Sheet("a", [])],
        [Sheet("a", [DOT])] * (MAX_SHEETS + 1),
        [Sheet("a", [DOT] * 202)],
        [Sheet("a", ["data:image/png;base64," + "A" * 24_000_000])],
    ],
)
def test_what_is_unsafe_or_too_large_is_refused(sheets):
    with pytest.raises(ValueError):
        Sheets(group="g").postprocess(sheets)
