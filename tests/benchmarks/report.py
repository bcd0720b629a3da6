"""Results of a benchmark, as assets/results/<name>.json: what was measured, by which command, where, when."""

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from backend.jobs import atomic
from backend.metrics.intervals import Estimate

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "assets" / "results"


def write(name: str, rows: Sequence[Mapping[str, Any]], seconds: float, folder: Path = RESULTS) -> Path:
    """Saves {command, commit, date, hardware, seconds, rows}, whole or not at all, and returns the file.

    Args:
        rows: each with at least "what", "value", "low", "high" (a 95 % interval) and "n".
        seconds: how long it all took.

    Raises:
        ValueError: if a row lacks one of these, or holds NaN.
    """
    for row in rows:
        missing = {"what", "value", "low", "high", "n"} - row.keys()
        if missing:
            raise ValueError(f"A row of results lacks {', '.join(sorted(missing))}.")
    saved = {
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": hardware(),
        "seconds": round(seconds, 1),
        "rows": [dict(row) for row in rows],
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    atomic.write(path, (json.dumps(saved, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode())
    return path


def commit() -> str:
    """The commit, with "+" if source files differ from it; "unknown" outside a repository."""
    try:
        head = _git("rev-parse", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--", "backend", "tests") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def row(what: str, estimate: Estimate, bar: str = "") -> dict[str, Any]:
    """A row of results: what was measured, its estimate, and what it should be."""
    return {"what": what, "bar": bar, **vars(estimate)}


def point(value: float) -> Estimate:
    """What was measured once."""
    return Estimate(float(value), float(value), float(value), 1)


def hardware() -> str:
    """Processor, threads in use, accelerator if there is one, and the version of PyTorch."""
    parts = [f"{_processor()}, {torch.get_num_threads()} of {os.cpu_count()} threads"]
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    return ", ".join([*parts, f"torch {torch.__version__}"])


def _processor() -> str:
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()
