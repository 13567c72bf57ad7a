"""DATEX II from outside: what is published is read back, deltas are enough, and what cannot be said is refused."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import msgspec
import pytest
from tests.datex2 import SCHEMAS, fault
from tests.e2e.serving import STATIONS, Serving
from tests.patience import DEADLINE_S

from ladestrom.core import records
from ladestrom.edges import documents
from ladestrom.model import Connector, Outlet, Station, Status
from ladestrom.ports.registry import StationDraft
from ladestrom.protocols import datex2 as protocol
from ladestrom.protocols.delivery import ParseLimits
from ladestrom.registers import datex2 as register

LIMITS: Final = ParseLimits()
FORMS: Final = ("json", "xml")
E1, E2, E3 = "NO*ALF*E1333*1", "NO*ALF*E1333*2", "NO*ALF*E1342"
AT: Final = 1_700_000_000_000
NAMES: Final = {
    E1,
    E2,
    E3,
    "NOR_01523_01",
    "NOR_01523_02",
    "SE*BET*E7*1",
    "DK*BET*E11*1",
}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    # Each request gets what is true now; how often documents are made is tested elsewhere.
    monkeypatch.setattr(documents, "INTERVAL_S_MIN", 0.0)
    monkeypatch.setattr(documents, "MAKING_SHARE", 0.0)
    settings = {"registry.publisher": "NO-NAP-HUB", "registry.publisher_country": "NO"}
    with Serving(tmp_path, settings) as running:
        running.report(
            {"evse": E1, "status": "CHARGING", "observed_at": AT},
            {"evse": E2, "status": "OUTOFORDER", "observed_at": AT},
        )
        running.settled()
        yield running


def status(server: Serving, form: str, query: str = "", **options: Any) -> httpx2.Response:
    answer = server.get(f"/datex2/v3/status.{form}{query}", **options)
    assert answer.status_code == 200, answer.text
    return answer


def heard(answer: httpx2.Response) -> dict[str, Status]:
    """What our own reader makes of statuses."""
    delivery = protocol.receive(answer.content, "us", LIMITS)
    assert delivery.refused == []
    made = {report.evse: report.status for report in delivery.reports}
    assert len(made) == len(delivery.reports)
    return made


def stations(server: Serving, form: str, query: str = "") -> dict[str, Station]:
    """What our own reader makes of the table."""
    answer = server.get(f"/datex2/v3/table.{form}{query}")
    assert answer.status_code == 200, answer.text
    drafts = list(register.parse([answer.content]))
    assert all(isinstance(draft, StationDraft) for draft in drafts), drafts
    return {draft.station.native_id: draft.station for draft in drafts if isinstance(draft, StationDraft)}


def since(answer: httpx2.Response) -> str:
    return f"?since={answer.headers['ladestrom-position']}"


def renew(server: Serving, *records_: Station) -> None:
    """The register has other records of some stations."""
    uuids = {record.uuid for record in records_}
    others = [draft for draft in STATIONS if draft.station.uuid not in uuids]
    server.import_stations([*map(StationDraft, records_), *others])
    server.in_step()


def record(uuid: str) -> Station:
    return next(draft.station for draft in STATIONS if draft.station.uuid == uuid)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_published_is_read_back(server: Serving, form: str) -> None:
    made = heard(status(server, form))
    assert made == {**dict.fromkeys(NAMES, Status.UNKNOWN), E1: Status.CHARGING, E2: Status.OUTOFORDER}
    found = stations(server, form)
    assert {evse.evse_id or evse.uid for station in found.values() for evse in station.evses} == NAMES
    assert found["NOR_01333"].operator == "Alfa Lading"


@pytest.mark.parametrize("form", FORMS)
def test_it_is_valid(server: Serving, shared: Path, form: str) -> None:
    if not (shared / SCHEMAS).is_dir():
        pytest.skip("the schemas of DATEX II are not here")
    before = status(server, form)
    assert fault(shared, "status", before.content) is None
    assert fault(shared, "table", server.get(f"/datex2/v3/table.{form}").content) is None
    assert fault(shared, "status", status(server, form, since(before)).content) is None
    server.report({"evse": E1, "status": "AVAILABLE", "error": 1, "observed_at": AT + 1_000})
    server.settled()
    assert fault(shared, "status", status(server, form, since(before)).content) is None


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["table", "status"])
def test_what_a_consumer_has_is_not_sent_again(server: Serving, kind: str, form: str) -> None:
    path = f"/datex2/v3/{kind}.{form}"
    before = server.get(path)
    assert before.headers["content-type"].startswith(f"application/{form}")
    tag = {"If-None-Match": before.headers["etag"]}
    assert server.get(path, headers=tag).status_code == 304
    server.report({"evse": E1, "status": "CHARGING", "observed_at": AT + 5_000})
    server.settled()
    assert server.get(path, headers=tag).status_code == 304, "a confirmation changes nothing"
    server.report({"evse": E1, "status": "AVAILABLE", "observed_at": AT + 6_000})
    server.settled()
    assert server.get(path, headers=tag).status_code == (200 if kind == "status" else 304)


@pytest.mark.parametrize("form", FORMS)
def test_filters_choose(server: Serving, form: str) -> None:
    assert heard(status(server, form, "?country=SE,DK")) == dict.fromkeys(
        ("SE*BET*E7*1", "DK*BET*E11*1"), Status.UNKNOWN
    )
    assert heard(status(server, form, "?status=CHARGING")) == {E1: Status.CHARGING}
    assert list(stations(server, form, "?operator=Alfa+Lading")) == ["NOR_01333"]


def test_a_station_without_powers_is_in_neither_and_counted(server: Serving) -> None:
    bare = record("NOR_01342")
    renew(server, msgspec.structs.replace(bare, outlets=(Outlet(0, Connector("UNKNOWN")),)))
    for form in FORMS:
        assert E3 not in heard(status(server, form))
        assert "NOR_01342" not in stations(server, form)
    tallies = server.app.reader.documents.tallies
    for name in ("datex2_table_json", "datex2_table_xml", "datex2_status_json", "datex2_status_xml"):
        assert tallies[name].left_out.counts == {"no_power": 1}


@pytest.mark.parametrize("form", FORMS)
class TestDeltas:
    def test_it_has_what_changed_and_nothing_else(self, server: Serving, form: str) -> None:
        before = status(server, form)
        assert heard(status(server, form, since(before))) == {}
        server.report({"evse": E1, "status": "AVAILABLE", "observed_at": AT + 1_000})
        server.settled()
        after = status(server, form, since(before))
        assert heard(after) == {E1: Status.AVAILABLE}
        assert heard(status(server, form, since(after))) == {}
        delivery = protocol.receive(after.content, "us", LIMITS)
        assert delivery.exchange is not None
        assert delivery.exchange.protocol == "deltaPull"
        assert not delivery.complete

    def test_it_names_its_position_and_is_sent_once(self, server: Serving, form: str) -> None:
        before = status(server, form)
        server.report({"evse": E1, "status": "AVAILABLE", "observed_at": AT + 1_000})
        server.settled()
        after = status(server, form, since(before))
        position = after.headers["ladestrom-position"]
        assert position == str(server.app.reader.view.position)
        assert position.encode() in after.content
        assert after.headers["last-modified"]
        path = f"/datex2/v3/status.{form}{since(before)}"
        assert server.get(path, headers={"If-None-Match": after.headers["etag"]}).status_code == 304
        server.report({"evse": E1, "status": "CHARGING", "observed_at": AT + 2_000})
        server.settled()
        assert server.get(path, headers={"If-None-Match": after.headers["etag"]}).status_code == 200

    def test_a_removed_evse_is_told_once(self, server: Serving, form: str) -> None:
        before = status(server, form)
        server.report({"evse": E1, "status": "REMOVED", "observed_at": AT + 1_000})
        server.settled()
        after = status(server, form, since(before))
        assert heard(after) == {E1: Status.REMOVED}
        assert E1 not in heard(status(server, form))
        assert heard(status(server, form, since(after))) == {}

    def test_so_is_one_that_left_its_register(self, server: Serving, form: str) -> None:
        before = status(server, form)
        gone = [draft for draft in STATIONS if draft.station.uuid != "NOR_01342"]
        server.import_stations(gone)
        server.in_step()
        after = status(server, form, since(before))
        assert heard(after)[E3] is Status.REMOVED
        assert heard(status(server, form, since(after))) == {}
        assert "NOR_01342" not in stations(server, form)

    def test_a_planned_one_is_told_as_planned(self, server: Serving, form: str) -> None:
        before = status(server, form)
        server.report({"evse": E1, "status": "PLANNED", "observed_at": AT + 1_000})
        server.settled()
        assert heard(status(server, form, since(before))) == {E1: Status.PLANNED}

    def test_another_record_has_all_of_its_evses_told_with_its_revision(
        self, server: Serving, form: str
    ) -> None:
        before = status(server, form)
        renew(server, msgspec.structs.replace(record("NOR_01333"), name="Elsewhere"))
        after = status(server, form, since(before))
        assert heard(after) == {E1: Status.CHARGING, E2: Status.OUTOFORDER}
        revision = server.app.reader.view.records["NOR_01333"].seq
        assert f'"{revision}"'.encode() in after.content

    def test_what_left_a_selection_is_removed_from_it(self, server: Serving, form: str) -> None:
        chosen = "operator=Alfa+Lading"
        before = status(server, form, f"?{chosen}")
        assert heard(before) == {E1: Status.CHARGING, E2: Status.OUTOFORDER}
        renew(server, msgspec.structs.replace(record("NOR_01333"), operator="Beta Laddning"))
        left = status(server, form, f"{since(before)}&{chosen}")
        assert heard(left) == dict.fromkeys((E1, E2), Status.REMOVED)
        beta = status(server, form, f"{since(before)}&operator=Beta+Laddning")
        assert heard(beta) == {E1: Status.CHARGING, E2: Status.OUTOFORDER}

    def test_what_lost_its_powers_is_removed(self, server: Serving, form: str) -> None:
        before = status(server, form)
        bare = record("NOR_01342")
        renew(server, msgspec.structs.replace(bare, outlets=(Outlet(0, Connector("UNKNOWN")),)))
        assert heard(status(server, form, since(before))) == {E3: Status.REMOVED}

    def test_with_a_filter_on_statuses_what_left_it_is_told_as_it_is(
        self, server: Serving, form: str
    ) -> None:
        before = status(server, form, "?status=CHARGING")
        server.report({"evse": E1, "status": "AVAILABLE", "observed_at": AT + 1_000})
        server.settled()
        assert heard(status(server, form, f"{since(before)}&status=CHARGING")) == {E1: Status.AVAILABLE}

    def test_of_a_position_that_the_log_has_no_more_it_is_as_good(self, server: Serving, form: str) -> None:
        before = status(server, form)
        for number, word in enumerate(["AVAILABLE", "CHARGING", "REMOVED"]):
            server.report({"evse": E1, "status": word, "observed_at": AT + 1_000 + number})
        server.settled()
        _trim(server)
        position = before.headers["ladestrom-position"]
        assert server.app.log.first > int(position.rpartition("-")[2]) + 1
        assert heard(status(server, form, since(before))) == {E1: Status.REMOVED}

    def test_it_is_packed_for_who_takes_it_so(self, server: Serving, form: str) -> None:
        before = status(server, form)
        renew(server, *(msgspec.structs.replace(draft.station, name="Else") for draft in STATIONS))
        headers = {"Accept-Encoding": "gzip"}
        with httpx2.Client(timeout=DEADLINE_S) as client:
            url = f"{server.url}/datex2/v3/status.{form}{since(before)}"
            with client.stream("GET", url, headers={**server.bearer(), **headers}) as answer:
                raw = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == "gzip"
        assert set(heard(httpx2.Response(200, content=gzip.decompress(raw)))) == NAMES

    @pytest.mark.parametrize(
        ("position", "code", "problem"),
        [
            ("otherepoch-1", 410, "position_lost"),
            ("{epoch}-999999", 410, "position_lost"),
            ("yesterday", 400, "invalid_position"),
        ],
    )
    def test_a_position_that_is_not_known_is_refused(
        self, server: Serving, form: str, position: str, code: int, problem: str
    ) -> None:
        asked = position.format(epoch=server.app.reader.view.epoch)
        answer = server.get(f"/datex2/v3/status.{form}?since={asked}")
        assert (answer.status_code, answer.json()["code"]) == (code, problem)

    def test_so_is_one_since_when_too_much_of_stations_is_forgotten(
        self, server: Serving, form: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(records, "FORMER_MAX", 2)
        before = status(server, form)
        for operator in ("Beta Laddning", "Third", "Fourth", "Fifth"):
            renew(server, msgspec.structs.replace(record("NOR_01333"), operator=operator))
        answer = server.get(f"/datex2/v3/status.{form}{since(before)}&operator=Alfa+Lading")
        assert (answer.status_code, answer.json()["code"]) == (410, "position_lost")
        assert set(heard(status(server, form, since(before)))) == {E1, E2}

    def test_filters_by_features_are_for_the_whole(self, server: Serving, form: str) -> None:
        before = status(server, form, "?connector=ccs&min_kw=150")
        assert set(heard(before)) == NAMES
        answer = server.get(f"/datex2/v3/status.{form}{since(before)}&connector=ccs")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_filter")

    def test_it_has_no_place_on_a_table(self, server: Serving, form: str) -> None:
        answer = server.get(f"/datex2/v3/table.{form}?since=abc-1")
        assert answer.json()["code"] == "invalid_filter"


def _trim(server: Serving) -> None:
    """Has the log drop everything that it may."""

    async def drop() -> None:
        await server.app.writer.checkpoints.take()
        server.log._retention_bytes = 0
        await server.app.log.trim()

    asyncio.run_coroutine_threadsafe(drop(), server._loop).result(DEADLINE_S)
