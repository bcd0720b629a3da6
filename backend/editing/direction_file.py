"""Directions in a file: one safetensors file that says which model, noise level and region it belongs to.

    tensors     v (k, *shape) float32, unit norm; s (k,) singular values; step (k,): what to multiply v by for strength 1
    metadata    format, model, weights (sha256), t, method, region, seed, rank, space, names, digest (of all that)

No pickle; a stranger's file is read by safetensors after its size is known, and refused with one sentence otherwise.
"""

import hashlib
import json
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from backend.request import BadInput, require

FORMAT = "1"
LARGEST_FILE = 64 * 2**20  # bytes
NOT_ONE = "This is not a direction file of Subspace Lab."
DAMAGED = "This direction file is damaged, or was changed after it was saved."


@dataclass(frozen=True)
class Saved:
    """Directions with their provenance. v (k, *shape), s (k,), step (k,); weights is the sha256 of the network's file."""

    v: Tensor
    s: Tensor
    step: Tensor
    model: str
    weights: str
    t: float
    region: str
    seed: int
    rank: int
    names: tuple[str, ...]
    method: str = "LOCO"
    space: str = "x_t"


def dump(saved: Saved) -> bytes:
    """The bytes of a direction file."""
    from safetensors.torch import save

    tensors = {name: getattr(saved, name).float().contiguous() for name in ("v", "s", "step")}
    fields = ("model", "weights", "t", "region", "seed", "rank", "names", "method", "space")
    metadata = {name: json.dumps(getattr(saved, name)) for name in fields}
    return save(tensors, metadata | {"format": FORMAT, "digest": _digest(tensors, metadata)})


def load(data: bytes) -> Saved:
    """Reads a direction file.

    Raises:
        BadInput: if it is none, too large, of another version, damaged or changed.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as read

    require(
        len(data) <= LARGEST_FILE, f"This file is too large; the limit is {LARGEST_FILE // 2**20} megabytes."
    )
    try:
        tensors = read(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = dict(header["__metadata__"])
        version, digest = metadata.pop("format"), metadata.pop("digest")
        fields = {name: json.loads(text) for name, text in metadata.items()}
    except (SafetensorError, ValueError, KeyError, TypeError):
        raise BadInput(NOT_ONE) from None
    require(version == FORMAT, "This direction file belongs to another version of Subspace Lab.")
    require(set(tensors) == {"v", "s", "step"} and digest == _digest(tensors, metadata), DAMAGED)
    try:
        saved = Saved(**tensors, **fields | {"names": tuple(fields["names"])})
    except (TypeError, KeyError):
        raise BadInput(NOT_ONE) from None
    v, s, step = tensors["v"], tensors["s"], tensors["step"]
    numbers = all(bool(x.isfinite().all()) and x.dtype == torch.float32 for x in tensors.values())
    require(numbers and s.shape == step.shape == (len(v),) and v.ndim > 1 and len(v) > 0, DAMAGED)
    require(bool(((v.flatten(1).norm(dim=1) - 1).abs() < 1e-3).all()), DAMAGED)
    require(isinstance(saved.t, int | float) and math.isfinite(saved.t) and 0 < saved.t <= 1, DAMAGED)
    return saved


def check_belongs(saved: Saved, model: str, weights: str, shape: tuple[int, ...]) -> None:
    """Raises BadInput unless the directions were found in this very network."""
    require(saved.model == model, "This direction file belongs to another model.")
    require(
        saved.weights == weights and saved.v.shape[1:] == shape,
        "This direction file belongs to other weights of this model.",
    )


def _digest(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    hashed = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name in sorted(tensors):
        hashed.update(
            name.encode()
            + str(tuple(tensors[name].shape)).encode()
            + tensors[name].contiguous().numpy().tobytes()
        )
    return hashed.hexdigest()
