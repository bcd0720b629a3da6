"""Directions in a file: one safetensors file that says which model, noise level and region it belongs to.

    tensors     float32: v (k, *shape) of unit norm; s (k,) singular values; step (k,), how far strength 1 is
    metadata    format, model, weights (sha256), t, method, region, seed, rank, space, names, digest of it all

No pickle: safetensors reads a stranger's file, once its size is known, and one sentence refuses a bad one.
"""

import hashlib
import json
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
    """Directions and where they come from. v (k, *shape); s, step, names (k,); weights is a sha256."""

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
    method: str = "loco"
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
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError):
        raise BadInput(NOT_ONE) from None
    require(version == FORMAT, "This direction file belongs to another version of Subspace Lab.")
    require(set(tensors) == {"v", "s", "step"}, DAMAGED)
    require(all(a.dtype == torch.float32 and bool(a.isfinite().all()) for a in tensors.values()), DAMAGED)
    require(digest == _digest(tensors, metadata), DAMAGED)
    try:
        saved = Saved(**tensors, **fields | {"names": tuple(fields["names"])})
    except (TypeError, KeyError):
        raise BadInput(NOT_ONE) from None
    # whoever reads the source can forge a digest
    require(_has_right_types(saved) and _are_directions(saved), DAMAGED)
    return saved


def _has_right_types(saved: Saved) -> bool:
    texts = (saved.model, saved.weights, saved.region, saved.method, saved.space, *saved.names)
    return (
        all(isinstance(text, str) for text in texts)
        and type(saved.seed) is type(saved.rank) is int
        and type(saved.t) in (int, float)
        and 0 < saved.t <= 1
    )


def _are_directions(saved: Saved) -> bool:
    k = len(saved.names)
    return (
        saved.v.ndim > 1
        and saved.s.shape == saved.step.shape == saved.v.shape[:1] == (k,)
        and k > 0
        and bool(((saved.v.flatten(1).norm(dim=1) - 1).abs() < 1e-3).all())
        and bool((saved.s >= 0).all() and (saved.step > 0).all())
    )


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
