"""Sets of directions on the closed-form Gaussian of the digits, whose Jacobian is the same at every picture."""

from dataclasses import replace

import pytest
import torch

from backend.editing import direction_file
from backend.experiments.edit import EditAll
from backend.experiments.edit_directions import FindDirections
from backend.experiments.edit_set import EditSet, EditWithFile, collect, saved_of
from backend.inference import intake
from backend.inference.run import run
from backend.request import BadInput

WHERE = {"model": "gaussian", "image": "gallery:3", "t": 0.5}
REGIONS = ("box:2,1,6,4", "box:4,4,8,8")


def result(request):
    *_, last = run(request)
    return last


@pytest.fixture(scope="module")
def parts():
    """The first direction of each of two regions."""
    requests = [FindDirections(**WHERE, region=region, k=2) for region in REGIONS]
    return [direction_file.pick(saved_of(request, result(request)), 0) for request in requests]


@pytest.fixture(scope="module")
def file(parts):
    return intake.keep(collect(parts, ("upper", "lower"), "digits"))


def test_a_set_slides_along_directions_of_two_regions_under_their_names(file):
    strips = result(EditSet("gaussian", "gallery:3", file, frames=3))
    assert strips.found.names == ("upper", "lower") and len(strips.strips) == 2
    for i, region in enumerate(REGIONS):
        own = result(EditAll(**WHERE, region=region, k=2, frames=3))
        torch.testing.assert_close(strips.strips[i].pictures, own.strips[0].pictures, atol=1e-5, rtol=0)
        torch.testing.assert_close(strips.found.leak[i], own.found.leak[0], rtol=1e-3, atol=1e-6)


def test_held_directions_add_up(file):
    alone = [
        result(EditWithFile("gaussian", "gallery:3", file, i, span=0.5, frames=3)).pictures for i in (0, 1)
    ]
    both = result(EditWithFile("gaussian", "gallery:3", file, 0, (0.0, 0.5), span=0.5, frames=3)).pictures[2]
    expected = alone[0][2] + alone[1][2] - alone[0][1]
    free = (torch.stack([both, *alone[0], *alone[1]]).abs() < 0.999).all(0)
    assert free.sum() > 10
    torch.testing.assert_close(both[free], expected[free], atol=1e-3, rtol=0)


def test_a_set_works_on_another_picture(file):
    strips = result(EditSet("gaussian", "gallery:8", file, at=(0.0, 1.0), frames=3))
    assert not any(strip.predicted for strip in strips.strips)


def test_what_is_collected_reads_back(parts):
    saved = direction_file.load(collect(parts, (" upper ", "lower"), "digits"))
    assert saved.names == ("upper", "lower") and saved.region == REGIONS and saved.title == "digits"
    torch.testing.assert_close(saved.v, torch.cat([part.v for part in parts]))


@pytest.mark.parametrize(
    ("count", "names", "title", "words"),
    [
        (0, (), "", "empty"),
        (1, ("a", "b"), "", "one line for its name"),
        (1, ("",), "", "1 to 60 characters"),
        (1, ("a" * 61,), "", "1 to 60 characters"),
        (1, ("a",), "b" * 61, "1 to 60 characters"),
        (9, ("a",) * 9, "", "at most 8"),
    ],
)
def test_what_cannot_be_a_set_is_a_sentence(parts, count, names, title, words):
    with pytest.raises(BadInput, match=words):
        collect(parts[:1] * count, names, title)


def test_a_set_for_another_model_and_one_too_large_are_sentences(parts):
    foreign = intake.keep(direction_file.dump(replace(parts[0], model="avatars")))
    assert "another model" in result(EditSet("gaussian", "gallery:3", foreign)).sentence
    many = intake.keep(direction_file.dump(direction_file.join(parts * 50, ("a",) * 100, "")))
    assert "at most 8" in result(EditSet("gaussian", "gallery:3", many)).sentence
    assert "fewer directions" in result(EditWithFile("gaussian", "gallery:3", parts_file(parts), 3)).sentence
    assert (
        "more strengths"
        in result(EditWithFile("gaussian", "gallery:3", parts_file(parts), 0, (1.0,) * 3)).sentence
    )


def parts_file(parts) -> str:
    return intake.keep(collect(parts, ("a", "b"), ""))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"at": (1.0,) * 100}, "at most 8"),
        ({"at": (20.0, -20.0, 20.0, -20.0)}, "no picture is left"),
        ({"at": (1e9,)}, "between"),
        ({"first": 60}, "one of those"),
        ({"file": ""}, "give a direction file"),
    ],
)
def test_strengths_that_cannot_be_are_sentences(wrong, words):
    with pytest.raises(BadInput, match=words):
        run(EditSet(**{"model": "gaussian", "image": "gallery:3", "file": "upload:" + "0" * 64} | wrong))


def test_python_reads_a_direction_file():
    assert 'keep(Path("directions.safetensors")' in EditSet(file="upload:" + "0" * 64).to_python()
