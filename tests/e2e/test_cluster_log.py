"""A log in PostgreSQL that several processes want to write: whatever happens to them, one does, and nothing is lost."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import pytest
from tests import postgres
from tests.building import TIMES, make_change, make_changes, make_evse
from tests.cluster_writer import Found, read_back
from tests.clustering import Process
from tests.patience import come_true, until

from ladestrom.backends.opening import Opening
from ladestrom.backends.postgres.opening import open_log, open_reader, open_writable
from ladestrom.backends.postgres.repair import begin_epoch
from ladestrom.cli import main
from ladestrom.errors import Deposed, InvalidSetting, LogDamaged, LogFailure, LogReplaced
from ladestrom.model import Entry
from ladestrom.ports.log import BoardRow


@pytest.fixture
def url() -> str:
    """Where there is no log yet."""
    return postgres.server().new_address()


@contextmanager
def processes(url: str, folder: Path, names: str) -> Iterator[list[Process]]:
    with ExitStack() as stack:
        yield [stack.enter_context(Process(url, folder / name, name)) for name in names]


async def judged(url: str, folder: Path, *whose: Process) -> Found:
    """Nothing acknowledged is lost, nothing is there twice, and no number is missing."""
    found = await read_back(url, folder, {each.name: each.lines for each in whose})
    assert (found.lost, found.double, found.holes) == (0, 0, 0), found
    assert found.acknowledged > 0
    return found


async def test_writers_that_are_killed_stopped_and_relieved_lose_nothing(url: str, tmp_path: Path) -> None:
    with processes(url, tmp_path, "ab") as (first, second):
        until(lambda: first.said("writing") or second.said("writing"))
        holder, standby = (first, second) if first.said("writing") else (second, first)
        holder.acknowledges()
        # One that stands still for longer than the lease is refused when it goes on.
        holder.signal(signal.SIGSTOP)
        until(lambda: standby.said("writing"), "the standby takes over")
        standby.acknowledges()
        holder.signal(signal.SIGCONT)
        until(lambda: holder.said("deposed") or holder.said("failed"), "the zombie is refused")
        # One that is told to end lets the other one go on at once.
        standby.signal(signal.SIGTERM)
        until(lambda: holder.said("writing", 2), "it is relieved")
        holder.acknowledges()
        with Process(url, tmp_path / "c", "c") as third:
            holder.signal(signal.SIGKILL)
            until(lambda: third.said("writing"), "the next one takes over")
            third.acknowledges()
            third.signal(signal.SIGTERM)
            until(lambda: third.said("ended"))
            await judged(url, tmp_path, first, second, third)


async def test_who_is_deposed_is_told_so_and_writes_nothing_more(url: str, tmp_path: Path) -> None:
    opening = Opening(url=url, folder=tmp_path)
    first, second = await open_writable(opening), await open_writable(opening)
    try:
        await first.take(1)
        entries = [*await first.append(make_changes(3))]
        await second.take(2)
        assert await second.read(0, 10) == entries
        for _ in range(2):
            with pytest.raises(Deposed):
                await first.append(make_changes(1))
        assert isinstance(first.fault, Deposed)
        for refused in (first.probe(), first.checkpoint([], 3, TIMES)):
            with pytest.raises(Deposed):
                await refused
        with pytest.raises(Deposed):
            await first.take(2)
        entries += await second.append(make_changes(2, 3))
        assert await second.read(0, 10) == entries
    finally:
        await first.close()
        await second.close()


async def test_a_writer_whose_log_lost_its_end_stops_and_the_next_one_begins_an_epoch(
    url: str, tmp_path: Path
) -> None:
    opening = Opening(url=url, folder=tmp_path)
    log = await open_log(opening)
    await log.append(make_changes(2))
    await log.append(make_changes(2, 2))
    # As a standby that did not have the last block yet.
    lost = (
        "UPDATE log_meta SET last = 2, block = 2, crc = each.crc FROM log_blocks AS each WHERE each.number = 2; "
        "DELETE FROM log_blocks WHERE last > 2"
    )
    postgres.server().sql(within(url, lost))
    for _ in range(2):
        with pytest.raises(Deposed, match="lost its end"):
            await log.append(make_changes(1, 4))
    epoch = log.last.epoch
    await log.close()
    log = await open_log(opening)
    assert log.last.epoch != epoch
    assert [entry.seq for entry in await log.append(make_changes(1, 9))] == [3]
    await log.close()


def within(url: str, statements: str) -> str:
    return f"SET search_path TO {schema(url)}; {statements}"


# -- answers that are lost ---------------------------------------------------------------------------------


class Proxy:
    """Passes bytes on to PostgreSQL's socket, and can swallow what comes back."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._open: set[asyncio.StreamWriter] = set()
        self.swallowing = False
        self.swallowed = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to = await asyncio.open_unix_connection(self._socket)
        self._open |= {writer, to}
        back = asyncio.create_task(self._back(there, writer))
        try:
            while data := await reader.read(65_536):
                to.write(data)
        except ConnectionError:
            pass
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            for each in (to, writer):
                each.close()
                self._open.discard(each)

    async def _back(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await there.read(65_536):
            if self.swallowing:
                # What was asked has been done; nobody will know from this.
                self.swallowed.set()
                writer.transport.abort()
                return
            writer.write(data)

    def cut(self) -> None:
        for each in self._open:
            each.transport.abort()


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy before the server of an address, and the address through it."""
    server = postgres.server()
    proxy = Proxy(server.folder / ".s.PGSQL.5432")
    listening = await asyncio.start_server(proxy, "127.0.0.1", 0)
    try:
        port = listening.sockets[0].getsockname()[1]
        schema = urlsplit(url).query.rpartition("schema=")[2]
        yield proxy, f"postgresql://{postgres.USER}@127.0.0.1:{port}/postgres?sslmode=disable&schema={schema}"
    finally:
        proxy.cut()
        listening.close()


async def test_an_append_whose_answer_is_lost_is_neither_lost_nor_doubled(url: str, tmp_path: Path) -> None:
    random = Random(17)
    async with proxied(url) as (proxy, through):
        log = await open_log(Opening(url=through, folder=tmp_path))
        entries: list[Entry] = []
        for number in range(12):
            proxy.swallowed.clear()
            proxy.swallowing = random.random() < 0.7
            appending = asyncio.create_task(log.append([make_change(make_evse(f"NO*ABC*E{number}"))]))
            if proxy.swallowing:
                await proxy.swallowed.wait()
                proxy.swallowing = False
            entries += await appending
        assert [entry.seq for entry in entries] == list(range(1, 13))
        assert await log.read(0, 100) == entries
        await log.close()


async def test_what_is_appended_while_there_is_no_connection_is_certainly_not(
    url: str, tmp_path: Path
) -> None:
    async with proxied(url) as (_, through):
        log = await open_log(Opening(url=through, folder=tmp_path))
        await log.append(make_changes(1))
        connection = await log._place.link.connection()
    # The proxy is gone.
    await come_true(connection.is_closed)
    with pytest.raises(LogFailure, match="nothing was accepted"):
        await log.append(make_changes(1, 1))
    await log.close()
    reader = await open_reader(Opening(url=url, folder=tmp_path))
    assert reader.last.seq == 1
    await reader.close()


# -- readers -----------------------------------------------------------------------------------------------


async def test_a_reader_elsewhere_has_the_same_entries_board_and_stations(url: str, tmp_path: Path) -> None:
    opening = Opening(url=url, folder=tmp_path)
    log = await open_log(opening)
    entries = [*await log.append(make_changes(5))]
    rows = [BoardRow(entry.seq, entry.change, 1, 1, "abc") for entry in entries[:3]]  # type: ignore[arg-type]
    await log.checkpoint(rows, 3, TIMES)
    reader = await open_reader(opening)
    assert (await reader.recover()).rows == (await log.recover()).rows
    assert (reader.last, reader.first, reader.times) == (log.last, log.first, log.times)
    followed: list[Entry] = []

    async def follow() -> None:
        async for batch in reader.tail(2):
            followed.extend(batch)

    following = asyncio.create_task(follow())
    await come_true(lambda: len(followed) == 3)
    entries += await log.append(make_changes(2, 5))
    await come_true(lambda: followed == entries[2:])
    assert reader.last == log.last
    # A new epoch ends whoever follows: numbers of the old one are no positions in it.
    await log.close()
    edit = "UPDATE log_meta SET renew = 'a test'"
    postgres.server().sql(within(url, edit))
    log = await open_log(opening)
    assert log.last.epoch != reader.last.epoch
    with pytest.raises(LogReplaced, match="epoch"):
        await following
    await log.close()
    await reader.close()


def schema(url: str) -> str:
    return url.rpartition("schema=")[2]


async def test_a_block_that_was_edited_ends_readers_and_the_repair_begins_an_epoch_without_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opening = Opening(url=url, folder=tmp_path)
    log = await open_log(opening)
    for start in range(3):
        entries = await log.append(make_changes(2, 2 * start))
    epoch = log.last.epoch
    rows = [BoardRow(entry.seq, entry.change, 1, 1, "abc") for entry in entries[:1]]  # type: ignore[arg-type]
    await log.checkpoint(rows, 5, TIMES)
    await log.close()
    # Block 1 is the empty one of the writer.
    edit = "UPDATE log_blocks SET body = set_byte(body, octet_length(body) - 9, 65) WHERE number = 3"
    postgres.server().sql(within(url, edit))
    reader = await open_reader(opening)
    with pytest.raises(LogDamaged, match=r"block 3 is not as it was written.*new-epoch") as caught:
        await reader.read(1, 10)
    assert caught.value.seq == 3
    assert reader.fault is not None
    await reader.close()
    monkeypatch.setenv("LADESTROM_LOG__URL", url)
    monkeypatch.setenv("LADESTROM_DATA", str(tmp_path))
    assert await asyncio.to_thread(main, ["log", "new-epoch"]) == 0
    told = capsys.readouterr().err
    assert "damaged: block 3" in told
    assert "begins with entry 5 now" in told
    assert "lost" not in told
    log = await open_log(opening)
    assert (log.first, log.last.seq, log.last.epoch != epoch) == (5, 6, True)
    assert [row.seq for row in (await log.recover()).rows] == [5, 6]
    assert (await log.append(make_changes(1, 6)))[0].seq == 7
    assert [entry.seq for entry in await log.read(0, 10)] == [5, 6, 7]
    await log.close()
    assert (await begin_epoch(opening)).damage == ""


async def test_full_durability_is_refused_where_the_database_does_not_give_it(
    url: str, tmp_path: Path
) -> None:
    server = postgres.server()
    server.sql("ALTER ROLE ladestrom SET synchronous_commit = off")
    try:
        with pytest.raises(InvalidSetting, match="synchronous_commit"):
            await open_log(Opening(url=url, folder=tmp_path))
        log = await open_log(Opening(url=url, folder=tmp_path, durability="relaxed"))
        assert len(await log.append(make_changes(2))) == 2
        await log.close()
    finally:
        server.sql("ALTER ROLE ladestrom RESET synchronous_commit")
