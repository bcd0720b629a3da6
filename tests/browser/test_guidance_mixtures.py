"""The guidance tab's exact mixtures as a person uses them: in the plane, live, and in many dimensions."""

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from backend.experiments.guidance_dimension import GuideHighDimension
from backend.experiments.guidance_mixture import GuideMixture
from backend.request import Request
from components import guidance_dimensions_panel, guidance_plane_panel
from components.guidance_dimensions_figures import MEASURES

PHONE = {"width": 390, "height": 1800}
QUICK = 60_000  # ms; generous, since a test machine may be busy
PLANE = ("plane-plain", "plane-guided", "plane-responsibilities", "plane-growth", "plane-bias")
MANY = tuple(f"many-{name}" for name in (*MEASURES, "transitions", "potential"))
NUMBERS = "(document.querySelector('#plane-numbers')?.innerText ?? '')"
WORDS = "(document.querySelector('#plane-words')?.innerText ?? '')"


def chart(name: str) -> str:
    return f"(document.querySelector('#{name} .chart')?.__state ?? {{}})"


def scrubber(name: str) -> str:
    return f"(document.querySelector('#{name} .scrubber')?.__state ?? {{}})"


def weight(name: str) -> str:
    return f"(document.querySelector('#{name}-curve .weight')?.__state ?? {{}})"


def pick(page, name: str, option: str) -> None:
    page.locator(f"#{name} input").click()
    page.get_by_role("option", name=option, exact=True).click()


def done(page, where: str, name: str) -> None:
    """Until the action of that name, in that panel, has ended last."""
    page.wait_for_function(
        f"[...document.querySelectorAll('#{where} .status-line .line')].map(one => one.__state ?? {{}})"
        f".some(one => one.state === 'done' && one.query?.includes('do={name}'))"
    )


def come_into_sight(page, name: str) -> None:
    """A chart is drawn once it is in the window."""
    page.locator(f"#{name}").scroll_into_view_if_needed()
    page.wait_for_function(f"{chart(name)}.drawn > 0")


def open_tab(page, address: str) -> None:
    page.set_default_timeout(QUICK)
    page.goto(address)
    page.get_by_role("tab", name="Guidance").click()
    page.wait_for_function(f"{NUMBERS}.includes('weak mode')")


def set_number(page, name: str, value: str) -> None:
    box = page.locator(f"#{name} input[type=number]")
    box.fill(value)
    box.press("Enter")


@pytest.fixture(scope="module")
def opened(lasting_page, address):
    page = lasting_page()
    open_tab(page, address)
    return page


@pytest.mark.parametrize("viewport", [PHONE], ids=["phone"], indirect=True)
def test_on_a_telephone_nothing_is_wider_than_the_window(page, address, viewport, shots):
    open_tab(page, address)
    for name in (*PLANE, *MANY):
        come_into_sight(page, name)
        width = page.evaluate(f"document.querySelector('#{name} .plot')._fullLayout.width")
        assert 280 <= width <= viewport["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    if shots:
        page.screenshot(path=shots / "guidance_mixtures_390.png", full_page=True)


def test_both_views_open_alive(opened, shots):
    for name in (*PLANE, *MANY):
        come_into_sight(opened, name)
    assert opened.evaluate(f"{scrubber('plane-level')}.key") == guidance_plane_panel.FIRST.key()
    assert opened.evaluate(f"{scrubber('many-level')}.key") == guidance_dimensions_panel.FIRST.key()
    assert "Our definition" in opened.evaluate(WORDS)
    assert "K = 3, 7, 55, 403 classes" in opened.locator("#many-words").inner_text()
    assert opened.evaluate("document.documentElement.scrollWidth") <= 1440
    if shots:
        opened.locator("#plane").screenshot(path=shots / "guidance_plane_1440.png")
        opened.locator("#guide-dimensions").screenshot(path=shots / "guidance_dimensions_1440.png")


def test_the_slider_over_noise_moves_the_portraits_and_asks_nobody(opened):
    come_into_sight(opened, "plane-guided")
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.locator("#plane-level input[type=range]").focus()
    notes = set()
    for key, place in (("Home", 0), ("ArrowRight", 1), ("End", 7)):
        opened.keyboard.press(key)
        for name in ("plane-plain", "plane-guided"):
            opened.wait_for_function(f"{chart(name)}.shown === {place}")
        notes.add(opened.evaluate("document.querySelector('#plane-guided .annotation-text').textContent"))
        words = opened.locator("#plane-level output").inner_text()
        assert words == opened.evaluate(f"{scrubber('plane-level')}.captions[{place}]")
    assert len(notes) == 3 and words == "σ/α = 8, stage I"
    assert opened.evaluate(f"{scrubber('many-level')}.index") == 3, "another slider's group stays"
    assert asked == []


def test_other_arrows_are_drawn_of_the_same_samples(opened):
    come_into_sight(opened, "plane-guided")
    before = opened.evaluate(f"[...{chart('plane-guided')}.figure.data.at(-3).x]")
    opened.locator("#plane-field input").click()
    opened.get_by_role("option", name="Pos-CPC").click()
    note = "document.querySelector('#plane-guided .annotation-text')?.textContent"
    opened.wait_for_function(f"{note} === '0 everywhere'")
    assert opened.evaluate(f"[...{chart('plane-guided')}.figure.data.at(-3).x]") == before
    opened.locator("#plane-field input").click()
    opened.get_by_role("option", name="what guidance adds").click()
    opened.wait_for_function(f"{note} !== '0 everywhere'")


def test_a_control_changes_numbers_and_portraits_at_once(opened):
    come_into_sight(opened, "plane-guided")
    before = opened.evaluate(NUMBERS)
    dots = opened.evaluate(f"[...{chart('plane-guided')}.figure.data.at(-3).x]")
    set_number(opened, "plane-by-gamma", "1")
    opened.wait_for_function(f"{NUMBERS} !== {before!r}")
    opened.wait_for_function(
        f"JSON.stringify([...{chart('plane-guided')}.figure.data.at(-3).x]) !== JSON.stringify({dots})"
    )
    done(opened, "plane", "GuideMixture")
    assert opened.evaluate("location.search").endswith("do=GuideMixture&gamma=1.0")
    set_number(opened, "plane-by-gamma", "0")
    opened.wait_for_function(f"{WORDS}.includes('gamma is 0')")
    set_number(opened, "plane-by-gamma", "4")
    opened.wait_for_function(f"{NUMBERS} === {before!r}")


def test_distortion_is_drawn_against_the_number_of_classes(opened):
    come_into_sight(opened, "many-w2")
    title = "document.querySelector('#many-w2 .xtitle')?.textContent"
    opened.locator("#many-against").get_by_text("number of classes K").click()
    opened.wait_for_function(f"{title} === 'number of classes K'")
    opened.locator("#many-against").get_by_text("dimension d").click()
    opened.wait_for_function(f"{title} === 'dimension d'")


def test_links_reopen_both(page, address):
    page.set_default_timeout(QUICK)
    asked = GuideMixture(unconditional="broad", weak=0.4, distance=2.0, samples=100, label=0)
    page.goto(f"{address}?{asked.to_query()}")
    done(page, "plane", "GuideMixture")
    assert page.evaluate(f"{scrubber('plane-level')}.key") == asked.key()
    assert page.locator("#plane-weak input[type=number]").input_value() == "0.4"
    assert page.get_by_label("one broad Gaussian of its moments").is_checked()
    come_into_sight(page, "plane-guided")
    page.wait_for_function(f"{chart('plane-guided')}.figure.data.at(-2).name.startsWith('weak mode')")
    many = GuideHighDimension(dimensions=(3, 5), classes="two", samples=20, steps=10)
    page.goto(f"{address}?{many.to_query()}")
    done(page, "guide-dimensions", "GuideHighDimension")
    assert page.evaluate(f"{scrubber('many-level')}.key") == many.key()
    assert "d = 3, 5, of K = 2, 2 classes" in page.locator("#many-words").inner_text()
    assert page.locator("#many-run").inner_text() == "Run (about 1 s)"
    assert page.get_by_role("tab", name="Guidance").first.get_attribute("aria-selected") == "true"


def test_a_curve_in_the_plane_is_run_and_linked_at_once(page, address):
    open_tab(page, address)
    shown = weight("plane-by")
    page.wait_for_function(f"{shown}.words?.includes('linear model')")
    assert page.locator("#plane-by-gamma").is_visible() and not page.locator("#plane-by-low").is_visible()
    pick(page, "plane-by-weight", "curve")
    page.wait_for_function(f"{shown}.kind === 'curve' && {shown}.points.length === 2 && {shown}.words")
    page.locator("#plane-by-gamma").wait_for(state="hidden")
    page.wait_for_function("location.search.includes('curve=')")
    request = Request.from_query(page.evaluate("location.search"))
    assert request == GuideMixture(weight="curve", curve=request.curve)
    assert request.curve == pytest.approx((0.1, 4.0, 10.0, 4.0))
    page.wait_for_function(f"{scrubber('plane-level')}.key === {request.key()!r}")
    before = page.evaluate(f"{shown}.words")
    page.locator("#plane-by-curve .points g").first.focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_function(f"!{shown}.pending && {shown}.words && {shown}.words !== {before!r}")
    page.wait_for_function("decodeURIComponent(location.search).includes(',3.9,')")


def test_in_many_dimensions_a_weight_is_foreseen_and_waits_for_the_button(opened):
    shown, key = weight("many-by"), f"{scrubber('many-level')}.key"
    before, stands = opened.evaluate(f"{shown}.words"), opened.evaluate(key)
    pick(opened, "many-by-weight", "interval")
    opened.wait_for_function(f"{shown}.words && {shown}.words !== {before!r}")
    within = opened.evaluate(f"{shown}.words")
    opened.locator("#many-by-equal input").check()
    opened.wait_for_function(f"{shown}.words && {shown}.words !== {within!r}")
    assert "This is for d = 4." in opened.evaluate(f"{shown}.notes") and opened.evaluate(key) == stands
    opened.locator("#many-by-equal input").uncheck()
    pick(opened, "many-by-weight", "constant")
    opened.wait_for_function(f"{shown}.words === {before!r}")


@pytest.mark.parametrize(
    ("where", "fields"),
    [
        ("plane", {"weight": "curve", "curve": (0.2, 1.0, 5.0, 3.0)}),
        ("many", {"weight": "interval", "low": 0.5, "high": 5.0}),
    ],
)
def test_a_link_with_an_equal_area_reopens(page, address, fields, where):
    page.set_default_timeout(QUICK)
    if where == "plane":
        request = GuideMixture(**fields, equal_area=True, gamma=2.0, samples=100)
        prefix, panel, level = "plane-by", "plane", "plane-level"
    else:
        request = GuideHighDimension(
            **fields, equal_area=True, gamma=1.0, dimensions=(3, 5), classes="two", samples=20, steps=10
        )
        prefix, panel, level = "many-by", "guide-dimensions", "many-level"
    page.goto(f"{address}?{request.to_query()}")
    done(page, panel, type(request).__name__)
    page.wait_for_function(f"{scrubber(level)}.key === {request.key()!r}")
    assert Request.from_query(page.evaluate("location.search")) == request
    page.locator(f"#{prefix}-equal").wait_for(state="visible")
    assert page.locator(f"#{prefix}-equal input").is_checked()
    page.locator(f"#{prefix}-gamma").wait_for(state="visible")
    page.wait_for_function(
        f"{weight(prefix)}.kind === {request.weight!r} && {weight(prefix)}.words"
        f" && {weight(prefix)}.points.length === {len(request.curve) // 2}"
    )
    assert page.locator(f"#{prefix}-low").is_visible() == (request.weight == "interval")


def test_programs_ask_and_are_refused_with_a_sentence(address):
    client = Client(address, verbose=False)
    answer = client.predict(samples=20, steps=10, api_name="/guide_mixture")
    assert answer["classes"] == 8 and answer["guided"]["x"]["shape"] == [20, 11, 2]
    with pytest.raises(AppError, match=r"There is no such class; the classes are 0 to 7\."):
        client.predict(label=8, api_name="/guide_mixture")
    answer = client.predict(dimensions=[3], samples=20, steps=10, api_name="/guide_dimension")
    assert answer["classes"]["shape"] == [1] and answer["note"] == ""
    with pytest.raises(AppError, match=r"window is empty.*\."):
        client.predict(low=2.0, high=1.0, api_name="/guide_dimension")
    client.close()
