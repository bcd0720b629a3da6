"""Whose mark is in a picture? It is looked at once, and every key of a keyring is tried on what was seen."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from backend.experiments.watermark import pattern_of
from backend.experiments.watermark_verify import Looking
from backend.inference.load import Model
from backend.request import Progress, option, require
from backend.watermark import detection
from backend.watermark.key import MOST_SUB_KEYS, Key
from backend.watermark.keyring import Identified, identify, sub_keys
from backend.watermark.restoration import LIKELY
from backend.watermark.verdict import ALPHA, NO_PROOF, PROOF

MOST_OTHERS = 50  # passphrases, 50 ms each
MOST_REVOKED = 1000
NAMED = 5  # in a sentence; the result has them all
NOT_A_FINGERPRINT = (
    "A revoked key is named by its fingerprint, 16 hexadecimal digits such as ab12 cd34 ef56 7890."
)


@dataclass(frozen=True)
class Owner:
    """Which of K keys a picture carries.

    names, z (K,): each key in words, and its score under the best guess: the key itself, its sub-keys, the others. found: the name of the key whose
    mark is there, "" for none; fingerprint, sub_key: of that key, "" and -1 where there is none. p: of the largest score, adjusted for all keys and
    guesses, of which there are `tries`. bar: the z that it takes. others: names of further keys that reach it. revoked: whether the key that was
    found is. undone: words for the guess that it was found by. sentence: all this in words.
    """

    names: tuple[str, ...]
    z: Tensor
    found: str
    fingerprint: str
    sub_key: int
    p: float
    tries: int
    bar: float
    others: tuple[str, ...]
    revoked: bool
    undone: str
    sentence: str


@dataclass(frozen=True)
class IdentifyWatermark(Looking):
    """Which key of a keyring has marked a picture: that of the passphrase, one of its sub-keys, or that of another passphrase."""

    sub_keys: int = option(0, "the number of sub-keys to try")
    others: tuple[str, ...] = option((), "the further passphrases", private=True)
    revoked: tuple[str, ...] = option((), "the revoked keys")

    def check(self) -> None:
        super().check()
        require(self.sub_key == -1, "To ask whose mark it is, say how many sub-keys to try instead of which.")
        require(0 <= self.sub_keys <= MOST_SUB_KEYS, f"Try 0 to {MOST_SUB_KEYS:,} sub-keys.")
        require(len(self.others) <= MOST_OTHERS, f"Give at most {MOST_OTHERS} further passphrases.")
        passphrases = [unicodedata.normalize("NFC", one) for one in (self.passphrase, *self.others)]
        require(len(set(passphrases)) == len(passphrases), "Two of these passphrases are the same.")
        require(len(self.revoked) <= MOST_REVOKED, f"Name at most {MOST_REVOKED:,} revoked keys.")
        require(all(re.fullmatch(r"[0-9a-f]{16}", _digits(one)) for one in self.revoked), NOT_A_FINGERPRINT)

    def run(self, model: Model) -> Iterator[Any]:
        own, scheme = self.secret(model), self.scheme()
        pattern_of(own, scheme, model)  # refused at once where no key fits
        rest: list[Key] = []
        for one in self.others:
            rest.append(replace(self, passphrase=one, others=()).secret(model))
            yield Progress(len(rest), len(self.others), "passphrases")
        numbered = sub_keys(own, self.sub_keys) if self.sub_keys else []
        keys = [own, *numbered, *rest]
        names = [f"key {own.fingerprint}", *(f"sub-key {n}" for n in range(len(numbered)))]
        names += [f"key {key.fingerprint}" for key in rest]

        _, planes = yield from self.look(model, LIKELY)
        scores = []
        for first in range(0, len(keys), detection.KEYS):
            scores.append(detection.under_keys(planes, scheme, keys[first : first + detection.KEYS]))
            yield Progress(first + len(scores[-1]), len(keys), "keys")
        z, guess = torch.cat(scores).max(1)
        fingerprints = [key.fingerprint for key in keys]
        gone = set(map(_digits, self.revoked))
        revoked = {one for one in fingerprints if _digits(one) in gone}
        found = identify(z, fingerprints, ALPHA, revoked, tries=len(LIKELY))
        called = dict(zip(fingerprints, names, strict=True))
        best = int(z.argmax())
        here = found.name is not None
        undone = LIKELY[int(guess[best])].words if here else ""
        others = tuple(called[one] for one in found.others)
        yield Owner(
            tuple(names), z.float(), names[best] if here else "", found.name or "", best - 1 if here and 0 < best <= len(numbered) else -1,
            found.p_adjusted, len(keys) * len(LIKELY), found.bar, others, found.revoked, undone,
            _sentence(found, names[best], len(keys), others, undone, self.family),
        )  # fmt: skip


def _digits(fingerprint: str) -> str:
    return fingerprint.replace(" ", "").lower()


def _sentence(
    found: Identified, name: str, count: int, others: tuple[str, ...], undone: str, family: str
) -> str:
    """What is shown, what is not, and what else to know."""
    tried = f"Bonferroni over {count:,} {'key' if count == 1 else 'keys'} and {len(LIKELY)} ways of looking"
    if found.name is None:
        none = "This key does not show" if count == 1 else f"None of these {count:,} keys shows"
        return f"{none} in this picture (p = {found.p_adjusted:.2g} at best; {tried}). {NO_PROOF}"
    who = name if found.name in name else f"{name}, {found.name}"
    after = f", after undoing {undone}" if undone else ""
    words = f"This picture carries the mark of {who}{after} (p at most {max(found.p_adjusted, 1e-300):.1g}; {tried}). {PROOF}"
    if found.revoked:
        words += " That key is revoked: whoever has got hold of it can have marked this picture."
    if others:
        more = ", ".join(others[:NAMED]) + (
            f" and {len(others) - NAMED:,} more" if len(others) > NAMED else ""
        )
        why = "as keys of rings often do" if family == "rings" else "so more than one mark may lie there"
        words += f" The bar is reached as well by {more}, {why}."
    return words
