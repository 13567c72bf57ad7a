"""Consumers of version 2 by hand, over WebSocket and as server-sent events, and what they must end up with.

    with Follower(server, {"country": "NOR"}, over="events") as follower:
        follower.until("snapshot")
        position = report(server, E1, "CHARGING")
        follower.reach(position)
        assert follower.board == listed(server, "country=NOR")

A follower fails on what no server may say: messages of another shape than the published types, a gap in the
chain, a digest that is not its own.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, NamedTuple, Self
from urllib.parse import quote, urlencode
from weakref import WeakKeyDictionary

import msgspec
from tests import digests
from tests.contracts.frames import checked
from tests.e2e.running import PATIENT
from tests.e2e.serving import Serving, evse, station, tick
from tests.e2e.wire import CLOSE, TEXT, Ended, Wire, request
from tests.patience import DEADLINE_S, POLL_S, until

from ladestrom.client.v2_events import Fault
from ladestrom.client.v2_session import Mode, V2Session
from ladestrom.model import Entry, StatusChanged
from ladestrom.outputs.stream_v2.edge import EVENTS_PATH, STREAM_PATH
from ladestrom.outputs.stream_v2.encoder import ServerMessage
from ladestrom.ports.registry import StationDraft

Transport = Literal["websocket", "events"]
TRANSPORTS: Final[tuple[Transport, ...]] = ("websocket", "events")
CLOSE_EVENT: Final = "close"
E1: Final = "NO*ALF*E1333*1"
E2: Final = "NO*ALF*E1333*2"
SWEDISH: Final = "SE*BET*E7*1"

State = tuple[str, str, int, str | None]
"""Station, status, error, changed_at."""

_decode: Final = msgspec.json.Decoder(ServerMessage).decode


class Event(NamedTuple):
    """One server-sent event."""

    kind: str
    data: bytes
    id: str | None
    fields: tuple[str, ...]
    """Names of its lines, in order."""
    retry_ms: int | None = None


class Events(Wire):
    """A stream of server-sent events (WHATWG HTML, section 9.2.6), read by hand."""

    def ask(self, target: str, headers: Mapping[str, str] | None = None) -> Self:
        """Sends the request and reads the answer's head, `response`."""
        self.send(request(target, {"Host": f"127.0.0.1:{self.port}", **(headers or {})}))
        return self.begun()

    def begun(self) -> Self:
        """Reads the answer's head."""
        self.response = self.head()
        return self

    @property
    def port(self) -> int:
        return int(self.socket.getpeername()[1])

    def event(self) -> Event:
        """The next event."""
        while (end := self.buffer.find(b"\n\n")) < 0:
            self.fill()
        lines = [line.partition(b": ") for line in self.take(end + 2).removesuffix(b"\n\n").split(b"\n")]
        found = {name.decode(): value for name, _, value in lines}
        assert len(found) == len(lines), "a field stands twice"
        assert checked(found["data"])["type"] == found["event"].decode()
        identity = found.get("id")
        return Event(
            found["event"].decode(),
            found["data"],
            None if identity is None else identity.decode(),
            tuple(found),
            int(found["retry"]) if "retry" in found else None,
        )


class Follower:
    """One consumer. A context manager that closes its connection; its session outlives that."""

    def __init__(
        self,
        server: Serving,
        selection: Mapping[str, str] | None = None,
        *,
        over: Transport = "websocket",
        mode: Mode = Mode.LATEST,
        batch_ms: int | None = 0,
        key: str = "stream",
        headers: Mapping[str, str] | None = None,
        session: V2Session | None = None,
        include_stations: bool = False,
        **options: Any,
    ) -> None:
        """Connects; with a session that was followed before, from where it stands.

        Args:
            server: where to.
            selection: filters by name.
            over: the transport.
            mode: what is told of the past.
            batch_ms: how long changes are gathered; None leaves that to the server.
            key: one of `server.keys`.
            headers: further ones.
            session: the memory of an earlier connection; selection, mode and batch_ms are its own.
            include_stations: whether records are told, too.
            options: of the wire.
        """
        self.session = session or V2Session(
            selection, mode=mode, batch_ms=batch_ms, include_stations=include_stations
        )
        self.over = over
        self.told: list[dict[str, Any]] = []
        """Messages of this connection."""
        self.ids: list[str] = []
        """Positions that events carried."""
        query = self.session.ask()
        carried = {**server.bearer(key), **(headers or {})}
        if self.session.since is not None and over == "events":
            carried["Last-Event-ID"] = self.session.since
        elif self.session.since is not None:
            query["since"] = self.session.since
        asked = urlencode(query)
        self.wire = Wire(server.port, **options) if over == "websocket" else Events(server.port, **options)
        try:
            if isinstance(self.wire, Events):
                self.wire.ask(f"{EVENTS_PATH}?{asked}", carried)
                assert self.wire.response.status == 200, self.wire.response
            else:
                self.wire.open(f"{STREAM_PATH}?{asked}", carried)
                assert self.wire.response.status == 101, self.wire.response
        except BaseException:
            self.wire.close()
            raise
        self.session.open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wire.close()

    @property
    def seq(self) -> int:
        """Where it stands; -1 before the first snapshot."""
        return -1 if self.session.position is None else self.session.position.seq

    @property
    def board(self) -> dict[str, State]:
        """What it knows."""
        return {
            row.evse: (row.station, row.status, row.error, row.changed_at)
            for row in self.session.board.values()
        }

    @property
    def changes(self) -> list[dict[str, Any]]:
        """Every change told on this connection, in order."""
        return [row for each in self.told if each["type"] == "changes" for row in each["changes"]]

    def payload(self) -> bytes:
        """The next message; the end of the connection raises `Ended` with code and reason."""
        if not isinstance(self.wire, Events):
            return self.wire.text()
        event = self.wire.event()
        if event.kind == CLOSE_EVENT:
            last = json.loads(event.data)
            assert self.wire.ended()
            raise Ended(f"{last['code']} {last['reason']}")
        assert event.kind == json.loads(event.data)["type"]
        if event.id is not None:
            self.ids.append(event.id)
        return event.data

    def message(self) -> dict[str, Any]:
        """The next message, folded."""
        payload = self.payload()
        assert msgspec.json.encode(_decode(payload)) == payload, "not of the published shape"
        found: dict[str, Any] = json.loads(payload)
        self.told.append(found)
        event = self.session.receive(payload)
        assert not isinstance(event, Fault), (event, payload[:500])
        return found

    def until(self, kind: str) -> dict[str, Any]:
        """The next message of this type; others are folded too."""
        while (found := self.message())["type"] != kind:
            pass
        return found

    def synced(self) -> Self:
        """Takes messages until a snapshot is complete."""
        while (found := self.until("snapshot"))["part"] < found["parts"]:
            pass
        return self

    def reach(self, seq: int) -> Self:
        """Takes messages until it stands there."""
        while self.seq < seq:
            self.message()
        return self

    def confirmed(self, server: Serving) -> Self:
        """Has the server send heartbeats, and takes messages until one that was sent then."""
        seq = settled(server)
        beat(server)
        while (found := self.until("heartbeat"))["seq"] < seq:
            pass
        assert (found["count"], found["digest"]) == (len(self.board), digest(self.board))
        return self

    def select(self, **selection: str) -> None:
        """Asks for another selection."""
        self.wire.put(TEXT, self.session.select(selection))

    def ended(self) -> tuple[int, str]:
        """Takes messages to the end of the connection: its code and reason."""
        while True:
            try:
                self.message()
            except Ended as end:
                code, _, reason = str(end).partition(" ")
                if self.over == "websocket":
                    self.wire.put(CLOSE, struct.pack("!H", int(code)))
                    assert self.wire.ended()
                    self.wire.close()
                return int(code), reason


def beat(server: Serving) -> None:
    """Makes the heartbeats of all consumers due."""

    def due() -> None:
        broadcast = server.app.reader.broadcast
        for channel in broadcast._channels.all.values():
            channel.heartbeat_due_s = 0.0
        broadcast._channels.wake.set()

    server.call(due)


def outlast(server: Serving) -> None:
    """Has the server look after consumers until all that take nothing have done so for as long as they may."""
    look_s = int(PATIENT["stream.stalled_s"]) + 1

    def stuck() -> int:
        return sum(each.paused and not each._closing for each in server.app.reader.stream.connections)

    # What the operating system still takes makes a consumer look as if it read: its time begins anew.
    for look in range(LOOKS_MAX):
        server.look_after(seconds=look * look_s)
        if not server.call(stuck):
            break
        time.sleep(POLL_S)


def narrow(server: Serving) -> None:
    """Leaves the operating system little to keep for consumers that do not read: the rest is the server's."""

    def shrink() -> None:
        for connection in server.app.reader.stream.connections:
            connection._transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_SNDBUF, 4096
            )

    server.call(shrink)


def waiting_bytes(server: Serving) -> list[int]:
    """What waits for each consumer in the server."""
    return server.call(
        lambda: [each._transport.get_write_buffer_size() for each in server.app.reader.stream.connections]
    )


def digest(board: Mapping[str, State]) -> str:
    """What a board adds up to, by the published rule."""
    return digests.digest((name, *state[1:]) for name, state in board.items())


def settled(server: Serving) -> int:
    """The newest sequence, once readers were told of everything that is logged."""
    until(lambda: server.app.reader.view.seq == server.app.log.last.seq, "readers are in step with the log")
    return server.app.reader.view.seq


def listed(server: Serving, query: str = "") -> dict[str, State]:
    """Every EVSE of a selection, by the lists."""
    found: dict[str, State] = {}
    path = f"/api/v2/evses?{query}&limit=1000"
    while path:
        answer = server.get(path)
        assert answer.status_code == 200, answer.text
        for item in answer.json()["items"]:
            assert item["evse"] not in found, "an EVSE is listed twice"
            found[item["evse"]] = (item["station"], item["status"], item["error"], item["changed_at"])
        path = answer.headers.get("link", "").partition("<")[2].partition(">")[0]
    return found


def logged(server: Serving, after: int = 0) -> list[Entry]:
    """What the log has after a position."""

    async def read() -> list[Entry]:
        return list(await server.app.log.read(after, 1_000_000))

    return asyncio.run_coroutine_threadsafe(read(), server._loop).result(DEADLINE_S)


def status_entries(server: Serving, after: int = 0) -> list[StatusChanged]:
    """What the log has of statuses after a position."""
    return [entry for entry in logged(server, after) if isinstance(entry, StatusChanged)]


def report(server: Serving, evse: str, status: str, key: str = "alfa", **more: object) -> int:
    """Reports one status that is a change: its sequence."""
    receipt = server.report({"evse": evse, "status": status, "observed_at": tick(), **more}, key=key)
    assert receipt["accepted"] == 1, receipt
    return int(receipt["position"].rpartition("-")[2])


def flip(server: Serving, evse: str = E1, key: str = "alfa") -> int:
    """Changes the status of an EVSE, whatever it was: the sequence."""
    is_free = server.get(f"/api/v2/evses/{quote(evse)}").json()["status"] == "AVAILABLE"
    return report(server, evse, "CHARGING" if is_free else "AVAILABLE", key)


def example(beginning: str, server: Serving | None = None, document: str = "docs/consumers.md") -> str:
    """The piece of code in a document that begins so; with a server, for that instead of the one of the demo."""
    text = (Path(__file__).resolve().parents[2] / document).read_text()
    blocks = [each.partition("\n")[2] for each in text.split("```")[1::2]]
    (found,) = [each for each in blocks if each.startswith(beginning)]
    if server is None:
        return found
    at_server = found.replace("127.0.0.1:8383", f"127.0.0.1:{server.port}")
    return at_server.replace('"demo"', f'"{server.keys["stream"]}"')


# -- a small country under load ----------------------------------------------------------------------------


def named(number: int, place: int) -> str:
    """Id of an EVSE of `towns`; both count from 1."""
    return f"{'NO*ALF' if number % 2 else 'SE*BET'}*E{number}*{place}"


def towns(stations: int = 40, evses: int = 3) -> list[StationDraft]:
    """Stations in turn of two operators in two countries; every second one is Norwegian and `alfa`'s."""
    return [
        station(
            f"{'NOR' if number % 2 else 'SWE'}_{number:05d}",
            "NOR" if number % 2 else "SWE",
            (10 + number / 100, 60.0),
            [evse(named(number, place), party=_party(number)) for place in range(1, evses + 1)],
        )
        for number in range(1, stations + 1)
    ]


def _party(number: int) -> str:
    return "NOALF" if number % 2 else "SEBET"


def operate(
    server: Serving,
    key: str,
    rounds: int = 60,
    stations: int = 40,
    evses: int = 3,
    *,
    enough: Callable[[], bool] = lambda: True,
) -> int:
    """An operator of `towns` under full load, for at least so many rounds; says how many changes it made."""
    chance = random.Random(key)
    first = 1 if key == "alfa" else 2
    accepted = 0
    while rounds > 0 or not enough():
        rounds -= 1
        items = [
            {
                "evse": named(number, chance.randint(1, evses)),
                "status": chance.choice(["AVAILABLE", "CHARGING", "OUTOFORDER", "UNKNOWN"]),
            }
            for number in chance.choices(range(first, stations + 1, 2), k=25)
        ]
        receipt = server.report(*items, key=key)
        assert receipt["refused"] == []
        accepted += receipt["accepted"]
    return accepted


LOOKS_MAX: Final = 25
"""Before those who are well would have to answer a ping."""
CYCLE: Final = {"": "CHARGING", "CHARGING": "AVAILABLE", "AVAILABLE": "OUTOFORDER", "OUTOFORDER": "CHARGING"}
_statuses: Final[WeakKeyDictionary[Serving, str]] = WeakKeyDictionary()
"""What `churn` last reported of all."""


def churn(server: Serving, rounds: int, stations: int = 40, evses: int = 3) -> int:
    """Changes every Norwegian EVSE of `towns` so often; the last sequence."""
    position = 0
    for _ in range(rounds):
        status = _statuses[server] = CYCLE[_statuses.get(server, "")]
        at = tick()
        items = [
            {"evse": named(number, place), "status": status, "observed_at": at}
            for number in range(1, stations + 1, 2)
            for place in range(1, evses + 1)
        ]
        receipt = server.report(*items)
        assert receipt["accepted"] == len(items), receipt
        position = int(receipt["position"].rpartition("-")[2])
    return position
