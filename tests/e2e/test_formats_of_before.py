"""A data directory that an earlier program wrote is opened by this one, and its board is the same.

`golden/formats/1` is what the first format's program left after a crash, as SQL: a checkpoint, entries after it,
a source that signed off, and a confirmation that only the checkpoint has. `expected.json` is the board that the
program of then recovered from it, and what it served.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.e2e.serving import OPERATORS, STATIONS, Serving, write

from ladestrom.backends.log_rows import FORMAT
from ladestrom.backends.sql import SqlStore
from ladestrom.backends.sqlite import SqliteLog
from ladestrom.model import Operator, Position, Station
from ladestrom.ports import BoardRow

SAMPLE = Path(__file__).resolve().parents[1] / "golden" / "formats" / "1"
EXPECTED: dict[str, Any] = json.loads((SAMPLE / "expected.json").read_bytes())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data directory, as the program of then left it."""
    made = tmp_path / "data"
    made.mkdir()
    for name in ("log", "store"):
        connection = apsw.Connection(str(made / f"{name}.db"))
        connection.execute((SAMPLE / f"{name}.sql").read_text())
        connection.close()
    return made


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
            return {row.change.evse: told(row) for row in await log.recover()}, log.last
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
        assert {key: told(row) for key, row in server.app.board.cells.items()} == EXPECTED["rows"]
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
        before = {key: told(row) for key, row in server.app.board.cells.items()}
        server.start()
        assert {key: told(row) for key, row in server.app.board.cells.items()} == before
