"""The gateway with a stand-in for Hugging Face's `spaces` that, as ZeroGPU does, computes in a forked process
and pickles all that passes between."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from backend.inference import cache, catalogue, intake
from backend.inference import run as gateway
from backend.inference.cache import Cache, call
from backend.inference.run import run
from backend.jobs import result_file
from backend.request import BadInput, Failed, Progress, Request, require

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="ZeroGPU forks, which is safe on Linux only"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
    pytest.mark.timeout(120),
]
fork = multiprocessing.get_context("fork")
PARENT = os.getpid()


class Error(Exception):
    """gradio.Error, which `spaces` raises."""

    def __init__(self, message: str, title: str):
        super().__init__(message)
        self.message, self.title = message, title


Error.__module__ = "gradio.exceptions"


class FakeSpaces:
    """`spaces.GPU`, which decorates a generator function."""

    def __init__(self) -> None:
        self.durations: list[float] = []
        self.quota = True

    def GPU(self, duration: Callable[..., float]) -> Callable[..., Any]:
        return lambda task: lambda *arguments: self._call(task, duration, arguments)

    def _call(
        self, task: Callable[..., Iterator[Any]], duration: Callable[..., float], arguments: tuple
    ) -> Iterator[Any]:
        self.durations.append(duration(*arguments))
        if not self.quota:
            raise Error("You have used up your GPU quota.", "ZeroGPU quota exceeded")
        given, back, stop = fork.SimpleQueue(), fork.SimpleQueue(), fork.Event()
        worker = fork.Process(target=self._worker, args=(task, given, back, stop), daemon=True)
        worker.start()
        threading.Thread(target=lambda: (worker.join(), back.put(("died", None))), daemon=True).start()
        given.put(arguments)
        while True:
            kind, value = back.get()
            if kind == "died":
                raise Error("GPU task aborted", "ZeroGPU worker error")
            if kind == "error":
                raise Error(value, "ZeroGPU worker error")
            if kind == "end":
                return
            try:
                yield value
            except GeneratorExit:
                stop.set()
                worker.join()
                raise

    @staticmethod
    def _worker(task: Callable[..., Iterator[Any]], given: Any, back: Any, stop: Any) -> None:
        torch.set_num_threads(1)  # the threads of the parent's pool do not survive a fork
        # a worker that is used again knows nothing of what the parent stored after the fork
        intake._held._entries.clear()
        cache.results._entries.clear()
        events = task(*given.get())
        try:
            for event in events:
                if stop.is_set():
                    events.close()
                    return
                back.put(("event", event))
            back.put(("end", None))
        except Exception as error:
            back.put(("error", type(error).__name__))


@dataclass(frozen=True)
class Sums:
    total: Tensor
    pid: int


@dataclass(frozen=True)
class AddMatrices(Request):
    n: int = 3

    def check(self):
        require(self.n > 0, "Ask for at least one number.")

    def seconds(self) -> float:
        return 7.0 * self.n

    def run(self, model: Any) -> Iterator[Any]:
        total = torch.zeros(2, 3)
        for i in range(1, self.n + 1):
            total = total + i
            yield Progress(i, self.n, "additions")
        yield Sums(total, os.getpid())


@dataclass(frozen=True)
class DoubleMatrices(Request):
    def needs(self) -> tuple[Request, ...]:
        return (AddMatrices(n=5),)

    def run(self, model: Any) -> Iterator[Any]:
        found = yield from call(AddMatrices(n=5), model)
        yield Sums(2 * found.total, os.getpid())


@dataclass(frozen=True)
class Misbehave(Request):
    how: str = "die"

    def run(self, model: Any) -> Iterator[Any]:
        yield Progress(1, 2, "steps")
        assert os.getpid() != PARENT
        if self.how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "bug":
            raise KeyError("/secret/path")
        if self.how == "late refusal":
            raise BadInput("This region is empty.")
        if self.how == "unpicklable":
            yield lambda: None
        while True:
            yield Progress(1, 2, "steps")


@dataclass(frozen=True)
class BrightenUpload(Request):
    image: str = ""

    def run(self, model: Any) -> Iterator[Any]:
        yield Sums(intake.open_upload(self.image, (3, 16, 16)), os.getpid())


@dataclass(frozen=True)
class UseModel(Request):
    model: str = "gaussian"

    def run(self, model: Any) -> Iterator[Any]:
        yield Sums(model.denoiser(torch.zeros(1, 1, 8, 8), 0.5), os.getpid())


@pytest.fixture(autouse=True)
def spaces(monkeypatch, tmp_path) -> FakeSpaces:
    fake = FakeSpaces()
    monkeypatch.setitem(sys.modules, "spaces", SimpleNamespace(GPU=fake.GPU))
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr(gateway, "_in_worker", gateway.in_worker(gateway._work))
    monkeypatch.setattr(cache, "results", Cache(10**7, result_file.size))
    monkeypatch.setattr(catalogue, "ASSETS", tmp_path)
    return fake


def test_without_zero_gpu_nothing_is_decorated(monkeypatch) -> None:
    monkeypatch.delenv("SPACES_ZERO_GPU")
    assert gateway.in_worker(gateway._work) is None


def test_events_and_result_are_those_of_this_process(spaces) -> None:
    *progress, result = run(AddMatrices())
    assert progress == [Progress(i, 3, "additions") for i in (1, 2, 3)]
    assert torch.equal(result.total, torch.full((2, 3), 6.0))
    assert result.pid != PARENT
    assert not result.total.is_shared()  # it outlives the worker
    assert spaces.durations == [21.0]
    assert list(run(AddMatrices())) == [result]  # kept here
    assert len(spaces.durations) == 1


def test_the_model_works_in_the_worker() -> None:
    *_, result = run(UseModel())
    *_, here = UseModel().run(gateway.load("gaussian"))
    assert torch.equal(result.total, here.total)
    assert result.pid != here.pid


def test_what_a_worker_finds_on_the_way_is_kept_here() -> None:
    *_, result = run(DoubleMatrices())
    assert result.total[0, 0] == 30
    (found,) = run(AddMatrices(n=5))
    assert (found.total[0, 0], found.pid) == (15, result.pid)


def test_what_was_found_before_travels_to_the_worker() -> None:
    list(run(AddMatrices(n=5)))
    (result,) = run(DoubleMatrices())  # no additions
    assert result.total[0, 0] == 30


def test_an_upload_travels_to_the_worker(tmp_path) -> None:
    picture = tmp_path / "x.png"
    Image.fromarray(np.full((16, 16, 3), 255, np.uint8)).save(picture)
    *_, result = run(BrightenUpload(image=intake.store(picture.read_bytes())))
    assert torch.equal(result.total, torch.ones(3, 16, 16))
    assert result.pid != PARENT


def test_bad_input_never_reaches_a_worker(spaces) -> None:
    for bad in (AddMatrices(n=0), UseModel(model="x"), BrightenUpload(image="upload:" + "0" * 64)):
        with pytest.raises(BadInput):
            run(bad)
    assert spaces.durations == []


@pytest.mark.parametrize(
    "how, sentence",
    {
        "die": gateway.STOPPED,
        "bug": gateway.BROKEN,
        "late refusal": "This region is empty.",
        "unpicklable": gateway.STOPPED,
    }.items(),
)
def test_whatever_happens_in_a_worker_ends_in_a_sentence(how: str, sentence: str) -> None:
    assert list(run(Misbehave(how))) == [Progress(1, 2, "steps"), Failed(sentence)]
    *_, result = run(AddMatrices())  # and the next request works
    assert result.total[0, 0] == 6


def test_a_used_up_quota_is_told_in_the_words_of_the_host(spaces) -> None:
    spaces.quota = False
    with pytest.raises(Error, match="quota"):
        list(run(AddMatrices()))


def test_closing_ends_the_worker() -> None:
    events = run(Misbehave("endless"))
    next(events)
    events.close()  # tells the worker to end, which takes it a moment
    deadline = time.monotonic() + 10
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not multiprocessing.active_children()
