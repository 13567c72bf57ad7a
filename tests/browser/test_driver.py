"""What a driver wants to know, on the map of the real French register, in at most three actions."""

from __future__ import annotations

import gzip
import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final

import httpx2
import pytest
from playwright.sync_api import Page, expect
from tests.browser.conftest import PHONE, Visit
from tests.browser.test_map import DESK, address, ready
from tests.conftest import SharedFile
from tests.e2e.running import Running
from tests.patience import DEADLINE_MS, DEADLINE_S, until

expect.set_options(timeout=DEADLINE_MS)

LYON: Final = {"latitude": 45.757, "longitude": 4.832}
AROUND: Final = "/?lat=45.757&lon=4.832&z=11.5"
REGISTER: Final = "data/france/irve-statique.json.gz"


class Charger:
    """What the register says of one EVSE, and what was reported."""

    def __init__(self, row: dict[str, Any], number: int) -> None:
        self.evse, self.station = row["id_pdc_itinerance"], row["id_station_itinerance"]
        self.name = row["nom_station"]
        longitude, latitude = json.loads(row["coordonneesXY"])
        wide = math.cos(math.radians(latitude))
        self.km = 111.2 * math.hypot(latitude - LYON["latitude"], (longitude - LYON["longitude"]) * wide)
        self.is_fast_ccs = row["prise_type_combo_ccs"] == "True" and float(row["puissance_nominale"]) >= 150
        self.is_free = number % 3 == 0


@pytest.fixture(scope="module")
def chargers(shared_file: SharedFile) -> list[Charger]:
    with gzip.open(shared_file(REGISTER)) as file:
        return [Charger(json.loads(line), number) for number, line in enumerate(file)]


@pytest.fixture(scope="module")
def france(
    tmp_path_factory: pytest.TempPathFactory, shared_file: SharedFile, chargers: list[Charger]
) -> Iterator[Running]:
    """The French register; of the EVSEs around Lyon every third is free, all others are charging."""
    with Running(tmp_path_factory.mktemp("france"), {"page.visitors": "anyone"}) as server:
        server.import_register("irve", shared_file(REGISTER))
        server.operator("anyone", all_evses=True)
        key = server.key("report", operator="anyone")
        server.start()
        near = [each for each in chargers if each.km < 30]
        reports = [
            {"evse": each.evse, "status": "AVAILABLE" if each.is_free else "CHARGING"} for each in near
        ]
        for start in range(0, len(reports), 500):
            sent = httpx2.post(
                f"{server.url}/api/v2/reports",
                json=reports[start : start + 500],
                headers={"Authorization": f"Bearer {key}"},
                timeout=DEADLINE_S,
            )
            assert sent.status_code == 200, sent.text
        yield server


@pytest.mark.parametrize(
    ("size", "locale", "free", "nearest"),
    [(DESK, "en-GB", "Free now", "Nearest: "), (PHONE, "fr-FR", "Libre maintenant", "Au plus près : ")],
)
def test_the_nearest_charger_of_a_kind_that_is_free_now_takes_three_actions(
    france: Running,
    chargers: list[Charger],
    visit: Visit,
    size: dict[str, int],
    locale: str,
    free: str,
    nearest: str,
) -> None:
    page = ready(
        visit(
            france.url,
            AROUND,
            viewport=size,
            locale=locale,
            has_touch=size == PHONE,
            geolocation=LYON,
            permissions=["geolocation"],
            reduced_motion="reduce",
        )
    )
    for name in ("CCS", "150 kW", free):
        page.get_by_role("button", name=name, exact=True).click()
    fit = [each for each in chargers if each.is_fast_ccs and each.is_free and each.km < 30]
    wanted = min(fit, key=lambda each: each.km)
    offered = page.locator(".nearest")
    offered.get_by_text(f"{nearest}{wanted.name}").wait_for()
    own = [each for each in chargers if each.station == wanted.station and each.is_fast_ccs]
    offered.click()
    sums = page.locator(".station .overview")
    if locale == "en-GB":
        expect(offered).to_be_hidden()
        sums.get_by_text("CCS").first.wait_for()
        lines = re.findall(r"(\d+) of (\d+) CCS ([\d.]+) kW free", sums.inner_text())
        told = [(int(free_), int(all_)) for free_, all_, kw in lines if float(kw) >= 150]
        assert (sum(one for one, _ in told), sum(one for _, one in told)) == (
            sum(each.is_free for each in own),
            len(own),
        )
        # Filters are of one EVSE: what the legend counts is what has such an EVSE, free or not.
        page.keyboard.press("Escape")
        page.get_by_role("button", name=free, exact=True).click()
        page.get_by_role("button", name="Show all stations").click()
        stations = {each.station for each in chargers if each.is_fast_ccs}
        shown = page.get_by_role("button", name=re.compile("Stations in view"))
        until(lambda: _number(shown.inner_text()) == len(stations), "all stations with such an EVSE")


def _number(text: str) -> int:
    return int(re.sub(r"\D", "", text) or "0")


def test_whether_a_place_is_open_and_takes_cards_takes_two_actions(france: Running, visit: Visit) -> None:
    page = ready(
        visit(
            france.url,
            AROUND,
            viewport=DESK,
            locale="fr-FR",
            reduced_motion="reduce",
            allowed=("404",),
        )
    )
    field = page.get_by_role("combobox", name="Trouver un lieu ou une station")
    field.fill("FRPD1PCORGLG")
    page.get_by_role("option", name="Carrefour - Garges-lès-Gonesse").first.wait_for()
    field.press("Enter")
    badges = page.locator(".station .badges")
    badges.wait_for()
    expect(badges).to_contain_text("Ouvert maintenant")
    expect(badges).to_contain_text("Pas de carte bancaire")


def test_places_addresses_and_postal_codes_are_found(france: Running, visit: Visit) -> None:
    page = ready(visit(france.url, "/", viewport=DESK, reduced_motion="reduce", allowed=("404",)))
    field = page.get_by_role("combobox", name="Find a place or a station")
    options = page.locator("#found li")
    found(page, "rue roubo")
    found(page, "75011")
    found(page, "95268", "Garges")
    field.fill("a")
    expect(options).to_have_count(12)
    field.fill("x" * 10_000)
    expect(page.get_by_role("option", name="Nothing found")).to_be_visible()
    field.fill("lyon")
    page.get_by_role("option", name="Place in France").first.wait_for()
    expect(options.first).to_contain_text("Place in France")
    field.press("Enter")
    until(lambda: "lat=45.7" in address(page) and "lon=4.8" in address(page), "it went to Lyon")
    page.locator(".stations button").first.wait_for()
    page.go_back()
    until(lambda: "lat=45.7" not in address(page), "it went back")


def found(page: Page, typed: str, *texts: str) -> None:
    """Something is found, and what is not known to be there yet comes by itself."""
    page.get_by_role("combobox", name="Find a place or a station").fill(typed)
    first = page.locator("#found li:not(.none)").first
    first.wait_for()
    assert all(text in first.inner_text() for text in texts)
