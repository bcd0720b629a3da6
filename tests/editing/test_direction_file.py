import json
import pickle
from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given as for_all
from hypothesis import strategies as st
from safetensors.torch import save

from backend.editing import direction_file
from backend.editing.direction_file import DAMAGED, NOT_ONE, Saved
from backend.request import BadInput

SHAPE = (3, 4, 5)


def example(k: int = 2) -> Saved:
    v = torch.randn(k, *SHAPE, generator=torch.Generator().manual_seed(0))
    v = v / v.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    return Saved(
        v=v,
        s=torch.arange(k, 0, -1).float(),
        step=torch.full((k,), 0.7),
        model="avatars",
        weights="ab" * 32,
        t=0.5,
        names=("mouth curve", "größer")[:k],
        region=("click:32,44,0.5", "part:hair")[:k],
        method=("loco", "generalized")[:k],
        seed=(4, 0)[:k],
        rank=(5, 0)[:k],
        title="cheer",
    )


FILE = direction_file.dump(example())


def equal(a: Saved, b: Saved) -> bool:
    pairs = [(getattr(a, field.name), getattr(b, field.name)) for field in fields(Saved)]
    return all(torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y for x, y in pairs)


def forged(drop: str = "", version: str = direction_file.FORMAT, **changes: object) -> bytes:
    """A file with other tensors or fields whose digest fits, as anyone can make who reads the source."""
    saved = example()
    tensors = {name: getattr(saved, name) for name in ("v", "s", "step") if name != drop}
    tensors |= {name: value for name, value in changes.items() if isinstance(value, torch.Tensor)}
    metadata = {field.name: json.dumps(getattr(saved, field.name)) for field in fields(Saved)[3:]}
    metadata |= {n: text for n, text in changes.items() if isinstance(text, str)}
    metadata.pop(drop, None)
    try:
        digest = direction_file._digest(tensors, metadata)
    except TypeError:  # numpy has no bfloat16, and such a file is refused before its digest is looked at
        digest = ""
    return save(tensors, metadata | {"format": version, "digest": digest})


def refusal(data: bytes) -> str:
    with pytest.raises(BadInput) as refused:
        direction_file.load(data)
    return str(refused.value)


def test_directions_come_back():
    assert equal(direction_file.load(FILE), example())
    assert direction_file.load(FILE).names == ("mouth curve", "größer")


def test_the_forger_of_these_tests_can_write():
    assert equal(direction_file.load(forged()), example())


@for_all(st.integers(0, len(FILE) - 1), st.integers(1, 255))
def test_no_byte_can_be_changed(place, change):
    """Unless it changes nothing: the header ends in spaces, which JSON does not read."""
    tampered = bytearray(FILE)
    tampered[place] ^= change
    try:
        assert equal(direction_file.load(bytes(tampered)), example())
    except BadInput as refused:
        assert str(refused) in (NOT_ONE, DAMAGED) or "another version" in str(refused)


def test_no_number_of_a_tensor_and_no_letter_of_a_field_can_be_changed():
    for place in (len(FILE) - 1, len(FILE) - 4 * 2 * 60, FILE.index(b"click:32"), FILE.index(b"0.5")):
        tampered = bytearray(FILE)
        tampered[place] ^= 1
        assert refusal(bytes(tampered)) == DAMAGED


@for_all(st.integers(0, len(FILE) - 1))
def test_a_torn_file_is_refused(length):
    assert refusal(FILE[:length]) == NOT_ONE


def test_bytes_behind_the_end_are_refused():
    assert refusal(FILE + b"\0") == NOT_ONE


@for_all(st.binary(max_size=200))
def test_other_bytes_are_refused(data):
    assert refusal(data) == NOT_ONE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        pickle.dumps({"v": [1.0]}),
        (2**60).to_bytes(8, "little") + b"{}",  # a header larger than the world
        (2**63).to_bytes(8, "little") + b"{}",
        (4).to_bytes(8, "little") + b"[[[[",
        save({"v": torch.zeros(2)}),  # a safetensors file without metadata
        save({"v": torch.zeros(2)}, {"format": "2"}),
        save({"v": torch.zeros(2)}, {"format": "2", "digest": "", "t": "not json"}),
        save({"v": torch.zeros(2)}, {"format": "2", "digest": "", "t": "[" * 100_000}),
    ],
    ids=range(10),
)
def test_what_is_no_direction_file_is_refused(data):
    assert refusal(data) == NOT_ONE


def test_a_file_too_large_is_refused_before_it_is_read():
    assert (
        refusal(bytes(direction_file.LARGEST_FILE + 1))
        == "This file is too large; the limit is 64 megabytes."
    )


def test_another_version_is_refused():
    assert "another version" in refusal(forged(version="1"))


V = example().v
BAD_TENSORS = {
    "nan": {"v": V.clone().index_fill_(0, torch.tensor([0]), torch.nan)},
    "infinite": {"s": torch.tensor([torch.inf, 1.0])},
    "infinite step": {"step": torch.tensor([torch.inf, 1.0])},
    "double": {"v": V.double()},
    "half": {"v": V.half()},
    "bfloat16": {"v": V.bfloat16()},
    "whole numbers": {"v": V.long()},
    "truth values": {"s": torch.tensor([True, False])},
    "not unit": {"v": 2 * V},
    "one number": {"v": torch.tensor(1.0)},
    "flat": {"v": V.flatten()},
    "none": {"v": V[:0], "s": torch.zeros(0), "step": torch.zeros(0)},
    "empty pictures": {"v": torch.zeros(2, 0)},
    "too few values": {"s": torch.ones(1)},
    "too many steps": {"step": torch.ones(3)},
    "one more tensor": {"w": torch.ones(2)},
    "negative values": {"s": torch.tensor([1.0, -1.0])},
    "steps of zero": {"step": torch.tensor([1.0, 0.0])},
}


@pytest.mark.parametrize("changes", BAD_TENSORS.values(), ids=BAD_TENSORS)
def test_tensors_that_are_no_directions_are_refused(changes):
    assert refusal(forged(**changes)) == DAMAGED


@pytest.mark.parametrize("name", ["v", "s", "step"])
def test_a_missing_tensor_is_refused(name):
    assert refusal(forged(drop=name)) == DAMAGED


BAD_FIELDS = [
    {"t": "0"}, {"t": "-0.5"}, {"t": "1.5"}, {"t": "NaN"}, {"t": "Infinity"}, {"t": "1" + "0" * 400},
    {"t": '"0.5"'}, {"t": "true"}, {"t": "null"},
    {"model": "3"}, {"weights": "[]"}, {"region": "{}"}, {"seed": '["4", "0"]'}, {"seed": "[0.5, 1]"}, {"rank": "[null, 1]"},
    {"rank": "[1]"}, {"title": "1"},
    {"names": '"mouth"'}, {"names": "[1, 2]"}, {"names": '["mouth"]'}, {"method": "[0, 0]"}, {"space": "0"},
]  # fmt: skip


@pytest.mark.parametrize("changes", BAD_FIELDS, ids=lambda changes: str(changes)[:30])
def test_fields_of_another_kind_are_refused(changes):
    assert refusal(forged(**changes)) == DAMAGED


@pytest.mark.parametrize("field", ["model", "weights", "t", "region", "seed", "rank", "names"])
def test_a_missing_field_is_refused(field):
    assert refusal(forged(drop=field)) == NOT_ONE


@pytest.mark.parametrize("changes", [{"colour": '"red"'}, {"names": "5"}, {"v": '"red"'}], ids=str)
def test_unknown_fields_are_refused(changes):
    assert refusal(forged(**changes)) in (NOT_ONE, DAMAGED)


def test_directions_belong_to_one_network():
    saved = example()
    direction_file.check_belongs(saved, "avatars", "ab" * 32, SHAPE)
    with pytest.raises(BadInput, match=r"^This direction file belongs to another model\.$"):
        direction_file.check_belongs(saved, "gaussian", "ab" * 32, SHAPE)
    with pytest.raises(BadInput, match=r"^This direction file belongs to other weights of this model\.$"):
        direction_file.check_belongs(saved, "avatars", "cd" * 32, SHAPE)
    with pytest.raises(BadInput, match="other weights"):
        direction_file.check_belongs(saved, "avatars", "ab" * 32, (3, 5, 4))


def test_sets_are_taken_apart_and_joined_under_new_names():
    saved = example()
    parts = [direction_file.pick(saved, i) for i in range(2)]
    assert parts[1].region == ("part:hair",) and torch.equal(parts[1].v, saved.v[1:])
    joined = direction_file.join(parts[::-1], ("b", "a"), "turned")
    assert joined.region == saved.region[::-1] and joined.names == ("b", "a") and joined.title == "turned"
    assert torch.equal(joined.v, saved.v.flip(0)) and joined.seed == (0, 4)
    assert equal(direction_file.load(direction_file.dump(joined)), joined)


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        ([], "empty"),
        ([example(), replace(example(), t=0.4)], "same noise level"),
        ([example(), replace(example(), model="gaussian")], "another model"),
    ],
    ids=["empty", "other t", "other model"],
)
def test_what_does_not_belong_together_is_a_sentence(sets, words):
    with pytest.raises(BadInput, match=words):
        direction_file.join(sets, ("a",) * len(sets), "")


def test_it_is_a_plain_safetensors_file_of_small_numbers():
    """Double precision is written as single, on which readers may rely."""
    from safetensors.torch import load

    double = replace(example(), v=example().v.double())
    tensors = load(direction_file.dump(double))
    assert {name: value.dtype for name, value in tensors.items()} == dict.fromkeys(
        ("v", "s", "step"), torch.float32
    )
