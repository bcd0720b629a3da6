"""Pictures by reference, on the closed-form model: everything here runs without weights."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from backend.data import avatars, digits
from backend.inference import cache, catalogue, intake
from backend.inference.cache import Cache
from backend.inference.pictures import GALLERY, Invert, Picture, Sample, gallery_picture
from backend.inference.run import BROKEN, run
from backend.jobs import result_file
from backend.request import BadInput, Failed, Progress

AVATARS = catalogue.card("avatars")  # before the fixture below takes it off the list


@pytest.fixture(autouse=True)
def empty(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(cache, "results", Cache(10**7, result_file.size))
    monkeypatch.setattr(catalogue, "ASSETS", tmp_path)


def test_a_sample_is_its_seed(monkeypatch) -> None:
    *progress, first = run(Sample(model="gaussian", label="", seed=3, steps=6))
    assert progress[-1] == Progress(6, 6, "network evaluations")
    assert (first.x_0.shape, first.label) == ((1, 8, 8), "")
    monkeypatch.setattr(cache, "results", Cache(10**7, result_file.size))  # forget
    *_, again = run(Sample(model="gaussian", label="", seed=3, steps=6))
    *_, other = run(Sample(model="gaussian", label="", seed=4, steps=6))
    assert torch.equal(first.x_0, again.x_0)
    assert not torch.equal(first.x_0, other.x_0)


def test_a_held_out_digit_survives_the_way_to_the_noise_and_back() -> None:
    *_, inverted = run(Invert(model="gaussian", image="gallery:5", steps=50))
    assert torch.equal(inverted.x_0, digits.split("test")[0][5])
    assert inverted.psnr > 40
    assert inverted.error < 1.2  # a digit like the others


def test_a_picture_of_another_kind_is_noticed() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    *_, inverted = run(Invert(model="gaussian", image=intake.store(buffer.getvalue())))
    assert inverted.x_0.shape == (1, 8, 8)
    assert inverted.error > 1


def test_a_sample_is_found_by_its_reference_and_kept() -> None:
    *_, sample = run(Sample(model="gaussian", label=""))
    progress = [
        event for event in run(Invert(model="gaussian", image="sample:7")) if isinstance(event, Progress)
    ]
    assert [event.done for event in progress] == [
        *range(1, 21)
    ] * 2  # there and back, the sample known already
    *_, inverted = run(Invert(model="gaussian", image="sample:7"))
    assert torch.equal(inverted.x_0, sample.x_0)


def test_the_gallery_shows_held_out_pictures() -> None:
    faces = [gallery_picture(AVATARS, number) for number in (0, 1, GALLERY - 1)]
    assert [face.label for face in faces] == [
        avatars.EXPRESSIONS[number % 6] for number in (0, 1, GALLERY - 1)
    ]
    assert all(isinstance(face, Picture) and face.x_0.shape == (3, 64, 64) for face in faces)
    assert not torch.equal(faces[0].x_0, faces[1].x_0)


@pytest.mark.parametrize(
    "image",
    [
        "",
        "gallery:",
        "gallery:24",
        "gallery:-1",
        "gallery:1e3",
        "gallery:١",
        "file:///etc/passwd",
        "mine",
        "sample:x",
        "sample:7:angry",
    ],
)
def test_a_bad_reference_is_one_sentence(image: str) -> None:
    *_, last = run(Invert(model="gaussian", image=image))
    assert isinstance(last, Failed)
    assert last.sentence.endswith(".")
    assert last.sentence != BROKEN


def test_a_lost_upload_is_refused_before_anything_is_computed() -> None:
    with pytest.raises(BadInput, match="no longer held"):
        run(Invert(model="gaussian", image="upload:" + "0" * 64))
