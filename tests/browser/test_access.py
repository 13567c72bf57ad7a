"""Rules of accessibility that a program can check: axe-core, on every view."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

import pytest
from playwright.sync_api import Page, ViewportSize
from tests.browser.conftest import DESKTOP, PHONE, Visit
from tests.e2e.serving import Serving

from ladestrom.edges.page import VIEWS

THEMES: Final[tuple[Literal["light", "dark"], ...]] = ("light", "dark")
RULES: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa")
SETTINGS: Final = {"page.visitors": "anyone", "keys.policy": "open"}
ASK: Final = """async (tags) => {
  const found = await axe.run(document, {runOnly: {type: "tag", values: tags}, resultTypes: ["violations"]});
  return found.violations.flatMap((rule) => rule.nodes.map((node) =>
    `${rule.id}: ${node.target.join(" ")}: ${node.any.concat(node.all, node.none).map((one) => one.message)[0]}`));
}"""
DRAWN: Final = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""Colours are others one frame after they were asked for."""
THINNED: Final = """() => {
  const kept = new Set(["listStations", "sendReports", "createKey", "stream-streamV2", "schema-Hello", "schema-Status"]);
  for (const entry of document.querySelectorAll(".entry")) if (!kept.has(entry.id)) entry.remove();
  for (const folded of document.querySelectorAll("details")) folded.open = true;
}"""
"""All entries of the documentation are drawn alike; looking at each would take half a minute."""
QUIET: Final = """() => !document.querySelector("[aria-busy=true]") && document.querySelector("main > *")"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with Serving(tmp_path_factory.mktemp("access"), SETTINGS) as serving:
        serving.report({"evse": "NO*ALF*E1333*1", "status": "CHARGING"})
        yield serving


@pytest.mark.parametrize("path", VIEWS)
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_no_rule_of_wcag_is_broken(
    server: Serving, visit: Visit, packages: Path, path: str, size: ViewportSize
) -> None:
    key = f"sessionStorage.setItem('ladestrom.key', '{server.keys['admin']}');" if path == "/admin" else ""
    page = visit(
        server.url,
        path,
        viewport=size,
        reduced_motion="reduce",
        bypass_csp=True,
        before=lambda page: page.add_init_script(key),
    )
    page.wait_for_function(QUIET)
    if path == "/docs":
        page.evaluate(THINNED)
    check(page, packages)


def check(page: Page, packages: Path) -> None:
    """No rule is broken in either colours, and nothing scrolls sideways."""
    page.add_script_tag(path=packages / "axe-core" / "axe.min.js")
    for theme in THEMES:
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        page.evaluate(DRAWN)
        found: list[Any] = page.evaluate(ASK, list(RULES))
        assert found == [], theme
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "it scrolls sideways"


def test_nor_is_one_where_a_key_is_asked_for_made_and_revoked(
    server: Serving, visit: Visit, packages: Path
) -> None:
    page = visit(server.url, "/consumers", viewport=PHONE, bypass_csp=True)
    page.get_by_role("button", name="Use it here").click()
    check(page, packages)
    page.keyboard.press("Escape")
    page.get_by_label("Name of your project").fill("Kart")
    page.get_by_role("button", name="Get a key").click()
    page.locator(".made").wait_for()
    check(page, packages)
    page.get_by_role("button", name="Use it in this tab").click()
    page.get_by_role("button", name="Revoke it").click()
    check(page, packages)


def test_nor_is_one_where_a_stream_is_followed_and_its_messages_are_open(
    server: Serving, visit: Visit, packages: Path
) -> None:
    page = visit(server.url, "/console#streamV2", viewport=PHONE, bypass_csp=True)
    page.get_by_role("button", name="Connect").click()
    page.locator(".messages summary", has_text="snapshot").click()
    page.locator(".messages pre").wait_for()
    check(page, packages)


def test_nor_is_one_in_the_answer_to_a_request(server: Serving, visit: Visit, packages: Path) -> None:
    page = visit(server.url, "/console#getPage", bypass_csp=True)
    page.get_by_role("button", name="Send").click()
    page.get_by_text("Headers", exact=True).click()
    page.get_by_role("tab", name="JavaScript").click()
    check(page, packages)


def test_nor_is_one_where_nothing_is_shown_without_a_key(
    tmp_path: Path, visit: Visit, packages: Path
) -> None:
    with Serving(tmp_path) as closed:
        for path in ("/now", "/consumers", "/admin"):
            page = visit(closed.url, path, viewport=PHONE, bypass_csp=True, allowed=("401",))
            page.locator(".notice").first.wait_for()
            check(page, packages)
