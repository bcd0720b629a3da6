import hashlib
import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from backend.inference import intake
from backend.inference.cache import Cache
from backend.inference.intake import held, image_from_bytes, open_upload, open_whole, store
from backend.request import BadInput


@pytest.fixture(autouse=True)
def empty(monkeypatch) -> None:
    monkeypatch.setattr(intake, "_held", Cache(2**20, len))


def encode(picture: Image.Image | np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def photograph(height: int = 48, width: int = 64) -> np.ndarray:
    """Smooth colours that differ in every corner, uint8 (H, W, 3)."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return np.stack([255 * x, 255 * y, 120 + 80 * x * y], axis=-1).round().astype(np.uint8)


def pixels(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.copy()).permute(2, 0, 1) / 127.5 - 1


def png(width: int, height: int, rows: bytes = b"") -> bytes:
    """A PNG of any claimed size, RGB, with these compressed rows."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def animation(kind: str) -> bytes:
    frames = [Image.fromarray(photograph() // n) for n in (1, 2)]
    return encode(frames[0], kind, save_all=True, append_images=frames[1:])


BAD = {
    "empty": (b"", "This file is empty."),
    "text": (b"hello, world", intake.UNREADABLE),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', intake.UNREADABLE),
    "pdf": (encode(photograph(), "PDF"), intake.UNREADABLE),
    "tiff": (encode(photograph(), "TIFF"), intake.UNREADABLE),
    "eps": (encode(photograph(), "EPS"), intake.UNREADABLE),
    "cut png": (encode(photograph())[:200], intake.UNREADABLE),
    "cut jpeg": (encode(photograph(), "JPEG")[:-200], intake.UNREADABLE),
    "damaged png": (encode(photograph())[:100] + b"\0" * 50 + encode(photograph())[150:], intake.UNREADABLE),
    "png without pixels": (png(64, 64), intake.UNREADABLE),
    "animated gif": (animation("GIF"), "This file is an animation; please use a single picture."),
    "animated png": (animation("PNG"), "This file is an animation; please use a single picture."),
    "animated webp": (animation("WEBP"), "This file is an animation; please use a single picture."),
    "one pixel": (
        encode(photograph(1, 1)),
        "This picture is 1 x 1 pixels; it needs at least 8 on each side.",
    ),
    "thin": (
        encode(photograph(4, 900)),
        "This picture is 900 x 4 pixels; it needs at least 8 on each side.",
    ),
    "100 megapixels": (png(10_000, 10_000, zlib.compress(b"")), intake.TOO_LARGE),
    "huge header": (png(2**31 - 1, 2**31 - 1), intake.TOO_LARGE),
    "no width": (png(0, 64), intake.UNREADABLE),
    "large file": (
        encode(photograph()) + b"\0" * 10 * 2**20,
        "This file is too large; the limit is 10 megabytes.",
    ),
}


@pytest.mark.parametrize("data, sentence", BAD.values(), ids=BAD.keys())
@pytest.mark.parametrize(
    "door", [lambda data: image_from_bytes(data, 64), store], ids=["image_from_bytes", "store"]
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bad_file_is_refused_with_one_sentence(door, data, sentence) -> None:
    with pytest.raises(BadInput) as refusal:
        door(data)
    assert str(refusal.value) == sentence
    assert intake._held.bytes == 0


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bomb_is_refused_before_it_unfolds(monkeypatch) -> None:
    bomb = png(7_200, 7_200, zlib.compress(b"\0" * (7_200 * 21_601)))  # 156 MB of pixels in 150 kB
    assert len(bomb) < 2**20

    def unfold(*_: Any) -> None:
        raise OSError("the pixels were decoded")  # which would be told as an unreadable file

    monkeypatch.setattr(ImageFile.ImageFile, "load", unfold)
    with pytest.raises(BadInput, match="too many pixels; the limit is 50 megapixels"):
        image_from_bytes(bomb, 64)
    with pytest.raises(BadInput, match="cannot be read"):
        image_from_bytes(encode(photograph()), 64)


@pytest.mark.timeout(60)
def test_a_text_bomb_is_refused_or_ignored() -> None:
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("comment", "x" * 50_000_000, zip=True)
    with pytest.raises(BadInput):
        image_from_bytes(encode(photograph(), pnginfo=text), 32)


def test_a_picture_of_the_right_size_comes_through_exactly() -> None:
    array = photograph(48, 48)
    picture = image_from_bytes(encode(array), 48)
    assert (picture.dtype, picture.shape) == (torch.float32, (3, 48, 48))
    torch.testing.assert_close(picture, pixels(array))
    assert (picture.min(), picture.max()) == (-1, 1)


def test_the_centre_square_is_averaged_by_area() -> None:
    array = photograph(64, 100)
    square = array[:, 18:82].astype(float).reshape(16, 4, 16, 4, 3).mean((1, 3))
    picture = image_from_bytes(encode(array), 16)
    torch.testing.assert_close(picture, pixels(square).float(), atol=1.01 / 127.5, rtol=0)
    tall = image_from_bytes(encode(array.transpose(1, 0, 2).copy()), 16)
    torch.testing.assert_close(tall, picture.mT, atol=1.01 / 127.5, rtol=0)


def test_a_small_picture_is_enlarged_smoothly() -> None:
    picture = image_from_bytes(encode(photograph(16, 16)), 64)
    assert picture.shape == (3, 64, 64)
    assert (picture[0].diff(dim=1) >= 0).all()
    assert len(picture[0, 32].unique()) > 40  # 16 columns would give 16 steps


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_upright(orientation: int) -> None:
    upright = photograph(48, 48)
    stored = {  # how a camera held that way stores it: EXIF 2.32, Orientation
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = image_from_bytes(encode(np.ascontiguousarray(stored), exif=exif), 48)
    torch.testing.assert_close(picture, pixels(upright))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF:UserWarning")
def test_damaged_exif_is_no_reason_to_crash() -> None:
    data = encode(photograph(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    try:
        assert image_from_bytes(data, 32).shape == (3, 32, 32)
    except BadInput as refusal:
        assert str(refusal) == intake.UNREADABLE


def test_transparency_is_put_on_white() -> None:
    array = np.zeros((48, 48, 4), np.uint8)
    array[:, 24:, 3] = 255  # black, the left half invisible
    for kind in "PNG", "WEBP":
        picture = image_from_bytes(encode(array, kind, lossless=True), 48)
        assert (picture[:, :, :24] == 1).all()
        assert (picture[:, :, 24:] == -1).all()


def test_a_transparent_palette_colour_is_put_on_white() -> None:
    picture = Image.new("P", (48, 48), 1)
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.paste(0, (0, 0, 24, 48))
    for kind in "PNG", "GIF":
        seen = image_from_bytes(encode(picture, kind, transparency=0), 48)
        assert (seen[:, :, :24] == 1).all()
        assert seen[:, 0, 40].tolist() == [-1, -1, 1]


def test_grey_with_transparency_is_put_on_white() -> None:
    picture = image_from_bytes(encode(Image.new("LA", (48, 48), (0, 0))), 48)
    assert (picture == 1).all()


def test_16_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65_535, 48).astype(np.uint16)[None].repeat(48, 0)
    picture = image_from_bytes(encode(ramp), 48)
    expected = torch.linspace(-1, 1, 48).expand(3, 48, 48)
    torch.testing.assert_close(picture, expected, atol=1 / 255, rtol=0)


def test_16_bit_colour_is_read() -> None:
    rows = b"".join(b"\0" + struct.pack(">HHH", 65_535, 32_768, 0) * 48 for _ in range(48))
    data = bytearray(png(48, 48, zlib.compress(rows)))
    data[24] = 16  # bit depth, in the header
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    picture = image_from_bytes(bytes(data), 48)
    torch.testing.assert_close(picture[:, 5, 5], torch.tensor([1.0, 0.0, -1.0]), atol=1 / 127, rtol=0)


@pytest.mark.parametrize("mode", ["CMYK", "L", "1", "P", "YCbCr"])
def test_other_colour_modes_become_rgb(mode: str) -> None:
    source = Image.fromarray(photograph(48, 48)).convert(mode)
    kind, options = ("JPEG", {"quality": 100}) if mode in ("CMYK", "YCbCr") else ("PNG", {})
    picture = image_from_bytes(encode(source, kind, **options), 48)
    expected = pixels(np.array(source.convert("RGB")))
    assert (picture - expected).abs().mean() < 0.02


def test_a_telephone_photograph_with_its_preview_is_not_an_animation() -> None:
    frames = [Image.fromarray(photograph(64, 64)), Image.fromarray(photograph(32, 32))]
    data = encode(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert image_from_bytes(data, 32).shape == (3, 32, 32)


def test_an_upload_is_held_under_the_hash_of_its_contents() -> None:
    data = encode(photograph(), "JPEG")
    reference = store(data)
    assert reference == "upload:" + hashlib.sha256(held(reference)).hexdigest() == store(data)
    torch.testing.assert_close(open_upload(reference, (3, 48, 48)), image_from_bytes(data, 48))


def test_an_upload_keeps_no_metadata() -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    kept = held(store(encode(photograph(), "JPEG", exif=exif, comment=b"at home")))
    assert b"home" not in kept
    assert not Image.open(io.BytesIO(kept)).getexif()


@pytest.mark.parametrize(
    ("size", "kept"), [((1_500, 2_000), (1_365, 1_024)), ((400, 90), (90, 270)), ((48, 64), (64, 48))]
)
def test_a_large_upload_is_kept_small_and_whole_unless_it_is_a_strip(
    size: tuple[int, int], kept: tuple[int, int]
) -> None:
    reference = store(encode(photograph(*size), "PNG"))
    assert Image.open(io.BytesIO(held(reference))).size == kept
    assert open_whole(reference).shape == (3, *kept[::-1])


def test_only_an_upload_has_a_whole() -> None:
    with pytest.raises(BadInput, match="whole already"):
        open_whole("gallery:3")


def test_two_people_cannot_overwrite_each_other() -> None:
    first, second = store(encode(photograph())), store(encode(photograph()[::-1].copy()))
    assert first != second
    assert not torch.equal(open_upload(first, (3, 32, 32)), open_upload(second, (3, 32, 32)))


def test_a_grey_model_sees_luma() -> None:
    red = store(encode(np.full((16, 16, 3), (255, 0, 0), np.uint8)))
    seen = open_upload(red, (1, 8, 8))
    torch.testing.assert_close(seen, torch.full((1, 8, 8), 2 * 0.299 - 1))


def test_the_oldest_uploads_are_dropped(monkeypatch) -> None:
    monkeypatch.setattr(intake, "_held", Cache(1_000, len))
    references = [store(encode(np.full((16, 16, 3), grey, np.uint8))) for grey in range(40)]
    assert intake._held.bytes <= 1_000
    held(references[-1])
    with pytest.raises(BadInput, match=r"^This upload is no longer held; please upload it again\.$"):
        held(references[0])


@pytest.mark.parametrize(
    "reference",
    ["", "upload:", "upload:../../etc/passwd", "upload:" + "G" * 64, "gallery:1", "upload:" + "0" * 65],
)
def test_only_references_are_looked_up(reference: str) -> None:
    with pytest.raises(BadInput, match="not a reference"):
        held(reference)
