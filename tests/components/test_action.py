"""An action over a gateway of its own: events become values of the line and the outputs, and the same class
an endpoint."""

import base64
import gc
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

import gradio as gr
import numpy as np
import pytest
import torch
from gradio_client import Client
from gradio_client.exceptions import AppError

from backend.request import BadInput, Failed, Progress, Request, option, require
from components import action as module
from components.action import Action, endpoint, plain
from components.region_picker import RegionPicker, Shown

HTTP = SimpleNamespace(session_hash="abc")


@dataclass(frozen=True)
class Sums:
    total: float
    history: torch.Tensor


@dataclass(frozen=True)
class FindSums(Request):
    """Adds up the numbers below n."""

    n: int = option(4, "the count")
    way: Literal["up", "down"] = "up"
    weights: tuple[float, ...] = ()
    region: str = "part:hair"

    def check(self) -> None:
        require(0 <= self.n <= 1000, "Ask for 0 to 1,000 numbers.")

    def run(self, model: None) -> Iterator[Any]:
        values = torch.arange(self.n, dtype=torch.float32)
        for i in range(self.n):
            yield Progress(i + 1, self.n, "additions")
        yield Sums(float(values.sum()), values)


def gateway(request: Request) -> Iterator[Any]:
    return request.checked().run(None)


@pytest.fixture
def build():
    """build(gateway) -> an Action of FindSums with n and region on the page, showing the total in one box."""

    def make(gateway=gateway, **options) -> Action:
        with gr.Blocks():
            inputs = {"n": gr.Number(4), "region": RegionPicker()}
            return Action(
                FindSums,
                inputs,
                lambda r, q: [f"{r.total} of {q.n}"],
                [gr.Textbox()],
                gateway=gateway,
                **options,
            )

    return make


def events(action: Action, *values: Any) -> list[list[Any]]:
    return list(action.handle(HTTP, *values))


def test_the_line_says_what_happened_and_the_result_is_shown_once(build):
    told = events(build(), 4, "part:eyes")
    states = [line["state"] for line, _ in told]
    assert states[0] == "running" and states[-1] == "done" and set(states[1:-1]) == {"running"}
    assert [shown for _, shown in told if shown != gr.skip()] == ["6.0 of 4"]
    last = told[-1][0]
    request = FindSums(4, region="part:eyes")
    assert (last["query"], last["python"]) == (request.to_query(), request.to_python()) and last["linked"]


def test_progress_is_drawn_ten_times_a_second(build, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])

    def ticking(request):
        for event in gateway(request):
            clock[0] += 0.01
            yield event

    drawn = [line for line, _ in events(build(ticking), 500, "part:eyes") if "additions" in line["words"]]
    assert 45 <= len(drawn) <= 51
    assert drawn[0]["words"] == "1 of 500 additions" and drawn[0]["total"] == 500


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ((4000, "part:eyes"), "Ask for 0 to 1,000 numbers."),
        (("x", "part:eyes"), "The count must be a number."),
        ((float("nan"), "part:eyes"), "The count must be a finite number."),
    ],
)
def test_bad_input_is_a_sentence_and_nothing_is_lost(build, values, sentence):
    (line, shown) = events(build(), *values)[-1]
    assert line["state"] == "failed" and line["words"] == sentence and shown == gr.skip()


def test_a_failure_and_an_error_are_sentences_too(build):
    def failing(request):
        yield Progress(1, 2, "steps")
        yield Failed("Out of luck.")
        yield Sums(1.0, torch.zeros(1))

    told = events(build(failing), 4, "part:eyes")
    assert told[-1][0]["words"] == "Out of luck." and all(shown == gr.skip() for _, shown in told)

    def breaking(request):
        raise RuntimeError("/secret/path")
        yield

    told = events(build(breaking), 4, "part:eyes")
    assert told[-1][0] == {"state": "failed", "words": module.BROKEN}


def test_a_run_without_end_is_stopped(build, monkeypatch):
    monkeypatch.setattr(module, "LONGEST", 0.05)
    endless = iter(lambda: Progress(1, 2, "steps"), None)
    assert events(build(lambda request: endless), 4, "part:eyes")[-1][0]["words"] == module.TOO_LONG
    with pytest.raises(gr.Error, match="took too long"):
        list(endpoint(FindSums, plain, lambda request: endless)())


def test_a_program_that_stops_listening_stops_the_run():
    closed = []

    def slow(request):
        try:
            while True:
                yield Progress(1, 2, "steps")
        finally:
            closed.append(True)

    call = endpoint(FindSums, plain, slow)()
    assert next(call) == {"progress": {"done": 1, "total": 2, "what": "steps"}}
    call.close()
    gc.collect()
    assert closed == [True]


def test_cancel_ends_the_run_at_the_next_step_and_closes_it(build):
    seen, closed = [], []

    def slow(request):
        try:
            for i in range(100):
                seen.append(i)
                yield Progress(i + 1, 100, "steps")
        finally:
            closed.append(True)

    action = build(slow)
    running = action.handle(HTTP, 4, "part:eyes")
    next(running), next(running)
    action._stop(SimpleNamespace(session_hash="another"))
    assert len(seen) == 1
    assert action._stop(HTTP)["state"] == "cancelled"
    assert [line["state"] for line, _ in running] == ["cancelled"] and len(seen) == 2 and closed == [True]
    assert not action._running


def test_what_runs_is_known_by_session_and_values_until_it_ends(build):
    action = build(lambda request: iter([Progress(1, 2, "steps"), *gateway(request)]))
    assert not action.is_running(HTTP)
    running = action.handle(HTTP, 4, "part:eyes")
    next(running), next(running)
    assert action.is_running(HTTP) and action.is_running(HTTP, region="part:eyes")
    assert not action.is_running(HTTP, region="part:hair")
    assert not action.is_running(SimpleNamespace(session_hash="another"))
    action.interrupt(HTTP)
    assert not action.is_running(HTTP), "it is about to end"
    list(running)
    assert not action._running


def test_a_picker_that_waits_for_its_mask_learns_that_there_is_none():
    with gr.Blocks():
        picker = RegionPicker()
        action = Action(
            FindSums,
            {"region": picker},
            lambda r, q: [Shown()],
            [picker],
            gateway=lambda r: iter([Failed("No.")]),
        )
    assert events(action, "part:eyes")[-1] == [{"state": "failed", "words": "No."}, Shown(region="part:eyes")]


def test_a_tab_may_read_its_components_in_its_own_way(build):
    action = build(read=lambda values: {"n": int(values["n"]) + 1})
    assert events(action, 4, "part:eyes")[-1][0]["python"] == FindSums(5).to_python()


def test_a_link_restores_the_components(build):
    action = build()
    restored = action.restore(FindSums(9, region="box:1,2,3,4"))
    assert list(restored.values()) == [9, Shown(region="box:1,2,3,4", pick=True)]


def test_a_dropdown_of_several_takes_a_list():
    with gr.Blocks():
        inputs = {"weights": gr.Dropdown([0.5, 2.0], multiselect=True)}
        action = Action(FindSums, inputs, lambda r, q: [], [], answer=False, gateway=gateway)
    assert list(action.restore(FindSums(weights=(0.5, 2.0))).values()) == [[0.5, 2.0]]


def test_the_endpoint_has_the_types_defaults_and_words_of_the_class():
    function = endpoint(FindSums, plain, gateway)
    signature = inspect.signature(function)
    assert function.__name__ == "sums" and inspect.isgeneratorfunction(function)
    assert [p.default for p in signature.parameters.values()] == [4, "up", [], "part:hair"]
    assert signature.parameters["weights"].annotation == list[float]
    description, parameters, _ = gr.utils.get_function_description(function)
    assert description == "Adds up the numbers below n." and parameters["n"] == "the count"


def test_plain_keeps_every_number():
    x = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    wire = plain({"a": (x, [Sums(1.5, torch.tensor([True]))]), "b": "text"})
    back = np.frombuffer(base64.b64decode(wire["a"][0]["base64"]), wire["a"][0]["dtype"]).reshape(
        wire["a"][0]["shape"]
    )
    assert (back == x.numpy()).all() and wire["a"][1][0]["total"] == 1.5 and wire["b"] == "text"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        with gr.Blocks() as blocks:
            action = Action(
                FindSums, {"n": gr.Number(4)}, lambda r, q: [str(r.total)], [gr.Textbox()], gateway=gateway
            )
            action.on(gr.Button().click)
        blocks.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False)
        yield Client(blocks.local_url, verbose=False)
        blocks.close()


def test_a_program_calls_the_endpoint(client):
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == ["/sums"], (
        "page events are not endpoints"
    )
    assert client.predict(n=5, api_name="/sums")["total"] == 10
    assert client.predict(api_name="/sums")["history"]["shape"] == [4]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"n": 5000}, "Ask for 0 to 1,000 numbers."),
        ({"n": "five"}, "The count must be a number."),
        ({"way": "sideways"}, "The way must be one of up, down."),
        ({"weights": ["a"]}, "Every entry of the weights must be a number."),
    ],
)
def test_a_program_gets_the_sentence(client, values, sentence):
    with pytest.raises(AppError, match=sentence):
        client.predict(**values, api_name="/sums")


def test_bad_input_of_the_gateway_itself_reaches_the_program():
    def refusing(request):
        raise BadInput("There is no such model.")

    with pytest.raises(gr.Error, match=r"There is no such model\."):
        next(endpoint(FindSums, plain, refusing)())
