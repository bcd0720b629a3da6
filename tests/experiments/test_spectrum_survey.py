"""Bands: the Gaussian's Jacobian is the same for every picture, so its band has no width."""

import pytest
import torch

from backend.experiments.spectrum import times_of
from backend.experiments.spectrum_survey import SurveySpectra
from backend.inference.run import run
from backend.jacobian.spectrum import CUTS
from backend.request import BadInput
from tests.experiments.test_spectrum import closed_form


def survey(**fields):
    *_, result = run(SurveySpectra.parse({"model": "gaussian", "pictures": 3, "times": 3} | fields))
    return result


def test_a_gaussians_spectra_are_its_closed_form_for_every_picture():
    found = survey()
    assert found.t.tolist() == times_of(3) and found.s.shape == (3, 3, 64) and found.d == 64
    for row, t in zip(found.s, found.t.tolist(), strict=True):
        for s in row:
            assert torch.allclose(s.double(), closed_form(t), rtol=2e-3, atol=2e-3)  # float16
    assert found.asymmetry.max() < 1e-4 and found.energy_error.max() == 0 and found.found == {}


def test_ranks_fall_with_noise_and_agree_between_pictures():
    found = survey()
    for cut in CUTS:
        ratio = found.rank_ratio(cut)
        assert (ratio.diff(dim=0) < 0).all() and (ratio[:, 0] == ratio[:, 1]).all()
    assert (found.effective_rank() > found.stable_rank()).all()


def test_a_conditional_network_is_asked_with_each_pictures_own_label():
    found = survey(model="digits", times=2)
    *_, again = run(SurveySpectra("digits", 2, 2))
    assert torch.allclose(found.s[:, :2].float(), again.s.float(), atol=2e-3)  # the same in any company


def test_large_jacobians_are_surveyed_picture_by_picture():
    found = survey(model="avatars", pictures=2, times=2, k=3)
    assert found.s.shape == (2, 2, 3) and found.found["u"].shape == (2, 2)
    assert found.rank_ratio(0.99).isinf().all() and found.effective_rank().isnan().all()
    assert (found.energy_error > 0).all()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"pictures": 1}, "no band"),
        ({"pictures": 0}, "2 to 64"),
        ({"model": "avatars", "pictures": 25}, "2 to 24"),
        ({"model": "avatars", "k": 101}, "at most 100"),
        ({"times": 1}, "2 to 40"),
    ],
)
def test_bad_input_is_one_sentence(fields, words):
    with pytest.raises(BadInput, match=words):
        survey(**fields)
