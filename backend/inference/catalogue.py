"""Which models there are. A name from a browser is looked up in this list and never becomes a path."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from backend.request import BadInput, Request

ASSETS = Path(__file__).resolve().parents[2] / "assets"
EMBEDDED = ("avatars", "digits", "patches", "small_faces")  # folders of assets/weights that hold a model


@dataclass(frozen=True)
class Card:
    """What there is to know about a model before it is loaded.

    Args:
        name: what requests and links call it.
        title: what a person reads.
        kind: how `load` builds it.
        shape: of one picture in pixels, (C, H, W).
        t: the noise level recommended for editing.
        data: the data set that it was trained on, as backend.data calls it.
        usual_error: what 99 % of its own held-out pictures stay below, as mean squared error of D at t.
        labels: names of the conditions, in the order of the network's classes; empty if it takes none.
        patch: side of the pixel blocks that the network sees as channels.
        licence: of the weights, as an SPDX identifier.
        training: how they were made: command, seed, hardware, seconds, date.
        path: the folder of the weights; None for a closed form.
    """

    name: str
    title: str
    kind: Literal["closed form", "unet"]
    shape: tuple[int, int, int]
    t: float
    data: str
    usual_error: float
    labels: tuple[str, ...] = ()
    patch: int = 1
    licence: str = "Apache-2.0"
    training: Mapping[str, Any] = field(default_factory=dict, hash=False)
    path: Path | None = None


GAUSSIAN = Card(
    name="gaussian",
    title="Gaussian of handwritten digits (closed form)",
    kind="closed form",
    shape=(1, 8, 8),
    t=0.5,
    data="digits",
    usual_error=0.234,  # over the 300 digits of the test split
)


def cards() -> tuple[Card, ...]:
    """The models at hand, the recommended one first."""
    folders = [ASSETS / "weights" / name for name in EMBEDDED]
    return (*(_read(folder) for folder in folders if (folder / "card.json").exists()), GAUSSIAN)


def card(name: str) -> Card:
    """The card of that name. Raises BadInput for an unknown one."""
    known = {found.name: found for found in cards()}
    if name not in known:
        raise BadInput(f"There is no such model; the models here are {', '.join(known)}.")
    return known[name]


def weights_sha256(found: Card) -> str:
    """sha256 of the network's file in hex, "" for a closed form: what a result or a direction belongs to."""
    return _sha256(weights_file(found)) if found.path else ""


def weights_file(found: Card) -> Path:
    """The one file of the network's weights."""
    return found.path / "unet" / "diffusion_pytorch_model.safetensors"


@cache
def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def _read(folder: Path) -> Card:
    """The card of an embedded folder: card.json, and training.json for how it was made."""
    values = json.loads((folder / "card.json").read_bytes())
    training = folder / "training.json"
    return Card(
        name=folder.name,
        title=values["title"],
        kind="unet",
        shape=tuple(values["shape"]),
        t=values["t"],
        data=values["data"],
        usual_error=values["usual_error"],
        labels=tuple(values["labels"]),
        patch=values["patch"],
        licence=values["licence"],
        training=json.loads(training.read_bytes()) if training.exists() else {},
        path=folder,
    )


@dataclass(frozen=True)
class Models:
    """The models at hand: for each its name, title, shape, labels, recommended t, licence and training."""

    models: tuple[dict, ...]


@dataclass(frozen=True)
class ListModels(Request):
    """The models at hand, the recommended one first."""

    def run(self, model: None) -> Iterator[Models]:
        hidden = ("path", "kind", "patch")
        yield Models(tuple({k: v for k, v in asdict(card).items() if k not in hidden} for card in cards()))
