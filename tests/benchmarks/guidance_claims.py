"""What is said of guidance, and what comes out here: `python -m tests.benchmarks.guidance_claims`.

Every statement of the lecture and of the two abstracts beside the numbers that bear on it, each with what it would have to be and a
link that opens the setting in the app. Numbers of networks come from what tests.benchmarks.guidance_ablation keeps; run it first.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from backend.metrics.intervals import Estimate
from backend.request import Request
from tests.benchmarks import report


@dataclass(frozen=True)
class Evidence:
    """One number. above, below: where its whole interval must be for the statement to hold; None for no end. link: the setting that
    shows it."""

    what: str
    estimate: Estimate
    above: float | None = None
    below: float | None = None
    link: Request | None = None

    @property
    def expected(self) -> str:
        ends = (
            f"> {self.above:g}" if self.above is not None else "",
            f"< {self.below:g}" if self.below is not None else "",
        )
        return " and ".join(filter(None, ends))

    @property
    def holds(self) -> bool:
        return (self.above is None or self.estimate.low > self.above) and (
            self.below is None or self.estimate.high < self.below
        )


@dataclass(frozen=True)
class Claim:
    """A statement, where it is from, and its evidence."""

    sentence: str
    source: str
    evidence: tuple[Evidence, ...]

    @property
    def verdict(self) -> str:
        """Over the evidence that has a bar."""
        held = [one.holds for one in self.evidence if one.expected]
        return "holds" if all(held) else "does not hold" if not any(held) else "holds in part"


def main(arguments: list[str] | None = None) -> None:
    from tests.benchmarks import claims_exact, claims_networks

    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.guidance_claims", description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    begun, rows = time.perf_counter(), []
    for claim in (*claims_networks.claims(), *claims_exact.claims()):
        print(f"{claim.sentence}: {claim.verdict}", flush=True)
        for row in rows_of(claim):
            print(
                "   {what}: {value:.4g} [{low:.4g}, {high:.4g}], n = {n}, {expected}".format(**row),
                flush=True,
            )
            rows.append(row)
    report.write("guidance_claims", rows, time.perf_counter() - begun)


def rows_of(claim: Claim) -> Iterator[dict[str, Any]]:
    """A row for each number; "bar" is what README's table shows."""
    for one in claim.evidence:
        about = {"claim": claim.sentence, "source": claim.source, "verdict": claim.verdict}
        link = one.link.to_query() if one.link else None
        yield {
            "what": one.what, **about, "expected": one.expected, "holds": one.holds if one.expected else None,
            "link": link, **vars(one.estimate),
        }  # fmt: skip


if __name__ == "__main__":
    main()
