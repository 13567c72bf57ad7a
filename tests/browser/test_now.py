from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.browser.conftest import PHONE, Visit
from tests.e2e.serving import Serving
from tests.patience import DEADLINE_MS

ANYONE = {"page.visitors": "anyone"}
NUMBER = re.compile(r"^\d+$")
POLL_MS = 2_000
SEEN = """(seen) => {
  Object.defineProperty(document, "hidden", {value: !seen, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""

expect.set_options(timeout=DEADLINE_MS)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path, ANYONE) as serving:
        yield serving


def figure(page: Page, name: str) -> str:
    """The number beside a name."""
    return (
        page.locator(".figure", has=page.get_by_text(name, exact=True)).first.locator(".value").inner_text()
    )


def operators(page: Page) -> list[str]:
    return page.locator("#operators + .scroll tbody th").all_inner_texts()


def test_states_are_counted_and_change_while_one_looks(server: Serving, visit: Visit) -> None:
    page = visit(server.url, "/now")
    counted = server.get("/api/v2/overview").json()
    expect(page.locator('.figure[data-group="unknown"] .value')).to_have_text(
        str(counted["groups"]["unknown"])
    )
    expect(page.locator('.figure[data-group="occupied"] .value')).to_have_text("0")
    server.report(
        {"evse": "NO*ALF*E1333*1", "status": "CHARGING"}, {"evse": "NO*ALF*E1342", "status": "AVAILABLE"}
    )
    expect(page.locator('.figure[data-group="occupied"] .value')).to_have_text("1")
    expect(page.locator('.figure[data-group="available"] .value')).to_have_text("1")
    assert figure(page, "Charging") == "1"
    shares = page.locator('.figure[data-group="occupied"] .share').inner_text()
    assert shares.endswith("%")


def test_what_the_plot_shows_is_said_in_words(server: Serving, visit: Visit) -> None:
    page = visit(server.url, "/now")
    server.report({"evse": "NO*ALF*E1333*1", "status": "CHARGING"})
    expect(page.locator(".changes canvas")).to_be_visible()
    expect(page.locator(".changes figcaption")).to_contain_text(
        "Changes per second over the last two minutes"
    )
    page.get_by_role("button", name="1 hour").press("Enter")
    expect(page.locator(".changes figcaption")).to_contain_text("Changes per minute over the last hour")
    expect(page.get_by_role("button", name="1 hour")).to_have_attribute("aria-pressed", "true")


def test_operators_are_sorted_by_keyboard(server: Serving, visit: Visit) -> None:
    server.report({"evse": "SE*BET*E7*1", "status": "CHARGING"}, key="beta")
    page = visit(server.url, "/now")
    expect(page.locator("#operators + .scroll tbody th")).to_have_count(2)
    assert operators(page) == ["alfa", "beta"]
    sort = page.locator("#operators + .scroll").get_by_role("button", name="Changes")
    sort.focus()
    page.keyboard.press("Enter")
    assert operators(page) == ["beta", "alfa"]
    heading = page.locator("#operators + .scroll thead th", has=page.get_by_role("button", name="Changes"))
    expect(heading).to_have_attribute("aria-sort", "descending")
    page.keyboard.press("Enter")
    assert operators(page) == ["alfa", "beta"]
    expect(heading).to_have_attribute("aria-sort", "ascending")
    expect(sort).to_be_focused()


def test_who_listens_is_counted(server: Serving, visit: Visit) -> None:
    page = visit(server.url, "/now")
    with server.stream() as wire:
        wire.message()
        listening = page.locator(".figure", has=page.get_by_text("Stream, version 1", exact=True))
        expect(listening.locator(".value")).to_have_text("1")


def test_a_server_that_went_away_is_seen_and_its_return_too(server: Serving, visit: Visit) -> None:
    page = visit(server.url, "/now")
    state = page.locator(".stream")
    expect(state).to_have_text("live")
    server.stop()
    expect(state).to_have_text("connection lost, trying again")
    expect(page.locator('.figure[data-group="unknown"] .value')).to_have_text(NUMBER)
    server.start()
    expect(state).to_have_text("live")


def test_nothing_is_asked_while_the_page_is_not_seen(server: Serving, visit: Visit) -> None:
    page = visit(server.url, "/now")
    expect(page.locator(".stream")).to_have_text("live")
    asked: list[str] = []
    page.evaluate(SEEN, False)
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(2.5 * POLL_MS)
    assert asked == []
    with page.expect_request("**/api/v2/overview"):
        page.evaluate(SEEN, True)


def test_who_needs_a_key_is_told(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path) as serving:
        page = visit(serving.url, "/now", allowed=("401",))
        expect(page.get_by_role("alert")).to_contain_text("You need a key")
        page.get_by_role("alert").get_by_role("button", name="Use a key").press("Enter")
        page.get_by_label("Key", exact=True).fill(serving.keys["stream"])
        page.keyboard.press("Enter")
        expect(page.locator('.figure[data-group="unknown"] .value')).to_have_text(NUMBER)


def test_norwegian_on_a_phone(server: Serving, visit: Visit) -> None:
    page = visit(server.url, "/now", viewport=PHONE, locale="nb-NO")
    expect(page.get_by_role("heading", level=1)).to_have_text("Akkurat nå")
    expect(page.locator('.figure[data-group="unknown"] .value')).to_have_text(NUMBER)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


def test_a_day_and_a_week_are_shown_pointed_at_and_places_lead_to_the_map(
    server: Serving, visit: Visit
) -> None:
    page = visit(server.url, "/now", allowed=("WebGL", "GL Driver"))
    for scale, said in (("24 hours", "over the last 24 hours"), ("7 days", "over the last seven days")):
        page.get_by_role("button", name=scale).press("Enter")
        expect(page.locator(".changes figcaption")).to_contain_text(said)
    box = page.locator(".plot .u-over")
    box.hover()
    expect(page.locator(".plot .hint")).to_have_text(re.compile(r": \d+ changes?$"))
    place = page.locator("section", has=page.locator("#places")).get_by_role("link").first
    assert re.fullmatch(r"/\?lat=[\d.-]+&lon=[\d.-]+&z=11", place.get_attribute("href") or "")
