import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from backend.inference import cache, catalogue, load
from backend.inference import run as gateway
from backend.inference.cache import Cache
from backend.inference.run import run
from backend.jobs import result_file
from backend.request import BadInput, Failed, Progress
from tests.inference import run_examples as examples
from tests.inference.run_examples import AddUp, AddUpTwice, GoWrong, MeasureUpload, PaintDigit, Sum

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def empty(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(cache, "results", Cache(10**7, result_file.size))
    monkeypatch.setattr(catalogue, "ASSETS", tmp_path)
    monkeypatch.setattr(examples, "log", examples.Log())


def in_time(*functions: Callable[[], Any]) -> list[Any]:
    """The values of functions that run at once, each on a thread of its own; a failure instead of a hang."""
    values: dict[int, Any] = {}

    def note(i: int) -> None:
        values[i] = functions[i]()

    threads = [threading.Thread(target=note, args=(i,), daemon=True) for i in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    return [values[i] for i in range(len(functions))]


def test_progress_then_the_result_last() -> None:
    *progress, result = run(AddUp())
    assert progress == [Progress(i, 4, "additions") for i in (1, 2, 3, 4)]
    assert result.total.unique().tolist() == [10]


def test_a_known_result_comes_at_once_and_is_computed_once() -> None:
    *_, first = run(AddUp())
    assert list(run(AddUp(n=4.0))) == [first]
    assert examples.log.steps == ["a"] * 4


def test_bad_input_is_refused_by_the_call_itself() -> None:
    for bad in (AddUp(n=0), AddUp(n="4"), PaintDigit(model="../gaussian"), MeasureUpload(image="upload:x")):
        with pytest.raises(BadInput):
            run(bad)
    assert examples.log.steps == []


def test_an_upload_that_was_dropped_is_refused_by_the_call_itself() -> None:
    with pytest.raises(BadInput, match=r"^This upload is no longer held; please upload it again\.$"):
        run(MeasureUpload(image="upload:" + "0" * 64))


def test_closing_stops_at_the_step_and_keeps_nothing() -> None:
    events = run(AddUp(n=100))
    for _ in range(3):
        next(events)
    events.close()
    assert examples.log.steps == ["a"] * 3
    assert examples.log.closed == ["a"]
    assert cache.find(AddUp(n=100)) is None
    *_, result = run(AddUp(n=2))  # the turn was given back
    assert result.total[0, 0] == 3


def test_the_turn_is_not_held_between_steps() -> None:
    slow = run(AddUp("slow"))
    next(slow)
    (events,) = in_time(lambda: list(run(AddUp("quick", 2))))
    assert events[-1].of == "quick"
    *_, result = slow
    assert result.total[0, 0] == 10


def test_turns_go_in_the_order_of_asking() -> None:
    turns, order = gateway.Turns(), []

    def take(name: str) -> None:
        with turns:
            order.append(name)

    with turns:
        threads = [threading.Thread(target=take, args=(name,), daemon=True) for name in "abc"]
        for standing, thread in enumerate(threads, 2):
            thread.start()
            while thread.is_alive() and len(turns._waiting) < standing:  # until it stands in line
                pass
    take("first again")  # asked for at once, while the others have hardly woken up
    for thread in threads:
        thread.join(timeout=60)
    assert order == ["a", "b", "c", "first again"]


def test_someone_who_gives_up_waiting_does_not_block_the_line() -> None:
    turns = gateway.Turns()

    class Interrupted(threading.Condition):
        def wait_for(self, *_: Any) -> None:
            raise KeyboardInterrupt

    turns._changed = Interrupted()
    with pytest.raises(KeyboardInterrupt), turns:
        pass
    turns._changed = threading.Condition()
    in_time(lambda: turns.__enter__())


def test_people_at_once_never_mix_and_never_compute_at_once() -> None:
    everyone_has_begun = threading.Barrier(4, timeout=60)

    def person(name: str) -> Sum:
        events = run(AddUp(name, 60))
        next(events)
        everyone_has_begun.wait()
        *_, result = events
        return result

    results = in_time(*(partial(person, name) for name in "abcd"))
    assert [result.of for result in results] == list("abcd")
    assert all((result.total == 1830).all() for result in results)
    assert examples.log.most_inside == 1
    assert sorted(examples.log.steps[:4]) == list("abcd")


def test_each_step_may_run_on_another_thread() -> None:
    events, seen = run(PaintDigit()), []

    def step() -> bool:
        seen.append(next(events, None))
        assert torch.is_grad_enabled()
        return seen[-1] is not None

    while in_time(step) == [True]:
        pass
    *_, result = run(PaintDigit(seed=0))
    assert torch.equal(seen[-2].total, result.total)


@pytest.mark.parametrize("how", ["memory", "python memory", "cuda memory"])
def test_out_of_memory_is_a_sentence(how: str) -> None:
    assert list(run(GoWrong(how)))[-1] == Failed(gateway.OUT_OF_MEMORY)


def test_a_mistake_is_a_sentence_without_internals_and_a_traceback_in_the_log(caplog) -> None:
    *_, failed = run(GoWrong())
    assert failed == Failed(gateway.BROKEN)
    assert "secret" not in failed.sentence
    assert "KeyError: '/secret/path'" in caplog.text
    assert "raise KeyError" in caplog.text


def test_input_found_bad_on_the_way_is_told_as_it_is() -> None:
    assert list(run(GoWrong("late refusal")))[-1] == Failed("This region is empty.")


def test_a_run_without_a_result_is_a_failure() -> None:
    assert list(run(GoWrong("nothing")))[-1] == Failed(gateway.BROKEN)


def test_a_failure_is_not_remembered() -> None:
    list(run(GoWrong()))
    assert cache.find(GoWrong()) is None


def test_a_model_that_cannot_be_loaded_is_a_sentence(monkeypatch, caplog) -> None:
    monkeypatch.setattr(load, "_models", {})
    monkeypatch.setattr(load, "build", lambda card: torch.load("/nowhere"))
    assert list(run(PaintDigit())) == [Progress(0, 1, "models loaded"), Failed(gateway.BROKEN)]


def test_what_is_found_on_the_way_is_kept() -> None:
    *progress, result = run(AddUpTwice())
    assert progress == [Progress(i, 3, "additions") for i in (1, 2, 3)]
    assert result.total[0, 0] == 12
    (found,) = run(AddUp(n=3))
    assert found.total[0, 0] == 6
    assert examples.log.steps == ["a"] * 3


def test_eviction_in_the_middle_only_computes_again(monkeypatch) -> None:
    monkeypatch.setattr(cache, "results", Cache(2_000, result_file.size))  # holds one matrix of 1,600 bytes
    *_, first = run(AddUp("a"))
    list(run(AddUp("b")))
    *_, again = run(AddUp("a"))
    assert examples.log.steps == ["a"] * 4 + ["b"] * 4 + ["a"] * 4
    assert torch.equal(first.total, again.total)


def test_a_shipped_run_answers_before_the_model_is_loaded(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(load, "_models", {})
    shipped = Sum(torch.ones(1, 8, 8), "shipped")
    result_file.save(tmp_path / "runs" / PaintDigit().key(), PaintDigit(), shipped)
    (found,) = run(PaintDigit())
    assert found.of == "shipped"
    assert not load.is_loaded("gaussian")


def test_the_gateway_answers_in_a_process_of_its_own_as_pasted() -> None:
    from backend.inference.pictures import Sample

    snippet = Sample(model="gaussian", label="", steps=4).to_python() + "\nprint(tuple(sample.x_0.shape))\n"
    done = subprocess.run(
        [sys.executable, "-"], input=snippet, capture_output=True, text=True, cwd=ROOT, timeout=300
    )
    assert done.stdout == "(1, 8, 8)\n", done.stderr
