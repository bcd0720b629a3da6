"""Embedding, attacking and verifying, on the digits, which are quick, and once on a face."""

import io

import pytest
import torch
from PIL import Image

from backend.experiments.watermark import Attack, EmbedWatermark
from backend.experiments.watermark_verify import CalibrateWatermark, VerifyWatermark, unmarked
from backend.inference import cache, intake
from backend.inference.catalogue import card
from backend.inference.load import load
from backend.inference.pictures import held_out
from backend.inference.run import run
from backend.metrics.image import psnr
from backend.request import BadInput, Failed, Progress, Request, finish
from backend.watermark.attacks import attack, parse
from backend.watermark.network_attacks import attacked

SECRET = "a sentence that nobody else has"
DIGITS = {"model": "digits", "outer": 4.0, "inner": 1.0, "passphrase": SECRET}


def last(request):
    *_, found = run(request)
    assert not isinstance(found, Failed), found
    return found


def uploaded(x):
    """The reference of a picture (C, H, W), as a PNG."""
    pixels = ((x.expand(3, -1, -1).permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).byte().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return intake.store(buffer.getvalue())


@pytest.fixture(scope="module")
def face():
    """A marked face."""
    return last(EmbedWatermark(image="gallery:4", passphrase=SECRET))


def test_a_marked_face_is_near_its_twin_and_the_twin_nearer_to_the_face(face):
    assert 30 < face.psnr < face.way and face.way > 50 and face.ssim > 0.9
    assert face.psnr == pytest.approx(float(psnr(face.marked[None], face.twin[None])))
    assert face.gauge.random < face.gauge.mark < face.gauge.largest and face.gauge.random < face.gauge.bound
    assert len(face.fingerprint) == 19


def test_its_key_is_found_and_no_other(face):
    reference = uploaded(face.marked)
    found = last(VerifyWatermark(image=reference, passphrase=SECRET))
    assert found.z > 10 and found.analytic < 1e-20 and found.keys == 1 / 1000 and found.pictures == 1 / 2001
    assert found.fingerprint == face.fingerprint and "carries the mark" in found.sentence
    other = last(VerifyWatermark(image=reference, passphrase=SECRET + "!"))
    assert abs(other.z) < 4 and "no evidence" in other.sentence and other.fingerprint != face.fingerprint
    unmarked = last(VerifyWatermark(image="gallery:4", passphrase=SECRET))
    assert "no evidence" in unmarked.sentence


def test_it_outlives_jpeg_and_is_found_where_it_was_turned_to(face):
    for chain, search in (("jpeg", False), ("rotate:10", True)):
        reference = uploaded(attack(face.marked[None], parse(chain))[0])
        found = last(VerifyWatermark(image=reference, passphrase=SECRET, search=search))
        assert "carries the mark" in found.sentence
    assert found.undone.startswith("a turn of 10°") and found.tries == len(found.words) * 64 * 64
    assert float(found.parts.plane.sum()) == pytest.approx(found.z, abs=1e-3)
    assert float(found.surface.max()) == pytest.approx(found.z, abs=1e-3)


def test_a_face_is_marked_while_it_is_made():
    found = last(EmbedWatermark(image="sample:7:happy", scenario="sampling", passphrase=SECRET))
    assert torch.equal(found.x_0, found.twin) and 25 < found.psnr < 50
    with pytest.raises(BadInput, match="name one such as sample:7:happy"):
        run(EmbedWatermark(image="gallery:1", scenario="sampling", passphrase=SECRET))


def test_taking_off_singular_vectors_leaves_less_for_the_posterior_mean(face):
    off = last(EmbedWatermark(image="gallery:4", passphrase=SECRET, off=8))
    assert off.gauge.mark < face.gauge.mark


def test_shipped_faces_to_compare_with_are_computed_again():
    shipped = cache.find(CalibrateWatermark())
    again = last(CalibrateWatermark(pictures=20))
    # levels are of all pictures, so that a few give others: compare the pictures before they are divided by them
    ratio = again.levels.square().mean() / shipped.levels.square().mean()
    assert shipped.coefficients.shape[0] == 2000 and 0.8 < float(ratio) < 1.25
    a, b = again.coefficients.float().flatten(), shipped.coefficients[:20].float().flatten()
    assert float(torch.corrcoef(torch.stack([a, b]))[0, 1]) > 0.98


def test_faces_to_compare_with_are_rounded_as_a_file_holds_them():
    rounded, (exact, _) = unmarked(card("avatars"), 7, 3), held_out(card("avatars"), range(7, 10))
    levels = (rounded + 1) * 127.5
    torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
    assert 0 < float((rounded - exact).abs().max()) <= 1 / 255 + 1e-6


@pytest.mark.parametrize("fields", [{}, {"channels": "all"}, {"how": "replace"}, {"family": "rings"}])
def test_digits_carry_it_too(fields):
    found = last(EmbedWatermark(**DIGITS | fields, image="gallery:0"))
    assert found.marked.shape == (1, 8, 8) and found.psnr > 10
    shared = {name: value for name, value in fields.items() if name != "how"}
    seen = last(VerifyWatermark(**DIGITS | shared, image=uploaded(found.marked)))
    assert seen.pictures is None and len(seen.others) == 0, "nothing is shipped for these settings"


def test_progress_counts_evaluations():
    events = list(run(EmbedWatermark(**DIGITS, image="gallery:1", steps=5)))
    assert sum(isinstance(e, Progress) and e.what == "network evaluations" for e in events) == 10


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"passphrase": ""}, "give a passphrase"),
        ({"passphrase": "   "}, "give a passphrase"),
        ({"strength": 0.0}, "strength must be above 0"),
        ({"inner": 5.0, "outer": 4.0}, "0 <= inner < outer"),
        ({"t": 0.0}, "above 0 and at most 1"),
        ({"off": 65}, "0 to 64 singular vectors"),
        ({"salt": "not hex", "model": "digits", "outer": 3.0, "inner": 1.0}, "hexadecimal"),
        ({"model": "digits", "inner": 30.0, "outer": 40.0}, "between these radii"),
        ({"model": "digits", "inner": 1.0, "outer": 4.0, "channels": "red"}, "grey"),
    ],
)
def test_what_cannot_be_is_a_sentence(fields, sentence):
    try:
        *_, found = run(EmbedWatermark(**{"passphrase": SECRET} | fields))
        words = found.sentence
    except BadInput as error:
        words = str(error)
    assert sentence in words and SECRET not in words


def test_a_chain_is_applied_and_a_bad_one_refused():
    found = last(Attack(model="digits", image="gallery:2", chain="noise:0.1", seed=3))
    expected = attack(found.before[None], parse("noise:0.1"), 3)[0]
    assert torch.equal(found.after, expected) and 15 < found.psnr < 25
    with pytest.raises(BadInput, match="An attack is one of"):
        run(Attack(chain="explode"))


def test_a_chain_may_hold_what_a_network_does():
    found = last(
        Attack(model="digits", image="gallery:2", chain="regenerate:0.2,adversarial:4,jpeg:60", seed=3)
    )
    model = load("digits")
    chain = parse("regenerate:0.2,adversarial:4,jpeg:60")
    expected = finish(attacked(model.denoiser, model.reader(), found.before[None], chain, 3))
    torch.testing.assert_close(found.after, expected[0], atol=0.02, rtol=0)
    *_, refused = run(Attack(model="gaussian", chain="adversarial"))
    assert "needs a network that reads" in refused.sentence


def test_no_link_and_no_line_gives_the_passphrase_away():
    for request in (EmbedWatermark(passphrase=SECRET), VerifyWatermark(passphrase=SECRET)):
        assert request.to_query() is None and "passphrase" in request.why_no_link()
        assert SECRET not in request.to_python() and "getpass" in request.to_python()
    with pytest.raises(BadInput, match="cannot carry"):
        Request.from_query(f"v=1&do=EmbedWatermark&passphrase={SECRET.replace(' ', '+')}")
