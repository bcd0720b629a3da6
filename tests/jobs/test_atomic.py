import errno
import os
import subprocess
import sys

import pytest

from backend.jobs import atomic

FULL = """
import resource, sys
from pathlib import Path
from backend.jobs import atomic
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # stops writes in the middle, as a full disk does
try:
    getattr(atomic, sys.argv[1])(Path(sys.argv[2]), b"y" * 5000 + b"\\n")
except atomic.CannotSave as error:
    print(error)
"""


@pytest.mark.parametrize("how", ["write", "append"])
def test_a_full_disk_gives_a_sentence_and_keeps_what_was_there(tmp_path, how):
    path = tmp_path / "file"
    atomic.write(path, b"first\n")
    told = subprocess.run(
        [sys.executable, "-c", FULL, how, str(path)], capture_output=True, text=True, check=True
    )
    assert (
        told.stdout == "The run could not be saved because the disk is full; what was saved before is kept.\n"
    )
    assert path.read_bytes() == b"first\n"
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_that_cannot_be_written_gives_a_sentence(tmp_path):
    with pytest.raises(atomic.CannotSave, match="its folder cannot be written"):
        atomic.write(tmp_path / "missing" / "file", b"x")


def test_a_failing_replace_keeps_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "file"
    atomic.write(path, b"first")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(atomic.CannotSave, match="the disk is full"):
        atomic.write(path, b"second")
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("torn", [b"", b'{"step": 3, "lo', b"x" * 200_000])
def test_append_first_removes_a_line_that_a_kill_left_unfinished(tmp_path, torn):
    path = tmp_path / "lines"
    path.write_bytes(b"1\n2\n" + torn)
    atomic.append(path, b"3\n")
    assert path.read_bytes() == b"1\n2\n3\n"


def test_append_starts_a_file(tmp_path):
    atomic.append(tmp_path / "lines", b"1\n")
    assert (tmp_path / "lines").read_bytes() == b"1\n"
