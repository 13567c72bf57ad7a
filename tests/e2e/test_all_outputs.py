"""Every output at one quiet position, each read by a reader of its own: what is on the board is told, or left out
and counted, and each EVSE has the status that the board has, in the output's words.

An output is a row of `READERS`. What comes in are reports, charge points (OCPP) and a peer (OCPI), to stations of
a small world, and of the French register where it is at hand.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from lxml import etree
from msgspec.structs import replace
from tests.e2e.charging import FIRST, Plugged, add
from tests.e2e.serving import STATIONS, Serving, evse, now, station
from tests.patience import DEADLINE_S, until
from websockets.sync.client import connect

from ladestrom.core.access import operator_from
from ladestrom.ingest.ocpi_peers import digest
from ladestrom.model import Change, Status, evse_key
from ladestrom.ports.peers import Peer
from ladestrom.ports.registry import StationDraft
from ladestrom.protocols import datex2, irve_dynamique, oicp_pull
from ladestrom.protocols.delivery import Delivery, ParseLimits
from ladestrom.registers import datex2 as datex2_table
from ladestrom.registers import irve

SHARED: Final = Path(os.environ.get("LADESTROM_SHARED", Path(__file__).resolve().parents[3] / "shared"))
FRANCE: Final = SHARED / "data" / "france" / "irve-statique.json.gz"
POINTS: Final = 400
"""Rows of the French register that are taken."""
LIMITS: Final = ParseLimits()
OCPI_TOKEN: Final = "a-token-of-a-peer"
OVER_OCPI: Final = "NO*ALF*E1342"
OF_OCPI: Final = "NOR_01342"
HIDDEN: Final = {Status.PLANNED, Status.REMOVED}
PULL: Final = "/api/oicp/evsepull"

Told = dict[str, str]
"""EVSE, as `evse_key` or as its name where it has none, to what is said of it."""


class Read(NamedTuple):
    """What a reader found."""

    position: str
    told: Told


class Reader(NamedTuple):
    """An output, and what is expected of it."""

    read: Callable[[Serving], Read]
    words: Mapping[Status, str] | None
    """What each status is told as; None where only EVSEs are told."""
    tally: str = ""
    """By what name those are counted that it leaves out; empty where it leaves out none."""


WORLD: Final = (
    *(
        replace(draft, station=replace(draft.station, address="Storgata 1", city="Ås"))
        if draft.station.uuid != OF_OCPI
        else draft
        for draft in STATIONS
    ),
    station(
        "NOR_00100", "NOR", (10.2, 59.7), [evse(f"NO*GAM*E{number}", party="NOGAM") for number in range(25)]
    ),
)
"""One has neither street nor city, one has EVSEs without ids, one has enough of them for all statuses."""

# -- the world -------------------------------------------------------------------------------------------------


def french() -> list[StationDraft]:
    """Some of the French register, where it is at hand."""
    if not FRANCE.is_file():
        return []
    with gzip.open(FRANCE) as file:
        drafts = irve.parse([b"".join(islice(file, POINTS))])
        return [draft for draft in drafts if isinstance(draft, StationDraft)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that has heard something of most EVSEs, and hears nothing more."""
    settings = {"ocpp.grace_s": 3_600, "ocpi.reconcile_s": 0}
    with Serving(tmp_path_factory.mktemp("all"), settings, stations=WORLD) as running:
        drafts = french()
        running.write(lambda store: store.import_stations("irve", drafts, now(), complete=True))
        running.write(lambda store: store.put_operator(operator_from("all", all_evses=True), now()))
        peer = Peer(id="peer", operator="alfa", state="fixed", token_sha256=digest(OCPI_TOKEN), made_at=now())
        running.write(lambda store: store.peers.put(peer))
        running.make_key("all", ["report"], operator="all")
        running.in_step()
        evses = [each for each in running.app.reader.view.directory.evses() if each.name[:5] != "NO*AL"]
        # Some were never reported on; each status stands at some of the others.
        words = [*Status]
        running.report(
            *(
                {"evse": each.name, "status": words[number % len(words)], "error": int(number % 4 == 0)}
                for number, each in enumerate(evses)
                if number % 7
            ),
            key="all",
        )
        with Plugged(running, "CP1", add(running, "CP1"), "ocpp1.6") as charge_point:
            charge_point.call("BootNotification", {"chargePointVendor": "a", "chargePointModel": "b"})
            report = {"connectorId": 1, "errorCode": "NoError", "status": "SuspendedEV"}
            charge_point.call("StatusNotification", report)
            blocked = {
                "uid": "1",
                "evse_id": OVER_OCPI,
                "status": "BLOCKED",
                "last_updated": "2026-11-01T08:00:00Z",
            }
            put = running.request(
                "PUT",
                "/ocpi/2.3.0/locations/NO/ALF/LOC1",
                headers={"Authorization": f"Token {OCPI_TOKEN}"},
                json={"id": "LOC1", "evses": [blocked], "last_updated": "2026-11-01T08:00:00Z"},
            )
            assert put.json()["status_code"] == 1000, put.text
            running.settled()
            yield running


def changes(server: Serving) -> Iterator[tuple[str, Change]]:
    """What is on the board, as the readers' view has it: EVSEs, and the changes in force."""
    view = server.app.reader.view
    for uuid in view.uuids():
        state = view.get(uuid)
        assert state is not None
        for held in state.changes.values():
            yield key(view.directory.name(held.change.evse, uuid)), held.change


def board(server: Serving) -> dict[str, Status]:
    return {evse: change.status for evse, change in changes(server)}


def with_error(server: Serving) -> set[str]:
    return {evse for evse, change in changes(server) if change.error}


def key(name: str) -> str:
    return evse_key(name) or name


# -- readers ---------------------------------------------------------------------------------------------------


def got(server: Serving, path: str) -> tuple[str, bytes]:
    answer = server.get(path)
    assert answer.status_code == 200, answer.text
    return answer.headers["ladestrom-position"], answer.content


def heard(delivery: Delivery) -> Told:
    """What our parsers make of an output, in the words in which it was written."""
    assert delivery.refused == []
    assert delivery.unmapped == 0
    told = {key(report.evse): report.raw for report in delivery.reports}
    assert len(told) == len(delivery.reports), "an EVSE is told twice"
    return told


def datex_status(form: str) -> Callable[[Serving], Read]:
    def read(server: Serving) -> Read:
        position, body = got(server, f"/datex2/v3/status.{form}")
        return Read(position, heard(datex2.receive(body, "us", LIMITS)))

    return read


def datex_points(form: str) -> Callable[[Serving], Read]:
    def read(server: Serving) -> Read:
        position, body = got(server, f"/datex2/v3/table.{form}")
        drafts = list(datex2_table.parse([body]))
        assert all(isinstance(draft, StationDraft) for draft in drafts), drafts
        stations = [draft.station for draft in drafts if isinstance(draft, StationDraft)]
        return Read(
            position, {key(evse.evse_id or evse.uid or ""): "" for each in stations for evse in each.evses}
        )

    return read


def irve_rows(server: Serving) -> Read:
    position, body = got(server, "/irve/dynamique.csv")
    return Read(position, heard(irve_dynamique.receive(body, "us", LIMITS)))


def oicp_file(server: Serving) -> Read:
    position, body = got(server, "/api/oicp/status.json")
    return Read(position, heard(oicp_pull.read(body, "us", LIMITS)))


def pulled(server: Serving, path: str, **message: object) -> tuple[str, bytes]:
    answer = server.post({"ProviderID": "NO-XYZ", **message}, key="stream", path=f"{PULL}/{path}")
    assert answer.json()["StatusCode"]["Code"] == "000", answer.text
    return answer.headers["ladestrom-position"], answer.content


def oicp_statuses(server: Serving) -> Read:
    position, body = pulled(server, "v21/providers/NO-XYZ/status-records")
    return Read(position, heard(oicp_pull.read(body, "us", LIMITS)))


def oicp_records(server: Serving) -> Read:
    told: Told = {}
    for number in range(1_000):
        path = f"v23/providers/NO-XYZ/data-records?page={number}&size=100"
        position, body = pulled(server, path, GeoCoordinatesResponseFormat="Google")
        page = json.loads(body)
        told |= {key(each["EvseID"]): "" for each in page["content"]}
        if page["last"]:
            assert len(told) == page["totalElements"]
            return Read(position, told)
    raise AssertionError("the pages have no end")


def ocpi_pages(version: str) -> Callable[[Serving], Read]:
    def read(server: Serving) -> Read:
        told: Told = {}
        path, positions = f"/ocpi/{version}/sender/locations?limit=50", set()
        while True:
            answer = server.get(path)
            assert answer.json()["status_code"] == 1000, answer.text
            positions.add(answer.headers["ladestrom-position"])
            for location in answer.json()["data"]:
                for each in location["evses"]:
                    # It has words for what others do not show.
                    if each["status"] not in HIDDEN:
                        name = key(each.get("evse_id") or each["uid"])
                        assert name not in told
                        told[name] = each["status"]
            if "link" not in answer.headers:
                (position,) = positions
                return Read(position, told)
            path = f"/ocpi/{answer.headers['link'].partition('>')[0].partition('/ocpi/')[2]}"

    return read


def realtime(server: Serving) -> Read:
    view, told = server.app.reader.view, Counter[str]()
    found: Told = {}
    path = "/nobil/real-time/v1/Realtime?snapshot=1&seq=1"
    address = server.request("POST", path, headers=server.bearer()).json()["accessToken"]
    with connect(address, open_timeout=DEADLINE_S) as consumer:
        while True:
            message = json.loads(consumer.recv(timeout=DEADLINE_S))
            # Operators may use the same uid at several stations.
            (own,) = [
                each
                for each in view.directory.find_uid(message["evseUId"])
                if each.station == message["nobilId"]
            ]
            found[own.key] = message["status"]
            told[own.key] += 1
            if "seq" in message:
                assert max(told.values()) == 1
                until(lambda: "nobil_realtime" in server.app.reader.documents.tallies, "they are counted")
                return Read(f"{message['epoch']}-{message['seq']}", found)


def nobil_json(server: Serving) -> Read:
    position, body = got(server, "/api/server/datadump.php?format=json")
    stations = json.loads(body)["chargerstations"]
    rows = {
        each["csmd"]["International_id"]: [
            {kind: value["attrvalid"] for kind, value in plug.items()}
            for plug in each["attr"]["conn"].values()
        ]
        for each in stations
    }
    return Read(position, of_plugs(server, rows))


def nobil_xml(server: Serving) -> Read:
    position, body = got(server, "/api/server/datadump.php?format=xml")
    rows = {
        str(each.findtext("metadata/International_id")): [
            {
                str(one.findtext("attrtypeid")): str(one.findtext("attrvalid") or "")
                for one in plug.findall("attribute")
            }
            for plug in each.findall("attributes/connectors/connector")
        ]
        for each in etree.fromstring(body).findall("chargerstation")
    }
    return Read(position, of_plugs(server, rows))


def of_plugs(server: Serving, rows: Mapping[str, Sequence[Mapping[str, str]]]) -> Told:
    """What is said of connectors, by the EVSEs that they belong to: those that are shown, in their order."""
    shown = {evse for evse, status in board(server).items() if status not in HIDDEN}
    told: Told = {}
    for uuid, plugs in rows.items():
        record = server.app.reader.view.directory.stations[uuid]
        owners = [record.evses[outlet.evse].key for outlet in record.outlets]
        for owner, plug in zip([each for each in owners if each in shown], plugs, strict=True):
            word = f"{plug.get('8', '')}/{plug.get('9', '')}"
            assert told.setdefault(owner, word) == word
    return told


def csv_rows(server: Serving) -> Read:
    position, body = got(server, "/api/v2/evses.csv")
    rows = csv.DictReader(io.StringIO(body.decode(), newline=""))
    return Read(position, {key(row["evse"]): row["status"] for row in rows})


def json_lines(server: Serving) -> Read:
    position, body = got(server, "/api/v2/evses.ndjson")
    found = map(json.loads, body.splitlines())
    return Read(position, {key(each["evse"]): each["status"] for each in found})


def rest_pages(server: Serving) -> Read:
    told: Told = {}
    path = "/api/v2/evses?limit=100"
    while True:
        page = server.get(path).json()
        told |= {key(each["evse"]): each["status"] for each in page["items"]}
        if page["next"] is None:
            return Read(page["position"], told)
        path = f"/api/v2/evses?limit=100&cursor={page['next']}"


def stream_2(server: Serving) -> Read:
    told: Told = {}
    url = f"ws://127.0.0.1:{server.port}/api/v2/stream"
    with connect(url, additional_headers=server.bearer(), open_timeout=DEADLINE_S) as consumer:
        while True:
            message = json.loads(consumer.recv(timeout=DEADLINE_S))
            if message["type"] == "snapshot":
                told |= {key(each["evse"]): each["status"] for each in message["evses"]}
                if message["part"] == message["parts"]:
                    return Read(f"{message['epoch']}-{message['seq']}", told)


def of_connectors(server: Serving, stations: Sequence[Mapping[str, Any]]) -> Told:
    """What version 1 says of connectors, by the EVSEs that they belong to, which it does not name."""
    view = server.app.reader.view
    told: Told = {}
    for each in stations:
        record = view.directory.stations[each["uuid"]]
        state = view.get(each["uuid"])
        assert state is not None
        shown = [
            outlet
            for outlet in record.outlets
            if state.changes[record.evses[outlet.evse].key].change.status not in HIDDEN
        ]
        for outlet, connector in zip(shown, each["connectors"], strict=True):
            told[key(record.evses[outlet.evse].name)] = f"{connector['status']}/{connector['error']}"
    return told


def rest_1(server: Serving) -> Read:
    answer = server.get("/api/v1/rest/chargers")
    return Read(answer.headers["etag"].strip('"'), of_connectors(server, answer.json()))


def stream_1(server: Serving) -> Read:
    with server.stream() as wire:
        message = wire.message()
    assert message["type"] == "snapshot:init"
    return Read(f"{message['epoch']}-{message['seq']}", of_connectors(server, message["data"]))


# -- words -----------------------------------------------------------------------------------------------------

OWN: Final = {status: status.value for status in Status}
PAIRS: Final = {
    Status.AVAILABLE: "0/0",
    Status.BLOCKED: "1/0",
    Status.CHARGING: "1/0",
    Status.RESERVED: "1/0",
    Status.INOPERATIVE: "-1/1",
    Status.OUTOFORDER: "-1/1",
    Status.UNKNOWN: "-1/0",
}
OICP: Final = {
    Status.AVAILABLE: "Available",
    Status.BLOCKED: "Occupied",
    Status.CHARGING: "Occupied",
    Status.RESERVED: "Reserved",
    Status.INOPERATIVE: "OutOfService",
    Status.OUTOFORDER: "OutOfService",
    Status.UNKNOWN: "Unknown",
}
IRVE: Final = {
    Status.AVAILABLE: "en_service/libre",
    Status.BLOCKED: "en_service/occupe",
    Status.CHARGING: "en_service/occupe",
    Status.RESERVED: "en_service/reserve",
    Status.INOPERATIVE: "hors_service/inconnu",
    Status.OUTOFORDER: "hors_service/inconnu",
    Status.UNKNOWN: "inconnu/inconnu",
}
DATEX: Final = {
    Status.AVAILABLE: "available",
    Status.BLOCKED: "blocked",
    Status.CHARGING: "charging",
    Status.RESERVED: "reserved",
    Status.INOPERATIVE: "inoperative",
    Status.OUTOFORDER: "outOfOrder",
    Status.UNKNOWN: "unknown",
}
NOBIL: Final = {
    Status.AVAILABLE: "0/0",
    Status.BLOCKED: "1/0",
    Status.CHARGING: "1/0",
    Status.RESERVED: "2/0",
    Status.INOPERATIVE: "/1",
    Status.OUTOFORDER: "/1",
    Status.UNKNOWN: "/",
}
READERS: Final[Mapping[str, Reader]] = {
    "version 1, REST": Reader(rest_1, PAIRS),
    "version 1, stream": Reader(stream_1, PAIRS),
    "version 2, REST": Reader(rest_pages, OWN),
    "version 2, stream": Reader(stream_2, OWN),
    "evses.csv": Reader(csv_rows, OWN),
    "evses.ndjson": Reader(json_lines, OWN),
    "NOBIL Real-time": Reader(realtime, OWN, "nobil_realtime"),
    "NOBIL, dump, JSON": Reader(nobil_json, NOBIL, "nobil_v3_json"),
    "NOBIL, dump, XML": Reader(nobil_xml, NOBIL, "nobil_v3_xml"),
    "IRVE": Reader(irve_rows, IRVE, "irve_dynamique"),
    "OICP, file": Reader(oicp_file, OICP, "oicp"),
    "OICP, pulled statuses": Reader(oicp_statuses, OICP, "oicp_pull"),
    "OICP, pulled stations": Reader(oicp_records, None, "oicp_data"),
    "OCPI 2.1.1": Reader(ocpi_pages("2.1.1"), OWN, "ocpi_2.1.1"),
    "OCPI 2.2.1": Reader(ocpi_pages("2.2.1"), OWN, "ocpi_2.2.1"),
    "OCPI 2.3.0": Reader(ocpi_pages("2.3.0"), OWN, "ocpi_2.3.0"),
    "DATEX II, statuses, JSON": Reader(datex_status("json"), DATEX, "datex2_status_json"),
    "DATEX II, statuses, XML": Reader(datex_status("xml"), DATEX, "datex2_status_xml"),
    "DATEX II, table, JSON": Reader(datex_points("json"), None, "datex2_table_json"),
    "DATEX II, table, XML": Reader(datex_points("xml"), None, "datex2_table_xml"),
}
"""Each output that tells EVSEs one by one."""


@pytest.mark.parametrize("name", READERS)
def test_an_output_tells_what_is_on_the_board_or_counts_it(server: Serving, name: str) -> None:
    reader, held = READERS[name], board(server)
    shown = {evse: status for evse, status in held.items() if status not in HIDDEN}
    assert set(held.values()) == set(Status)
    position, told = reader.read(server)
    assert position == str(server.app.reader.view.position)
    assert set(told) <= set(shown)
    left_out = 0
    if reader.tally:
        reports = {
            each["output"]: each for each in server.get("/api/v2/admin/outputs", key="admin").json()["items"]
        }
        counts = Counter(reports[reader.tally]["left_out"])
        assert counts.pop("planned_or_removed", len(held) - len(shown)) == len(held) - len(shown)
        left_out = sum(counts.values())
        assert reports[reader.tally]["position"] == position
    assert len(told) + left_out == len(shown)
    if reader.words is None:
        return
    expected = {evse: reader.words[shown[evse]] for evse in told}
    if reader.words is PAIRS:
        # Version 1 has the error that was reported beside a status, too.
        faulty = with_error(server)
        expected = {evse: f"{pair[:-1]}1" if evse in faulty else pair for evse, pair in expected.items()}
    if reader.words is NOBIL:
        faulty = with_error(server)
        expected |= {evse: f"{expected[evse].partition('/')[0]}/1" for evse in faulty & set(expected)}
    # What only says that it is in use is not said to charge.
    if reader.words is DATEX and key(FIRST) in expected:
        expected[key(FIRST)] = "occupied"
    assert told == expected


def test_the_three_ways_in_are_in_what_is_told(server: Serving) -> None:
    held = board(server)
    assert (held[key(FIRST)], held[key(OVER_OCPI)]) == (Status.CHARGING, Status.BLOCKED)
    assert len(held) == sum(len(draft.station.evses) for draft in (*WORLD, *french()))


def test_the_map_has_the_same_numbers(server: Serving) -> None:
    shown = Counter(status for status in board(server).values() if status not in HIDDEN)
    features = server.get("/api/v2/stations.geojson").json()["features"]
    counted: Counter[str] = Counter()
    for each in features:
        counted.update({status.value: each["properties"][status.value.lower()] for status in shown})
    assert counted == Counter({status.value: number for status, number in shown.items()})
    rows = csv.DictReader(io.StringIO(server.get("/api/v2/stations.csv").text, newline=""))
    assert [row["uuid"] for row in rows] == [each["id"] for each in features]


# -- bad input -------------------------------------------------------------------------------------------------

DOCUMENTS: Final = (
    "/api/v2/stations.geojson",
    "/api/v2/stations.csv",
    "/api/v2/evses.csv",
    "/api/v2/evses.ndjson",
    "/api/oicp/status.json",
    "/datex2/v3/table.json",
    "/datex2/v3/table.xml",
    "/datex2/v3/status.json",
    "/datex2/v3/status.xml",
    "/irve/dynamique.csv",
)
ASKED_AT_ONCE: Final = 1_000


@pytest.mark.parametrize("path", DOCUMENTS)
def test_contradicting_filters_give_nothing_and_other_methods_are_refused(server: Serving, path: str) -> None:
    empty = server.get(f"{path}?country=SWE&station=NOR_01333")
    assert empty.status_code == 200
    assert "1333" not in empty.text
    for query in (
        "?evse=*",
        "?status=FREE",
        "?bbox=1,2,3",
        "?limit=1",
        "?country=NOR&country=SWE",
        "?min_kw=nan",
    ):
        answer = server.get(f"{path}{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_filter"), query
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = server.request(method, path, headers=server.bearer(), content=b"x" * 10_000)
        assert answer.status_code == 405
        assert {each.strip() for each in answer.headers["allow"].split(",")} == {"GET", "HEAD", "OPTIONS"}
    body = server.request("GET", path, headers=server.bearer(), content=b"{" * 10_000)
    assert body.status_code == 200


def test_a_thousand_who_ask_at_once_get_documents_that_were_made_once(
    server: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ladestrom.edges.documents.INTERVAL_S_MIN", 1e9)
    documents = server.app.reader.documents
    server.call(documents._kept.clear)
    before = {name: tally.made for name, tally in documents.tallies.items()}
    wires = []
    for number in range(ASKED_AT_ONCE):
        wire = socket.create_connection(("127.0.0.1", server.port), DEADLINE_S)
        path = DOCUMENTS[number % len(DOCUMENTS)]
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Api-Key: {server.keys['stream']}\r\n"
        packing = "Accept-Encoding: gzip\r\n" if number % 3 else ""
        wire.sendall(f"{head}{packing}Connection: close\r\n\r\n".encode())
        wires.append(wire)
    answers: dict[str, set[bytes]] = {path: set() for path in DOCUMENTS}
    for number, wire in enumerate(wires):
        answer = b""
        while piece := wire.recv(1 << 20):
            answer += piece
        wire.close()
        status, _, body = answer.partition(b"\r\n\r\n")
        assert status.startswith(b"HTTP/1.1 200"), status
        plain = gzip.decompress(body) if b"content-encoding: gzip" in status else body
        answers[DOCUMENTS[number % len(DOCUMENTS)]].add(plain)
    assert {path: len(bodies) for path, bodies in answers.items()} == dict.fromkeys(DOCUMENTS, 1)
    made = [tally.made - before.get(name, 0) for name, tally in documents.tallies.items()]
    assert list(filter(None, made)) == [1] * len(DOCUMENTS)
