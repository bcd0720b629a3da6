"""The command line, on a recipe that takes a moment."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from backend.training import __main__ as command
from backend.training.loop import Plan
from backend.training.recipes import RECIPES, Recipe
from tests.training import tiny_run


def save(network, folder):
    folder.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), folder / "model.safetensors")


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.fixture
def train(tmp_path, monkeypatch):
    recipe = Recipe(tiny_run.network, tiny_run.loss, Plan(steps=120, lr=1e-3), save, weights)
    monkeypatch.setitem(RECIPES, "tiny", recipe)
    places = ["--checkpoints", str(tmp_path / "checkpoints"), "--out", str(tmp_path / "weights")]
    threads = torch.get_num_threads()

    def run(*options: str) -> dict:
        command.main(["tiny", "--threads", "1", "--device", "cpu", *places, *options])
        return json.loads((tmp_path / "weights" / "tiny" / "training.json").read_text())

    yield run
    torch.set_num_threads(threads)


def test_it_saves_weights_and_says_how_they_were_made(train, tmp_path):
    made = train("--seed", "5")
    assert made["plan"]["seed"] == 5 and made["plan"]["steps"] == 120
    assert made["command"] == "python -m backend.training tiny --steps 120 --seed 5"
    assert {"hardware", "seconds", "date", "torch"} <= made.keys()
    assert set(load_file(tmp_path / "weights" / "tiny" / "model.safetensors")) == set(
        tiny_run.network().state_dict()
    )


def test_its_log_has_a_line_every_fifty_steps_and_the_last(train, tmp_path):
    train()
    lines = (tmp_path / "checkpoints" / "tiny.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [50, 100, 120]
    assert all(json.loads(line)["loss"] > 0 for line in lines)


def test_the_same_command_goes_on_and_the_seconds_add_up(train, tmp_path, monkeypatch):
    """By a clock that ticks at every reading: three stretches of 50 steps take three times as long as one."""
    ticks = iter(range(10_000))
    monkeypatch.setattr(command.time, "monotonic", lambda: float(next(ticks)))
    train("--steps", "50")
    first = json.loads((tmp_path / "checkpoints" / "tiny.jsonl").read_text())["seconds"]
    made = train("--steps", "150")
    log = (tmp_path / "checkpoints" / "tiny.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log] == [50, 100, 150]
    assert made["seconds"] == json.loads(log[-1])["seconds"] >= round(2.9 * first)


def test_a_fresh_start_begins_a_fresh_log(train, tmp_path):
    train("--steps", "50")
    (tmp_path / "checkpoints" / "tiny.pt").unlink()
    train("--steps", "50")
    assert len((tmp_path / "checkpoints" / "tiny.jsonl").read_text().splitlines()) == 1


def test_equal_seeds_give_equal_weights_and_others_do_not(train, tmp_path):
    def weights(seed: str) -> torch.Tensor:
        (tmp_path / "checkpoints" / "tiny.pt").unlink(missing_ok=True)
        train("--steps", "10", "--seed", seed)
        return load_file(tmp_path / "weights" / "tiny" / "model.safetensors")["0.weight"]

    assert torch.equal(weights("1"), weights("1"))
    assert not torch.equal(weights("1"), weights("2"))


def test_it_trains_on_from_saved_weights_and_says_from_which(train, tmp_path):
    first = train("--steps", "10")
    before = weights(tmp_path / "weights" / "tiny")
    (tmp_path / "checkpoints" / "tiny.pt").unlink()
    start = str(tmp_path / "weights" / "tiny")
    made = train("--steps", "1", "--seed", "2", "--start", start)
    assert made["start"] == first
    assert (made["plan"]["lr"], made["plan"]["decay"]) == (first["plan"]["lr"] / 2, 1.0)
    assert made["command"] == f"python -m backend.training tiny --steps 1 --seed 2 --start {start}"
    after = weights(tmp_path / "weights" / "tiny")
    step = max((after[name] - before[name]).abs().max().item() for name in ("0.weight", "3.weight"))
    assert 0 < step < 1e-3, "one step of a rate that has only begun to rise leads away from where it stood"


@pytest.mark.parametrize("name", ["avatars", "avatars_regressor"])
def test_the_embedded_weights_can_be_trained_on(name):
    recipe = RECIPES[name]
    recipe.build().load_state_dict(recipe.weights(Path("assets/weights") / name))


def test_an_unknown_name_is_refused(train, capsys):
    with pytest.raises(SystemExit):
        command.main(["faces"])
    assert "invalid choice" in capsys.readouterr().err
