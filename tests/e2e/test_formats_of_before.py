"""A data directory that an earlier program wrote is opened by this one, and its board is the same.

`golden/formats/1` is what the first format's program left after a crash, as SQL: a checkpoint, entries after it,
a source that signed off, and a confirmation that only the checkpoint has. `expected.json` is the board that the
program of then recovered from it, and what it served.

`golden/formats/2` is of the last program whose log had no records of stations: one was given to another operator and
one left its register.

`golden/formats/1-taken` is of a program that let operators describe EVSEs with whatever EVSE id was free, and that
took uids for EVSE ids: `expected.json` is what consumers of version 2 had then.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import apsw
import msgspec
import pytest
from tests.e2e.following import Follower, State, listed, settled
from tests.e2e.serving import OPERATORS, STATIONS, Fold, Serving, evse, station, write
from tests.e2e.test_names import Operator as Speaker
from tests.e2e.test_names import point

from ladestrom.backends import backup, log_rows
from ladestrom.backends.log_rows import FORMAT
from ladestrom.backends.sql import SqlStore
from ladestrom.backends.sqlite import SqliteLog
from ladestrom.cli.doctor import Level, examine
from ladestrom.client.v2_session import V2Session
from ladestrom.config import load
from ladestrom.core.digests import wire_key
from ladestrom.core.records import shared
from ladestrom.errors import LogFailure
from ladestrom.model import Operator, Position, Reading, Station
from ladestrom.ports.charge_points import ChargePoint
from ladestrom.ports.log import BoardRow, Recovered, StationRow
from ladestrom.ports.registry import StationDraft

FORMATS = Path(__file__).resolve().parents[1] / "golden" / "formats"
SAMPLE, WITHOUT_RECORDS, TAKEN = FORMATS / "1", FORMATS / "2", FORMATS / "1-taken"
EXPECTED: dict[str, Any] = json.loads((SAMPLE / "expected.json").read_bytes())
HAD: dict[str, Any] = json.loads((WITHOUT_RECORDS / "expected.json").read_bytes())
GIVEN = StationDraft(msgspec.structs.replace(STATIONS[0].station, operator="Beta Laddning"))
AS_LEFT = (GIVEN, *STATIONS[1:])
"""The stations of the registry of the second format's program."""
GONE = "NOR_02001"


def left_by(sample: Path, directory: Path) -> Path:
    """The data directory, as the program of then left it."""
    made = directory / "data"
    made.mkdir()
    for name in ("log", "store"):
        connection = apsw.Connection(str(made / f"{name}.db"))
        connection.execute((sample / f"{name}.sql").read_text())
        connection.close()
    return made


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return left_by(SAMPLE, tmp_path)


def told(row: BoardRow) -> dict[str, object]:
    change = row.change
    return {
        "seq": row.seq,
        "station": change.station,
        "status": change.status.value,
        "error": change.error,
        "changed_at": change.changed_at,
        "observed_at": row.observed_at,
        "source": row.source,
        "cause": change.cause.value,
    }


def test_the_sample_is_of_an_earlier_format() -> None:
    assert "VALUES('format',1)" in (SAMPLE / "log.sql").read_text()
    assert FORMAT > 1
    causes = {row["cause"] for row in EXPECTED["rows"].values()}
    assert causes == {"registered", "reported", "withdrawn"}


def test_the_log_of_before_gives_the_same_board_evse_by_evse(data: Path) -> None:
    async def recovered() -> tuple[dict[str, object], Position]:
        log = await SqliteLog.open(data / "log.db")
        try:
            return {row.change.evse: told(row) for row in (await log.recover()).rows}, log.last
        finally:
            await log.close()

    for _ in range(2):
        # The second time it has been written by this program.
        rows, position = asyncio.run(recovered())
        assert rows == EXPECTED["rows"]
        assert str(position) == EXPECTED["position"]


def test_the_store_of_before_gives_the_same_stations_and_operators(data: Path) -> None:
    async def read(store: SqlStore) -> tuple[list[Station], list[Operator]]:
        return list((await store.registry_since(0)).stations), list(await store.operators())

    stations, operators = write(data, read)
    assert {station.uuid for station in stations} == {draft.station.uuid for draft in STATIONS}
    by_uuid = {station.uuid: station for station in stations}
    for draft in STATIONS:
        found, meant = by_uuid[draft.station.uuid], draft.station
        assert (found.name, found.country, found.operator) == (meant.name, meant.country, meant.operator)
        assert [evse.evse_id for evse in found.evses] == [evse.evse_id for evse in meant.evses]
        assert found.outlets == meant.outlets
    assert sorted(operators, key=lambda each: each.name) == list(OPERATORS)


def test_a_server_goes_on_where_the_program_of_before_ended(data: Path) -> None:
    with Serving(data.parent) as server:
        assert str(server.app.log.last) == EXPECTED["position"], "starting decides nothing"
        assert {key: told(row) for key, row in server.app.writer.board.cells.items()} == EXPECTED["rows"]
        assert server.get("/api/v1/rest/chargers").json() == EXPECTED["chargers"]
        with server.stream(f"since={EXPECTED['position']}") as wire:
            lost = EXPECTED["rows"]["SEBETE71"]
            again = {"evse": "SE*BET*E7*1", "status": "CHARGING", "observed_at": lost["observed_at"] - 1_000}
            assert server.report(again, key="beta")["accepted"] == 1, "the status that was lost, told again"
            assert wire.message()["data"]["uuid"] == "SWE_00007"
        held = EXPECTED["rows"]["NOALFE13331"]
        again = {"evse": "NO*ALF*E1333*1", "status": "CHARGING", "observed_at": held["observed_at"] - 1}
        assert server.report(again)["stale"] == 1, "an older word"
        server.stop()
        before = {key: told(row) for key, row in server.app.writer.board.cells.items()}
        server.start()
        assert {key: told(row) for key, row in server.app.writer.board.cells.items()} == before


# -- a log without records of stations ---------------------------------------------------------------------


@pytest.fixture
def without_records(tmp_path: Path) -> Path:
    return left_by(WITHOUT_RECORDS, tmp_path)


def format_of(data: Path) -> object:
    connection = apsw.Connection(str(data / "log.db"), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        ((found,),) = connection.execute("SELECT value FROM meta WHERE name = 'format'").fetchall()
        return found
    finally:
        connection.close()


def is_read_by_the_program_of_then(data: Path) -> bool:
    connection = apsw.Connection(str(data / "log.db"))
    try:
        with patch.object(log_rows, "FORMATS_READ", frozenset({1, 2})):
            log_rows.check_format(connection, "log.db")
    except LogFailure as error:
        return f"has format {FORMAT}" not in str(error)
    finally:
        connection.close()
    return True


def rows_of(server: Serving) -> dict[str, StationRow]:
    return dict(server.app.reader.view.records)


def test_a_log_without_records_gets_those_of_the_registry_at_its_first_start_and_loses_nothing(
    without_records: Path,
) -> None:
    assert is_read_by_the_program_of_then(without_records)
    with Serving(without_records.parent, stations=AS_LEFT) as server:
        assert str(server.app.log.last) == HAD["position"], "starting decides nothing"
        assert {key: told(row) for key, row in server.app.writer.board.cells.items()} == HAD["rows"]
        assert server.get("/api/v1/rest/chargers").json() == HAD["chargers"]
        assert {name: list(state) for name, state in listed(server).items()} == HAD["evses"]
        found = rows_of(server)
        assert {row.seq for row in found.values()} == {0}
        assert found.keys() == {*(draft.station.uuid for draft in AS_LEFT), GONE}
        assert found[GONE].station.vanished_at is not None
        assert found["NOR_01333"].station.operator == "Beta Laddning"
        assert not server.app.log.lacks_stations
        server.stop()
        assert not is_read_by_the_program_of_then(without_records)
        server.start()
        assert str(server.app.log.last) == HAD["position"], "the second start decides nothing either"
        assert rows_of(server) == found
        assert {key: told(row) for key, row in server.app.writer.board.cells.items()} == HAD["rows"]


def test_stations_that_changed_while_no_program_ran_are_told_after_the_log_was_taken_over(
    without_records: Path,
) -> None:
    # The first start finds Alfa Lading again as the operator, of which the log knows nothing.
    with Serving(without_records.parent) as server:
        session = V2Session({"operator": "Beta Laddning"}, batch_ms=0, since=Position.parse(HAD["position"]))
        with Follower(server, session=session) as follower:
            follower.synced().confirmed(server)
            assert "NO*ALF*E1333*1" not in follower.board
            assert server.report({"evse": "SE*BET*E7*1", "status": "AVAILABLE"}, key="beta")["accepted"] == 1
            follower.confirmed(server)
        with server.stream(f"operator=Beta+Laddning&since={HAD['position']}") as wire:
            first = wire.message()
            assert first["type"] == "snapshot:init"
            assert {each["uuid"] for each in first["data"]} == {"SWE_00007"}
        server.stop()
        server.start()
        with Follower(server, session=session) as again:
            again.confirmed(server)
            assert "snapshot" not in {each["type"] for each in again.told}, "that was once"


@pytest.mark.parametrize("since", ["before", "position"])
def test_who_takes_everything_resumes_over_the_take_over(without_records: Path, since: str) -> None:
    with Serving(without_records.parent, stations=AS_LEFT) as server:
        session = V2Session(batch_ms=0, since=Position.parse(HAD[since]))
        with Follower(server, session=session) as follower, server.stream(f"since={HAD[since]}") as wire:
            fold = Fold()
            fold.epoch, fold.seq = HAD[since].split("-")[0], int(HAD[since].split("-")[1])
            moved = server.report({"evse": "SE*BET*E7*1", "status": "AVAILABLE"}, key="beta")["position"]
            follower.reach(settled(server))
            assert "snapshot" not in {each["type"] for each in follower.told}
            fold.follow(wire, Position.parse(moved).seq)
            now_has = server.board()[0]
            assert all(now_has[uuid] == station for uuid, station in fold.board.items())
            assert {row["evse"] for row in follower.changes} <= {
                "SE*BET*E7*1",
                *HAD["evses"],
                "NO*ALF*E2001*1",
            }


def test_a_take_over_that_was_cut_off_begins_anew(without_records: Path) -> None:
    station = AS_LEFT[0].station

    class Killed(Exception):
        pass

    def cut_off() -> Iterator[StationRow]:
        yield from [StationRow(14, msgspec.structs.replace(station, uuid=f"NOR_{n:05d}")) for n in range(500)]
        raise Killed

    async def adopted(rows: Iterable[StationRow]) -> Recovered:
        log = await SqliteLog.open(without_records / "log.db")
        try:
            assert log.lacks_stations
            assert str(log.last) == HAD["position"]
            found = await log.recover()
            assert found.stations == []
            with suppress(Killed):
                await log.adopt(rows)
            assert {row.change.evse: told(row) for row in found.rows} == HAD["rows"]
            return await log.recover()
        finally:
            await log.close()

    for _ in range(2):
        asyncio.run(adopted(cut_off()))
        assert format_of(without_records) == 2
        assert is_read_by_the_program_of_then(without_records)
    found = asyncio.run(adopted([StationRow(14, station)]))
    assert (found.stations, format_of(without_records)) == ([shared(StationRow(14, station))], FORMAT)


@pytest.mark.parametrize("taken_over", [False, True])
def test_doctor_and_backup_read_a_log_before_and_after_it_was_taken_over(
    without_records: Path, tmp_path: Path, taken_over: bool
) -> None:
    if taken_over:
        with Serving(without_records.parent, stations=AS_LEFT):
            pass
    settings = load(None, {}, {"server.data": str(without_records)}).settings
    checks = {check.name: check for check in examine(settings)}
    assert checks["log.db"].level is Level.OK
    assert checks["log.db"].found.startswith(f"version {FORMAT if taken_over else 2},")
    manifest = backup.make(without_records, tmp_path / "backup")
    assert (manifest.position, manifest.log.format) == (HAD["position"], FORMAT if taken_over else 2)
    restored = tmp_path / "elsewhere" / "data"
    restored.parent.mkdir()
    _, epoch = backup.restore(tmp_path / "backup", restored)
    with Serving(restored.parent, stations=AS_LEFT) as server:
        assert str(server.app.log.last) == f"{epoch}-{Position.parse(HAD['position']).seq}"
        assert {name: list(state) for name, state in listed(server).items()} == HAD["evses"]
        assert rows_of(server)[GONE].station.vanished_at is not None


# -- EVSE ids that were taken --------------------------------------------------------------------------------

VICTIM, STRANGERS = "NO*ALF*E2000*1", "NOR_900001_01"
DIN, STRANGERS_SECOND = "49*810*000*438", "NOR_900001_02"
UID, BY_UID = "123e4567-e89b-42d3-a456-426614174000", "NOR_03000_01"
BEFORE = (*STATIONS, station("NOR_03000", "NOR", (10.6, 59.8), [evse(None, uid=UID, party="NOALF")]))
OWNERS = (*BEFORE, station("NOR_02000", "NOR", (10.7, 59.9), [evse(VICTIM, party="NOALF")]))


@pytest.fixture
def taken(tmp_path: Path) -> Path:
    return left_by(TAKEN, tmp_path)


class Mirror:
    """What a consumer has that followed the program of then, and resumes where it stood."""

    def __init__(self) -> None:
        had = json.loads((TAKEN / "expected.json").read_bytes())
        self.since = Position.parse(had["position"])
        self.board: dict[str, State] = {wire_key(name): tuple(state) for name, state in had["evses"].items()}

    def resumed(self, server: Serving) -> dict[str, str]:
        """Statuses by name, once it is in step with the server; fails where they are not the server's."""
        with Follower(server, session=V2Session(batch_ms=0, since=self.since)) as follower:
            follower.reach(settled(server))
        for row in follower.changes:
            self.board.pop(wire_key(row["evse"]), None)
            if row["status"] != "REMOVED":
                state = (row["station"], row["status"], row["error"], row["changed_at"])
                self.board[wire_key(row["evse"])] = state
        assert follower.session.position is not None
        self.since = follower.session.position
        true = listed(server)
        assert self.board == {wire_key(name): state for name, state in true.items()}
        return {name: state[1] for name, state in true.items()}


def test_the_sample_has_ids_that_a_stranger_took() -> None:
    had = json.loads((TAKEN / "expected.json").read_bytes())["evses"]
    assert {name: had[name][0] for name in (VICTIM, DIN, UID)} == {
        VICTIM: "NOR_900001",
        DIN: "NOR_900001",
        UID: "NOR_03000",
    }


def test_an_id_that_a_stranger_took_is_free_after_the_upgrade_and_its_owner_gets_it(taken: Path) -> None:
    mirror = Mirror()
    with Serving(taken.parent, stations=BEFORE) as server:
        found = mirror.resumed(server)
        assert found.keys().isdisjoint({VICTIM, DIN, UID})
        assert {name: found[name] for name in (STRANGERS, STRANGERS_SECOND, BY_UID, "NO*EVL*E3")} == {
            STRANGERS: "UNKNOWN",
            STRANGERS_SECOND: "UNKNOWN",
            BY_UID: "UNKNOWN",
            "NO*EVL*E3": "CHARGING",
        }
        for name in (VICTIM, DIN):
            assert server.get(f"/api/v2/evses/{name}").status_code == 404
        told = server.import_stations(OWNERS)
        assert (told.refused_count, told.added) == (0, ("NOR_02000",))
        server.in_step()
        assert server.report({"evse": VICTIM, "status": "AVAILABLE"})["accepted"] == 1
        found = mirror.resumed(server)
        assert (found[VICTIM], found[STRANGERS]) == ("AVAILABLE", "UNKNOWN")


def test_the_owners_import_may_come_before_the_first_start_and_brings_no_word_of_the_stranger(
    taken: Path,
) -> None:
    with Serving(taken.parent, stations=OWNERS) as server:
        found = Mirror().resumed(server)
        assert (found[VICTIM], found[STRANGERS]) == ("UNKNOWN", "UNKNOWN")
        assert server.get(f"/api/v2/evses/{VICTIM}").json()["station"] == "NOR_02000"


def test_the_stranger_goes_on_with_its_own_evse_and_gets_no_id_of_others_back(taken: Path) -> None:
    mirror = Mirror()
    with Serving(taken.parent, stations=OWNERS) as server:
        server.make_key("evil", ["report"], operator="evil")
        stranger = Speaker(server, "evil", "EVL")
        found = mirror.resumed(server)
        stranger.put(
            point("1", "OUTOFORDER", evse_id=VICTIM),
            point("2", "OUTOFORDER", evse_id=DIN),
            point("3", "CHARGING", evse_id="NO*EVL*E3"),
        )
        assert stranger.report("1", "AVAILABLE")["accepted"] == 1
        again = mirror.resumed(server)
        assert again.keys() == found.keys()
        assert (again[STRANGERS], again[STRANGERS_SECOND], again[VICTIM]) == (
            "AVAILABLE",
            "OUTOFORDER",
            "UNKNOWN",
        )


def test_what_refers_to_such_an_evse_refers_to_it_by_its_new_key(taken: Path) -> None:
    async def read(store: SqlStore) -> tuple[list[Station], list[ChargePoint], list[Reading]]:
        delta = await store.registry_since(0)
        return list(delta.stations), list(await store.charge_points()), list(delta.readings)

    for _ in range(2):
        stations, points, readings = write(taken, read)
        by_uuid = {each.uuid: each for each in stations}
        assert [(each.key, each.evse_id, each.uid) for each in by_uuid["NOR_900001"].evses] == [
            (STRANGERS, None, "1"),
            (STRANGERS_SECOND, None, "2"),
            ("NOEVLE3", "NO*EVL*E3", "3"),
        ]
        assert [(each.key, each.uid) for each in by_uuid["NOR_03000"].evses] == [(BY_UID, UID)]
        assert [point.evses for point in points] == [((1, STRANGERS), (3, "NOEVLE3"))]
        assert [reading.evse for reading in readings] == [BY_UID]
