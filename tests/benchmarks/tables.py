"""README's result tables, made from assets/results: `python -m tests.benchmarks.tables` writes them in place."""

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README, RESULTS = ROOT / "README.md", ROOT / "assets" / "results"


def table(name: str) -> str:
    """The Markdown table of the rows of one result file that have a bar, with what made it."""
    saved = json.loads((RESULTS / f"{name}.json").read_text())
    lines = ["| what | measured | 95 % interval | n | bar |", "| --- | --- | --- | --- | --- |"]
    for row in filter(lambda row: row.get("bar"), saved["rows"]):
        interval = f"{row['low']:.3g} to {row['high']:.3g}"
        lines.append(f"| {row['what']} | {row['value']:.4g} | {interval} | {row['n']} | {row['bar']} |")
    made = f"`{saved['command']}`, {saved['hardware']}, {saved['date']}, {saved['seconds']:.0f} s; all rows in `assets/results/{name}.json`."
    return "\n".join([*lines, "", made])


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
