"""What counts as holding, and what the ablation keeps, on numbers written by hand; and one small block for real."""

import json
import math

import pytest

from backend.metrics.intervals import Estimate
from tests.benchmarks import claims_exact, guidance_ablation
from tests.benchmarks.guidance_ablation import NOTHING, Block, Setting, key, paired, settings_of, table
from tests.benchmarks.guidance_claims import Claim, Evidence, rows_of


def evidence(low, high, **bar):
    return Evidence("it", Estimate((low + high) / 2, low, high, 5), **bar)


@pytest.mark.parametrize(
    ("one", "holds"),
    [
        (evidence(1.1, 1.3, above=1), True),
        (evidence(0.9, 1.3, above=1), False),
        (evidence(0.5, 0.9, below=1), True),
        (evidence(0.5, 1.1, below=1), False),
        (evidence(0.95, 1.05, above=0.9, below=1.1), True),
        (evidence(0.85, 1.05, above=0.9, below=1.1), False),
    ],
)
def test_a_number_holds_where_its_whole_interval_does(one, holds):
    assert one.holds == holds


def test_a_verdict_is_over_the_numbers_that_have_a_bar():
    good, bad, shown = evidence(2, 3, above=1), evidence(0, 3, above=1), evidence(0, 9)
    verdicts = [
        Claim("", "", tuple(numbers)).verdict for numbers in ([good, shown], [good, bad], [bad, shown])
    ]
    assert verdicts == ["holds", "holds in part", "does not hold"]
    assert [row["holds"] for row in rows_of(Claim("", "", (good, bad, shown)))] == [True, False, None]


def lines(values, samples=100):
    """Complete blocks of one class of the linear digits: {seed: accuracy as a function of the setting}."""
    done = {}
    for seed, accuracy in values.items():
        for setting in settings_of(Block("digits, linear model", "3", seed)):
            name = key(Block("digits, linear model", "3", seed), setting, samples)
            done[name] = {"key": name, "values": {"accuracy": accuracy(setting)}, "seconds": 1.0}
    return done


SHIFT = Setting("mean shift", 4.0, "noisy half")


def test_ratios_are_taken_block_by_block():
    seeds = {
        0: lambda s: 0.5 if s == SHIFT else 0.25,
        1: lambda s: 0.9 if s == SHIFT else 0.3,
        2: lambda s: 0.5,
    }
    done = lines(seeds)
    found = paired(done, "digits, linear model", SHIFT, NOTHING, "accuracy")
    assert found.value == pytest.approx(2.0) and found.n == 3
    del seeds[2]
    assert paired(lines(seeds), "digits, linear model", SHIFT, NOTHING, "accuracy") is None
    assert paired(done, "digits", SHIFT, NOTHING, "accuracy") is None
    assert paired(lines({0: lambda s: None}), "digits, linear model", SHIFT, NOTHING, "accuracy") is None


def test_only_whole_blocks_enter_the_table(monkeypatch):
    monkeypatch.setattr(guidance_ablation, "FEWEST", 1)
    done = lines({0: lambda s: 0.5, 1: lambda s: 0.7})
    blocks = [Block("digits, linear model", "3", seed) for seed in (0, 1)]
    rows = {(row["arm"], row["gamma"], row["window"]): row for row in table(blocks, done, 100)}
    assert rows[SHIFT]["value"] == pytest.approx(0.6) and rows[SHIFT]["n"] == 200
    assert rows[SHIFT]["measure"] == "accuracy, noisy half"
    del done[key(blocks[1], SHIFT, 100)]
    rows = list(table(blocks, done, 100))
    assert all(row["value"] == 0.5 and row["n"] == 100 for row in rows)


def test_the_command_measures_keeps_and_goes_on(tmp_path, monkeypatch):
    wrote, measured = [], []
    monkeypatch.setattr(guidance_ablation.torch, "set_num_threads", lambda n: None)  # of the other tests too
    monkeypatch.setattr(guidance_ablation, "ONCE", {})
    monkeypatch.setattr(guidance_ablation, "GAMMAS", (1.0,))
    monkeypatch.setattr(guidance_ablation, "FEWEST", 1)
    monkeypatch.setattr(guidance_ablation.report, "write", lambda name, rows, seconds: wrote.append(rows))
    real = guidance_ablation.measured
    monkeypatch.setattr(guidance_ablation, "measured", lambda *a: measured.append(a) or real(*a))
    command = [
        "--samples",
        "24",
        "--seeds",
        "1",
        "--classes",
        "1",
        "--data",
        "digits, linear model",
        "--threads",
        "1",
    ]
    for _ in range(2):
        guidance_ablation.main([*command, "--checkpoints", str(tmp_path)])
    assert len(measured) == len(list(settings_of(measured[0][0])))  # the second run had nothing to do
    assert wrote[0] == wrote[1] and all(math.isfinite(row["value"]) for row in wrote[0])
    variance = {
        (row["arm"], row["window"]): row["value"] for row in wrote[0] if row["measure"].startswith("variance")
    }
    assert variance["mean shift", "everywhere"] == pytest.approx(
        variance["no guidance", "everywhere"], rel=1e-6
    )
    assert (
        variance["Neg-CPC", "everywhere"]
        < variance["no guidance", "everywhere"]
        < variance["Pos-CPC", "everywhere"]
    )
    assert len([json.loads(line) for line in (tmp_path / "0.jsonl").read_text().splitlines()]) == len(
        measured
    )


def test_a_statement_about_gaussians_is_measured_again():
    claim = claims_exact.shift_keeps_variance()
    assert claim.verdict == "does not hold"  # the slides' sentence is false of the covariance
    assert claim.evidence[0].estimate.value == pytest.approx(1, abs=1e-9)
