"""The Locations that peers of OCPI have put, and those that were pulled from them: read, changed and stored,
the writes of all that wait in one.

Knows documents. Must not know what is in them. A Location is locked from when it is read to be changed until
it is stored.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

import structlog

from ladestrom import tasks
from ladestrom.core.access import Reach
from ladestrom.core.directory import Directory
from ladestrom.errors import LadestromError, NotReady, TooLarge
from ladestrom.model import Millis, Operator
from ladestrom.ports.peers import Peers
from ladestrom.protocols.delivery import Delivery
from ladestrom.protocols.ocpi_locations import is_news
from ladestrom.protocols.ocpi_records import Records
from ladestrom.quoting import quoted
from ladestrom.tasks import Turns

logger = structlog.get_logger(__name__)

CACHE_BYTES_MAX: Final = 32 * 1024 * 1024
"""Of documents kept in memory: some ten thousand Locations, those that change."""
BATCH_DOCUMENTS_MAX: Final = 500
"""Written in one transaction: some 100 ms."""
PULLED_AT_ONCE_MAX: Final = 100
"""Locations that were pulled, read at once to compare them with what is there: they are held meanwhile."""
READ_AT_ONCE_MAX: Final = 200
"""Locations read from the store at once to learn what they list: some MB."""
OPERATOR_BYTES_MAX: Final = 1024 * 1024 * 1024
"""Of one operator's documents: 300,000 Locations of 3 KiB."""

Key = tuple[str, str]
"""Operator, and `NO*ABC*LOC1`."""


class LocationStore:
    """The Locations of all operators, by operator and id. One object per server."""

    def __init__(self, peers: Peers, directory: Directory, clock: Callable[[], Millis]) -> None:
        self._peers = peers
        self._directory = directory
        self._clock = clock
        self._records: dict[str, Records] = {}
        self._reading: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._full: set[str] = set()
        """Operators that have stored so much that nothing more is taken from them."""
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
        async with self._lock(key):
            yield await self.get(key)

    def _lock(self, key: Key) -> asyncio.Lock:
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        return lock

    async def records(self, operator: str) -> Records:
        """What the Locations of an operator list. It has to be known when one of them is changed.

        Raises:
            NotReady: the store cannot be read now.
        """
        lock = self._reading.get(operator)
        if lock is None:
            lock = self._reading[operator] = asyncio.Lock()
        async with lock:
            if operator not in self._records:
                made, after, turns = Records(), "", Turns()
                while some := await self._peers.locations(operator, after, READ_AT_ONCE_MAX):
                    for after, document in some:
                        made.put(after, None, document)
                        await turns.rest()
                self._records[operator] = made
        return self._records[operator]

    async def settled(self, records: Records, operator: Operator, delivery: Delivery) -> Delivery:
        """A delivery without what it takes away of EVSEs that another Location of the operator lists."""
        turns, covers = Turns(), Reach(operator).covers
        work = records.settling(
            delivery,
            lambda written, also, shared: self._directory.resolve(written, also, covers, shared)[0],
        )
        while True:
            try:
                next(work)
            except StopIteration as done:
                settled: Delivery = done.value
                return settled
            await turns.rest()

    async def pulled(self, operator: Operator, delivery: Delivery) -> Delivery:
        """Keeps the Locations that a delivery has, where they are news; `settled` then.

        Raises:
            NotReady: the store cannot be read or written now; doing it again does no harm.
        """
        records = await self.records(operator.name)
        documents, turns = delivery.documents or {}, Turns()
        # In one order, so that no two wait for each other.
        for names in tasks.parts(sorted(documents), PULLED_AT_ONCE_MAX):
            async with AsyncExitStack() as stack:
                for name in names:
                    await stack.enter_async_context(self._lock((operator.name, name)))
                before = await self._peers.some_locations(operator.name, names)
                news = []
                for name in names:
                    if is_news(before.get(name), documents[name]):
                        news.append(name)
                    await turns.rest()
                done = await asyncio.gather(
                    *(self.put((operator.name, name), documents[name], before.get(name)) for name in news),
                    return_exceptions=True,
                )
                for name, error in zip(news, done, strict=True):
                    if error is None:
                        records.put(name, before.get(name), documents[name])
                        await turns.rest()
                    elif not isinstance(error, TooLarge):
                        raise error
                    elif operator.name not in self._full:
                        self._full.add(operator.name)
                        logger.warning("Locations that were pulled are not kept", error=str(error))
        return await self.settled(records, operator, delivery)

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
        if operator not in self._used_bytes:
            stored_bytes = await self._peers.stored_bytes(operator)
            self._used_bytes.setdefault(operator, stored_bytes)
        used, growth = self._used_bytes[operator], len(document) - len(before or b"")
        if used + growth > OPERATOR_BYTES_MAX and growth > 0:
            raise TooLarge(
                f"{quoted(operator)} has stored {used} bytes of Locations; at most {OPERATOR_BYTES_MAX}"
            )
        # What is being stored counts already, as others are stored at the same time.
        self._used_bytes[operator] += growth
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[key] = (document, stored)
        if self._writer is None or self._writer.done():
            self._writer = tasks.start(self._write(), "store of OCPI locations", self._give_up)
        try:
            await stored
        except BaseException:
            self._used_bytes[operator] -= growth
            raise
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
