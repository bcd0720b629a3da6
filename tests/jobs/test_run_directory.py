import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from backend.jobs.run_directory import RunDirectory, Status
from backend.request import BadInput, Request, option


@dataclass(frozen=True)
class Walk(Request):
    seed: int = 0


def run(path: Path, lockstep: bool = False) -> None:
    """A run of 12 steps with randomness and momentum, checkpointed after every third step."""
    directory = RunDirectory(path, Walk())
    generator = torch.Generator().manual_seed(0)
    step, x, v = 0, torch.zeros(5), torch.zeros(5)
    if saved := directory.resume():
        step, state = saved
        x, v = state["x"], state["optimizer"]["v"]
        generator.set_state(state["generator"])
    while step < 12:
        v = 0.9 * v + torch.randn(5, generator=generator)
        x = x + v
        step += 1
        directory.append(step, norm=x.norm().item())
        if step % 3 == 0:
            directory.checkpoint(step, {"x": x, "optimizer": {"v": v}, "generator": generator.get_state()})
            directory.report(Status(done=step, total=12))
        if lockstep:
            print(step, flush=True)
            sys.stdin.readline()
    directory.finish({"x": x})


def test_a_run_killed_again_and_again_gives_the_numbers_of_one_that_was_not(tmp_path):
    run(tmp_path / "whole")
    whole = RunDirectory(tmp_path / "whole", Walk())

    script = f"""
import importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("job", {__file__!r})
job = sys.modules["job"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(job)
job.run(Path(sys.argv[1]), lockstep=True)
"""
    path = tmp_path / "killed"
    for fatal, first in (
        (2, 1),
        (5, 1),
        (9, 4),
        (None, 10),
    ):  # the step at which SIGKILL comes; the first one done
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        seen = []
        for line in child.stdout:
            seen.append(int(line))
            if seen[-1] == fatal:
                child.kill()
                break
            child.stdin.write("go on\n")
            child.stdin.flush()
        assert child.wait() == (0 if fatal is None else -9)
        assert seen[0] == first
        if fatal == 5:  # as if the kill had come in the middle of a line and of a checkpoint
            with open(path / "metrics.jsonl", "ab") as file:
                file.write(b'{"step": 6, "no')
            (path / ".state.pt.tmp").write_bytes(b"half a checkpoint")

    killed = RunDirectory(path, Walk())
    assert [line["step"] for line in whole.metrics()] == list(range(1, 13))
    assert killed.metrics() == whole.metrics()
    assert torch.equal(killed.result()["x"], whole.result()["x"])
    assert killed.status() == Status("finished", done=12, total=12)


def test_a_fresh_run_has_nothing(tmp_path):
    fresh = RunDirectory(tmp_path / "run", Walk())
    assert (fresh.status(), fresh.metrics(), fresh.resume()) == (Status(), [], None)
    with pytest.raises(FileNotFoundError):
        fresh.result()


def test_a_folder_belongs_to_one_request(tmp_path):
    RunDirectory(tmp_path, Walk())
    RunDirectory(tmp_path, Walk())
    with pytest.raises(BadInput, match="other settings"):
        RunDirectory(tmp_path, Walk(seed=1))


def test_metrics_without_a_checkpoint_are_made_again(tmp_path):
    directory = RunDirectory(tmp_path, Walk())
    directory.append(1, norm=2.0)
    assert directory.metrics() == [{"step": 1, "norm": 2.0}]
    assert directory.resume() is None
    assert directory.metrics() == []


def test_a_reader_never_sees_half_a_line(tmp_path):
    directory = RunDirectory(tmp_path, Walk())
    directory.append(1, norm=2.0)
    with open(tmp_path / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 2')
    assert directory.metrics() == [{"step": 1, "norm": 2.0}]


def test_a_state_that_could_not_be_read_back_is_refused_at_once(tmp_path):
    directory = RunDirectory(tmp_path, Walk())
    directory.checkpoint(1, {"x": torch.ones(2)})
    with pytest.raises(Exception, match="Weights only load failed"):
        directory.checkpoint(2, {"path": Path("x")})
    assert directory.resume()[0] == 1


def test_status_round_trip(tmp_path):
    status = Status("failed", 3, 12, 4.5, "This needs more memory than there is.")
    RunDirectory(tmp_path, Walk()).report(status)
    assert RunDirectory(tmp_path, Walk()).status() == status


def test_a_run_with_something_private_is_not_kept(tmp_path):
    @dataclass(frozen=True)
    class Whisper(Request):
        word: str = option("", "the password", private=True)

    with pytest.raises(BadInput, match="A run with the password cannot be kept"):
        RunDirectory(tmp_path / "run", Whisper("0451"))
    assert not (tmp_path / "run").exists()
    assert RunDirectory(tmp_path / "run", Whisper()).status() == Status()
