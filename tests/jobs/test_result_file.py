import dataclasses
import json
import math
from dataclasses import dataclass

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from backend.jobs import result_file
from backend.request import Request


@dataclass(frozen=True)
class AskSpectrum(Request):
    k: int = 2


@dataclass(frozen=True)
class Inner:
    S: Tensor
    cost: dict[str, int]


@dataclass(frozen=True)
class Spectrum:
    inner: Inner
    frames: tuple[Tensor, ...]
    by_part: dict[str, Tensor]
    strengths: tuple[float, ...]
    names: list[str | None]
    finished: bool
    psnr: float


def spectrum() -> Spectrum:
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(4, 3, generator=generator)
    return Spectrum(
        inner=Inner(S=shared[0], cost={"jvp": 3, "vjp": 4}),
        frames=(shared.T, shared, torch.zeros(0, 3), torch.tensor(2, dtype=torch.int64)),
        by_part={"mouth": shared.bool(), "left eye": shared.half()},
        strengths=(-1.0, 0.1 + 0.2),
        names=["smile", None, 'ü"'],
        finished=True,
        psnr=math.inf,
    )


def same(a, b) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if dataclasses.is_dataclass(a):
        return type(a) is type(b) and same(vars(a), vars(b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@pytest.mark.parametrize(
    "result",
    [spectrum(), torch.arange(3), 2.5, "word", None, (1, (2,)), {1: "one"}, [{"a": [torch.ones(2)]}]],
    ids=lambda result: type(result).__name__,
)
def test_round_trip(tmp_path, result):
    result_file.save(tmp_path / "new" / "folder", AskSpectrum(), result, "abc")
    assert same(result, result_file.load(tmp_path / "new" / "folder", AskSpectrum(), "abc"))


def test_layout_is_readable_without_this_project(tmp_path):
    result_file.save(tmp_path, AskSpectrum(k=3), spectrum())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["request.json", "result.safetensors"]
    assert Request.from_json(json.loads((tmp_path / "request.json").read_text())) == AskSpectrum(k=3)
    tensors = load_file(tmp_path / "result.safetensors")
    assert torch.equal(tensors["inner.S"], spectrum().inner.S)
    assert torch.equal(tensors["by_part.left eye"], spectrum().by_part["left eye"])


@pytest.mark.parametrize(
    "request_, weights", [(AskSpectrum(k=3), "abc"), (AskSpectrum(), "other"), (AskSpectrum(), "")]
)
def test_a_result_of_another_request_or_other_weights_is_refused(tmp_path, request_, weights):
    result_file.save(tmp_path, AskSpectrum(), spectrum(), "abc")
    with pytest.raises(ValueError, match="belongs to another"):
        result_file.load(tmp_path, request_, weights)


def test_nothing_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        result_file.load(tmp_path, AskSpectrum())


def damaged(outline) -> dict[str, str]:
    return {"format": "1", "request": AskSpectrum().key(), "weights": "", "outline": json.dumps(outline)}


@pytest.mark.parametrize(
    "outline",
    [
        {"tensor": "missing"},
        {"unheard": 1},
        {"dataclass": f"{__name__}:Inner", "fields": {"S": 1}},
        {"dataclass": f"{__name__}:Inner", "fields": {"S": 1, "cost": 2, "extra": 3}},
        {"dataclass": "subprocess:Popen", "fields": {"args": ["touch", "/tmp/owned"]}},
        {"dataclass": "antigravity:fly", "fields": {}},
        {"dataclass": "os:system", "fields": {"command": "true"}},
        {"dataclass": "", "fields": {}},
        {"tuple": 3},
    ],
    ids=str,
)
def test_a_tampered_file_is_refused_and_runs_nothing(tmp_path, outline):
    save_file({"x": torch.ones(1)}, tmp_path / "result.safetensors", damaged(outline))
    with pytest.raises(ValueError, match=r"damaged|does not know"):
        result_file.load(tmp_path, AskSpectrum())


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_a_cut_file_is_refused(tmp_path, cut):
    result_file.save(tmp_path, AskSpectrum(), spectrum())
    path = tmp_path / "result.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match="damaged"):
        result_file.load(tmp_path, AskSpectrum())


@pytest.mark.parametrize(
    "value", [b"bytes", {1, 2}, Inner, torch.ones(2, requires_grad=True), torch.ones(1, device="meta")]
)
def test_what_cannot_be_kept_is_refused_with_its_place(value):
    with pytest.raises(TypeError, match=r"by_part\.mouth"):
        result_file.size({"by_part": {"mouth": value}})


def test_size_counts_the_tensors():
    assert 8_000 <= result_file.size({"x": torch.zeros(1000), "y": [torch.zeros(1000)]}) <= 8_200
