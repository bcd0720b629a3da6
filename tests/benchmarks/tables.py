"""README's result tables, made from assets/results: `python -m tests.benchmarks.tables` writes them in place."""

import json
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README, RESULTS = ROOT / "README.md", ROOT / "assets" / "results"


def table(name: str) -> str:
    """The Markdown table of one result file, with what made it: a line for each row that has a bar, where rows name a
    method and a measure, a line for each method (in a table of its own for each "table" that they name), and where they
    name a claim, each claim above its numbers."""
    saved = json.loads((RESULTS / f"{name}.json").read_text())
    lines = _against_bars(saved["rows"]) if any(row.get("bar") for row in saved["rows"]) else []
    if "claim" in saved["rows"][0]:
        lines = _claimed(saved["rows"])
    compared = [row for row in saved["rows"] if "method" in row and "," not in row["measure"]]
    for title, rows in groupby(compared, lambda row: row.get("table", "")):
        lines += [""] * bool(lines) + [f"{title}:", ""] * bool(title) + _compared(list(rows))
    made = f"`{saved['command']}`, {saved['hardware']}, {saved['date']}, {saved['seconds']:.0f} s;"
    return "\n".join([*lines, "", f"{made} all rows, with intervals, in `assets/results/{name}.json`."])


def _compared(rows: list[dict]) -> list[str]:
    values = {(row["method"], row["measure"]): f"{row['value']:.3g}" for row in rows}
    methods, measures = (list(dict.fromkeys(row[key] for row in rows)) for key in ("method", "measure"))
    lines = [" | ".join(["| method", *measures]) + " |", "| --- " * (len(measures) + 1) + "|"]
    return lines + [
        " | ".join([f"| {method}", *(values.get((method, measure), "") for measure in measures)]) + " |"
        for method in methods
    ]


def _claimed(rows: list[dict]) -> list[str]:
    lines = [
        "| said, and measured | value | 95 % interval | n | to hold |",
        "| --- | --- | --- | --- | --- |",
    ]
    for claim, numbers in groupby(rows, lambda row: row["claim"]):
        numbers = list(numbers)
        lines.append(f"| **{claim}** {numbers[0]['source']} | | | | **{numbers[0]['verdict']}** |")
        for row in numbers:
            what = row["what"].replace("|", "\\|")
            interval = (
                f"{row['low']:.3g} to {row['high']:.3g}"
                if row["high"] - row["low"] > 1e-6 * abs(row["value"])
                else "exact"
            )
            lines.append(f"| {what} | {row['value']:.3g} | {interval} | {row['n']} | {row['expected']} |")
    return lines


def _against_bars(rows: list[dict]) -> list[str]:
    lines = ["| what | measured | 95 % interval | n | bar |", "| --- | --- | --- | --- | --- |"]
    for row in filter(lambda row: row.get("bar"), rows):
        interval = f"{row['low']:.3g} to {row['high']:.3g}"
        lines.append(f"| {row['what']} | {row['value']:.4g} | {interval} | {row['n']} | {row['bar']} |")
    return lines


def filled(text: str) -> str:
    """The README's text with every table between `<!-- results NAME -->` and `<!-- end -->` made anew."""
    parts = text.split("<!-- results ")
    done = [parts[0]]
    for part in parts[1:]:
        name, rest = part.split(" -->", 1)
        done.append(f"{name} -->\n\n{table(name)}\n\n<!-- end -->{rest.split('<!-- end -->', 1)[1]}")
    return "<!-- results ".join(done)


if __name__ == "__main__":
    README.write_text(filled(README.read_text()))
