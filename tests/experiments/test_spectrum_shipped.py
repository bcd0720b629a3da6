"""The runs that the spectrum tab opens with, each computed again in part."""

import pytest
import torch

from backend.denoiser.base import given
from backend.experiments.spectrum import Decompose, SweepSpectrum
from backend.experiments.spectrum_bias import TrainStudents, measure, probe_at, references
from backend.experiments.spectrum_dimension import EstimateDimension
from backend.experiments.spectrum_process import WatchProcess
from backend.experiments.spectrum_slide import SlideAlong
from backend.experiments.spectrum_survey import STEPS, suited
from backend.experiments.spectrum_theory import ExploreMixture
from backend.inference.cache import find
from backend.inference.catalogue import cards
from backend.inference.load import load
from backend.inference.pictures import held_out
from backend.inference.run import run
from backend.jacobian.spectrum import dense_steps
from backend.request import finish
from backend.sampling.travel import travel
from backend.schedule import from_scheduler_config
from backend.training.recipes import SCHEDULER
from backend.training.students import subsets


def computed(request):
    """Anew, whatever is shipped."""
    *_, result = request.run(load(request.model) if hasattr(request, "model") else None)
    return result


def test_a_spectrum_of_the_faces():
    shipped = find(SweepSpectrum()).spectra[4]
    *_, j = run(Decompose(t=shipped.t, k=3))
    assert torch.allclose(j.s, shipped.s[:3], rtol=2e-2)
    cosines = (j.V.flatten(1) * shipped.v[:3].float().flatten(1)).sum(1)
    assert float(cosines[0]) > 0.98
    assert abs(j.total.energy - shipped.energy) < 5 * (j.total.energy_error + shipped.energy_error)


def test_the_pictures_along_a_singular_vector():
    shipped, again = find(SlideAlong()), computed(SlideAlong())
    assert torch.allclose(shipped.pictures, again.pictures, atol=2e-2)


@pytest.mark.parametrize("name", [card.name for card in cards() if card.name != "avatars"])
def test_one_picture_of_a_survey(name):
    """The first picture at the first noise level, whose way there is that of the survey."""
    survey, model = find(suited(name)), load(name)
    assert survey.s.shape[:2] == (9, 32)
    t = float(survey.t[0])
    x_0, labels = held_out(model.card, range(1))
    denoiser = given(model.denoiser, **model.condition(label=labels[0]))
    x_t = finish(travel(denoiser, x_0, 0.0, t, STEPS))
    s = torch.linalg.svdvals(finish(dense_steps(lambda x: denoiser(x, t), x_t)).double())
    assert torch.allclose(s[0], survey.s[0, 0].double(), rtol=5e-3, atol=5e-3)


def test_the_survey_of_faces_agrees_with_the_sweep_of_one_of_them():
    survey, sweep = find(suited("avatars")), find(SweepSpectrum())
    assert survey.s.shape == (9, 4, 50)
    for row, one in zip(survey.s[:, 1], sweep.spectra, strict=True):
        assert torch.allclose(row[:5].float(), one.s[:5], rtol=2e-2)


def test_the_process():
    shipped, again = find(WatchProcess()), computed(WatchProcess())
    for name in ("forward", "forward_mean", "ode", "ode_mean", "sde", "sde_mean"):
        assert torch.allclose(getattr(shipped, name).float(), getattr(again, name).float(), atol=2e-2), name


def test_the_references_of_the_students():
    request, shipped = TrainStudents(), find(TrainStudents())
    schedule = from_scheduler_config(SCHEDULER)
    data = subsets(request.sizes, request.seed)
    known = references(data, schedule)
    again = finish(measure(known[0], probe_at(request.times[2], data, schedule, known, request.pictures)))
    for name, value in vars(again).items():
        assert torch.allclose(getattr(shipped.gaussian, name)[:, 2], value, atol=1e-4), name


def test_the_mixture():
    shipped, again = find(ExploreMixture()), computed(ExploreMixture())
    assert torch.allclose(shipped.s, again.s) and shipped.difference < 1e-5


@pytest.mark.parametrize("data", ["digits", "patches", "small_faces"])
def test_dimensions(data):
    shipped, again = find(EstimateDimension(data)), computed(EstimateDimension(data))
    assert shipped.n == again.n and shipped.two_nn.value == pytest.approx(again.two_nn.value, rel=1e-6)
