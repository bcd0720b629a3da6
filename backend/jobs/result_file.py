"""One result on disk: request.json and result.safetensors, alike for a cache entry, a job and a shipped run.

The tensors lie in the safetensors file under readable names ("S", "frames.0"); everything around them is one
JSON text in its metadata. Nothing is pickled: reading can only fill dataclasses that are already imported.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_safetensors
from torch import Tensor

from backend.jobs import atomic
from backend.request import FORMAT, Request


def save(folder: Path, request: Request, result: Any, weights: str = "") -> None:
    """Write the request and its result into the folder, which is made if needed; the result is written last.

    Args:
        result: a dataclass, tuple, list or dict of CPU tensors without gradient, numbers, strings and None.
        weights: sha256 of the network that made it, "" for none: `load` refuses the result of another.

    Raises:
        TypeError: for anything else inside the result.
        CannotSave: if the disk is full.
    """
    tensors: dict[str, Tensor] = {}
    outline = _encode(result, "", tensors)
    separate = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
    metadata = {
        "format": str(FORMAT),
        "request": request.key(),
        "weights": weights,
        "outline": json.dumps(outline),
    }
    folder.mkdir(parents=True, exist_ok=True)
    atomic.write(folder / "request.json", (json.dumps(request.to_json(), indent=1) + "\n").encode())
    atomic.write(folder / "result.safetensors", to_safetensors(separate, metadata))


def load(folder: Path, request: Request, weights: str = "") -> Any:
    """The result that `save` wrote for this request and these weights.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is damaged, or belongs to another request, other weights or another version.
    """
    path = folder / "result.safetensors"
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            found = (metadata.get("format"), metadata.get("request"), metadata.get("weights"))
            if found != (str(FORMAT), request.key(), weights):
                raise ValueError("This result belongs to another request, other weights or another version.")
            return _decode(json.loads(metadata["outline"]), file)
    except (SafetensorError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("This result is damaged.") from error


def size(result: Any) -> int:
    """Bytes that a result holds, with the types checked as by `save`."""
    tensors: dict[str, Tensor] = {}
    return len(json.dumps(_encode(result, "", tensors))) + sum(tensor.nbytes for tensor in tensors.values())


def _encode(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """A JSON value for `value`; the tensors inside it are added to `tensors` under their paths."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        if value.device.type != "cpu" or value.requires_grad:
            raise TypeError(f"The tensor {path!r} of a result must be on the CPU, without gradient.")
        tensors[path or "result"] = value
        return {"tensor": path or "result"}
    if isinstance(value, tuple | list):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_encode(entry, _join(path, i), tensors) for i, entry in enumerate(value)]}
    if isinstance(value, dict):
        pairs = [(key, _encode(entry, _join(path, key), tensors)) for key, entry in value.items()]
        return {"dict": [[_encode(key, path, {}), entry] for key, entry in pairs]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        name = f"{type(value).__module__}:{type(value).__qualname__}"
        return {
            "dataclass": name,
            "fields": {n: _encode(v, _join(path, n), tensors) for n, v in fields.items()},
        }
    raise TypeError(f"A result cannot hold a {type(value).__name__} (at {path!r}).")


def _decode(outline: Any, file: Any) -> Any:
    if not isinstance(outline, dict):
        return outline
    if "tensor" in outline:
        return file.get_tensor(outline["tensor"])
    if "dataclass" in outline:
        fields = {name: _decode(value, file) for name, value in outline["fields"].items()}
        return _known_dataclass(outline["dataclass"])(**fields)
    if "dict" in outline:
        return {_decode(key, file): _decode(value, file) for key, value in outline["dict"]}
    kind = tuple if "tuple" in outline else list
    return kind(_decode(value, file) for value in outline[kind.__name__])


def _known_dataclass(name: str) -> type:
    module, _, qualified = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in qualified.split("."):
        found = getattr(found, part, None)
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise ValueError("This result is of a kind that the program does not know.")
    return found


def _join(path: str, part: Any) -> str:
    return f"{path}.{part}" if path else str(part)
