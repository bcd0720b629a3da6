"""The watermark tab's trade: how little a mark shows against how surely it is found, by placement along J's spectrum and by t."""

from typing import Any

import gradio as gr

from backend.experiments.watermark_trade import PLACEMENTS, PSNRS, RECOMMENDED, RIVALS, Trade, WatermarkTrade
from backend.inference.cache import find
from backend.metrics.intervals import Estimate
from backend.watermark.trial import Point
from components import watermark_trade_figures as figures
from components.action import Action, unchanged
from components.chart import Chart
from components.page import Bar

FIRST = WatermarkTrade()  # its result is shipped in assets/runs
TIMES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)
KINDS = [("detectability, d′", "detectability"), ("|J Δx| / |Δx| of the mark", "gauge"), ("|J u| of noise there", "response")]  # fmt: skip
SECONDS = 0.5  # a picture of each kind in a point, on one core
NEAR = 1.0  # dB: the distance up to which a point stands at the knee
NOTE = (
    "Each picture has a key of its own, and unmarked pictures go through the same attacks. d′ is the distance of the two means in standard deviations, after the "
    "attack where it is least; of rivals by their own score, marked by inversion to $x_1$ as well. Strengths are chosen to cost about "
    f"{', '.join(f'{value:g}' for value in PSNRS)} dB; in the second picture d′ is interpolated between them to the PSNR of the tab's default, and a cell "
    "is empty where that lies beyond its strengths. The page stops after 15 minutes; `python -m backend.experiments` does not."
)


def build(bar: Bar) -> Action:
    """The panel; returns its action."""
    shipped: Trade | None = find(FIRST)
    first = _show(shipped, FIRST) if shipped else ["", None, None, FIRST]
    with gr.Column(elem_id="wm-trade"):
        gr.Markdown("### The trade: how little a mark shows against how surely it is found")
        words = gr.HTML(first[0], elem_id="wm-trade-words")
        charts = [
            Chart(first[1], elem_id="wm-frontier", label="PSNR against detectability", render=False, height=440),
            Chart(first[2], elem_id="wm-spectrum", label="Placement along the spectrum of J, and t", render=False, height=380),
        ]  # fmt: skip
        with gr.Row(elem_classes="charts"):
            for chart in charts:
                with gr.Column(min_width=330):
                    gr.Markdown(f"**{chart.props['called']}**", elem_classes="wm-title")
                    if chart is charts[1]:
                        kind = gr.Radio(
                            KINDS, value="detectability", show_label=False, elem_id="wm-trade-kind"
                        )
                    chart.render()
        gr.Markdown(NOTE, latex_delimiters=[{"left": "$", "right": "$", "display": False}])
        with gr.Row():
            times = gr.Dropdown(list(TIMES), value=list(FIRST.times), multiselect=True, label="times t", elem_id="wm-trade-t", min_width=260)  # fmt: skip
            pictures = gr.Slider(4, 64, FIRST.pictures, step=1, label="pictures of each kind", elem_id="wm-trade-count", min_width=180)  # fmt: skip
            button = gr.Button(
                _label(list(FIRST.times), FIRST.pictures), elem_id="wm-trade-run", min_width=180
            )
        request = gr.State(FIRST)
        fields = {"model": bar.model, "times": times, "pictures": pictures}
        trading = Action(WatermarkTrade, fields, _show, [words, *charts, request], name="watermark_trade")
    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    redraw = {"fn": lambda asked, kind: _redrawn(asked, kind, charts[1]), "inputs": [request, kind], "outputs": charts[1]}  # fmt: skip
    trading.on(button.click).success(**redraw, **quiet)
    kind.input(**redraw, **quiet)
    for setting in (times, pictures):
        setting.change(_label, [times, pictures], button, **quiet)
    return trading


def _label(times: list[float], pictures: int) -> str:
    points = len(times) * len(PLACEMENTS) * len(PSNRS) + 8 * len(RIVALS)  # a rival inverts every picture
    minutes = SECONDS * points * pictures / 60
    return f"Measure (about {max(1, round(minutes))} min)"


def _redrawn(request: WatermarkTrade, kind: str, chart: Chart) -> Any:
    result: Trade | None = find(request)
    return figures.spectrum(result, kind) if result else unchanged(chart)


def _show(result: Trade, request: WatermarkTrade) -> list[Any]:
    return [
        _words(result),
        figures.frontier(result),
        figures.spectrum(result, "detectability"),
        request,
    ]


def _words(trade: Trade) -> str:
    """What the pictures show, in numbers."""
    return f"<p>{_best(trade)}</p><p>{_default(trade)}</p><p>{_rivals(trade)}</p>"


def _best(trade: Trade) -> str:
    """What the map shows, in one sentence."""
    level = figures.level(trade)
    found = {site: trade.at(site.t, site.placement, level) for site in trade.sites}
    known = {site: d for site, d in found.items() if d == d}
    if not known:
        return ""
    best, least = (choose(known, key=known.get) for choose in (max, min))
    where = [f"{figures.WORDS[s.placement]} at t = {s.t:g}" for s in (best, least)]
    least_d = f"d′ {known[least]:.1f}".replace("-", "−")
    return (
        f"At {level:.1f} dB a mark is found best in {where[0]}, d′ {known[best]:.1f} after its worst attack, where J shows {best.response.value:.2f} of noise, "
        f"and least in {where[1]}, {least_d} after its worst, where J shows {least.response.value:.2f}."
    )


def _default(trade: Trade) -> str:
    """Where the tab's default stands."""
    edge, knee, (default,) = trade.frontier(), trade.knee(), trade.of(RECOMMENDED)
    first = f"Of {len(trade.points)} marks measured on {trade.pictures} pictures each, {len(edge)} are the frontier."
    itself = f"{RECOMMENDED.capitalize()} ({_where(default)}): {_measured(default, trade)}."
    ours = trade.reached(default.detectability)
    more = (
        f": at the same d′ the frontier has {ours:.1f} dB, {ours - default.psnr.value:.1f} dB more"
        if ours
        else ""
    )
    if knee is None:
        on = "stands on it" if any(default is point for point in edge) else f"does not stand on it{more}"
        none = "It has no knee: away from the weakest marks, where measuring ends, it runs straight or sags, so that every decibel has its price."
        return f"{first} {none} {itself} <b>The default {on}.</b>"
    at = f"Its knee is {_where(knee)}: {_measured(knee, trade)}."
    if stands(default, knee):
        return f"{first} {at} {itself} <b>It stands at the knee, within what was measured.</b>"
    return f"{first} {at} {itself} <b>It does not stand at the knee{more}.</b>"


def stands(point: Point, knee: Point) -> bool:
    """Whether a point is within 1 dB of the knee, and the knee's d' within the point's interval."""
    found: Estimate = point.d_prime[point.worst]
    return abs(point.psnr.value - knee.psnr.value) <= NEAR and found.low <= knee.detectability <= found.high


def _where(point: Point) -> str:
    return f"{figures.WORDS[point.placement]}, t = {point.t:g}, strength {point.strength:g}"


def _measured(point: Point, trade: Trade) -> str:
    found, chain = point.d_prime[point.worst], trade.chains[point.worst].partition(":")[0] or "no attack"
    numbers = f"{point.psnr.value:.1f} dB, d′ {found.value:.1f} [{found.low:.1f}, {found.high:.1f}]"
    return f"{numbers.replace('-', '−')} after {chain}"


def _rivals(trade: Trade) -> str:
    """The frontier's PSNR where it is found as surely as each rival."""
    said = []
    for rival in trade.of(*RIVALS):
        ours, last = trade.reached(rival.detectability), trade.frontier()[-1].psnr.value
        here = f"{rival.method}: {_measured(rival, trade)}"
        if ours is None:
            said.append(f"{here}, which no mark here reaches")
        else:
            said.append(f"{here}, the frontier {'at least ' if ours >= last else ''}{ours:.1f} dB")
    return f"Rivals, and the PSNR of the frontier at the same d′: {'; '.join(said)}." if said else ""
