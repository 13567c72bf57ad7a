"""A station's panel says what its record says for drivers, and nothing of what is not known."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace
from playwright.sync_api import Locator, Page, expect
from tests.browser.conftest import Visit
from tests.browser.test_map import ready
from tests.e2e.serving import STATIONS, Serving

from ladestrom.ports.registry import StationDraft
from ladestrom.record import (
    Access,
    Accessibility,
    Contact,
    Details,
    Hours,
    Id,
    Opening,
    Payment,
    Span,
    Terms,
    Vehicle,
)

ANYONE: Final = {"page.visitors": "anyone"}
DASH: Final = "\N{EN DASH}"
HOSTILE: Final = '<img src=x onerror="document.title=1">&lt;b&gt; level 2'
FULL: Final = Details(
    opening=Opening(
        hours=(*(Hours(day, "07:00", "22:00") for day in range(1, 6)), Hours(6, "10:00", "02:00")),
        openings=(Span("2020-01-01T00:00:00Z", "2090-01-01T00:00:00Z"),),
        text="7-22, Sat until late",
    ),
    time_zone="Europe/Oslo",
    access=Access.VISITORS,
    access_text="Take a ticket at the barrier",
    payment=Payment(free=False, card=True, contactless=True, other=False),
    tariff_text="4.90 NOK/kWh",
    vehicles=(Vehicle.CAR, Vehicle.MOTORCYCLE),
    max_height_m=2.1,
    accessibility=Accessibility.ACCESSIBLE,
    contact=Contact(phone="+47 00 00 00 00", email="help@abc.example", web="https://abc.example/help"),
    directions=HOSTILE,
    postal_code="0150",
    ids=(Id("bnetza", "4711"),),
)


def facts(panel: Locator) -> dict[str, str]:
    """Rows of the station's list, with plain hyphens."""
    terms = panel.locator(".body > .facts > dt").all_inner_texts()
    values = panel.locator(".body > .facts > dd").all_inner_texts()
    return {term: value.replace(DASH, "-") for term, value in zip(terms, values, strict=True)}


def badges(panel: Locator) -> list[str]:
    """What stands on top: what decides whether one goes there."""
    return [each.inner_text() for each in panel.locator(".badges > *").all() if each.is_visible()]


def panel_of(page: Page) -> Locator:
    panel = ready(page).get_by_role("region", name="Station NOR_01333")
    expect(panel.locator(".evses")).to_be_visible()
    return panel


def served(directory: Path, details: Details, **evse: Any) -> Serving:
    first = STATIONS[0].station
    evses = (replace(first.evses[0], **evse), *first.evses[1:])
    place = {"address": "Torget 1", "city": "Oslo"} if details.postal_code else {}
    changed = replace(first, details=details, evses=evses, **place)
    return Serving(directory, ANYONE, stations=[StationDraft(changed), *STATIONS[1:]])


def test_what_is_known_has_a_row_and_texts_of_others_are_texts(tmp_path: Path, visit: Visit) -> None:
    own = Terms(access=Access.EMPLOYEES, payment=Payment(free=True), vehicles=(Vehicle.TRUCK,))
    with served(tmp_path, FULL, label="7", terms=own) as server:
        page = visit(server.url, "/?station=NOR_01333", reduced_motion="reduce")
        panel = panel_of(page)
        assert facts(panel) == {
            "Address": "Torget 1, 0150 Oslo",
            "Opening hours": "Mon-Fri 07:00-22:00\nSat 10:00-02:00\nSun closed\n7-22, Sat until late",
            "Access": "Visitors only: Take a ticket at the barrier",
            "Payment": "Card, Contactless, 4.90 NOK/kWh",
            "Vehicles": "Cars, Motorcycles, up to 2.1 m high",
            "Accessibility": "Wheelchair accessible",
            "Operator's contact": "+47 00 00 00 00\nhttps://abc.example/help",
            "How to find it": HOSTILE,
            "Operator": "Alfa Lading",
        }
        assert badges(panel) == ["Open now", "Visitors only", "Card", "Contactless"]
        expect(panel.get_by_role("link", name="+47 00 00 00 00")).to_have_attribute("href", "tel:+4700000000")
        expect(panel.locator(".evse").first.locator("strong")).to_have_text("7")
        expect(panel.locator(".evse").nth(1).locator("strong")).to_have_text("No. 2")
        panel.get_by_text("Details", exact=True).click()
        told = panel.locator(".more dd").all_inner_texts()
        assert told == ["NOR_01333", "bnetza 4711", "NO*ALF*E1333*1 (7)\nNO*ALF*E1333*2"]
        panel.get_by_text("Directions", exact=True).click()
        ways = [each.get_attribute("href") for each in panel.locator(".ways a").all()]
        assert ways[0] == "geo:59.91,10.75?q=59.91,10.75(Station%20NOR_01333)"
        assert ways[1] == "https://www.openstreetmap.org/directions?to=59.91%2C10.75"
        differs = panel.locator(".evse").first.locator(".facts")
        assert differs.inner_text().split("\n") == [
            "Access", "Employees only", "Payment", "Free of charge", "Vehicles", "Trucks"
        ]  # fmt: skip
        expect(panel.locator(".evse").nth(1).locator(".facts")).to_have_count(0)
        assert page.locator(".station img").count() == 0
        if "PICTURES" in os.environ:
            page.screenshot(path=f"{os.environ['PICTURES']}/facts.png")


def test_what_is_not_known_has_no_row(tmp_path: Path, visit: Visit) -> None:
    with served(tmp_path, Details(access=Access.PUBLIC, vehicles=(Vehicle.CAR,))) as server:
        panel = panel_of(visit(server.url, "/?station=NOR_01333", reduced_motion="reduce"))
        assert facts(panel) == {"Access": "Open to everyone", "Operator": "Alfa Lading"}
        assert badges(panel) == ["Open to everyone"]


@pytest.mark.parametrize(
    ("opening", "is_open", "said"),
    [
        (Opening(always=True), ["Open now"], "24 hours a day"),
        (
            Opening(always=True, closings=(Span("2020-01-01T00:00:00Z", "2090-01-01T00:00:00Z"),)),
            ["Closed now"],
            "24 hours a day",
        ),
        (Opening(text="Ring the bell"), [], "Ring the bell"),
        (Opening(always=False), [], "Not 24 hours a day"),
        (Opening(always=False, text="Ring the bell"), [], "Ring the bell"),
    ],
)
def test_whether_it_is_open_is_said_where_that_is_known(
    tmp_path: Path, visit: Visit, opening: Opening, is_open: list[str], said: str
) -> None:
    with served(tmp_path, Details(opening=opening)) as server:
        panel = panel_of(visit(server.url, "/?station=NOR_01333", reduced_motion="reduce"))
        assert facts(panel)["Opening hours"] == said
        assert badges(panel) == is_open


def test_an_address_that_is_none_of_the_web_is_no_link(tmp_path: Path, visit: Visit) -> None:
    with served(tmp_path, Details(contact=Contact(web="javascript:alert(1)"))) as server:
        panel = panel_of(visit(server.url, "/?station=NOR_01333", locale="nb-NO", reduced_motion="reduce"))
        assert facts(panel)["Operatørens kontakt"] == "javascript:alert(1)"
        expect(panel.locator(".facts a")).to_have_count(0)
