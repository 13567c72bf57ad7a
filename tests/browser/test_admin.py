from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, expect
from tests.browser.conftest import PHONE, Visit
from tests.browser.test_access import check
from tests.e2e.answering import Answering
from tests.e2e.serving import Serving, now
from tests.patience import DEADLINE_MS, until

from ladestrom import logs
from ladestrom.formats.administration import LogLine
from ladestrom.ports.sources import SourceRecord

APPROVAL: Final = {"page.visitors": "anyone", "keys.policy": "approval"}

expect.set_options(timeout=DEADLINE_MS)


def with_key(server: Serving, key: str = "admin") -> Callable[[Page], object]:
    script = f"sessionStorage.setItem('ladestrom.key', '{server.keys[key]}')"
    return lambda page: page.add_init_script(script)


def test_without_an_admin_key_it_says_so_and_takes_one(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path) as server:
        page = visit(server.url, "/admin")
        expect(page.locator(".notice")).to_contain_text("for administrators")
        expect(page.locator(".notice pre")).to_contain_text(f"--scope admin --data {server.data}")
        page.locator(".notice").get_by_role("button", name="Use a key").press("Enter")
        page.get_by_label("Key", exact=True).fill(server.keys["admin"])
        page.keyboard.press("Enter")
        expect(page.get_by_text("ready", exact=True)).to_be_visible()


def test_a_key_that_only_reads_does_not_open_it(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path) as server:
        page = visit(server.url, "/admin", before=with_key(server, "stream"), allowed=("403",))
        expect(page.locator(".notice")).to_contain_text("does not give access")
        assert page.locator("#settings").count() == 0


def test_the_process_is_told_of_as_it_is(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path) as server:
        page = visit(server.url, "/admin", before=with_key(server))
        server.report({"evse": "NO*ALF*E1333*1", "status": "CHARGING"})
        position = server.app.log.last
        expect(page.locator("#overview")).to_contain_text(str(position))
        expect(page.locator("#overview")).to_contain_text("full")


def test_at_night_the_first_line_says_what_fails_since_when_why_and_it_is_asked_at_once(
    tmp_path: Path, visit: Visit, packages: Path
) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    with Answering() as other, Serving(tmp_path, APPROVAL) as server:
        other.say(200, body=b"no JSON")
        for name, address in (("broken", f"{other.url}/{hostile}"), ("away", "http://127.0.0.1:9/x.json")):
            source = SourceRecord(
                name=name,
                operator="alfa",
                protocol="oicp-file",
                address=address,
                poll_s=86_400,
                added_at=now(),
                changed_at=now(),
            )
            server.write(lambda store, source=source: store.put_source(source))  # type: ignore[misc]
        server.in_step()
        server.request("POST", "/api/v2/keys", json={"name": "Kart"})
        server.post([{"evse": hostile, "status": "AVAILABLE"}])
        logs._RECENT.append(LogLine("2026-11-22T02:11:00Z", "warning", hostile, {"error": hostile}))
        page = visit(server.url, "/admin", before=with_key(server), allowed=("401",), bypass_csp=True)
        line = page.locator(".verdict")
        expect(line).to_contain_text(re.compile(r"2 of 3 sources failing since \d\d:\d\d, 1 key waits"))
        assert page.title().startswith("(2)")
        card = page.locator('.failing [data-source="broken"]')
        expect(card.locator("pre")).to_contain_text("JSON")
        expect(card).to_contain_text("Next try")
        expect(page.locator("#sources tbody tr").first.locator(".badge")).to_contain_text("failing")
        expect(page.locator("#log")).to_contain_text(f"error={hostile}")
        page.locator("#refusals").get_by_role("button", name="Show what alfa was refused").press("Enter")
        expect(page.locator("#refusals tbody th code")).to_have_text(hostile)
        assert page.locator("img[src=x]").count() == 0
        check(page, packages)
        records = [{"EvseID": "NO*ALF*E1333*1", "EVSEStatus": "Available"}]
        other.say(200, json={"EVSEStatuses": [{"OperatorID": "NO*ALF", "EVSEStatusRecord": records}]})
        card.get_by_role("button", name="Ask now: broken").press("Enter")
        expect(page.locator("#sources .notice", has_text="was asked and does not fail")).to_be_visible()
        expect(card).to_have_count(0)
        expect(line).to_contain_text("1 of 3 sources failing")
        page.locator('.failing [data-source="away"]').get_by_role("button").press("Enter")
        expect(page.locator("#sources .notice", has_text="still fails")).to_be_visible()
        server.revoke("admin")
        expect(page.locator(".admin > .notice")).to_contain_text("does not give access")
        assert page.locator("#sources").count() == 0, "nothing is shown any more"


def test_keys_that_wait_are_found_approved_and_revoked_by_keyboard(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path, APPROVAL) as server:
        body = {"name": "Kart", "email": "kart@example.org", "purpose": "a map"}
        key = server.request("POST", "/api/v2/keys", json=body).json()["key"]

        def status() -> int:
            headers = {"X-Api-Key": key}
            return server.request("GET", "/api/v2/stations", headers=headers).status_code

        page = visit(server.url, "/admin", before=with_key(server))
        keys = page.locator("#keys")
        expect(keys).to_contain_text("1 key is waiting for approval.")
        keys.get_by_label("Search").focus()
        page.keyboard.type("kart@")
        expect(keys.locator("tbody tr")).to_have_count(1)
        assert key not in page.content()
        approve = keys.get_by_role("button", name="Approve Kart")
        approve.focus()
        page.keyboard.press("Enter")
        expect(keys.locator("tbody .badge")).to_have_text("active")
        until(lambda: status() == 200, "the key is good")
        keys.get_by_role("button", name="Revoke Kart").press("Enter")
        page.get_by_role("dialog").get_by_role("button", name="Revoke").press("Enter")
        expect(keys.locator("tbody .badge")).to_have_text("revoked")
        until(lambda: status() == 401, "the key has ended")


def test_sources_are_paused_and_go_on(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path) as server:
        source = SourceRecord(
            name="far",
            operator="alfa",
            protocol="irve",
            address="http://127.0.0.1:9/file.csv",
            poll_s=3600,
            added_at=now(),
            changed_at=now(),
        )
        server.write(lambda store: store.put_source(source))
        server.in_step()
        page = visit(server.url, "/admin", before=with_key(server))
        row = page.locator("#sources tbody tr", has_text="far")
        row.get_by_role("button", name="Pause far").press("Enter")
        expect(row.locator(".badge")).to_have_text("paused")
        expect(row.get_by_role("button", name="Resume far")).to_be_focused()
        page.keyboard.press("Enter")
        expect(row.locator(".badge")).not_to_have_text("paused")


def test_what_could_not_be_read_is_saved_as_it_came_and_read_again(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path) as server:
        content = json.dumps([{"evse": "NO*ALF*E1342", "status": "CHARGING"}]).encode()
        server.keep_unread(content)
        page = visit(server.url, "/admin", before=with_key(server))
        part = page.locator("#quarantine")
        expect(part).to_contain_text("the parser of then")
        with page.expect_download() as saved:
            part.get_by_role("button", name="Save").click()
        assert Path(saved.value.path()).read_bytes() == content
        part.get_by_role("button", name="Read again").press("Enter")
        expect(part.locator(".notice")).to_contain_text("1 accepted")
        expect(part).to_contain_text("Every delivery could be read.")


def test_settings_say_where_they_came_from_and_are_searched(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path) as server:
        page = visit(server.url, "/admin", before=with_key(server))
        part = page.locator("#settings")
        part.get_by_label("Search").fill("server.port")
        row = part.locator("tbody tr", has_text="server.port")
        expect(row).to_contain_text("flag")
        part.get_by_label("Search").fill("heartbeat")
        expect(row).to_have_count(0)
        expect(part.locator("tbody tr", has_text="stream.heartbeat_s")).to_contain_text("default")
        part.get_by_label("only changed settings").check()
        expect(part).to_contain_text("No setting matches all of these words.")


def test_norwegian_on_a_phone(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path) as server:
        page = visit(server.url, "/admin", viewport=PHONE, locale="nb-NO", before=with_key(server))
        expect(page.locator("#overview")).to_contain_text("klar")
        expect(page.locator("#settings tbody tr").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
