"""The plots of the spectrum tab, from spectra made by hand."""

import math

import numpy as np
import pytest
import torch

from backend.experiments.spectrum import ALONG, LENGTHS, Spectrum, Sweep
from backend.experiments.spectrum_survey import Survey
from components import spectrum_figures as figures
from components.pictures import MINUS

T = (0.1, 0.5, 0.9)
KNOWN = torch.tensor([98.5, 1.5, 0, 0, 0, 0, 0, 0]).sqrt()  # rank 1 by 98.01 %, rank 2 by 99 %


def spectrum(t: float, s: torch.Tensor, d: int, energy: float | None = None, **fields) -> Spectrum:
    """One whose whole energy is that of s unless told otherwise."""
    ones = torch.ones(len(ALONG), len(LENGTHS))
    values = {
        "log_snr": 2 - 4 * t,
        "alpha": 1 - t,
        "energy_error": 0.0,
        "asymmetry": 0.2 * t,
        "asymmetry_error": 0.01,
        "x_t": torch.zeros(1, 4, 4),
        "x_0_hat": torch.zeros(1, 4, 4),
        "u": torch.zeros(4, 1, 4, 4),
        "v": torch.zeros(4, 1, 4, 4),
        "lengths": LENGTHS,
        "residual": t * ones * torch.tensor(LENGTHS),
        "norm_ratio": ones + t,
        "cosine": ones * (1 - t),
        "k": len(s),
        "found": {},
        "angles": {},
        "products": 1,
    } | fields
    whole = float(s.double().square().sum()) if energy is None else energy
    return Spectrum(t=t, d=d, s=s, energy=whole, **values)


def sweep(d: int = 8, s: torch.Tensor = KNOWN, times: tuple[float, ...] = T, **fields) -> Sweep:
    """The same spectrum at every noise level, but n + 1 times as large at level n."""
    return Sweep(
        torch.zeros(1, 4, 4), tuple(spectrum(t, (n + 1) * s, d, **fields) for n, t in enumerate(times))
    )


def survey(n: int = 5, k: int = 8, d: int = 8, times: tuple[float, ...] = T) -> Survey:
    """Picture p has p + 1 times the values 1, 1/2, 1/3, ... at every noise level."""
    size = torch.arange(1.0, n + 1)
    s = (size[:, None] / torch.arange(1, k + 1)).expand(len(times), n, k)
    energy = s.double().square().sum(-1)
    flat = torch.ones(len(times), 1, dtype=torch.float64)
    return Survey(
        t=torch.tensor(times, dtype=torch.float64),
        log_snr=torch.zeros(len(times), dtype=torch.float64),
        d=d,
        s=s,
        energy=energy,
        energy_error=torch.zeros_like(energy),
        asymmetry=flat * size.double() / 10,
        found={"u": flat * size / 10, "v": flat * size / 20, "PCA": flat * size / 30},
    )


def places(figure) -> list[float]:
    """Where the vertical line stands in each frame."""
    return [frame.layout.shapes[0].x0 for frame in figure.frames]


def named(figure, name: str):
    return next(trace for trace in figure.data if trace.name == name)


# ---- singular values


def test_singular_values_move_with_the_noise_level_and_every_point_is_a_vector():
    figure = figures.singular_values(sweep(), None)
    (trace,) = figure.data
    assert trace.x.tolist() == list(range(1, 9)) and trace.mode == "lines+markers"
    assert np.allclose(trace.y, KNOWN)
    assert len(figure.frames) == len(T)
    for n, frame in enumerate(figure.frames):
        assert frame.traces == (0,) and np.allclose(frame.data[0].y, (n + 1) * KNOWN.numpy())
    low, high = figure.layout.yaxis.range
    assert low < high and math.isfinite(low), "values of zero have no place on a logarithmic axis"


def test_the_band_of_other_pictures_moves_too():
    others = survey()
    figure = figures.singular_values(sweep(), others)
    assert [trace.name for trace in figure.data[2:]] == ["5 pictures, median and 10 to 90 %", "this picture"]
    low, high, middle, this = (trace.y for trace in figure.data)
    one = 1 / np.arange(1, 9)
    assert np.allclose(middle, 3 * one) and np.allclose(low, 1.4 * one) and np.allclose(high, 4.6 * one)
    assert np.allclose(this, KNOWN)
    for n, frame in enumerate(figure.frames):
        assert frame.traces == (0, 1, 2, 3) and len(frame.data) == 4
        expected = [1.4 * one, 4.6 * one, 3 * one, (n + 1) * KNOWN.numpy()]
        assert all(np.allclose(data.y, y) for data, y in zip(frame.data, expected, strict=True))


def test_the_median_of_an_even_number_of_pictures_is_between_the_two_in_the_middle():
    figure = figures.singular_values(sweep(), survey(n=4))
    assert np.allclose(figure.data[2].y, 2.5 / np.arange(1, 9))


# ---- ranks


def test_ranks_of_a_known_spectrum():
    figure = figures.ranks(sweep(), None)
    by_loco, by_rank = (named(figure, name) for name in figures.CUT_NAMES.values())
    assert list(by_loco.y) == [1 / 8] * 3 and list(by_rank.y) == [2 / 8] * 3
    assert list(by_loco.text) == ["1 of 8"] * 3 and list(by_rank.text) == ["2 of 8"] * 3
    assert set(by_loco.marker.symbol) == {"circle"}
    p = (KNOWN / KNOWN.sum()).tolist()[:2]
    effective = math.exp(-sum(share * math.log(share) for share in p))
    assert named(figure, "effective rank (Roy, Vetterli)").y == pytest.approx([effective / 8] * 3)
    assert named(figure, "stable rank (Rudelson, Vershynin)").y == pytest.approx([100 / 98.5 / 8] * 3)
    assert places(figure) == list(T) and figure.layout.shapes[0].x0 == T[0]


def test_what_is_not_reached_is_a_triangle_above_the_values_that_are_known():
    known = KNOWN[:3]
    spectra = (spectrum(0.1, known, 1000, energy=200.0), spectrum(0.5, known, 1000, energy=100.0))
    figure = figures.ranks(Sweep(torch.zeros(1, 4, 4), spectra), None)
    for trace, r in zip((named(figure, name) for name in figures.CUT_NAMES.values()), (1, 2), strict=True):
        assert list(trace.marker.symbol) == ["triangle-up-open", "circle"]
        assert list(trace.text) == ["above 3 of 1,000", f"{r} of 1,000"]
        assert trace.y == pytest.approx([3 / 1000, r / 1000])
    assert len(figure.data) == 3, "the effective rank needs all singular values"


def test_ranks_have_a_band_only_where_all_singular_values_are_known():
    assert len(figures.ranks(sweep(), survey()).data) == 2 * 3 + 2
    partly = sweep(d=1000, s=KNOWN[:3], energy=1e6)
    assert len(figures.ranks(partly, survey(k=3, d=1000)).data) == 3


# ---- asymmetry, truth


def test_asymmetry_has_two_standard_errors_and_a_band():
    figure = figures.asymmetry(sweep(), survey())
    this = named(figure, "this picture")
    assert this.y == pytest.approx([0.02, 0.1, 0.18]) and this.error_y.array == pytest.approx([0.02] * 3)
    low, high, middle, _ = figure.data
    assert middle.y == pytest.approx([0.3] * 3)
    assert low.y == pytest.approx([0.14] * 3) and high.y == pytest.approx([0.46] * 3)
    assert places(figure) == list(T)
    assert [trace.name for trace in figures.asymmetry(sweep(), None).data] == ["this picture"]


def test_the_truth_is_a_line_for_each_subspace_with_bands_of_the_vectors_alone():
    shares = {"u": 0.7, "v": 0.6, "PCA": 0.4, "random": 0.01}
    alone = figures.truth(sweep(found=shares), None)
    names = ["left vectors u", "right vectors v", "PCA of the data", "random subspace"]
    assert [trace.name for trace in alone.data] == names
    assert [trace.y[0] for trace in alone.data] == list(shares.values()) and places(alone) == list(T)
    beside = figures.truth(sweep(found=shares), survey())
    assert [trace.name for trace in beside.data if trace.showlegend is not False] == names
    assert len(beside.data) == 2 * 3 + 2


def test_where_nothing_is_known_there_is_no_plot():
    figure = figures.truth(sweep(), survey())
    assert not figure.data and not figure.frames


# ---- angles, linearity


def test_angles_are_degrees_from_little_noise_to_much():
    def angles(t: float) -> dict[str, torch.Tensor]:
        return {
            pair: torch.tensor([t, math.pi / 2]) for pair in ("u and PCA", "v and PCA", "u and truth", "v and truth", "PCA and truth")
        }  # fmt: skip

    spectra = tuple(spectrum(t, KNOWN, 8, angles=angles(t)) for t in T)
    figure = figures.angles(Sweep(torch.zeros(1, 4, 4), spectra))
    assert [trace.name for trace in figure.data] == ["u and the truth", "PCA and the truth", "u and PCA"]
    assert len(figure.frames) == len(T)
    for t, frame in zip(T, figure.frames, strict=True):
        assert all(data.y == pytest.approx([math.degrees(t), 90]) for data in frame.data)
        assert frame.traces == (0, 1, 2)


@pytest.mark.parametrize("measure", figures.MEASURES)
def test_linearity_is_one_measure_along_three_directions(measure):
    result = sweep()
    figure = figures.linearity(result, measure)
    assert [trace.name for trace in figure.data] == list(ALONG)
    assert figure.layout.yaxis.title.text == figures.MEASURES[measure]
    assert [trace.x for trace in figure.data] == [pytest.approx(LENGTHS)] * 3
    assert len(figure.frames) == len(T)
    low, high = figure.layout.yaxis.range
    for one, frame in zip(result.spectra, figure.frames, strict=True):
        drawn = np.stack([data.y for data in frame.data])
        assert np.allclose(drawn, getattr(one, measure)) and frame.traces == (0, 1, 2)
        assert low <= drawn.min() and drawn.max() <= high, "nothing leaves the plot"


def test_a_residual_without_bound_does_not_flatten_the_others():
    wild = spectrum(0.1, KNOWN, 8, residual=torch.full((len(ALONG), len(LENGTHS)), 1e9))
    figure = figures.linearity(Sweep(torch.zeros(1, 4, 4), (wild,)), "residual")
    assert figure.layout.yaxis.range[1] == pytest.approx(4.2)


def test_singular_values_are_drawn_against_noise_raw_and_free_of_the_schedule():
    known = torch.tensor([4.0, 2.0, 1.0, 1.0, 0.5])
    spectra = [spectrum(0.2, known, 8, alpha=0.9), spectrum(0.7, known / 2, 8, alpha=0.5)]
    figure = figures.over_noise(Sweep(torch.zeros(1, 4, 4), tuple(spectra)))
    traces = {trace.name: trace for trace in figure.data if trace.name != "α_t s"}
    assert {name: list(trace.y) for name, trace in traces.items()} == {
        "s1": [4, 2],
        "s2": [2, 1],
        "s5": [0.5, 0.25],
    }
    free = [trace for trace in figure.data if trace.name == "α_t s"]
    assert [list(trace.y) for trace in free] == [[3.6, 1.0], [1.8, 0.5], [0.45, 0.125]]
    assert [trace.showlegend for trace in free] == [True, False, False]
    assert len(figure.frames) == 2


# ---- words


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (spectrum(0.5, KNOWN, 8, log_snr=1.26), "t = 0.50, log-SNR 1.3, rank 1 to 2 of 8"),
        (spectrum(0.9, KNOWN, 8, log_snr=-3.0), f"t = 0.90, log-SNR {MINUS}3.0, rank 1 to 2 of 8"),
        (spectrum(0.5, torch.eye(8)[0], 8, log_snr=-0.01), "t = 0.50, log-SNR 0.0, rank 1 of 8"),
        (
            spectrum(0.1, KNOWN[:2], 12_288, energy=1e3, log_snr=2.0),
            "t = 0.10, log-SNR 2.0, rank above 2 of 12,288 (2 hold 10 %)",
        ),
        (
            spectrum(0.1, KNOWN[:1], 12_288, energy=100.2, log_snr=2.0),
            "t = 0.10, log-SNR 2.0, rank 1 to above 1 of 12,288 (1 hold 98 %)",
        ),
    ],
)
def test_the_caption_says_noise_and_rank(one, words):
    assert figures.caption(one) == words


# ---- which survey belongs to a sweep


def test_a_survey_is_cut_to_the_noise_levels_that_a_sweep_has_so_far():
    found = figures.fitting(sweep(times=T[:2]), survey())
    assert found.t.tolist() == list(T[:2])
    assert found.s.shape == (2, 5, 8) and found.asymmetry.shape == found.energy.shape == (2, 5)
    assert {share.shape for share in found.found.values()} == {(2, 5)}


@pytest.mark.parametrize(
    "other",
    [None, survey(times=(0.1, 0.4, 0.9)), survey(times=T[:2]), survey(k=7)],
    ids=["none", "other times", "fewer times", "other k"],
)
def test_a_survey_that_does_not_fit_is_left_out(other):
    assert figures.fitting(sweep(), other) is None
