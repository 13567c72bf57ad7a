"""Consumers that resume from an instant: the position is looked up in the log, a task each."""

from __future__ import annotations

import asyncio
from functools import partial

from ladestrom import tasks
from ladestrom.errors import LogFailure
from ladestrom.model import Millis, Position
from ladestrom.ports.log import Followed
from ladestrom.reader.channels import Channels
from ladestrom.reader.subscriptions import Driver, Event, Phase, Subscriber


class Seeks:
    """Those that are under way."""

    def __init__(self, channels: Channels, log: Followed, driver: Driver) -> None:
        self._channels = channels
        self._log = log
        self._driver = driver
        self._tasks: dict[Subscriber, asyncio.Task[None]] = {}

    def start(self, subscriber: Subscriber, at: Millis, *, snapshot: bool) -> None:
        """Begins to look for where a consumer resumes."""
        subscriber.on(Event.WAITS)
        died = partial(self._died, subscriber)
        # What is appended from now on is told, whatever its time: the consumer was there already.
        now = self._channels.view.seq
        task = tasks.start(self._seek(subscriber, at, now, snapshot=snapshot), "resuming by time", died)
        self._tasks[subscriber] = task
        task.add_done_callback(lambda _: self._tasks.pop(subscriber, None))

    def _died(self, subscriber: Subscriber, _: Exception) -> None:
        self._driver.interrupt(subscriber)

    def stop(self, subscriber: Subscriber) -> None:
        """The consumer has gone."""
        task = self._tasks.get(subscriber)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    def cancel(self) -> None:
        """Ends all."""
        for task in list(self._tasks.values()):
            task.cancel()

    async def _seek(self, subscriber: Subscriber, at: Millis, now: int, *, snapshot: bool) -> None:
        try:
            seq = await self._log.before(at)
        except LogFailure:
            self._driver.interrupt(subscriber)
            return
        if not subscriber.is_at(Phase.JOINING):
            return
        if not self._driver.is_kept(at):
            # Meanwhile the log dropped what may have been before.
            self._driver.restart(subscriber, "expired", snapshot=snapshot)
            return
        view = self._channels.view
        since = Position(view.epoch, min(seq, now))
        subscription = subscriber.channel.subscription
        reason = self._driver.unresumable(since, subscription, every=subscriber.every)
        if reason is None:
            self._driver.resume(subscriber, since.seq)
        else:
            self._driver.restart(subscriber, reason, snapshot=snapshot)
