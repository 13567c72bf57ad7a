from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any, Final

import msgspec
import pytest
from tests.building import NOW, TIMES, apply, make_change, make_evse, make_station

from ladestrom.backends.memory import MemoryLog
from ladestrom.core.board import Board
from ladestrom.core.records import Records, changed
from ladestrom.errors import LogFailure
from ladestrom.model import AnyChange, Cause, StationChanged, Status, StatusChanged
from ladestrom.ports.log import BoardRow, StationRow, Times
from ladestrom.writer.checkpoints import Checkpoints

HERE: Final = make_evse("NO*ABC*E1", "NOR_00001")
THERE: Final = make_evse("NO*ABC*E1", "NOR_00002")
OLD, NEW = make_station("NOR_00001", [HERE]), make_station("NOR_00002", [])
GONE, FULL = msgspec.structs.replace(OLD, vanished_at=NOW), make_station("NOR_00002", [THERE])
OFF: Final = make_change(HERE, Status.REMOVED, NOW + 1, cause=Cause.WITHDRAWN)
ON: Final = make_change(THERE, Status.AVAILABLE, NOW + 2, cause=Cause.REGISTERED)


class CutOff(MemoryLog):
    """A crash ends each checkpoint when its rows are written, and before it is complete."""

    meanwhile: Callable[[], Awaitable[None]] | None = None
    """What goes on between its stations and its EVSEs; without it, checkpoints are complete."""

    async def checkpoint(
        self,
        rows: Iterable[BoardRow],
        seq: int,
        times: Times,
        stations: Iterable[StationRow] = (),
        registry_revision: int = 0,
    ) -> None:
        if self.meanwhile is None:
            await super().checkpoint(rows, seq, times, stations, registry_revision)
            return
        self._stations.update((row.station.uuid, row) for row in stations)
        await self.meanwhile()
        self._rows.update((row.change.evse, msgspec.structs.replace(row)) for row in rows)
        raise LogFailure("cut off")


class Writer:
    """Board and records as the hub keeps them."""

    def __init__(self) -> None:
        self.log = CutOff()
        self.board, self.records = Board(), Records()
        hub: Any = SimpleNamespace(board=self.board, records=self.records, times=lambda: TIMES)
        self.checkpoints = Checkpoints(self.log, hub, every_s=0, every_entries=1)

    async def add(self, changes: Sequence[AnyChange]) -> None:
        entries = await self.log.append(changes)
        self.records.follow_moves(entries, self.board.cells)
        apply(self.board, [entry for entry in entries if isinstance(entry, StatusChanged)])
        for entry in entries:
            if isinstance(entry, StationChanged):
                self.records.take(entry)
        self.board.seq = self.log.last.seq


async def test_what_left_a_station_while_a_checkpoint_was_cut_off_is_known_after_the_crash() -> None:
    writer = Writer()
    first: list[AnyChange] = [
        changed(None, OLD, NOW),
        changed(None, NEW, NOW),
        make_change(HERE),
        changed(OLD, GONE, NOW),
        OFF,
    ]
    await writer.add(first)
    await writer.checkpoints.take()
    writer.board.touch([HERE.key])
    writer.log.meanwhile = lambda: writer.add([changed(NEW, FULL, NOW), ON])
    with pytest.raises(LogFailure):
        await writer.checkpoints.take()
    found = await writer.log.recover()
    stations = {row.station.uuid: row for row in found.stations}
    assert [(each.seq, each.change) for each in stations["NOR_00001"].left] == [(5, OFF)]
    assert [row.change for row in found.rows] == [ON]


async def test_what_a_checkpoint_that_failed_did_not_keep_is_in_the_next_one() -> None:
    writer = Writer()
    await writer.add([changed(None, OLD, NOW), make_change(HERE)])

    async def fails() -> None:
        raise LogFailure("the disk is full")

    writer.log.meanwhile = fails
    with pytest.raises(LogFailure):
        await writer.checkpoints.take()
    assert writer.board.take_touched() == {HERE.key}
    assert writer.records.take_touched() == {OLD.uuid}
