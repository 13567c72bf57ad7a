"""The map: what it draws, how it follows, how one finds and reads a station."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect
from tests.browser.archives import archive, offered, vector_tile
from tests.browser.conftest import PHONE, Visit
from tests.browser.pixels import Colour, Picture, alike, colour, png
from tests.browser.test_access import ASK, RULES
from tests.e2e.serving import Serving
from tests.patience import DEADLINE_MS, until

expect.set_options(timeout=DEADLINE_MS)

ANYONE: Final = {"page.visitors": "anyone"}
NORTH: Final = "/?lat=63.8&lon=13&z=3.4"
"""All stations are seen, each by itself."""
DESK: Final = {"width": 1200, "height": 760}
"""Smaller than a desk's: pixels are what drawing without a graphics card costs."""
WORLD_PX: Final = 512
OSLO, STOCKHOLM, TROMSO = (10.75, 59.91), (18.07, 59.33), (18.95, 69.65)
SEA, LAND = (2.0, 65.0), (15.5, 63.5)


def address(page: Page) -> str:
    """As it is now: `page.url` is what playwright was last told."""
    return str(page.evaluate("location.href"))


@pytest.fixture
def visit(visit: Visit) -> Visit:
    """As for all views, with a smaller window."""

    def opened(url: str, path: str = "/", **options: Any) -> Page:
        return visit(url, path, **{"viewport": DESK, **options})

    return opened


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server to which nobody reports; tests of this file share it."""
    with Serving(tmp_path_factory.mktemp("quiet"), ANYONE) as made:
        yield made


def ready(page: Page) -> Page:
    """Waits until stations are drawn and the stream is live."""
    page.locator("canvas.markers").wait_for(state="attached")
    page.locator("main[data-stream=live]").wait_for()
    page.locator(".waiting").wait_for(state="detached")
    return page


def mercator(place: tuple[float, float]) -> tuple[float, float]:
    longitude, latitude = place
    y = 0.5 - math.log(math.tan(math.pi / 4 + math.radians(latitude) / 2)) / (2 * math.pi)
    return longitude / 360 + 0.5, y


def on_screen(page: Page, place: tuple[float, float]) -> tuple[float, float]:
    """Where a place is drawn, by the address and the rules of Web Mercator."""
    query = parse_qs(urlsplit(address(page)).query)
    x, y = mercator(place)
    middle_x, middle_y = mercator((float(query["lon"][0]), float(query["lat"][0])))
    world_px = WORLD_PX * 2 ** float(query["z"][0])
    box = page.locator(".ground").bounding_box()
    assert box is not None
    left = box["x"] + box["width"] / 2 + (x - middle_x) * world_px
    return left, box["y"] + box["height"] / 2 + (y - middle_y) * world_px


def seen(page: Page, place: tuple[float, float]) -> Colour:
    """The colour on the screen at a place on earth."""
    x, y = on_screen(page, place)
    clip: Any = {"x": round(x) - 2, "y": round(y) - 2, "width": 5, "height": 5}
    return Picture(page.screenshot(clip=clip)).at(2, 2)


def token(page: Page, name: str) -> Colour:
    """A colour of the page."""
    script = "name => getComputedStyle(document.documentElement).getPropertyValue('--' + name)"
    return colour(str(page.evaluate(script, name)))


def shows(page: Page, place: tuple[float, float], name: str) -> bool:
    return alike(seen(page, place), token(page, name))


def legend(page: Page) -> dict[str, int]:
    """Stations by state, as the legend says."""
    texts = page.locator(".legend button").all_inner_texts()
    found = (re.fullmatch(r"(.+?)\s+([\d,]+)", text.replace("\n", " ")) for text in texts)
    return {each[1]: int(each[2].replace(",", "")) for each in found if each}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_water_land_and_stations_are_drawn_where_they_are(tmp_path: Path, visit: Visit, theme: str) -> None:
    with Serving(tmp_path, ANYONE) as server:
        server.report(
            {"evse": "NO*ALF*E1333*1", "status": "AVAILABLE"},
            {"evse": "NO*ALF*E1333*2", "status": "AVAILABLE"},
        )
        server.report({"evse": "SE*BET*E7*1", "status": "CHARGING"}, key="beta")
        page = ready(visit(server.url, NORTH, color_scheme=theme, reduced_motion="reduce"))
        until(lambda: shows(page, SEA, "water"), "the sea is water")
        until(lambda: shows(page, LAND, "land"), "the land is land")
        until(lambda: shows(page, OSLO, "available"), "free is green")
        assert shows(page, STOCKHOLM, "occupied")
        x, y = on_screen(page, TROMSO)
        picture = Picture(page.screenshot(clip={"x": x - 20, "y": y - 20, "width": 41, "height": 41}))
        assert not alike(picture.at(20, 20), token(page, "unknown")), "what is unknown is a ring"
        assert any(alike(picture.at(20 + d, 20), token(page, "unknown")) for d in range(3, 9))


def test_other_colours_are_taken_without_a_reload(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path, ANYONE) as server:
        page = ready(visit(server.url, NORTH, reduced_motion="reduce"))
        until(lambda: shows(page, SEA, "water"), "the sea is water")
        light = seen(page, SEA)
        page.get_by_role("button", name="Menu").click()
        page.get_by_label("Colours").select_option("dark")
        page.keyboard.press("Escape")
        until(lambda: shows(page, SEA, "water") and not alike(seen(page, SEA), light), "the sea is dark")
        until(lambda: shows(page, LAND, "land"), "the land is dark")


def test_a_report_is_seen_on_the_map(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path, ANYONE) as server:
        server.report({"evse": "SE*BET*E7*1", "status": "AVAILABLE"}, key="beta")
        page = ready(visit(server.url, NORTH, reduced_motion="reduce"))
        until(lambda: shows(page, STOCKHOLM, "available"), "free is green")
        server.report({"evse": "SE*BET*E7*1", "status": "CHARGING"}, key="beta")
        until(lambda: shows(page, STOCKHOLM, "occupied"), "occupied is blue")
        server.report({"evse": "SE*BET*E7*1", "status": "REMOVED"}, key="beta")
        until(lambda: not shows(page, STOCKHOLM, "occupied"), "what is removed is not drawn")


def test_after_a_restart_the_map_comes_back_in_step_by_itself(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path, ANYONE) as server:
        server.report({"evse": "NO*ALF*E1342", "status": "AVAILABLE"})
        page = ready(visit(server.url, NORTH, allowed=("ERR_CONNECTION", "WebSocket", "Failed to load")))
        until(lambda: legend(page)["Available"] == 1, "one is free")
        page.evaluate("window.kept = true")
        server.stop()
        page.locator("main[data-stream=waiting]").wait_for()
        expect(page.locator(".stream")).to_contain_text("connection lost")
        server.start()
        server.report(
            {"evse": "NO*ALF*E1342", "status": "CHARGING"}, {"evse": "NO*ALF*E1333*1", "status": "AVAILABLE"}
        )
        server.report({"evse": "DK*BET*E11*1", "status": "OUTOFORDER"}, key="beta")
        page.locator("main[data-stream=live]").wait_for()
        wanted = {"Available": 1, "Partly available": 0, "Occupied": 1, "Faulty": 1, "Unknown": 2}
        until(lambda: legend(page) == wanted, "the legend is as the server's numbers")
        told = server.get("/api/v2/overview").json()["groups"]
        assert told == {"available": 1, "occupied": 1, "faulty": 1, "unknown": 4}
        assert page.evaluate("window.kept")


def test_stations_that_come_while_one_looks_are_drawn(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path, ANYONE) as server:
        page = ready(visit(server.url, NORTH))
        until(lambda: sum(legend(page).values()) == 5, "all that are listed are counted")
        others = [draft for draft in server._stations if draft.station.uuid != "NOR_01342"]
        server.import_stations(others)
        until(lambda: sum(legend(page).values()) == 4, "one that vanished is not counted")
        server.import_stations(server._stations)
        until(lambda: sum(legend(page).values()) == 5, "it is counted again")


def test_one_finds_a_station_by_keyboard_and_reads_it(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path, ANYONE) as server:
        server.report({"evse": "NO*ALF*E1333*1", "status": "CHARGING"})
        page = ready(visit(server.url, NORTH, reduced_motion="reduce"))
        page.keyboard.press("/")
        page.keyboard.type("nor_0")
        options = page.get_by_role("listbox").get_by_role("option")
        expect(options).to_have_count(3)
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("Enter")
        panel = page.get_by_role("region", name="Station NOR_01333")
        expect(panel.get_by_role("heading", name="Station NOR_01333")).to_be_focused()
        expect(panel.locator(".overview")).to_contain_text("0 of 2 CCS 150 kW free confirmed")
        expect(panel.get_by_text("NO*ALF*E1333*1")).to_be_hidden()
        panel.get_by_text("Details", exact=True).click()
        expect(panel.get_by_text("NO*ALF*E1333*1")).to_be_visible()
        expect(panel.get_by_role("img", name=re.compile("Last 24 hours"))).to_have_count(1)
        until(
            lambda: "station=NOR_01333" in address(page) and "z=12.5" in address(page), "the address says so"
        )
        server.report({"evse": "NO*ALF*E1333*1", "status": "AVAILABLE"})
        expect(panel).to_contain_text("1 of 2 CCS 150 kW free")
        expect(panel.locator(".strip rect.occupied, .strip rect.available").first).to_be_attached()
        page.keyboard.press("Escape")
        expect(panel).to_be_hidden()
        expect(page.get_by_role("combobox", name="Find a place or a station")).to_be_focused()


def test_an_evse_is_found_by_any_written_form_of_its_id(quiet: Serving, visit: Visit) -> None:
    page = ready(visit(quiet.url, NORTH, allowed=("404",)))
    page.get_by_role("combobox", name="Find a place or a station").fill("sebete71")
    expect(page.get_by_role("option", name="Station SWE_00007")).to_be_visible()
    page.get_by_role("combobox", name="Find a place or a station").fill("nothing has this name")
    expect(page.get_by_role("option", name="Nothing found")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()


def test_filters_recount_and_stand_in_the_address(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path, ANYONE) as server:
        server.report({"evse": "SE*BET*E7*1", "status": "AVAILABLE"}, key="beta")
        page = ready(visit(server.url, NORTH, reduced_motion="reduce"))
        page.get_by_role("button", name="Filters").click()
        page.get_by_label("Country").select_option(label="Norway")
        until(lambda: sum(legend(page).values()) == 3, "three are Norwegian")
        until(lambda: "country=NOR" in address(page), "the address says so")
        page.get_by_label("Country").select_option(label="All")
        page.get_by_label("Operator").select_option("Beta Laddning")
        until(lambda: sum(legend(page).values()) == 1, "one is Beta's")
        page.get_by_label("Power").select_option(label="300+ kW")
        until(lambda: sum(legend(page).values()) == 0, "none is so strong")
        page.get_by_role("button", name="Clear filters").click()
        page.get_by_label("CCS", exact=True).check()
        until(lambda: sum(legend(page).values()) == 5, "all have it")
        page.get_by_role("button", name="Unknown 4", exact=True).click()
        until(lambda: not shows(page, STOCKHOLM, "available"), "what was clicked is shown alone")
        pressed = page.get_by_role("button", name="Unknown 4", exact=True)
        assert pressed.get_attribute("aria-pressed") == "true"
        page.get_by_role("button", name="Occupied 0", exact=True).click()
        until(lambda: "state=occupied,unknown" in address(page), "the address says so")
        other = ready(visit(server.url, address(page).removeprefix(server.url)))
        until(lambda: other.get_by_role("button", name="Stations in view (4)").is_visible(), "it is shared")
        server.report({"evse": "SE*BET*E7*1", "status": "CHARGING"}, key="beta")
        until(lambda: shows(page, STOCKHOLM, "occupied"), "it is shown once it is occupied")


def test_going_back_closes_the_panel_and_forward_opens_it(quiet: Serving, visit: Visit) -> None:
    page = ready(visit(quiet.url, f"{NORTH}&station=SWE_00007"))
    panel = page.get_by_role("region", name="Station SWE_00007")
    expect(panel).to_be_visible()
    panel.get_by_role("button", name="Close").click()
    expect(panel).to_be_hidden()
    page.go_back()
    expect(panel).to_be_visible()
    page.go_forward()
    expect(panel).to_be_hidden()


def test_an_address_with_a_station_alone_shows_where_it_is(quiet: Serving, visit: Visit) -> None:
    page = ready(visit(quiet.url, "/?station=SWE_00007"))
    expect(page.get_by_role("heading", name="Station SWE_00007")).to_be_visible()
    until(lambda: "lat=59.33000&lon=18.07000&z=12.50" in address(page), "the map is there")


def test_a_marker_opens_its_station_and_the_pointer_tells_it(quiet: Serving, visit: Visit) -> None:
    page = ready(visit(quiet.url, NORTH))
    x, y = on_screen(page, STOCKHOLM)
    page.mouse.move(x, y)
    expect(page.locator(".tip")).to_contain_text("Station SWE_00007")
    page.mouse.click(x, y)
    expect(page.get_by_role("heading", name="Station SWE_00007")).to_be_visible()


def test_a_cluster_comes_apart_when_it_is_pressed(quiet: Serving, visit: Visit) -> None:
    page = ready(visit(quiet.url, "/?lat=62&lon=13&z=1.6", reduced_motion="reduce"))
    page.get_by_role("button", name="Stations in view (5)").wait_for()
    x, y = on_screen(page, (11.68, 58.97))
    page.mouse.move(x, y)
    found = page.locator(".tip")
    expect(found).to_contain_text("stations")
    page.mouse.click(x, y)
    until(lambda: "z=1.60" not in address(page) and "z=" in address(page), "it went nearer")


def test_the_list_has_what_is_in_view_nearest_first(quiet: Serving, visit: Visit) -> None:
    page = ready(visit(quiet.url, "/?lat=59.4&lon=18&z=8", reduced_motion="reduce"))
    opener = page.get_by_role("button", name="Stations in view (1)")
    opener.focus()
    page.keyboard.press("Enter")
    entry = page.get_by_role("button", name="Station SWE_00007")
    entry.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Station SWE_00007")).to_be_focused()
    page.keyboard.press("Escape")
    expect(entry).to_be_focused()
    page.get_by_role("button", name="Show all stations").click()
    expect(page.get_by_role("button", name="Stations in view (5)")).to_be_visible()
    page.keyboard.press("Shift+Tab")
    entry.press("Escape")
    expect(opener.or_(page.get_by_role("button", name="Stations in view (5)"))).to_be_focused()


def test_what_is_in_view_is_saved_as_files_with_the_filters_in_force(
    tmp_path: Path, visit: Visit, packages: Path
) -> None:
    norway = "/?lat=63.8&lon=13&z=3.4&country=NOR"

    def saved(page: Page, button: str) -> tuple[str, str]:
        with page.expect_download() as download:
            page.get_by_role("button", name=button, exact=True).click()
        return download.value.suggested_filename, download.value.path().read_text()

    def opened(page: Page) -> Page:
        page.get_by_role("button", name="Stations in view").click()
        page.get_by_text("Download these stations").click()
        return page

    with Serving(tmp_path) as server:
        server.report({"evse": "NO*ALF*E1342", "status": "AVAILABLE"})
        key = f"sessionStorage.setItem('ladestrom.key', '{server.keys['stream']}')"
        page = visit(
            server.url,
            norway,
            before=lambda page: page.add_init_script(f"sessionStorage.length || {key}"),
            allowed=("401",),
            reduced_motion="reduce",
            bypass_csp=True,
        )
        opened(ready(page))
        name, text = saved(page, "Stations (GeoJSON)")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d{4}Z-stations\.geojson", name)
        norwegian = {"NOR_01333", "NOR_01342", "NOR_01523"}
        assert {each["id"] for each in json.loads(text)["features"]} == norwegian
        page.get_by_role("button", name="Free now").click()
        name, text = saved(page, "Stations (CSV)")
        assert name.endswith("Z-stations.csv")
        assert [row["uuid"] for row in csv.DictReader(text.splitlines())] == ["NOR_01342"]
        name, text = saved(page, "Charging points (CSV)")
        assert name.endswith("Z-charging-points.csv")
        assert [row["station"] for row in csv.DictReader(text.splitlines())] == ["NOR_01342"]
        page.get_by_role("button", name="Partly").click()
        saved(page, "Stations (CSV), not filtered by: Status")
        page.add_script_tag(path=packages / "axe-core" / "axe.min.js")
        assert page.evaluate(ASK, list(RULES)) == []
        page.evaluate("sessionStorage.removeItem('ladestrom.key')")
        page.get_by_role("button", name="Stations (GeoJSON), not filtered by: Status").click()
        expect(page.get_by_role("alert")).to_contain_text("You need a key")


def test_visitors_save_what_is_in_view_too(quiet: Serving, visit: Visit) -> None:
    page = ready(visit(quiet.url, "/?lat=59.4&lon=18&z=8&kw=50", reduced_motion="reduce"))
    page.get_by_role("button", name="Stations in view").click()
    page.get_by_text("Download these stations").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Stations (GeoJSON)").click()
    told = json.loads(download.value.path().read_text())
    assert [each["id"] for each in told["features"]] == ["SWE_00007"]


def test_the_keyboard_moves_the_map(quiet: Serving, visit: Visit) -> None:
    page = ready(visit(quiet.url, NORTH, reduced_motion="reduce"))
    page.get_by_role("region", name="Map of charging stations").focus()
    page.keyboard.press("ArrowRight")
    until(lambda: float(parse_qs(urlsplit(address(page)).query)["lon"][0]) > 13.5, "it went east")
    page.get_by_role("button", name="Zoom in").click()
    until(lambda: float(parse_qs(urlsplit(address(page)).query)["z"][0]) > 4.3, "it went nearer")


def test_near_me_goes_to_where_the_device_is(quiet: Serving, visit: Visit) -> None:
    page = ready(
        visit(
            quiet.url,
            NORTH,
            geolocation={"latitude": 60.39, "longitude": 5.32},
            permissions=["geolocation"],
            reduced_motion="reduce",
        )
    )
    page.get_by_role("button", name="Near me").click()
    until(lambda: "lat=60.39" in address(page) and "lon=5.32" in address(page), "it went to Bergen")
    expect(page.get_by_role("img", name="You are here")).to_be_visible()
    page.get_by_role("button", name="CCS", exact=True).click()
    expect(page.get_by_role("button", name="Nearest: Station NOR_01342 · 10 m")).to_be_visible()


def test_a_phone_has_all_of_it_without_scrolling_sideways(quiet: Serving, visit: Visit) -> None:
    page = ready(visit(quiet.url, "/", viewport=PHONE, has_touch=True, locale="nb-NO"))
    page.get_by_role("button", name="Filtre").click()
    page.get_by_label("Operatør").select_option("Alfa Lading")
    page.get_by_role("button", name="Lukk").click()
    page.get_by_role("button", name="Stasjoner i kartet").click()
    page.locator(".stations").get_by_role("button", name="Station NOR_01333").click()
    expect(page.get_by_role("heading", name="Station NOR_01333")).to_be_visible()
    expect(page.get_by_text("0 av 2 CCS 150 kW ledige").last).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    sheet = page.get_by_role("region", name="Station NOR_01333")

    def is_above() -> bool:
        box = sheet.bounding_box()
        return box is not None and 60 < on_screen(page, OSLO)[1] < box["y"]

    until(is_above, "the marker is seen above the sheet")
    page.get_by_role("button", name="Mer", exact=True).tap()
    until(
        lambda: (sheet.bounding_box() or {"height": 0})["height"] > PHONE["height"] / 2, "all of it is seen"
    )
    page.go_back()
    expect(sheet).to_be_hidden()
    expect(page.locator(".stations").get_by_role("button", name="Station NOR_01333")).to_be_visible()


def test_without_a_key_the_map_says_that_one_is_needed(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path) as server:
        page = visit(server.url, "/", allowed=("401",))
        page.get_by_text("You need a key to view this page.").wait_for()
        page.get_by_role("button", name="Use a key").click()
        page.get_by_label("Key", exact=True).fill(server.keys["stream"])
        page.get_by_role("button", name="Use it").click()
        ready(page)
        until(lambda: sum(legend(page).values()) >= 4, "stations in view are counted")
        assert server.keys["stream"] not in address(page)


def test_a_server_without_stations_says_so(tmp_path: Path, visit: Visit) -> None:
    with Serving(tmp_path, ANYONE, stations=()) as server:
        page = ready(visit(server.url, "/"))
        page.get_by_role("heading", name="First steps").wait_for()
        until(lambda: shows(page, (-20.0, 50.0), "water"), "the ground is drawn nevertheless")


def test_without_webgl_the_list_stands_for_the_map(tmp_path: Path, visit: Visit) -> None:
    blind = """const own = HTMLCanvasElement.prototype.getContext;
      HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
        return kind.startsWith("webgl") ? null : own.call(this, kind, ...rest);
      };"""
    with Serving(tmp_path, ANYONE) as server:
        page = visit(server.url, "/", before=lambda page: page.add_init_script(blind))
        page.get_by_text("This browser cannot draw the map").wait_for()
        page.get_by_role("button", name="Station FIN_00021").wait_for(state="hidden")
        page.get_by_role("button", name="Station DAN_00011").click()
        expect(page.get_by_role("heading", name="Station DAN_00011")).to_be_visible()


@pytest.mark.parametrize("kind", ["mvt", "png"])
def test_an_archive_of_tiles_is_drawn_beneath_the_stations(tmp_path: Path, visit: Visit, kind: str) -> None:
    red = (200, 30, 40)
    made = archive("mvt", vector_tile("earth")) if kind == "mvt" else archive("png", png(256, red))
    with offered({"/small.pmtiles": made}) as address:
        settings = {**ANYONE, "page.tiles": f"{address}/small.pmtiles", "page.tiles_attribution": "Somebody"}
        with Serving(tmp_path, settings) as server:
            page = ready(visit(server.url, NORTH, allowed=(address,), reduced_motion="reduce"))
            wanted = red if kind == "png" else token(page, "land")
            until(lambda: alike(seen(page, SEA), wanted), "the tile is drawn")
            expect(page.locator(".credits")).to_contain_text("Somebody")


def test_single_tiles_are_drawn_beneath_the_stations(tmp_path: Path, visit: Visit) -> None:
    red = (200, 30, 40)
    paths = [f"/4/{x}/{y}.png" for x in range(16) for y in range(16)]
    paths += [f"/5/{x}/{y}.png" for x in range(32) for y in range(32)]
    with ExitStack() as stack:
        address = stack.enter_context(offered(dict.fromkeys(paths, png(256, red))))
        settings = {**ANYONE, "page.tiles": f"{address}/{{z}}/{{x}}/{{y}}.png"}
        server = stack.enter_context(Serving(tmp_path, settings))
        page = ready(visit(server.url, NORTH, allowed=(address,), reduced_motion="reduce"))
        until(lambda: alike(seen(page, SEA), red), "the tiles are drawn")


def test_tiles_that_cannot_be_had_are_said_and_outlines_are_drawn(tmp_path: Path, visit: Visit) -> None:
    with (
        offered({}) as address,
        Serving(tmp_path, {**ANYONE, "page.tiles": f"{address}/a.pmtiles"}) as server,
    ):
        page = ready(visit(server.url, NORTH, allowed=(address, "404"), reduced_motion="reduce"))
        page.get_by_text("The base map cannot be loaded").wait_for()
        until(lambda: shows(page, SEA, "water"), "the sea is water")


@pytest.mark.parametrize(("theme", "size"), [("light", DESK), ("dark", PHONE)], ids=["desktop", "phone"])
def test_no_rule_of_wcag_is_broken_with_all_of_it_open(
    tmp_path: Path, visit: Visit, packages: Path, theme: str, size: dict[str, int]
) -> None:
    with Serving(tmp_path, ANYONE) as server:
        server.report({"evse": "NO*ALF*E1333*1", "status": "CHARGING", "error": 1})
        options: dict[str, Any] = {
            "viewport": size,
            "color_scheme": theme,
            "reduced_motion": "reduce",
            "bypass_csp": True,
        }
        page = ready(visit(server.url, NORTH, **options))
        page.add_script_tag(path=packages / "axe-core" / "axe.min.js")
        page.get_by_role("button", name="Filters").click()
        assert page.evaluate(ASK, list(RULES)) == []
        page.get_by_role("button", name="Stations in view").click()
        page.get_by_role("button", name="Station NOR_01333").click()
        page.get_by_text("As a table").first.click()
        assert page.evaluate(ASK, list(RULES)) == []
        page.get_by_role("combobox", name="Find a place or a station").fill("nor")
        page.get_by_role("listbox").wait_for()
        assert page.evaluate(ASK, list(RULES)) == []
