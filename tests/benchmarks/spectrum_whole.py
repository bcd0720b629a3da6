"""The whole Jacobian of a face, row by row, beside what the app estimates of it: section whole of
`tests.benchmarks.spectrum`."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from backend.experiments.edit_directions import labelled
from backend.experiments.spectrum import PROBES, Decompose
from backend.inference.cache import call
from backend.inference.catalogue import weights_sha256
from backend.inference.load import load
from backend.inference.pictures import Invert
from backend.jacobian.spectrum import CUTS, effective_rank, rank, stable_rank
from backend.jobs import atomic
from backend.metrics.intervals import Estimate
from backend.request import finish
from tests.benchmarks.report import point, row
from tests.benchmarks.spectrum_search import FACE
from tests.benchmarks.spectrum_top20 import size_in

BATCH = 16  # rows of the whole Jacobian at once: from 8 on they cost least
EVERY = 60.0  # seconds between two savings of them

Rows = Iterator[dict[str, Any]]


def whole(chosen: argparse.Namespace) -> Rows:
    """Exact values beside those of the app."""
    model, t = load("avatars"), chosen.t
    request = Decompose("avatars", f"gallery:{FACE}", t)
    inverted = finish(call(Invert("avatars", f"gallery:{FACE}", t), model))
    app = finish(call(request, model))
    denoiser = labelled(model, inverted)
    name = f"whole_avatars_{FACE}_{t:g}_{weights_sha256(model.card)[:8]}.npy"
    folder = Path("checkpoints/spectrum")
    folder.mkdir(parents=True, exist_ok=True)
    rows, seconds = all_rows(lambda x: denoiser(x, t), inverted.x_t.to(model.device), folder / name)
    jacobian = torch.from_numpy(rows)
    energy, asymmetric = totals(jacobian)

    def titled(what: str, estimate: Estimate) -> dict[str, Any]:
        return row(f"{what}, t = {t:g}", estimate)

    yield titled(f"seconds for all {len(rows)} rows", point(seconds))
    yield titled("energy, exact", point(energy))
    estimate = about(app.total.energy, app.total.energy_error)
    yield titled(f"energy, {len(app.s)} leading values and {PROBES} probes", estimate)
    yield titled("its error in standard errors", point((app.total.energy - energy) / app.total.energy_error))
    asymmetry = (asymmetric / energy) ** 0.5
    yield titled("asymmetry, exact", point(asymmetry))
    about_asymmetric = about(app.total.asymmetric, app.total.asymmetric_error)
    ends = (about_asymmetric.value, about_asymmetric.low, about_asymmetric.high)
    estimate = Estimate(*((max(end, 0.0) / app.total.energy) ** 0.5 for end in ends), PROBES)
    yield titled(f"asymmetry, {PROBES} probes", estimate)

    begun = time.perf_counter()
    s, precision = values_of(jacobian)
    print(f"  {precision}, {time.perf_counter() - begun:.0f} s for {len(s)} eigenvalues", file=sys.stderr)
    by = f"by eigenvalues in {precision}"
    off = ((app.s.double() - s[: len(app.s)]) / s[: len(app.s)]).abs().max()
    yield titled(f"largest relative error of the {len(app.s)} leading values, {by}", point(float(off)))
    yield titled(f"energy over that of the eigenvalues, {by}", point(energy / float(s.square().sum())))
    for cut in CUTS:
        share = f"{100 * cut:.4g} % of the energy"
        yield titled(f"rank ratio, {share}, {by}", point(int(rank(s, energy, cut)) / len(s)))
        known = int(rank(app.s, app.total.energy, cut))
        above = f"above, as {len(app.s)} values do not reach it" if known > len(app.s) else "by the app"
        yield titled(f"rank ratio, {share}, {above}", point(min(known, len(app.s)) / len(s)))
    yield titled(f"effective rank, {by}", point(float(effective_rank(s))))
    yield titled(f"stable rank, {by}", point(float(stable_rank(s, energy))))


def all_rows(
    f: Callable[[Tensor], Tensor], x: Tensor, path: Path, batch: int = BATCH, every: float = EVERY
) -> tuple[np.ndarray, float]:
    """The whole Jacobian (|out|, |in|) of f at x, float32, and the seconds that it took in all. It is kept in a .npy file,
    with the number of rows that are done in a .json file beside it, and goes on from there.

    Args:
        f: maps (B, *in) to (B, *out), sample by sample, |out| = |in|.
        x: (*in).
        batch: rows at once, of as many copies of x.
    """
    size, state = x.numel(), path.with_suffix(".json")
    done, before = json.loads(state.read_text()) if path.exists() and state.exists() else (0, 0.0)
    if not done:
        state.unlink(missing_ok=True)  # of rows that are lost
    rows = np.lib.format.open_memmap(path, "r+" if done else "w+", np.float32, (size, size))
    if done == size:
        return rows, before
    copies = x.expand(batch, *x.shape).clone().requires_grad_()
    with torch.enable_grad():
        value = f(copies)
    begun = said = time.monotonic()

    def save() -> None:
        rows.flush()
        seconds = before + time.monotonic() - begun
        atomic.write(state, json.dumps([done, seconds]).encode())
        print(f"  {done} of {size} rows in {seconds:.0f} s", file=sys.stderr, flush=True)

    try:
        while done < size:
            n = min(batch, size - done)
            units = torch.zeros_like(value).flatten(1)
            units[range(n), range(done, done + n)] = 1
            (found,) = torch.autograd.grad(value, copies, units.view_as(value), retain_graph=True)
            rows[done : done + n] = found.flatten(1)[:n].cpu().numpy()
            done += n
            if time.monotonic() - said > every:
                save()
                said = time.monotonic()
    finally:
        save()
    return rows, before + time.monotonic() - begun


def totals(jacobian: Tensor) -> tuple[float, float]:
    """|J|_F^2 and |J - J^T|_F^2, in float64, some rows at a time."""
    energy = asymmetric = 0.0
    for start in range(0, len(jacobian), 512):
        block = jacobian[start : start + 512].double()
        energy += float(block.square().sum())
        asymmetric += float((block - jacobian[:, start : start + 512].T).square().sum())
    return energy, asymmetric


def values_of(jacobian: Tensor, double: bool | None = None) -> tuple[Tensor, str]:
    """All singular values, largest first, float64, from the eigenvalues of J J^T, and the precision of those: float64 if it
    is asked for or, where nothing is, there is the memory."""
    if double is None:
        available = size_in("/proc/meminfo", "MemAvailable") or 0
        double = (
            available > 5 * 8 * jacobian.numel()
        )  # J, J J^T, what it is reduced to, and half as much again
    rows = jacobian.double() if double else jacobian
    gram = rows @ rows.T
    del rows
    values = torch.linalg.eigvalsh(gram).double().flip(0)
    return values.clamp_min(0).sqrt(), "float64" if double else "float32"


def about(value: float, error: float) -> Estimate:
    """Of a mean over the probes with its standard error."""
    return Estimate(value, value - 1.96 * error, value + 1.96 * error, PROBES)
