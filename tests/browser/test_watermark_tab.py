"""The watermark tab as a person uses it: alive at once, a stronger mark, an attack, a wrong key, what is no passphrase; nothing secret in an address."""

import io

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from PIL import Image

from tests.browser.edit_page import QUICK, png

SECRET = "a passphrase of my own"
VERDICT = "(document.querySelector('#wm-verdict')?.innerText ?? '')"
WORDS = "(document.querySelector('#wm-embed-words')?.innerText ?? '')"


def line(where: str) -> str:
    return f"(document.querySelector('#{where} .status-line .line')?.__state ?? {{}})"


@pytest.fixture(scope="module")
def urls() -> list[str]:
    return []


@pytest.fixture(scope="module")
def marks(lasting_page, address, urls):
    page = lasting_page()
    page.set_default_timeout(QUICK)
    page.on("request", lambda request: urls.append(request.url))
    page.goto(address)
    page.get_by_role("tab", name="Watermark").click()
    page.wait_for_function(f"{VERDICT}.includes('carries the mark')")
    return page


def verified(page, words: str) -> None:
    page.wait_for_function(f"{VERDICT}.includes({words!r}) && {line('wm-verified')}.state === 'done'")


def failed(page, where: str) -> str:
    page.wait_for_function(f"{line(where)}.state === 'failed'")
    return page.evaluate(f"{line(where)}.words")


def field(page, name: str):
    return page.locator(f"#wm-{name} input, #wm-{name} textarea").first


def test_it_opens_alive_and_fits_a_phone(marks, shots):
    assert marks.locator("#wm-pictures img").count() == 4
    for name in ("gauge", "scores", "plane", "space", "surface", "rings", "guesses"):
        marks.locator(f"#wm-{name}").scroll_into_view_if_needed()
        marks.wait_for_function(f"document.querySelectorAll('#wm-{name} .main-svg').length > 0")
    if shots:
        marks.screenshot(path=shots / "watermark_1440.png", full_page=True)
    marks.set_viewport_size({"width": 390, "height": 844})
    assert marks.evaluate("document.documentElement.scrollWidth") <= 390
    if shots:
        marks.wait_for_timeout(800)
        marks.screenshot(path=shots / "watermark_390.png", full_page=True)
    marks.set_viewport_size({"width": 1440, "height": 1400})


def test_a_stronger_mark_is_verified_by_itself_and_its_passphrase_enters_no_address(marks, urls):
    before = marks.evaluate(WORDS)
    field(marks, "passphrase").fill(SECRET)
    marks.locator("#wm-strength input[type=number]").fill("0.9")
    marks.locator("#wm-strength input[type=number]").press("Tab")
    marks.locator("#wm-embed-run").click()
    marks.wait_for_function(f"{WORDS} !== {before!r} && {line('wm-marked')}.state === 'done'")
    after = marks.evaluate(WORDS)
    assert float(after.split(" dB")[0]) < float(before.split(" dB")[0])
    verified(marks, f"mark of key {after.split('Key ')[1].strip(' .')}")
    assert "give away the passphrase" in marks.evaluate(f"{line('wm-marked')}.why_no_link")
    assert urls and not any("passphrase" in url for url in [*urls, marks.url])


def test_it_survives_jpeg(marks, shots):
    marks.locator("#wm-clear").click()
    marks.locator("#wm-add-jpeg").click()
    marks.wait_for_function(
        "document.querySelector('#wm-chain textarea, #wm-chain input').value === 'jpeg:58'"
    )
    old = field(marks, "picture").input_value()
    marks.locator("#wm-attack-run").click()
    marks.wait_for_function("document.querySelectorAll('#wm-before-after img').length === 2")
    marks.wait_for_function(
        f"document.querySelector('#wm-picture textarea, #wm-picture input').value !== {old!r}"
    )
    verified(marks, "carries the mark")
    if shots:
        marks.screenshot(path=shots / "watermark_attacked.png", full_page=True)


def test_neither_a_wrong_key_nor_the_original_shows_it(marks):
    marks.locator("#wm-control-wrong").click()
    verified(marks, "no evidence")
    marks.locator("#wm-control-marked").click()
    verified(marks, "carries the mark")
    marks.locator("#wm-control-original").click()
    verified(marks, "no evidence")
    marks.locator("#wm-back").click()
    verified(marks, "carries the mark")


def test_a_grey_screenshot_with_borders_and_transparency_are_pictures_without_evidence(marks):
    field(marks, "search").uncheck()
    for picture in (Image.new("L", (80, 60), 90), Image.new("RGBA", (64, 64), (10, 200, 30, 40))):
        marks.locator("input#wm-upload, #wm-upload input[type=file], #wm-verify input[type=file]").first.set_input_files(png(picture))  # fmt: skip
        verified(marks, "no evidence")
    marks.locator("#wm-back").click()
    verified(marks, "carries the mark")


def test_what_is_no_passphrase_or_chain_is_a_sentence(marks):
    field(marks, "passphrase").fill("")
    marks.locator("#wm-embed-run").click()
    assert "passphrase" in failed(marks, "wm-marked")
    field(marks, "passphrase").fill(SECRET)
    field(marks, "chain").fill("sandpaper:3")
    marks.locator("#wm-attack-run").click()
    assert "An attack is one of" in failed(marks, "wm-attacked")


def test_the_marked_picture_can_be_saved(marks):
    with marks.expect_download() as download:
        marks.locator("#wm-save").click()
    picture = Image.open(io.BytesIO(download.value.path().read_bytes()))
    assert picture.size == (64, 64) and download.value.suggested_filename == "marked.png"


def test_a_program_goes_on_from_reference_to_reference(address):
    client = Client(address, verbose=False)
    mark = {"model": "patches", "inner": 1.0, "outer": 4.0, "steps": 3, "passphrase": SECRET}
    marked = client.predict(**mark, api_name="/watermark_embed")
    attacked = client.predict(
        model="patches", image=marked["reference"], chain="noise:.02", api_name="/attack"
    )
    found = client.predict(**mark, image=attacked["reference"], api_name="/watermark_verify")
    assert found["fingerprint"] == marked["fingerprint"] and found["fingerprint"] in found["sentence"]
    assert SECRET not in str(marked) + str(attacked) + str(found)
    with pytest.raises(AppError, match="passphrase"):
        client.predict(api_name="/watermark_verify")
    with pytest.raises(AppError, match="An attack is one of"):
        client.predict(chain="sandpaper", api_name="/attack")
    client.close()


def test_a_keyring_tells_which_sub_key_marked_the_picture(marks, urls, shots):
    field(marks, "passphrase").fill(SECRET)
    marks.locator("#wm-more button").first.click()
    field(marks, "sub-key").fill("3")
    before = marks.evaluate(WORDS)
    marks.locator("#wm-embed-run").click()
    marks.wait_for_function(f"{WORDS} !== {before!r} && {line('wm-marked')}.state === 'done'")
    fingerprint = marks.evaluate(WORDS).split("Key ")[1].strip(" .")
    verified(marks, f"mark of key {fingerprint}")
    whose = "(document.querySelector('#wm-whose-words')?.innerText ?? '')"
    field(marks, "sub-keys").fill("40")
    marks.locator("#wm-further textarea").fill("another one of mine\nand a third")
    marks.locator("#wm-whose-run").click()
    marks.wait_for_function(f"{whose}.includes('the mark of sub-key 3, {fingerprint}')")
    assert "Bonferroni over 43 keys" in marks.evaluate(whose)
    marks.locator("#wm-keys").scroll_into_view_if_needed()
    marks.wait_for_function("document.querySelectorAll('#wm-keys .main-svg').length > 0")
    if shots:
        marks.screenshot(path=shots / "watermark_keyring.png", full_page=True)
    marks.locator("#wm-revoked textarea").fill(fingerprint)
    marks.locator("#wm-whose-run").click()
    marks.wait_for_function(f"{whose}.includes('revoked')")
    marks.locator("#wm-further textarea").fill(SECRET)
    marks.locator("#wm-whose-run").click()
    assert "Two of these passphrases are the same" in failed(marks, "wm-whose")
    assert (
        marks.evaluate("getComputedStyle(document.querySelector('#wm-further textarea')).webkitTextSecurity")
        == "disc"
    )
    assert not any("third" in url for url in [*urls, marks.url])
    field(marks, "sub-key").fill("-1")


def test_the_trade_is_drawn_from_the_start_and_its_map_shows_three_things(marks, shots):
    words = marks.locator("#wm-trade-words").inner_text()
    assert "knee" in words and "Tree-Ring" in words
    for name in ("frontier", "spectrum"):
        marks.locator(f"#wm-{name}").scroll_into_view_if_needed()
        marks.wait_for_function(f"document.querySelectorAll('#wm-{name} .main-svg').length > 0")
    shown = "JSON.stringify(document.querySelector('#wm-spectrum .chart').__state.figure.data[0].z)"
    before = marks.evaluate(shown)
    if shots:
        marks.locator("#wm-trade").screenshot(path=shots / "watermark_trade_1440.png")
        marks.set_viewport_size({"width": 390, "height": 844})
        marks.wait_for_timeout(1500)
        marks.locator("#wm-trade").screenshot(path=shots / "watermark_trade_390.png")
        marks.set_viewport_size({"width": 1440, "height": 1400})
    marks.locator("#wm-trade-kind input").nth(1).check()
    marks.wait_for_function(f"{shown} !== {before!r}")
    marks.locator("#wm-trade-kind input").nth(0).check()
    marks.wait_for_function(f"{shown} === {before!r}")


def test_rates_are_measured_under_the_chain_above(marks):
    field(marks, "passphrase").fill(SECRET)
    field(marks, "chain").fill("jpeg")
    marks.locator("#wm-rates-count input[type=number]").fill("16")
    marks.locator("#wm-rates-count input[type=number]").press("Enter")
    marks.locator("#wm-rates-run").click()
    marks.wait_for_function("document.querySelector('#wm-rates-words')?.innerText.includes('AUC')")
    words = marks.locator("#wm-rates-words").inner_text()
    assert "16 marked and 16 unmarked" in words and "1.0% false alarms\tout of reach" in words
    for name in ("roc", "spread"):
        marks.locator(f"#wm-{name}").scroll_into_view_if_needed()
        marks.wait_for_function(f"document.querySelectorAll('#wm-{name} .main-svg').length > 0")


def test_an_attack_by_a_network_joins_the_chain(marks):
    marks.locator("#wm-clear").click()
    marks.locator("#wm-network-kinds #wm-add-regenerate").click()
    marks.wait_for_function(
        "document.querySelector('#wm-chain textarea, #wm-chain input').value === 'regenerate:0.06'"
    )
    marks.locator("#wm-attack-run").click()
    marks.wait_for_function(
        "document.querySelector('#wm-before-after')?.innerText.includes('after regenerate:0.06')"
    )


def test_the_red_team_opens_alive_and_attacks_ones_own_key(marks, urls, shots):
    words = "(document.querySelector('#wm-red-words')?.innerText ?? '')"
    assert "32 pictures of one key" in marks.evaluate(words)
    assert marks.locator("#wm-red-pictures img").count() == 10
    for name in ("originals", "others"):
        marks.locator(f"#wm-red-{name}").scroll_into_view_if_needed()
        marks.wait_for_function(f"document.querySelectorAll('#wm-red-{name} .main-svg').length > 0")
    if shots:
        marks.screenshot(path=shots / "watermark_red_team.png", full_page=True)
    field(marks, "passphrase").fill(SECRET)
    marks.locator("#wm-red-count input[type=number]").fill("2")
    marks.locator("#wm-red-count input[type=number]").press("Enter")
    marks.locator("#wm-red-run").click()
    marks.wait_for_function(f"{words}.includes('Who has 2 pictures of one key')")
    assert "enough to forge" in marks.evaluate(words)
    assert not any("passphrase" in url for url in [*urls, marks.url])
