"""A real Chromium on a real server. Every test fails on a console error and on any request that leaves this machine.

A test that fails is run once more, because a busy machine can be slower than any patience; the summary names it as RERUN.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

# Read by gradio at import: no telemetry, no hub.
os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "GRADIO_IS_E2E_TEST": "1"}
sync_api = pytest.importorskip("playwright.sync_api")

LOCAL_HOSTS = {"127.0.0.1", "localhost"}
LOCAL_SCHEMES = {"data", "blob", "about"}
DESK = {"width": 1440, "height": 1400}
QUIET_CHROMIUM = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def browser() -> Iterator["sync_api.Browser"]:
    """The system's Chromium if there is one, else playwright's own."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=QUIET_CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """server(blocks, **launch_options) -> address. Everything launched is closed when the module's tests are
    done."""
    os.environ["GRADIO_TEMP_DIR"] = str(tmp_path_factory.mktemp("gradio"))
    launched = []

    def launch(blocks, **options) -> str:
        options = {
            "prevent_thread_lock": True,
            "quiet": True,
            "ssr_mode": False,
            "server_name": "127.0.0.1",
        } | options
        _, url, _ = blocks.launch(**options)
        launched.append(blocks)
        return url

    yield launch
    for blocks in launched:
        blocks.close()


@pytest.fixture(params=[DESK], ids=["desk"])
def viewport(request: pytest.FixtureRequest) -> dict[str, int]:
    """Size of the window in CSS pixels; parametrize it indirectly for a telephone. Tall, so that nothing
    needs scrolling."""
    return request.param


@pytest.fixture
def page(browser: "sync_api.Browser", viewport: dict[str, int]) -> Iterator["sync_api.Page"]:
    """A fresh page that must stay silent and local until the test ends."""
    with quiet_page(browser, viewport) as page:
        yield page


@pytest.fixture(scope="module")
def lasting_page(browser: "sync_api.Browser") -> Iterator[Callable[[], "sync_api.Page"]]:
    """lasting_page() -> a page for many tests of a module, which find it where the last one left it."""
    with contextlib.ExitStack() as pages:
        yield lambda: pages.enter_context(quiet_page(browser, DESK))


@contextlib.contextmanager
def quiet_page(browser: "sync_api.Browser", viewport: dict[str, int]) -> Iterator["sync_api.Page"]:
    """A fresh page; in the end it must have been silent and local."""
    context = browser.new_context(viewport=viewport, has_touch=viewport["width"] < 600)
    page = context.new_page()
    page.set_default_timeout(120_000)  # generous, since a test machine may be busy
    noise: list[str] = []
    strangers: list[str] = []

    def watch(url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in LOCAL_SCHEMES and parts.hostname not in LOCAL_HOSTS:
            strangers.append(url)

    page.on("console", lambda message: noise.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on("request", lambda request: watch(request.url))
    page.on("websocket", lambda socket: watch(socket.url))
    yield page
    context.close()
    assert not strangers, f"requests that left this machine: {strangers}"
    assert not noise, f"console errors: {noise}"


@pytest.fixture
def shots() -> Path | None:
    """Where to leave screenshots: the folder named by SHOTS, or nowhere."""
    folder = os.environ.get("SHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
    return Path(folder) if folder else None


@pytest.fixture(scope="module")
def address(server: Callable[..., str]) -> str:
    """The real app, with the embedded models."""
    import app
    from components.page import LAUNCH

    return server(app.build(), mcp_server=True, **LAUNCH)


@pytest.fixture
def tab(page: "sync_api.Page", address: str) -> "sync_api.Page":
    """The edit tab, its first picture and sliders drawn."""
    from tests.browser.edit_page import open_tab

    open_tab(page, address)
    return page
