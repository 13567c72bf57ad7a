from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import PHONE, Visit
from tests.e2e.serving import Serving
from tests.patience import DEADLINE_MS

expect.set_options(timeout=DEADLINE_MS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    settings = {"page.visitors": "anyone", "registry.licence": "CC BY 4.0"}
    with Serving(tmp_path_factory.mktemp("docs"), settings) as serving:
        yield serving


def document(server: Serving, name: str) -> dict[str, Any]:
    found: dict[str, Any] = server.get(f"/{name}.json", key=None).json()
    return found


def test_everything_that_the_contracts_have_is_there_and_no_link_leads_nowhere(
    server: Serving, visit: Visit
) -> None:
    page = visit(server.url, "/docs")
    expect(page.locator(".entry").first).to_be_visible()
    ids = set(page.evaluate("[...document.querySelectorAll('.entry')].map((one) => one.id)"))
    openapi, asyncapi = document(server, "openapi"), document(server, "asyncapi")
    operations = {
        operation["operationId"] for methods in openapi["paths"].values() for operation in methods.values()
    }
    schemas = {*openapi["components"]["schemas"], *asyncapi["components"]["schemas"]}
    assert operations <= ids
    assert {f"stream-{name}" for name in asyncapi["channels"]} <= ids
    assert {f"schema-{name}" for name in schemas} <= ids
    dead = page.evaluate(
        "[...document.querySelectorAll('a[href^=\"#\"]')].map((one) => one.hash.slice(1))"
        ".filter((id) => !document.getElementById(id))"
    )
    assert dead == []
    assert page.get_by_text("undefined").count() == 0
    assert page.get_by_text("[object").count() == 0


def test_parameters_answers_and_refusals_are_told(server: Serving, visit: Visit) -> None:
    page = visit(server.url, "/docs#listStations")
    entry = page.locator("#listStations")
    expect(entry.get_by_role("rowheader", name="bbox")).to_be_visible()
    expect(entry.get_by_role("link", name="StationPage")).to_be_visible()
    entry.get_by_text("errors").click()
    expect(entry.locator(".refusals")).to_contain_text("invalid_filter")
    entry.get_by_role("link", name="StationPage").click()
    expect(page.locator("#schema-StationPage")).to_be_focused()
    assert page.url.endswith("#schema-StationPage")


def test_messages_of_a_stream_are_told_with_examples(server: Serving, visit: Visit) -> None:
    page = visit(server.url, "/docs#stream-streamV2")
    entry = page.locator("#stream-streamV2")
    expect(entry).to_be_focused()
    expect(entry).to_be_in_viewport()
    entry.locator(".said > div", has_text="digest").get_by_text("Example").click()
    expect(entry.locator(".said > div", has_text="digest").locator("pre")).to_contain_text(
        '"type": "heartbeat"'
    )
    understood = entry.locator("dl", has=page.get_by_text("select", exact=True)).last
    expect(understood).to_be_visible()


def test_search_narrows_by_keyboard_and_a_link_shows_what_it_hid(server: Serving, visit: Visit) -> None:
    page = visit(server.url, "/docs")
    page.get_by_role("searchbox", name="Search").focus()
    page.keyboard.type("tickets")
    expect(page.locator("#createTicket")).to_be_visible()
    expect(page.locator("#listStations")).to_be_hidden()
    expect(page.get_by_role("status").get_by_text(re.compile(r"^(1 entry|[0-9]+ entries)$"))).to_be_visible()
    page.evaluate("location.hash = '#listStations'")
    expect(page.locator("#listStations")).to_be_focused()
    page.get_by_role("searchbox", name="Search").fill("xyzzy")
    expect(page.get_by_text("Nothing matches all of these words.")).to_be_visible()


def test_what_is_described_is_tried_in_the_console(server: Serving, visit: Visit) -> None:
    page = visit(server.url, "/docs#listEvses")
    page.locator("#listEvses").get_by_role("link", name="Try it in the console").click()
    page.wait_for_url("**/console#listEvses")
    expect(page.locator("#operation")).to_have_value("listEvses")


def test_raw_documents_and_licences_are_at_hand(server: Serving, visit: Visit) -> None:
    page = visit(server.url, "/docs")
    expect(page.get_by_role("link", name="OpenAPI document")).to_have_attribute("href", "/openapi.json")
    expect(page.get_by_role("link", name="AsyncAPI document")).to_have_attribute("href", "/asyncapi.json")
    expect(page.locator("section", has=page.locator("#licence"))).to_contain_text("CC BY 4.0")


def test_norwegian_on_a_phone(server: Serving, visit: Visit) -> None:
    page = visit(server.url, "/docs", viewport=PHONE, locale="nb-NO")
    expect(page.locator("#listStations")).to_contain_text("Prøv det i konsollen")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
