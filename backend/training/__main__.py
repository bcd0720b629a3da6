"""Trains an embedded network: `python -m backend.training avatars`. Killed, the same command goes on."""

import argparse
import json
import platform
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from backend.training.loop import train
from backend.training.recipes import RECIPES


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m backend.training", description=__doc__)
    parser.add_argument("name", choices=sorted(RECIPES))
    parser.add_argument("--steps", type=int, help="instead of the recipe's number of steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="a folder of weights to begin with instead of at random")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints"))
    parser.add_argument("--out", type=Path, default=Path("assets/weights"))
    chosen = parser.parse_args(arguments)

    recipe = RECIPES[chosen.name]
    plan = replace(recipe.plan, seed=chosen.seed, steps=chosen.steps or recipe.plan.steps)
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(plan.seed)
    network = recipe.build()
    if chosen.start:  # trained weights need no high rate again: half of it, falling all the way
        plan = replace(plan, lr=plan.lr / 2, decay=1.0)
        network.load_state_dict(recipe.weights(chosen.start))
        started = json.loads((chosen.start / "training.json").read_text())  # now: --out may replace it
    network.to(chosen.device)
    checkpoint, log = (chosen.checkpoints / f"{chosen.name}{suffix}" for suffix in (".pt", ".jsonl"))
    log.parent.mkdir(parents=True, exist_ok=True)
    if not checkpoint.exists():
        log.unlink(missing_ok=True)

    begun = time.monotonic() - _seconds(log)
    losses = []
    for step in train(network, recipe.loss, plan, checkpoint):
        losses.append(step.loss)
        if step.number % 50 == 0 or step.number == plan.steps:
            seconds = round(time.monotonic() - begun, 1)
            line = {"step": step.number, "loss": sum(losses) / len(losses), "seconds": seconds}
            losses.clear()
            with log.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(line, flush=True)

    folder = chosen.out / chosen.name
    recipe.save(network, folder)
    hardware = platform.processor() or platform.machine()
    start = f" --start {chosen.start}" if chosen.start else ""
    made = {
        "command": f"python -m backend.training {chosen.name} --steps {plan.steps} --seed {plan.seed}{start}",
        "plan": asdict(plan),
        "hardware": f"{hardware}, {chosen.threads} threads, {chosen.device}",
        "seconds": round(_seconds(log)),
        "date": datetime.now(UTC).date().isoformat(),
        "torch": torch.__version__,
    }
    if chosen.start:
        made["start"] = started
    (folder / "training.json").write_text(json.dumps(made, indent=2) + "\n")


def _seconds(log: Path) -> float:
    """Wall-clock time of a run so far, over all its resumptions: what the log's last line says."""
    lines = log.read_text().splitlines() if log.exists() else []
    return json.loads(lines[-1])["seconds"] if lines else 0.0


if __name__ == "__main__":
    main()
