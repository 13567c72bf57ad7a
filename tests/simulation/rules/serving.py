"""The writer's side of a world of rules: the real hub, board, registry and intake over a log that may fail.

Wired as `ladestrom.roles.writer` does it, without settings and sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final, Protocol, cast

import msgspec
from tests.simulation.rules.speakers import POINT
from tests.simulation.rules.stations import POINT_MAP, Registry

from ladestrom.backends.memory import MemoryLog
from ladestrom.core.board import Board
from ladestrom.core.directory import Directory
from ladestrom.core.records import entry_of
from ladestrom.errors import LogFailure
from ladestrom.ingest.intake import Intake
from ladestrom.ingest.supervision import Supervision
from ladestrom.model import AnyChange, Change, Entry, Millis, Operator
from ladestrom.ports.log import BoardRow, StationRow, Times
from ladestrom.ports.stores import Store
from ladestrom.protocols.ocpp_points import Points, layout
from ladestrom.writer.checkpoints import Checkpoints
from ladestrom.writer.hub import Hub, HubLimits
from ladestrom.writer.reconciliation import Readings, Reconciliation

STALE_S: Final = 600
GRACE_S: Final = 100
READING_STALE_MS: Final = 900_000
SKEW_MS: Final = 300_000


class Surroundings(Protocol):
    """What a server needs of its world."""

    def now(self) -> Millis: ...
    def steady(self) -> Millis: ...
    def present(self, operator: Operator) -> Operator: ...


class KeptLog(MemoryLog):
    """A log that keeps what would be on a disk, and no more; and fails now and then."""

    def __init__(self) -> None:
        super().__init__("rules", retention_entries_max=8)
        self.fails = False
        """The next write does."""
        self.checkpoints = 0
        self.taken: list[Change] = []
        """Of statuses: what was logged since the world last looked."""
        self._read = msgspec.json.Decoder(BoardRow).decode
        self._read_station = msgspec.json.Decoder(StationRow).decode

    async def append(self, changes: Sequence[AnyChange]) -> Sequence[Entry]:
        await asyncio.sleep(0)
        self._fail()
        self.taken += [change for change in changes if isinstance(change, Change)]
        entries = await super().append(changes)
        # Those who recover have what was written, and not our objects.
        self._entries[-len(entries) :] = [
            entry_of(
                entry.seq, msgspec.json.decode(msgspec.json.encode(entry.change), type=type(entry.change))
            )
            for entry in entries
        ]
        return entries

    async def checkpoint(
        self,
        rows: Iterable[BoardRow],
        seq: int,
        times: Times,
        stations: Iterable[StationRow] = (),
        registry_revision: int = 0,
    ) -> None:
        self._fail()
        self.checkpoints += 1
        await super().checkpoint(
            [self._read(msgspec.json.encode(row)) for row in rows],
            seq,
            times,
            [self._read_station(msgspec.json.encode(row)) for row in stations],
            registry_revision,
        )

    def _fail(self) -> None:
        if self.fails:
            self.fails = False
            raise LogFailure("the disk is full")


class Server:
    """One life of the writer, from recovery to its end."""

    def __init__(self, log: KeptLog, registry: Registry, around: Surroundings) -> None:
        self.board = Board()
        self.directory = Directory()
        limits = HubLimits(stale_after_s=STALE_S, start_grace_s=GRACE_S, skew_ms=SKEW_MS)
        self.hub = Hub(
            log, self.board, self.directory, around.now, limits, around.present, steady=around.steady
        )
        self.reconciliation = Reconciliation(
            cast("Store", registry),
            self.hub,
            lambda: Readings(wanted=True, stale_after_ms=READING_STALE_MS),
            around.now,
        )
        self.checkpoints = Checkpoints(log, self.hub, every_s=0, every_entries=1)
        self.intake = Intake(self.hub, Supervision(around.now, steady=around.steady))
        self.points = Points(POINT.operator)
        self._log = log
        self._loop: asyncio.Task[None] | None = None

    async def start(self, operators: dict[str, Operator]) -> None:
        """As the app starts it."""
        await self.hub.recover()
        self.checkpoints.seq = self._log.last.seq
        self._loop = asyncio.create_task(self.hub.run())
        self.follow(operators)
        await self.refresh(everything=True)

    def follow(self, operators: dict[str, Operator]) -> None:
        """Goes by these rights from now on."""
        self.hub.set_operators(operators.values())
        self.reconciliation.follow(operators)

    async def refresh(self, *, everything: bool = False) -> None:
        """Takes what was written to the registry."""
        delta = await self.reconciliation.take(everything=everything)
        self.reconciliation.revision = delta.revision
        self.points.layout = layout(self.directory.stations.get("NOR_00001"), POINT_MAP)

    async def end(self) -> None:
        """Ends at once."""
        assert self._loop is not None
        self._loop.cancel()
        await asyncio.gather(self._loop, return_exceptions=True)
