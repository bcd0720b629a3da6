"""The comparison of methods on the closed-form Gaussian, and once on the embedded faces."""

import pytest
import torch

from backend.data import avatars
from backend.editing.baselines.bottleneck import decode_with
from backend.editing.methods import METHODS
from backend.experiments.edit import Edit
from backend.experiments.edit_compare import CompareMethods
from backend.experiments.edit_directions import FindDirections
from backend.experiments.edit_learn import LearnShift, LearnWords
from backend.inference.cache import find
from backend.inference.run import run
from backend.request import BadInput

WHERE = {"model": "gaussian", "image": "gallery:3", "t": 0.5, "region": "box:2,1,6,4"}


def result(request):
    *_, last = run(request)
    return last


def test_a_closed_form_compares_what_it_can_and_loco_is_the_edit_of_direction_one():
    compared = result(CompareMethods(**WHERE, span=2.0, frames=3))
    rows = {row.method: row for row in compared.rows}
    assert list(rows) == ["generalized", "held", "loco", "epsilon", "random"]
    strip = result(Edit(**WHERE, k=1, span=2.0, frames=3))
    assert strip.strengths == rows["loco"].strip.strengths
    torch.testing.assert_close(rows["loco"].strip.pictures, strip.pictures, atol=1e-3, rtol=0)
    assert max(rows["held"].leak, rows["generalized"].leak) < rows["loco"].leak < rows["random"].leak
    assert all(row.factor == "" and row.seconds > 0 for row in compared.rows)


def test_the_leak_is_measured_on_the_final_pictures():
    (row,) = result(CompareMethods(**WHERE, methods=("loco",), span=2.0, frames=3)).rows
    change = (row.strip.pictures[[0, 2]] - row.strip.pictures[1]).square()
    mask = result(FindDirections(**WHERE, k=1)).mask
    expected = float((change * ~mask).sum() / (change * mask).sum())
    assert row.leak == pytest.approx(expected, rel=1e-4)


def test_faces_are_edited_by_all_methods_with_what_is_shipped():
    for shipped in (LearnShift(), LearnShift(wanted="sad"), LearnWords()):
        assert find(shipped) is not None, "learned when the weights were made, not while a person waits"
    events = list(run(CompareMethods(image="gallery:1", frames=3)))
    partial = [event for event in events if hasattr(event, "rows")]
    assert [len(event.rows) for event in partial] == list(range(1, len(METHODS) + 1))
    compared = partial[-1]
    assert [row.method for row in compared.rows] == list(METHODS)
    assert compared.wanted == "sad", "the picture is happy already"
    assert all(row.factor and row.beside >= 0 for row in compared.rows)
    assert all(torch.isfinite(row.strip.pictures).all() for row in compared.rows)


BAD = {
    "an unknown method": {"methods": ("magic",)},
    "a method twice": {"methods": ("loco", "loco")},
    "a strength of 1e9": {"span": 1e9},
    "an even number of frames": {"frames": 4},
    "a hundred frames": {"frames": 101},
    "the whole picture": {"region": "rle:8x8:0,64"},
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence(name):
    with pytest.raises(BadInput, match=r"\.$"):
        run(CompareMethods(**WHERE | BAD[name]))


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (CompareMethods(**WHERE, methods=("asyrp",)), "this model has generalized, held, loco"),
        (CompareMethods(wanted="bored"), "no such label"),
        (LearnShift("gaussian"), "no labels to learn from"),
        (LearnWords("gaussian"), "no labels to learn from"),
    ],
)
def test_what_only_the_model_can_refuse_is_a_sentence_too(request_, words):
    assert words in result(request_).sentence


@pytest.mark.parametrize("learn", [LearnShift, LearnWords])
@pytest.mark.parametrize("wrong", [{"steps": 0}, {"steps": 10**6}, {"seed": -1}])
def test_learning_is_bounded(learn, wrong):
    with pytest.raises(BadInput, match=r"\.$"):
        run(learn(**wrong))


@pytest.mark.parametrize("wanted", ["happy", "sad"])
def test_a_shipped_shift_makes_other_faces_read_as_what_was_wanted(wanted):
    model, shift = _model(), find(LearnShift(wanted=wanted)).tensor
    faces = avatars.sample(range(50_000_000, 50_000_016), [0] * 16)
    (index,) = model.condition(label=wanted)["label"].tolist()
    t, noise = 0.4, torch.randn(16, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    alpha, sigma = (float(a) for a in model.denoiser.schedule(torch.tensor(t, dtype=torch.float64)))
    x_t = alpha * avatars.render(faces.factors) + sigma * noise
    with torch.no_grad():
        shifted = (decode_with(model.denoiser, x_t, t, faces.labels, scale * shift) for scale in (0, 1))
        before, after = (model.reader()(x)[1].softmax(1)[:, index].mean() for x in shifted)
    assert after > before + 0.3


@pytest.mark.parametrize("learn", [LearnShift, LearnWords])
def test_learning_is_repeatable(learn):
    first, again = (list(learn(steps=2).run(_model()))[-1] for _ in range(2))
    torch.testing.assert_close(first.tensor, again.tensor)
    assert first.tensor.isfinite().all() and first.tensor.abs().max() > 0


def _model():
    from backend.inference.load import load

    return load("avatars")
