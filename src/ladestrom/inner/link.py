"""How a process that follows hears of the process that writes: positions, confirmations, hints, and back.

The stream is lossy and may be cut: whatever counts is in the log, and the position is said twice a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec
import structlog

from ladestrom import tasks
from ladestrom.errors import LadestromError, NotReady
from ladestrom.inner import PREFIX
from ladestrom.inner.client import NO_WRITER, Inner, head_of
from ladestrom.inner.frames import (
    Confirmed,
    Frame,
    Heard,
    Hello,
    Measure,
    Rights,
    Standing,
    Stands,
    Unpacker,
)
from ladestrom.model import Evse
from ladestrom.ports.log import FollowedElsewhere
from ladestrom.ports.signals import Listener

logger = structlog.get_logger(__name__)

AGAIN_S_MIN: Final = 0.05
AGAIN_S_MAX: Final = 0.5
SILENT_S_MAX: Final = 5.0
"""The position is said twice a second: a writer that says nothing for so long hangs, or is gone."""
WAITING_MAX: Final = 1_000
"""Frames of confirmations kept during a start: those of two million EVSEs."""
STANDING_S: Final = 1.0
LOOK_S: Final = 0.1
"""How often it is checked whether somebody wants raw messages."""


class Ours(msgspec.Struct, frozen=True, kw_only=True):
    """What a process that follows is to its link."""

    process: str
    """Its name."""
    listener: Listener
    """Its readers."""
    evse: Callable[[str], Evse | None]
    """Finds an EVSE by its key."""
    rights: Callable[[], Coroutine[Any, Any, None]]
    """Takes who may do what from the store."""
    metrics: Callable[[], bytes]
    standing: Callable[[int], Standing]
    """What it tells of itself, with the number that the writer gave it."""


class Link:
    """Of one process to the one that writes."""

    def __init__(self, inner: Inner, log: FollowedElsewhere | None, ours: Ours) -> None:
        """Nothing is heard before `run`.

        Args:
            inner: where the writer is.
            log: is told where the log stands, where it does not find out itself.
            ours: this process.
        """
        self.reasons: dict[str, str] = {}
        """Why the writer is not ready, by check, as it said last."""
        self.is_up = False
        """Whether the writer is there."""
        self._inner = inner
        self._log = log
        self._ours = ours
        self._waiting: list[Confirmed] | None = []
        """Confirmations, until our readers have begun (`begin`)."""
        self._epoch = ""
        self._number = 0
        self._work: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """Our readers have what the log adds up to: what was heard meanwhile is for them."""
        waiting, self._waiting = self._waiting, None
        for frame in waiting or ():
            self._ours.listener.confirmed(frame.confirmations)

    def reason(self, check: str) -> str:
        """What is wrong at the writer; empty where nothing is, as far as is known.

        Args:
            check: name of what is checked there; for `log`, whether the writer is there at all.
        """
        if not self.is_up:
            return NO_WRITER.partition(";")[0] if check == "log" else ""
        return self.reasons.get(check, "")

    async def run(self) -> None:
        """Follows until cancelled.

        Raises:
            LogReplaced: the writer writes another log than the one that is followed.
        """
        wait_s = AGAIN_S_MIN
        while True:
            try:
                async with asyncio.TaskGroup() as group:
                    telling = group.create_task(self._tell())
                    try:
                        await self._listen()
                    finally:
                        telling.cancel()
            except* NotReady as errors:
                if self.is_up:
                    logger.warning("the process that writes is away", error=str(errors.exceptions[0]))
                    wait_s = AGAIN_S_MIN
            except* ValueError as errors:
                logger.error("what the process that writes says is not understood", error=str(errors))  # noqa: TRY400 - another program's defect
            self.is_up, self._number = False, 0
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, AGAIN_S_MAX)

    async def _listen(self) -> None:
        lines = [*self._inner.headers, (b"host", b"inner")]
        connection = await self._inner.begin(
            head_of(b"GET", f"{PREFIX}signals/{self._ours.process}".encode(), lines)
        )
        unpacker, pieces = Unpacker(), connection.body()
        try:
            async with asyncio.timeout(SILENT_S_MAX):
                status, _ = await connection.head
            if status != 200:  # noqa: PLR2004 - OK
                raise NotReady(f"the inner address {self._inner.url} answered {status}")
            while True:
                async with asyncio.timeout(SILENT_S_MAX):
                    piece = await anext(pieces, b"")
                if not piece:
                    raise NotReady(NO_WRITER)
                for frame in unpacker.feed(piece):
                    self._take(frame)
        except TimeoutError:
            raise NotReady("the process that writes says nothing") from None
        finally:
            connection.abort()

    def _take(self, frame: Frame) -> None:
        match frame:
            case Stands():
                if frame.reasons is not None:
                    self.reasons = frame.reasons
                if self._log is not None:
                    self._log.stands(self._epoch, frame.last, frame.first, frame.oldest_at)
            case Confirmed():
                self._confirm(frame)
            case Heard():
                self._offer(frame)
            case Rights():
                self._start(self._ours.rights())
            case Measure():
                self._start(self._measure(frame.number))
            case Hello():
                logger.info("following the process that writes", epoch=frame.epoch)
                self._epoch, self._number, self.is_up = frame.epoch, frame.number, True

    def _confirm(self, frame: Confirmed) -> None:
        if self._waiting is None:
            self._ours.listener.confirmed(frame.confirmations)
        elif len(self._waiting) < WAITING_MAX:
            self._waiting.append(frame)

    def _offer(self, frame: Heard) -> None:
        listener = self._ours.listener
        for key, report, observed_at in frame.reports if listener.wanted else ():
            evse = self._ours.evse(key)
            if evse is not None:
                listener.offer(evse, report, observed_at)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        # What has failed is done again within a second, or asked for again.
        task = tasks.start(self._tried(work), "what the process that writes asked for", lambda _: None)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _tried(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except LadestromError as error:
            # Rights are looked for each second besides, and metrics are asked for again.
            logger.info("left for the next time", error=str(error))

    async def _measure(self, number: int) -> None:
        await self._inner.exchange("POST", f"{PREFIX}metrics/{number}/{self._number}", self._ours.metrics())

    async def _tell(self) -> None:
        told_s, wanted = 0.0, False
        time = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(LOOK_S)
            if not self._number or (self._ours.listener.wanted is wanted and time() - told_s < STANDING_S):
                continue
            told_s, wanted = time(), self._ours.listener.wanted
            body = msgspec.msgpack.encode(self._ours.standing(self._number))
            await self._inner.exchange("POST", f"{PREFIX}standing", body)
