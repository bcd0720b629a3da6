import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from backend.inference import cache, catalogue
from backend.inference.cache import Cache, Derived, call
from backend.jobs import result_file
from backend.request import BadInput, Progress, Request, require


@dataclass(frozen=True)
class SquareNumbers(Request):
    k: int = 3

    def check(self):
        require(self.k >= 0, "Ask for no fewer than 0.")

    def run(self, model: Any) -> Iterator[Any]:
        yield Progress(1, 1, "squares")
        yield Squares(torch.arange(self.k) ** 2)


@dataclass(frozen=True)
class Squares:
    values: Tensor


@dataclass(frozen=True)
class DigitSquares(SquareNumbers):
    model: str = "gaussian"


@pytest.fixture(autouse=True)
def empty(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(cache, "results", Cache(10_000, result_file.size))
    monkeypatch.setattr(catalogue, "ASSETS", tmp_path)


def test_the_longest_unused_entries_make_room() -> None:
    kept = Cache(10, len)
    for key, value in ("a", "1234"), ("b", "1234"):
        kept.put(key, value)
    assert kept.get("a") == "1234"
    kept.put("c", "12")
    assert kept.bytes == 10
    kept.put("d", "1")
    assert [kept.get(key) for key in "abcd"] == ["1234", None, "12", "1"]
    assert kept.bytes == 7


def test_replacing_counts_once_and_what_is_too_large_is_not_kept() -> None:
    kept = Cache(10, len)
    kept.put("a", "123")
    kept.put("a", "12345")
    assert kept.bytes == 5
    kept.put("b", "x" * 11)
    assert (kept.get("a"), kept.get("b"), kept.bytes) == ("12345", None, 5)
    kept.put("a", "x" * 11)
    assert (kept.get("a"), kept.bytes) == (None, 0)


def test_threads_never_corrupt_the_account() -> None:
    kept = Cache(50, len)
    start = threading.Barrier(8)

    def hammer(seed: int) -> None:
        start.wait()
        for i in range(2_000):
            key = str((i * 7 + seed) % 23)
            found = kept.get(key)
            assert found is None or found.startswith(key)
            kept.put(key, key * (1 + (i + seed) % 9))

    threads = [threading.Thread(target=hammer, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept.bytes == sum(len(kept.get(str(i)) or "") for i in range(23)) <= 50


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_process_forked_while_the_lock_is_held_does_not_wait_for_it() -> None:
    with cache._lock:
        child = os.fork()
        if not child:
            cache.results.get("anything")
            os._exit(0)
        for _ in range(10**7):
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                break
        else:
            os.kill(child, 9)
            pytest.fail("The child is still waiting for the lock.")
    assert status == 0


def test_call_runs_passes_progress_on_and_hands_the_result_to_the_gateway() -> None:
    events, found = drain(call(SquareNumbers(), None))
    assert events[0] == Progress(1, 1, "squares")
    assert isinstance(events[1], Derived)
    assert events[1].key == SquareNumbers().key()
    assert events[1].result is found
    assert found.values.tolist() == [0, 1, 4]


def test_call_finds_what_was_found_before() -> None:
    _, first = drain(call(SquareNumbers(), None))
    events, second = drain(call(SquareNumbers(k=3), None))
    assert events == []
    assert second is first


def test_call_checks_its_request() -> None:
    with pytest.raises(BadInput):
        drain(call(SquareNumbers(k=-1), None))


def test_call_of_a_run_without_a_result_is_a_mistake() -> None:
    @dataclass(frozen=True)
    class SayNothing(Request):
        def run(self, model: Any) -> Iterator[Any]:
            yield Progress(1, 1, "steps")

    with pytest.raises(RuntimeError, match="SayNothing ended without a result"):
        drain(call(SayNothing(), None))


def test_a_shipped_run_is_found_once_read_from_disk(tmp_path) -> None:
    folder = tmp_path / "runs" / DigitSquares().key()
    result_file.save(folder, DigitSquares(), Squares(torch.tensor([7])))
    found = cache.find(DigitSquares())
    assert found.values.tolist() == [7]
    assert cache.find(DigitSquares()) is found
    assert cache.find(DigitSquares(k=4)) is None


def test_a_shipped_run_of_other_weights_or_damaged_is_computed_anew(tmp_path, caplog) -> None:
    folder = tmp_path / "runs" / DigitSquares().key()
    result_file.save(folder, DigitSquares(), Squares(torch.tensor([7])), weights="of last year")
    assert cache.find(DigitSquares()) is None
    assert "belongs to another" in caplog.text
    (folder / "result.safetensors").write_bytes(b"rubbish")
    assert cache.find(DigitSquares()) is None
    _, found = drain(call(DigitSquares(), None))
    assert found.values.tolist() == [0, 1, 4]


def drain(generator: Iterator[Any]) -> tuple[list[Any], Any]:
    events = []
    while True:
        try:
            events.append(next(generator))
        except StopIteration as stop:
            return events, stop.value
