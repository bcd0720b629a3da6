"""Guidance on networks as a person uses it: it streams, scrubs in the browser, cancels, and keeps settings side by side."""

import re

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from backend.experiments.guide import GuideNetwork
from components import guidance_compare_panel, guidance_network_panel
from tests.browser.edit_page import QUICK, line

CHARTS = ("norms", "agreement", "multiples", "plane", "weight")
DIGITS = GuideNetwork(model="digits", label="3", samples=4, steps=10)


def sheets(where: str = "network") -> str:
    return f"(document.querySelector('#{where}-sheets .sheets')?.__state ?? {{sheets: [], labels: []}})"


def chart(name: str) -> str:
    return f"(document.querySelector('#network-{name} .chart')?.__state ?? {{}})"


SCRUBBER = "(document.querySelector('#network-step .scrubber')?.__state ?? {})"
SLIDER = "#network-step input[type=range]"
SETTINGS = "#beside-settings .token"


def open_tab(page, address: str, query: str = "") -> None:
    page.set_default_timeout(QUICK)
    page.goto(f"{address}?{query}" if query else address)
    page.get_by_role("tab", name="Guidance").click()
    page.locator("#network-run").scroll_into_view_if_needed()
    page.wait_for_function(f"{sheets()}.sheets.length === 2 && {sheets()}.decoded > 0")


def number(page, name: str, value: int) -> None:
    box = page.locator(f"#network-{name} input[type=number]")
    box.fill(str(value))
    box.press("Enter")


def choose(page, name: str, option: str) -> None:
    page.locator(f"#network-{name} input").click()
    page.get_by_role("option", name=option, exact=True).click()


def state(page, where: str, state: str) -> None:
    page.wait_for_function(f"{line(where)}.state === {state!r}")


@pytest.fixture(scope="module")
def guidance(lasting_page, address):
    page = lasting_page()
    open_tab(page, address)
    return page


def test_it_opens_alive_with_the_samples_and_fits_a_phone(guidance, shots):
    steps = guidance_network_panel.FIRST.steps
    guidance.wait_for_function(f"{sheets()}.decoded === {2 * (steps + 1)} && {sheets()}.index === 0")
    assert guidance.evaluate(f"{SCRUBBER}.index") == 0
    assert guidance.evaluate(f"{sheets('beside')}.labels") == [
        guidance_compare_panel.caption(one) for one in guidance_compare_panel.FIRST.settings
    ]
    assert "variance over real" in guidance.locator("#network-numbers").inner_text()
    for name in CHARTS:
        guidance.locator(f"#network-{name}").scroll_into_view_if_needed()
        guidance.wait_for_function(f"{chart(name)}.drawn > 0")
    for width in (1440, 390):
        guidance.set_viewport_size({"width": width, "height": 1400})
        assert guidance.evaluate("document.documentElement.scrollWidth") <= width
        for where in ("network", "beside") if shots else ():
            guidance.locator(f"#{where}").screenshot(path=shots / f"{where}_{width}.png")
    guidance.set_viewport_size({"width": 1440, "height": 1400})


def test_the_slider_moves_pictures_and_charts_without_asking_python(guidance):
    asked = []
    guidance.on("request", lambda request: asked.append(request.url))
    guidance.locator(SLIDER).focus()
    before = guidance.evaluate(f"{sheets()}.drawn")
    for _ in range(3):
        guidance.keyboard.press("ArrowRight")
    guidance.wait_for_function(f"{sheets()}.index === 3 && {sheets()}.drawn > {before}")
    assert (
        guidance.locator("#network-step output")
        .inner_text()
        .startswith(f"x̂₀ of step {guidance_network_panel.FIRST.steps - 2},")
    )
    guidance.locator("#network-norms").scroll_into_view_if_needed()
    guidance.wait_for_function(f"{chart('norms')}.shown === 3")
    guidance.keyboard.press("Home")
    guidance.wait_for_function(f"{sheets()}.index === 0")
    assert [url for url in asked if "queue" in url or "call" in url] == []


def test_another_network_brings_its_classes_and_the_pictures_stream(guidance):
    model = "avatars" if guidance_network_panel.FIRST.model == "digits" else "digits"
    title = {"avatars": "drawn faces", "digits": "digits"}[model]
    choose(guidance, "model", title)
    wanted = guidance_network_panel.LABELS[model][1]
    guidance.wait_for_function(f"document.querySelector('#network-label input').value === {wanted!r}")
    number(guidance, "samples", 4)
    guidance.wait_for_function("/about \\d+ s/.test(document.querySelector('#network-run').textContent)")
    guidance.evaluate(
        "() => { const node = document.querySelector('#network-sheets .sheets'); window.__seen = [];"
        " new MutationObserver(() => window.__seen.push(node.textContent))"
        ".observe(node, { subtree: true, childList: true, characterData: true }); }"
    )
    guidance.locator("#network-run").click()
    state(guidance, "network", "done")
    assert guidance.evaluate("window.__seen.some((words) => words.includes('x̂₀ after step'))")
    guidance.wait_for_function(f"{sheets()}.labels[1] === 'guided, same noises'")
    query = guidance.evaluate("location.search")
    assert "do=GuideNetwork" in query and "samples=4" in query


def test_parts_that_change_nothing_are_a_sentence(guidance):
    guidance.get_by_label("add residual", exact=True).click()
    guidance.locator("#network-run").click()
    guidance.wait_for_function(
        "document.querySelector('#network-words').innerText.includes('parts change nothing')"
    )
    guidance.get_by_label("add residual", exact=True).click()


def test_cancel_ends_a_run_and_the_next_one_runs(page, address):
    open_tab(page, address)
    choose(page, "model", "drawn faces")
    for name, value in (("samples", 64), ("steps", 60)):  # long enough to be met on its way
        number(page, name, value)
    page.wait_for_function("document.querySelector('#network-run').textContent.includes('about 92 s')")
    page.locator("#network-run").click()
    page.wait_for_function(f"{line('network')}.state === 'running' && {line('network')}.done > 0")
    page.locator("#network .line[data-state=running] .cancel").click()
    state(page, "network", "cancelled")
    choose(page, "model", "digits")
    number(page, "samples", 4)
    number(page, "steps", 10)
    page.locator("#network-run").click()
    state(page, "network", "done")


def test_settings_are_kept_side_by_side_and_removed(page, address):
    open_tab(page, address, DIGITS.to_query())
    state(page, "network", "done")
    assert page.locator("#network-label input").input_value() == "3"
    page.locator("#network-keep").click()
    page.wait_for_function(
        f"document.querySelectorAll('{SETTINGS}').length === 2"
    )  # a new list, from other noises
    page.get_by_label("linear direction instead").click()
    page.locator("#network-keep").click()
    page.wait_for_function(f"document.querySelectorAll('{SETTINGS}').length === 3")
    page.wait_for_function("document.querySelector('#beside-run').textContent.includes('about')")
    page.locator("#beside-run").click()
    state(page, "beside", "done")
    captions = ["γ = 0", "CFG, γ = 3", "linear: mean shift + Pos-CPC + Neg-CPC, γ = 3"]
    page.wait_for_function(f"{sheets('beside')}.labels.join('|') === {'|'.join(captions)!r}")
    link = page.evaluate("location.href")
    page.locator(f"{SETTINGS}").nth(1).locator(".token-remove").click()
    page.wait_for_function(f"document.querySelectorAll('{SETTINGS}').length === 2")
    page.locator("#beside-run").click()
    page.wait_for_function(f"{sheets('beside')}.labels.length === 2")

    page.goto(link)
    state(page, "beside", "done")
    page.wait_for_function(f"{sheets('beside')}.labels.join('|') === {'|'.join(captions)!r}")
    page.wait_for_function(f"document.querySelectorAll('{SETTINGS}').length === 3")
    assert [words.strip().split("\n")[0] for words in page.locator(SETTINGS).all_inner_texts()] == captions


def test_a_link_that_cannot_be_run_is_a_sentence(page, address):
    page.set_default_timeout(QUICK)
    page.goto(f"{address}?v=1&do=CompareGuidance&settings=[]")
    page.locator("#notice [role=alert]").wait_for()
    assert "Compare 1 to 6 settings" in page.locator("#notice").inner_text()


def test_programs_ask_with_gamma(address):
    client = Client(address, verbose=False)
    values = {"model": "digits", "label": "3", "samples": 3, "steps": 5}
    answer = client.predict(**values, gamma=1.0, api_name="/guide")
    assert answer["guided"]["samples"]["shape"] == [3, 1, 8, 8] and answer["guided"]["asked"] == 30
    with pytest.raises(AppError, match=re.escape("There is no such class")):
        client.predict(**values | {"label": "happy"}, api_name="/guide")
    with pytest.raises(AppError, match="gamma"):
        client.predict(**values, gamma=-3.0, api_name="/guide")
    settings = [GuideNetwork(**values, gamma=gamma).to_query() for gamma in (0.0, 1.0)]
    beside = client.predict(model="digits", settings=settings, api_name="/guide_compare")
    assert [one["asked"] for one in beside["outcomes"]] == [15, 30]
    with pytest.raises(AppError, match="must not differ in the seed"):
        other = GuideNetwork(**values, seed=9).to_query()
        client.predict(model="digits", settings=[*settings, other], api_name="/guide_compare")
    client.close()
