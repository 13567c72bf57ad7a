"""A test of a source: it is asked once, or followed for a moment, against the registry. Writes nothing.

What would be accepted is found by the same parts that the server has, over a log in memory.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

import msgspec

from ladestrom import protocols
from ladestrom.backends.memory import MemoryLog
from ladestrom.clocks import steady
from ladestrom.core.board import Board
from ladestrom.core.directory import Directory
from ladestrom.errors import InvalidSetting
from ladestrom.ingest.extensions import Table
from ladestrom.ingest.http_poll import Failed, Poller, SourceLimits, make_fetcher
from ladestrom.ingest.intake import Arrival, Intake
from ladestrom.ingest.parsing import ParsingProcess
from ladestrom.ingest.supervision import Health, SourceIdentity
from ladestrom.ingest.websocket_client import Follower
from ladestrom.model import Millis, Operator, Receipt, Refusal, Station
from ladestrom.ports.sources import SourceRecord
from ladestrom.protocols.delivery import Delivery
from ladestrom.protocols.interfaces import Memory
from ladestrom.quoting import quoted
from ladestrom.writer.hub import Hub

NEVER_LOST_S = 86_400.0
"""A test ends before a source that is silent could be given up."""


class Result(msgspec.Struct, frozen=True):
    """What came of it."""

    error: str | None
    deliveries: int
    accepted: int
    unchanged: int
    refused: tuple[Refusal, ...]
    unknown: int
    took_s: float
    certificate_expires_at: Millis | None

    def lines(self, refusals_max: int) -> Iterator[str]:
        """The result in words."""
        if self.error is not None:
            yield f"failed: {self.error}"
        yield (
            f"{self.deliveries} deliveries in {self.took_s:.1f} s. Of their items, {self.accepted} would "
            f"change an EVSE, {self.unchanged} would not (the same status, or an older one), "
            f"{len(self.refused)} would be refused, and {self.unknown} would become UNKNOWN"
        )
        for reason, count in Counter(refusal.reason for refusal in self.refused).most_common():
            yield f"  {count} {reason.value}"
        for refusal in self.refused[:refusals_max]:
            yield f"  item {refusal.index}: {refusal.detail}"
        if self.certificate_expires_at is not None:
            days = (self.certificate_expires_at - _clock()) // 86_400_000
            yield f"its certificate expires in {days} days"


class _CountingIntake(Intake):
    """Keeps the receipts."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.receipts: list[Receipt] = []
        self.unknown = 0

    async def take(
        self,
        operator: Operator,
        delivery: Delivery,
        *,
        protocol: str = "",
        identity: SourceIdentity | None = None,
        arrival: Arrival | None = None,
    ) -> Receipt:
        receipt = await super().take(
            operator, delivery, protocol=protocol, identity=identity, arrival=arrival
        )
        self.receipts.append(receipt)
        self.unknown += len(delivery.unknown) + len(delivery.left)
        return receipt


class _TestServices:
    """Implements `http_poll.SourceServices` without a store."""

    def __init__(self, intake: Intake, operators: Mapping[str, Operator]) -> None:
        self.intake = intake
        self.limits = SourceLimits(lost_after_s=NEVER_LOST_S)
        self.parsing = ParsingProcess()
        self.clock = _clock
        self.steady = steady
        self.chance = random.random
        self._operators = operators

    def operator(self, name: str) -> Operator:
        found = self._operators.get(name)
        if found is None:
            raise InvalidSetting(f"there is no operator {quoted(name)}")
        return found

    async def remember(self, source: SourceRecord, memory: Memory) -> None:
        """Nothing is kept."""


async def run_test(
    source: SourceRecord,
    table: Table,
    operators: Mapping[str, Operator],
    stations: Iterable[Station],
    follow_s: float,
) -> Result:
    """Asks a source once without what it remembers, or follows it for `follow_s`.

    Raises:
        InvalidSetting: its protocol or its certificates cannot be used.
    """
    source = msgspec.structs.replace(source, memory={}, paused_at=None)
    hub = Hub(MemoryLog(), Board(), Directory(stations), _clock)
    intake = _CountingIntake(hub)
    services = _TestServices(intake, operators)
    work = asyncio.create_task(hub.run())
    began_s = time.monotonic()
    try:
        row = table.pulls.get(source.protocol)
        if row is not None:
            health = await _ask(Poller(source, protocols.pull(row), row.poll_s, services), services)
        elif source.protocol in table.streams:
            row = table.streams[source.protocol]
            health = await _follow(Follower(source, row, services), follow_s)
        else:
            raise InvalidSetting(f"this program does not have the protocol {quoted(source.protocol)}")
    finally:
        work.cancel()
        await services.parsing.stop()
    receipts = intake.receipts
    return Result(
        error=health.last_error if health.failed_last else None,
        deliveries=len(receipts),
        accepted=sum(receipt.accepted for receipt in receipts),
        unchanged=sum(receipt.unchanged for receipt in receipts),
        refused=tuple(refusal for receipt in receipts for refusal in receipt.refused),
        unknown=intake.unknown,
        took_s=time.monotonic() - began_s,
        certificate_expires_at=health.certificate_expires_at,
    )


async def _ask(poller: Poller, services: _TestServices) -> Health:
    async with make_fetcher(poller.source, services, poller.health) as fetcher:
        with suppress(Failed):
            await poller.round(fetcher)
    return poller.health


async def _follow(follower: Follower, follow_s: float) -> Health:
    task = asyncio.create_task(follower.run())
    await asyncio.wait({task}, timeout=follow_s)
    connected = follower.health.connected
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    if not connected and not follower.health.failed_last:
        follower.health.failed_last = True
        follower.health.last_error = f"nothing was received within {follow_s:g} s"
    return follower.health


def _clock() -> Millis:
    return time.time_ns() // 1_000_000
