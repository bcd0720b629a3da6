"""The suite runs in two processes, one for the browser's tests and one for the rest, each on one thread: two cores are then busy all the
time, and no two browsers fight for them. `-n 0` runs a few tests in one process, which starts sooner."""

import os
from pathlib import Path

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by torch at import


def pytest_itemcollected(item: pytest.Item) -> None:
    """A file's tests stay in one process, with what they share; those of the browser all in the same."""
    path = Path(item.path)
    item.add_marker(pytest.mark.xdist_group("browser" if path.parent.name == "browser" else str(path)))
