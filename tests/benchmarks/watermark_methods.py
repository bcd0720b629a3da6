"""Every method that marks pictures, in the tables of Shallow Diffuse: `python -m tests.benchmarks.watermark_methods`.

    user      held-out pictures are marked, by inversion where a method marks what lies before the picture
    server    pictures are marked while they are made, each with a label

Marked and unmarked pictures go through the same attacks, as strong on small pictures as costs what the papers' do at 512 pixels, and are 8-bit
pictures before and after. Every method has the same pictures, the same noise in each attack, and one key. The recommended method looks for moved
pictures with its search, the others have none. At least 100 pictures are unmarked, so that 1 % of false alarms can be told; fewer, if asked for, give no such rate.

Blocks of 25 pictures are kept, so that a run that was stopped goes on, and one for more pictures adds to it; `--share 0 2` and `--share 1 2` are two
processes that divide the blocks between them, and the last one to end writes the result.
"""

import argparse
from pathlib import Path

import torch

from backend.watermark.outside import OUTSIDE
from tests.benchmarks import report
from tests.benchmarks.watermark_methods_bench import SETTINGS, Bench
from tests.benchmarks.watermark_methods_table import GROUPS


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.watermark_methods", description=__doc__)
    parser.add_argument("--data", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--scenarios", nargs="+", choices=("user", "server"), default=["user", "server"])
    parser.add_argument("--pictures", type=int, default=200, help="marked")
    parser.add_argument(
        "--unmarked", type=int, default=100, help="at least; 99 are enough for a threshold at 1 %%"
    )
    parser.add_argument("--attacks", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--share", type=int, nargs=2, default=(0, 1), metavar=("I", "N"))
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints/watermark_methods"))
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    benches = [
        Bench(name, scenario, chosen.pictures, chosen.unmarked, tuple(chosen.attacks), chosen.checkpoints)
        for name in chosen.data
        for scenario in chosen.scenarios
    ]
    for bench in benches:
        for block in bench.blocks[chosen.share[0] :: chosen.share[1]]:
            for name, compute in bench.tasks(block):
                bench.keep(name, compute)
    if not all(bench.complete() for bench in benches):
        return  # another process is still at work, and will write
    rows = [row for bench in benches for row in bench.rows()]
    for row in rows:
        print("{what}: {value:.4g} [{low:.4g}, {high:.4g}], n = {n} {bar}".format(**row), flush=True)
    for one in OUTSIDE:
        print(f"{one.name} is not here. {one.needs}")
    report.write("watermark_methods", rows, sum(bench.seconds() for bench in benches))


if __name__ == "__main__":
    main()
