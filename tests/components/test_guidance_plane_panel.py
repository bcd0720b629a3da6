"""The view of a mixture in the plane without a browser: its charts show the very numbers of the results."""

import gradio as gr
import numpy as np
import pytest
import torch

from backend.experiments.guidance_mixture import GuideMixture
from backend.experiments.guidance_weight import of_mixture
from backend.guidance.stages import Stages
from backend.inference.cache import find
from backend.inference.run import run
from backend.request import BadInput, Progress, Request
from components import guidance_plane_figures as figures
from components import guidance_plane_panel as panel


def guided(**fields):
    request = GuideMixture.parse({"samples": 60, "steps": 24} | fields)
    *_, result = run(request)
    return request, result


@pytest.fixture(scope="module")
def mixture():
    return guided()


@pytest.fixture(scope="module")
def broad():
    return guided(unconditional="broad")


def named(figure):
    return {trace.name: trace for trace in figure.data}


def test_the_tab_opens_with_a_shipped_run_that_can_be_made_again():
    shipped = find(panel.FIRST)
    *_, again = (event for event in panel.FIRST.run(None) if not isinstance(event, Progress))
    assert torch.allclose(shipped.guided.x[:, -1], again.guided.x[:, -1], atol=1e-4)
    assert torch.allclose(shipped.portrait.divergence, again.portrait.divergence, atol=1e-4)
    assert shipped.guided.weak == again.guided.weak


def test_frames_are_the_noise_levels_of_the_slider_rising(mixture):
    request, result = mixture
    scenes = panel._scenes(result, request)
    levels = figures.levels(result)
    assert levels == sorted(levels) and len(levels) == len(result.portrait.levels)
    assert scenes.key == request.key()
    assert [float(s.caption.split()[2].rstrip(",")) for s in scenes.scenes] == pytest.approx(levels, rel=5e-3)
    assert {s.caption.split()[-1] for s in scenes.scenes} <= {"I", "II", "III"}
    assert scenes.scenes[-1].caption.endswith("stage I") and scenes.scenes[0].caption.endswith("stage III")
    for figure in (
        *panel._portraits(request, "difference"),
        figures.responsibilities(result), figures.growth(result, request), figures.bias(result, request),
    ):  # fmt: skip
        assert len(figure.frames) == len(levels)


FIELDS = {
    "difference": lambda p, i, gamma: p.conditional[i] - p.unconditional[i],
    "conditional": lambda p, i, gamma: p.conditional[i] - p.points,
    "unconditional": lambda p, i, gamma: p.unconditional[i] - p.points,
    "guided": lambda p, i, gamma: p.conditional[i] + gamma * (p.conditional[i] - p.unconditional[i]) - p.points,
    "mean_shift": lambda p, i, gamma: p.mean_shift[i],
    "positive": lambda p, i, gamma: p.positive[i],
    "negative": lambda p, i, gamma: p.negative[i],
}  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
def test_arrows_are_the_chosen_field_scaled_to_its_longest(broad, field):
    request, result = broad
    assert set(FIELDS) == set(figures.FIELDS)
    figure = figures.portrait(result, request, field, "guided")
    shown, n = result.portrait, len(result.portrait.levels)
    some = torch.arange(441).reshape(21, 21)[::2, ::2].flatten()
    for frame, i in zip(figure.frames, reversed(range(n)), strict=True):
        vectors = FIELDS[field](shown, i, request.gamma).double()
        longest = float(vectors.norm(dim=1).max())
        way = np.stack([frame.data[1].x, frame.data[1].y], 1).reshape(-1, 6, 2)
        length = np.linalg.norm(way[:, 1] - way[:, 0], axis=1)
        if longest < 1e-9:
            assert np.isnan(length).all() and frame.layout.annotations[0].text == "0 everywhere"
            continue
        drawn = ~np.isnan(length)
        share = (vectors.norm(dim=1) / longest)[some].numpy()
        assert (drawn == (share > figures.FAINT)).all()
        step = 2 * float(shown.points.max()) / 10
        assert np.allclose(length[drawn], share[drawn] * figures.LONGEST * step, rtol=1e-4)
        assert np.allclose(way[drawn, 0], shown.points[some][drawn], atol=1e-5)
        aim = (way[:, 1] - way[:, 0])[drawn] / length[drawn, None]
        true = (vectors / vectors.norm(dim=1, keepdim=True))[some][drawn]
        assert np.allclose(aim, true, atol=1e-4)
        assert frame.layout.annotations[0].text == f"longest arrow {longest:.2g}"


def test_an_arrow_has_its_head_at_its_end():
    drawn = figures.arrows(np.array([[1.0, 2.0]]), np.array([[2.0, 0.0]]))
    assert drawn["x"][:5].tolist() == pytest.approx([1, 3, 2.4, 3, 2.4]) and np.isnan(drawn["x"][5])
    assert drawn["y"][:5].tolist() == pytest.approx([2, 2, 2.34, 2, 1.66])


def test_where_every_mode_has_one_variance_there_is_no_cpc(mixture):
    request, result = mixture
    figure = figures.portrait(result, request, "positive", "plain")
    assert {frame.layout.annotations[0].text for frame in figure.frames} == {"0 everywhere"}


def test_shading_is_the_divergence_of_what_guidance_adds(broad):
    request, result = broad
    figure = figures.portrait(result, request, "difference", "plain")
    heat, points = figure.data[0], result.portrait.points
    assert (heat.zmin, heat.zmid) == (-heat.zmax, None)
    at = {(x, y): z for y, row in zip(heat.y, figure.frames[0].data[0].z, strict=True) for x, z in zip(heat.x, row, strict=True)}  # fmt: skip
    for k in (0, 20, 220, 440, 137):
        x, y = (float(v) for v in points[k].numpy())
        assert at[np.float32(x), np.float32(y)] == pytest.approx(float(result.portrait.divergence[-1, k]))


@pytest.mark.parametrize("name", ["plain", "guided"])
def test_points_are_samples_by_the_mode_that_they_end_in(mixture, name):
    request, result = mixture
    paths = getattr(result, name)
    ends = figures.ends_of(result, request, paths)
    own = np.isin(ends, ["strong mode", "weak mode"])
    assert own.mean() == pytest.approx(paths.own.value)
    nearest = torch.cdist(paths.x[:, -1].double(), result.means[:2]).argmin(1).numpy()
    assert (ends[own] == np.array(["strong mode", "weak mode"])[nearest[own]]).mean() > 0.9
    figure = figures.portrait(result, request, "difference", name)
    dots = figure.data[-3:]
    assert [trace.name for trace in dots] == [
        f"{end}, {100 * (ends == end).mean():.1f} %" for end in figures.ENDS
    ]
    assert figure.layout.legend.title.text == figures.RUNS[name]
    for frame, level in zip(figure.frames, figures.levels(result), strict=True):
        assert frame.traces == (0, 1, 5, 6, 7)
        step = int((result.levels[:-1].log() - np.log(level)).abs().argmin())
        for end, drawn in zip(figures.ENDS, frame.data[2:], strict=True):
            assert np.allclose(np.stack([drawn.x, drawn.y], 1), paths.x[ends == end, step])
    ways = figure.data[2:5]
    count = sum(int(np.isnan(way.x).sum()) for way in ways)
    assert count == figures.WAYS and np.isnan(ways[0].x).sum() == (ends[:40] == "strong mode").sum()


def test_responsibilities_and_norms_are_the_results_own(mixture):
    request, result = mixture
    lines = named(figures.responsibilities(result))
    for paths, name in ((result.guided, "guided"), (result.plain, "γ = 0")):
        r = paths.responsibilities[:, :-1]
        assert np.allclose(lines[f"weak mode, {name}"].y, r[..., 1].mean(0))
        assert np.allclose(lines[f"settled, {name}"].y, (r.amax(-1) > 0.99).float().mean(0))
    assert np.allclose(lines["settled, guided"].x, result.levels[:-1])
    lines = named(figures.growth(result, request))
    assert np.allclose(lines["mean norm |x|"].y, (result.guided.norm / result.plain.norm)[:-1])
    centre = 5 * torch.tensor([0.75 * 1.5 - 0.25 * 1.5, 0.0])
    apart = [(run.x - centre).square().sum(-1).mean(0).sqrt() for run in (result.guided, result.plain)]
    bias = lines["distance to (1 + γ) μ_c"].y
    assert np.allclose(bias, (apart[0] / apart[1])[:-1], rtol=1e-5)
    assert bias.max() < 1.01 and bias.min() < 0.6, "guided samples are drawn to (1 + gamma) times the mean"


def test_the_shift_of_the_mean_is_that_of_the_results(mixture):
    request, result = mixture
    low, high, middle = figures.bias(result, request).data
    assert np.allclose(middle.y, ((result.guided.mean - result.plain.mean)[:-1, 0] / 0.75), atol=1e-4)
    assert (low.y <= middle.y).all() and (middle.y <= high.y).all() and (high.y - low.y)[-1] > 0
    figure = figures.bias(result, request)
    assert [s.y0 for s in figure.layout.shapes if s.type == "line" and s.y0 == s.y1] == [4.0]


def test_equal_modes_have_a_mean_without_direction():
    request, result = guided(weak=0.5)
    middle = figures.bias(result, request).data[-1]
    assert np.allclose(middle.y, (result.guided.mean - result.plain.mean)[:-1, 0], atol=1e-4)


@pytest.mark.parametrize(
    ("separation", "resolved", "expected"),
    [
        (2.0, 0.5, [(0.01, 0.5, "III"), (0.5, 2, "II"), (2, 80, "I")]),
        (0.5, 2.0, [(0.01, 0.5, "III"), (0.5, 2, "III"), (2, 80, "I")]),
        (2.0, None, [(0.01, 2, "II"), (2, 80, "I")]),
        (None, 80.0, [(0.01, 80, "III")]),
    ],
)
def test_bands_are_the_stages(separation, resolved, expected):
    bands = figures._bands(Stages(separation, resolved, ""), 0.01, 80.0)
    assert [(b["x0"], b["x1"], b["label"]["text"]) for b in bands] == expected


def test_a_frame_keeps_the_bands_and_moves_the_marker(mixture):
    _, result = mixture
    figure = figures.responsibilities(result)
    for frame, level in zip(figure.frames, figures.levels(result), strict=True):
        *bands, mark = frame.layout.shapes
        assert len(bands) == 3 and mark.x0 == mark.x1 == level


def test_words_and_numbers(mixture):
    request, result = mixture
    table, words = panel._show(result, request)[1:3]
    for paths in (result.plain, result.guided):
        for one in (paths.weak, paths.own, paths.within):
            assert f"<b>{one.value:.3f}</b> [{one.low:.3f}, {one.high:.3f}]" in table
    assert "60 samples, 8 classes" in words and f"{result.area:.3g}" in words and "Our definition" in words
    assert "gamma is 0" in panel._words(guided(gamma=0.0)[1])
    one = guided(weak=0.0)[1]
    assert "<td>–</td><td>–</td>" in panel._table(one) and "part at σ/α = –" in panel._words(one)


@pytest.fixture(scope="module")
def action():
    with gr.Blocks():
        return panel.build()


def test_a_link_of_any_weight_comes_back_from_what_the_controls_show(action):
    assert action.request.parse(action.read({n: c.value for n, c in action.inputs.items()})) == panel.FIRST
    assert set(action.inputs) == set(panel.FIRST.values())
    curve = {"weight": "curve", "curve": (0.2, 1.0, 5.0, 3.0)}
    for fields in (
        {"weight": "late", "equal_area": True, "low": 0.5},
        curve,
        curve | {"equal_area": True, "gamma": 2.0},
    ):
        request = Request.from_query(GuideMixture.parse(fields).to_query())
        shown = action.restore(request)
        values = {name: shown[component] for name, component in action.inputs.items()}
        assert action.request.parse(action.read(values)) == request


def test_fields_that_a_kind_does_not_look_at_are_left_out(action):
    values = panel.FIRST.values() | {
        "low": 0.5,
        "high": 2.0,
        "end": 1.0,
        "curve": (1.0, 1.0),
        "equal_area": True,
    }
    assert action.request.parse(action.read(values)) == panel.FIRST


def test_what_is_foreseen_is_the_linear_models(mixture):
    fields = {"weight": "late", "low": 0.5, "equal_area": True, "steps": 24}
    found = panel._foreseen(panel.FIRST.values() | fields)
    same = of_mixture(GuideMixture(**fields))
    assert (found.area, found.shift, found.variance) == (same.area, same.shift, same.variance)
    assert panel._foreseen(mixture[0].values()).area == pytest.approx(mixture[1].area)
    with pytest.raises(BadInput, match="at least one point"):
        panel._foreseen(panel.FIRST.values() | {"weight": "curve"})


def test_what_is_no_longer_at_hand_leaves_the_portraits(monkeypatch, mixture):
    monkeypatch.setattr(panel, "find", lambda request: None)
    assert panel._portraits(mixture[0], "difference") == [None, None]


def test_the_point_of_a_constant_weight_is_drawn_for_none_other():
    def names(**fields):
        request = GuideMixture.parse({"samples": 40, "steps": 12} | fields)
        *_, result = request.run(None)
        growth, bias = figures.growth(result, request), figures.bias(result, request)
        return {trace.name for trace in growth.data}, len(bias.layout.annotations)

    constant, curve = names(), names(weight="curve", curve=(1.0, 2.0))
    assert constant[0] - curve[0] == {"distance to (1 + γ) μ_c"}
    assert constant[1] == curve[1] + 1
