"""A named set of directions in a file: safetensors that say which model, noise level and regions they belong to.

    tensors     float32: v (k, *shape) of unit norm; s (k,) singular values; step (k,), how far strength 1 is
    metadata    format, title, model, weights (sha256), t, space; a list of k: names, method, region, seed, rank; digest of it all

No pickle: safetensors reads a stranger's file, once its size is known, and one sentence refuses a bad one.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from backend.request import BadInput, require

FORMAT = "2"  # 1 had one method, region, seed and rank for all directions
LARGEST_FILE = 64 * 2**20  # bytes
_LISTS = ("names", "region", "method", "seed", "rank")  # an entry for each direction
NOT_ONE = "This is not a direction file of Subspace Lab."
DAMAGED = "This direction file is damaged, or was changed after it was saved."


@dataclass(frozen=True)
class Saved:
    """Directions and where they come from. v (k, *shape); s, step, names, region, method, seed, rank (k,); weights is a
    sha256; all act at one noise level t, so that they can be added up."""

    v: Tensor
    s: Tensor
    step: Tensor
    model: str
    weights: str
    t: float
    names: tuple[str, ...]
    region: tuple[str, ...]
    method: tuple[str, ...]
    seed: tuple[int, ...]
    rank: tuple[int, ...]
    title: str = ""
    space: str = "x_t"


def dump(saved: Saved) -> bytes:
    """The bytes of a direction file."""
    from safetensors.torch import save

    tensors = {name: getattr(saved, name).float().contiguous() for name in ("v", "s", "step")}
    fields = ("model", "weights", "t", "title", "space", *_LISTS)
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
        saved = Saved(**tensors, **fields | {name: tuple(fields[name]) for name in _LISTS})
    except (TypeError, KeyError):
        raise BadInput(NOT_ONE) from None
    # whoever reads the source can forge a digest
    require(_has_right_types(saved) and _are_directions(saved), DAMAGED)
    return saved


def _has_right_types(saved: Saved) -> bool:
    texts = (saved.model, saved.weights, saved.title, saved.space, *saved.names, *saved.region, *saved.method)
    return (
        all(isinstance(text, str) for text in texts)
        and all(type(number) is int for number in (*saved.seed, *saved.rank))
        and type(saved.t) in (int, float)
        and 0 < saved.t <= 1
    )


def _are_directions(saved: Saved) -> bool:
    k = len(saved.names)
    return (
        saved.v.ndim > 1
        and saved.s.shape == saved.step.shape == saved.v.shape[:1] == (k,)
        and k > 0
        and all(len(getattr(saved, name)) == k for name in _LISTS)
        and bool(((saved.v.flatten(1).norm(dim=1) - 1).abs() < 1e-3).all())
        and bool((saved.s >= 0).all() and (saved.step > 0).all())
    )


def join(sets: Sequence[Saved], names: Sequence[str], title: str) -> Saved:
    """One set of the directions of several, under new names, one for each direction.

    Raises:
        BadInput: if there is no direction, or they belong to different models or noise levels.
    """
    require(len(sets) > 0, "This set is empty; add a direction to it first.")
    first = sets[0]
    for other in sets:
        check_belongs(other, first.model, first.weights, tuple(first.v.shape[1:]))
        same = other.t == first.t and other.space == first.space
        require(same, "Directions of one set must act at the same noise level t; these do not.")
    tensors = {name: torch.cat([getattr(one, name) for one in sets]) for name in ("v", "s", "step")}
    lists = {name: sum((getattr(one, name) for one in sets), ()) for name in _LISTS}
    return replace(first, **tensors, **lists | {"names": tuple(names)}, title=title)


def pick(saved: Saved, i: int) -> Saved:
    """The set of direction i alone."""
    tensors = {name: getattr(saved, name)[i : i + 1] for name in ("v", "s", "step")}
    return replace(saved, **tensors, **{name: getattr(saved, name)[i : i + 1] for name in _LISTS})


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
