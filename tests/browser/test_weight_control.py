"""The weight control in a real Chromium: a curve by mouse, finger and keys, what it predicts, the run that takes it, its link."""

import gradio as gr
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from backend.experiments.guidance_weight import PredictGuidance, predict
from backend.request import Request
from components import guidance_gaussian_panel
from components.page import LAUNCH, Tab, build
from components.weight_row import weight_row

S = "(document.querySelector('#{id} .weight')?.__state ?? {{}})"
GUIDE, OTHER = S.format(id="guide-curve"), S.format(id="other-curve")
LINE = "[...document.querySelectorAll('.status-line .line')].some((e) => e.__state?.state === 'done')"
NETWORK = {"sampler": "network", "steps": 20}
PHONE = {"width": 390, "height": 1800}


def both(bar):
    """The panel whose own results the control shows, and a control that asks beforehand, as a network's does."""
    actions = guidance_gaussian_panel.build()
    usual = PredictGuidance(gamma=2.0, **NETWORK)
    with gr.Row():
        label = gr.Dropdown(["3", "8"], value="3", label="other class", elem_id="other-label")
        with gr.Column():
            kinds = ["constant", "interval", "linear", "curve"]
            weight_row(
                "other", kinds, usual, drawn=predict(usual), others={"label": label},
                predict=lambda values: predict(PredictGuidance.parse(values | NETWORK)),
            )  # fmt: skip
    return list(actions)


@pytest.fixture(scope="module")
def address(server):
    page = build([("Drawn faces", "avatars")], [Tab("guidance", "Guidance", both)],
                 model="avatars", image="gallery:1", t=0.5)  # fmt: skip
    return server(page, **LAUNCH)


@pytest.fixture
def ready(page, address):
    page.goto(address)
    page.wait_for_function(f"{GUIDE}.level?.length && {OTHER}.level?.length")
    return page


def pick(page, control: str, name: str) -> None:
    page.locator(f"#{control} input").click()
    page.get_by_role("option", name=name, exact=True).click()


def choose_curve(page, prefix: str, state: str) -> None:
    pick(page, f"{prefix}-weight", "curve")
    page.wait_for_function(f"{state}.kind === 'curve' && {state}.points.length === 2 && {state}.words")


def draw(page, prefix: str, *points: tuple[float, float]) -> None:
    """Along shares of the plot's width and height."""
    plot = page.locator(f"#{prefix}-curve .plot")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=6)
    page.mouse.up()


def answered(page, state: str, before: str) -> str:
    page.wait_for_function(f"!{state}.pending && {state}.words && {state}.words !== {before!r}")
    return page.evaluate(f"{state}.words")


def test_a_curve_drawn_with_the_mouse_is_predicted_run_and_linked(ready, address, shots):
    choose_curve(ready, "guide", GUIDE)
    before = ready.evaluate(f"{GUIDE}.words")
    link = ready.evaluate("location.search")
    draw(ready, "guide", (0.2, 0.6), (0.4, 0.2), (0.7, 0.7))
    words = answered(ready, GUIDE, before)
    ready.wait_for_function(f"location.search !== {link!r} && location.search.includes('curve=')")
    request = Request.from_query(ready.evaluate("location.search"))
    points = ready.evaluate(f"{GUIDE}.points")
    assert 10 < len(points) <= 24 and len(request.curve) == 2 * len(points)
    assert request.curve[1::2] == pytest.approx([g for _, g in points], abs=0.006)
    asked = {n: v for n, v in request.values().items() if n in PredictGuidance().values()}
    found = predict(PredictGuidance.parse(asked))
    assert f"Area over log noise: {found.area:.3g}." in words and f"becomes {found.variance:.3g} " in words
    assert f"{found.variance:.3g}" in ready.locator("#guide-words b").first.inner_text()  # the run took it
    if shots:
        ready.locator("#guide-curve").screenshot(path=shots / "weight_curve.png")
    ready.goto(address + ready.evaluate("location.search"))
    ready.wait_for_function(f"{GUIDE}.kind === 'curve' && {GUIDE}.words === {words!r} && {LINE}")
    assert len(ready.evaluate(f"{GUIDE}.points")) == len(points)
    assert Request.from_query(ready.evaluate("location.search")) == request


def test_the_prediction_follows_kind_gamma_class_and_bad_windows_before_anything_is_sampled(ready):
    said = ready.evaluate(f"{OTHER}.words")
    assert f"{predict(PredictGuidance(gamma=2.0, **NETWORK)).variance:.3g} of" in said
    pick(ready, "other-label", "8")
    said = answered(ready, OTHER, said)
    assert f"{predict(PredictGuidance(label='8', gamma=2.0, **NETWORK)).variance:.3g} of" in said
    assert not ready.locator("#other-low").is_visible()
    pick(ready, "other-weight", "linear")
    said = answered(ready, OTHER, said)
    assert ready.locator("#other-low").is_visible() and ready.locator("#other-end").is_visible()
    ready.locator("#other-low input").fill("50")
    ready.wait_for_function(f"{OTHER}.notes.startsWith('The window is empty')")
    ready.locator("#other-low input").fill("1")
    assert "linear model" in answered(ready, OTHER, said)
    choose_curve(ready, "other", OTHER)
    assert not ready.locator("#other-gamma").is_visible()
    ready.locator("#other-curve .clear").click()
    ready.wait_for_function(f"{OTHER}.notes === 'Draw at least one point of the curve.'")
    draw(ready, "other", (0.5, 0.4), (0.6, 0.4))
    assert "linear model" in answered(ready, OTHER, "")


def test_points_are_moved_added_and_deleted_by_keys(ready):
    choose_curve(ready, "other", OTHER)
    said = ready.evaluate(f"{OTHER}.words")
    first = ready.locator("#other-curve .points g").first
    first.focus()
    for _ in range(3):
        ready.keyboard.press("ArrowUp")
    ready.keyboard.press("Shift+ArrowUp")
    said = answered(ready, OTHER, said)
    assert ready.evaluate(f"{OTHER}.points[0][1]") == pytest.approx(3.3)
    assert first.get_attribute("aria-valuenow") == "3.3" and first.evaluate(
        "e => document.activeElement === e"
    )
    u = ready.evaluate(f"{OTHER}.points[0][0]")
    ready.keyboard.press("ArrowRight")
    assert ready.evaluate(f"{OTHER}.points[0][0]") > u
    ready.keyboard.press("Delete")
    ready.wait_for_function(f"{OTHER}.points.length === 1")
    ready.locator("#other-curve .plot").focus()
    ready.keyboard.press("Enter")
    ready.wait_for_function(f"{OTHER}.points.length === 2 && !{OTHER}.pending && {OTHER}.words")
    ready.keyboard.press("Backspace")
    ready.keyboard.press("Delete")
    ready.wait_for_function(f"{OTHER}.notes === 'Draw at least one point of the curve.'")


def test_a_point_is_dragged_and_a_double_click_clears(ready):
    choose_curve(ready, "other", OTHER)
    said = ready.evaluate(f"{OTHER}.words")
    plot, point = (ready.locator(f"#other-curve .{name}") for name in ("plot", "points g"))
    plot.scroll_into_view_if_needed()
    box = point.first.bounding_box()
    ready.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    ready.mouse.down()
    ready.mouse.move(box["x"] + 40, box["y"] - 20, steps=5)
    ready.mouse.up()
    answered(ready, OTHER, said)
    points = ready.evaluate(f"{OTHER}.points")
    assert len(points) == 2 and points[0][1] > points[1][1] == 2.0
    plot.dblclick(position={"x": 200, "y": 120})
    ready.wait_for_function(f"{OTHER}.points.length === 0")


@pytest.mark.parametrize("viewport", [PHONE], ids=["phone"], indirect=True)
def test_a_finger_draws_on_a_telephone(ready, shots):
    choose_curve(ready, "guide", GUIDE)
    said = ready.evaluate(f"{GUIDE}.words")
    plot = ready.locator("#guide-curve .plot")
    plot.scroll_into_view_if_needed()
    box, scrolled = plot.bounding_box(), ready.evaluate("scrollY")
    touch = ready.context.new_cdp_session(ready)

    def finger(kind: str, *at: float) -> None:
        points = [{"x": box["x"] + at[0] * box["width"], "y": box["y"] + at[1] * box["height"]}] if at else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    finger("touchStart", 0.45, 0.7)  # between the two points
    for i in range(1, 11):
        finger("touchMove", 0.45 + 0.03 * i, 0.7 - 0.05 * i)
    finger("touchEnd")
    answered(ready, GUIDE, said)
    assert len(ready.evaluate(f"{GUIDE}.points")) > 6 and ready.evaluate("scrollY") == scrolled
    assert ready.evaluate("document.documentElement.scrollWidth") <= 390
    if shots:
        ready.screenshot(path=shots / "weight_phone.png")


def test_a_program_asks_for_the_prediction(address):
    client = Client(address, verbose=False)
    answer = client.predict(data="digits", label="3", gamma=1.0, api_name="/guide_weight")
    assert answer["area"] == pytest.approx(predict(PredictGuidance(gamma=1.0)).area)
    with pytest.raises(AppError, match=r"at least one point.*\.$"):
        client.predict(weight="curve", api_name="/guide_weight")
    client.close()
