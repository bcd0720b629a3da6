"""What is averaged, what is equal detection and which rows there are, on scores written by hand; and one small run for real."""

import json
from dataclasses import replace

import pytest
import torch

from backend.metrics.intervals import Estimate
from backend.watermark import methods
from backend.watermark.evaluate import Detection
from backend.watermark.methods import NONE, OURS
from backend.watermark.restoration import Guess
from tests.benchmarks import report, watermark_methods, watermark_methods_table
from tests.benchmarks import watermark_methods_bench as bench
from tests.benchmarks.watermark_methods_bench import slug
from tests.benchmarks.watermark_methods_table import ATTACKS, DISTORTIONS, Found, at, average, equal, table


def scores(count, seed, shift=0.0):
    return torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def detection(shift, seed=0, count=150):
    return Detection(scores(count, seed, shift), scores(count, seed + 1000))


def found(shift=2.0, psnr=30.0, count=150):
    """A method whose marks stand out by so much after every attack, and cost about so much."""
    chains = ("", *ATTACKS)
    return Found(
        psnr=psnr + scores(count, 5),
        ssim=0.9 + 0.01 * scores(count, 6),
        way=None,
        lpips=None,
        features=torch.randn(count, 3, generator=torch.Generator().manual_seed(7)),
        twins=torch.randn(count, 3, generator=torch.Generator().manual_seed(8)),
        right=torch.arange(count) % 4 > 0,
        detections={chain: detection(shift, seed) for seed, chain in enumerate(chains)},
    )


@pytest.mark.parametrize("shift", [-9.0, 0.0, 1.5, 9.0])
def test_the_average_over_one_attack_is_that_attack(shift):
    one = detection(shift)
    auc, tpr = average([one])
    assert auc.value == pytest.approx(one.auc().value, abs=1e-12)
    assert (auc.low, auc.high, auc.n) == pytest.approx((one.auc().low, one.auc().high, one.auc().n))
    assert tpr == one.tpr(0.01)


def test_the_average_is_the_mean_and_its_interval_that_of_dependent_attacks():
    ones = [detection(shift, seed) for seed, shift in enumerate((0.5, 1.0, 2.0))]
    auc, tpr = average(ones)
    assert auc.value == pytest.approx(sum(one.auc().value for one in ones) / 3)
    assert tpr.value == pytest.approx(sum(one.tpr(0.01).value for one in ones) / 3)
    alone = average(ones[:1])[0]
    thrice = average([ones[0]] * 3)[0]  # the same attack again teaches nothing new
    assert (thrice.low, thrice.high) == pytest.approx((alone.low, alone.high))
    assert auc.high - auc.low < alone.high - alone.low  # others do


def test_the_interval_of_the_average_covers_what_other_pictures_would_give():
    def draw(seed):
        return [detection(1.0, 100 * seed + k, 60) for k in range(2)]

    intervals = [average(draw(seed))[0] for seed in range(100)]
    true = torch.special.ndtr(torch.tensor(1 / 2**0.5)).item()
    assert sum(one.low <= true <= one.high for one in intervals) >= 88


def test_no_rate_where_the_unmarked_are_too_few():
    few = Detection(scores(50, 0, 3.0), scores(50, 1))
    auc, tpr = average([few, few])
    assert tpr is None and 0.9 < auc.value <= 1


def test_what_is_always_found_has_an_interval_all_the_same():
    sure = Detection(scores(120, 0, 50.0), scores(120, 1))
    auc, tpr = average([sure, sure])
    assert auc.value == tpr.value == 1 and auc.low == tpr.low == pytest.approx(0.025 ** (1 / 120))


def test_equal_detection_is_the_weakest_strength_not_below_the_rivals_intervals():
    strengths = {at(s): found(shift) for s, shift in ((0.6, 3.0), (0.1, 0.5), (1.0, 5.0), (0.3, 2.0))}
    rival = found(2.1).average(DISTORTIONS)
    assert equal(rival, strengths) == at(0.3)
    assert equal((Estimate(0, 0, 0, 1), None), strengths) == at(0.1)
    nothing = Estimate(1.1, 1.1, 1.1, 1)
    assert equal((nothing, None), strengths) is None
    auc, _ = rival  # both must hold
    assert equal((auc, Estimate(1.1, 1.1, 1.1, 1)), strengths) is None


def rows_of(some):
    made = list(table("faces, user", some, torch.randn(200, 3), "expression"))
    return {(row.get("table"), row.get("method", row["what"]), row.get("measure")): row for row in made}


def test_the_rows_of_both_tables():
    rows = rows_of({NONE: found(0.0), "Tree-Ring": found(2.0, 18.0), OURS: found(3.0, 34.0)})
    first, second = (
        "faces, user: quality, and what is found after an attack",
        "faces, user: groups of attacks",
    )
    measures = {
        method: [m for t, name, m in rows if t == first and name == method] for method in (NONE, OURS)
    }
    assert not {"PSNR (dB)", "SSIM"} & set(measures[NONE]) and {"PSNR (dB)", "SSIM"} <= set(measures[OURS])
    assert "LPIPS" not in measures[OURS] and "expression read right" in measures[NONE]
    right = rows[first, OURS, "expression read right"]
    assert right["value"] == pytest.approx(112 / 150) and right["n"] == 150
    five = [rows[first, OURS, f"TPR {chain}"]["value"] for chain in ("clean", *DISTORTIONS)]
    assert rows[first, OURS, "TPR average"]["value"] == pytest.approx(sum(five) / 5)
    every = [rows[first, OURS, f"AUC, {chain}"]["value"] for chain in ATTACKS]
    assert rows[second, OURS, "AUC average"]["value"] == pytest.approx(sum(every) / len(every))
    geometric = [
        rows[first, OURS, f"AUC, {chain}"]["value"] for chain in ("rotate:15", "crop:0.75", "shift:1")
    ]
    assert rows[second, OURS, "AUC geometric"]["value"] == pytest.approx(sum(geometric) / 3)
    assert rows[second, NONE, "TPR distortion"]["value"] < 0.1 < rows[second, OURS, "TPR distortion"]["value"]
    assert not [row for row in rows.values() if row["bar"]]  # no strengths, so no comparison


def test_attacks_that_were_not_asked_for_have_no_rows():
    one = found(3.0)
    few = replace(one, detections={chain: one.detections[chain] for chain in ("", *DISTORTIONS)})
    measures = {measure for _, _, measure in rows_of({OURS: few, at(0.6): few, "Tree-Ring": few})}
    assert {"TPR average", "AUC distortion", "gain in PSNR (dB)"} <= measures
    assert not {"AUC average of all", "AUC geometric", "TPR, shift:1"} & measures


def test_where_no_rate_can_be_told_the_areas_stand_in_its_place():
    few = {chain: detection(2.0, seed, 50) for seed, chain in enumerate(("", *DISTORTIONS))}
    measures = {measure for _, _, measure in rows_of({OURS: replace(found(), detections=few)})}
    assert {"AUC clean", "AUC jpeg", "AUC average"} <= measures and not any("TPR" in m for m in measures)


def test_the_comparison_at_equal_detection():
    strengths = {at(s): found(s * 5, 40 - 10 * s) for s in (0.2, 0.4, 0.8)}
    rows = rows_of(
        {"Tree-Ring": found(2.0, 18.0), "RingID": found(9.0, 14.0), OURS: strengths[at(0.4)], **strengths}
    )
    title = "faces, user: at the detection of a rival"
    gain = rows[title, f"{OURS} against Tree-Ring", "gain in PSNR (dB)"]
    assert gain["value"] == pytest.approx(36 - 18) and gain["bar"] == ">= 3"
    assert rows[title, f"{OURS} against Tree-Ring", "strength"]["value"] == 0.4
    assert not any("RingID" in (key[1] or "") and key[0] == title for key in rows)  # nobody is found as often
    assert ("PSNR (dB)" in what for _, what, _ in rows)
    assert at(0.2) not in {key[1] for key in rows}  # a strength is no method of the tables
    assert any(at(0.2) in key[1] for key in rows)


@pytest.fixture
def small(monkeypatch):
    """Five pictures a block, few attacks, few steps."""
    for module in (bench, watermark_methods_table):
        monkeypatch.setattr(module, "DISTORTIONS", ("jpeg",))
    for module in (bench, watermark_methods, watermark_methods_table):
        monkeypatch.setattr(module, "GROUPS", {"distortion": ("jpeg",), "geometric": ("shift:1",)})
    monkeypatch.setattr(watermark_methods_table, "ATTACKS", ("jpeg", "shift:1"))
    monkeypatch.setattr(bench, "BLOCK", 5)
    monkeypatch.setattr(bench, "STRENGTHS", (0.3,))
    for name, value in {"STEPS": 3, "SHALLOW_STEPS": 2, "MOVED": (Guess(angle=2.0),)}.items():
        monkeypatch.setattr(methods, name, value)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    made = (bench._methods, bench._strengths)
    for one in made:
        one.cache_clear()
    yield
    for one in made:
        one.cache_clear()


def run(folder, monkeypatch, *more):
    asked = "--data digits --scenarios user --pictures 5 --unmarked 10"
    with monkeypatch.context() as patched:
        write = report.write
        patched.setattr(report, "write", lambda *given: write(*given, folder / "results"))
        watermark_methods.main([*asked.split(), "--checkpoints", str(folder / "kept"), *more])
    path = folder / "results" / "watermark_methods.json"
    return json.loads(path.read_text())["rows"] if path.exists() else None


def test_two_processes_make_what_one_makes_and_a_second_run_computes_nothing(
    small, tmp_path, monkeypatch, capsys
):
    assert run(tmp_path / "two", monkeypatch, "--share", "1", "2") is None  # the other one will write
    both = run(tmp_path / "two", monkeypatch, "--share", "0", "2")
    assert " s  0/" in capsys.readouterr().out
    assert run(tmp_path / "two", monkeypatch) == both
    assert " s  0/" not in capsys.readouterr().out
    alone = run(tmp_path / "one", monkeypatch)
    assert [row["what"] for row in alone] == [row["what"] for row in both]
    for one, other in zip(alone, both, strict=True):
        assert one["value"] == pytest.approx(other["value"], abs=1e-4)
    names = {row["method"] for row in alone if "method" in row}
    assert {NONE, "Tree-Ring", "RingID", "Gaussian Shading", f"{OURS}, as published", OURS} <= names
    values = {row["what"]: row["value"] for row in alone}
    assert values[f"digits, user: {OURS}: AUC clean"] > 0.8


def test_a_server_makes_what_it_is_told_to_and_other_attacks_add_to_what_was_kept(
    small, tmp_path, monkeypatch
):
    one = bench.Bench("digits", "server", 5, 5, ("distortion",), tmp_path)
    for name, compute in one.tasks(0):
        one.keep(name, compute)
    assert one.complete() and not bench.Bench("digits", "server", 10, 5, ("distortion",), tmp_path).complete()
    more = bench.Bench("digits", "server", 5, 5, ("distortion", "geometric"), tmp_path)
    missing = [name for name, _ in more.tasks(0) if not more.keep.path(name).exists()]
    assert missing and all("shift" in name for name in missing)
    rows = {row["what"]: row for row in one.rows()}
    read = rows[f"digits, server: {NONE}: digit read right"]
    assert read["n"] == 5 and read["value"] >= 0.6  # in three steps


def test_marked_pictures_are_none_of_the_unmarked(small, tmp_path):
    for scenario in ("user", "server"):
        one = bench.Bench("digits", scenario, 5, 5, (), tmp_path)
        marked, unmarked = (one._given(0, first)[0] for first in (bench.MARKED, bench.UNMARKED))
        both = torch.cat([marked, unmarked]).flatten(1).double()
        assert torch.cdist(both, both)[:5, 5:].min() > 0.1


def test_names_of_folders_are_plain():
    made = [slug(method) for method in bench._methods("digits")]
    assert made[0] == "no-mark" and made[-2:] == ["shallow-diffuse-as-published", "shallow-diffuse"]
    assert len(set(made)) == len(made)
