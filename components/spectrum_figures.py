"""The plots of the spectrum tab: spectra of a picture and of many -> figures whose frames follow the noise level."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from backend.experiments.spectrum import ALONG, Spectrum, Sweep
from backend.experiments.spectrum_survey import Survey
from backend.jacobian.spectrum import CUTS, effective_rank, rank, stable_rank
from components.figures import base, line, marker
from components.pictures import MINUS

INDICES = (1, 2, 5, 10, 20, 50)  # of the singular values that are drawn against noise
BAND = (0.1, 0.9)  # quantiles over pictures
T = "noise level t"
MEASURES = {
    "residual": "|D(x + λv) − D(x) − λJv| / |λJv|",
    "norm_ratio": "|D(x + λv)| / |D(x) + λJv|",
    "cosine": "cosine of D(x + λv) and D(x) + λJv",
}
CUT_NAMES = {cut: f"rank ratio, {100 * cut:.4g} % of the energy" for cut in CUTS}


def singular_values(sweep: Sweep, survey: Survey | None) -> go.Figure:
    """s_i against i at the noise level of each frame, with the band over other pictures; a point is a singular vector."""
    figure = base("index i", "singular value s", yaxis_type="log", showlegend=survey is not None)
    first, k = sweep.spectra[0], len(sweep.spectra[0].s)
    i = np.arange(1, k + 1)
    if survey is None:
        line(figure, i, first.s, "this picture")
    else:
        middle, low, high = _band(survey.s.float(), dim=1)
        line(figure, i, middle[0], _of(survey), low[0], high[0])
        line(figure, i, first.s, "this picture")
    figure.data[-1].update(mode="lines+markers", marker={"size": 5})
    figure.frames = [
        go.Frame(
            data=[
                *([{"y": a[n].numpy()} for a in (low, high, middle)] if survey is not None else []),
                {"y": one.s.numpy()},
            ],
            traces=list(range(len(figure.data))),
        )
        for n, one in enumerate(sweep.spectra)
    ]
    top = max(float(one.s[0]) for one in sweep.spectra)
    bottom = max(min(float(one.s[-1]) for one in sweep.spectra), 1e-4 * top)
    return figure.update_yaxes(range=[math.log10(bottom) - 0.1, math.log10(top) + 0.1])


def over_noise(sweep: Sweep) -> go.Figure:
    """Some singular values s_i against t, and, where the legend is asked for them, alpha_t s_i, which no change of schedule
    alters."""
    figure = base(T, "singular value", yaxis_type="log")
    t = [one.t for one in sweep.spectra]
    for i in (i for i in INDICES if i <= min(len(one.s) for one in sweep.spectra)):
        s = [float(one.s[i - 1]) for one in sweep.spectra]
        line(figure, t, s, f"s{i}")
        figure.add_scatter(
            x=t, y=[one.alpha * value for one, value in zip(sweep.spectra, s, strict=True)], name="α_t s", legendgroup="alpha",
            mode="lines", visible="legendonly", showlegend=i == 1,
            line={"dash": "dot", "width": 1.25, "color": figure.data[-1].line.color},
        )  # fmt: skip
    return _marked(figure, sweep)


def ranks(sweep: Sweep, survey: Survey | None) -> go.Figure:
    """Rank ratios by both cuts, effective and stable rank over d, against t. A triangle says that the rank is above the
    number of singular values that are known."""
    figure = base(T, "rank / d", yaxis_type="log")
    t = [one.t for one in sweep.spectra]
    d, k = sweep.spectra[0].d, len(sweep.spectra[0].s)
    for cut in CUTS:
        found = [int(rank(one.s, one.energy, cut)) for one in sweep.spectra]
        band: Sequence = ()
        if survey is not None and k == d:
            _, *band = _band(survey.rank_ratio(cut), dim=1)
        line(figure, t, [min(r, k) / d for r in found], CUT_NAMES[cut], *band)
        figure.data[-1].update(
            mode="lines+markers",
            marker={"size": 7, "symbol": ["triangle-up-open" if r > k else "circle" for r in found]},
            text=[f"above {k} of {d:,}" if r > k else f"{r} of {d:,}" for r in found],
            hovertemplate="t = %{x:.2f}: %{text}<extra></extra>",
        )
    if k == d:
        line(
            figure,
            t,
            [float(effective_rank(one.s)) / d for one in sweep.spectra],
            "effective rank (Roy, Vetterli)",
        )
    line(
        figure,
        t,
        [float(stable_rank(one.s, one.energy)) / d for one in sweep.spectra],
        "stable rank (Rudelson, Vershynin)",
    )
    return _marked(figure, sweep)


def asymmetry(sweep: Sweep, survey: Survey | None) -> go.Figure:
    """|J - J^T| / |J| against t; 0 for a gradient, sqrt(2) for a random matrix."""
    figure = base(T, "asymmetry |J − Jᵀ| / |J|", yaxis_range=[0, 1.45], showlegend=survey is not None)
    t = [one.t for one in sweep.spectra]
    if survey is not None:
        middle, low, high = _band(survey.asymmetry, dim=1)
        line(figure, survey.t, middle, _of(survey), low, high)
    line(figure, t, [one.asymmetry for one in sweep.spectra], "this picture")
    figure.data[-1].update(
        mode="lines+markers",
        error_y={"array": [2 * one.asymmetry_error for one in sweep.spectra], "width": 0},
    )
    return _marked(figure, sweep)


def truth(sweep: Sweep, survey: Survey | None) -> go.Figure:
    """How much of what the renderer can change lies in the span of the singular vectors and of principal components."""
    names = {
        "u": "left vectors u",
        "v": "right vectors v",
        "PCA": "PCA of the data",
        "random": "random subspace",
    }
    figure = base(T, "share of the true tangent space found", yaxis_range=[0, 1])
    t = [one.t for one in sweep.spectra]
    for key, name in names.items():
        if all(key in one.found for one in sweep.spectra):
            band: Sequence = ()
            if survey is not None and key in survey.found and key in "uv":
                _, *band = _band(survey.found[key], dim=1)
            line(figure, t, [one.found[key] for one in sweep.spectra], name, *band)
    return _marked(figure, sweep) if figure.data else figure


def angles(sweep: Sweep) -> go.Figure:
    """Principal angles between pairs of subspaces, at the noise level of each frame."""
    figure = base("index", "principal angle, degrees", yaxis_range=[0, 92])
    pairs = [pair for pair in sweep.spectra[0].angles if pair not in ("v and PCA", "v and truth")]
    names = {"u and truth": "u and the truth", "PCA and truth": "PCA and the truth", "u and PCA": "u and PCA"}
    for pair in sorted(pairs, key=list(names).index):
        values = sweep.spectra[0].angles[pair]
        line(figure, np.arange(1, len(values) + 1), values.rad2deg(), names[pair])
    chosen = sorted(pairs, key=list(names).index)
    figure.frames = [
        go.Frame(
            data=[{"y": one.angles[pair].rad2deg().numpy()} for pair in chosen],
            traces=list(range(len(chosen))),
        )
        for one in sweep.spectra
    ]
    return figure


def linearity(sweep: Sweep, measure: str) -> go.Figure:
    """One of MEASURES against the length of the step, along three directions, at the noise level of each frame."""
    figure = base("length of the step, share of |x_t|", MEASURES[measure], xaxis_type="log")

    def of(one: Spectrum) -> Tensor:
        return getattr(one, measure)

    everything = torch.stack([of(one) for one in sweep.spectra])
    for name, values in zip(ALONG, of(sweep.spectra[0]), strict=True):
        line(figure, sweep.spectra[0].lengths, values, name)
        figure.data[-1].update(mode="lines+markers")
    figure.frames = [
        go.Frame(data=[{"y": row.numpy()} for row in of(one)], traces=list(range(len(ALONG))))
        for one in sweep.spectra
    ]
    top = min(float(everything.max()), 4.0) if measure == "residual" else float(everything.max())
    bottom = 0.0 if measure == "residual" else min(float(everything.min()), 0.9)
    return figure.update_yaxes(range=[bottom, top * 1.05])


def caption(one: Spectrum) -> str:
    """What stands beside the slider."""
    known = [int(rank(one.s, one.energy, cut)) for cut in CUTS]
    k = len(one.s)
    words = [f"above {k}" if r > k else f"{r}" for r in known]
    both = words[0] if words[0] == words[1] else " to ".join(words)
    snr = f"{round(one.log_snr, 1) + 0.0:.1f}".replace("-", MINUS)  # never -0.0
    held = 100 * float(one.s.double().square().sum()) / one.energy
    share = f" ({k} hold {held:.0f} %)" if max(known) > k else ""
    return f"t = {one.t:.2f}, log-SNR {snr}, rank {both} of {one.d:,}{share}"


def fitting(sweep: Sweep, survey: Survey | None) -> Survey | None:
    """The survey at the noise levels that the sweep has so far; None if it was made at others."""
    n = len(sweep.spectra)
    if survey is None or survey.t[:n].tolist() != [one.t for one in sweep.spectra]:
        return None
    if survey.s.shape[-1] != len(sweep.spectra[0].s):
        return None
    fields = {
        name: getattr(survey, name)[:n]
        for name in ("t", "log_snr", "s", "energy", "energy_error", "asymmetry")
    }
    return replace(survey, **fields, found={name: share[:n] for name, share in survey.found.items()})


def _of(survey: Survey) -> str:
    return f"{survey.s.shape[1]} pictures, median and 10 to 90 %"


def _band(values: Tensor, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Median, low and high over pictures."""
    low, middle, high = (values.double().quantile(q, dim=dim) for q in (BAND[0], 0.5, BAND[1]))
    return middle, low, high


def _marked(figure: go.Figure, sweep: Sweep) -> go.Figure:
    """With a vertical line at the noise level of each frame."""
    figure.update_layout(shapes=marker(sweep.spectra[0].t))
    figure.frames = [go.Frame(layout={"shapes": marker(one.t)}) for one in sweep.spectra]
    return figure
