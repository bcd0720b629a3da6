"""A key file: what one needs beside the passphrase to find one's marks again. JSON, without the secret.

    {"format": 1, "kind": "Subspace Lab watermark key", "model": ..., "weights": sha256, "scheme": {...},
     "salt": 32 hex digits, "fingerprint": "ab12 cd34 ef56 7890", "created": "2025-01-31"}

Salt, weights and scheme go into the secret, so a file in which one of them was changed opens no more than with a wrong passphrase. Whoever
has the file can try passphrases against its fingerprint, at the price that scrypt sets; a long passphrase is what protects it.
"""

import hmac
import json
import re
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from backend.request import BadInput, require
from backend.watermark.key import Key, checked_salt, derive
from backend.watermark.scheme import Scheme

FORMAT = 1
KIND = "Subspace Lab watermark key"
LARGEST_FILE = 10_000  # bytes; one has about 500
NOT_ONE = "This is not a key file of Subspace Lab."
DAMAGED = "This key file is damaged: one of its entries is missing, unknown or malformed."
WRONG_PASSPHRASE = "This passphrase does not open this key file, or the file was changed after it was made."

_FIELDS = {"format", "kind", "model", "weights", "scheme", "salt", "fingerprint", "created"}
_WORDS = {  # of a scheme's fields, in sentences
    "family": "the kind of pattern",
    "centre": "the centre of the pattern",
    "inner": "the inner radius",
    "outer": "the outer radius",
    "channels": "the channels",
    "t": "the time t",
    "steps": "the number of steps",
}


@dataclass(frozen=True)
class KeyFile:
    """What a key file says: the model's name, sha256 of its weights ("" for a closed form), the scheme, the salt in hex, the key's
    fingerprint, and the day it was made, as an ISO date.

    Raises:
        BadInput: for a malformed entry.
    """

    model: str
    weights: str
    scheme: Scheme
    salt: str
    fingerprint: str
    created: str

    def __post_init__(self) -> None:
        texts = (self.model, self.weights, self.salt, self.fingerprint, self.created)
        require(all(isinstance(text, str) for text in texts), DAMAGED)
        require(
            bool(re.fullmatch(r"[\w.+-][\w./+ -]{0,99}", self.model)), DAMAGED
        )  # it is shown in sentences
        require(bool(re.fullmatch(r"([0-9a-f]{64})?", self.weights)), DAMAGED)
        require(self.salt == checked_salt(self.salt), DAMAGED)
        require(bool(re.fullmatch(r"[0-9a-f]{4}( [0-9a-f]{4}){3}", self.fingerprint)), DAMAGED)
        require(_is_date(self.created), DAMAGED)


def make(passphrase: str, scheme: Scheme, model: str, weights: str) -> KeyFile:
    """A new key file, its salt fresh: made twice, the same passphrase gives two keys. Raises BadInput for the passphrase."""
    salt = secrets.token_hex(16)
    key = derive(passphrase, scheme, weights, salt)
    return KeyFile(model, weights, scheme, salt, key.fingerprint, datetime.now(UTC).date().isoformat())


def to_bytes(file: KeyFile) -> bytes:
    """The bytes of the file, JSON in ASCII."""
    return (json.dumps({"format": FORMAT, "kind": KIND} | asdict(file), indent=1) + "\n").encode()


def from_bytes(data: bytes) -> KeyFile:
    """Reads a key file.

    Raises:
        BadInput: if it is none, too large, of another version, or damaged.
    """
    require(len(data) <= LARGEST_FILE, "This file is too large to be a key file.")
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        raise BadInput(NOT_ONE) from None
    require(isinstance(values, dict) and values.get("kind") == KIND, NOT_ONE)
    version = values.get("format")
    newer = type(version) is int and version > FORMAT
    require(not newer, "This key file belongs to a newer version of Subspace Lab.")
    require(type(version) is int and version == FORMAT and set(values) == _FIELDS, DAMAGED)
    entries = {name: values[name] for name in _FIELDS - {"format", "kind", "scheme"}}
    return KeyFile(scheme=Scheme.from_json(values["scheme"]), **entries)


def open_with(file: KeyFile, passphrase: str, model: str, weights: str, scheme: Scheme | None = None) -> Key:
    """The key of a file, for use with this model and scheme, or with the file's own scheme if there is None.

    Raises:
        BadInput: if the file belongs to something else, with what differs, or if the passphrase does not open it.
    """
    other = f'This key file belongs to the model "{file.model}"; choose that model to use it.'
    require(file.model == model, other)
    require(file.weights == weights, "This key file belongs to other weights of this model.")
    if scheme is not None and scheme != file.scheme:
        differ = ", ".join(_differences(file.scheme, scheme))
        raise BadInput(f"This key file was made for other settings of the watermark: {differ}.")
    key = derive(passphrase, file.scheme, file.weights, file.salt)
    require(hmac.compare_digest(key.fingerprint, file.fingerprint), WRONG_PASSPHRASE)
    return key


def _differences(made: Scheme, given: Scheme) -> list[str]:
    """ "the time t (0.3 in the file, 0.4 here)", for each field that differs."""
    there, here = asdict(made), asdict(given)
    return [
        f"{words} ({_shown(there[name])} in the file, {_shown(here[name])} here)"
        for name, words in _WORDS.items()
        if there[name] != here[name]
    ]


def _shown(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)  # all six decimals


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text  # it also reads other spellings
    except ValueError:
        return False
