from __future__ import annotations

import re
import shutil
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Page, expect
from tests.browser.conftest import PHONE, Visit
from tests.e2e.serving import Serving
from tests.patience import DEADLINE_MS, until
from tests.programs import run

OPEN = {"page.visitors": "anyone", "keys.policy": "open"}
APPROVAL = {**OPEN, "keys.policy": "approval"}

expect.set_options(timeout=DEADLINE_MS)


def made(page: Page, name: str = "Kart") -> str:
    """The text of a key that is got through the form, by keyboard alone."""
    page.get_by_label("Name of your project").focus()
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    expect(page.locator(".made")).to_be_focused()
    return page.locator(".secret code").inner_text()


def status(server: Serving, key: str, path: str = "/api/v2/keys/self") -> int:
    return server.request("GET", path, headers={"X-Api-Key": key}).status_code


def test_a_key_is_got_by_keyboard_shown_once_and_used_in_this_tab(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path, OPEN) as server:
        page = visit(server.url, "/consumers")
        key = made(page)
        assert status(server, key, "/api/v2/stations") == 200
        page.get_by_role("button", name="Use it in this tab").press("Enter")
        expect(page.locator(".badge")).to_have_text("active")
        expect(page.get_by_role("heading", name="Your key")).to_be_visible()
        page.reload()
        expect(page.locator(".badge")).to_have_text("active")
        assert key not in page.content(), "a key is shown once"
        assert (
            page.evaluate("Object.keys(localStorage).concat(Object.values(localStorage)).join()").find(key)
            < 0
        )


def test_the_new_key_is_copied_whole(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path, OPEN) as server:
        page = visit(server.url, "/consumers", permissions=["clipboard-read", "clipboard-write"])
        key = made(page)
        page.get_by_role("button", name="Copy the key").press("Enter")
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == key


def test_where_pages_have_no_clipboard_the_key_is_copied_too(tmp_path: Path, visit: Visit) -> None:
    script = "Object.defineProperty(navigator, 'clipboard', {value: undefined})"
    with Serving(tmp_path, OPEN) as server:
        page = visit(server.url, "/consumers", before=lambda page: page.add_init_script(script))
        key = made(page)
        button = page.locator(".secret button")
        button.press("Enter")
        expect(button).to_have_text("Copied")
        expect(button).to_be_focused()
        page.get_by_role("button", name="No key in use").click()
        page.get_by_label("Key", exact=True).press("Control+V")
        expect(page.get_by_label("Key", exact=True)).to_have_value(key)


def test_what_the_server_refuses_is_said_at_the_form(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path, {**OPEN, "keys.per_address_per_hour_max": 1}) as server:
        page = visit(server.url, "/consumers", allowed=("429",))
        made(page)
        page.reload()
        page.get_by_label("Name of your project").fill("Another")
        page.get_by_role("button", name="Get a key").click()
        expect(page.get_by_role("alert").filter(has_text="try again")).to_be_visible()
        assert page.get_by_label("Name of your project").input_value() == "Another"


def test_a_key_that_waits_says_so_until_it_is_approved(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path, APPROVAL) as server:
        page = visit(server.url, "/consumers")
        key = made(page)
        expect(page.locator(".made")).to_contain_text("is waiting for approval")
        assert status(server, key, "/api/v2/stations") == 403
        page.get_by_role("button", name="Use it in this tab").click()
        expect(page.locator(".badge")).to_have_text("waiting for approval")
        expect(page.get_by_role("button", name="Replace it with a new one")).to_be_disabled()
        key_id = page.locator(".facts code").inner_text()
        answer = server.request("POST", f"/api/v2/keys/{key_id}/approve", headers=server.bearer("admin"))
        assert answer.status_code == 200
        expect(page.locator(".badge")).to_have_text("active")


def test_where_keys_are_not_given_out_one_is_told_whom_to_ask(tmp_path: Path, visit: Visit) -> None:
    settings = {"page.visitors": "anyone", "page.contact": "drift@example.org"}
    with Serving(tmp_path, settings) as server:
        page = visit(server.url, "/consumers")
        expect(page.locator(".notice")).to_contain_text("drift@example.org")
        expect(page.get_by_label("Name of your project")).to_have_count(0)
        page.get_by_role("button", name="Use it here").click()
        page.get_by_label("Key", exact=True).fill(server.keys["stream"])
        page.keyboard.press("Enter")
        expect(page.locator(".badge")).to_have_text("active")


def test_the_use_of_a_key_is_seen_live(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path, OPEN) as server:
        page = visit(server.url, "/consumers")
        key = made(page)
        page.get_by_role("button", name="Use it in this tab").click()
        used = page.locator(".use div", has=page.get_by_text("Streams open now")).locator(".value")
        expect(used).to_have_text("0")
        with httpx2.stream("GET", f"{server.url}/api/v2/events", headers={"X-Api-Key": key}) as events:
            lines = events.iter_lines()
            next(lines)
            expect(used).to_have_text("1")
        expect(used).to_have_text("0")
        requests = page.locator(".use div", has=page.get_by_text("Requests")).locator(".value")
        expect(requests).to_have_text("1")


def test_a_key_is_exchanged_and_the_new_one_is_shown_once(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path, OPEN) as server:
        page = visit(server.url, "/consumers")
        first = made(page)
        page.get_by_role("button", name="Use it in this tab").click()
        page.get_by_role("button", name="Replace it with a new one").click()
        expect(page.locator(".made")).to_contain_text("The old key works until")
        second = page.locator(".secret code").inner_text()
        assert second != first
        page.get_by_role("button", name="Use it in this tab").click()
        expect(page.locator(".facts code")).to_have_text(second.split("_")[1])
        assert second not in page.content()
        assert (status(server, first), status(server, second)) == (200, 200)


def test_a_key_is_revoked_after_it_was_asked_for_once_more(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path, OPEN) as server:
        page = visit(server.url, "/consumers", allowed=("401",))
        key = made(page)
        page.get_by_role("button", name="Use it in this tab").click()
        revoke = page.get_by_role("button", name="Revoke it")
        revoke.focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog")).to_contain_text("This cannot be undone")
        page.keyboard.press("Escape")
        expect(revoke).to_be_focused()
        assert status(server, key) == 200
        page.keyboard.press("Enter")
        page.get_by_role("dialog").get_by_role("button", name="Revoke it").press("Enter")
        expect(page.get_by_label("Name of your project")).to_be_visible()
        until(lambda: status(server, key) == 401, "the key has ended")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_first_lines_run_with_the_key_put_in(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path, OPEN) as server:
        page = visit(server.url, "/consumers")
        key = made(page)
        first = page.locator(".trial pre").first
        assert "YOUR_KEY" in first.inner_text()
        page.get_by_role("button", name="Use it in this tab").click()
        assert key not in page.content()
        page.get_by_label("Put my key into the code").check()
        line = first.inner_text()
        assert key in line
        done = run(["bash", "-c", line], check=True)
        assert '"uuid":"DAN_00011"' in done.stdout


def test_norwegian_on_a_phone(tmp_path: Path, visit: Visit) -> None:
    settings = {**OPEN, "registry.licence": "CC BY 4.0", "registry.attribution": "NOBIL"}
    with Serving(tmp_path, settings) as server:
        page = visit(server.url, "/consumers", viewport=PHONE, locale="nb-NO")
        expect(page.get_by_role("heading", level=1)).to_have_text("Bruk dataene")
        page.get_by_label("Navn på prosjektet ditt").fill("Kart")
        page.get_by_role("button", name="Få en nøkkel").click()
        expect(page.locator(".made")).to_contain_text("Nøkkelen din for Kart")
        expect(page.get_by_text(re.compile("Lisens for dataene: CC BY 4.0")).first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
