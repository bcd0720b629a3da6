"""Results by request key: in memory up to a number of bytes, and the runs shipped with the project."""

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from backend.inference import catalogue
from backend.jobs import result_file
from backend.request import Progress, Request

_lock = threading.Lock()  # one for all caches: it is held for microseconds


def _fresh_lock() -> None:
    """A process forked while another thread held the lock would wait for it forever."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fresh_lock)


class Cache:
    """The most recently used values, of at most `limit` bytes in all as `size` counts them. Thread-safe.

    Values are shared by everyone who asks: never change one in place.
    """

    def __init__(self, limit: int, size: Callable[[Any], int]):
        self.limit, self.size, self.bytes = limit, size, 0
        self._entries: OrderedDict[str, tuple[Any, int]] = OrderedDict()

    def get(self, key: str) -> Any | None:
        """The value, now the most recently used, or None."""
        with _lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key][0]

    def put(self, key: str, value: Any) -> None:
        """Keep the value and drop the longest unused ones; one larger than the limit is not kept."""
        size = self.size(value)
        with _lock:
            self.bytes -= self._entries.pop(key, (None, 0))[1]
            if size <= self.limit:
                self._entries[key] = (value, size)
                self.bytes += size
            while self.bytes > self.limit:
                self.bytes -= self._entries.popitem(last=False)[1][1]


results = Cache(512 * 2**20, result_file.size)


@dataclass(frozen=True)
class Derived:
    """A result found on the way to another, for the gateway to keep: the run's process may soon end."""

    key: str
    result: Any


def find(request: Request) -> Any | None:
    """The result of a checked request from memory or from the shipped runs, or None."""
    key = request.key()
    found = results.get(key)
    if found is None:
        try:
            found = result_file.load(catalogue.ASSETS / "runs" / key, request, weights_of(request))
        except FileNotFoundError:
            return None
        except ValueError as error:  # made by other weights, say: compute it anew
            logging.getLogger(__name__).warning("Shipped run %s is not used: %s", key, error)
            return None
        results.put(key, found)
    return found


def weights_of(request: Request) -> str:
    """sha256 of the weights of the request's model, "" without a model or for a closed form."""
    name = request.values().get("model")
    return catalogue.weights_sha256(catalogue.card(name)) if name else ""


def call(request: Request, model: Any) -> Iterator[Any]:
    """Another request inside one's `run`: `found = yield from call(FindDirections(...), model)`.

    Returns its result, from the cache if it is there; else its progress is passed on, and a Derived.
    """
    request = request.checked()
    found = find(request)
    if found is None:
        for event in request.run(model):
            if isinstance(event, Progress | Derived):
                yield event
            else:
                found = event
        if found is None:
            raise RuntimeError(f"{type(request).__name__} ended without a result.")
        results.put(request.key(), found)
        yield Derived(request.key(), found)
    return found
