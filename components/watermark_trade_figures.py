"""The trade of a watermark as pictures: PSNR against detectability with the frontier, and placement against t."""

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from backend.experiments.watermark_trade import OURS, PLACEMENTS, RECOMMENDED, RIVALS, Trade
from backend.metrics.intervals import Estimate
from backend.watermark.trial import Point
from components.figures import PALETTE, base

ORANGE, PINK, GREY = PALETTE[1], PALETTE[3], PALETTE[6]
BRIGHTEST = 0.85  # of Viridis: its yellow is too pale for a point on white
WORDS = {name: f"rings {name.replace('-', '–')}" for name in PLACEMENTS} | {"nyquist": "the Nyquist disc"}


def frontier(trade: Trade) -> go.Figure:
    """What was measured, by t, with the frontier and its knee; the tab's default and the rivals by name."""
    figure = base("PSNR to the unmarked twin, dB", "d′ after the worst attack")
    figure.update_layout(legend={"itemwidth": 30, "font": {"size": 11}})  # two columns on a telephone
    times = sorted({point.t for point in trade.of(OURS)})
    shades = sample_colorscale("Viridis", [BRIGHTEST * i / max(len(times) - 1, 1) for i in range(len(times))])
    edge = trade.frontier()
    figure.add_scatter(
        x=_x(edge), y=_y(edge), mode="lines", name="frontier", hoverinfo="skip", line={"width": 1.5, "color": GREY}
    )  # fmt: skip
    for t, shade in zip(times, shades, strict=True):
        _points(figure, trade, [p for p in trade.of(OURS) if p.t == t], f"t = {t:g}", color=shade, size=7)
    knee = trade.knee()
    if knee:
        ring = {"symbol": "circle-open", "size": 17, "color": ORANGE, "line": {"width": 2}}
        figure.add_scatter(x=_x([knee]), y=_y([knee]), mode="markers", name="knee", hoverinfo="skip", marker=ring)  # fmt: skip
    _points(figure, trade, trade.of(RECOMMENDED), RECOMMENDED, symbol="star", color=ORANGE, size=14)
    for name, symbol in zip(RIVALS, ("diamond", "square", "triangle-up"), strict=True):
        _points(figure, trade, trade.of(name), name, symbol=symbol, color=PINK, size=11)
    return figure


def spectrum(trade: Trade, kind: str) -> go.Figure:
    """One of KINDS by placement, low frequency to high, and t; under each placement what J makes of noise there, mean over t."""
    names = [name for name in PLACEMENTS if any(site.placement == name for site in trade.sites)]
    times = sorted({site.t for site in trade.sites})
    sites = {(site.t, site.placement): site for site in trade.sites}
    matched = level(trade)
    values = np.full((len(times), len(names)), np.nan)
    hover = [["" for _ in names] for _ in times]
    for i, t in enumerate(times):
        for j, name in enumerate(names):
            site = sites.get((t, name))
            if site is None:
                continue
            found = trade.at(t, name, matched)
            values[i, j] = {"detectability": found, "gauge": site.gauge.value, "response": site.response.value}[kind]  # fmt: skip
            at = (
                f"d′ {found:.2f} at {matched:.1f} dB"
                if found == found
                else f"{matched:.1f} dB not among its strengths"
            )
            hover[i][j] = (
                f"{WORDS[name]}, t = {t:g}<br>{at}<br>of the mark, |J Δx| / |Δx| = {_shown(site.gauge)}"
                f"<br>of noise there, |J u| = {_shown(site.response)}"
            )
    figure = base("placement, and |J u| of noise there", "t", margin={"l": 52, "r": 8, "t": 12, "b": 56})  # fmt: skip
    if not names:
        return figure
    figure.add_heatmap(
        z=values, x=[_tick(name, trade) for name in names], y=[f"{t:g}" for t in times], text=hover, texttemplate="%{z:.2f}",
        hovertemplate="%{text}<extra></extra>", showscale=False, xgap=1, ygap=1,
    )  # fmt: skip
    figure.update_xaxes(showgrid=False, type="category", tickangle=0)
    return figure.update_yaxes(showgrid=False, type="category")


def level(trade: Trade) -> float:
    """The PSNR at which placements are compared: that of the tab's default."""
    return trade.of(RECOMMENDED)[0].psnr.value


def _tick(name: str, trade: Trade) -> str:
    short = "Nyquist" if name == "nyquist" else name.replace("-", "–")
    mean = np.mean([site.response.value for site in trade.sites if site.placement == name])
    return f"{short}<br>{mean:.2f}"


def _points(figure: go.Figure, trade: Trade, points: list[Point], name: str, **marker) -> None:
    if points:
        figure.add_scatter(
            x=_x(points), y=_y(points), mode="markers", name=name, marker=marker, text=[_hover(p, trade.chains) for p in points],
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip


def _hover(point: Point, chains: tuple[str, ...]) -> str:
    where = f", {WORDS[point.placement]}, t = {point.t:g}, strength {point.strength:g}" if point.placement else ", at x₁"  # fmt: skip
    lines = [f"<b>{point.method}</b>{where}", f"PSNR {_shown(point.psnr, 1)} dB"]
    for i, chain in enumerate(chains):
        own = f", mean z {_shown(point.score[i], 1)}" if point.placement else ""
        lines.append(
            f"{chain or 'no attack'}: d′ {_shown(point.d_prime[i])}, AUC {_shown(point.auc[i])}{own}"
        )
    return "<br>".join(lines)


def _shown(found: Estimate, digits: int = 2) -> str:
    return f"{found.value:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def _x(points: list[Point]) -> list[float]:
    return [round(point.psnr.value, 3) for point in points]


def _y(points: list[Point]) -> list[float]:
    return [round(point.detectability, 3) for point in points]
