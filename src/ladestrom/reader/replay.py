"""Each change from the log, in order, for consumers that want every one: a task each, until it is in step."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Final

import structlog

from ladestrom import tasks
from ladestrom.core.view import WITHDRAWN, Pin, StationState
from ladestrom.errors import LogDamaged, LogFailure
from ladestrom.formats.dialect import Message
from ladestrom.model import Entry, Position, StatusChanged
from ladestrom.ports.log import Followed
from ladestrom.reader.channel import Channel
from ladestrom.reader.channels import Channels
from ladestrom.reader.subscriptions import Driver, Phase, Subscriber
from ladestrom.reader.walks import STATIONS_PER_LOOK, Walks
from ladestrom.tasks import Turns

logger = structlog.get_logger(__name__)

REPLAY_ENTRIES_MAX: Final = 500
"""Entries of the log read at once for a consumer that wants each change."""
REPLAY_WAIT_S: Final = 0.05
"""Between two looks at whether such a consumer takes more."""
REPLAY_READ_S_MAX: Final = 5.0
"""How long a read for such a consumer may fail or hang before it is closed: much less than the 20 s from one
heartbeat to the next."""
READ_AGAIN_S_MIN: Final = 0.1
"""Before a read of the log that failed is tried again; before each next try it is twice as long."""


class Replays:
    """Those that are under way."""

    def __init__(self, channels: Channels, walks: Walks, log: Followed, driver: Driver) -> None:
        self._channels = channels
        self._walks = walks
        self._log = log
        self._driver = driver
        self.tasks: dict[Subscriber, asyncio.Task[None]] = {}

    def start(self, subscriber: Subscriber) -> None:
        """Begins to replay what a consumer missed."""
        task = tasks.start(
            self._replay(subscriber), "replay of the log", lambda _: self._driver.interrupt(subscriber)
        )
        self.tasks[subscriber] = task
        task.add_done_callback(lambda _: self.tasks.pop(subscriber, None))

    def stop(self, subscriber: Subscriber) -> None:
        """The consumer has gone."""
        task = self.tasks.get(subscriber)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def cancel(self) -> None:
        """Ends all."""
        for task in list(self.tasks.values()):
            task.cancel()

    async def _replay(self, subscriber: Subscriber) -> None:
        """Writes each missed change from the log, in order, to a consumer that wants every one.

        Where one of them cannot be read any more, the consumer begins anew; where none can be read now, it is
        closed with its position. It is never left without a word.
        """
        try:
            await self._replay_entries(subscriber)
        except LogDamaged as error:
            logger.warning(
                "a consumer with mode=every restarts: the log has a gap",
                position=str(Position(self._channels.view.epoch, subscriber.seq)),
                error=str(error),
            )
            if subscriber.is_at(Phase.REPLAYING):
                self._driver.restart(subscriber, "expired", snapshot=True)
        except (LogFailure, TimeoutError) as error:
            logger.warning("a consumer with mode=every is closed: the log cannot be read", error=repr(error))
            self._driver.interrupt(subscriber)

    async def _read(self, after: int, limit: int) -> Sequence[Entry]:
        """Entries of the log; a read that fails is tried again for a while.

        Raises:
            LogDamaged: the next entry cannot be read.
            TimeoutError: nothing can be read now.
        """
        wait_s = READ_AGAIN_S_MIN
        async with asyncio.timeout(REPLAY_READ_S_MAX):
            while True:
                try:
                    return await self._log.read(after, limit)
                except LogDamaged:
                    raise
                except LogFailure as error:
                    self._channels.counts.read_failures += 1
                    logger.warning("the log cannot be read; retrying", error=str(error))
                    await asyncio.sleep(wait_s)
                    wait_s *= 2

    async def _replay_entries(self, subscriber: Subscriber) -> None:
        """Rounds, each up to where its channel is when the round begins."""
        channel, view = subscriber.channel, self._channels.view
        while subscriber.is_at(Phase.REPLAYING):
            if self._channels.by_whereabouts(channel.subscription) and subscriber.seq < view.former_lost_seq:
                self._driver.restart(subscriber, "expired", snapshot=True)
                return
            with view.pinned() as pin:
                is_moved = bool(self._moved(channel, subscriber.seq))
                async with self._walks.room if is_moved else nullcontext():
                    self._channels.flush(channel)
                    target, follows = channel.chain, channel.end
                    pin.renew()
                    moved = await self._moved_rows(channel, subscriber.seq)
                # Whoever goes on from a position on the way is not told again of what came before it.
                await self._tell_moved(subscriber, moved)
                if not await self._tell_changes(subscriber, target, pin):
                    return
            if follows >= channel.start:
                self._driver.go_live(subscriber, follows, subscriber.resume_seq)

    async def _tell_changes(self, subscriber: Subscriber, target: int, pin: Pin) -> bool:
        """Tells each change up to a position, of stations as they were pinned; False where that ended it."""
        channel, view = subscriber.channel, self._channels.view
        dialect = self._channels.dialects[channel.subscription.dialect]
        heard_s = self._channels.clock_s()
        while subscriber.seq < target and subscriber.is_at(Phase.REPLAYING):
            if subscriber.sink.paused:
                await asyncio.sleep(REPLAY_WAIT_S)
                continue
            if subscriber.seq < self._driver.history_seq:
                self._driver.overrun(subscriber)
                return False
            limit = min(REPLAY_ENTRIES_MAX, target - subscriber.seq)
            entries = await self._read(subscriber.seq, limit)
            if not subscriber.is_at(Phase.REPLAYING):
                return False
            if not entries or entries[0].seq != subscriber.seq + 1:
                # The log was trimmed while it was read.
                self._driver.overrun(subscriber)
                return False
            rows = self._rows(channel, entries, pin)
            subscriber.seq = entries[-1].seq
            # What is not selected may be long: an empty message is a sign of life, as a heartbeat is.
            is_silent = self._channels.clock_s() - heard_s > self._channels.limits.heartbeat_s / 2
            if rows or subscriber.seq == target or is_silent:
                heard_s = self._channels.clock_s()
                for message in dialect.changes(view, subscriber.resume_seq, subscriber.seq, rows):
                    self._write(subscriber, message)
                subscriber.resume_seq = subscriber.seq
        return subscriber.is_at(Phase.REPLAYING)

    async def _moved_rows(self, channel: Channel, since: int) -> list[bytes]:
        """Rows about stations that came into a selection, or left it, and their records: as they are now."""
        view, turns = self._channels.view, Turns()
        dialect = self._channels.dialects[channel.subscription.dialect]
        tells_records = channel in self._channels.telling_records
        selection = channel.subscription.selection
        rows: list[bytes] = []

        def visit(state: StationState) -> None:
            former = view.former(state, since)
            if tells_records:
                rows.extend(self._channels.whereabouts(channel, state, former))
            moved = dialect.relocated(view, selection, former, state, since, state.seq)
            rows.extend(row for row, _, _ in moved)

        uuids = self._moved(channel, since)
        if uuids:
            walk = view.walk(uuids, visit)
            try:
                while walk.go(STATIONS_PER_LOOK):
                    await turns.rest()
            finally:
                view.end(walk)
        return rows

    async def _tell_moved(self, subscriber: Subscriber, rows: Sequence[bytes]) -> None:
        """Writes these rows; the consumer holds them until its position moves."""
        view, at = self._channels.view, subscriber.resume_seq
        dialect = self._channels.dialects[subscriber.channel.subscription.dialect]
        messages = deque(dialect.changes(view, at, at, rows) if rows else ())
        while messages and subscriber.is_at(Phase.REPLAYING):
            if subscriber.sink.paused:
                await asyncio.sleep(REPLAY_WAIT_S)
            else:
                self._write(subscriber, messages.popleft())

    def _write(self, subscriber: Subscriber, message: Message) -> None:
        framing = subscriber.channel.subscription.framing
        self._channels.write(subscriber, self._channels.frame(framing, message))

    def _moved(self, channel: Channel, since: int) -> list[str]:
        """Stations whose place in a channel's selection, or whose record, may be another since a position."""
        view, selection = self._channels.view, channel.subscription.selection
        moved = view.relocated_since(since) if selection.by_record else []
        if channel not in self._channels.telling_records:
            return moved
        found = dict.fromkeys(moved)
        for state in view.changed_since(since):
            record, changes = view.records.get(state.uuid), state.changes.values()
            if (
                (record is not None and record.seq > since)
                or all(held.seq > since for held in changes if held.change.cause is not WITHDRAWN)
                or (selection.operator and any(held.seq > since for held in changes))
            ):
                found[state.uuid] = None
        return list(found)

    def _rows(self, channel: Channel, entries: Iterable[Entry], pin: Pin) -> list[bytes]:
        """What a channel is told of entries of the log."""
        subscription, view = channel.subscription, self._channels.view
        selection, dialect = subscription.selection, self._channels.dialects[subscription.dialect]
        rows: list[bytes] = []
        for entry in entries:
            if not isinstance(entry, StatusChanged):
                continue
            change = entry.change
            station, sources = pin.station(change.station), (change.source, change.was_source)
            if station is None or not selection.covers(station, (change.evse,), sources):
                continue
            chosen = dialect.chosen(selection, change, station)
            if chosen is not None:
                rows.append(dialect.entry(view, chosen))
        return rows
