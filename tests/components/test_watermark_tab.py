"""The watermark tab's handlers on shipped results, and its endpoints as a program meets them."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from backend.experiments.watermark import Attack, EmbedWatermark
from backend.experiments.watermark_verify import CalibrateWatermark, VerifyWatermark, calibration_of
from backend.inference import cache, intake
from backend.inference.load import load
from backend.inference.run import run
from backend.request import BadInput, Failed
from backend.watermark import attacks, key_file
from components import watermark_attack_panel as attack
from components import watermark_embed_panel as embed
from components import watermark_first
from components import watermark_key_panel as keys
from components import watermark_verify_panel as verify

SECRET = "nobody knows this one"
SMALL = {"model": "patches", "inner": 1.0, "outer": 4.0, "steps": 3}  # quick to mark


def asked(request):
    *_, result = run(request)
    assert not isinstance(result, Failed), result
    return result


@pytest.fixture(scope="module")
def small():
    return asked(EmbedWatermark(passphrase=SECRET, **SMALL))


def test_the_tab_opens_with_runs_that_can_be_made_again():
    shipped, verdict = cache.find(watermark_first.EMBED), cache.find(watermark_first.verify())
    assert (
        intake.open_upload(watermark_first.reference(), (3, 64, 64)).sub(shipped.marked).abs().max()
        <= 1 / 255 + 1e-4
    )
    *_, again = watermark_first.verify().run(load("avatars"))
    assert again.z == pytest.approx(verdict.z, abs=0.01) and again.sentence == verdict.sentence
    assert verdict.sentence.startswith("This picture carries the mark")


def test_what_is_shown_holds_no_passphrase(small):
    request = EmbedWatermark(passphrase=SECRET, **SMALL)
    shown = str(embed._show(small, request)) + json.dumps(embed.answer(small))
    assert SECRET not in shown and small.fingerprint in shown
    assert request.to_query() is None and SECRET not in request.to_python()
    assert "give away the passphrase" in request.why_no_link()


def test_the_marked_picture_travels_as_8_bits(small):
    reference = embed._show(small, EmbedWatermark(passphrase=SECRET, **SMALL))[3]
    picture = Image.open(io.BytesIO(intake.held(reference)))
    expected = ((small.marked[0] + 1) * 127.5).round().numpy()
    assert np.array_equal(np.asarray(picture)[..., 0], expected)


def test_programs_go_on_from_reference_to_reference(small):
    marked = embed.answer(small)["reference"]
    after = attack.answer(asked(Attack(model="patches", image=marked, chain="noise:.02")))
    assert set(after) == {"before", "after", "psnr", "reference"}
    found = asked(VerifyWatermark(passphrase=SECRET, image=after["reference"], **SMALL))
    raw = np.frombuffer(base64.b64decode(after["after"]["base64"]), "float32").reshape(
        after["after"]["shape"]
    )
    assert np.abs(found.x_0.numpy() - raw).max() <= 1 / 255 + 1e-3  # the picture that was attacked, in 8 bits


def test_another_passphrase_takes_the_place_of_the_first():
    assert verify._read({"passphrase": "first", "other": "second"}) == {"passphrase": "second"}
    assert verify._read({"passphrase": "first", "other": ""}) == {"passphrase": "first"}


def test_a_verdict_without_calibration_offers_one_and_is_not_kept_after_it(small):
    request = VerifyWatermark.parse({"passphrase": SECRET, "image": embed.answer(small)["reference"]} | SMALL)
    before = asked(request)
    assert before.pictures is None and verify._show(before, request)[2].visible
    assert "not calibrated" in verify._numbers(before)
    calibration = calibration_of(request)
    assert (
        CalibrateWatermark(**verify._to_calibrate({k: SMALL[k] for k in ("model", "inner", "outer")}))
        == calibration
    )
    few = asked(CalibrateWatermark(**calibration.values() | {"pictures": 40}))
    cache.results.put(calibration.key(), few)
    after = asked(request)
    assert after.pictures is not None and not verify._show(after, request)[2].visible
    assert verify.counted(few) == {"pictures": 40}


def test_every_model_can_be_calibrated():
    for model, expected in {"avatars": 2000, "digits": 300, "small_faces": 32}.items():
        assert calibration_of(VerifyWatermark(model=model, passphrase=SECRET)).pictures == expected


def test_a_chain_grows_by_buttons_at_strengths_of_the_size():
    assert attack.added("jpeg", "", "avatars") == "jpeg:58"
    assert attack.added("blur", "jpeg:58", "avatars") == "jpeg:58,blur:2.23"
    assert all(
        attacks.parse(attack.added(name, "", model))
        for name in attacks.KINDS
        for model in ("avatars", "patches", "digits")
    )
    with pytest.raises(Exception, match="at most 8"):
        attack.added("flip", ",".join(["flip"] * 8), "avatars")


def test_a_greyscale_or_transparent_upload_is_a_picture_without_evidence():
    for picture in (Image.new("L", (90, 70), 120), Image.new("RGBA", (64, 64), (9, 99, 9, 9))):
        file = io.BytesIO()
        picture.save(file, "PNG")
        reference, note, _ = verify._stored(file.getvalue())
        found = asked(VerifyWatermark(passphrase=SECRET, image=reference, **SMALL))
        assert not note and found.sentence.startswith("There is no evidence")
    assert verify._stored(b"no picture")[1].startswith("**")


# Key files


SETTINGS = {"passphrase": SECRET, "salt": "", "model": "patches", "family": "rings", "centre": "zero", "inner": 1.0, "outer": 4.0, "channels": "luma", "t": 0.2, "steps": 5}  # fmt: skip


def test_a_key_file_fills_settings_and_salt():
    file = keys.saved(SETTINGS)
    assert len(file.salt) == 32 and SECRET.encode() not in key_file.to_bytes(file)
    assert keys.saved(SETTINGS | {"salt": file.salt}).fingerprint == file.fingerprint
    values = keys.opened(key_file.to_bytes(file), SECRET, "patches")
    assert (
        values[:8] == ["rings", "zero", 1.0, 4.0, "luma", 0.2, 5, file.salt] and file.fingerprint in values[8]
    )


@pytest.mark.parametrize(
    ("data", "passphrase", "model", "words"),
    [
        (None, "another one", "patches", "does not open"),
        (None, SECRET, "digits", "belongs to the model"),
        (None, "", "patches", "passphrase"),
        (b"{}", SECRET, "patches", "not a key file"),
        (b"\x89PNG", SECRET, "patches", "not a key file"),
    ],
)
def test_a_key_file_that_does_not_fit_changes_nothing_and_says_why(data, passphrase, model, words):
    data = key_file.to_bytes(keys.saved(SETTINGS)) if data is None else data
    *rest, note = keys.opened(data, passphrase, model)
    assert words in note and all(value == keys.gr.skip() for value in rest)


def test_no_passphrase_is_a_sentence():
    for cls in (EmbedWatermark, VerifyWatermark):
        with pytest.raises(BadInput, match="passphrase"):
            run(cls())
