"""The one gateway. Every request of every person, notebook and job becomes a stream of events here:

    run(request)  ->  Progress, Progress, ..., result          or          ..., Failed(sentence)

Bad input is refused before anything is computed. A known result comes from the cache. One compute step runs
at a time, and turns go in the order of asking: two requests advance side by side, and a short one is not held
up by a long one. Closing the generator (a cancel) ends the work at the next step. On ZeroGPU the same work
runs in a worker process.
"""

import logging
import os
import pickle
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import torch

from backend.inference import cache, intake
from backend.inference.catalogue import card
from backend.inference.load import is_loaded, load
from backend.request import BadInput, Failed, Progress, Request

OUT_OF_MEMORY = "This needs more memory than there is; ask for fewer directions, frames or samples at once."
BROKEN = (
    "Something went wrong while computing this; the reason is in the server's log. Other actions still work."
)
STOPPED = "The process that computed this stopped; please try again."


class Turns:
    """A lock handed over in the order of asking; a busy request would keep taking a plain one again."""

    def __init__(self) -> None:
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        ticket = object()
        with self._changed:
            self._waiting.append(ticket)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is ticket)
            except BaseException:  # interrupted while waiting: the turn must not be lost
                self._waiting.remove(ticket)
                self._changed.notify_all()
                raise

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._waiting.popleft()
            self._changed.notify_all()


_turns = Turns()


def run(request: Request) -> Iterator[Any]:
    """Check the request, at once, and return its events: Progress, and last its result or Failed.

    Raises:
        BadInput: from the call itself, before anything is computed.
    """
    request = request.checked()
    name = request.values().get("model")
    if name is not None:
        card(name)
    return _events(request, name, {reference: intake.held(reference) for reference in request.uploads()})


def _events(request: Request, name: str | None, uploads: dict[str, bytes]) -> Iterator[Any]:
    result = cache.find(request)
    if result is not None:
        yield result
        return
    work = None
    try:
        if name is not None and not is_loaded(name):
            yield Progress(0, 1, "models loaded")
            load(name)  # here rather than in a worker, whose memory is lost
        if _in_worker is None:
            work = _in_turn(_compute(request, name, uploads, {}))
        else:
            known = {needed.key(): cache.find(needed) for needed in map(Request.checked, request.needs())}
            work = _elsewhere(request, name, uploads, {k: v for k, v in known.items() if v is not None})
        for event in work:
            if isinstance(event, cache.Derived):
                cache.results.put(event.key, event.result)
                continue
            yield event
            if isinstance(event, Failed):
                return
            if not isinstance(event, Progress):
                result = event
        if result is None:
            raise RuntimeError("The request ended without a result.")
        cache.results.put(request.key(), result)
    except BadInput as error:
        yield Failed(str(error))
    except Exception as error:
        if _is_for_the_person(error):
            raise
        yield Failed(_sentence(request, error, STOPPED if _in_worker else BROKEN))
    finally:
        if work is not None:
            work.close()


def _compute(
    request: Request, name: str | None, uploads: dict[str, bytes], known: dict[str, Any]
) -> Iterator[Any]:
    """The events of a request, errors as Failed. All that it needs are its arguments: it may be elsewhere."""
    try:
        for picture in uploads.values():
            intake.keep(picture)
        for key, value in known.items():
            cache.results.put(key, value)
        yield from request.run(load(name) if name is not None else None)
    except BadInput as error:
        yield Failed(str(error))
    except Exception as error:
        yield Failed(_sentence(request, error, BROKEN))


def _in_turn(events: Iterator[Any]) -> Iterator[Any]:
    """The same events, each computed in its turn; the turn is never held while the receiver thinks."""
    try:
        while True:
            with _turns:
                event = next(events, None)
            if event is None:
                return
            yield event
    finally:
        events.close()


def _elsewhere(request: Request, *rest: Any) -> Iterator[Any]:
    """The events of `_compute` in a worker process."""
    events = _in_worker(request.seconds(), pickle.dumps((request, *rest)))
    try:
        for event in events:
            yield pickle.loads(event)
    finally:
        events.close()


def _work(seconds: float, arguments: bytes) -> Iterator[bytes]:
    """What a worker process runs. Plain bytes go both ways: a queue of tensors would put them in shared
    memory, which is small in a container and is lost with the process."""
    for event in _compute(*pickle.loads(arguments)):
        yield pickle.dumps(event)


def in_worker(work: Callable[..., Iterator[bytes]]) -> Callable[..., Iterator[bytes]] | None:
    """`work` in a GPU worker process of ZeroGPU; None where there is no ZeroGPU."""
    if os.environ.get("SPACES_ZERO_GPU", "").lower() not in ("1", "t", "true"):
        return None
    try:
        import spaces
    except ImportError:
        return None
    return spaces.GPU(duration=lambda seconds, _: seconds)(work)


_in_worker = in_worker(_work)  # at import, because a Space looks for GPU functions when it starts


def _sentence(request: Request, error: Exception, otherwise: str) -> str:
    """What the person is told; the rest goes to the log."""
    logging.getLogger(__name__).error("%s failed", type(request).__name__, exc_info=error)
    words = ("out of memory", "can't allocate memory", "not enough memory")
    told = any(word in str(error).lower() for word in words)
    return OUT_OF_MEMORY if told or isinstance(error, MemoryError | torch.OutOfMemoryError) else otherwise


def _is_for_the_person(error: Exception) -> bool:
    """ZeroGPU's own sentences, such as a used-up quota with its link, are shown by Gradio as they are."""
    title = getattr(error, "title", None)
    return type(error).__module__.startswith(("gradio", "spaces")) and title != "ZeroGPU worker error"
