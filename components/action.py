"""One request in a browser: the button that runs it, a moving progress line, cancel, an error sentence, the link,
the Python line, and the typed endpoint. All of it follows from the Request class; a tab says only where the field
values come from and where the result goes:

    fields = {"model": bar.model, "image": bar.image, "region": picker, "k": k}
    find = Action(FindDirections, fields, show, [slides])
    find.on(button.click)

Results and progress come from backend.inference.run.run, which refuses bad input before it computes anything. A
failure is a sentence in the line; the outputs keep what they show.
"""

import base64
import dataclasses
import inspect
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin, get_type_hints

import gradio as gr
import torch

from backend.request import BadInput, Failed, Progress, Request
from components.region_picker import RegionPicker, Shown
from components.status_line import StatusLine

EVERY = 0.1  # seconds between two drawings of the progress line
LIMIT = 8  # runs of one action at once; the gateway takes their steps in turn
LONGEST = 900.0  # seconds that one run may take; what needs more is a job
CANCELLED = "Cancelled."
BROKEN = "Something went wrong here; the reason is in the server's log. The rest of the page still works."
TOO_LONG = "This took too long and was stopped; ask for fewer directions, frames or steps."


@dataclasses.dataclass(frozen=True, eq=False)
class _Run:
    """What a session runs: the values that it began with, and whether it is to stop."""

    given: Mapping[str, Any]
    stop: threading.Event = dataclasses.field(default_factory=threading.Event)


class Action:
    """A Request class wired to a page. Create it where its status line should stand, inside gr.Blocks.

    Args:
        request: the Request class; its name gives the endpoint's (FindDirections -> /directions).
        inputs: field name -> component; fields left out keep their defaults. With `read`, any names will do.
        show: (result, request) -> the values of `outputs`, in order. Called for every result that the run yields,
            so an early one may be partial; `unchanged(component)` leaves one as it is.
        outputs: the components that show it.
        read: {input name: component's value} -> {field: value}, where they differ.
        answer: result -> JSON for the endpoint; False makes no endpoint.
        name: of the endpoint, where the last word of the class name is not it.
        linked: whether the address bar follows this action.
        gateway: request -> events; the real one by default.
    """

    def __init__(
        self,
        request: type[Request],
        inputs: Mapping[str, gr.components.Component],
        show: Callable[[Any, Request], Sequence[Any]],
        outputs: Sequence[gr.components.Component],
        *,
        read: Callable[[dict[str, Any]], dict[str, Any]] = lambda values: values,
        answer: Callable[[Any], Any] | Literal[False] | None = None,
        name: str | None = None,
        linked: bool = True,
        gateway: Callable[[Request], Iterator[Any]] | None = None,
    ):
        self.request, self.inputs, self.show, self.outputs = request, dict(inputs), show, list(outputs)
        self.read, self.linked, self.gateway = read, linked, gateway or ask
        self.line = StatusLine()
        self._pickers = [c for c in self.outputs if isinstance(c, RegionPicker) and c in inputs.values()]
        self._running: dict[str, _Run] = {}  # by session
        if answer is not False:
            function = endpoint(request, answer or plain, self.gateway, name)
            gr.api(function, api_name=function.__name__, concurrency_limit=LIMIT)

    def on(self, *triggers: Callable, **options: Any) -> gr.events.Dependency:
        """Run on these events (`button.click`, `picker.input`) and when a link to this action is opened."""
        run = gr.on(
            [*triggers, self.line.submit],
            self.handle,
            list(self.inputs.values()),
            [self.line, *self.outputs],
            show_progress="hidden",
            trigger_mode="always_last",
            concurrency_limit=LIMIT,
            api_visibility="private",
            **options,
        )
        # Not `cancels=[run]`: Gradio would lose a click that comes before the step under way has ended.
        self.line.stop(self._stop, None, self.line, queue=False, api_visibility="private")
        return run

    def handle(self, http: gr.Request, *values: Any) -> Iterator[list[Any]]:
        """The events of one run as values of [line, *outputs]. What goes wrong is a sentence in the line."""
        given = dict(zip(self.inputs, values, strict=True))
        same = last = [unchanged(component) for component in self.outputs]
        mine = self._running[http.session_hash] = _Run(given)
        began, told, events = time.monotonic(), -EVERY, _results(iter(()))
        yield [_line("running", "Starting"), *same]
        try:
            request = self.request.parse(self.read(given))
            events = _results(self.gateway(request))
            for event in events:
                if mine.stop.is_set():
                    yield [_line("cancelled", CANCELLED), *self._given_up(values)]
                    return
                if not isinstance(event, Progress):
                    shown = self.show(event, request)
                    last = [
                        v if c in self._pickers else s
                        for v, c, s in zip(shown, self.outputs, same, strict=True)
                    ]
                    yield [_line("running", "Drawing"), *shown]
                elif time.monotonic() - told >= EVERY:
                    told = time.monotonic()
                    words = f"{event.done} of {event.total} {event.what}"
                    yield [_line("running", words, done=event.done, total=event.total), *same]
            # A browser may miss an answer that the next one follows at once, and a picker waits for its own.
            yield [self._done(request, time.monotonic() - began), *last]
        except (BadInput, gr.Error) as error:
            yield [_line("failed", str(getattr(error, "message", error))), *self._given_up(values)]
        except Exception:
            logging.getLogger(__name__).exception("%s failed in the page", self.request.__name__)
            yield [_line("failed", BROKEN), *self._given_up(values)]
        finally:
            events.close()
            if self._running.get(http.session_hash) is mine:
                del self._running[http.session_hash]

    def restore(self, request: Request) -> dict[gr.components.Component, Any]:
        """What the inputs must show so that running again makes this request; inputs that are no fields stay."""
        fields = request.values()
        found = {component: fields[name] for name, component in self.inputs.items() if name in fields}
        return {component: _filled(component, value) for component, value in found.items()}

    def _given_up(self, values: Sequence[Any]) -> list[Any]:
        """The outputs as they are, but a picker that waits for its mask learns that there is none."""
        regions = dict(zip(self.inputs.values(), values, strict=True))
        return [Shown(region=regions[c]) if c in self._pickers else unchanged(c) for c in self.outputs]

    def interrupt(self, http: gr.Request) -> None:
        """Cancels what this session runs, if anything, within one network evaluation."""
        if http.session_hash in self._running:
            self._running[http.session_hash].stop.set()

    def is_running(self, http: gr.Request, **inputs: Any) -> bool:
        """Whether this session runs the action, with these values of inputs."""
        run = self._running.get(http.session_hash)
        return run is not None and not run.stop.is_set() and run.given.items() >= inputs.items()

    def _stop(self, http: gr.Request) -> dict[str, Any]:
        self.interrupt(http)
        return _line("cancelled", CANCELLED)

    def _done(self, request: Request, seconds: float) -> dict[str, Any]:
        return _line(
            "done",
            f"Done in {seconds:.1f} s." if seconds >= 0.05 else "Done.",
            query=request.to_query(),
            why_no_link=request.why_no_link(),
            python=request.to_python(),
            linked=self.linked,
        )


def _filled(component: gr.components.Component, value: Any) -> Any:
    """What a component takes for a field's value."""
    if isinstance(component, RegionPicker):
        return Shown(region=value, pick=True)
    if isinstance(component, gr.Dropdown) and isinstance(value, tuple):
        return list(value)  # a tuple would be one of its choices
    return value


def unchanged(component: gr.components.Component) -> Any:
    """What a handler returns to leave a component as it is; gr.skip() would wipe the properties of ours."""
    ours = isinstance(component, gr.HTML) and type(component) is not gr.HTML
    return None if ours else gr.skip()


def endpoint(
    request: type[Request],
    answer: Callable[[Any], Any],
    gateway: Callable[[Request], Iterator[Any]],
    name: str | None = None,
) -> Callable[..., Iterator[dict]]:
    """A typed generator for gr.api: a parameter a field with its default, the docstring of the class, and words
    for each parameter from `backend.request.option`.

    It yields {"progress": {done, total, what}} on the way, so that a client's cancel takes effect, and last the
    answer. It raises gr.Error with the sentence of a BadInput or Failed, which clients pass on.
    """

    def call(*values: Any, **named: Any) -> Iterator[dict]:
        told, result = time.monotonic(), None
        try:
            for event in _results(gateway(request.parse(signature.bind(*values, **named).arguments))):
                if not isinstance(event, Progress):
                    result = event
                elif time.monotonic() - told >= EVERY:
                    told = time.monotonic()
                    yield {"progress": dataclasses.asdict(event)}
        except BadInput as error:
            raise gr.Error(str(error), print_exception=False) from None
        yield answer(result)

    signature = _signature(request)
    call.__signature__ = signature
    call.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()} | {"return": dict}
    last_word = "".join(c if c.islower() else f" {c.lower()}" for c in request.__name__).split()[-1]
    call.__name__ = name or last_word
    words = [f"    {f.name}: {f.metadata.get('words', f.name)}" for f in dataclasses.fields(request)]
    call.__doc__ = "\n".join([inspect.getdoc(request) or "", "", "Args:", *words])
    return call


def plain(value: Any) -> Any:
    """A result as JSON. A tensor becomes {"dtype", "shape", "base64"}: its little-endian bytes, for
    np.frombuffer(base64.b64decode(x["base64"]), x["dtype"]).reshape(x["shape"])."""
    if isinstance(value, torch.Tensor):
        array = value.detach().cpu().contiguous().numpy()
        data = base64.b64encode(array.tobytes()).decode()
        return {"dtype": str(array.dtype), "shape": list(array.shape), "base64": data}
    if dataclasses.is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    return value


def _signature(request: type[Request]) -> inspect.Signature:
    """The fields as parameters; gr.api knows lists, not tuples."""
    hints, parameters = get_type_hints(request), []
    for field in dataclasses.fields(request):
        kind, default = hints[field.name], field.default
        if get_origin(kind) is tuple:
            kind, default = list[get_args(kind)[0]], list(default)
        if default is dataclasses.MISSING:
            default = inspect.Parameter.empty
        keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters.append(inspect.Parameter(field.name, keyword, default=default, annotation=kind))
    return inspect.Signature(parameters, return_annotation=dict)


def _results(events: Iterator[Any]) -> Iterator[Any]:
    """The events, closed with their receiver. Failed and a run without end become BadInput with their sentence."""
    began = time.monotonic()
    try:
        for event in events:
            if isinstance(event, Failed):
                raise BadInput(event.sentence)
            yield event
            if time.monotonic() - began > LONGEST:
                raise BadInput(TOO_LONG)
    finally:
        getattr(events, "close", lambda: None)()


def ask(request: Request) -> Iterator[Any]:
    """The events of a request, from the one gateway."""
    from backend.inference.run import run  # imports diffusers: late, so that the page appears first

    return run(request)


def _line(state: str, words: str, **rest: Any) -> dict[str, Any]:
    return {"state": state, "words": words} | rest
