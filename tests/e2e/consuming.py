"""Consumers for end-to-end tests: they follow the NOBIL stream, and remember what they saw.

    async with Consumer(running.url, key) as consumer:
        board, position = await rest(running.url, key, report_key)
        await consumer.caught_up(position)
        assert consumer.board == board
        assert consumer.wrongs == []

A position is EPOCH-SEQ, as a receipt or an ETag gives it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

import httpx2
import msgspec
from tests.contracts.frames import checked
from tests.patience import DEADLINE_S, POLL_S

from ladestrom.client.aio import Lost, Opened, Received, follow
from ladestrom.client.session import Session, Snapshot, StationStatus, Update
from ladestrom.model import Position

Board = dict[str, dict[str, Any]]
Digests = dict[int, bytes]
"""Sequence number to what was told under it."""


def plain(board: dict[str, StationStatus]) -> Board:
    """A session's board in the form of the wire."""
    wire: Board = msgspec.json.decode(msgspec.json.encode(board))
    return wire


async def rest(url: str, key: str, report_key: str) -> tuple[Board, str]:
    """All stations over REST, and the position (EPOCH-SEQ) at which they are so.

    Everything that has its receipt is in it: readers follow the log, and may be a few entries behind it.
    """
    async with httpx2.AsyncClient(timeout=DEADLINE_S) as client, asyncio.timeout(DEADLINE_S):
        receipt = await client.post(
            f"{url}/api/v2/reports", json=[], headers={"Authorization": f"Bearer {report_key}"}
        )
        receipt.raise_for_status()
        logged = Position.parse(receipt.json()["position"])
        while True:
            response = await client.get(
                f"{url}/api/v1/rest/chargers", headers={"Authorization": f"Bearer {key}"}
            )
            response.raise_for_status()
            position = response.headers["ETag"].removeprefix("W/").strip('"')
            if Position.parse(position).seq >= logged.seq:
                return {station["uuid"]: station for station in response.json()}, position
            await asyncio.sleep(POLL_S)


class Consumer:
    """Follows the stream in a task of its own. An asynchronous context manager."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        every_s: float | None = None,
        chance: float = 0.1,
        digests: Digests | None = None,
        since: Position | None = None,
        selection: dict[str, str] | None = None,
    ) -> None:
        """Nothing runs yet.

        Args:
            url: the server.
            key: with the scope `stream`.
            every_s: drops the connection so long after its first message, and comes back with `since`.
            chance: what its delays are multiplied with.
            digests: shared by consumers, so that each finds what another was told differently.
            since: where to begin, as if it had been told everything up to there.
            selection: query parameters.
        """
        self.session = Session()
        self.session.position = since
        self.digests: Digests = {} if digests is None else digests
        self.wrongs: list[str] = []
        """What no server may do; empty in the end."""
        self.opened = self.resumed = self.snapshots = self.updates = 0
        self.losses: list[str] = []
        self._url, self._key = url, key
        self._every_s = every_s
        self._chance = chance
        self._selection = selection
        self._epoch: str | None = None
        self._moved = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def board(self) -> Board:
        return plain(self.session.board)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None) as stay, self._following() as events:
                    async for event in events:
                        self._note(event)
                        self._moved.set()
                        if self._every_s is not None and stay.when() is None and isinstance(event, Received):
                            stay.reschedule(asyncio.get_running_loop().time() + self._every_s)
            self.session.lose(0.0)

    @contextlib.asynccontextmanager
    async def _following(self) -> AsyncIterator[AsyncIterator[Opened | Received | Lost]]:
        events = follow(
            self._url, self._key, self.session, selection=self._selection, chance=lambda: self._chance
        )
        async with contextlib.aclosing(events):
            yield events

    def _note(self, event: Opened | Received | Lost) -> None:
        if isinstance(event, Received):
            checked(event.frame)
        match event:
            case Opened(since=since):
                self.opened += 1
                self.resumed += since is not None
            case Lost(why=why, fault=fault):
                self.losses.append(why)
                if fault is not None:
                    self.wrongs.append(why)
            case Received(event=Snapshot(position=position)):
                self.snapshots += 1
                self._keep_epoch(position)
            case Received(event=Update(position=position), frame=frame):
                self.updates += 1
                self._keep_epoch(position)
                assert position is not None
                digest = hashlib.blake2b(frame, digest_size=8).digest()
                if self.digests.setdefault(position.seq, digest) != digest:
                    self.wrongs.append(f"{position} was told differently before: {frame.decode()[:300]}")

    def _keep_epoch(self, position: Position | None) -> None:
        epoch = None if position is None else position.epoch
        if self._epoch is not None and epoch != self._epoch:
            self.wrongs.append(f"the epoch was {self._epoch}, and is {epoch}")
        self._epoch = epoch

    async def until(self, condition: Any, deadline_s: float = DEADLINE_S, what: str = "told") -> None:
        """Returns as soon as the condition holds, looked at after each event.

        Raises:
            TimeoutError: it does not within the deadline, or the stream refused for good.
        """
        assert self._task is not None
        ends_s = asyncio.get_running_loop().time() + deadline_s
        while not condition(self):
            left_s = ends_s - asyncio.get_running_loop().time()
            if self._task.done():
                self._task.result()
            if left_s <= 0:
                raise TimeoutError(f"{what}: at {self.session.since} after {deadline_s:g} s")
            self._moved.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._moved.wait(), min(left_s, 0.2))

    async def caught_up(self, position: str, deadline_s: float = DEADLINE_S) -> None:
        """Returns when everything up to the position (EPOCH-SEQ) was told."""
        wanted = Position.parse(position)

        def there(consumer: Consumer) -> bool:
            at = consumer.session.position
            return at is not None and at.epoch == wanted.epoch and at.seq >= wanted.seq

        await self.until(there, deadline_s, f"caught up with {position}")
