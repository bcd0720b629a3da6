import json
from pathlib import Path

import pytest

from tests.benchmarks import report

ROW = {"what": "speed", "value": 1.5, "low": 1.0, "high": 2.0, "n": 3}


def test_file_has_the_pinned_format(tmp_path: Path) -> None:
    path = report.write("example", [ROW, ROW | {"bar": "<= 2"}], 12.345, tmp_path / "results")
    saved = json.loads(path.read_text())
    assert list(saved) == ["command", "commit", "date", "hardware", "seconds", "rows"]
    assert saved["rows"] == [ROW, ROW | {"bar": "<= 2"}] and saved["seconds"] == 12.3
    assert (
        len(saved["commit"].rstrip("+")) == 40 and len(saved["date"]) == 10 and "torch" in saved["hardware"]
    )
    assert [path.name for path in path.parent.iterdir()] == ["example.json"]


@pytest.mark.parametrize("row", [{"what": "speed", "value": 1.0}, ROW | {"value": float("nan")}])
def test_a_row_that_lacks_its_interval_or_holds_nan_is_refused_and_the_old_file_stays(
    row: dict, tmp_path: Path
) -> None:
    path = report.write("example", [ROW], 1.0, tmp_path)
    before = path.read_bytes()
    with pytest.raises(ValueError):
        report.write("example", [row], 1.0, tmp_path)
    assert path.read_bytes() == before


def test_no_commit_outside_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "ROOT", tmp_path)
    assert report.commit() == "unknown"
