"""Filters by features: one EVSE meets all of them at once, with its status; what is open is of one minute."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from msgspec import structs
from tests.e2e.following import Events, Follower
from tests.e2e.serving import Serving, tick
from tests.e2e.wire import TEXT, Wire, refusal

from ladestrom.core.features import FEATURES
from ladestrom.model import Connector, Evse, Outlet, Station, evse_key
from ladestrom.outputs.stream_v2.edge import EVENTS_PATH, STREAM_PATH
from ladestrom.ports.registry import StationDraft
from ladestrom.record import Access, Details, Hours, Opening, Payment, Span, Terms, Vehicle

LISTS: Final = ("/api/v2/stations", "/api/v2/evses")
CCS: Final = "IEC_62196_T2_COMBO"
TYPE_2: Final = "IEC_62196_T2"
ALWAYS: Final = Opening(always=True)
RENOVATION: Final = Opening(always=True, closings=(Span("2000-01-01T00:00:00Z", "2100-01-01T00:00:00Z"),))
CARD: Final = Payment(card=True, free=False)
EVERYTHING_ASKED: Final = (
    "status=AVAILABLE&access=public&open_now=1&min_kw=150&connector=ccs&payment=card&vehicle=truck"
)


def draft(number: int, *evses: tuple[Evse, Connector], country: str = "NOR", **details: Any) -> StationDraft:
    """A station of which each EVSE has one plug."""
    uuid = f"{country}_{number:05d}"
    return StationDraft(
        Station(
            uuid=uuid,
            name=f"Station {number}",
            country=country,
            longitude=10.0,
            latitude=60.0,
            evses=tuple(evse for evse, _ in evses),
            outlets=tuple(Outlet(place, plug) for place, (_, plug) in enumerate(evses)),
            native_id=uuid,
            details=Details(**details),
        )
    )


def evse(name: str, standard: str = CCS, kw: float | None = 150.0, **members: Any) -> tuple[Evse, Connector]:
    written = f"NO*ALF*E{name}"
    return Evse(evse_key(written), "", written, party="NOALF", **members), Connector(standard, kw)


TRUCKS: Final = (Vehicle.CAR, Vehicle.TRUCK)
GOOD: Final[dict[str, Any]] = {
    "access": Access.PUBLIC, "opening": ALWAYS, "payment": CARD, "vehicles": TRUCKS, "time_zone": "Europe/Oslo"
}  # fmt: skip
STATIONS: Final = (
    draft(10001, evse("1*1"), evse("1*2"), **GOOD),
    # Each EVSE lacks one thing that the others have.
    draft(
        10002,
        evse("2*1", TYPE_2),
        evse("2*2", kw=50.0),
        evse("2*3", terms=Terms(access=Access.EMPLOYEES, payment=CARD, vehicles=TRUCKS)),
        evse("2*4", terms=Terms(access=Access.PUBLIC, payment=Payment(free=True), vehicles=TRUCKS)),
        evse("2*5", terms=Terms(access=Access.PUBLIC, payment=CARD, vehicles=(Vehicle.MOTORCYCLE,))),
        evse("2*6"),
        **GOOD,
    ),
    draft(10003, evse("3*1"), **{**GOOD, "opening": RENOVATION}),
    draft(10004, evse("4*1", kw=None)),
    draft(
        10005, evse("5*1", TYPE_2, 22.0), country="SWE", access=Access.RESTRICTED, opening=Opening(text="?")
    ),
)
STATUSES: Final = {"2*6": "CHARGING"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server of which the tests of this file change nothing."""
    with Serving(tmp_path_factory.mktemp("features"), stations=STATIONS) as running:
        running.report(
            *(
                {"evse": each.evse_id, "status": STATUSES.get(name(each), "AVAILABLE"), "observed_at": tick()}
                for one in STATIONS
                for each in one.station.evses
            )
        )
        running.settled()
        yield running


def name(one: Evse) -> str:
    return (one.evse_id or "").removeprefix("NO*ALF*E")


def shown(server: Serving, query: str, key: str = "stream") -> list[str]:
    """EVSEs that a list shows, page by page; the list of stations has those stations, and no others."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path in LISTS:
        items = found[path] = []
        cursor = ""
        while True:
            answer = server.get(f"{path}?{query}&limit=1{cursor}", key=key)
            assert answer.status_code == 200, answer.text
            assert answer.json()["items"] or not items, "no page but an only one is empty"
            items += answer.json()["items"]
            if answer.json()["next"] is None:
                break
            cursor = f"&cursor={quote(answer.json()['next'])}"
    stations, evses = found[LISTS[0]], found[LISTS[1]]
    assert [each["uuid"] for each in stations] == sorted({each["station"] for each in evses})
    return [each["evse"].removeprefix("NO*ALF*E") for each in evses]


ALL: Final = [name(each) for one in STATIONS for each in one.station.evses]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("access=public", ["1*1", "1*2", "2*1", "2*2", "2*4", "2*5", "2*6", "3*1"]),
        ("access=employees,restricted", ["2*3", "5*1"]),
        ("open_now=1", ["1*1", "1*2", "2*1", "2*2", "2*3", "2*4", "2*5", "2*6"]),
        ("min_kw=150", ["1*1", "1*2", "2*1", "2*3", "2*4", "2*5", "2*6", "3*1"]),
        ("min_kw=22", [each for each in ALL if each != "4*1"]),
        ("min_kw=150.1", []),
        ("connector=type2", ["2*1", "5*1"]),
        ("connector=iec_62196_t2_combo", [each for each in ALL if each not in {"2*1", "5*1"}]),
        ("connector=chademo", []),
        ("payment=card", ["1*1", "1*2", "2*1", "2*2", "2*3", "2*5", "2*6", "3*1"]),
        ("payment=free,contactless", ["2*4"]),
        ("vehicle=truck", ["1*1", "1*2", "2*1", "2*2", "2*3", "2*4", "2*6", "3*1"]),
        ("vehicle=car", [each for each in ALL if each != "2*5"]),
        ("vehicle=motorcycle", ["2*5"]),
        ("connector=ccs&min_kw=150", ["1*1", "1*2", "2*3", "2*4", "2*5", "2*6", "3*1"]),
        ("connector=type2&min_kw=50", ["2*1"]),
        ("access=public&status=CHARGING", ["2*6"]),
        ("access=employees&status=CHARGING", []),
        ("access=restricted&country=NOR", []),
        ("access=restricted&country=SWE", ["5*1"]),
        ("open_now=1&evse=NO*ALF*E1*2,NO*ALF*E3*1", ["1*2"]),
        ("vehicle=motorcycle&operator=alfa", ["2*5"]),
        (EVERYTHING_ASKED, ["1*1", "1*2"]),
        (f"{EVERYTHING_ASKED}&evse=NO*ALF*E1*2", ["1*2"]),
        (f"{EVERYTHING_ASKED}&station=NOR_10002", []),
    ],
)
def test_an_evse_is_listed_where_it_meets_all_filters_and_a_station_where_one_of_its_evses_does(
    server: Serving, query: str, expected: list[str]
) -> None:
    assert shown(server, query) == expected
    assert shown(server, query, key="alfa") == expected, "all of it is this operator's"


def test_without_filters_all_are_listed(server: Serving) -> None:
    assert shown(server, "") == ALL


def test_each_filter_takes_one_away_that_all_others_leave(server: Serving) -> None:
    parts = EVERYTHING_ASKED.split("&")
    taken = {}
    for part in parts:
        others = "&".join(each for each in parts if each != part)
        taken[part.partition("=")[0]] = sorted(set(shown(server, others)) - {"1*1", "1*2"})
    assert taken == {
        "connector": ["2*1"],
        "min_kw": ["2*2"],
        "access": ["2*3"],
        "payment": ["2*4"],
        "vehicle": ["2*5"],
        "status": ["2*6"],
        "open_now": ["3*1"],
    }


def test_an_operator_sees_a_station_only_for_an_evse_of_its_own(tmp_path: Path) -> None:
    own, plug = evse("1*1")
    others = structs.replace(own, key="NOBETE12", evse_id="NO*BET*E1*2", party="NOBET")
    shared = draft(10001, (own, Connector(TYPE_2, 22.0)), (others, plug), **GOOD)
    with Serving(tmp_path, stations=[shared]) as server:
        server.report({"evse": "NO*ALF*E1*1", "status": "CHARGING", "observed_at": tick()})
        server.settled()
        assert shown(server, "connector=type2&status=CHARGING", key="alfa") == ["1*1"]
        for query in ("connector=ccs", "min_kw=150", "status=AVAILABLE", "evse=NO*BET*E1*2"):
            assert shown(server, query, key="alfa") == [], query


# -- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("access=publc", "did you mean public?"),
        ("open_now=0", "write open_now=1"),
        ("min_kw=fast", "one number of kW"),
        ("min_kw=50,150", "one number of kW"),
        ("connector=type-2", "did you mean type2?"),
        ("payment=crad", "did you mean card?"),
        ("vehicle=car,,bus", "empty value"),
        ("acess=public", "did you mean access?"),
        ("access=public&access=public", "twice"),
        ("min_kw=", "no value"),
    ],
)
def test_a_list_refuses_what_it_does_not_understand(
    server: Serving, path: str, query: str, told: str
) -> None:
    answer = server.get(f"{path}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_filter")
    assert told in answer.json()["detail"]


@pytest.mark.parametrize("feature", sorted(FEATURES))
def test_streams_refuse_them_and_say_what_to_do_instead(server: Serving, feature: str) -> None:
    with Wire(server.port) as wire:
        problem = refusal(wire.open(f"{STREAM_PATH}?{feature}=1", server.bearer()))
    assert (problem["status"], problem["code"]) == (400, "invalid_filter")
    assert feature in problem["detail"]
    assert "include=stations" in problem["detail"]
    with Events(server.port) as events:
        again = refusal(events.ask(f"{EVENTS_PATH}?country=NOR&{feature}=1", server.bearer()))
    assert again["detail"] == problem["detail"]
    with Follower(server, {"country": "NOR"}) as follower:
        follower.synced()
        follower.wire.put(TEXT, json.dumps({"type": "select", feature: "1"}).encode())
        error = follower.until("error")
        assert (error["code"], error["detail"]) == (problem["code"], problem["detail"])


def test_version_1_ignores_them_and_the_map_refuses_them(server: Serving) -> None:
    everything = server.get("/api/v1/rest/chargers").json()
    assert server.get("/api/v1/rest/chargers?access=residents&open_now=0").json() == everything
    for path in ("/api/v2/map", "/api/v2/map/stations", "/api/v2/stations/NOR_10001"):
        assert server.get(f"{path}?access=public").status_code == 400


# -- one minute --------------------------------------------------------------------------------------------


class TimeOfDay:
    """The clock of this process, which stands at an instant."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, written: str) -> None:
        self.set(written)
        monkeypatch.setattr(time, "time_ns", lambda: self.ns)

    def set(self, written: str) -> None:
        self.ns = int(datetime.fromisoformat(written).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


NOON: Final = "2026-12-01T11:59:30"
"""In UTC; a minute later, shops that close at one o'clock in Oslo have another hour."""
SHOP: Final = Opening(hours=(Hours(2, "08:00", "13:00"),))
OTHER: Final = Opening(hours=(Hours(2, "13:00", "20:00"),))


@pytest.fixture
def shops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Serving, TimeOfDay]]:
    """Four stations that close when four others open."""
    clock = TimeOfDay(monkeypatch, NOON)
    stations = [
        draft(
            10_000 + number,
            evse(f"{number}*1"),
            opening=SHOP if number % 2 else OTHER,
            time_zone="Europe/Oslo",
        )
        for number in range(1, 9)
    ]
    with Serving(tmp_path, stations=stations) as server:
        server.settled()
        yield server, clock


@pytest.mark.parametrize("path", LISTS)
def test_what_is_open_is_another_answer_with_another_tag_in_another_minute(
    shops: tuple[Serving, TimeOfDay], path: str
) -> None:
    server, clock = shops
    target = f"{path}?open_now=1"
    before = server.get(target)
    tag = before.headers["etag"]
    assert before.headers["cache-control"] == "no-cache", "to be asked for again each time"
    assert server.get(target, headers={"If-None-Match": tag}).status_code == 304
    plain = server.get(path)
    assert plain.headers["etag"] != tag, "of all, it is another answer"
    clock.set("2026-12-01T12:00:00")
    after = server.get(target, headers={"If-None-Match": tag})
    assert after.status_code == 200
    assert after.headers["etag"] != tag
    assert len(before.json()["items"]) == len(after.json()["items"]) == 4
    assert not {json.dumps(each) for each in before.json()["items"]} & {
        json.dumps(each) for each in after.json()["items"]
    }
    assert server.get(path, headers={"If-None-Match": plain.headers["etag"]}).status_code == 304


@pytest.mark.parametrize("path", LISTS)
def test_the_pages_of_a_list_are_of_one_minute(shops: tuple[Serving, TimeOfDay], path: str) -> None:
    server, clock = shops
    whole = server.get(f"{path}?open_now=1").json()["items"]
    first = server.get(f"{path}?open_now=1&limit=2")
    clock.set("2026-12-01T12:05:00")
    second = server.get(f"{path}?open_now=1&limit=2&cursor={first.json()['next']}")
    assert first.json()["items"] + second.json()["items"] == whole
    assert second.json()["next"] is None
    tag = second.headers["etag"]
    assert tag == first.headers["etag"]
    clock.set("2026-12-01T12:59:59")
    target = f"{path}?open_now=1&limit=2&cursor={first.json()['next']}"
    assert server.get(target, headers={"If-None-Match": tag}).status_code == 304
    clock.set("2026-12-01T13:00:00")
    refused = server.get(target, headers={"If-None-Match": tag})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
    assert "60 minutes ago; start without it" in refused.json()["detail"].replace(
        ", and other stations are open now", ""
    )
    others = server.get(f"{path}?limit=2&cursor={first.json()['next']}")
    assert others.status_code == 200, "what does not depend on the minute does not look at it"


@pytest.mark.parametrize("path", LISTS)
def test_a_cursor_of_a_list_of_all_goes_on_with_what_is_open_now(
    shops: tuple[Serving, TimeOfDay], path: str
) -> None:
    server, _ = shops
    first = server.get(f"{path}?limit=2").json()
    rest = server.get(f"{path}?open_now=1&cursor={first['next']}").json()["items"]
    assert rest == server.get(f"{path}?open_now=1").json()["items"][1:]


@pytest.mark.parametrize("path", LISTS)
def test_another_record_of_a_station_is_another_answer_with_another_tag(tmp_path: Path, path: str) -> None:
    with Serving(tmp_path, stations=STATIONS) as server:
        target = f"{path}?access=public"
        before = server.get(target)
        first = STATIONS[0].station
        closed = structs.replace(first, details=structs.replace(first.details, access=Access.RESIDENTS))
        server.import_stations([StationDraft(closed), *STATIONS[1:]])
        server.in_step()
        after = server.get(target, headers={"If-None-Match": before.headers["etag"]})
        assert after.status_code == 200
        assert after.headers["etag"] != before.headers["etag"]
        assert "NOR_10001" in before.text
        assert "NOR_10001" not in after.text
        assert '"access":"residents"' in server.get("/api/v2/stations/NOR_10001").text
