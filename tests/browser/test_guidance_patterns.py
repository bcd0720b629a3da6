"""The view of similar patterns as a person uses it: it opens alive, runs, fits a phone, and reopens from a link."""

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

WORDS = "(document.querySelector('#patterns-words')?.innerText ?? '')"
DONE = "[...document.querySelectorAll('.status-line .line')].some((e) => e.__state?.state === 'done')"


@pytest.fixture(scope="module")
def patterns(lasting_page, address):
    page = lasting_page()
    page.goto(address)
    page.get_by_role("tab", name="Guidance").click()
    page.wait_for_function(f"{WORDS}.includes('read as the class')")
    return page


def test_it_opens_alive_and_draws(patterns):
    assert patterns.locator("#patterns-sheets img").count() == 5
    for name in ("shares", "captured"):
        patterns.locator(f"#patterns-{name}").scroll_into_view_if_needed()
        patterns.wait_for_function(f"document.querySelectorAll('#patterns-{name} .main-svg').length > 0")


def test_it_fits_a_phone(patterns):
    patterns.set_viewport_size({"width": 390, "height": 844})
    assert patterns.evaluate("document.documentElement.scrollWidth") <= 390
    patterns.set_viewport_size({"width": 1440, "height": 1400})


def test_another_run_replaces_it_way_by_way(patterns):
    before = patterns.evaluate(WORDS)
    for name, value in (("noises", "4"), ("steps", "6")):
        patterns.locator(f"#patterns-{name} input[type=number]").fill(value)
        patterns.locator(f"#patterns-{name} input[type=number]").press("Tab")
    patterns.locator("#patterns-run").click()
    patterns.wait_for_function(
        f"{WORDS} !== {before!r} && {WORDS}.includes('one of the 4 noises') && "
        "document.querySelectorAll('#patterns-sheets img').length === 5"
    )
    patterns.wait_for_function("location.search.includes('do=CompareClasses')")


def test_a_link_reopens_it(page, address):
    page.goto(f"{address}?v=1&do=CompareClasses&noises=3&steps=4&gamma=0.0")
    page.wait_for_function("location.search.includes('do=CompareClasses')")
    page.wait_for_function(DONE)
    assert page.get_by_role("tab", name="Guidance").get_attribute("aria-selected") == "true"
    page.wait_for_function(f"{WORDS}.includes('With gamma = 0')")
    assert page.locator("#patterns-noises input[type=number]").input_value() == "3"


def test_a_program_asks_and_is_refused_with_a_sentence(address):
    client = Client(address, verbose=False)
    answer = client.predict(noises=3, steps=4, gamma=1.0, api_name="/guide_patterns")
    assert [way["name"] for way in answer["ways"]][:2] == ["conditional", "cfg"]
    assert 0 <= answer["ways"][1]["shares"]["noise"]["value"] <= 1
    with pytest.raises(AppError, match=r"\.$"):
        client.predict(noises=1, api_name="/guide_patterns")
    client.close()
