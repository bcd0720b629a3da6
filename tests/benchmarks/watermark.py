"""The recommended watermark on drawn faces: `python -m tests.benchmarks.watermark`.

    robustness    marked and unmarked held-out faces through the same attacks, each as strong as costs what the paper's does at 512 pixels
    false alarms  unmarked faces in strata, drawn, sampled and attacked, against each test's nominal rate
    wrong key     2,000 other keys on one marked face

What is done is kept, so that a run that was stopped goes on.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from backend.experiments.watermark import EmbedWatermark
from backend.experiments.watermark_verify import VerifyWatermark, calibration_of
from backend.inference import cache
from backend.inference.load import load
from backend.inference.pictures import held_out
from backend.metrics.image import psnr, ssim
from backend.metrics.intervals import Estimate, bootstrap, rate
from backend.request import finish
from backend.sampling.travel import beginning
from backend.watermark import base, detection, shallow_diffuse
from backend.watermark.attacks import attack, eight_bit, parse
from backend.watermark.evaluate import Detection
from backend.watermark.key import derive, random_keys
from backend.watermark.restoration import LIKELY, MOVED
from backend.watermark.shallow_diffuse import ShallowDiffuse, pattern
from tests.benchmarks import report
from tests.benchmarks.keeping import Keeper

MODEL = "avatars"
DISTORTIONS = (
    "",
    "jpeg",
    "blur",
    "noise",
    "jitter",
    "resize",
    "median",
    "drop",
    "salt_and_pepper",
    "contrast",
    "brightness",
)
MOVES = ("shift:1", "rotate:15", "crop:0.75")
BARS = {"shift:1": 0.95, "rotate:15": 0.9, "crop:0.75": 0.9}
MARKED, UNMARKED, TEST_NULLS = 200_000, 300_000, 400_000  # where each set of held-out faces begins
BATCH = 50
NOMINAL = (0.05, 0.01, 0.001)
PASSPHRASE = "correct horse battery staple"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.watermark", description=__doc__)
    parser.add_argument("--faces", type=int, default=500, help="marked, and as many unmarked")
    parser.add_argument("--moved", type=int, default=200, help="of them that are searched for")
    parser.add_argument("--nulls", type=int, default=5000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints/watermark"))
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    begun = time.perf_counter()
    settings = f"{REQUEST.scheme().text()} {REQUEST.strength} {PASSPHRASE}".encode()
    keep = Keeper(chosen.checkpoints / sha256(settings).hexdigest()[:8])  # other settings are computed anew
    rows = [
        *robustness(keep, chosen.faces, chosen.moved),
        *false_alarms(keep, chosen.nulls),
        *wrong_keys(keep),
    ]
    for row in rows:
        print("{what}: {value:.4g} [{low:.4g}, {high:.4g}], n = {n} {bar}".format(**row), flush=True)
    report.write("watermark", rows, keep.seconds + time.perf_counter() - begun)


REQUEST = EmbedWatermark(model=MODEL, passphrase=PASSPHRASE)
VERIFY = VerifyWatermark(model=MODEL, passphrase=PASSPHRASE)


def watermark(secret: bytes | None = None) -> ShallowDiffuse:
    """The recommended one, with its demonstration key or another."""
    scheme = REQUEST.scheme()
    secret = secret or REQUEST.secret(load(MODEL)).secret
    return ShallowDiffuse(scheme, pattern(secret, scheme, load(MODEL).denoiser.shape[-1]), REQUEST.strength)


def whitened(pictures: Tensor, *, moved: bool) -> Iterator[Tensor]:
    """Batches of whitened planes (b, U, G, n, n), as VerifyWatermark makes them."""
    guesses = (*LIKELY, *MOVED) if moved else LIKELY
    levels = cache.find(calibration_of(VERIFY).checked()).levels_of(guesses)
    for batch in pictures.split(BATCH):
        planes = finish(detection.look(load(MODEL).denoiser, batch, VERIFY.scheme(), guesses))
        yield shallow_diffuse.whitened(planes, VERIFY.scheme(), levels)


def scores(pictures: Tensor, key_pattern: Tensor, *, moved: bool = False) -> Tensor:
    """The best z of each picture: (N,)."""
    batches = whitened(pictures, moved=moved)
    return torch.cat([detection.evidence(planes, key_pattern, shifts=moved).amax(1) for planes in batches])


def robustness(keep: Keeper, count: int, searched: int) -> Iterator[dict[str, Any]]:
    model, mark = load(MODEL), watermark()

    def embedded() -> dict[str, Tensor]:
        pictures, _ = held_out(model.card, range(MARKED, MARKED + count))
        pairs = [
            finish(base.embed(model.denoiser, mark, batch, REQUEST.steps)) for batch in pictures.split(BATCH)
        ]
        marked, twins = (torch.cat(parts).clamp(-1, 1) for parts in zip(*pairs, strict=True))
        return {"marked": eight_bit(marked), "twins": twins, "pictures": pictures}

    found = keep(f"marked-{count}", embedded)
    marked, twins, pictures = found["marked"], found["twins"], found["pictures"]
    unmarked = eight_bit(held_out(model.card, range(UNMARKED, UNMARKED + count))[0])
    yield report.row("PSNR to the unmarked twin (dB)", bootstrap(psnr(marked, twins).tolist()))
    yield report.row("SSIM to the unmarked twin", bootstrap(ssim(marked, twins).tolist()))
    yield report.row("PSNR of the way itself, without a mark (dB)", bootstrap(psnr(twins, pictures).tolist()))
    for chain in (*DISTORTIONS, *MOVES):
        moved = chain in MOVES
        n = min(count, searched) if moved else count

        def both(chain: str = chain, n: int = n, moved: bool = moved) -> dict[str, Tensor]:
            links = parse(chain, marked.shape[-1])
            return {
                name: scores(attack(some[:n], links, seed), mark.pattern, moved=moved)
                for name, some, seed in (("marked", marked, 0), ("unmarked", unmarked, n))
            }

        kept = keep(f"{chain or 'clean'}-{n}", both)
        one = Detection(kept["marked"], kept["unmarked"])
        words = f"{chain or 'clean'}{', searched' * moved}"
        bar = BARS.get(chain, 0.99)
        yield report.row(f"{words}: AUC", one.auc(), f">= {bar}")
        yield report.row(f"{words}: TPR at 1 % FPR", one.tpr(0.01), "" if moved else ">= 0.95")
        yield report.row(f"{words}: mean z of marked faces", bootstrap(one.marked.tolist()))


def false_alarms(keep: Keeper, count: int) -> Iterator[dict[str, Any]]:
    """Each unmarked face under a key of its own for the analytic test, and all under the demonstration key for the conformal one."""
    model, scheme = load(MODEL), VERIFY.scheme()
    mark = watermark()
    nulls = cache.find(calibration_of(VERIFY).checked()).scores(mark.pattern, scheme, shifts=False)

    def samples(n: int) -> Tensor:
        ways = (
            base.flow(
                model.denoiser, beginning(model.denoiser, range(first, min(first + BATCH, n))), 1.0, 0.0, 15
            )
            for first in range(0, n, BATCH)
        )
        return torch.cat([finish(way) for way in ways])

    third = count // 3
    strata = {
        "drawn": lambda: held_out(model.card, range(TEST_NULLS, TEST_NULLS + third))[0],
        "sampled": lambda: samples(third),
        "attacked": lambda: _attacked(
            held_out(model.card, range(TEST_NULLS + third, TEST_NULLS + 2 * third))[0]
        ),
    }
    for name, make in strata.items():

        def both(make: Callable[[], Tensor] = make) -> dict[str, Tensor]:
            own, others = [], iter(random_keys(third, 7))
            under_one = []
            for planes in whitened(eight_bit(make()), moved=False):
                under_one.append(detection.evidence(planes, mark.pattern, shifts=False).amax(1))
                for one in planes:
                    other = pattern(next(others).secret, scheme, one.shape[-1])
                    own.append(detection.evidence(one, other, shifts=False).max())
            return {"own": torch.stack(own), "one": torch.cat(under_one)}

        kept = keep(f"nulls-{name}-{third}", both)
        analytic = torch.tensor([detection.analytic(float(z), len(LIKELY)) for z in kept["own"]])
        conformal = torch.tensor([detection.exceeded(float(z), nulls) for z in kept["one"]])
        for test, p in (("analytic", analytic), ("pictures", conformal)):
            for level in NOMINAL:
                found = _rate99(int((p <= level).sum()), len(p))
                low = "" if test == "analytic" else f"{level:g} in 99 % interval"
                yield report.row(
                    f"false alarms at nominal {level:.1%}, {test} test, {name} faces", found, low
                )


def _attacked(pictures: Tensor) -> Tensor:
    """A different distortion for each part of the pictures."""
    parts = pictures.tensor_split(len(DISTORTIONS))
    return torch.cat(
        [
            attack(part, parse(chain, 64), 10_000 * i)
            for i, (part, chain) in enumerate(zip(parts, DISTORTIONS, strict=True))
        ]
    )


def _rate99(hits: int, n: int) -> Estimate:
    from scipy.stats import binomtest

    low, high = binomtest(hits, n).proportion_ci(0.99, method="exact")
    return Estimate(hits / n, float(low), float(high), n)


def wrong_keys(keep: Keeper, trials: int = 2000) -> Iterator[dict[str, Any]]:
    """Other keys of both families on a marked face of each family."""
    model = load(MODEL)
    picture, _ = held_out(model.card, range(MARKED, MARKED + 1))
    for family in ("phases", "rings"):

        def other(family: str = family) -> dict[str, Tensor]:
            asked = EmbedWatermark(model=MODEL, passphrase=PASSPHRASE, family=family)
            scheme = asked.scheme()
            key = derive(PASSPHRASE, scheme, "")
            mark = ShallowDiffuse(scheme, pattern(key.secret, scheme, 64), asked.strength)
            marked, _ = finish(base.embed(model.denoiser, mark, picture, asked.steps))
            (planes,) = whitened(eight_bit(marked), moved=False)
            keys = random_keys(trials, 11)
            return {
                "z": torch.stack(
                    [
                        detection.evidence(planes[0, 0], pattern(k.secret, scheme, 64), shifts=False)
                        for k in keys
                    ]
                )
            }

        z = keep(f"wrong-{family}-{trials}", other)["z"]
        bars = ("-0.1 to 0.1", "0.9 to 1.1", "<= 0.003") if family == "phases" else ("", "", "")
        yield report.row(f"wrong key, {family}: mean z", bootstrap(z.tolist()), bars[0])
        yield report.row(
            f"wrong key, {family}: standard deviation of z",
            bootstrap(z.tolist(), lambda a, axis=-1: a.std(axis=axis)),
            bars[1],
        )
        yield report.row(
            f"wrong key, {family}: share above 3.09", rate(int((z > 3.09).sum()), trials), bars[2]
        )


if __name__ == "__main__":
    main()
