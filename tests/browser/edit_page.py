"""What a person does on the edit tab, for the browser tests, and the states that they wait for."""

import io
import re

from PIL import Image

FILM = "(document.querySelector('#film .film')?.__state ?? {rows: []})"
PICKER = "(document.querySelector('#picker .picker')?.__state ?? {})"
GIVEN = "#given input[type=file], input#given, #set input[type=file]"
UPLOAD = "#upload input[type=file], input#upload, #own input[type=file]"
QUICK = 120_000  # ms; generous, since a test machine may be busy


def line(where: str) -> str:
    return f"(document.querySelector('#{where} .status-line:not(#previewing *) .line')?.__state ?? {{}})"


def open_tab(page, address) -> None:
    page.set_default_timeout(QUICK)
    page.goto(address)
    page.wait_for_function(f"{FILM}.status === 'exact' && {PICKER}.picture && {PICKER}.mask")


def part(page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()
    page.wait_for_function(f"{PICKER}.region === 'part:{name}' && {PICKER}.mask && !{PICKER}.pending")


def find_directions(page, k: int = 2) -> None:
    """Presses the button and waits for k new directions, all strips drawn exactly; few, because each takes seconds."""
    few(page, k)
    before = page.evaluate(f"{FILM}.key")
    page.locator("#find").click()
    page.wait_for_function(f"{FILM}.key !== {before!r}")
    page.wait_for_function(f"{line('slide')}.state === 'done'")


def few(page, k: int = 2) -> None:
    """Asks for k directions from now on."""
    page.locator("#k input[type=number]").fill(str(k))
    page.locator("#k input[type=number]").press("Tab")


def choose(page, number: int) -> None:
    before = page.evaluate(f"{PICKER}.image")
    page.locator("#gallery button.thumbnail-item").nth(number).click()
    page.wait_for_function(f"{PICKER}.image !== {before!r} && {line('sources')}.state === 'done'")
    page.wait_for_function(
        f"{PICKER}.picture && {PICKER}.region && !{PICKER}.pending"
    )  # the part, asked anew


def closed_form(page) -> None:
    """Chooses the Gaussian model of digits, the fastest one."""
    before = page.evaluate(f"{PICKER}.image")
    page.locator("#model input").click()
    page.get_by_role("option", name=re.compile("Gaussian")).click()
    page.wait_for_function(f"{PICKER}.image !== {before!r} && {line('sources')}.state === 'done'")


def upload(page, picture: Image.Image) -> None:
    """Gives a picture of one's own and waits until it is shown."""
    before = page.evaluate(f"{PICKER}.image")
    page.locator(UPLOAD).first.set_input_files(png(picture))
    page.wait_for_function(f"{PICKER}.image !== {before!r} && {line('sources')}.state === 'done'")


def png(picture: Image.Image) -> dict:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return {"name": "mine.png", "mimeType": "image/png", "buffer": file.getvalue()}
