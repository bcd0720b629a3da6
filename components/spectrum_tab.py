"""The spectrum tab: how low-rank and how linear the Jacobian of the posterior mean is, and what its vectors mean.

Layout and wiring of the part that looks at one picture; the others are panels of their own.
"""

import time
from collections.abc import Sequence
from typing import Any

import gradio as gr
import plotly.graph_objects as go
from torch import Tensor

from backend.editing import direction_file
from backend.editing.results import Strip
from backend.experiments.spectrum import MeasureSpectrum, Sweep, SweepSpectrum, largest_k
from backend.experiments.spectrum_slide import SlideAlong, saved_of
from backend.experiments.spectrum_survey import SurveySpectra, suited
from backend.inference import intake
from backend.inference.cache import find
from backend.request import BadInput, Failed
from components import bias_panel, dimension_panel, mixture_panel, process_panel
from components import spectrum_figures as figures
from components.action import Action, ask, endpoint, plain
from components.chart import Chart, Point
from components.figures import base
from components.filmstrip import Filmstrip, Slides
from components.filmstrip import Strip as Film
from components.page import Bar
from components.pictures import data_uri
from components.scrubber import Picture, Place, Scene, Scenes, Scrubber

FIRST = SweepSpectrum()  # what the tab opens with; its result is shipped in assets/runs
VECTOR = SlideAlong()  # and this strip
GROUP = "spectrum"  # of the charts that follow the slider
SECONDS = {
    "avatars": (70, 280),
    "patches": (60, 60),
    "small_faces": (240, 240),
}  # of a sweep and a survey, 2 cores
AGAIN = "Measure this picture first: what is shown is no longer at hand."
CHARTS = {  # name on the page -> what it is called
    "singular-values": "Singular values of the Jacobian",
    "ranks": "Ranks of the Jacobian against noise",
    "truth": "Share of the true tangent space found",
    "angles": "Principal angles between subspaces",
    "linear-chart": "Linearity along three directions",
    "asymmetry": "Asymmetry of the Jacobian against noise",
    "over-noise": "Singular values against noise",
}
LINEARITY = [("strict residual", "residual"), ("norm ratio", "norm_ratio"), ("cosine", "cosine")]


def build(bar: Bar) -> Sequence[Action]:
    """The tab's content; returns the actions that a link may open."""
    watching = process_panel.build(bar)
    looking = _build(bar)
    others = [panel.build() for panel in (bias_panel, mixture_panel, dimension_panel)]
    return [*looking, watching, *others]


def _build(bar: Bar) -> Sequence[Action]:
    """The part that looks at one picture; returns its actions."""
    sweep, strip = find(FIRST), find(VECTOR)
    drawn = _figures(sweep, FIRST) if sweep else [None] * len(CHARTS)
    shown, vector, t, asked = gr.State(FIRST), gr.State(VECTOR.index), gr.State(VECTOR.t), gr.State(0)
    gr.Markdown("### Spectrum: the Jacobian of the posterior mean, noise level by noise level")
    scrubber = Scrubber(_scenes(sweep, FIRST) if sweep else None, group=GROUP, elem_id="spectrum-t")
    charts = [
        Chart(figure, group=GROUP, elem_id=name, label=words, render=False)
        for figure, (name, words) in zip(drawn, CHARTS.items(), strict=True)
    ]
    values, ranks, truth, angles, linear, skew, over_noise = charts
    outputs = [scrubber, *charts]
    with gr.Row(elem_classes="charts"):
        for chart in (values, ranks, truth):
            chart.render()
    with gr.Row(equal_height=True, elem_id="measuring"):
        times = gr.Slider(3, 19, FIRST.times, step=1, label="noise levels", elem_id="times", min_width=140)
        k = gr.Slider(5, 100, FIRST.k, step=1, label="singular values k", elem_id="spectrum-k", min_width=140)
        button = gr.Button(
            _words("Measure this picture", FIRST.model, 0), variant="primary", elem_id="measure"
        )
        many = gr.Button(_words("Measure many", FIRST.model, 1), elem_id="measure-many")
    common = {"model": bar.model, "times": times, "k": k}
    with gr.Column(elem_id="measured"):
        sweeping = Action(
            SweepSpectrum,
            {**common, "image": bar.image},
            _sweep,
            [*outputs, shown],
            read=_possible,
            answer=False,
        )
        surveying = Action(
            SurveySpectra, common, lambda r, q: [gr.skip()], [shown], read=_many, answer=False, linked=False
        )
    with gr.Row(elem_id="meaning"):
        with gr.Column(scale=6, min_width=330):
            film = Filmstrip(_slides(strip, VECTOR)[0] if strip else None, elem_id="singular-film")
        with gr.Column(scale=4, min_width=330):
            gr.Markdown(
                "**What does a singular vector mean?** Click a point of the spectrum, or the picture of a vector: "
                "the drawn picture slides along it."
            )
            fields = {"model": bar.model, "image": bar.image, "t": t, "index": vector}
            sliding = Action(SlideAlong, fields, _slides, [film], name="slide_along")
            send = gr.Button("Send this vector to the edit tab", size="sm", elem_id="send")
            over_noise.render()
    with gr.Row(elem_classes="charts"):
        angles.render()
        with gr.Column(min_width=280):
            linear.render()
            measure = gr.Radio(
                LINEARITY, value="residual", show_label=False, container=False, elem_id="linear-measure"
            )
        skew.render()

    quiet = {"show_progress": "hidden", "api_visibility": "private"}
    redraw = {"fn": _redrawn, "inputs": [shown, measure], "outputs": charts} | quiet

    def known(http: gr.Request, model: str, image: str, shown: SweepSpectrum) -> list[Any]:
        """What already runs or shows this picture, as after a link, goes on."""
        as_it_is = [None] * (1 + len(CHARTS)) + [gr.skip()]
        if (model, image) == (shown.model, shown.image) or sweeping.is_running(
            http, model=model, image=image
        ):
            return as_it_is
        drawn = _known(model, image)
        return as_it_is if sweeping.is_running(http, model=model, image=image) else drawn

    sweeping.on(button.click).success(**redraw)
    surveying.on(many.click).success(**redraw)
    sliding.on(asked.change)
    bar.model.change(_other_model, bar.model, [button, many], **quiet)
    gr.on(
        [bar.image.change, bar.model.change],
        known,
        [bar.model, bar.image, shown],
        [*outputs, shown],
        trigger_mode="always_last",
        **quiet,
    )
    measure.input(**redraw)
    values.select(_touched, [values, shown], [vector, t, asked], **quiet)
    scrubber.select(_pictured, [scrubber, shown], [vector, t, asked], **quiet)
    send.click(_sent, [bar.model, bar.image, t, vector], bar.sent, **quiet).success(
        None, None, None, js="() => document.querySelector('#tabs button[role=tab]').click()"
    )
    measuring = endpoint(MeasureSpectrum, plain, ask, "spectrum")
    gr.api(measuring, api_name=measuring.__name__)
    return [sweeping, surveying, sliding]


# What the actions show


def _sweep(result: Sweep, request: SweepSpectrum) -> list[Any]:
    return [_scenes(result, request), *_figures(result, request), request]


def _figures(sweep: Sweep, request: SweepSpectrum, measure: str = "residual") -> list[go.Figure]:
    survey = figures.fitting(sweep, find(suited(request.model, request.times, request.k)))
    return [
        figures.singular_values(sweep, survey),
        figures.ranks(sweep, survey),
        figures.truth(sweep, survey),
        figures.angles(sweep),
        figures.linearity(sweep, measure),
        figures.asymmetry(sweep, survey),
        figures.over_noise(sweep),
    ]


def _scenes(sweep: Sweep, request: SweepSpectrum) -> Scenes:
    scenes = []
    for one in sweep.spectra:
        pictures = [("x_t", one.x_t.float()), ("x̂₀ = D(x_t, t)", one.x_0_hat.float())]
        for i, (u, v) in enumerate(zip(one.u.float(), one.v.float(), strict=True), 1):
            pictures += [(f"v{i}", _shown(v)), (f"u{i}", _shown(u))]
        scenes.append(Scene(figures.caption(one), [Picture(name, data_uri(p)) for name, p in pictures]))
    return Scenes(request.key(), scenes)


def _slides(result: Strip, request: SlideAlong) -> list[Slides]:
    key = request.key()
    middle = result.pictures[len(result.pictures) // 2]
    title = f"v{request.index + 1} at t = {request.t:.2f}"
    film = Film(key, title, result.strengths, [data_uri(p) for p in result.pictures], result.predicted)
    return [Slides(key, data_uri(middle), [film])]


def _shown(vector: Tensor) -> Tensor:
    """A unit vector as a picture: grey where it is 0."""
    return vector / vector.abs().max().clamp_min(1e-12)


# What the controls mean


def _possible(values: dict[str, Any]) -> dict[str, Any]:
    """As many singular values as the model has."""
    return values | {"k": min(values["k"], largest_k(values["model"]))}


def _many(values: dict[str, Any]) -> dict[str, Any]:
    """A survey of the number of pictures that suits the model."""
    return suited(values["model"], values["times"], values["k"]).values()


def _redrawn(request: SweepSpectrum, measure: str) -> list[Any]:
    sweep = find(request)
    return _figures(sweep, request, measure) if sweep else [None] * len(CHARTS)


def _known(model: str, image: str) -> list[Any]:
    """What is at hand of a picture; else nothing, until it is measured."""
    try:
        request = SweepSpectrum.parse(_possible({"model": model, "image": image, "k": FIRST.k}))
    except BadInput:
        return [None] * (1 + len(CHARTS)) + [gr.skip()]
    sweep: Sweep | None = find(request)
    if sweep is None:
        return [Scenes(), *[base("", "")] * len(CHARTS), request]
    return _sweep(sweep, request)


def _other_model(name: str) -> tuple[gr.Button, gr.Button]:
    return gr.Button(_words("Measure this picture", name, 0)), gr.Button(_words("Measure many", name, 1))


def _words(what: str, model: str, which: int) -> str:
    seconds = SECONDS.get(model, (10, 20))[which]
    pictures = f"{suited(model).pictures} pictures, " if which else ""
    return f"{what} ({pictures}about {seconds} s)"


def _touched(point: Point, request: SweepSpectrum) -> tuple:
    """A point of the spectrum: the singular vector of its index at the noise level of the frame."""
    return _vector(request, point.index, point.frame)


def _pictured(place: Place, request: SweepSpectrum) -> tuple:
    """A picture of a singular vector; x_t and its mean are no vectors."""
    if place.picture < 2:
        return gr.skip(), gr.skip(), gr.skip()
    return _vector(request, (place.picture - 2) // 2, place.index)


def _vector(request: SweepSpectrum, index: int, frame: int) -> tuple:
    sweep = find(request)
    if sweep is None or not 0 <= frame < len(sweep.spectra):
        raise gr.Error(AGAIN)
    return index, sweep.spectra[frame].t, time.time_ns()


def _sent(model: str, image: str, t: float, index: int) -> str:
    """The reference of a direction file that holds the vector."""
    try:
        request = SlideAlong.parse({"model": model, "image": image, "t": t, "index": index})
        j = find(request.decomposition())
        if j is None:
            *_, j = ask(request.decomposition())
        if isinstance(j, Failed):
            raise BadInput(j.sentence)
        return intake.keep(direction_file.dump(saved_of(request, j)))
    except BadInput as error:
        raise gr.Error(str(error)) from None
