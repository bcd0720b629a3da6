import hashlib
import hmac
import json
import unicodedata
from dataclasses import asdict, replace

import pytest

from backend.request import BadInput
from backend.watermark import key as module
from backend.watermark.key import Key, derive, random_keys
from backend.watermark.scheme import Scheme

SCHEME = Scheme("phases", "zero", 2.0, 10.0, "all", 0.3, 20)
TEXT = '{"centre":"zero","channels":"all","family":"phases","inner":2.0,"outer":10.0,"steps":20,"t":0.3,"version":1}'
WEIGHTS = "ab" * 32
SENTINEL = "xyzzy sentinel Ünïcode"


def test_a_scheme_is_one_line_and_comes_back():
    assert SCHEME.text() == TEXT
    assert Scheme.from_json(json.loads(TEXT)) == SCHEME
    assert "\n" not in TEXT and "luma" in replace(SCHEME, channels="luma").text()


def test_equal_settings_have_equal_text():
    """However a slider or a program spells them."""
    spelled = Scheme("phases", "zero", 2, 10, "all", 0.1 + 0.2, 20)
    assert 0.1 + 0.2 != 0.3 and spelled == SCHEME and spelled.text() == TEXT
    assert (
        Scheme("rings", "zero", -0.0, 10, "all", 1, 1).text()
        == Scheme("rings", "zero", 0, 10, "all", 1, 1).text()
    )
    assert replace(SCHEME, t=0.30001).text() != TEXT


WRONG = {
    "family": ["circles", 1, None, ["phases"]],
    "centre": ["corner", 0],
    "channels": ["alpha", "", True],
    "inner": [-0.1, 10, 11.0, "2", True, None, float("nan"), 10**400],
    "outer": [2, 1, 1024.1, "10", float("inf"), float("nan"), 10**400, [10]],
    "t": [0, -0.3, 1.1, 1e-7, True, "0.3", None, float("nan"), float("inf"), 10**400],
    "steps": [0, 201, 20.0, "20", True, None, 10**400],
    "version": [2, 0, "1", True, None, 1.0],
}


@pytest.mark.parametrize("name, value", [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_scheme_is_refused(name, value):
    with pytest.raises(BadInput, match=r"^[A-Z][^\n]{10,150}\.$"):
        Scheme.from_json(asdict(SCHEME) | {name: value})


@pytest.mark.parametrize("values", [None, [], "scheme", {}, asdict(SCHEME) | {"seed": 1}])
def test_a_scheme_with_other_fields_is_refused(values):
    with pytest.raises(BadInput, match=r"^[A-Z].*\.$"):
        Scheme.from_json(values)
    without = asdict(SCHEME)
    del without["t"], without["steps"]
    with pytest.raises(BadInput, match="lacks t, steps"):
        Scheme.from_json(without)


@pytest.mark.parametrize("salt", ["", "00ff", "f" * 64])
def test_the_secret_is_scrypt_of_what_is_documented(salt):
    bound = hashlib.sha256((WEIGHTS + TEXT).encode()).hexdigest()
    salted = ("subspace-lab/1/" + salt + bound).encode()
    plain = unicodedata.normalize("NFC", SENTINEL).encode()
    assert derive(SENTINEL, SCHEME, WEIGHTS, salt).secret == hashlib.scrypt(
        plain, salt=salted, n=2**14, r=8, p=1, dklen=32
    )


def test_scrypt_is_that_of_the_standard():
    """RFC 7914, section 12, with our N, r and p; its key has 64 bytes, of which PBKDF2's first block is ours."""
    vector = "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
    made = hashlib.scrypt(b"pleaseletmein", salt=b"SodiumChloride", n=2**14, r=8, p=1, dklen=32)
    assert made.hex() == vector


def test_the_derivation_is_pinned():
    """The literal is the promise: a mark made today is found tomorrow."""
    assert derive("correct horse", SCHEME, WEIGHTS).fingerprint == "7bac 0e81 f4f3 7bbd"


def test_every_bound_thing_makes_another_key():
    schemes = [
        replace(SCHEME, **{name: value})
        for name, value in {
            "family": "rings", "centre": "nyquist", "inner": 3, "outer": 11, "channels": "red", "t": 0.31, "steps": 21,
        }.items()
    ]  # fmt: skip
    keys = [derive("passphrase", scheme, WEIGHTS) for scheme in [SCHEME, *schemes]]
    keys += [derive("Passphrase", SCHEME, WEIGHTS), derive("passphrase ", SCHEME, WEIGHTS)]
    keys += [derive("passphrase", SCHEME, "cd" * 32), derive("passphrase", SCHEME, "")]
    keys += [derive("passphrase", SCHEME, WEIGHTS, "00"), derive("passphrase", SCHEME, WEIGHTS, "0000")]
    assert len({key.secret for key in keys}) == len({key.fingerprint for key in keys}) == len(keys) == 14


def test_two_spellings_of_one_text_are_one_passphrase():
    nfd = unicodedata.normalize("NFD", SENTINEL)
    assert nfd != SENTINEL and derive(nfd, SCHEME, WEIGHTS) == derive(SENTINEL, SCHEME, WEIGHTS)
    assert derive("abcd", SCHEME, "", "AB") == derive("abcd", SCHEME, "", "ab")


@pytest.mark.parametrize(
    "passphrase, salt, sentence",
    [
        ("", "", "Please give a passphrase; it is what the watermark's key is made from."),
        (" \t\u2003" * 3, "", "Please give a passphrase; it is what the watermark's key is made from."),
        ("xyz", "", "A passphrase must have at least 4 characters."),
        ("e\u0301e\u0301", "", "A passphrase must have at least 4 characters."),  # two characters, however they are written
        (SENTINEL + "x" * 1000, "", "A passphrase can have at most 1,000 characters."),
        (SENTINEL + "\ud800", "", "A passphrase must be plain text."),
        (None, "", "A passphrase must be plain text."),
        (SENTINEL, "0g", "The salt of a key must be up to 64 hexadecimal digits."),
        (SENTINEL, "0" * 65, "The salt of a key must be up to 64 hexadecimal digits."),
        (SENTINEL, "00\n", "The salt of a key must be up to 64 hexadecimal digits."),
        (SENTINEL, None, "The salt of a key must be up to 64 hexadecimal digits."),
    ],
)  # fmt: skip
def test_a_bad_passphrase_is_refused_and_not_repeated(passphrase, salt, sentence):
    with pytest.raises(BadInput) as refusal:
        derive(passphrase, SCHEME, WEIGHTS, salt)
    assert str(refusal.value) == sentence
    assert refusal.value.__context__ is None  # which would carry the text


def test_the_limits_are_allowed():
    assert derive("abcd", SCHEME, "") != derive("x" * 1000, SCHEME, "")


def test_a_key_never_shows_itself():
    made = derive(SENTINEL, SCHEME, WEIGHTS)
    for text in (repr(made), str(made), f"{made}", f"{[made]}", "%s" % made):  # noqa: UP031
        assert text.strip("[]") == f"Key({made.fingerprint})"
        assert SENTINEL not in text and made.secret.hex() not in text and repr(made.secret) not in text
    with pytest.raises(TypeError):
        json.dumps(made)
    for wrong in (made.secret[:-1], made.secret.hex(), None):
        with pytest.raises(ValueError, match=r"^A key has 32 bytes\.$"):
            Key(wrong)


def test_a_fingerprint_is_a_hash_of_the_secret():
    secret = bytes(range(32))
    digits = hashlib.sha256(b"fingerprint/" + secret).hexdigest()[:16]
    assert Key(secret).fingerprint.replace(" ", "") == digits
    assert [len(group) for group in Key(secret).fingerprint.split(" ")] == [4, 4, 4, 4]


def test_sub_keys_are_hmac_of_their_number():
    key = Key(bytes(range(32)))
    for number in (0, 12, 9_999):
        assert (
            key.sub_key(number).secret
            == hmac.new(key.secret, f"sub-key/{number}".encode(), "sha256").digest()
        )
    many = [key.sub_key(number).secret for number in range(1000)] + [
        key.secret,
        key.sub_key(1).sub_key(1).secret,
    ]
    assert len(set(many)) == 1002


@pytest.mark.parametrize("number", [-1, 10_000, 1.0, "1", True, None])
def test_other_sub_keys_are_refused(number):
    with pytest.raises(BadInput, match="whole number from 0 to 9,999"):
        Key(bytes(32)).sub_key(number)


def test_random_keys_depend_on_the_seed_alone():
    keys = random_keys(5, 7)
    data = hashlib.shake_256(b"random keys/7").digest(160)
    assert [key.secret for key in keys] == [data[i : i + 32] for i in range(0, 160, 32)]
    assert random_keys(3, 7) == keys[:3] and random_keys(0, 7) == []
    assert len({key.secret for seed in range(20) for key in random_keys(100, seed)}) == 2000
    bits = "".join(f"{byte:08b}" for key in random_keys(1000, 1) for byte in key.secret)
    assert abs(bits.count("1") - 128_000) < 4 * 253  # 4 sd of 256,000 fair bits


def test_nothing_is_remembered(monkeypatch):
    """No cache holds a passphrase or a secret: the second time costs scrypt again."""
    calls, scrypt = [], hashlib.scrypt
    monkeypatch.setattr(module.hashlib, "scrypt", lambda *a, **k: calls.append(1) or scrypt(*a, **k))
    assert derive("passphrase", SCHEME, WEIGHTS) == derive("passphrase", SCHEME, WEIGHTS)
    assert len(calls) == 2
