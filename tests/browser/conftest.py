"""Debian's Chromium through playwright, on pages of a real server.

    def test_rule(visit, tmp_path):
        with Serving(tmp_path, {"page.visitors": "anyone"}) as server:
            page = visit(server.url, "/now")

`visit` fails the test at its end where the page logged an error, threw one, or asked another host for
anything; `allowed` takes texts of errors that belong to the test. Skips where no Chromium is installed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, sync_playwright
from tests.patience import DEADLINE_MS
from tests.programs import install

PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome")
FLAGS: Final = ("--no-sandbox", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage", "--no-proxy-server")
"""WebGL without a graphics card needs SwiftShader; without it a map would be empty and the test green."""
GONE: Final = ("net::ERR_CONNECTION_REFUSED", "net::ERR_CONNECTION_RESET", "net::ERR_EMPTY_RESPONSE")
"""A page that asks again and again does so, too, when its server has stopped before it was closed."""
PACKAGES: Final = Path(__file__).parent
DESKTOP: Final = {"width": 1440, "height": 900}
PHONE: Final = {"width": 390, "height": 844}


class Visit(Protocol):
    """Opens a page in a browser context of its own."""

    def __call__(
        self,
        url: str,
        path: str = "/",
        *,
        allowed: tuple[str, ...] = (),
        before: Callable[[Page], object] | None = None,
        **context: Any,
    ) -> Page: ...


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """One browser for a module's tests. While it is there, its thread has a loop that runs: those of others,
    which need one of their own, come after it.
    """
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`node_modules` with what checks the page, from wherever npm is set up to take it."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("packages")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(PACKAGES / name, folder)
    install(npm, "ci", folder)
    return folder / "node_modules"


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visit]:
    """Opens pages; at the end, says what went wrong on them."""
    contexts: list[BrowserContext] = []
    wrong: list[str] = []

    def opened(
        url: str,
        path: str = "/",
        *,
        allowed: tuple[str, ...] = (),
        before: Callable[[Page], object] | None = None,
        **context: Any,
    ) -> Page:
        own = chromium.new_context(
            **{"viewport": DESKTOP, "locale": "en-GB", "color_scheme": "light", **context}
        )
        own.set_default_timeout(DEADLINE_MS)
        contexts.append(own)
        page = own.new_page()
        host = urlsplit(url).netloc

        def complain(text: str) -> None:
            if not any(part in text for part in (*allowed, *GONE)):
                wrong.append(text)

        def hear(message: ConsoleMessage) -> None:
            if message.type == "error":
                complain(message.text)

        def see(request: Request) -> None:
            if urlsplit(request.url).netloc not in {host, ""}:
                complain(f"asked elsewhere: {request.url}")

        page.on("console", hear)
        page.on("pageerror", lambda error: complain(str(error)))
        own.on("request", see)
        if before is not None:
            before(page)
        page.goto(url + path)
        return page

    yield opened
    for each in contexts:
        each.close()
    assert wrong == []
