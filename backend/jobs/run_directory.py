"""The folder of one long run, from which it goes on after a kill as if nothing had happened.

    request.json          what was asked
    status.json           running, finished, failed or cancelled; steps done of total; seconds so far
    metrics.jsonl         one line a step, in order
    state.pt              the step to go on from and the tensors that it needs
    result.safetensors    at the end

Every write is atomic and durable. A step appends its metrics and then, now and then, saves a checkpoint;
going on drops the metrics after the checkpoint, because the run will make them again.
"""

import dataclasses
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from backend.jobs import atomic, result_file
from backend.request import BadInput, Request, require


@dataclass(frozen=True)
class Status:
    """How far a run is. `seconds` of computing, over all its resumptions; `sentence` says why it failed."""

    state: Literal["running", "finished", "failed", "cancelled"] = "running"
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    sentence: str = ""


class RunDirectory:
    """One run's folder, made or opened for a request. One process writes, any number may read.

    Raises:
        BadInput: if the folder belongs to another request, or the request holds something private: request.json keeps none of it, so that
            nobody could tell later whose run it is.
        CannotSave: here and from every method that writes, when the disk is full; what was saved is kept.
    """

    def __init__(self, path: Path, request: Request):
        for words in request.private():
            raise BadInput(
                f"A run with {words} cannot be kept, because its folder does not say which it was."
            )
        self.path, self.request = path, request
        path.mkdir(parents=True, exist_ok=True)
        asked = path / "request.json"
        if asked.exists():
            same = json.loads(asked.read_bytes()) == request.to_json()
            require(same, "This folder already holds a run with other settings.")
        else:
            atomic.write(asked, (json.dumps(request.to_json(), indent=1) + "\n").encode())

    def status(self) -> Status:
        """The last status written; a fresh run is running with nothing done."""
        try:
            return Status(**json.loads((self.path / "status.json").read_bytes()))
        except FileNotFoundError:
            return Status()

    def report(self, status: Status) -> None:
        """Replace status.json."""
        atomic.write(self.path / "status.json", json.dumps(dataclasses.asdict(status)).encode())

    def append(self, step: int, **numbers: float) -> None:
        """One line of metrics for a step; steps rise."""
        atomic.append(self.path / "metrics.jsonl", json.dumps({"step": step, **numbers}).encode() + b"\n")

    def metrics(self) -> list[dict[str, Any]]:
        """All lines so far, without one that a kill left unfinished."""
        try:
            text = (self.path / "metrics.jsonl").read_bytes()
        except FileNotFoundError:
            return []
        finished = text.split(b"\n")[:-1]  # what follows the last newline is not
        return [json.loads(line) for line in finished]

    def checkpoint(self, step: int, state: dict[str, Any]) -> None:
        """Save what the run needs to go on after `step`: tensors, numbers, strings, and dicts and lists of
        them, such as state_dicts and the states of generators.

        Raises:
            pickle.UnpicklingError: at once, rather than at the resumption, if the state holds anything else.
        """
        buffer = io.BytesIO()
        torch.save({"step": step, "state": state}, buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=True)
        atomic.write(self.path / "state.pt", buffer.getvalue())

    def resume(self) -> tuple[int, dict[str, Any]] | None:
        """(step, state) of the last checkpoint, or None before the first; the metrics are cut back to it."""
        try:
            saved = torch.load(self.path / "state.pt", map_location="cpu", weights_only=True)
        except FileNotFoundError:
            saved = None
        last = saved["step"] if saved else -1
        kept = [line for line in self.metrics() if line["step"] <= last]
        if kept or (self.path / "metrics.jsonl").exists():
            atomic.write(
                self.path / "metrics.jsonl", b"".join(json.dumps(line).encode() + b"\n" for line in kept)
            )
        return (saved["step"], saved["state"]) if saved else None

    def finish(self, result: Any, weights: str = "") -> None:
        """Save the result, then say that the run is finished."""
        result_file.save(self.path, self.request, result, weights)
        self.report(dataclasses.replace(self.status(), state="finished"))

    def result(self, weights: str = "") -> Any:
        """The saved result; FileNotFoundError while there is none."""
        return result_file.load(self.path, self.request, weights)
