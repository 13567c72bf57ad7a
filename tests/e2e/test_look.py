"""Looking: the map in step with the stream, what goes on, what was; with a key, and without one where allowed."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Final, Self

import httpx2
import msgspec
import pytest
from tests.e2e.following import E1, E2, SWEDISH, logged, report, settled, status_entries
from tests.e2e.serving import LISTED, STATIONS, Serving, evse, now, station
from tests.e2e.wire import Wire, refusal
from tests.patience import DEADLINE_S, until

from ladestrom import __version__
from ladestrom.core.access import operator_from
from ladestrom.model import Change, Connector, Outlet, Status, StatusChanged
from ladestrom.outputs.map import chart
from ladestrom.outputs.map.aggregates import Aggregates
from ladestrom.outputs.stream_v2.edge import STREAM_PATH
from ladestrom.ports.registry import StationDraft

GROUPS: Final = ("available", "occupied", "faulty", "unknown")
TICKETS: Final = "/api/v2/tickets"
HOUR_MS: Final = 3_600_000
LOOKING: Final = (
    "/api/v2/map",
    "/api/v2/map/stations",
    "/api/v2/map/texts",
    "/api/v2/overview",
    "/api/v2/stations/NOR_01333",
    "/api/v2/stations/NOR_01333/history",
    "/api/v2/evses/NO*ALF*E1342",
    "/api/v2/operators",
)
REST: Final = (
    "/api/v1/rest/chargers",
    "/api/v2/stations",
    "/api/v2/evses",
    "/api/v2/events",
    "/dynamique/status/",
)
"""Some of what wants a key whoever may look."""
OPEN: Final = {"page.visitors": "anyone"}

Numbers = dict[str, tuple[int, ...]]
"""Station uuid to its EVSEs by group."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server where anyone may look; tests of this file share it."""
    with Serving(tmp_path_factory.mktemp("look"), OPEN) as made:
        yield made


def own(server: Serving) -> dict[str, str]:
    """Headers of a page of the server itself."""
    host = f"127.0.0.1:{server.port}"
    return {"Host": host, "Origin": f"http://{host}"}


def looked(server: Serving, path: str) -> dict[str, Any]:
    """What a visitor is shown."""
    answer = server.get(path, key=None)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def group_of(status: str, error: int) -> str | None:
    """The group that the contract puts an EVSE in."""
    if status in {"PLANNED", "REMOVED"}:
        return None
    if error or status in {"INOPERATIVE", "OUTOFORDER"}:
        return "faulty"
    return {"AVAILABLE": "available", "UNKNOWN": "unknown"}.get(status, "occupied")


class Page:
    """What a page does that shows the map. A context manager."""

    def __init__(self, server: Serving) -> None:
        self._server = server
        while True:
            self.stations = looked(server, "/api/v2/map/stations")
            state = looked(server, "/api/v2/map")
            if state["revision"] == self.stations["revision"]:
                break
        self.numbers: dict[str, Counter[str]] = {
            uuid: Counter({name: state[name][row] for name in GROUPS})
            for row, uuid in enumerate(self.stations["uuid"])
        }
        self.seq = int(state["position"].rpartition("-")[2])
        self.unknown: set[str] = set()
        """Stations that it has not heard of before."""
        ticket = server.request("POST", TICKETS, headers=own(server)).json()["ticket"]
        query = f"mode=every&batch_ms=0&since={state['position']}&ticket={ticket}"
        self.wire = Wire(server.port).open(f"{STREAM_PATH}?{query}", own(server))
        assert self.wire.response.status == 101
        assert json.loads(self.wire.text())["type"] == "hello"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wire.close()

    def follow(self, seq: int) -> Self:
        """Takes changes until it stands there."""
        while self.seq < seq:
            message = json.loads(self.wire.text())
            assert message["type"] in {"changes", "heartbeat"}, message
            assert message["prev"] == self.seq
            for row in message.get("changes", ()):
                if row["station"] not in self.numbers:
                    self.unknown.add(row["station"])
                counts = self.numbers.setdefault(row["station"], Counter())
                for name, step in (
                    (group_of(row["was"]["status"], row["was"]["error"]), -1),
                    (group_of(row["status"], row["error"]), 1),
                ):
                    if name is not None:
                        counts[name] += step
            self.seq = message["seq"]
        return self

    def shown(self) -> Numbers:
        """Stations with an EVSE."""
        found = {uuid: tuple(counts[name] for name in GROUPS) for uuid, counts in self.numbers.items()}
        return {uuid: counts for uuid, counts in found.items() if any(counts)}


def kept(server: Serving) -> Aggregates:
    """What the map keeps beside the view."""
    found = server.app.reader.folds["map"]
    assert isinstance(found, Aggregates)
    return found


def by_evse(stations: dict[str, Any], state: dict[str, Any]) -> list[list[int]]:
    """EVSEs of each station by group, as the digits of its EVSEs say."""
    assert len(stations["evse_class"]) == len(state["evse_groups"]) == sum(stations["evses"])
    digits = iter(state["evse_groups"])
    own = [[next(digits) for _ in range(count)] for count in stations["evses"]]
    return [[each.count(str(group)) for each in own] for group in range(len(GROUPS))]


def shown_by(server: Serving) -> tuple[Numbers, int]:
    """The same as the server has it, and where it stands."""
    made = kept(server).chart
    made._state = None
    made._stations = None
    stations, state = looked(server, "/api/v2/map/stations"), looked(server, "/api/v2/map")
    assert stations["revision"] == state["revision"]
    assert by_evse(stations, state) == [state[name] for name in GROUPS]
    rows = zip(*(state[name] for name in GROUPS), strict=True)
    found = dict(zip(stations["uuid"], rows, strict=True))
    seq = int(state["position"].rpartition("-")[2])
    return {uuid: counts for uuid, counts in found.items() if any(counts)}, seq


# -- what a page has to know -------------------------------------------------------------------------------


def test_the_page_asks_for_its_own_settings_without_a_key(tmp_path: Path) -> None:
    settings = {
        "page.title": "Lading i nord",
        "page.tiles": "https://tiles.example/{z}/{x}/{y}.png",
        "page.tiles_attribution": "Tiles",
        "page.contact": "mail@example.org",
        "registry.licence": "CC BY 4.0",
        "registry.attribution": "NOBIL",
    }
    with Serving(tmp_path, settings) as server:
        answer = server.get("/api/v2/page", key=None)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json() == {
            "title": "Lading i nord",
            "version": __version__,
            "demo": False,
            "visitors": "key",
            "keys": "closed",
            "tiles": "https://tiles.example/{z}/{x}/{y}.png",
            "tiles_attribution": "Tiles",
            "licence": "CC BY 4.0",
            "attribution": "NOBIL",
            "contact": "mail@example.org",
            "local": True,
            "station": "",
        }
        for elsewhere in ({"X-Forwarded-For": "192.0.2.1"}, {"Host": "example.org"}):
            assert not server.get("/api/v2/page", key=None, headers=elsewhere).json()["local"]


def test_the_first_steps_are_told_on_the_machine_itself_only(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        told = server.get("/api/v2/setup", key=None)
        assert told.json() == {
            "options": ["--data", str(server.data)],
            "stations": 6,
            "operators": 2,
            "keys": len(server.keys),
            "visitors": "key",
        }
        assert "access-control-allow-origin" not in told.headers
        for header, value in (
            ("X-Forwarded-For", "127.0.0.1"),
            ("Forwarded", "for=127.0.0.1"),
            ("Via", "1.1 proxy"),
            ("X-Real-IP", "127.0.0.1"),
            ("Host", "rebound.example"),
            ("Host", "127.0.0.1.example"),
        ):
            refused = server.get("/api/v2/setup", key=None, headers={header: value})
            assert (refused.status_code, str(server.data) in refused.text) == (404, False), header
        document = server.get("/openapi.json", key=None).json()
        assert {} not in document["paths"]["/api/v2/map"]["get"]["security"]


# -- who may look ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LOOKING)
def test_where_visitors_are_let_in_anyone_may_look(server: Serving, path: str) -> None:
    assert server.get(path, key=None).status_code == 200
    assert server.get(path, key="stream").status_code == 200
    assert server.get(path, key="alfa").status_code == 200, "a key for reports is no worse than none"
    for wrong in ("revoked", "expired"):
        answer = server.get(path, key=wrong)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    document = server.get("/openapi.json", key=None).json()
    described = {
        name.replace("{uuid}", "NOR_01333").replace("{evse}", "NO*ALF*E1342"): one["get"].get("security")
        for name, one in document["paths"].items()
        if "get" in one
    }
    assert {} in described[path]


@pytest.mark.parametrize("path", REST)
def test_all_else_wants_a_key_as_before(server: Serving, path: str) -> None:
    assert server.get(path, key=None, headers=own(server)).status_code == 401


def test_where_visitors_are_not_let_in_one_needs_a_key_that_reads(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        for path in LOOKING:
            assert server.get(path, key=None, headers=own(server)).status_code == 401
            assert server.get(path, key="alfa").status_code == 403
            assert server.get(path, key="stream").status_code == 200
        answer = server.request("POST", TICKETS, headers=own(server))
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "own"}, 200),
        ({}, 401),
        ({"Origin": "https://elsewhere.example"}, 401),
        ({"Origin": "null"}, 401),
        ({"Origin": "own", "X-Api-Key": "revoked"}, 401),
        ({"Origin": "https://elsewhere.example", "X-Api-Key": "stream"}, 200),
        ({"X-Api-Key": "alfa"}, 401),
    ],
)
def test_a_visitor_gets_a_ticket_for_pages_of_the_server_only(
    server: Serving, headers: dict[str, str], status: int
) -> None:
    sent = dict(headers)
    if sent.get("Origin") == "own":
        sent.update(own(server))
    if "X-Api-Key" in sent:
        sent["X-Api-Key"] = server.keys[sent["X-Api-Key"]]
    assert server.request("POST", TICKETS, headers=sent).status_code == status


def test_visitors_have_a_limit_of_their_own_and_end_with_the_setting(tmp_path: Path) -> None:
    settings = {**OPEN, "page.visitors_max": 2, "stream.consumers_per_key_max": 1}
    with Serving(tmp_path, settings) as server, Page(server) as first, Page(server):
        assert looked(server, "/api/v2/overview")["visitors"] == 2
        ticket = server.request("POST", TICKETS, headers=own(server)).json()["ticket"]
        with Wire(server.port) as third:
            third.open(f"{STREAM_PATH}?ticket={ticket}", own(server))
            assert third.response.status == 429
            assert refusal(third)["code"] == "too_many_requests"
        with server.stream() as keyed:
            assert keyed.message()["type"] == "snapshot:init"
        server.call(lambda: setattr(server.app.context.door, "visitors", False))
        assert first.wire.close_code() == 4401


# -- the map -----------------------------------------------------------------------------------------------


def test_columns_have_the_stations_of_the_board_and_what_the_register_says_of_them(tmp_path: Path) -> None:
    plugs = [Connector("CHADEMO", 50.0), Connector("IEC_62196_T2_COMBO", 62.5), Connector("UNKNOWN")]
    towns = msgspec.structs.replace(
        STATIONS[1].station,
        city="Bergen",
        outlets=tuple(Outlet(0, plug) for plug in plugs),
    )
    stations = [StationDraft(towns), *(each for number, each in enumerate(STATIONS) if number != 1)]
    with Serving(tmp_path, OPEN, stations=stations) as server:
        found = looked(server, "/api/v2/map/stations")
        assert found["uuid"] == list(LISTED)
        tables = {"operators", "standards", "countries", "openings", "classes", "evse_class", "named"}
        rows = {
            uuid: {
                name: column[row]
                for name, column in found.items()
                if isinstance(column, list) and name not in tables
            }
            for row, uuid in enumerate(found["uuid"])
        }
        assert found["standards"] == ["IEC_62196_T2_COMBO", "CHADEMO", "UNKNOWN"]
        assert rows["NOR_01342"] == {
            "uuid": "NOR_01342",
            "name": "Station NOR_01342",
            "city": "Bergen",
            "lon": 532_000,
            "lat": 6_039_000,
            "operator": -1,
            "country": found["countries"].index("NOR"),
            "power_kw": 62.5,
            "standard": 7,
            "evses": 1,
            "opening": -1,
        }
        assert found["operators"][rows["NOR_01333"]["operator"]] == "Alfa Lading"
        assert (rows["NOR_01333"]["evses"], rows["NOR_01333"]["power_kw"]) == (2, 150)
        assert {found["countries"][row["country"]] for row in rows.values()} == {"NOR", "SWE", "DAN"}


def test_columns_have_a_tag_of_their_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart, "STATIONS_S_MIN", 0.0)
    path = "/api/v2/map/stations"
    with Serving(tmp_path, OPEN) as server:
        first = server.get(path, key=None)
        tag = first.headers["etag"]
        again = server.get(path, key=None, headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
        report(server, E1, "CHARGING")
        server.make_key("another", ["stream"])
        assert server.get(path, key=None).headers["etag"] == tag, "neither is of the stations"
        server.stop()
        server.start()
        assert server.get(path, key=None).headers["etag"] == tag
        renamed = msgspec.structs.replace(STATIONS[0].station, name="Another name")
        server.import_stations([StationDraft(renamed), *STATIONS[1:]])
        server.in_step()
        other = server.get(path, key=None, headers={"If-None-Match": tag})
        assert other.status_code == 200
        assert other.json()["revision"] != first.json()["revision"]
        assert "Another name" in other.json()["name"]


@pytest.mark.parametrize("path", ["/api/v2/map", "/api/v2/map/stations"])
def test_answers_are_packed_for_those_who_take_that(server: Serving, path: str) -> None:
    with httpx2.Client(timeout=DEADLINE_S) as client:
        sent: dict[str, bytes] = {}
        for encoding in ("gzip, deflate, br", "identity"):
            with client.stream("GET", f"{server.url}{path}", headers={"Accept-Encoding": encoding}) as answer:
                assert answer.headers.get("content-encoding", "identity") in encoding
                assert answer.headers["vary"] == "accept-encoding"
                sent[encoding] = b"".join(answer.iter_raw())
        head = client.head(f"{server.url}{path}")
        assert (head.status_code, head.content) == (200, b"")
    packed, plain = sent.values()
    without = {"at", "position"}
    assert {
        key: value for key, value in json.loads(gzip.decompress(packed)).items() if key not in without
    } == {key: value for key, value in json.loads(plain).items() if key not in without}


def test_numbers_are_made_once_for_all_who_ask_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chart, "MAP_S_MAX", 600.0)
    with Serving(tmp_path, OPEN) as server:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: looked(server, "/api/v2/map"), range(40)))
        assert len({each["at"] for each in found}) == 1
        seq = report(server, E1, "CHARGING")
        settled(server)
        assert looked(server, "/api/v2/map") == found[0]
        monkeypatch.setattr(chart, "MAP_S_MAX", 0.0)
        assert int(looked(server, "/api/v2/map")["position"].rpartition("-")[2]) >= seq


def test_a_page_that_joins_map_and_stream_has_the_numbers_that_the_server_has(tmp_path: Path) -> None:
    rng = random.Random(7)
    words = [*(status.value for status in Status), "AVAILABLE", "CHARGING"]
    more = [
        station(
            f"NOR_7000{number}",
            "NOR",
            (10.0, 60.0),
            [evse(f"NO*ALF*E7{number}*{place}", party="NOALF") for place in range(3)],
        )
        for number in range(3)
    ]
    ids = {
        "alfa": [
            E1,
            E2,
            "NO*ALF*E1342",
            "NOR_01523_01",
            *(one.evse_id or "" for each in more for one in each.station.evses),
        ],
        "beta": [SWEDISH, "DK*BET*E11*1"],
    }

    def tell(server: Serving, key: str) -> None:
        items = [
            {"evse": rng.choice(ids[key]), "status": rng.choice(words), "error": rng.randrange(2)}
            for _ in range(rng.randrange(1, 20))
        ]
        assert server.post(items, key=key).status_code == 200

    with Serving(tmp_path, OPEN) as server, ThreadPoolExecutor(3) as pool:
        for _ in range(5):
            tell(server, "alfa")
        with Page(server) as early:
            for round_ in range(6):
                telling = [pool.submit(tell, server, key) for key in ("alfa", "beta", "alfa") * 4]
                if round_ == 1:
                    server.import_stations([*STATIONS, *more])
                elif round_ == 3:
                    # Stations vanish, and one of them gives an EVSE to another.
                    moved = msgspec.structs.replace(
                        STATIONS[1].station,
                        evses=(*STATIONS[1].station.evses, more[0].station.evses[0]),
                        outlets=(*STATIONS[1].station.outlets, Outlet(1, Connector("CHADEMO", 50.0))),
                    )
                    server.import_stations([STATIONS[0], StationDraft(moved), *STATIONS[2:], *more[1:2]])
                elif round_ == 4:
                    server.import_stations([*STATIONS, *more])
                for one in telling:
                    one.result()
                with Page(server) as late:
                    server.in_step()
                    settled(server)
                    numbers, seq = shown_by(server)
                    assert early.follow(seq).shown() == numbers
                    assert late.follow(seq).shown() == numbers
            assert early.unknown == {each.station.uuid for each in more}


# -- what goes on ------------------------------------------------------------------------------------------


def test_the_overview_counts_the_board_its_consumers_and_its_changes(tmp_path: Path) -> None:
    began_at = now()
    with Serving(tmp_path, OPEN) as server:
        brought = settled(server)
        counted = sum(isinstance(entry, StatusChanged) for entry in logged(server))
        with server.stream(), Page(server) as page:
            page.follow(report(server, E1, "CHARGING"))
            page.follow(report(server, E2, "OUTOFORDER", error=1))
            page.follow(report(server, "NO*ALF*E1342", "PLANNED"))
            page.follow(report(server, SWEDISH, "AVAILABLE", "beta"))
            until(lambda: looked(server, "/api/v2/overview")["changes_total"] == counted + 4, "it is counted")
            found = looked(server, "/api/v2/overview")
            assert found["position"].endswith(f"-{brought + 4}")
            assert began_at <= ms(found["started_at"]) <= ms(found["at"]) <= now()
            assert found["statuses"] == {
                **dict.fromkeys(map(str, Status), 0),
                "AVAILABLE": 1,
                "CHARGING": 1,
                "OUTOFORDER": 1,
                "PLANNED": 1,
                "UNKNOWN": 3,
            }
            assert found["groups"] == {"available": 1, "occupied": 1, "faulty": 1, "unknown": 3}
            assert (found["evses"], found["errors"]) == (6, 1)
            assert found["consumers"] == {"total": 2, "v1": 1, "v2": 1, "events": 0}
            assert found["visitors"] == 1
            assert (len(found["seconds"]), len(found["minutes"])) == (120, 60)
            until(
                lambda: sum(looked(server, "/api/v2/overview")["seconds"]) == counted + 4,
                "the second is over",
            )
            # The places are looked at when they are first asked for. Bergen has nothing that is listed.
            assert sum(place["changes_hour"] for place in found["places"]) == counted + 4 - 2
            norway = next(place for place in found["places"] if place["country"] == "NOR")
            assert (norway["place"], norway["occupied"]) == ("Oslo", 1)
            assert found["places"][0] == norway
        until(lambda: looked(server, "/api/v2/overview")["consumers"]["total"] == 0, "they have left")


def test_what_was_there_before_a_restart_is_counted_after_it(tmp_path: Path) -> None:
    with Serving(tmp_path, OPEN) as server:
        report(server, E1, "CHARGING")
        report(server, E2, "AVAILABLE", error=1)
        settled(server)
        before, numbers = looked(server, "/api/v2/overview"), shown_by(server)
        server.stop()
        server.start()
        after = looked(server, "/api/v2/overview")
        for name in ("position", "stations", "evses", "statuses", "errors", "groups"):
            assert after[name] == before[name]
        assert after["changes_total"] == 0
        assert shown_by(server) == numbers


# -- what was ----------------------------------------------------------------------------------------------


def ms(written: str) -> int:
    return round(datetime.fromisoformat(written).replace(tzinfo=UTC).timestamp() * 1000)


def folded(changes: Sequence[Change], start: int) -> list[tuple[int, str, int]]:
    """What one EVSE was from `start` on, from all its changes; the first as of then."""
    line: list[tuple[int, str, int]] = []
    for change in changes:
        at = change.changed_at if change.changed_at >= 0 else change.received_at
        line.append((max(at, line[-1][0] if line else at), change.status.value, int(change.error)))
    line = [one for one, after in zip(line, [*line[1:], (10**15, "", 0)], strict=True) if after[0] > one[0]]
    past = [one for one in line if one[0] <= start]
    first = past[-1][1:] if past else ("REMOVED", 0)
    shown = [(start, *first), *(one for one in line if one[0] > start)]
    return [next(same) for _, same in groupby(shown, key=lambda one: one[1:])]


def as_the_log_has_it(server: Serving, uuid: str, hours: int = 24) -> dict[str, Any]:
    """The history of a station, checked against the whole log."""
    settled(server)
    found = looked(server, f"/api/v2/stations/{uuid}/history?hours={hours}")
    complete, start, end = ms(found["complete_from"]), ms(found["from"]), ms(found["until"])
    assert end - start == hours * HOUR_MS
    assert start <= complete <= end <= now()
    entries = status_entries(server)
    names = {one.key: one.name for one in server.app.writer.hub.directory.stations[uuid].evses}
    assert [each["evse"] for each in found["evses"]] == list(names.values())
    for (key, written), each in zip(names.items(), found["evses"], strict=True):
        assert each["evse"] == written
        segments = [(ms(one["at"]), one["status"], one["error"]) for one in each["segments"]]
        assert segments[0][0] <= complete
        own_changes = [entry.change for entry in entries if entry.change.evse == key]
        assert [(complete, *segments[0][1:]), *segments[1:]] == folded(own_changes, complete)
    return found


def test_history_is_what_the_log_says_over_a_restart_too(tmp_path: Path) -> None:
    rng = random.Random(3)

    def tell(server: Serving, days_ago: float = 0) -> None:
        for _ in range(20):
            at = now() - int(days_ago * 24 * HOUR_MS) - rng.randrange(3) * 1_000
            server.report(
                *(
                    {
                        "evse": one,
                        "status": rng.choice(list(Status)).value,
                        "error": rng.randrange(2),
                        "observed_at": at,
                    }
                    for one in rng.sample([E1, E2, "NO*ALF*E1342"], 2)
                )
            )

    with Serving(tmp_path, OPEN) as server:
        tell(server, 2)
        tell(server)
        until(lambda: kept(server).history.is_live, "the history is in step")
        found = as_the_log_has_it(server, "NOR_01333")
        assert ms(found["complete_from"]) >= logged(server)[0].change.received_at, "the log begins then"
        assert len(found["evses"][0]["segments"]) > 3
        as_the_log_has_it(server, "NOR_01342", 1)
        server.stop()
        server.start()
        tell(server)
        until(lambda: kept(server).history.is_live, "the log was read")
        again = as_the_log_has_it(server, "NOR_01333")
        assert again["complete_from"] == found["complete_from"]
        assert again["evses"][0]["segments"][:3] == found["evses"][0]["segments"][:3]
        quiet = as_the_log_has_it(server, "NOR_01523", 2)
        assert [len(each["segments"]) for each in quiet["evses"]] == [1, 1]


def test_history_says_of_what_nobody_may_report_on_that_it_is_unknown(server: Serving) -> None:
    found = looked(server, "/api/v2/stations/FIN_00021/history")
    assert [[one["status"] for one in each["segments"]] for each in found["evses"]] == [["UNKNOWN"]]


def test_history_begins_when_the_first_report_says_that_it_was_so(tmp_path: Path) -> None:
    since = now() - 2 * HOUR_MS
    with Serving(tmp_path, OPEN) as server:
        server.report({"evse": E1, "status": "AVAILABLE", "observed_at": since})
        until(lambda: kept(server).history.is_live, "the history is in step")
        (first,) = as_the_log_has_it(server, "NOR_01333")["evses"][0]["segments"]
        assert (ms(first["at"]), first["status"]) == (since, "AVAILABLE")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("NOR_99999/history", 404, "not_found"),
        ("NOR_01333/history?hours=0", 400, "bad_request"),
        ("NOR_01333/history?hours=25", 400, "bad_request"),
        ("NOR_01333/history?hours=x", 400, "bad_request"),
    ],
)
def test_a_question_that_has_no_answer_is_refused(server: Serving, path: str, status: int, code: str) -> None:
    answer = server.get(f"/api/v2/stations/{path}", key=None)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_history_begins_where_the_memory_is_full(tmp_path: Path) -> None:
    with Serving(tmp_path, {**OPEN, "page.history_changes_max": 1_000}) as server:
        until(lambda: kept(server).history.is_live, "the history is in step")
        words = ("AVAILABLE", "CHARGING")
        began = now()
        for start in range(0, 3_000, 500):
            items = [
                {"evse": E1, "status": words[number % 2], "observed_at": began - 60_000 + number}
                for number in range(start, start + 500)
            ]
            assert server.report(*items)["accepted"] >= 499
        settled(server)
        found = looked(server, "/api/v2/stations/NOR_01333/history?hours=1")
        assert ms(found["complete_from"]) > began
        assert len(found["evses"][0]["segments"]) <= 1_000


def test_an_empty_registry_has_an_empty_map(tmp_path: Path) -> None:
    with Serving(tmp_path, OPEN, stations=()) as server:
        assert looked(server, "/api/v2/map/stations")["uuid"] == []
        assert [looked(server, "/api/v2/map")[name] for name in GROUPS] == [[], [], [], []]
        found = looked(server, "/api/v2/overview")
        assert (found["stations"], found["evses"], found["places"]) == (0, 0, [])


def test_new_operators_bring_their_stations_onto_the_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chart, "STATIONS_S_MIN", 0.0)
    with Serving(tmp_path, OPEN) as server, Page(server) as page:
        assert "FIN_00021" not in page.numbers
        server.write(lambda store: store.put_operator(operator_from("gamma", parties=["FI*GAM"]), now()))
        server.in_step()
        page.follow(settled(server))
        assert page.unknown == {"FIN_00021"}
        until(
            lambda: "FIN_00021" in looked(server, "/api/v2/map/stations")["uuid"],
            "the columns have the station",
        )


def test_how_much_went_on_is_known_after_a_restart(tmp_path: Path) -> None:
    with Serving(tmp_path, OPEN) as server:
        for status in ("CHARGING", "AVAILABLE"):
            report(server, "NO*ALF*E1342", status)
        before = settled(server)
        server.stop()
        server.start()

        def counted() -> set[int]:
            """By minute, ten minutes and hour, each with its running span."""
            return server.call(lambda: {sum(counts._ring) for counts in kept(server).activity.past})

        until(lambda: counted() == {before}, "each entry before is counted once, records among them")
        report(server, "NO*ALF*E1342", "CHARGING")
        until(lambda: counted() == {before + 1}, "and so is what follows")
        told = looked(server, "/api/v2/overview")
        assert (len(told["tens"]), len(told["hours"]), told["kept_from"]) == (144, 168, None)
