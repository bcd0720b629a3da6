import io

import numpy as np
import pytest
import torch
from PIL import Image

from backend.experiments.guide import GuideNetwork
from backend.experiments.guide_film import FilmGuidance, sheet_file
from backend.inference.run import run
from backend.jobs import result_file
from backend.request import BadInput

TINY = GuideNetwork(model="digits", label="3", samples=3, steps=4, seed=5)


def opened(file):
    return np.asarray(Image.open(io.BytesIO(file)))


def test_small_pictures_are_enlarged_exactly_with_white_between():
    page = opened(sheet_file(torch.stack([torch.full((1, 8, 8), value) for value in (-1.0, 0.0, 3.0)])))
    assert page.shape == (17 * 8, 17 * 8, 3)
    assert (page[:64, :64] == 0).all() and (page[:64, 72:] == 128).all() and (page[72:, :64] == 255).all()
    assert (page[64:72] == 255).all() and (page[:, 64:72] == 255).all() and (page[72:, 72:] == 255).all()


def test_larger_pictures_are_compressed():
    x = torch.linspace(-1, 1, 64)
    pictures = (x[:, None] * x).expand(4, 3, -1, -1)
    file = sheet_file(pictures)
    assert file[:2] == b"\xff\xd8" and len(file) < pictures.numel() / 8
    page = opened(file)
    assert page.shape == (129, 129, 3)
    meant = ((pictures[0, 0] + 1) * 127.5).numpy()
    assert np.abs(page[65:, :64, 0].astype(float) - meant).mean() < 3


def test_a_film_is_its_run_without_the_numbers_of_pictures(tmp_path):
    request = FilmGuidance.parse({"model": "digits", "setting": TINY.to_query()})
    *_, film = run(request)
    *_, whole = run(TINY)
    for name in ("plain", "guided"):
        short, long = getattr(film.guidance, name), getattr(whole, name)
        assert short.samples.shape == (0, 1, 8, 8) and short.states.shape == (5, 0, 1, 8, 8)
        assert torch.equal(short.paths, long.paths) and short.quality == long.quality
        files = [bytes(file.tolist()) for file in getattr(film, name)]
        assert files == [sheet_file(states) for states in long.states]
    assert film.guidance.area == whole.area
    result_file.save(tmp_path, request, film)
    again = result_file.load(tmp_path, request)
    assert torch.equal(again.guided[2], film.guided[2])


def test_a_setting_of_another_model_or_none_is_refused():
    assert FilmGuidance().checked().guided() == GuideNetwork()
    for setting in (TINY.to_query(), "", "v=1&do=FilmGuidance"):
        with pytest.raises(BadInput):
            FilmGuidance.parse({"model": "avatars", "setting": setting})
