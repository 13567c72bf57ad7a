from __future__ import annotations

import re
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import expect
from tests.browser.conftest import PHONE, Visit
from tests.e2e.serving import Serving
from tests.patience import DEADLINE_MS, DEADLINE_S

from ladestrom.edges.page import VIEWS, Assets, content_security_policy

expect.set_options(timeout=DEADLINE_MS)

ANYONE = {"page.visitors": "anyone"}


@pytest.mark.parametrize("path", VIEWS)
def test_every_view_is_a_document_with_a_strict_policy(tmp_path: Path, path: str) -> None:
    with Serving(tmp_path) as server:
        answer = httpx2.get(server.url + path, timeout=DEADLINE_S)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.search(r"<script(?![^>]* src=)|<style| on\w+=| style=", answer.text) is None


def test_files_stay_in_the_browser_until_one_of_them_is_another(tmp_path: Path) -> None:
    digest = Assets().digest()
    with Serving(tmp_path) as server:
        current = httpx2.get(f"{server.url}/page/{digest}/base/shell.js", timeout=DEADLINE_S)
        old = httpx2.get(f"{server.url}/page/0123456789abcdef/base/shell.js", timeout=DEADLINE_S)
    assert "immutable" in current.headers["cache-control"]
    assert current.headers["content-encoding"] == "gzip"
    assert old.headers["cache-control"] == "no-cache"
    assert old.text == current.text


@pytest.mark.parametrize("name", ["../__init__.py", "..%2f__init__.py", "base/none.js", "%00", "base"])
def test_nothing_but_the_pages_files_is_served(tmp_path: Path, name: str) -> None:
    with Serving(tmp_path) as server:
        assert (
            httpx2.get(f"{server.url}/page/{Assets().digest()}/{name}", timeout=DEADLINE_S).status_code == 404
        )


def test_a_document_that_is_known_is_not_sent_again(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        first = httpx2.get(f"{server.url}/now", timeout=DEADLINE_S)
        again = httpx2.get(
            f"{server.url}/now", headers={"if-none-match": first.headers["etag"]}, timeout=DEADLINE_S
        )
    assert again.status_code == 304


def test_tiles_from_elsewhere_open_the_policy_for_that_host_alone() -> None:
    policy = content_security_policy("https://tiles.example.org/{z}/{x}/{y}.pbf")
    assert policy.count("https://tiles.example.org") == 2
    assert "https:" not in content_security_policy("")


def test_the_menu_of_a_phone_opens_and_closes_by_keyboard(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path, ANYONE) as server:
        page = visit(server.url, "/now", viewport=PHONE)
        toggle = page.get_by_role("button", name="Menu")
        toggle.focus()
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Console").wait_for()
        page.keyboard.press("Escape")
        page.get_by_role("link", name="Console").wait_for(state="hidden")
        assert toggle.get_attribute("aria-expanded") == "false"


def test_the_page_speaks_norwegian_to_those_who_read_it_and_to_those_who_choose_it(
    tmp_path: Path, visit: Visit
) -> None:
    with Serving(tmp_path, ANYONE) as server:
        theirs = visit(server.url, "/now", locale="nb-NO")
        theirs.get_by_role("link", name="Kart").wait_for()
        assert theirs.locator("html").get_attribute("lang") == "nb"
        other = visit(server.url, "/now", locale="en-GB")
        other.get_by_label("Language").select_option("nb")
        other.get_by_role("link", name="Kart").wait_for()


def test_a_key_that_is_not_good_is_named_as_such_and_removed(tmp_path: Path, visit: Visit) -> None:
    """Where everybody may look, a key that has expired keeps nobody from looking."""
    with Serving(tmp_path, ANYONE) as server:
        expired = f"if (!sessionStorage.getItem('was')) sessionStorage.setItem('ladestrom.key', '{server.keys['expired']}'); sessionStorage.setItem('was', '1')"
        for path in ("/now", "/"):
            page = visit(
                server.url, path, before=lambda page: page.add_init_script(expired), allowed=("401", "Worker")
            )
            alert = page.get_by_role("alert").filter(has_text="does not accept the key")
            expect(alert).to_be_visible()
            expect(page.locator(".stream")).not_to_contain_text("trying again")
            alert.get_by_role("button", name="Remove it").press("Enter")
            expect(page.locator(".stream")).to_have_text("live")


def test_a_key_that_is_revoked_while_the_page_is_open_is_named_as_such(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path, ANYONE) as server:
        keyed = f"sessionStorage.setItem('ladestrom.key', '{server.keys['stream']}')"
        page = visit(server.url, "/", before=lambda page: page.add_init_script(keyed), allowed=("401",))
        expect(page.locator(".stream")).to_have_text("live")
        server.revoke("stream")
        expect(page.get_by_role("alert").filter(has_text="does not accept the key")).to_be_visible()


def test_a_server_that_is_down_is_waited_for_in_words(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path, ANYONE) as server:
        page = visit(server.url, "/now")
        expect(page.locator(".stream")).to_have_text("live")
        page.route("**/*.json", lambda route: route.abort("connectionrefused"))
        page.get_by_role("link", name="Documentation").click()
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text("The server does not answer. This page tries again by itself.")
        assert "Failed to fetch" not in page.content()
        page.unroute("**/*.json")
        expect(page.locator("#listStations")).to_be_visible()


def test_a_browser_that_keeps_nothing_shows_the_page_all_the_same(tmp_path: Path, visit: Visit) -> None:
    blocked = """for (const name of ["localStorage", "sessionStorage"])
      Object.defineProperty(window, name, {get() { throw new DOMException("blocked", "SecurityError"); }});"""
    with Serving(tmp_path, ANYONE) as server:
        page = visit(server.url, "/now", before=lambda page: page.add_init_script(blocked))
        expect(page.locator(".stream")).to_have_text("live")
        page.get_by_label("Colours").select_option("dark")
        assert page.locator("html").get_attribute("data-theme") == "dark"


def test_chosen_colours_stay(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path, ANYONE) as server:
        page = visit(server.url, "/now")
        page.get_by_label("Colours").select_option("dark")
        page.reload()
        assert page.locator("html").get_attribute("data-theme") == "dark"


@pytest.mark.parametrize("language", ["en-GB", "nb-NO", "fr-FR"])
def test_no_width_of_a_screen_has_a_header_beyond_it(tmp_path: Path, visit: Visit, language: str) -> None:
    with Serving(tmp_path, ANYONE) as server:
        page = visit(server.url, "/now", locale=language)
        expect(page.locator(".stream")).to_be_attached()
        for width in (390, 768, 1100, 1401, 1440):
            page.set_viewport_size({"width": width, "height": 800})
            expect(page.locator(".toggle")).to_be_visible(visible=width <= 1400)
            beyond = "() => document.documentElement.scrollWidth <= window.innerWidth"
            page.wait_for_function(beyond)
