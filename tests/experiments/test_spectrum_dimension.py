import pytest
import torch

from backend.data import avatars, digits, patches
from backend.experiments.spectrum_dimension import Dimensions, EstimateDimension
from backend.generalization.intrinsic_dimension import local_pca, maximum_likelihood, two_nn
from backend.inference.run import run
from backend.jobs import result_file
from backend.request import BadInput, Failed, Progress

SIZES = {"avatars": (60, 12288), "digits": (60, 64), "patches": (60, 256), "small_faces": (60, 576)}


def result(request):
    *_, last = run(request)
    return last


@pytest.mark.parametrize("data", SIZES)
def test_every_data_set_has_a_dimension(data):
    *steps, found = run(EstimateDimension(data, n=60, neighbours=10))
    assert isinstance(found, Dimensions)
    assert (found.n, found.d) == SIZES[data]
    assert found.factors == (len(avatars.FACTORS) if data == "avatars" else 0)
    for one in (found.two_nn, found.maximum_likelihood, found.local_pca):
        assert 1 < one.value < 60 and one.low <= one.value <= one.high and one.n == found.n
    assert [(p.done, p.total) for p in steps if isinstance(p, Progress)] == [(i, 3) for i in range(4)]


def test_the_estimates_are_those_of_the_pictures():
    found = result(EstimateDimension("digits", n=80, neighbours=7))
    x = digits.split("train")[0][:80].flatten(1)
    assert found.two_nn.value == pytest.approx(two_nn(x).value)
    assert found.maximum_likelihood.value == pytest.approx(maximum_likelihood(x, 7).value)
    assert found.local_pca.value == pytest.approx(local_pca(x, 7).value)


def test_more_than_there_are_is_all():
    assert result(EstimateDimension("small_faces", n=1000, neighbours=5)).n == 100


def test_repeated_pictures_count_once():
    """The astronaut's right is black, and a place can be cut out twice: 6 of these 1,000 patches are repeated."""
    found = result(EstimateDimension("patches", n=1000, neighbours=5))
    assert found.n == len(torch.unique(patches.sample(range(1000)).flatten(1), dim=0)) < 1000


def test_a_result_survives_the_disk(tmp_path):
    request = EstimateDimension("digits", n=60, neighbours=5)
    found = result(request)
    result_file.save(tmp_path, request, found)
    assert result_file.load(tmp_path, request) == found


def test_too_few_distinct_pictures_end_in_a_sentence():
    found = result(EstimateDimension("small_faces", n=1000, neighbours=100))
    assert isinstance(found, Failed) and found.sentence.startswith("There are only 100 distinct pictures")


@pytest.mark.parametrize(
    "wrong",
    [
        {"data": "cats"},
        {"n": 10},
        {"n": 100_000},
        {"neighbours": 1},
        {"neighbours": 500},
        {"n": 50, "neighbours": 50},
    ],
)
def test_bad_input_is_a_sentence(wrong):
    with pytest.raises(BadInput, match=r"\.$"):
        run(EstimateDimension(**{"data": "digits"} | wrong))
