import json
import math
from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.request import BadInput, Request, option, require


@dataclass(frozen=True)
class CountThings(Request):
    """A request with a field of every kind."""

    name: str = "sample:7:happy"
    t: float = option(0.35, "the noise level")
    k: int = option(5, "the number of directions")
    signed: bool = False
    mode: Literal["one-step", "full"] = "one-step"
    block: Literal[8, 16] = 8
    strengths: tuple[float, ...] = option((-1.0, 0.0, 1.0), "the strengths")
    secret_key: str = option("", "the watermark's key", private=True)

    def check(self):
        require(1 <= self.k <= 50, "Ask for 1 to 50 directions.")

    def run(self, model):
        yield self.k


@dataclass(frozen=True)
class MeasureThings(Request):
    k: int = 5
    required: str = option("x", "the word")


REFUSED = {
    "unknown field": ({"directions": 3}, 'CountThings has no setting called "directions".'),
    "unprintable unknown field": ({"<img src=x>": 3}, "CountThings has no setting called that."),
    "text for int": ({"k": "3"}, "The number of directions must be a number."),
    "bool for int": ({"k": True}, "The number of directions must be a number."),
    "bool for float": ({"t": False}, "The noise level must be a number."),
    "None for int": ({"k": None}, "The number of directions must be a number."),
    "list for int": ({"k": [3]}, "The number of directions must be a number."),
    "fraction for int": ({"k": 2.5}, "The number of directions must be a whole number."),
    "huge int": ({"k": 10**400}, "The number of directions is too large."),
    "huge whole float for int": ({"k": 1e300}, "The number of directions is too large."),
    "NaN": ({"t": math.nan}, "The noise level must be a finite number."),
    "infinity": ({"t": -math.inf}, "The noise level must be a finite number."),
    "NaN for int": ({"k": math.nan}, "The number of directions must be a finite number."),
    "huge int for float": ({"t": 10**400}, "The noise level is too large."),
    "int for bool": ({"signed": 1}, "The signed must be true or false."),
    "number for text": ({"name": 3}, "The name must be text."),
    "long text": ({"name": "x" * 30_000}, "The name must be at most 20,000 characters long."),
    "control character": ({"name": "a\0b"}, "The name must be plain text on one line."),
    "half a surrogate pair": ({"name": "\ud800"}, "The name must be plain text on one line."),
    "other literal": ({"mode": "fast"}, "The mode must be one of one-step, full."),
    "true for literal 1": ({"block": True}, "The block must be one of 8, 16."),
    "number for list": ({"strengths": 3}, "The strengths must be a list."),
    "text in list": ({"strengths": [1, "2"]}, "Every entry of the strengths must be a number."),
    "long list": ({"strengths": [0] * 30_000}, "The strengths must have at most 20,000 entries."),
    "check": ({"k": 10_000}, "Ask for 1 to 50 directions."),
    "zero": ({"k": 0}, "Ask for 1 to 50 directions."),
}


@pytest.mark.parametrize("values, sentence", REFUSED.values(), ids=REFUSED.keys())
def test_the_door_refuses_with_one_sentence(values, sentence):
    with pytest.raises(BadInput) as refusal:
        CountThings.parse(values)
    assert str(refusal.value) == sentence


def test_parse_brings_values_into_one_form():
    parsed = CountThings.parse({"k": 3.0, "t": 1, "strengths": [1, -0.0]})
    assert parsed == CountThings(k=3, t=1.0, strengths=(1.0, 0.0))
    assert [type(parsed.k), type(parsed.t), type(parsed.strengths[0])] == [int, float, float]
    assert math.copysign(1, parsed.strengths[1]) == 1


def test_a_request_made_in_python_goes_through_the_same_door():
    with pytest.raises(BadInput, match="must be a number"):
        CountThings(k="3").checked()
    assert CountThings(k=3.0).checked().key() == CountThings(k=3).key()


def test_keys_are_stable_short_and_distinct():
    # the literal is the promise: a shipped run in assets/runs/<key> stays findable
    assert CountThings().key() == "b36d5303c55b79b2f2585f0d03a33478"
    keys = {r.key() for r in (CountThings(), CountThings(k=6), CountThings(t=0.36), MeasureThings())}
    assert len(keys) == 4
    assert all(len(key) == 32 and set(key) <= set("0123456789abcdef") for key in keys)


def requests():
    text = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=50).filter(
        lambda s: "upload:" not in s
    )
    return st.builds(
        CountThings,
        name=text,
        t=st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0),
        k=st.integers(1, 50),
        signed=st.booleans(),
        mode=st.sampled_from(["one-step", "full"]),
        block=st.sampled_from([8, 16]),
        strengths=st.lists(st.floats(-1e9, 1e9).map(lambda x: x + 0.0), max_size=5).map(tuple),
    )


@settings(deadline=None)
@given(requests())
def test_link_and_file_reopen_the_same_request(request_):
    assert Request.from_query(request_.to_query()) == request_
    assert CountThings.from_query("?" + request_.to_query()) == request_
    assert Request.from_json(json.loads(json.dumps(request_.to_json()))) == request_


def test_a_link_holds_only_what_differs_from_the_defaults():
    assert CountThings().to_query() == "v=1&do=CountThings"
    assert CountThings(k=3, name="part:mouth").to_query() == "v=1&do=CountThings&name=part:mouth&k=3"


def test_links_are_cut_at_the_length_that_servers_take():
    fits, too_long = CountThings(name="x" * 5_900), CountThings(name="x" * 6_100)
    assert Request.from_query(fits.to_query()) == fits
    assert too_long.to_query() is None
    assert too_long.why_no_link() == (
        "There is no link, because these settings are too detailed to fit in an address."
    )


@pytest.mark.parametrize(
    "secret, reason",
    [
        (CountThings(name="upload:" + "0" * 64), "There is no link to your own picture"),
        (CountThings(secret_key="0451"), "There is no link, because it would give away the watermark's key."),
    ],
)
def test_uploads_and_keys_never_enter_a_link(secret, reason):
    assert secret.to_query() is None
    assert secret.why_no_link().startswith(reason)
    assert CountThings().why_no_link() is None


@pytest.mark.parametrize(
    "query, sentence",
    {
        "": "This link or file belongs to another version of Subspace Lab.",
        "v=2&do=CountThings": "This link or file belongs to another version of Subspace Lab.",
        "v=1": "This link or file names no known action.",
        "v=1&do=Request": "This link or file names no known action.",
        "v=1&do=os.system": "This link or file names no known action.",
        "v=1&do=CountThings&k=3&k=4": "This link gives the same setting twice.",
        "v=1&do=CountThings&k=3x": "This link is damaged: one of its settings cannot be read.",
        "v=1&do=CountThings&k=" + "9" * 5_000: "This link is damaged: one of its settings cannot be read.",
        "v=1&do=CountThings&k=" + "[" * 5_500: "This link is damaged: one of its settings cannot be read.",
        "v=1&do=CountThings&k=" + "9" * 9_000: "This link is too long.",
        "v=1&do=CountThings&t=NaN": "The noise level must be a finite number.",
        "v=1&do=CountThings&t=1e999": "The noise level must be a finite number.",
        "v=1&do=CountThings&k=true": "The number of directions must be a number.",
        "v=1&do=CountThings&k=1000": "Ask for 1 to 50 directions.",
        "v=1&do=CountThings&name=upload:00": "A link cannot carry a picture or a key.",
        "v=1&do=CountThings&secret_key=a": "A link cannot carry a picture or a key.",
        "v=1&do=CountThings&colour=red": 'CountThings has no setting called "colour".',
    }.items(),
)
def test_a_bad_link_is_refused_with_one_sentence(query, sentence):
    with pytest.raises(BadInput) as refusal:
        Request.from_query(query)
    assert str(refusal.value) == sentence


def test_a_link_of_another_action_is_not_this_one():
    with pytest.raises(BadInput):
        CountThings.from_query(MeasureThings().to_query())


@pytest.mark.parametrize(
    "saved",
    [
        None,
        [],
        {},
        {"format": 1},
        {"format": 1, "do": ["CountThings"], "values": {}},
        {"format": 1, "do": "CountThings"},
    ],
)
def test_a_bad_request_file_is_refused(saved):
    with pytest.raises(BadInput):
        Request.from_json(saved)


def test_python_runs_as_pasted():
    request_ = CountThings(name='a "quoted" \\ word, ü \U0001f642', k=3, strengths=(0.5,))
    names = {}
    exec(request_.to_python(), names)
    assert names["things"] == 3
    made = request_.to_python().partition("run(\n")[2].rpartition(")")[0]
    assert eval(made, names) == request_


def test_python_of_a_short_request_is_one_line():
    assert MeasureThings(k=2).to_python().splitlines() == [
        "from backend.inference.run import run",
        f"from {__name__} import MeasureThings",
        "",
        '*_, things = run(MeasureThings(k=2, required="x"))',
    ]


def test_python_reads_an_upload_from_a_file():
    lines = MeasureThings(required="upload:" + "0" * 64).to_python().splitlines()
    assert "from pathlib import Path" in lines
    assert "from backend.inference.intake import store" in lines
    assert 'required=store(Path("picture.png").read_bytes())' in lines[-1]
    compile("\n".join(lines), "snippet", "exec")


def test_python_asks_for_what_is_private(monkeypatch):
    """An example with the key in it would be pasted where others read it."""

    @dataclass(frozen=True)
    class HideThings(Request):
        secret_key: str = option("", "the watermark's key", private=True)
        keys: tuple[str, ...] = option((), "the keyring", private=True)
        image: str = "upload:a"

    snippet = CountThings(secret_key="0451 xyzzy", k=3).to_python()
    assert "0451" not in snippet and 'secret_key=getpass("the watermark\'s key: ")' in snippet
    asked = []
    monkeypatch.setattr("getpass.getpass", lambda prompt: asked.append(prompt) or "0451 xyzzy")
    names = {}
    exec(snippet, names)
    made = snippet.partition("run(\n")[2].rpartition(")")[0]
    assert eval(made, names) == CountThings(secret_key="0451 xyzzy", k=3)
    assert names["things"] == 3 and asked == ["the watermark's key: "] * 2
    assert "getpass" not in CountThings(k=3).to_python()  # at its default there is nothing to ask
    lines = HideThings(keys=("0451 a", "0451 b")).to_python().splitlines()
    assert lines[:3] == ["from getpass import getpass", "from pathlib import Path", ""]
    assert "0451" not in "".join(lines) and 'keys=(getpass("the keyring: "), getpass(' in "".join(lines)


def test_what_is_private_is_in_the_key_and_in_nothing_that_is_kept_or_printed():
    one, other = CountThings(secret_key="0451 xyzzy", k=3), CountThings(secret_key="0452 xyzzy", k=3)
    assert one.key() != other.key() != CountThings(k=3).key()
    assert "0451" not in json.dumps(one.to_json()) and "0451" not in repr(one) and "k=3" in repr(one)
    assert Request.from_json(one.to_json()) == CountThings(k=3)
    assert one.private() == ["the watermark's key"] and CountThings(k=3).private() == []


def test_uploads_are_found_wherever_they_stand():
    @dataclass(frozen=True)
    class TransferThings(Request):
        source: str = "upload:a"
        targets: tuple[str, ...] = ("gallery:1", "upload:b")

    assert TransferThings().uploads() == ("upload:a", "upload:b")
