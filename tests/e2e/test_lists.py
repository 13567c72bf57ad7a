"""Version 2's lists: filters, pages, and how they join the stream."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import httpx2
import pytest
from tests.e2e.following import (
    E1,
    E2,
    SWEDISH,
    Events,
    Follower,
    flip,
    listed,
    named,
    operate,
    report,
    settled,
    towns,
)
from tests.e2e.serving import LISTED, STATIONS, Serving, evse, now, station, tick
from tests.e2e.wire import request

from ladestrom.client.v2_session import V2Session
from ladestrom.core.access import operator_from
from ladestrom.model import Position

LISTS: Final = ("/api/v2/stations", "/api/v2/evses")
of_both = pytest.mark.parametrize("path", LISTS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that the tests of this file share."""
    with Serving(tmp_path_factory.mktemp("lists")) as running:
        yield running


@pytest.fixture(scope="module")
def country(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server with so many stations that they fill pages."""
    with Serving(tmp_path_factory.mktemp("country"), stations=towns()) as running:
        yield running


def page(server: Serving, path: str, query: str = "") -> dict[str, Any]:
    answer = server.get(f"{path}?{query}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def following(answer: httpx2.Response) -> str | None:
    """Address of the next page, as the header has it."""
    link = answer.headers.get("link")
    if link is None:
        return None
    address, _, parameters = link.partition(">; ")
    assert parameters == 'rel="next"'
    return str(address.removeprefix("<"))


def walk(server: Serving, path: str, query: str = "") -> list[list[dict[str, Any]]]:
    """All pages, by the links between them."""
    pages = []
    target: str | None = f"{path}?{query}"
    while target is not None:
        answer = server.get(target)
        assert answer.status_code == 200, answer.text
        pages.append(answer.json()["items"])
        target = following(answer)
        assert (answer.json()["next"] is None) == (target is None)
    return pages


# -- what is listed ----------------------------------------------------------------------------------------


def test_evses_are_listed_station_by_station_as_each_is_given_by_itself(server: Serving) -> None:
    flip(server)
    found = page(server, "/api/v2/evses")
    assert list(found) == ["position", "items", "next"]
    assert found["next"] is None
    stations = [item["station"] for item in found["items"]]
    assert stations == sorted(stations)
    assert set(stations) == set(LISTED)
    for item in found["items"]:
        assert server.get(f"/api/v2/evses/{quote(item['evse'])}").json() == item


def test_stations_are_listed_in_order_as_each_is_given_by_itself(server: Serving) -> None:
    flip(server)
    found = page(server, "/api/v2/stations")
    assert list(found) == ["position", "items", "next"]
    assert [item["uuid"] for item in found["items"]] == list(LISTED)
    for item in found["items"]:
        assert server.get(f"/api/v2/stations/{item['uuid']}").json() == item


def test_what_was_removed_or_is_only_planned_is_not_listed(server: Serving) -> None:
    for status in ("REMOVED", "PLANNED"):
        server.report({"evse": E2, "status": status, "observed_at": tick()})
        settled(server)
        assert E2 not in listed(server)
        (found,) = page(server, "/api/v2/stations", "station=NOR_01333")["items"]
        assert [item["evse"] for item in found["evses"]] == [E1]
    report(server, E2, "AVAILABLE")
    settled(server)
    assert E2 in listed(server)


def test_a_vanished_station_is_not_listed(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        server.import_stations([each for each in STATIONS if each.station.uuid != "NOR_01342"])
        server.in_step()
        settled(server)
        for path in LISTS:
            assert "NOR_01342" not in str(page(server, path)["items"])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("country=NOR", ["NOR_01333", "NOR_01342", "NOR_01523"]),
        ("country=SWE,dk", ["DAN_00011", "SWE_00007"]),
        ("operator=Alfa%20Lading", ["NOR_01333"]),
        ("station=nor_01342", ["NOR_01342"]),
        ("bbox=5,60,6,61", ["NOR_01342"]),
        (f"evse={E2}", ["NOR_01333"]),
        ("status=CHARGING", ["NOR_01333"]),
        (f"status=CHARGING&evse={E1}", ["NOR_01333"]),
        # The station has an EVSE that charges, and this one; but this one does not charge.
        (f"status=CHARGING&evse={E2}", []),
        ("country=FRA", []),
    ],
)
def test_filters_narrow_stations(server: Serving, query: str, expected: list[str]) -> None:
    for evse_id, status in ((E1, "CHARGING"), (E2, "AVAILABLE")):
        server.report({"evse": evse_id, "status": status, "observed_at": tick()})
    settled(server)
    assert [item["uuid"] for item in page(server, "/api/v2/stations", query)["items"]] == expected
    evses = page(server, "/api/v2/evses", query)["items"]
    assert sorted({item["station"] for item in evses}) == expected


# -- pages -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 7, 40, 1000])
@of_both
def test_pages_have_each_once_in_order_and_are_no_longer_than_asked(
    country: Serving, path: str, limit: int
) -> None:
    pages = walk(country, path, f"limit={limit}")
    name = "uuid" if path.endswith("stations") else "station"
    seen = [item[name] for items in pages for item in items]
    assert seen == sorted(seen)
    if name == "uuid":
        assert seen == sorted(each.station.uuid for each in towns())
        assert all(len(items) == limit for items in pages[:-1])
    else:
        assert len(seen) == len({item["evse"] for items in pages for item in items}) == 120
        assert all(limit <= len(items) < limit + 3 for items in pages[:-1])
        for items in pages:
            assert len(items) % 3 == 0, "a station stands on one page as a whole"


@of_both
def test_filters_hold_from_page_to_page(country: Serving, path: str) -> None:
    pages = walk(country, path, "country=SWE&limit=2")
    assert len(pages) >= 10
    assert sum(map(len, pages)) == (20 if path.endswith("stations") else 60)
    assert "NOR" not in str([item.get("country", item.get("station")) for items in pages for item in items])


@of_both
def test_the_limit_is_a_hundred_where_none_is_asked_for(country: Serving, path: str) -> None:
    sizes = [len(items) for items in walk(country, path)]
    assert sizes == ([40] if path.endswith("stations") else [102, 18])


@of_both
def test_the_link_keeps_the_query_and_its_cursor_is_the_one_in_the_body(country: Serving, path: str) -> None:
    answer = country.get(f"{path}?limit=3&operator=NO*ALF,Beta%20%26%20S%C3%B8n&country=NOR")
    target = following(answer)
    assert target is not None
    split = urlsplit(target)
    assert (split.scheme, split.netloc, split.path) == ("", "", path)
    assert dict(parse_qsl(split.query)) == {
        "limit": "3",
        "operator": "NO*ALF,Beta & Søn",
        "country": "NOR",
        "cursor": answer.json()["next"],
    }


def test_a_cursor_may_be_written_into_the_query_as_it_is(country: Serving) -> None:
    first = page(country, "/api/v2/stations", "limit=5")
    second = page(country, "/api/v2/stations", f"limit=5&cursor={first['next']}")
    assert second["items"][0]["uuid"] > first["items"][-1]["uuid"]


@of_both
def test_a_walk_sees_each_once_while_others_come_and_statuses_change(tmp_path: Path, path: str) -> None:
    drafts = towns(20)
    with Serving(tmp_path, stations=drafts) as server, ThreadPoolExecutor(2) as pool:
        load = [pool.submit(operate, server, key, 30, 20) for key in ("alfa", "beta")]
        name = "uuid" if path.endswith("stations") else "evse"
        seen: list[str] = []
        target: str | None = f"{path}?limit=4"
        number = 0
        while target is not None:
            answer = server.get(target)
            seen += [item[name] for item in answer.json()["items"]]
            target = following(answer)
            number += 1
            # In turn one before the cursor and one behind it.
            uuid = f"{'AAA' if number % 2 else 'ZZZ'}_{number:05d}"
            new = station(uuid, uuid[:3], (1, 1), [evse(f"NO*ALF*E900*{number}", party="NOALF")])
            server.import_stations([new], complete=False)
            server.in_step()
            settled(server)
        for each in load:
            each.result()
    assert len(seen) == len(set(seen))
    there = [each.station.uuid for each in drafts] if name == "uuid" else list(named_all(20))
    assert set(there) <= set(seen)
    assert any(each.startswith(("ZZZ", "NO*ALF*E900")) for each in seen), (
        "what comes behind the cursor is seen"
    )


def named_all(stations: int) -> Iterator[str]:
    for number in range(1, stations + 1):
        for place in range(1, 4):
            yield named(number, place)


@of_both
def test_a_cursor_of_a_station_that_has_gone_leads_on(tmp_path: Path, path: str) -> None:
    with Serving(tmp_path, stations=towns(6)) as server:
        first = page(server, path, "country=NOR&limit=1")
        gone = first["items"][-1].get("uuid") or first["items"][-1]["station"]
        server.import_stations([each for each in towns(6) if each.station.uuid != gone])
        server.in_step()
        second = page(server, path, f"country=NOR&limit=1&cursor={quote(first['next'])}")
        assert second["items"][0].get("uuid", second["items"][0].get("station")) == "NOR_00003"


@of_both
@pytest.mark.parametrize(
    "limit", ["0", "1001", "-1", "", "ten", "1.0", "1e2", "%D9%A3", "9" * 5000, " 5", "+5"]
)
def test_a_limit_out_of_range_is_refused(server: Serving, path: str, limit: str) -> None:
    answer = server.get(f"{path}?limit={limit}")
    assert answer.status_code == 400
    assert answer.json()["code"] == ("bad_request" if limit else "invalid_filter")


@of_both
@pytest.mark.parametrize(
    "cursor",
    [
        "NOR_01333",
        "!!!!",
        "AAAA",
        "Tk9S",
        "%C3%A9",
        "A",
        base64.urlsafe_b64encode(b"NOR_01333\n").decode(),
        base64.urlsafe_b64encode(b"nor_01333").decode(),
        base64.urlsafe_b64encode("NOR_०१३३३".encode()).decode(),
        base64.urlsafe_b64encode(b"NOR_01333").decode() + "!",
        "x" * 10_000,
    ],
)
def test_a_cursor_that_no_page_gave_is_refused(server: Serving, path: str, cursor: str) -> None:
    answer = server.get(f"{path}?{urlencode({'cursor': cursor})}")
    assert answer.status_code == 400
    assert "cursor" in answer.json()["detail"]


@of_both
@pytest.mark.parametrize(
    "query", ["country=Atlantis", "status=FREE", "bbox=1,2,3", "bbox=0,0,inf,1", "evse=" + "E," * 1001]
)
def test_a_filter_that_cannot_be_understood_is_refused(server: Serving, path: str, query: str) -> None:
    answer = server.get(f"{path}?{query}")
    assert (answer.status_code, answer.json()["code"]) in {(400, "invalid_filter"), (200, None)}


# -- keys --------------------------------------------------------------------------------------------------


@of_both
@pytest.mark.parametrize(
    ("key", "status"), [(None, 401), ("alfa", 200), ("revoked", 401), ("expired", 401), ("admin", 200)]
)
def test_lists_need_a_key_that_reads_or_reports(
    server: Serving, path: str, key: str | None, status: int
) -> None:
    assert server.get(path, key=key).status_code == status


@of_both
@pytest.mark.parametrize("name", ["key", "apikey", "ticket"])
def test_a_key_in_the_query_is_refused(server: Serving, path: str, name: str) -> None:
    assert server.get(f"{path}?{name}={server.keys['stream']}", key=None).status_code == 401


# -- caching -----------------------------------------------------------------------------------------------


@of_both
def test_the_tag_has_the_position_and_while_nothing_changed_nothing_is_sent(
    server: Serving, path: str
) -> None:
    settled(server)
    answer = server.get(path)
    tag = answer.headers["etag"]
    assert tag.startswith(f'W/"{server.app.reader.view.position}-')
    assert answer.json()["position"] == str(server.app.reader.view.position)
    assert answer.headers["cache-control"] == "no-cache"
    for given in (tag, tag.removeprefix("W/"), f'"another-1", {tag}', "*"):
        again = server.get(path, headers={"If-None-Match": given})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    flip(server)
    settled(server)
    changed = server.get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


@of_both
def test_a_bad_question_is_refused_even_where_nothing_changed(server: Serving, path: str) -> None:
    answer = server.get(f"{path}?limit=0", headers={"If-None-Match": "*"})
    assert answer.status_code == 400


@of_both
def test_a_large_page_is_packed_for_who_takes_that(country: Serving, path: str) -> None:
    head = {"Host": "127.0.0.1", **country.bearer()}
    with Events(country.port) as wire:
        wire.send(request(path, head))
        plain_head, plain = wire.answer()
        wire.send(request(path, {**head, "Accept-Encoding": "gzip"}))
        packed_head, packed = wire.answer()
    assert "content-encoding" not in plain_head.headers
    assert packed_head.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in packed_head.headers["vary"].lower()
    assert gzip.decompress(packed) == plain
    assert len(packed) < len(plain) / 4
    assert json.loads(plain)["items"]


# -- and the stream ----------------------------------------------------------------------------------------


def test_who_begins_with_the_list_goes_on_with_the_stream_where_it_ended(server: Serving) -> None:
    flip(server)
    settled(server)
    found = page(server, "/api/v2/evses", "limit=1000")
    board = {item["evse"]: item["status"] for item in found["items"]}
    flip(server, E1)
    last = flip(server, SWEDISH, "beta")
    settled(server)
    epoch, _, seq = found["position"].partition("-")
    session = V2Session()
    session.position = Position(epoch, int(seq))
    with Follower(server, session=session) as follower:
        follower.reach(last)
        assert {each["type"] for each in follower.told} == {"hello", "changes"}
        board |= {row["evse"]: row["status"] for row in follower.changes}
    assert board == {name: state[1] for name, state in listed(server).items()}


def test_a_list_of_which_nobody_may_report_says_why_it_is_empty(tmp_path: Path) -> None:
    unreported = [draft for draft in STATIONS if draft.station.country == "FIN"]
    with Serving(tmp_path, stations=unreported) as server:
        for path in ("/api/v2/stations", "/api/v2/evses"):
            answer = server.get(path).json()
            assert answer["items"] == []
            assert "ladestrom operators add" in answer["note"]
        server.write(lambda store: store.put_operator(operator_from("all", all_evses=True), now()))
        server.in_step()
        for path in ("/api/v2/stations", "/api/v2/evses"):
            answer = server.get(path).json()
            assert len(answer["items"]) == 1
            assert "note" not in answer
            assert "note" not in server.get(f"{path}?country=SWE").json()
