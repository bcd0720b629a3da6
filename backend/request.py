"""One request is one experiment: endpoint, cache key, shareable link, job configuration and Python line.

An action is a frozen dataclass whose fields are what a person chooses and whose `run` is a generator:

    @dataclass(frozen=True)
    class FindDirections(Request):
        model: str = "avatars"
        k: int = option(5, "the number of directions")

        def check(self):
            require(1 <= self.k <= 50, "Ask for 1 to 50 directions.")

        def run(self, model):
            yield Progress(1, 2, "products")
            yield Directions(...)                      # the last yield is the result

Values arrive from browsers, links and programs that nobody controls, so `parse` is the only door: it checks
names and types, and everything it refuses is one sentence (`BadInput`).
This module imports nothing from the project.
"""

import dataclasses
import hashlib
import json
import math
import unicodedata
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl, urlencode

FORMAT = 1  # of keys, links and request.json; raise it when an old one would mean something else
LONGEST_TEXT = 20_000  # characters; a 64 x 64 region of single pixels needs 8,193
LONGEST_LINK = 6_000  # characters; servers in front of a Space refuse longer addresses
LARGEST_INT = 2**53  # beyond it a browser's numbers are no longer whole
OTHER_VERSION = "This link or file belongs to another version of Subspace Lab."
NO_ACTION = "This link or file names no known action."

Result = TypeVar("Result")


class BadInput(ValueError):
    """What was asked for cannot be done; the message is one full sentence without paths or secrets."""


@dataclass(frozen=True)
class Progress:
    """`done` of `total` steps are finished; `what` is their plural noun, such as "network evaluations"."""

    done: int
    total: int
    what: str


@dataclass(frozen=True)
class Failed:
    """The request ended without a result; `sentence` tells the person why and what to do."""

    sentence: str


def finish(steps: Generator[Any, None, Result]) -> Result:
    """What a generator returns, its progress unseen."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def require(condition: bool, sentence: str) -> None:
    """Raise `BadInput(sentence)` unless the condition holds."""
    if not condition:
        raise BadInput(sentence)


def option(default: Any, words: str, *, private: bool = False) -> Any:
    """A dataclass field with the words that error sentences use for it ("the noise level").

    A private field (a watermark key) never enters a link, an example, a file or what is printed.
    """
    return dataclasses.field(default=default, repr=not private, metadata={"words": words, "private": private})


@dataclass(frozen=True)
class Request:
    """Base of all requests. Fields are str, int, float, bool, Literal[...], tuple[float, ...] (or int, str).

    A field named `model` names the Model that `run` is given; without one `run` is given None.
    """

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """A checked request from field values, defaults where absent. Raises BadInput with one sentence."""
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for name in values:
            require(name in fields, f"{cls.__name__} has no setting called {_shown(name)}.")
        types_of = get_type_hints(cls)
        for name, field in fields.items():
            required = field.default is dataclasses.MISSING
            require(name in values or not required, f"{_words(field)} must be given.")
        request = cls(**{n: _coerce(v, types_of[n], _words(fields[n])) for n, v in values.items()})
        request.check()
        return request

    def checked(self) -> Self:
        """This request through the door: what the gateway runs. Raises BadInput."""
        return type(self).parse(self.values())

    def check(self) -> None:
        """Refuse values that no run could use, with `require`. Called by `parse`; types are already right."""

    def run(self, model: Any) -> Iterator[Any]:
        """Yield Progress after each network evaluation, and last the result: a frozen dataclass of CPU
        tensors, numbers, strings, and tuples and dicts of them. Never yield inside `torch.no_grad()`,
        autocast or a lock: the next step may run on another thread."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it runs.")

    def needs(self) -> "tuple[Request, ...]":
        """The requests that `run` will `call`: what is cached of them travels to another process."""
        return ()

    def seconds(self) -> float:
        """A generous estimate of the compute time on a GPU; a shorter one starts sooner on a shared GPU."""
        return 60.0

    def values(self) -> dict[str, Any]:
        """Field name -> value."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def uploads(self) -> tuple[str, ...]:
        """The references `upload:...` among the values."""
        entries = [
            e for value in self.values().values() for e in (value if isinstance(value, tuple) else (value,))
        ]
        return tuple(entry for entry in entries if _is_upload(entry))

    def private(self) -> list[str]:
        """Words for what the private fields hold, of those that hold something."""
        return [_words(field, capital=False) for field in self._private()]

    def _private(self) -> list[dataclasses.Field]:
        """The private fields that hold something."""
        fields = dataclasses.fields(self)
        return [f for f in fields if f.metadata.get("private") and getattr(self, f.name) != f.default]

    def key(self) -> str:
        """32 hexadecimal digits that name this request and no other, usable as a folder name. Private values are in it, as quick to guess at as
        SHA-256 is: do not show or keep it where these must stay unknown."""
        return hashlib.sha256(json.dumps(self._json(self.values()), sort_keys=True).encode()).hexdigest()[:32]

    def to_json(self) -> dict[str, Any]:
        """The contents of request.json, which `from_json` reads; without what is private, which is then at its default."""
        private = {field.name for field in dataclasses.fields(self) if field.metadata.get("private")}
        return self._json({name: value for name, value in self.values().items() if name not in private})

    def _json(self, values: dict[str, Any]) -> dict[str, Any]:
        return {"format": FORMAT, "do": type(self).__name__, "values": json.loads(json.dumps(values))}

    @classmethod
    def from_json(cls, saved: Any) -> Self:
        """The request that `to_json` described; `Request.from_json` finds the class among those imported."""
        require(isinstance(saved, dict) and saved.get("format") == FORMAT, OTHER_VERSION)
        known = {found.__name__: found for found in _descendants(cls)}
        require(isinstance(saved.get("do"), str) and saved["do"] in known, NO_ACTION)
        require(isinstance(saved.get("values"), dict), "This link or file holds no settings.")
        return known[saved["do"]].parse(saved["values"])

    def why_no_link(self) -> str | None:
        """One sentence when this request cannot be a link, None when it can."""
        if self.uploads():
            return "There is no link to your own picture, because it stays on this server for you alone."
        for words in self.private():
            return f"There is no link, because it would give away {words}."
        if len(self._query()) > LONGEST_LINK:
            return "There is no link, because these settings are too detailed to fit in an address."
        return None

    def to_query(self) -> str | None:
        """`v=1&do=FindDirections&k=3`: the version, the action and what differs from the defaults; None
        exactly when `why_no_link` has a reason."""
        return None if self.why_no_link() else self._query()

    def _query(self) -> str:
        pairs = [("v", str(FORMAT)), ("do", type(self).__name__)]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                pairs.append(
                    (
                        field.name,
                        value if isinstance(value, str) else json.dumps(value, separators=(",", ":")),
                    )
                )
        return urlencode(pairs, safe=":,/")

    @classmethod
    def from_query(cls, query: str) -> Self:
        """The request of a link, with or without its leading "?". Raises BadInput; never opens an upload."""
        require(len(query) <= LONGEST_LINK, "This link is too long.")
        pairs = parse_qsl(query.removeprefix("?"), keep_blank_values=True)
        values = dict(pairs)
        require(len(values) == len(pairs), "This link gives the same setting twice.")
        require(values.pop("v", None) == str(FORMAT), OTHER_VERSION)
        name = values.pop("do", None)
        found = {c.__name__: c for c in _descendants(cls)}.get(name)
        require(found is not None, NO_ACTION)
        hints = get_type_hints(found)
        private = {f.name for f in dataclasses.fields(found) if f.metadata.get("private")}
        for field, text in values.items():
            require(field not in private and "upload:" not in text, "A link cannot carry a picture or a key.")
            if field in hints and not _is_text(hints[field]):
                values[field] = _number(text)
        return found.parse(values)

    def to_python(self) -> str:
        """A snippet that does the same when pasted at the repository's root. One's own picture is read from a
        file, and private text is asked for when it runs, so that an example never gives it away."""
        cls = type(self)
        result = "".join(c if c.islower() else f" {c.lower()}" for c in cls.__name__).split()[-1]
        imports = [f"from {cls.__module__} import {cls.__name__}", "from backend.inference.run import run"]
        secrets = {field.name: _words(field, capital=False) for field in self._private()}
        arguments = [f"{name}={_literal(value, secrets.get(name))}" for name, value in self.values().items()]
        head = ["from getpass import getpass"] if secrets else []
        if self.uploads():
            head += ["from pathlib import Path"]
            imports += ["from backend.inference.intake import store"]
        head += [""] if head else []
        line = f"*_, {result} = run({cls.__name__}({', '.join(arguments)}))"
        if len(line) > 110:
            block = "".join(f"        {argument},\n" for argument in arguments)
            line = f"*_, {result} = run(\n    {cls.__name__}(\n{block}    )\n)"
        return "\n".join([*head, *sorted(imports), "", line, ""])


def _coerce(value: Any, kind: Any, words: str) -> Any:
    """`value` as the field type `kind`, or BadInput about the field called `words` (capitalised)."""
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        same = [choice for choice in choices if type(choice) is type(value) and choice == value]
        require(bool(same), f"{words} must be one of {', '.join(map(str, choices))}.")
        return same[0]
    if get_origin(kind) is tuple:
        require(isinstance(value, list | tuple), f"{words} must be a list.")
        require(len(value) <= LONGEST_TEXT, f"{words} must have at most {LONGEST_TEXT:,} entries.")
        every = f"Every entry of {words[0].lower()}{words[1:]}"
        return tuple(_coerce(entry, get_args(kind)[0], every) for entry in value)
    if kind is str:
        require(isinstance(value, str), f"{words} must be text.")
        require(len(value) <= LONGEST_TEXT, f"{words} must be at most {LONGEST_TEXT:,} characters long.")
        control = any(unicodedata.category(character) in ("Cc", "Cs") for character in value)
        require(not control, f"{words} must be plain text on one line.")
        return value
    if kind is bool:
        require(isinstance(value, bool), f"{words} must be true or false.")
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    require(number, f"{words} must be a number.")
    require(not isinstance(value, float) or math.isfinite(value), f"{words} must be a finite number.")
    require(kind is float or value == int(value), f"{words} must be a whole number.")
    require(
        (kind is float and isinstance(value, float)) or abs(value) <= LARGEST_INT, f"{words} is too large."
    )
    return kind(value) + kind(0)  # -0.0 becomes 0.0, so that equal requests have equal keys


def _words(field: dataclasses.Field, *, capital: bool = True) -> str:
    words = field.metadata.get("words") or "the " + field.name.replace("_", " ")
    return words[0].upper() + words[1:] if capital else words


def _shown(name: Any) -> str:
    """A stranger's text, short and harmless inside a sentence."""
    text = str(name)[:40]
    return f'"{text}"' if text.isidentifier() else "that"


def _is_upload(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("upload:")


def _is_text(kind: Any) -> bool:
    return kind is str or (get_origin(kind) is Literal and isinstance(get_args(kind)[0], str))


def _number(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BadInput("This link is damaged: one of its settings cannot be read.") from None


def _literal(value: Any, secret: str | None = None) -> str:
    """The value in Python; text that is `secret` (the words for it) is asked for instead."""
    if isinstance(value, tuple):
        entries = [_literal(entry, secret) for entry in value]
        return "(" + ", ".join(entries) + ("," if len(value) == 1 else "") + ")"
    if _is_upload(value):
        return 'store(Path("picture.png").read_bytes())'
    if secret and isinstance(value, str):
        return f"getpass({json.dumps(f'{secret}: ', ensure_ascii=False)})"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _descendants(cls: type[Request]) -> Iterator[type[Request]]:
    if cls is not Request:
        yield cls
    for child in cls.__subclasses__():
        yield from _descendants(child)
