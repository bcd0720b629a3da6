"""The edit tab as a person uses it: the real app, the embedded model, a real Chromium."""

import re

import pytest
import torch
from PIL import Image

from backend.data import avatars
from backend.editing.region import encode_rle
from tests.browser.edit_page import (
    FILM,
    PICKER,
    QUICK,
    UPLOAD,
    choose,
    closed_form,
    few,
    find_directions,
    line,
    open_tab,
    part,
    upload,
)

PHONE = {"width": 390, "height": 1800}


@pytest.mark.parametrize(
    "viewport", [{"width": 1440, "height": 1400}, PHONE], ids=["desk", "phone"], indirect=True
)
def test_the_first_paint_is_a_finished_edit_whose_sliders_move(tab, viewport, shots):
    assert tab.evaluate(f"{FILM}.rows.length") == 5
    assert tab.evaluate(f"{PICKER}.region") == "part:mouth"
    assert tab.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    drawn = tab.evaluate(f"{FILM}.drawn")
    tab.locator("#film input[type=range]").first.focus()
    for _ in range(3):
        tab.keyboard.press("ArrowRight")
    tab.wait_for_function(f"{FILM}.drawn > {drawn}")
    mouth = {factor.name for factor in avatars.FACTORS if factor.part == "mouth"}
    assert tab.locator("#film .what").inner_text() in mouth, "direction 1 is named after what it moves"
    if shots:
        tab.screenshot(path=shots / f"edit_{viewport['width']}.png", full_page=True)


def test_point_find_slide_compose_and_reopen(tab, browser, address):
    choose(tab, 7)
    canvas = tab.locator("#picker canvas")
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] / 2, "y": box["height"] * 0.12})  # the top of the head
    tab.wait_for_function(f"{PICKER}.region.startsWith('click:') && {PICKER}.mask && !{PICKER}.pending")
    assert 20 < tab.evaluate(f"{PICKER}.area") < 4000
    find_directions(tab)

    tab.locator("#film input[type=range]").first.focus()
    for _ in range(3):
        tab.keyboard.press("ArrowRight")
    tab.wait_for_function(
        f"{line('slide')}.query?.includes('at=')"
    )  # the other strips follow the composed face
    tab.wait_for_function(f"{line('slide')}.state === 'done'")
    link, key = tab.evaluate("location.href"), tab.evaluate(f"{FILM}.key")
    assert "do=EditAll" in link and "gallery:7" in link

    again = browser.new_context().new_page()
    again.set_default_timeout(QUICK)
    again.goto(link)
    again.wait_for_function(f"{FILM}.key === {key!r} && {line('slide')}.state === 'done'")
    assert again.evaluate(f"{line('slide')}.query") == tab.evaluate(f"{line('slide')}.query")
    again.context.close()


def test_a_new_region_is_previewed_and_refined_by_itself_where_the_method_can(tab):
    few(tab)
    before = tab.evaluate(f"{FILM}.key")
    tab.locator("#method input").click()
    tab.get_by_role("option", name=re.compile("generalised")).click()
    tab.wait_for_function(f"{FILM}.key !== {before!r} && {line('slide')}.state === 'done'")
    assert 'method="generalized"' in tab.evaluate(f"{line('slide')}.python")
    tab.evaluate(f"window.seen = new Set(); setInterval(() => window.seen.add({FILM}.key), 5)")
    part(tab, "hair")
    tab.wait_for_function(f"{line('slide')}.query?.includes('hair') && {line('slide')}.state === 'done'")
    assert tab.evaluate("window.seen.size") >= 3, "the old directions, the preview, and the refined ones"
    strip = tab.evaluate(f"{FILM}.rows[0].strip.key")
    tab.locator("#hold input").check()
    tab.wait_for_function(f"{FILM}.rows[0].strip.key !== {strip!r} && {line('slide')}.state === 'done'")
    assert "hold=True" in tab.evaluate(f"{line('slide')}.python")


def test_copied_python_names_what_is_shown(tab):
    part(tab, "hair")
    find_directions(tab)
    code = tab.evaluate(f"{line('slide')}.python")
    assert "EditAll(" in code and 'region="part:hair"' in code
    compile(code, "copied", "exec")


def test_a_picture_of_another_kind_is_shown_with_a_warning_and_a_bad_file_with_a_sentence(tab):
    noise = Image.effect_noise((200, 150), 90).convert("RGB")
    upload(tab, noise)
    tab.get_by_text("not of the kind that the model knows").wait_for()
    shown = tab.evaluate(f"{PICKER}.image")
    broken = {"name": "broken.png", "mimeType": "image/png", "buffer": b"not a picture"}
    tab.locator(UPLOAD).first.set_input_files(broken)
    tab.get_by_text("cannot be read as a picture").wait_for()
    assert tab.evaluate(f"{PICKER}.image") == shown  # nothing was lost
    part(tab, "hair")


def test_an_unknown_picture_is_a_sentence_and_the_page_goes_on(tab):
    tab.locator("#image textarea, #image input").fill("gallery:99")
    tab.locator("#image textarea, #image input").press("Enter")
    tab.wait_for_function(f"{line('sources')}.state === 'failed'")
    assert "gallery" in tab.locator("#sources .words").inner_text()
    choose(tab, 4)


def test_drawing_from_noise_shows_another_face(tab):
    before = tab.evaluate(f"{PICKER}.image")
    tab.locator("#seed input").fill("11")
    tab.locator("#draw").click()
    tab.wait_for_function(f"{PICKER}.image !== {before!r} && {line('sources')}.state === 'done'")
    assert tab.locator("#image textarea, #image input").input_value() == "sample:11:happy"


def test_a_painted_region_comes_back_with_its_link(page, address):
    page.set_default_timeout(QUICK)
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[40:50, 24:40] = True
    painted = encode_rle(mask)
    page.goto(f"{address}?v=1&do=EditAll&image=gallery:5&region={painted}&k=1&frames=3")
    page.wait_for_function(f"{line('slide')}.state === 'done' && {line('slide')}.query.includes('rle')")
    page.wait_for_function(f"{line('sources')}.state === 'done' && {PICKER}.mask && !{PICKER}.pending")
    assert page.evaluate(f"[{PICKER}.region, {PICKER}.area]") == [painted, 160]


def test_cancel_leaves_what_was_there(tab):
    part(tab, "eyes")
    key = tab.evaluate(f"{FILM}.key")
    tab.locator("#find").click()
    tab.wait_for_function(f"{line('slide')}.state === 'running' && {line('slide')}.done > 0")
    tab.locator("#slide").get_by_role("button", name="Cancel").click()
    tab.wait_for_function(f"{line('slide')}.state === 'cancelled'")
    assert tab.evaluate(f"{FILM}.key") == key or tab.evaluate(f"{FILM}.rows.length") > 0
    few(tab)
    tab.locator("#find").click()  # the key may be there already, with what the cancelled run had shown
    tab.wait_for_function(f"{line('slide')}.state === 'done' && {FILM}.key !== {key!r}")
    tab.wait_for_function(f"{FILM}.status === 'exact'")


def test_the_closed_form_model_works_too(tab):
    closed_form(tab)
    canvas = tab.locator("#picker canvas")
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    tab.wait_for_function(f"{PICKER}.region.startsWith('click:') && {PICKER}.mask && !{PICKER}.pending")
    find_directions(tab)


def test_two_people_never_see_each_others_work(tab, browser, address):
    other = browser.new_context(viewport={"width": 1440, "height": 1400}).new_page()
    open_tab(other, address)
    choose(tab, 2)
    choose(other, 9)
    part(tab, "hair")
    part(other, "mouth")
    few(tab)
    few(other)
    tab.locator("#find").click()
    other.locator("#find").click()
    for page, words in ((tab, "gallery:2"), (other, "gallery:9")):
        page.wait_for_function(
            f"{line('slide')}.state === 'done' && {line('slide')}.query.includes('{words}')"
        )
    assert tab.evaluate(f"{FILM}.key") != other.evaluate(f"{FILM}.key")
    other.context.close()
