"""How linear the network is, and one picture's own contrastive components, as a person uses them: the real app on digits."""

import re

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from backend.experiments.guide_jacobian import SplitJacobian
from components import guidance_jacobian_panel as jacobian
from tests.browser.edit_page import QUICK

MINE = SplitJacobian("digits", "gallery:3", t=0.4, k=3)
LINEAR = "(document.querySelector('#linear-words')?.innerText ?? '')"
WORDS = "(document.querySelector('#jacobian-words')?.innerText ?? '')"
CHOSEN = "(document.querySelector('#jacobian-chosen .chosen p')?.innerText ?? '')"
MEANS = "(document.querySelector('#jacobian-means .scrubber')?.__state ?? {})"


def chart(name: str) -> str:
    return f"(document.querySelector('#{name} .chart')?.__state ?? {{}})"


def see(page, name: str) -> None:
    """A chart is drawn once it is in the window."""
    page.locator(f"#{name}").scroll_into_view_if_needed()
    page.wait_for_function(f"{chart(name)}.drawn > 0")


def press_bar(page, index: int) -> None:
    """Clicks on a bar of the first curve, and again if Plotly had not yet found it under the pointer."""
    see(page, "jacobian-values")
    before = page.evaluate(CHOSEN)
    for _ in range(5):
        box = page.locator("#jacobian-values .trace.bars").first.locator(".point").nth(index).bounding_box()
        spot = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(spot[0] - 3, spot[1])
        page.mouse.move(*spot, steps=3)
        page.mouse.click(*spot)
        try:
            page.wait_for_function(f"{CHOSEN} !== {before!r}", timeout=4000)
            return
        except PlaywrightTimeout:
            continue
    raise AssertionError("no bar answered")


@pytest.fixture(scope="module")
def guidance(address, lasting_page):
    page = lasting_page()
    page.set_default_timeout(QUICK)
    page.goto(address)
    page.get_by_role("tab", name="Guidance").click()
    page.wait_for_function(f"{LINEAR}.includes('linear regime') && {WORDS}.includes('Jacobian products')")
    return page


@pytest.fixture(scope="module")
def mine(address, lasting_page):
    """The tab as a link to a digit opens it."""
    page = lasting_page()
    page.set_default_timeout(QUICK)
    page.goto(f"{address}?{MINE.to_query()}")
    page.wait_for_function(f"{WORDS}.includes('The 6 components')")
    return page


def test_it_opens_alive(guidance, shots):
    for name in (
        "linear-gain",
        "linear-error",
        "linear-relative",
        "linear-sizes",
        "linear-cosine",
        "linear-apart",
        "linear-explained",
    ):
        see(guidance, name)
    see(guidance, "jacobian-values")
    assert guidance.locator("#jacobian-vectors img").count() == 3 + 8 + 8
    guidance.wait_for_function(f"{MEANS}.key === {jacobian.FIRST.key()!r} && {MEANS}.decoded === 36")
    if shots:
        guidance.screenshot(path=shots / "guidance_linear.png", full_page=True)


def test_it_fits_a_phone(guidance):
    guidance.set_viewport_size({"width": 390, "height": 844})
    assert guidance.evaluate("document.documentElement.scrollWidth") <= 390
    guidance.set_viewport_size({"width": 1440, "height": 1400})


def test_another_model_shows_its_shipped_run_and_another_class_is_compared_on_demand(guidance):
    guidance.locator("#linear-model input").click()
    guidance.get_by_role("option", name="digits", exact=True).click()
    guidance.wait_for_function(f"{LINEAR}.startsWith('digits, class “3”')")
    guidance.wait_for_function("document.querySelector('#linear-run').innerText.includes('a few seconds')")
    guidance.locator("#linear-label input").click()
    guidance.get_by_role("option", name="5", exact=True).click()
    for name, value in (("samples", "8"), ("levels", "4")):
        box = guidance.locator(f"#linear-{name} input[type=number]")
        box.fill(value)
        box.press("Enter")
    guidance.locator("#linear-run").click()
    guidance.wait_for_function(f"{LINEAR}.startsWith('digits, class “5”')")
    assert "intervals over 8 pictures" in guidance.evaluate(LINEAR)
    see(guidance, "linear-gain")
    guidance.wait_for_function("location.search.includes('do=CompareWithLinear')")


def test_a_bar_answers_with_its_eigenvector(guidance):
    before = guidance.locator("#jacobian-chosen img").get_attribute("src")
    press_bar(guidance, 1)
    assert guidance.evaluate(CHOSEN).startswith("Pos-CPC 2: eigenvalue 0.1")
    assert guidance.locator("#jacobian-chosen img").get_attribute("src") != before


def test_the_weight_swaps_frames_in_the_browser(guidance):
    guidance.locator("#jacobian-means input[type=range]").focus()
    guidance.keyboard.press("End")
    guidance.wait_for_function(f"{MEANS}.index === 8")
    assert guidance.locator("#jacobian-means output").inner_text() == "γ = 15"


def test_a_link_takes_a_digit_apart(mine):
    assert mine.get_by_role("tab", name="Guidance").get_attribute("aria-selected") == "true"
    assert mine.locator("#jacobian-k input[type=number]").input_value() == "3"
    mine.wait_for_function(f"{MEANS}.key === {MINE.key()!r}")
    assert mine.locator("#jacobian-vectors img").count() == 3 + 3 + 3
    assert re.search(r"Class “\d” at σ/α = 0\.738", mine.evaluate(WORDS))


def test_another_class_of_the_same_digit_is_another_jacobian(mine):
    before = mine.evaluate(WORDS)
    mine.locator("#jacobian-label input").click()
    mine.get_by_role("option", name="8", exact=True).click()
    mine.locator("#jacobian-run").click()
    mine.wait_for_function(f"{WORDS}.includes('Class “8”') && {WORDS} !== {before!r}")
    mine.wait_for_function(
        "location.search.includes('do=SplitJacobian') && location.search.includes('label=8')"
    )


def test_a_model_without_classes_is_a_sentence(mine):
    before = mine.evaluate(WORDS)
    mine.locator("#model input").click()
    mine.get_by_role("option", name=re.compile("Gaussian")).click()
    mine.locator("#jacobian-run").click()
    mine.get_by_text("The model must be one of avatars, digits.").first.wait_for()
    assert mine.evaluate(WORDS) == before


def test_programs_ask_for_both(address):
    client = Client(address, verbose=False)
    answer = client.predict(model="digits", image="gallery:3", t=0.4, k=2, api_name="/guide_jacobian")
    assert answer["d"] == 64 and answer["positive"]["vectors"]["shape"] == [2, 1, 8, 8]
    with pytest.raises(AppError, match="1 to 20 components"):
        client.predict(k=0, api_name="/guide_jacobian")
    answer = client.predict(model="digits", label="3", samples=8, levels=3, api_name="/guide_linearity")
    assert answer["d"] == 64 and answer["level"]["shape"] == [3]
    with pytest.raises(AppError, match="8 to 400 samples"):
        client.predict(samples=2, api_name="/guide_linearity")
    client.close()
