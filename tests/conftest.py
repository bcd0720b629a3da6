"""The suite runs in two processes, one for the browser's tests and one for the rest, each on one thread: two cores are then busy all the
time, and no two browsers fight for them. `-n 0` runs a few tests in one process, which starts sooner."""

import os

import pytest
from xdist.scheduler import LoadScopeScheduling

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by torch at import


class ByFile(LoadScopeScheduling):
    """A file's tests stay in one process, with what they share; those of the browser all in the same."""

    def _split_scope(self, nodeid: str) -> str:
        return "browser" if nodeid.startswith("tests/browser/") else nodeid.split("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile:
    return ByFile(config, log)
