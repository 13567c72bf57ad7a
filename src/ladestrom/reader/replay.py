"""Each change from the log, in order, for consumers that want every one: a task each, until it is in step."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import structlog

from ladestrom import tasks
from ladestrom.errors import LogDamaged, LogFailure
from ladestrom.model import Entry, Position, StationChanged, StatusChanged
from ladestrom.ports.log import Log
from ladestrom.reader.channel import Channel
from ladestrom.reader.channels import Channels
from ladestrom.reader.subscriptions import Driver, Phase, Subscriber
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

    def __init__(self, channels: Channels, log: Log, driver: Driver) -> None:
        self._channels = channels
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
        channel, view = subscriber.channel, self._channels.view
        subscription = channel.subscription
        dialect = self._channels.dialects[subscription.dialect]
        heard_s = self._channels.clock_s()
        moved: dict[str, None] = {}
        while subscriber.is_at(Phase.REPLAYING):
            self._channels.flush(channel)
            target, follows = channel.chain, channel.end
            while subscriber.seq < target and subscriber.is_at(Phase.REPLAYING):
                if subscriber.sink.paused:
                    await asyncio.sleep(REPLAY_WAIT_S)
                    continue
                if subscriber.seq < self._driver.history_seq:
                    self._driver.overrun(subscriber)
                    return
                limit = min(REPLAY_ENTRIES_MAX, target - subscriber.seq)
                entries = await self._read(subscriber.seq, limit)
                if not subscriber.is_at(Phase.REPLAYING):
                    break
                if not entries or entries[0].seq != subscriber.seq + 1:
                    # The log was trimmed while it was read.
                    self._driver.overrun(subscriber)
                    return
                rows = self._rows(channel, entries)
                moved |= dict.fromkeys(self._moved(channel, entries))
                subscriber.seq = entries[-1].seq
                # What is not selected may be long: an empty message is a sign of life, as a heartbeat is.
                is_silent = self._channels.clock_s() - heard_s > self._channels.limits.heartbeat_s / 2
                if rows or subscriber.seq == target or is_silent:
                    heard_s = self._channels.clock_s()
                    for message in dialect.changes(view, subscriber.resume_seq, subscriber.seq, rows):
                        self._channels.write(subscriber, self._channels.frame(subscription.framing, message))
                    subscriber.resume_seq = subscriber.seq
            await self._tell_moved(subscriber, moved)
            moved.clear()
            if subscriber.is_at(Phase.REPLAYING) and follows >= channel.start:
                self._driver.go_live(subscriber, follows, subscriber.resume_seq)

    async def _tell_moved(self, subscriber: Subscriber, uuids: Iterable[str]) -> None:
        """Tells one who has every change so far of stations that came into its selection, or left it."""
        channel, view = subscriber.channel, self._channels.view
        selection = channel.subscription.selection
        dialect, turns = self._channels.dialects[channel.subscription.dialect], Turns()
        for uuid in uuids:
            state = view.get(uuid)
            if state is None:
                continue
            former = view.former(state, subscriber.since)
            rows = [row for row, _, _ in dialect.relocated(view, selection, former, state, subscriber.since)]
            if channel in self._channels.telling_records:
                rows = self._channels.whereabouts(channel, state, former) + rows
            told = subscriber.resume_seq
            for message in dialect.changes(view, told, told, rows) if rows else ():
                self._channels.write(subscriber, self._channels.frame(channel.subscription.framing, message))
            await turns.rest()
            if not subscriber.is_at(Phase.REPLAYING):
                return

    def _moved(self, channel: Channel, entries: Iterable[Entry]) -> Iterator[str]:
        """Stations whose place in a channel's selection, or whose record, entries may have changed."""
        tells_records = channel in self._channels.telling_records
        by_record = channel.subscription.selection.by_record
        for entry in entries:
            if isinstance(entry, StationChanged):
                if tells_records or (by_record and entry.change.was is not None):
                    yield entry.change.station.uuid
            elif tells_records and entry.change.source != entry.change.was_source:
                yield entry.change.station

    def _rows(self, channel: Channel, entries: Iterable[Entry]) -> list[bytes]:
        """What a channel is told of entries of the log."""
        subscription, view = channel.subscription, self._channels.view
        dialect = self._channels.dialects[subscription.dialect]
        return [
            dialect.entry(view, chosen)
            for entry in entries
            if isinstance(entry, StatusChanged)
            and self._channels.hears(channel, entry.change.station)
            and (chosen := dialect.chosen(view, subscription.selection, entry.change)) is not None
        ]
