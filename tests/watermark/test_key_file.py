import json
import traceback
from contextlib import suppress
from dataclasses import asdict, fields, replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.request import BadInput
from backend.watermark.key import derive
from backend.watermark.key_file import (
    DAMAGED,
    LARGEST_FILE,
    NOT_ONE,
    WRONG_PASSPHRASE,
    KeyFile,
    from_bytes,
    make,
    open_with,
    to_bytes,
)
from backend.watermark.scheme import Scheme

SCHEME = Scheme("phases", "zero", 2.0, 10.0, "all", 0.3, 20)
WEIGHTS = "ab" * 32
SENTINEL = "xyzzy sentinel Ünïcode"


@pytest.fixture(scope="module")
def file():
    return make(SENTINEL, SCHEME, "avatars", WEIGHTS)


@pytest.fixture(scope="module")
def values(file):
    return json.loads(to_bytes(file))


def test_a_file_comes_back_and_opens(file):
    data = to_bytes(file)
    assert from_bytes(data) == file and len(data) < 1000 and data.isascii()
    key = open_with(from_bytes(data), SENTINEL, "avatars", WEIGHTS, SCHEME)
    assert (
        key == derive(SENTINEL, SCHEME, WEIGHTS, file.salt) == open_with(file, SENTINEL, "avatars", WEIGHTS)
    )
    assert key.fingerprint == file.fingerprint


def test_it_says_what_is_documented(values):
    assert set(values) == {
        "format", "kind", "model", "weights", "scheme", "salt", "fingerprint", "created",
    }  # fmt: skip
    assert (values["format"], values["kind"]) == (1, "Subspace Lab watermark key")
    assert values["scheme"] == asdict(SCHEME) and len(bytes.fromhex(values["salt"])) == 16
    assert abs((date.fromisoformat(values["created"]) - date.today()).days) <= 1


def test_it_holds_neither_passphrase_nor_secret(file):
    key = derive(SENTINEL, SCHEME, WEIGHTS, file.salt)
    for text in (to_bytes(file).decode(), repr(file)):
        assert "xyzzy" not in text and key.secret.hex() not in text and key.secret.hex()[:16] not in text


def test_made_twice_it_is_another_key(file):
    again = make(SENTINEL, SCHEME, "avatars", WEIGHTS)
    assert again.salt != file.salt and again.fingerprint != file.fingerprint


@pytest.mark.parametrize(
    "given_, words",
    [
        ({"model": "digits"}, ['the model "avatars"']),
        ({"weights": "cd" * 32}, ["other weights"]),
        ({"weights": ""}, ["other weights"]),
        ({"scheme": replace(SCHEME, t=0.4)}, ["the time t (0.3 in the file, 0.4 here)."]),
        ({"scheme": replace(SCHEME, steps=25)}, ["the number of steps (20 in the file, 25 here)."]),
        ({"scheme": replace(SCHEME, family="rings")}, ["the kind of pattern (phases in the file, rings here)."]),
        ({"scheme": replace(SCHEME, channels="red")}, ["the channels (all in the file, red here)."]),
        ({"scheme": replace(SCHEME, centre="nyquist", outer=9)}, ["centre of the pattern", "outer radius (10 in the file, 9 here)."]),
        ({"scheme": replace(SCHEME, inner=2.00001)}, ["the inner radius (2 in the file, 2.00001 here)."]),
        ({"passphrase": SENTINEL + "!"}, [WRONG_PASSPHRASE]),
        ({"passphrase": "another one"}, [WRONG_PASSPHRASE]),
        ({"passphrase": ""}, ["Please give a passphrase"]),
    ],
)  # fmt: skip
def test_it_opens_for_nothing_else(file, given_, words):
    asked = {"passphrase": SENTINEL, "model": "avatars", "weights": WEIGHTS, "scheme": SCHEME} | given_
    with pytest.raises(BadInput, match=r"^[A-Z][^\n]+\.$") as refusal:
        open_with(file, **asked)
    assert all(word in str(refusal.value) for word in words)
    told = "".join(traceback.format_exception(refusal.value)) + repr(refusal.value)
    assert "xyzzy" not in told and "another one" not in told


def test_every_field_of_a_scheme_is_named_where_it_differs(file):
    other = Scheme("rings", "nyquist", 1, 9, "red", 0.4, 25)
    with pytest.raises(BadInput) as refusal:
        open_with(file, SENTINEL, "avatars", WEIGHTS, other)
    assert str(refusal.value).count(" in the file, ") == len(fields(Scheme)) - 1  # its version is one for all


@pytest.mark.parametrize(
    "name, value",
    [("salt", "00" * 16), ("weights", "cd" * 32), ("scheme", replace(SCHEME, steps=21)), ("fingerprint", "0000 " * 3 + "0000")],
)  # fmt: skip
def test_a_changed_file_does_not_open(file, name, value):
    """Even for the model and scheme that it now claims."""
    changed = replace(file, **{name: value})
    with pytest.raises(BadInput) as refusal:
        open_with(changed, SENTINEL, changed.model, changed.weights, changed.scheme)
    assert str(refusal.value) == WRONG_PASSPHRASE


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\x00", b"\xff\xfe\xff", b"{", b"null", b"[]", b"3", b'"key"', b"{}", b"[" * 9_000, b'{"a":' * 1_900, b"9" * 9_000,
        b'{"format": 1}', b'{"format": 1, "kind": "Subspace Lab directions"}', b'{"format": 1, "kind": ["Subspace Lab watermark key"]}',
    ],
)  # fmt: skip
def test_other_files_are_refused(data):
    with pytest.raises(BadInput) as refusal:
        from_bytes(data)
    assert str(refusal.value) == NOT_ONE


def test_a_large_file_is_refused_before_it_is_read(monkeypatch):
    monkeypatch.setattr(json, "loads", None)
    with pytest.raises(BadInput, match="too large"):
        from_bytes(b" " * (LARGEST_FILE + 1))


def test_a_newer_file_is_refused_as_such(values):
    newer = {"kind": values["kind"], "format": 2, "anything": []}
    with pytest.raises(BadInput, match="newer version"):
        from_bytes(json.dumps(newer).encode())
    with pytest.raises(BadInput, match="scheme belongs to another version"):
        from_bytes(json.dumps(values | {"scheme": {"version": 2, "shape": "star"}}).encode())


WRONG = {
    "format": [0, "1", True, 1.0, None],
    "model": ["", 3, None, "a" * 101, "<img src=x>", 'a"b', "a\nb", "\ud800", ["avatars"]],
    "weights": ["ab", "AB" * 32, "zz" * 32, None, 3, "ab" * 32 + "\n"],
    "salt": [None, 3, "zz", "AB", "0" * 65],
    "fingerprint": ["", "0000", None, "00000000 0000 0000", "ABCD 0000 0000 0000", ["0000 0000 0000 0000"]],
    "created": ["", "yesterday", "20250131", "2025-02-30", 3, None, "2025-W05-5"],
}


@pytest.mark.parametrize(
    "name, value", [(name, value) for name, entries in WRONG.items() for value in entries]
)
def test_a_malformed_entry_is_refused(values, name, value):
    with pytest.raises(BadInput, match=r"^[A-Z][^\n]+\.$"):
        from_bytes(json.dumps(values | {name: value}).encode())


def test_a_missing_or_unknown_entry_is_refused(values):
    for name in set(values) - {"kind"}:
        with pytest.raises(BadInput) as refusal:
            from_bytes(json.dumps({k: v for k, v in values.items() if k != name}).encode())
        assert str(refusal.value) == DAMAGED
    with pytest.raises(BadInput) as refusal:
        from_bytes(json.dumps(values | {"secret": "00"}).encode())
    assert str(refusal.value) == DAMAGED


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_file_cut_or_overwritten_anywhere_is_refused_or_still_one(data):
    whole = to_bytes(KeyFile("avatars", WEIGHTS, SCHEME, "00" * 16, "ab12 cd34 ef56 7890", "2025-01-31"))
    i = data.draw(st.integers(0, len(whole) - 1))
    patch = data.draw(st.binary(max_size=3))
    end = whole[i + len(patch) :] if data.draw(st.booleans()) else b""
    with suppress(BadInput):
        assert isinstance(from_bytes(whole[:i] + patch + end), KeyFile)
