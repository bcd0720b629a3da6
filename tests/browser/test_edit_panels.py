"""The edit tab below its sliders: files, other pictures, linearity, methods, sets."""

import re

from PIL import Image, ImageChops

from backend.data import avatars
from backend.editing import direction_file
from backend.editing.methods import METHODS
from backend.inference.load import load
from components.pictures import image
from tests.browser.edit_page import (
    FILM,
    GIVEN,
    PICKER,
    choose,
    closed_form,
    find_directions,
    line,
    part,
    upload,
)


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
    upload(tab, picture)
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


def test_all_methods_of_a_model_are_compared_in_one_grid(tab, shots):
    closed_form(tab)
    canvas = tab.locator("#picker canvas")
    box = canvas.bounding_box()
    canvas.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    tab.wait_for_function(f"{PICKER}.region.startsWith('click:') && {PICKER}.mask && !{PICKER}.pending")
    able = [method for method in METHODS.values() if method.works_on(load("gaussian").denoiser)]
    tab.locator("#compare").click()
    tab.locator("#compared tbody tr").nth(len(able) - 1).wait_for()
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


def test_the_direction_is_tried_on_eight_other_pictures(tab, shots):
    tab.locator("#others").click()
    tab.locator("#transferred button.thumbnail-item").nth(15).wait_for()
    tab.wait_for_function(f"{line('transfer')}.query?.includes('do=Transfer')")
    captions = tab.locator("#transferred .caption-label").all_inner_texts()
    assert len(captions) == 8 and all(re.fullmatch(r"0|[+\u2212]\d+\.\d", text.strip()) for text in captions)
    if shots:
        tab.screenshot(path=shots / "transfer_1440.png", full_page=True)
