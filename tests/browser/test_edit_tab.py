"""The edit tab as a person uses it: the real app, the embedded model, a real Chromium."""

import io
import re

import pytest
import torch
from PIL import Image, ImageChops

import app
from backend.data import avatars
from backend.editing import direction_file
from backend.editing.methods import METHODS
from backend.editing.region import encode_rle
from components.page import LAUNCH
from components.pictures import image

PHONE = {"width": 390, "height": 1800}
FILM = "(document.querySelector('#film .film')?.__state ?? {rows: []})"
PICKER = "(document.querySelector('#picker .picker')?.__state ?? {})"
GIVEN = "#given input[type=file], input#given, #set input[type=file]"
QUICK = 120_000  # ms; generous, since a test machine may be busy


def line(where: str) -> str:
    return f"(document.querySelector('#{where} .status-line:not(#previewing *) .line')?.__state ?? {{}})"


@pytest.fixture(scope="module")
def address(server):
    return server(app.build(), mcp_server=True, **LAUNCH)


@pytest.fixture
def tab(page, address):
    open_tab(page, address)
    return page


def open_tab(page, address) -> None:
    page.set_default_timeout(QUICK)
    page.goto(address)
    page.wait_for_function(f"{FILM}.status === 'exact' && {PICKER}.picture && {PICKER}.mask")


def part(page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()
    page.wait_for_function(f"{PICKER}.region === 'part:{name}' && {PICKER}.mask && !{PICKER}.pending")


def find_directions(page) -> None:
    """Presses the button and waits for new directions, all strips drawn exactly."""
    before = page.evaluate(f"{FILM}.key")
    page.locator("#find").click()
    page.wait_for_function(f"{FILM}.key !== {before!r}")
    page.wait_for_function(f"{line('slide')}.state === 'done'")


def choose(page, number: int) -> None:
    before = page.evaluate(f"{PICKER}.image")
    page.locator("#gallery button.thumbnail-item").nth(number).click()
    page.wait_for_function(f"{PICKER}.image !== {before!r} && {line('sources')}.state === 'done'")
    page.wait_for_function(
        f"{PICKER}.picture && {PICKER}.region && !{PICKER}.pending"
    )  # the part, asked anew


def png(picture: Image.Image) -> dict:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return {"name": "mine.png", "mimeType": "image/png", "buffer": file.getvalue()}


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
    before = tab.evaluate(f"{PICKER}.image")
    tab.locator("#upload input[type=file], input#upload, #own input[type=file]").first.set_input_files(
        png(noise)
    )
    tab.wait_for_function(f"{PICKER}.image !== {before!r}")
    tab.get_by_text("not of the kind that the model knows").wait_for()
    shown = tab.evaluate(f"{PICKER}.image")
    broken = {"name": "broken.png", "mimeType": "image/png", "buffer": b"not a picture"}
    tab.locator("#upload input[type=file], input#upload, #own input[type=file]").first.set_input_files(broken)
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


def test_files_are_saved_and_directions_read_back(tab, tmp_path):
    for kind, magic in (("gif", b"GIF8"), ("png", b"\x89PNG"), ("safetensors", None)):
        with tab.expect_download() as download:
            tab.locator(f"#save-{kind}").click()
        path = tmp_path / f"saved.{kind}"
        download.value.save_as(path)
        assert magic is None or path.read_bytes().startswith(magic)
    tab.locator("#save-whole").click()
    tab.get_by_text("whole already").first.wait_for()
    choose(tab, 3)
    tab.get_by_text("My set of directions").click()
    tab.locator(GIVEN).first.set_input_files(path)
    tab.wait_for_function(f"{FILM}.key?.startsWith('set:') && {FILM}.rows.length === 5")
    tab.wait_for_function(f"{line('set')}.state === 'done' && {FILM}.status === 'exact'")
    forged = bytearray(path.read_bytes())
    forged[-1] ^= 1
    tab.locator(GIVEN).first.set_input_files(
        {"name": "forged.safetensors", "mimeType": "application/octet-stream", "buffer": bytes(forged)}
    )
    tab.get_by_text(re.compile("damaged, or was changed")).first.wait_for()


def test_a_set_of_two_regions_is_named_composed_and_saved(tab, tmp_path, shots):
    tab.get_by_text("My set of directions").click()
    tab.locator("#set-use").click()
    tab.get_by_text("This set is empty").first.wait_for()
    tab.locator("#set-add").click()
    tab.wait_for_function("document.querySelector('#set-names textarea').value.length > 0")
    part(tab, "hair")
    tab.locator("#set-add").click()
    tab.get_by_text("has changed since").or_(tab.get_by_text("Find directions first")).first.wait_for()
    find_directions(tab)
    tab.locator("#set-add").click()
    tab.wait_for_function("document.querySelector('#set-names textarea').value.includes('\\n')")
    tab.locator("#set-names textarea").fill("lips\nlocks")
    tab.locator("#set-title textarea, #set-title input").first.fill("party")
    tab.locator("#set-use").click()
    tab.wait_for_function(f"{FILM}.key?.startsWith('set:') && {line('set')}.state === 'done'")
    assert tab.locator("#film .rows .title").all_inner_texts() == ["lips", "locks"]
    key = tab.evaluate(f"{FILM}.rows[1].strip.key")
    tab.locator("#film input[type=range]").first.focus()
    for _ in range(3):
        tab.keyboard.press("ArrowRight")
    tab.wait_for_function(f"{FILM}.rows[1].strip.key !== {key!r} && {line('set')}.state === 'done'")
    assert tab.evaluate(f"{FILM}.key").startswith("set:"), "the set slides on, not the region's directions"
    if shots:
        tab.screenshot(path=shots / "set_1440.png", full_page=True)
    with tab.expect_download() as download:
        tab.locator("#set-save").click()
    download.value.save_as(tmp_path / "set.safetensors")
    saved = direction_file.load((tmp_path / "set.safetensors").read_bytes())
    assert (saved.names, saved.title, len(saved.v)) == (("lips", "locks"), "party", 2)
    assert saved.region == ("part:mouth", "part:hair")


def test_an_edited_upload_comes_back_whole(tab, tmp_path):
    face = avatars.render(avatars.sample([77]).factors, 256)[0]
    picture = Image.new("RGB", (400, 300), "teal")
    picture.paste(image(face).resize((300, 300)), (50, 0))
    before = tab.evaluate(f"{PICKER}.image")
    tab.locator("#upload input[type=file], input#upload, #own input[type=file]").first.set_input_files(
        png(picture)
    )
    tab.wait_for_function(f"{PICKER}.image !== {before!r} && {line('sources')}.state === 'done'")
    tab.wait_for_function(f"{PICKER}.picture && {PICKER}.region && !{PICKER}.pending")
    find_directions(tab)
    tab.locator("#film input[type=range]").first.focus()
    for _ in range(3):
        tab.keyboard.press("PageUp")
    tab.wait_for_function(
        f"{line('slide')}.python?.includes('at=(') && !{line('slide')}.python.includes('at=()')"
    )
    tab.wait_for_function(f"{line('slide')}.state === 'done'")
    with tab.expect_download() as download:
        tab.locator("#save-whole").click()
    download.value.save_as(tmp_path / "whole.png")
    changed = ImageChops.difference(Image.open(tmp_path / "whole.png"), picture).getbbox()
    assert Image.open(tmp_path / "whole.png").size == (400, 300)
    assert changed and changed[0] >= 50 and changed[2] <= 350, "the margins are as they were"


def test_all_methods_are_compared_in_one_grid(tab, shots):
    tab.locator("#compare").click()
    tab.locator("#compared tbody tr").nth(len(METHODS) - 1).wait_for()
    tab.wait_for_function(f"{line('methods')}.state === 'done'")
    assert tab.locator("#compared tbody tr").first.locator("img").count() == 5
    assert "do=CompareMethods" in tab.evaluate(f"{line('methods')}.query")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 1440
    if shots:
        tab.locator("#methods").screenshot(path=shots / "compared_1440.png")


def test_linearity_is_a_table(tab):
    tab.locator("#linear").click()
    tab.locator("#linearity tbody tr").nth(3).wait_for()
    first = tab.locator("#linearity tbody tr").first.locator("td").all_inner_texts()
    assert len(first) == 5 and float(first[0]) < float(first[-1]), "less linear farther away"


def test_a_painted_region_comes_back_with_its_link(page, address):
    page.set_default_timeout(QUICK)
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[40:50, 24:40] = True
    painted = encode_rle(mask)
    page.goto(f"{address}?v=1&do=EditAll&image=gallery:5&region={painted}&k=1&frames=3")
    page.wait_for_function(f"{line('slide')}.state === 'done' && {line('slide')}.query.includes('rle')")
    page.wait_for_function(f"{line('sources')}.state === 'done' && {PICKER}.mask && !{PICKER}.pending")
    assert page.evaluate(f"[{PICKER}.region, {PICKER}.area]") == [painted, 160]


def test_the_direction_is_tried_on_eight_other_pictures(tab, shots):
    tab.locator("#others").click()
    tab.locator("#transferred button.thumbnail-item").nth(15).wait_for()
    tab.wait_for_function(f"{line('transfer')}.query?.includes('do=Transfer')")
    captions = tab.locator("#transferred .caption-label").all_inner_texts()
    assert len(captions) == 8 and all(re.fullmatch(r"0|[+\u2212]\d+\.\d", text.strip()) for text in captions)
    if shots:
        tab.screenshot(path=shots / "transfer_1440.png", full_page=True)


def test_cancel_leaves_what_was_there(tab):
    part(tab, "eyes")
    key = tab.evaluate(f"{FILM}.key")
    tab.locator("#find").click()
    tab.wait_for_function(f"{line('slide')}.state === 'running' && {line('slide')}.done > 0")
    tab.locator("#slide").get_by_role("button", name="Cancel").click()
    tab.wait_for_function(f"{line('slide')}.state === 'cancelled'")
    assert tab.evaluate(f"{FILM}.key") == key or tab.evaluate(f"{FILM}.rows.length") > 0
    find_directions(tab)


def test_the_closed_form_model_works_too(tab):
    before = tab.evaluate(f"{PICKER}.image")
    tab.locator("#model input").click()
    tab.get_by_role("option", name=re.compile("Gaussian")).click()
    tab.wait_for_function(f"{PICKER}.image !== {before!r} && {line('sources')}.state === 'done'")
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
    tab.locator("#find").click()
    other.locator("#find").click()
    for page, words in ((tab, "gallery:2"), (other, "gallery:9")):
        page.wait_for_function(
            f"{line('slide')}.state === 'done' && {line('slide')}.query.includes('{words}')"
        )
    assert tab.evaluate(f"{FILM}.key") != other.evaluate(f"{FILM}.key")
    other.context.close()
