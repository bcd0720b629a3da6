"""The suite runs in two processes of one thread each: one begins with the browser's tests, the other with the rest, and then helps with
what is left of the first. `-n 0` runs a few tests in one process, which starts sooner."""

import os

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

WORKER = os.environ.get("PYTEST_XDIST_WORKER")
if WORKER:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read by torch at import
    # Read by gradio at import. A range of ports for each process, so that no two look for a free one in the same.
    os.environ["GRADIO_SERVER_PORT"] = str(7860 + 200 * int(WORKER.removeprefix("gw")))


class ByFile(LoadScopeScheduling):
    """A file's tests stay in one process, with what they share. Two browsers side by side are slower than one, so files of the browser
    go to the second process only when nothing else is left for it."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.split("::")[0]

    def _assign_work_unit(self, node: WorkerController) -> None:
        clicks = node is self.nodes[0]
        liked = [file for file in self.workqueue if file.startswith("tests/browser/") == clicks]
        if liked:
            self.workqueue.move_to_end(liked[0], last=False)
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByFile:
    return ByFile(config, log)
