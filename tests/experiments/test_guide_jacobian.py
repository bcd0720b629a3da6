"""The Jacobian of the difference as a request: what is true of every result, its products and its sentences."""

import pytest
import torch

from backend.denoiser.base import branches
from backend.experiments.guide_jacobian import SplitJacobian
from backend.inference import cache
from backend.inference.load import load
from backend.inference.pictures import Invert
from backend.inference.run import run
from backend.jobs import result_file
from backend.request import BadInput, Failed, Progress

TINY = {"model": "digits", "image": "gallery:3", "t": 0.4, "k": 4}


def result(**values):
    *_, found = run(SplitJacobian.parse(TINY | values))
    assert not isinstance(found, Failed), found.sentence
    return found


@pytest.fixture(scope="module")
def split():
    return result()


def test_what_is_said_of_a_digit(split):
    assert split.d == 64 and split.positive.vectors.shape == (4, 1, 8, 8)
    for half, sign in ((split.positive, 1), (split.negative, -1)):
        assert (sign * half.values > 0).all() and (sign * half.values.diff() <= 0).all()
        assert (sign * half.linear > 0).all()
        assert ((half.within >= 0) & (half.within <= 1)).all() and half.chance == 4 / 64
        assert (half.cosine.square() <= half.within + 1e-6).all()
    kept = sum(float(half.values.square().sum()) for half in (split.positive, split.negative))
    assert split.held == pytest.approx(kept / split.energy) and 0.8 < split.held <= 1
    assert split.asymmetry > 3 * split.asymmetry_error > 0
    assert result(k=8).held > split.held


def test_the_difference_and_the_guided_means_are_the_networks(split):
    request, model = SplitJacobian(**TINY), load("digits")
    *_, inverted = run(Invert("digits", "gallery:3", 0.4))
    condition = model.condition(label=inverted.label)
    assert split.label == inverted.label
    with torch.no_grad():
        D_c, D_u = branches(model.denoiser, inverted.x_t[None], request.t, [condition, {}])[:, 0]
    for gamma in (0.0, 2.5):
        guided = D_c + gamma * (D_c - D_u)
        assert torch.allclose(split.guided(gamma, "difference"), guided, atol=5e-3)
        assert torch.equal(split.guided(0.0, "positive"), split.guided(0.0, "both"))
    vectors, values = split.positive.vectors.flatten(1).float(), split.positive.values.float()
    positive = D_c.flatten() + 3 * (values * (vectors @ D_c.flatten())) @ vectors
    assert torch.allclose(split.guided(3.0, "positive").flatten(), positive, atol=2e-2)
    both = split.guided(1.0, "positive") + split.guided(1.0, "negative") - split.guided(0.0, "both")
    assert torch.allclose(split.guided(1.0, "both"), both, atol=1e-5)


def test_faces_take_few_products_and_more_directions_hold_more():
    found = result(model="avatars", image="gallery:1", t=0.5, k=3)
    assert found.label == "happy" and found.positive.vectors.shape == (3, 3, 64, 64)
    assert found.products < 120
    for half in (found.positive, found.negative):
        assert half.residual.max() < 1e-4 * float(found.negative.values.abs().max())
    assert 0 < found.held < 1 and found.held_error < 0.05
    other = result(model="avatars", image="gallery:1", t=0.5, k=3, label="sad")
    assert other.label == "sad" and not torch.equal(other.difference, found.difference)


def test_it_counts_ends_and_is_kept(tmp_path, split, monkeypatch):
    monkeypatch.setattr(cache, "results", cache.Cache(2**28, result_file.size))  # other tests ask the same
    request = SplitJacobian.parse(TINY | {"k": 2})
    *told, found = run(request)
    told = [e for e in told if isinstance(e, Progress) and e.what == "Jacobian products"]
    assert len(told) > 4 and found.products > told[-1].done
    result_file.save(tmp_path, request, found)
    again = result_file.load(tmp_path, request)
    assert torch.equal(again.positive.vectors, found.positive.vectors) and again.label == found.label
    events = SplitJacobian(**TINY).run(load("digits"))
    next(events), next(events)
    events.close()
    assert torch.is_grad_enabled()


def test_a_picture_without_a_class_needs_one():
    *_, failed = run(SplitJacobian("digits", "sample:7"))
    assert isinstance(failed, Failed) and "choose one" in failed.sentence
    assert result(image="sample:7", label="3").label == "3"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"label": "ten"}, "There is no such class; the classes are 0, 1"),
        ({"model": "gaussian"}, "The model must be one of avatars, digits"),
        ({"t": 0.0}, "there is no noise"),
        ({"t": 1.0}, "nothing is left"),
        ({"t": float("nan")}, "finite"),
        ({"k": 0}, "1 to 20 components"),
        ({"k": 21}, "1 to 20 components"),
    ],
    ids=str,
)
def test_bad_input_is_a_sentence(values, sentence):
    with pytest.raises(BadInput, match=sentence + r".*\.$"):
        SplitJacobian.parse(TINY | values)
