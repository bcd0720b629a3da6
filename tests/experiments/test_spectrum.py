"""Spectra of the Gaussian of the digits, whose Jacobian is known, and of the avatars network."""

import math

import pytest
import torch

from backend.data import digits
from backend.experiments.spectrum import (
    ALONG,
    LENGTHS,
    Decompose,
    MeasureSpectrum,
    SweepSpectrum,
    times_of,
)
from backend.inference.load import load
from backend.inference.run import run
from backend.jacobian.spectrum import CUTS, rank
from backend.request import BadInput, Progress


def closed_form(t: float) -> torch.Tensor:
    """Singular values alpha l / (alpha^2 l + sigma^2), l the variances of the digits, largest first."""
    pictures = digits.split("train")[0].flatten(1).double()
    variances = torch.linalg.eigvalsh(pictures.T.cov()).flip(0).clamp_min(0)
    alpha, sigma = load("gaussian").denoiser.schedule(torch.tensor(t, dtype=torch.float64))
    return alpha * variances / (alpha**2 * variances + sigma**2)


def measured(**fields):
    *_, result = run(MeasureSpectrum.parse({"model": "gaussian", "image": "gallery:0"} | fields))
    return result


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_the_spectrum_of_a_gaussian_is_its_closed_form(t):
    spectrum, s = measured(t=t, k=20), closed_form(t)
    assert torch.allclose(spectrum.s.double(), s, rtol=1e-4, atol=1e-5)
    assert spectrum.energy == pytest.approx(float(s.square().sum()), rel=1e-4) and spectrum.energy_error == 0
    assert spectrum.asymmetry < 1e-5
    assert spectrum.d == 64 and len(spectrum.v) == 4 and spectrum.k == 20
    for cut in CUTS:
        assert int(rank(spectrum.s, spectrum.energy, cut)) == int(rank(s, s.square().sum(), cut))


def test_a_gaussian_is_linear_and_its_vectors_are_symmetric():
    spectrum = measured(t=0.5, k=10)
    assert spectrum.residual.shape == (len(ALONG), len(LENGTHS))
    assert spectrum.residual.max() < 1e-3
    assert torch.allclose(spectrum.cosine, torch.ones_like(spectrum.cosine), atol=1e-5)
    pairs = (spectrum.u.float() * spectrum.v.float()).flatten(1).sum(1).abs()
    assert torch.allclose(pairs, torch.ones(4), atol=2e-3)  # float16
    assert spectrum.found == {}  # no renderer drew the digits
    assert spectrum.angles["u and PCA"].shape == (10,)


def test_the_vectors_are_those_of_the_jacobian():
    *_, j = run(Decompose("gaussian", "gallery:0", 0.5, 8))
    assert torch.allclose(j.V.flatten(1) @ j.V.flatten(1).T, torch.eye(8), atol=1e-5)
    again = torch.autograd.functional.jvp(
        lambda x: load("gaussian").denoiser(x, 0.5), torch.zeros(1, 8, 8), j.V[0]
    )[1]
    assert torch.allclose(again, j.s[0] * j.U[0], atol=1e-5)  # a Gaussian's Jacobian is the same everywhere


def test_a_large_jacobian_is_known_in_part_and_estimated_as_a_whole():
    *_, spectrum = run(MeasureSpectrum(t=0.65, k=8))
    assert spectrum.d == 12_288 and len(spectrum.s) == 8
    assert (spectrum.s.diff() <= 0).all()
    held = float(spectrum.s.double().square().sum())
    assert held < spectrum.energy and 0 < spectrum.energy_error < 0.05 * spectrum.energy
    assert int(rank(spectrum.s, spectrum.energy, 0.99)) == 9  # "above 8"
    assert 0 < spectrum.asymmetry < math.sqrt(2)
    assert spectrum.found["u"] > 20 * spectrum.found["random"]
    assert spectrum.angles["u and truth"].shape == (8,)


def test_a_sweep_grows_noise_level_by_noise_level():
    request = SweepSpectrum("gaussian", "gallery:0", times=3, k=4)
    sweeps = [
        event for event in run(request) if not isinstance(event, Progress) and hasattr(event, "spectra")
    ]
    assert [len(sweep.spectra) for sweep in sweeps] == [1, 2, 3]
    assert [s.t for s in sweeps[-1].spectra] == times_of(3) == [0.04, 0.5, 0.96]
    assert all(
        a.log_snr > b.log_snr for a, b in zip(sweeps[-1].spectra, sweeps[-1].spectra[1:], strict=False)
    )
    alone = measured(t=0.5, k=4)
    assert torch.equal(sweeps[-1].spectra[1].s, alone.s)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"t": 0.0}, "no noise"),
        ({"t": 1.0}, "nothing is left"),
        ({"t": float("nan")}, "finite number"),
        ({"k": 0}, "at least 1"),
        ({"k": 65}, "have 64 values"),
        ({"model": "avatars", "k": 101}, "at most 100"),
        ({"model": "none"}, "no such model"),
    ],
)
def test_bad_input_is_one_sentence(fields, words):
    with pytest.raises(BadInput, match=words):
        measured(**fields)


@pytest.mark.parametrize("times", [1, 41])
def test_a_sweep_needs_some_noise_levels(times):
    with pytest.raises(BadInput, match="2 to 40"):
        SweepSpectrum.parse({"times": times})
