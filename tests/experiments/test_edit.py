"""The edit tab's requests on the closed-form Gaussian of the digits, where every step has an exact answer."""

import pytest
import torch
from scipy.linalg import eigh

from backend.editing import direction_file
from backend.editing.directions import RIDGE
from backend.experiments.edit import Edit, EditAll
from backend.experiments.edit_directions import FindDirections, FindRegion
from backend.experiments.edit_preview import PreviewDirections
from backend.experiments.edit_set import EditWithFile, saved_of
from backend.inference import cache, intake
from backend.inference.load import load
from backend.inference.pictures import Invert
from backend.inference.run import run
from backend.metrics.image import psnr
from backend.request import BadInput, Progress, Request

WHERE = {"model": "gaussian", "image": "gallery:3", "t": 0.5, "region": "box:2,1,6,4"}


@pytest.fixture(autouse=True)
def _empty_cache(monkeypatch):
    monkeypatch.setattr(cache, "results", cache.Cache(2**28, cache.results.size))


def result(request: Request):
    *_, last = run(request)
    return last


def dense_jacobian() -> torch.Tensor:
    """dD/dx_t (64, 64), float64; constant for a Gaussian."""
    D = load("gaussian").denoiser
    return torch.autograd.functional.jacobian(
        lambda x: D(x.view(1, 8, 8), 0.5).flatten(), torch.zeros(64)
    ).double()


def rows(mask: torch.Tensor) -> torch.Tensor:
    return dense_jacobian()[mask.flatten()]


def test_directions_are_those_of_the_dense_jacobian():
    found = result(FindDirections(**WHERE, k=3, rank=4))
    inside = torch.linalg.svd(rows(found.mask), full_matrices=False)
    outside = torch.linalg.svd(rows(~found.mask), full_matrices=False)
    basis = outside.Vh[:4]
    expected = inside.Vh[:3] - inside.Vh[:3] @ basis.T @ basis
    expected /= expected.norm(dim=1, keepdim=True)
    torch.testing.assert_close(found.s.double(), inside.S[:3], rtol=1e-3, atol=0)
    cosine = (found.v.flatten(1).double() * expected).sum(1).abs()
    assert (cosine > 1 - 1e-3).all()
    J = dense_jacobian()
    change = (found.v.flatten(1).double() @ J.T).view(3, 1, 8, 8)
    gain = (change * found.mask).flatten(1).norm(dim=1)
    leak = (change * ~found.mask).flatten(1).square().sum(1) / gain**2
    torch.testing.assert_close(found.gain.double(), gain, rtol=1e-4, atol=0)
    torch.testing.assert_close(found.leak.double(), leak, rtol=1e-3, atol=1e-6)


def test_without_a_rank_nothing_is_projected_off():
    found = result(FindDirections(**WHERE, k=2, rank=0))
    inside = torch.linalg.svd(rows(found.mask), full_matrices=False)
    assert ((found.v.flatten(1).double() * inside.Vh[:2]).sum(1).abs() > 1 - 1e-3).all()


def test_generalized_directions_are_those_of_the_dense_pencil_and_leak_less():
    found = result(FindDirections(**WHERE, k=3, method="generalized"))
    gram_in, gram_out = (rows(mask).T @ rows(mask) for mask in (found.mask, ~found.mask))
    mu = RIDGE * torch.linalg.eigvalsh(gram_in)[-1]
    best = eigh(gram_in, gram_out + mu * torch.eye(64), eigvals_only=True)[::-1][:3].copy()
    v = found.v.flatten(1).double()
    reached = (v @ gram_in * v).sum(1) / ((v @ gram_out * v).sum(1) + mu)
    torch.testing.assert_close(reached, torch.from_numpy(best), rtol=1e-3, atol=0)
    assert (found.leak < result(FindDirections(**WHERE, k=3)).leak).all()
    assert torch.equal(found.s, found.gain)


def test_a_small_ridge_holds_the_rest_still_and_a_large_one_moves_the_region_more():
    still, free = (result(FindDirections(**WHERE, k=1, method="generalized", ridge=r)) for r in (0.001, 10.0))
    plain = result(FindDirections(**WHERE, k=1, rank=0))
    assert still.leak[0] < 0.2 * free.leak[0] and still.gain[0] < free.gain[0] <= plain.s[0] * 1.001


def test_a_second_region_of_an_explored_picture_costs_two_rounds():
    first = result(FindDirections(**WHERE, k=2, method="generalized"))
    other = result(FindDirections(**WHERE | {"region": "box:4,4,8,8"}, k=2, method="generalized"))
    assert first.products == other.products == 2 * 2 * 2


def test_a_preview_of_another_region_asks_the_network_nothing_and_is_nearly_what_comes(monkeypatch):
    result(PreviewDirections(**WHERE, k=2))
    other = WHERE | {"region": "box:4,4,8,8"}
    result(FindRegion("gaussian", "gallery:3", other["region"]))
    refined = result(FindDirections(**other, k=2, method="generalized"))
    denoiser = load("gaussian").denoiser
    monkeypatch.setattr(type(denoiser), "forward", None)
    preview = result(PreviewDirections(**other, k=2))
    assert all(strip.predicted for strip in preview.strips) and preview.found.products == 0
    assert (preview.found.gain >= 0.8 * refined.gain).all()


def test_a_preview_is_first_order():
    """As strips of the Gaussian are, which is affine, but for clipping."""
    preview = result(PreviewDirections(**WHERE, k=1))
    x_t, D = result(Invert("gaussian", "gallery:3", 0.5)).x_t, load("gaussian").denoiser
    found, strip = preview.found, preview.strips[0]
    step = 0.1 * found.size**0.5 * found.v[0] / found.gain[0]
    strengths = torch.tensor(strip.strengths).view(-1, 1, 1, 1)
    expected = D(x_t + strengths * step, 0.5).clamp(-1, 1)
    torch.testing.assert_close(strip.pictures, expected, atol=1e-4, rtol=0)


def test_strength_one_is_a_predicted_change_of_a_tenth_inside_the_region():
    events = list(run(Edit(**WHERE, k=2, span=1.0, frames=5)))
    predicted = next(
        e for e in events if not isinstance(e, Progress) and hasattr(e, "predicted") and e.predicted
    )
    mask = result(FindRegion("gaussian", "gallery:3", WHERE["region"])).mask
    change = predicted.pictures - predicted.pictures[2]
    inside = change[:, :, mask].square().mean(dim=(1, 2)).sqrt()
    # pictures are clipped to what can be shown, so no pixel can change more than predicted
    assert (inside <= 0.1 * torch.tensor(predicted.strengths).abs() + 1e-4).all()
    x_t, D = result(Invert("gaussian", "gallery:3", 0.5)).x_t, load("gaussian").denoiser
    found = result(FindDirections(**WHERE, k=2))
    step = 0.1 * found.size**0.5 * found.v[0] / found.gain[0]
    free = (D(x_t + step, 0.5) - D(x_t, 0.5))[:, mask].square().mean().sqrt()
    torch.testing.assert_close(free, torch.tensor(0.1), rtol=1e-3, atol=0)


def test_the_unedited_frame_is_the_picture():
    strip = result(Edit(**WHERE, k=2, frames=5))
    picture = result(Invert("gaussian", "gallery:3", 0.5)).x_0
    assert not strip.predicted
    assert psnr(strip.pictures[2:3], picture[None]) > 40


def test_held_directions_add_up():
    """The flow of a Gaussian is affine, so two edits together are the sum of each alone (where nothing is clipped)."""
    alone = result(Edit(**WHERE, k=2, slide=0, span=1.0, frames=3)).pictures
    other = result(Edit(**WHERE, k=2, slide=1, span=1.0, frames=3)).pictures
    both = result(Edit(**WHERE, k=2, slide=0, at=(0.0, 1.0), span=1.0, frames=3)).pictures
    expected = alone[2] + other[2] - alone[1]
    free = (both[2].abs() < 0.999) & (alone.abs() < 0.999).all(0) & (other.abs() < 0.999).all(0)
    assert free.sum() > 10
    torch.testing.assert_close(both[2][free], expected[free], rtol=0, atol=1e-4)


def test_all_strips_are_the_single_strips_and_come_from_the_cache_again():
    request = EditAll(**WHERE, k=2, frames=3)
    first = list(run(request))
    partial = [e for e in first if hasattr(e, "strips")]
    assert all(strip.predicted for strip in partial[0].strips)
    assert not any(strip.predicted for strip in partial[-1].strips)
    for i, strip in enumerate(partial[-1].strips):
        assert torch.equal(strip.pictures, result(Edit(**WHERE, k=2, slide=i, frames=3)).pictures)
    assert len(list(run(request))) == 1


def test_strengths_that_make_no_difference_do_not_change_a_strips_key():
    request = EditAll(**WHERE, k=3, at=(2.0, 0.0, 0.0))
    assert request.strip(0).key() == EditAll(**WHERE, k=3).strip(0).key()
    assert request.strip(1).key() != EditAll(**WHERE, k=3).strip(1).key()


def test_directions_from_a_file_draw_the_same_strip():
    found = result(FindDirections(**WHERE, k=2))
    file = intake.keep(direction_file.dump(saved_of(FindDirections(**WHERE, k=2), found)))
    drawn = result(EditWithFile("gaussian", "gallery:3", file, slide=1, frames=3))
    torch.testing.assert_close(drawn.pictures, result(Edit(**WHERE, k=2, slide=1, frames=3)).pictures)


def test_the_same_seed_gives_the_same_directions():
    first = result(FindDirections(**WHERE, k=2))
    cache.results = cache.Cache(2**28, cache.results.size)
    assert torch.equal(first.v, result(FindDirections(**WHERE, k=2)).v)


def test_cancelling_stops_within_one_evaluation(monkeypatch):
    model, calls = load("gaussian"), 0
    whole = type(model.denoiser).forward

    def counted(self, *args, **kwargs):
        nonlocal calls
        calls += 1
        return whole(self, *args, **kwargs)

    monkeypatch.setattr(type(model.denoiser), "forward", counted)
    events = run(EditAll(**WHERE))
    for _ in range(5):
        next(events)
    before = calls
    events.close()
    assert calls == before
    assert result(EditAll(**WHERE, k=2, frames=3)).strips


BAD = {
    "an unknown model": FindDirections(model="nobody"),
    "a path for a model": FindDirections(model="../../etc"),
    "an unknown method": FindDirections(**WHERE, method="guess"),
    "no ridge": FindDirections(**WHERE, ridge=0.0),
    "no directions": FindDirections(**WHERE, k=0),
    "ten thousand directions": FindDirections(**WHERE, k=10_000),
    "strength nan": EditAll(**WHERE, span=float("nan")),
    "strength 1e9": EditAll(**WHERE, span=1e9),
    "a held strength of 1e9": Edit(**WHERE, at=(1e9,)),
    "an empty region": FindDirections(**WHERE | {"region": "rle:8x8:64"}),
    "the whole picture": FindDirections(**WHERE | {"region": "rle:8x8:0,64"}),
    "a box outside": FindDirections(**WHERE | {"region": "box:2,1,60,4"}),
    "no kind of region": FindDirections(**WHERE | {"region": "everything"}),
    "t of 0": FindDirections(**WHERE | {"t": 0.0}),
    "t of 2": FindDirections(**WHERE | {"t": 2.0}),
    "an even number of frames": Edit(**WHERE, frames=4),
    "a direction too many": Edit(**WHERE, k=2, slide=2),
    "an upload that nobody made": Invert("gaussian", "upload:" + "0" * 64),
    "a direction file that nobody made": EditWithFile("gaussian", "gallery:3", "upload:" + "0" * 64),
    "no direction file": EditWithFile("gaussian", "gallery:3", ""),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_sentence_before_anything_is_computed(name):
    with pytest.raises(BadInput) as refused:
        run(BAD[name])
    sentence = str(refused.value)
    assert sentence.endswith(".") and "\n" not in sentence and "/" not in sentence


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (FindRegion("gaussian", "gallery:3", "part:mouth"), "no named parts"),
        (Invert("gaussian", "gallery:99"), "gallery"),
        (Invert("gaussian", "sample:7:happy"), "label"),
        (FindDirections(**WHERE | {"region": "box:0,0,1,1"}, k=2), "fewer values"),
    ],
)
def test_what_only_the_model_can_refuse_is_a_sentence_too(request_, words):
    try:
        last = result(request_)
        sentence = last.sentence
    except BadInput as refused:
        sentence = str(refused)
    assert words in sentence and sentence.endswith(".")
