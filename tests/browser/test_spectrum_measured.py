"""Pictures that a person measures in the spectrum tab: the Gaussian, whose spectra take seconds; and what goes wrong."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from backend.experiments.spectrum import SweepSpectrum
from components import spectrum_tab
from tests.browser.edit_page import FILM, QUICK, line
from tests.browser.spectrum_page import (
    GROUP,
    LINES,
    MINE,
    SLIDES,
    chart,
    choose_model,
    come_into_sight,
    done,
    frames,
    name_picture,
    open_tab,
    press_point,
    scrubber,
    until,
)


@pytest.fixture(scope="module")
def opened(lasting_page, address):
    """The tab as a link to the Gaussian's spectra opens it."""
    page = lasting_page()
    page.set_default_timeout(QUICK)
    page.goto(f"{address}?{MINE.to_query()}")
    done(page, "SweepSpectrum")
    until(page, f"{line('sources')}.state === 'done'")
    page.locator("#singular-values").scroll_into_view_if_needed()
    until(page, f"{scrubber()}.key === {MINE.key()!r} && {chart('singular-values')}.shown >= 0")
    until(page, f"{frames('singular-values')} === 5 && {scrubber()}.decoded === 50")
    return page


@pytest.fixture
def measured(opened):
    """The same after other tests, which look at other tabs and noise levels but at no other picture."""
    opened.get_by_role("tab", name="Spectrum").click()
    opened.locator("#spectrum-t").scroll_into_view_if_needed()
    return opened


# ---- a picture of the Gaussian


def test_a_measured_picture_fills_the_charts_and_its_link_reopens_it(page, browser, address):
    open_tab(page, address)
    choose_model(page, "Gaussian")  # and its first picture
    until(page, "document.querySelector('#image textarea, #image input').value === 'gallery:0'")
    until(page, "document.querySelector('#measure').textContent.includes('about 10 s')")
    page.locator("#spectrum-k input[type=number]").fill("12")
    page.locator("#spectrum-k input[type=number]").press("Enter")
    page.locator("#measure").click()
    asked = SweepSpectrum("gaussian", "gallery:0", k=12)
    done(page, "SweepSpectrum")
    until(page, f"{scrubber()}.key === {asked.key()!r} && {scrubber()}.decoded === 90")
    for name in GROUP:
        if name != "truth":  # nothing is known of digits
            come_into_sight(page, name)
            assert page.evaluate(frames(name)) == 9
    link = page.evaluate("location.href")
    assert urlsplit(link).query == asked.to_query()

    again = browser.new_context(viewport={"width": 1440, "height": 1400}).new_page()
    again.set_default_timeout(QUICK)
    again.goto(link)
    done(again, "SweepSpectrum")
    until(again, f"{scrubber()}.key === {asked.key()!r} && {frames('singular-values')} === 9")
    assert again.get_by_role("tab", name="Spectrum").get_attribute("aria-selected") == "true"
    again.context.close()


def test_a_link_to_another_model_keeps_its_picture(page, address):
    page.set_default_timeout(QUICK)
    asked = SweepSpectrum("gaussian", "gallery:6", times=3, k=5)
    page.goto(f"{address}?{asked.to_query()}")
    done(page, "SweepSpectrum")
    until(page, "document.querySelector('#measure').textContent.includes('about 10 s')")
    until(page, f"{line('sources')}.query?.includes('model=gaussian')")
    assert page.locator("#image textarea, #image input").input_value() == "gallery:6"
    until(page, f"{scrubber()}.key === {asked.key()!r}")


def test_another_model_shows_what_is_at_hand_of_its_picture_of_the_same_name(page, address):
    open_tab(page, address)
    first = SweepSpectrum("gaussian", "gallery:0")
    page.goto(f"{address}?{first.to_query()}")
    done(page, "SweepSpectrum")
    until(page, f"{scrubber()}.key === {first.key()!r}")
    choose_model(page, "Digits")  # it begins with gallery:0 as well
    until(page, f"{scrubber()}.key !== {first.key()!r}")
    choose_model(page, "Gaussian")
    until(page, f"{scrubber()}.key === {first.key()!r}")
    until(page, f"{chart('singular-values')}.shown === {scrubber()}.index")


def test_a_click_on_a_point_slides_along_its_vector(measured):
    measured.locator("#spectrum-t input[type=range]").focus()
    measured.keyboard.press("End")
    until(measured, f"{chart('singular-values')}.shown === 4")
    press_point(measured, "singular-values", 2)
    until(measured, f"{SLIDES}.rows[0]?.strip.title === 'v3 at t = 0.96' && {SLIDES}.status === 'exact'")
    done(measured, "SlideAlong")
    measured.locator("#spectrum-t .tile").nth(2).click()
    until(measured, f"{SLIDES}.rows[0]?.strip.title === 'v1 at t = 0.96'")
    done(measured, "SlideAlong")
    key = measured.evaluate(f"{SLIDES}.key")
    drawn = measured.evaluate(f"{SLIDES}.drawn")
    measured.locator("#singular-film input[type=range]").focus()
    measured.keyboard.press("PageUp")
    until(measured, f"{SLIDES}.drawn > {drawn}")
    assert measured.evaluate(f"{SLIDES}.key") == key


def test_a_vector_is_sent_to_the_edit_tab(measured):
    measured.locator("#spectrum-t input[type=range]").focus()
    measured.keyboard.press("Home")
    until(measured, f"{chart('singular-values')}.shown === 0")
    press_point(measured, "singular-values", 1)
    until(measured, f"{SLIDES}.rows[0]?.strip.title === 'v2 at t = 0.04'")
    done(measured, "SlideAlong")
    measured.locator("#send").click()
    until(measured, f"{FILM}.key?.startsWith('set:') && {FILM}.status === 'exact'")
    assert measured.get_by_role("tab", name="Edit").get_attribute("aria-selected") == "true"
    assert measured.locator("#film .rows .title").all_inner_texts() == ["v2 at t = 0.04"]
    assert measured.locator("#film").is_visible()


def test_a_survey_adds_bands(measured):
    assert measured.evaluate(f"{chart('singular-values')}.figure.data.length") == 1
    measured.locator("#measure-many").click()
    until(measured, f"{chart('singular-values')}.figure.data.length === 4")
    assert measured.evaluate(f"{scrubber()}.key") == MINE.key()
    assert measured.evaluate(f"{chart('singular-values')}.figure.data[2].name").startswith("32 pictures")


def test_the_process_runs_from_another_noise(measured):
    before = measured.evaluate(f"{scrubber('process-t')}.key")
    measured.locator("#process-seed input").fill("5")
    measured.locator("#process-run").click()
    done(measured, "WatchProcess")
    until(measured, f"{scrubber('process-t')}.key !== {before!r} && {scrubber('process-t')}.decoded === 126")
    assert measured.locator("#process-words").inner_text().startswith("20 evaluations each")
    asked = parse_qs(urlsplit(measured.evaluate("location.href")).query)
    assert asked["do"] == ["WatchProcess"] and asked["seed"] == ["5"] and asked["model"] == ["gaussian"]


def test_the_dimension_of_data_is_estimated(measured):
    measured.locator("#dimension-data input").click()
    measured.get_by_role("option", name="digits").click()
    measured.locator("#dimension-run").click()
    measured.locator("#dimension-answer td").first.wait_for()
    cells = measured.locator("#dimension-answer td").all_inner_texts()
    assert cells[:2] == ["1,000", "64"] and re.fullmatch(r"\d+\.\d \[\d+\.\d, \d+\.\d\]", cells[2])


# ---- what goes wrong


def test_cancel_ends_a_sweep_and_the_next_one_runs(page, address):
    open_tab(page, address)
    name_picture(page, "gallery:2")
    until(page, f"{scrubber()}.key === ''")
    page.locator("#measure").click()
    until(page, f"{LINES}.some(one => one.state === 'running' && one.done > 0)")
    page.locator("[role=tabpanel] .line[data-state=running] .cancel").click()
    until(page, f"{LINES}.some(one => one.state === 'cancelled')")
    until(page, f"!{LINES}.some(one => one.state === 'running')")
    choose_model(page, "Gaussian")
    until(page, "document.querySelector('#measure').textContent.includes('about 10 s')")
    page.locator("#measure").click()
    done(page, "SweepSpectrum")
    until(page, f"{frames('singular-values')} === 9")


def test_a_link_that_asks_for_too_much_is_a_sentence(page, address):
    page.set_default_timeout(QUICK)
    page.goto(f"{address}?v=1&do=SweepSpectrum&model=gaussian&k=65")
    page.locator("#notice [role=alert]").wait_for()
    assert "Pictures of this model have 64 values" in page.locator("#notice").inner_text()
    page.get_by_role("tab", name="Spectrum").click()
    until(page, f"{scrubber()}.key === {spectrum_tab.FIRST.key()!r} && {chart('singular-values')}.shown >= 0")


def test_a_click_on_what_is_no_longer_at_hand_and_a_picture_that_is_none_are_sentences(page, address):
    open_tab(page, address)
    name_picture(page, "gallery:99")
    until(page, f"{scrubber()}.key === ''")
    page.locator("#send").click()
    page.locator(".toast-wrap, .toast-body").get_by_text("gallery").first.wait_for()
    assert page.get_by_role("tab", name="Spectrum").get_attribute("aria-selected") == "true"
    page.locator("#measure").click()
    until(page, f"{LINES}.some(one => one.state === 'failed' && one.words.includes('gallery'))")
    name_picture(page, "gallery:1")
    until(page, f"{scrubber()}.key === {spectrum_tab.FIRST.key()!r}")


def test_the_spectrum_for_a_program(address):
    client = Client(address, verbose=False)
    answer = client.predict(model="gaussian", image="gallery:3", t=0.5, k=5, api_name="/spectrum")
    assert answer["d"] == 64 and answer["s"]["shape"] == [64] and answer["t"] == 0.5
    with pytest.raises(AppError, match="At t = 0 there is no noise"):
        client.predict(model="gaussian", image="gallery:3", t=0.0, k=5, api_name="/spectrum")
    assert client.predict(model="gaussian", image="gallery:3", t=0.5, k=5, api_name="/spectrum")["k"] == 5
    client.close()
