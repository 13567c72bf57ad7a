"""The Locations that peers of OCPI have put: read, changed and stored, the writes of all that wait in one.

Knows documents. Must not know what is in them. Who changes a Location holds its lock from reading it to
having stored it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

from ladestrom import tasks
from ladestrom.errors import LadestromError, NotReady, TooLarge
from ladestrom.model import Millis
from ladestrom.ports import Peers
from ladestrom.quoting import quoted

CACHE_BYTES_MAX: Final = 32 * 1024 * 1024
"""Of documents kept in memory: some ten thousand Locations, those that change."""
BATCH_DOCUMENTS_MAX: Final = 500
"""Written in one transaction: some 100 ms."""
OPERATOR_BYTES_MAX: Final = 1024 * 1024 * 1024
"""Of one operator's documents: 300,000 Locations of 3 KiB."""

Key = tuple[str, str]
"""Operator, and `NO*ABC*LOC1`."""


class Shelf:
    """One object per server."""

    def __init__(self, peers: Peers, clock: Callable[[], Millis]) -> None:
        self._peers = peers
        self._clock = clock
        self._cache: OrderedDict[Key, bytes] = OrderedDict()
        self._cache_bytes = 0
        self._waiting: dict[Key, tuple[bytes, asyncio.Future[None]]] = {}
        self._locks: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self._used_bytes: dict[str, int] = {}
        self._writer: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def held(self, key: Key) -> AsyncIterator[bytes | None]:
        """The document, for the length of a block in which nobody else changes it; None where there is none.

        Raises:
            NotReady: the store cannot be read now.
        """
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        async with lock:
            yield await self.get(key)

    async def get(self, key: Key) -> bytes | None:
        """The document as it was stored last.

        Raises:
            NotReady: the store cannot be read now.
        """
        document = self._cache.get(key)
        if document is not None:
            self._cache.move_to_end(key)
            return document
        document = await self._peers.location(*key)
        if document is not None:
            self._remember(key, document)
        return document

    async def put(self, key: Key, document: bytes, before: bytes | None) -> None:
        """Stores the document; returns once it is durable. Only within `held`.

        Args:
            key: whose it is, and what it is called.
            document: the new one.
            before: the one that `held` gave.

        Raises:
            TooLarge: the operator has stored more than anyone needs.
            NotReady: the store cannot be written now; the document is what it was.
        """
        operator = key[0]
        used = self._used_bytes.get(operator)
        if used is None:
            used = await self._peers.stored_bytes(operator)
        grown = used + len(document) - len(before or b"")
        if grown > OPERATOR_BYTES_MAX and grown > used:
            raise TooLarge(
                f"{quoted(operator)} has stored {used} bytes of Locations; at most {OPERATOR_BYTES_MAX}"
            )
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[key] = (document, stored)
        if self._writer is None or self._writer.done():
            self._writer = tasks.start(self._write(), "store of OCPI locations", self._give_up)
        await stored
        self._used_bytes[operator] = self._used_bytes.get(operator, used) + len(document) - len(before or b"")
        self._remember(key, document)

    async def drain(self) -> None:
        """Returns when everything that was put is stored."""
        if self._writer is not None:
            await asyncio.wait({self._writer})

    def _give_up(self, _: Exception) -> None:
        """Nobody writes what waits: who waits is told so."""
        waiting, self._waiting = self._waiting, {}
        self._tell(waiting, NotReady("an internal error prevented the Location from being stored"))

    async def _write(self) -> None:
        while self._waiting:
            batch = {key: self._waiting[key] for key in list(self._waiting)[:BATCH_DOCUMENTS_MAX]}
            for key in batch:
                del self._waiting[key]
            error: LadestromError | None = None
            try:
                documents = {key: document for key, (document, _) in batch.items()}
                await self._peers.put_locations(documents, self._clock())
            except LadestromError as raised:
                error = raised
            except Exception as raised:
                self._tell(batch, NotReady("an internal error prevented the Location from being stored"))
                raise raised from None
            self._tell(batch, error)

    def _tell(
        self, batch: dict[Key, tuple[bytes, asyncio.Future[None]]], error: LadestromError | None
    ) -> None:
        for _, stored in batch.values():
            if stored.done():
                continue
            if error is None:
                stored.set_result(None)
            else:
                stored.set_exception(error)

    def _remember(self, key: Key, document: bytes) -> None:
        self._cache_bytes += len(document) - len(self._cache.pop(key, b""))
        self._cache[key] = document
        while self._cache_bytes > CACHE_BYTES_MAX and self._cache:
            _, dropped = self._cache.popitem(last=False)
            self._cache_bytes -= len(dropped)
