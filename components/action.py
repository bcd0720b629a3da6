"""One request in a browser: the button that runs it, a moving progress line, cancel, an error sentence, the link, the Python
line, and the typed endpoint of the same name. All of it follows from the Request class; a tab gives only where the field
values come from and where the result goes:

    find = Action(FindDirections, {"model": bar.model, "image": bar.image, "region": picker, "k": k}, show, [slides])
    find.on(button.click)

Results and progress come from backend.inference.run.run, which refuses bad input before it computes anything. A failure is a
sentence in the line; the outputs keep what they show.
"""

import base64
import dataclasses
import inspect
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import gradio as gr
import torch

from backend.request import BadInput, Failed, Progress, Request
from components.region_picker import RegionPicker, Shown

EVERY = 0.1  # seconds between two drawings of the progress line
LIMIT = 8  # runs of one action at once; the gateway takes their steps in turn
BROKEN = "Something went wrong here; the reason is in the server's log. The rest of the page still works."

_FOLDER = Path(__file__).parent
_HTML = """
<div class="line" data-state="idle">
  <div class="track"><i></i></div>
  <span class="words" role="status" aria-live="polite"></span>
  <span class="keys"><button type="button" class="cancel">Cancel</button><button type="button" class="link">Copy link</button>
  <button type="button" class="python">Copy as Python</button></span>
</div>
"""


class StatusLine(gr.HTML):
    """One line that says how a request is doing. Value in: a mapping with `state` (idle, running, done, failed, cancelled)
    and what belongs to it: words, done, total, query, why_no_link, python. Event: `cancel`."""

    def __init__(self, *, render: bool = True):
        super().__init__(
            html_template=_HTML,
            css_template=(_FOLDER / "action.css").read_text(),
            js_on_load=(_FOLDER / "action.js").read_text(),
            apply_default_css=False,
            elem_classes="status-line",
            render=render,
        )


class Action:
    """A Request class wired to a page. Create it where its status line should stand, inside gr.Blocks.

    Args:
        request: the Request class; its name gives the endpoint's (FindDirections -> /directions).
        inputs: field name -> component; fields that are left out keep their defaults.
        show: (result, request) -> the values of `outputs`, in order. Called for every result that the run yields, so an
            early one may be partial; gr.skip() leaves a component alone.
        outputs: the components that show it.
        answer: result -> JSON for the endpoint; None gives `plain`. False makes no endpoint.
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
        answer: Callable[[Any], Any] | None | bool = None,
        linked: bool = True,
        gateway: Callable[[Request], Iterator[Any]] | None = None,
    ):
        self.request, self.inputs, self.show, self.outputs = request, dict(inputs), show, list(outputs)
        self.linked, self.gateway = linked, gateway or _gateway
        unknown = set(inputs) - {field.name for field in dataclasses.fields(request)}
        if unknown:
            raise ValueError(f"{request.__name__} has no field {', '.join(sorted(unknown))}")
        self.line = StatusLine()
        self.opened = gr.State(0)  # counts links opened on this action; a change runs it
        self._running: dict[str, threading.Event] = {}  # session -> stop, so that a cancel also ends a step between yields
        if answer is not False:
            function = endpoint(request, answer or plain, self.gateway)
            gr.api(function, api_name=function.__name__, concurrency_limit=LIMIT)

    def on(self, *triggers: Callable, **options: Any) -> gr.events.Dependency:
        """Run on these events (`button.click`, `picker.input`) and when a link to this action is opened."""
        run = gr.on(
            [*triggers, self.opened.change],
            self.handle,
            list(self.inputs.values()),
            [self.line, *self.outputs],
            show_progress="hidden",
            trigger_mode="always_last",
            concurrency_limit=LIMIT,
            api_visibility="private",
            **options,
        )
        self.line.cancel(self._cancel, None, self.line, cancels=[run], queue=False, api_visibility="private")
        return run

    def handle(self, http: gr.Request, *values: Any) -> Iterator[list[Any]]:
        """The events of one run as values of [line, *outputs]. Never raises: what went wrong is a sentence in the line."""
        same = [gr.skip()] * len(self.outputs)
        stop = self._running[http.session_hash] = threading.Event()
        began, told, events = time.monotonic(), -EVERY, iter(())
        yield [_line("running", "Starting"), *same]
        try:
            request = self.request.parse(dict(zip(self.inputs, values, strict=True)))
            events = self.gateway(request)
            for event in events:
                if stop.is_set():
                    return
                if isinstance(event, Failed):
                    yield [_line("failed", event.sentence), *same]
                    return
                if not isinstance(event, Progress):
                    yield [_line("running", "Drawing"), *self.show(event, request)]
                elif time.monotonic() - told >= EVERY:
                    told = time.monotonic()
                    words = f"{event.done} of {event.total} {event.what}"
                    yield [_line("running", words, done=event.done, total=event.total), *same]
            yield [self._done(request, time.monotonic() - began), *same]
        except (BadInput, gr.Error) as error:
            yield [_line("failed", str(getattr(error, "message", error))), *same]
        except Exception:
            logging.getLogger(__name__).exception("%s failed in the page", self.request.__name__)
            yield [_line("failed", BROKEN), *same]
        finally:
            getattr(events, "close", lambda: None)()
            if self._running.get(http.session_hash) is stop:
                del self._running[http.session_hash]

    def restore(self, request: Request) -> dict[gr.components.Component, Any]:
        """What the input components must show so that running again makes this request."""
        values = {component: getattr(request, field) for field, component in self.inputs.items()}
        return {c: Shown(region=v, pick=True) if isinstance(c, RegionPicker) else v for c, v in values.items()}

    def _cancel(self, http: gr.Request) -> dict[str, Any]:
        stop = self._running.get(http.session_hash)
        if stop is not None:
            stop.set()
        return _line("cancelled", "Cancelled.")

    def _done(self, request: Request, seconds: float) -> dict[str, Any]:
        return _line(
            "done",
            f"Done in {seconds:.1f} s." if seconds >= 0.05 else "Done.",
            query=request.to_query(),
            why_no_link=request.why_no_link(),
            python=request.to_python(),
            linked=self.linked,
        )


def endpoint(
    request: type[Request], answer: Callable[[Any], Any], gateway: Callable[[Request], Iterator[Any]] | None = None
) -> Callable[..., dict]:
    """A typed function for gr.api: a parameter a field with its default, the class docstring, and words for each parameter
    from `backend.request.option`. Raises gr.Error with the sentence of a BadInput or Failed, which gradio_client passes on."""

    def call(*values: Any, **named: Any) -> dict:
        given = signature.bind(*values, **named).arguments
        try:
            result = None
            for event in (gateway or _gateway)(request.parse(given)):
                if isinstance(event, Failed):
                    raise gr.Error(event.sentence, print_exception=False)
                result = result if isinstance(event, Progress) else event
        except BadInput as error:
            raise gr.Error(str(error), print_exception=False) from None
        return answer(result)

    hints = get_type_hints(request)
    fields = dataclasses.fields(request)
    kinds = {f.name: list[get_args(hints[f.name])[0]] if get_origin(hints[f.name]) is tuple else hints[f.name] for f in fields}
    defaults = {f.name: list(f.default) if isinstance(f.default, tuple) else f.default for f in fields}
    missing = dataclasses.MISSING
    signature = inspect.Signature(
        [
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=inspect.Parameter.empty if default is missing else default,
                annotation=kinds[name],
            )
            for name, default in defaults.items()
        ],
        return_annotation=dict,
    )
    call.__signature__ = signature
    call.__annotations__ = kinds | {"return": dict}
    call.__name__ = "".join(c if c.islower() else f" {c.lower()}" for c in request.__name__).split()[-1]
    words = [f"    {f.name}: {f.metadata.get('words', f.name.replace('_', ' '))}" for f in fields]
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


def _gateway(request: Request) -> Iterator[Any]:
    from backend.inference.run import run  # imports diffusers: late, so that the page appears first

    return run(request)


def _line(state: str, words: str, **rest: Any) -> dict[str, Any]:
    return {"state": state, "words": words} | rest
