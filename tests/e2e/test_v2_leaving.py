"""Servers that go and come back: everybody is told when to return, returns, and has missed nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import struct
import threading
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx2
import pytest
from tests.contracts.frames import checked
from tests.e2e.consuming import Consumer
from tests.e2e.consuming import rest as rest_v1
from tests.e2e.following import CYCLE, Events, named, narrow, settled, towns
from tests.e2e.running import Running
from tests.e2e.serving import Serving, furnish, tick
from tests.e2e.wire import CLOSE, Ended, Wire, refusal
from tests.patience import DEADLINE_S, come_true, scaled

from ladestrom.client.aio import Lost, Opened
from ladestrom.client.v2_aio import Received as V2Received
from ladestrom.client.v2_aio import Transport, V2Follower
from ladestrom.client.v2_events import Changed, Leaving, Synced
from ladestrom.client.v2_session import Mode, V2Session
from ladestrom.edges import connection
from ladestrom.edges.connection import RETRY_MS_MAX, RETRY_MS_MIN
from ladestrom.model import Position
from ladestrom.outputs.stream_v2.edge import EVENTS_PATH, STREAM_PATH

SOON_MS: Final = (1_500, 2_000)
"""When servers of tests ask their consumers back: once they have surely gone."""
CHANCE: Final = 0.05
"""What delays are multiplied with."""
PACE_S: Final = 0.01
"""Between two changes of an operator."""
TOWNS: Final = 40
SIGNALS: Final = {signal.SIGTERM: 1001, signal.SIGUSR1: 1012}
"""What ends a server, and the close code by which consumers learn of it."""

Fate = tuple[str, str]
"""An EVSE, and a status that it came to have."""


class Keeper:
    """A consumer of version 2 with the client library, in a task of its own. An async context manager."""

    def __init__(
        self, url: str, key: str, over: Transport, mode: Mode = Mode.LATEST, since: Position | None = None
    ) -> None:
        self.session = V2Session(mode=mode, batch_ms=0)
        self.session.position = since
        self.synced = self.opened = self.resumed = 0
        self.told: list[Fate] = []
        """Changes, in order."""
        self.retries_ms: list[int] = []
        """What servers asked for when they went."""
        self.wrongs: list[str] = []
        """What no server may do."""
        self._follower = V2Follower(url, key, self.session, transport=over, chance=lambda: CHANCE)
        self._task: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    @property
    def seq(self) -> int:
        """Where it stands; -1 before the first snapshot."""
        return -1 if self.session.position is None else self.session.position.seq

    @property
    def board(self) -> dict[str, str]:
        """Status by EVSE."""
        return {row.evse: row.status for row in self.session.board.values()}

    async def _run(self) -> None:
        async with aclosing(self._follower.events()) as events:
            async for event in events:
                match event:
                    case Opened(since=since):
                        self.opened += 1
                        self.resumed += since is not None
                    case V2Received(event=Synced()):
                        self.synced += 1
                    case V2Received(event=Changed(rows=rows)):
                        self.told += [(row.evse, row.status) for row in rows]
                    case V2Received(event=Leaving(retry_after_ms=retry_ms)):
                        self.retries_ms.append(retry_ms)
                    case Lost(why=why, fault=fault) if fault is not None:
                        self.wrongs.append(why)


def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has servers that go ask their consumers back after `SOON_MS`."""
    monkeypatch.setattr(connection, "RETRY_MS_MIN", SOON_MS[0])
    monkeypatch.setattr(connection, "RETRY_MS_MAX", SOON_MS[1])


def run(work: Coroutine[Any, Any, None]) -> None:
    """Runs what a test does in a loop of its own."""
    with asyncio.Runner() as runner:
        runner.run(work)


async def statuses(url: str, key: str) -> dict[str, str]:
    """Status of every EVSE, by the list."""
    async with httpx2.AsyncClient(timeout=DEADLINE_S) as client:
        answer = await client.get(f"{url}/api/v2/evses?limit=1000", headers={"X-Api-Key": key})
    assert answer.status_code == 200, answer.text
    return {row["evse"]: row["status"] for row in answer.json()["items"]}


# -- a restart while changes come --------------------------------------------------------------------------


class Operator:
    """Reports changes one after the other, each until it is acknowledged, in a thread. A context manager."""

    def __init__(self, url: str, key: str) -> None:
        self.acknowledged: list[Fate] = []
        self.position = ""
        self._url, self._key = url, key
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends after the change that is under way."""
        self._stop.set()
        self._thread.join(DEADLINE_S)

    async def works(self) -> None:
        """Returns after some more changes."""
        known = len(self.acknowledged)
        await come_true(lambda: len(self.acknowledged) > known + 40, "changes are coming")

    def _run(self) -> None:
        status = ""
        with httpx2.Client(timeout=DEADLINE_S) as client:
            while not self._stop.is_set():
                status = CYCLE[status]
                for number in range(1, TOWNS + 1, 2):
                    self._report(client, named(number, 1), status)
                    self._stop.wait(PACE_S)

    def _report(self, client: httpx2.Client, evse: str, status: str) -> None:
        item = {"evse": evse, "status": status, "observed_at": tick()}
        while True:
            try:
                answer = client.post(
                    f"{self._url}/api/v2/reports", headers={"X-Api-Key": self._key}, json=item
                )
            except httpx2.HTTPError:
                if self._stop.wait(0.02):
                    return
                continue
            if answer.status_code == 200:
                self.acknowledged.append((evse, status))
                self.position = answer.json()["position"]
                return


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Running, dict[str, str]]]:
    """A server in a process of its own, and keys to it."""
    made = furnish(tmp_path / "data", towns(TOWNS))
    with Running(tmp_path) as server:
        server.start()
        yield server, {name: text for name, (text, _) in made.items()}


def test_every_consumer_comes_back_to_a_restarted_server_without_a_gap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon(monkeypatch)
    with (
        Serving(tmp_path, stations=towns(TOWNS)) as server,
        Operator(server.url, server.keys["alfa"]) as operator,
    ):
        run(_restarts(server, operator))


async def _restarts(server: Serving, operator: Operator) -> None:
    url, key = server.url, server.keys["stream"]
    kinds = [(over, mode) for over in Transport for mode in Mode]
    async with AsyncExitStack() as stack:
        keepers = {kind: await stack.enter_async_context(Keeper(url, key, *kind)) for kind in kinds}
        old = await stack.enter_async_context(Consumer(url, key, chance=CHANCE))
        await come_true(lambda: all(each.synced for each in keepers.values()), "all have a snapshot")
        await old.until(lambda consumer: consumer.snapshots)
        began = Position.parse(str(keepers[kinds[0]].session.position))
        for connections in range(1, 4):
            await come_true(
                lambda: {each.opened for each in keepers.values()} | {old.opened} == {connections},  # noqa: B023 - used before it changes
                "all came back",
            )
            await operator.works()
            if connections < 3:
                server.app.restarting = connections == 2
                await asyncio.to_thread(server.stop)
                await asyncio.to_thread(server.start)
        await asyncio.to_thread(operator.stop)
        end = Position.parse(operator.position)
        await come_true(lambda: all(each.seq >= end.seq for each in keepers.values()), "all are in step")
        await old.caught_up(operator.position)
        historian = Keeper(url, key, Transport.WEBSOCKET, Mode.EVERY, since=began)
        await stack.enter_async_context(historian)
        await come_true(lambda: historian.seq >= end.seq, "history was told")

        expected = await statuses(url, key)
        for kind, keeper in keepers.items():
            assert keeper.wrongs == [], kind
            assert (keeper.opened, keeper.resumed, keeper.synced) == (3, 2, 1), kind
            assert keeper.board == expected, kind
            assert len(keeper.retries_ms) == 2, kind
            if kind[1] is Mode.EVERY:
                assert ends_with(keeper.told, historian.told), "each change, once and in order"
        assert (old.snapshots, old.resumed, old.wrongs) == (1, 2, [])
        assert old.board == (await rest_v1(url, key, server.keys["alfa"]))[0]
        assert ends_with(operator.acknowledged, historian.told), "what was acknowledged, once and in order"


def ends_with(longer: list[Fate], shorter: list[Fate]) -> bool:
    """Whether the one is the end of the other, which may have begun earlier by what its snapshot held."""
    few = min(len(longer), len(shorter))
    return few > 0 and longer[-few:] == shorter[-few:]


# -- what is told ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_says_goodbye_in_each_streams_own_way(
    running: tuple[Running, dict[str, str]], number: signal.Signals
) -> None:
    server, keys = running
    headers = {"X-Api-Key": keys["stream"]}
    with contextlib.ExitStack() as stack:
        first = [stack.enter_context(Wire(server.port)) for _ in range(12)]
        second = [stack.enter_context(Wire(server.port)) for _ in range(12)]
        events = [stack.enter_context(Events(server.port)) for _ in range(12)]
        for wire in first:
            assert wire.open("/api/v1/stream/realtime", headers).message()["type"] == "snapshot:init"
        for wire in second:
            wire.open(STREAM_PATH, headers).until("snapshot")
        for each in events:
            each.ask(EVENTS_PATH, headers)
            assert [each.event().kind for _ in range(2)] == ["hello", "snapshot"]
        assert server.process is not None
        server.process.send_signal(number)
        code = SIGNALS[number]
        assert [wire.close_code() for wire in first] == [code] * len(first)
        drains = []
        for wire in second:
            drains.append(checked(wire.text()))
            with pytest.raises(Ended, match=f"^{code} .*since"):
                wire.text()
            wire.put(CLOSE, struct.pack("!H", code))
            assert wire.ended()
        for each in events:
            drain = each.event()
            drains.append(checked(drain.data))
            assert drain.retry_ms == drains[-1]["retry_after_ms"], "who reconnects by itself is spread, too"
            last = each.event()
            assert (last.kind, last.id) == ("close", None), "the position stays what it was"
            assert checked(last.data)["code"] == code
            assert each.ended()
        assert {drain["type"] for drain in drains} == {"drain"}
        hints = [drain["retry_after_ms"] for drain in drains]
        assert all(RETRY_MS_MIN <= hint < RETRY_MS_MAX for hint in hints)
        assert max(hints) - min(hints) > RETRY_MS_MAX / 4, "they are asked to spread"
        assert server.process.wait(DEADLINE_S) == 0
    assert "Traceback" not in server.said()


def test_the_first_signal_decides_and_those_after_it_change_nothing(
    running: tuple[Running, dict[str, str]],
) -> None:
    server, keys = running
    with Wire(server.port) as wire:
        wire.open("/api/v1/stream", {"X-Api-Key": keys["stream"]})
        assert server.process is not None
        server.process.send_signal(signal.SIGUSR1)
        while (got := wire.frame()).opcode != CLOSE:
            pass
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
            server.process.send_signal(number)
        assert got.code == 1012
        wire.put(CLOSE, got.payload[:2])
    assert server.process.wait(DEADLINE_S) == 0


def test_who_takes_nothing_does_not_keep_a_server_from_going(tmp_path: Path) -> None:
    settings = {"server.drain_s": scaled(1), "stream.write_buffer_kib_max": 16}
    with Serving(tmp_path, settings, stations=towns()) as server, contextlib.ExitStack() as stack:
        server.expects("graceful shutdown exceeded")
        stuck = [stack.enter_context(Wire(server.port, receive_bytes=4096)) for _ in range(8)]
        reading = [stack.enter_context(Wire(server.port)) for _ in range(8)]
        for wire in (*stuck, *reading):
            wire.open(f"{STREAM_PATH}?batch_ms=0", server.bearer())
        narrow(server)
        paused = lambda: sum(each.paused for each in server.app.reader.stream.connections)  # noqa: E731 - asked often
        for wire in reading:
            wire.until("snapshot")
        while server.call(paused) < len(stuck):
            items = [
                {"evse": named(town, 1), "status": status, "observed_at": at}
                for status, at in (("CHARGING", tick()), ("AVAILABLE", tick()))
                for town in range(1, TOWNS + 1, 2)
            ]
            server.report(*items)
            last = settled(server)
            for wire in reading:
                while wire.until("changes")["seq"] < last:
                    pass
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert [wire.close_code() for wire in reading] == [1001] * len(reading), "the others are told"
        stopping.join(DEADLINE_S)
        assert not stopping.is_alive(), "it does not wait for them"
        assert all(wire.ended() for wire in stuck)


def test_a_server_that_goes_takes_no_new_consumers_and_says_so(tmp_path: Path) -> None:
    with Serving(tmp_path) as server:
        server.call(server.app.reader.stream.drain)
        for path in ("/api/v1/stream", STREAM_PATH):
            with Wire(server.port) as wire:
                wire.open(path, server.bearer())
                assert (wire.response.status, refusal(wire)["code"]) == (503, "overloaded")
                assert wire.response.headers["retry-after"]
        with Events(server.port) as events:
            events.ask(EVENTS_PATH, server.bearer())
            assert (events.response.status, refusal(events)["code"]) == (503, "overloaded")
            assert events.response.headers["retry-after"]
        assert server.get("/api/v2/evses").status_code == 200, "what was asked for is answered"


# -- everybody at once -------------------------------------------------------------------------------------

CROWD: Final = 500
BY_EVENTS: Final = 20


def test_all_who_are_cut_off_at_once_come_back_and_resume(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon(monkeypatch)
    with Serving(tmp_path, stations=towns()) as server:
        run(_crowd(server))


async def _crowd(server: Serving) -> None:
    async with AsyncExitStack() as stack:
        crowd = [
            await stack.enter_async_context(
                Keeper(
                    server.url,
                    server.keys["stream"],
                    Transport.EVENTS if number < BY_EVENTS else Transport.WEBSOCKET,
                )
            )
            for number in range(CROWD)
        ]
        await come_true(lambda: all(each.synced for each in crowd), "all have a snapshot")
        for round_, cut in enumerate((server.app.reader.stream.abort, None), 2):
            if cut is not None:
                server.call(cut)
            else:
                await asyncio.to_thread(server.stop)
                await asyncio.to_thread(server.start)
            status, at = ("", "", "CHARGING", "AVAILABLE")[round_], tick()
            items = [
                {"evse": named(number, 1), "status": status, "observed_at": at}
                for number in range(1, TOWNS + 1, 2)
            ]
            await asyncio.to_thread(server.report, *items)
            last = await asyncio.to_thread(settled, server)
            await come_true(lambda: all(each.seq >= last for each in crowd), "all are in step")  # noqa: B023 - used before it changes
            assert all(each.opened >= round_ for each in crowd)
        expected = await statuses(server.url, server.keys["stream"])
        assert [each.board == expected for each in crowd] == [True] * CROWD
        assert Counter(each.synced for each in crowd) == {1: CROWD}, "by resuming"
        assert [wrong for each in crowd for wrong in each.wrongs] == []
        hints = [hint for each in crowd for hint in each.retries_ms]
        assert len(hints) == CROWD, "each was told once, when the server stopped"
        assert len(set(hints)) > CROWD / 4, "at times of their own"
        assert len(server.app.reader.stream.connections) == CROWD
        assert json.loads(server.get("/readyz", key=None).text)["status"] == "ready"
