"""What long benchmarks keep, so that a run that was stopped goes on."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from backend.jobs import atomic


class Keeper:
    """Tensors on disk by name, computed once. seconds: what those of earlier runs took."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._earlier: dict[str, float] = {}
        self._new: set[str] = set()

    @property
    def seconds(self) -> float:
        return sum(self._earlier.values())

    def path(self, name: str) -> Path:
        return self.folder / f"{name.replace(':', '_') or 'clean'}.safetensors"

    def __call__(self, name: str, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        path = self.path(name)
        if path.exists():
            found = load_file(path)
            spent = float(found.pop("seconds"))
            if name not in self._new:
                self._earlier[name] = spent
            return found
        begun = time.perf_counter()
        found = {k: v.contiguous() for k, v in compute().items()}
        spent = time.perf_counter() - begun
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(path, save(found | {"seconds": torch.tensor(spent)}))
        self._new.add(name)
        print(f"{spent:6.1f} s  {name}", flush=True)
        return found


def to_bytes(pictures: Tensor) -> Tensor:
    """The grey levels of pictures in [-1, 1]: uint8."""
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def from_bytes(levels: Tensor) -> Tensor:
    """Pictures in [-1, 1], float32, of grey levels."""
    return levels.float() / 127.5 - 1
