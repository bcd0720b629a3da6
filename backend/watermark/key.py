"""From a passphrase to the secret that a pattern is drawn from.

    secret = scrypt(passphrase, "subspace-lab/1/" + salt + SHA-256(weights + scheme)),    N = 2^14, r = 8, p = 1

(scrypt: RFC 7914, https://www.rfc-editor.org/rfc/rfc7914). Model, t, steps and scheme are in the salt, so that a passphrase gives another
key for each of them. A guess costs an attacker 16 MiB and about 50 ms, and so it costs us: nothing is remembered between two requests.
The secret is shown nowhere; a fingerprint stands for it.
"""

import hashlib
import hmac
import re
import unicodedata
from dataclasses import dataclass
from typing import Self

from backend.request import BadInput, require
from backend.watermark.scheme import Scheme

SHORTEST, LONGEST = 4, 1000  # characters of a passphrase
MOST_SUB_KEYS = 10_000
_BYTES = 32
_SALT = re.compile(r"[0-9a-f]{0,64}")


@dataclass(frozen=True, repr=False)
class Key:
    """32 secret bytes. Printed, it shows its fingerprint alone."""

    secret: bytes

    def __post_init__(self) -> None:
        if not isinstance(self.secret, bytes) or len(self.secret) != _BYTES:
            raise ValueError(f"A key has {_BYTES} bytes.")  # and never says which

    def __repr__(self) -> str:
        return f"Key({self.fingerprint})"

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits in groups of four, from SHA-256 of "fingerprint/" and the secret: "ab12 cd34 ef56 7890"."""
        digits = hashlib.sha256(b"fingerprint/" + self.secret).hexdigest()[:16]
        return " ".join(digits[i : i + 4] for i in range(0, 16, 4))

    def sub_key(self, number: int) -> Self:
        """The key for one picture or one use, 0 to 9,999: HMAC-SHA256 of "sub-key/" and the decimal number. A sub-key tells nothing of
        this key or of the others, and an average of pictures that each have their own shows none of them.

        Raises:
            BadInput: if there is no sub-key of that number.
        """
        known = type(number) is int and 0 <= number < MOST_SUB_KEYS
        require(known, f"The number of a sub-key must be a whole number from 0 to {MOST_SUB_KEYS - 1:,}.")
        return type(self)(hmac.digest(self.secret, b"sub-key/%d" % number, "sha256"))


def derive(passphrase: str, scheme: Scheme, weights: str, salt: str = "") -> Key:
    """The key of a passphrase for one model and scheme.

    Args:
        passphrase: 4 to 1,000 characters; equal after Unicode's composition (NFC) is equal, so that keyboards agree. Spaces count.
        weights: sha256 of the network in hex, "" for a closed form.
        salt: up to 64 hexadecimal digits, from the key file; "" without one, when equal passphrases give equal keys to all.

    Raises:
        BadInput: for a passphrase or salt that cannot be one; the sentence quotes neither.
    """
    # a surrogate is half a character: encoding would fail, with the passphrase in the exception
    good = isinstance(passphrase, str) and not any(unicodedata.category(c) == "Cs" for c in passphrase)
    require(good, "A passphrase must be plain text.")
    require(
        bool(passphrase.strip()), "Please give a passphrase; it is what the watermark's key is made from."
    )
    require(len(passphrase) <= LONGEST, f"A passphrase can have at most {LONGEST:,} characters.")
    passphrase = unicodedata.normalize("NFC", passphrase)
    require(len(passphrase) >= SHORTEST, f"A passphrase must have at least {SHORTEST} characters.")
    bound = hashlib.sha256((weights + scheme.text()).encode()).hexdigest()
    salted = f"subspace-lab/1/{checked_salt(salt)}{bound}".encode()
    return Key(hashlib.scrypt(passphrase.encode(), salt=salted, n=2**14, r=8, p=1, dklen=_BYTES))


def checked_salt(salt: str) -> str:
    """The salt in lower case. Raises BadInput unless it is up to 64 hexadecimal digits."""
    if not isinstance(salt, str) or not _SALT.fullmatch(salt.lower()):
        raise BadInput("The salt of a key must be up to 64 hexadecimal digits.")
    return salt.lower()


def random_keys(count: int, seed: int) -> list[Key]:
    """Keys that nobody has, for what a score is without the right one: from the seed by SHAKE-256; more of them begin with the same."""
    data = hashlib.shake_256(b"random keys/%d" % seed).digest(_BYTES * count)
    return [Key(data[i : i + _BYTES]) for i in range(0, len(data), _BYTES)]
