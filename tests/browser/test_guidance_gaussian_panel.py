"""The guidance tab's Gaussians as a person uses it: parts off and on, another class, a link, what changes nothing."""

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

WORDS = "(document.querySelector('#guide-words')?.innerText ?? '')"


@pytest.fixture(scope="module")
def guidance(lasting_page, address):
    page = lasting_page()
    page.goto(address)
    page.get_by_role("tab", name="Guidance").click()
    page.wait_for_function(f"{WORDS}.includes('Total variance')")
    return page


def test_it_opens_alive_and_fits_a_phone(guidance):
    assert guidance.locator("#guided img").count() == 2
    guidance.wait_for_function("document.querySelectorAll('#guide-variances .main-svg').length > 0")
    guidance.set_viewport_size({"width": 390, "height": 844})
    assert guidance.evaluate("document.documentElement.scrollWidth") <= 390
    guidance.set_viewport_size({"width": 1440, "height": 1400})


def test_a_part_that_is_switched_off_changes_the_numbers_and_on_again_restores_them(guidance):
    before = guidance.evaluate(WORDS)
    guidance.get_by_label("Pos-CPC", exact=True).click()
    guidance.wait_for_function(f"{WORDS} !== {before!r} && {WORDS}.includes('Total variance')")
    guidance.get_by_label("Pos-CPC", exact=True).click()
    guidance.wait_for_function(f"{WORDS} === {before!r}")


def test_all_parts_off_is_a_sentence(guidance):
    for part in ("mean shift", "Pos-CPC", "Neg-CPC"):
        guidance.get_by_label(part, exact=True).click()
    guidance.wait_for_function(f"{WORDS}.includes('switched off')")
    for part in ("mean shift", "Pos-CPC", "Neg-CPC"):
        guidance.get_by_label(part, exact=True).click()
    guidance.wait_for_function(f"!{WORDS}.includes('switched off')")


def test_other_data_bring_their_classes(guidance):
    guidance.locator("#guide-data input").click()
    guidance.get_by_role("option", name="two Gaussians by sliders").click()
    guidance.locator("#guide-ratio").wait_for(state="visible")
    guidance.wait_for_function("document.querySelectorAll('#guided img').length === 0")
    guidance.locator("#guide-data input").click()
    guidance.get_by_role("option", name="digits").click()
    guidance.wait_for_function("document.querySelectorAll('#guided img').length === 2")


def test_the_strip_shows_twelve_weights(guidance):
    assert guidance.locator("#gamma-strip figcaption span").count() == 12
    picture = "document.querySelector('#gamma-strip img').src"
    before = guidance.evaluate(picture)
    guidance.get_by_label("Pos-CPC", exact=True).click()
    guidance.locator("#gamma-strip-run").click()
    guidance.wait_for_function(f"{picture} !== {before!r}")
    guidance.get_by_label("Pos-CPC", exact=True).click()
    guidance.locator("#gamma-moments").scroll_into_view_if_needed()
    guidance.wait_for_function("document.querySelectorAll('#gamma-moments .main-svg').length > 0")


def test_a_link_reopens_it(page, address):
    page.goto(f"{address}?v=1&do=GuideGaussian&gamma=2.0&positive=false&label=8")
    page.wait_for_function("location.search.includes('do=GuideGaussian')")
    page.wait_for_function(
        "[...document.querySelectorAll('.status-line .line')].some((e) => e.__state?.state === 'done')"
    )
    assert not page.get_by_label("Pos-CPC", exact=True).is_checked()
    assert page.get_by_label("Neg-CPC", exact=True).is_checked()
    assert page.get_by_role("tab", name="Guidance").get_attribute("aria-selected") == "true"


def test_a_program_asks_with_gamma(address):
    client = Client(address, verbose=False)
    answer = client.predict(
        data="digits", label="3", gamma=1.0, samples=8, steps=10, api_name="/guidance_theory"
    )
    assert answer["d"] == 64 and answer["idle"] == ""
    with pytest.raises(AppError, match=r"\.$"):
        client.predict(gamma=-3.0, api_name="/guidance_theory")
    client.close()
