"""A country's sources at once: five operators in five protocols, each of which can fail in a way of its own.

    with Mixing(tmp_path, Load()) as world:
        world.settle()                       every EVSE is known as its operator knows it
        world.feeds["datex2"].fail()
        world.run_for(3)
        world.lags("plain")                  seconds from a change to its arrival at a consumer
        world.feeds["datex2"].heal()

The server is a process of its own; the operators are threads of this one. `Load` says how much there is: ten
times Germany's whole feed is 140 messages, 1,700 observations and 90 changes a second.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, NamedTuple, Self

import httpx2
import websockets.sync.client
from tests.e2e.answering import Answering, Asked, plain, trickling
from tests.e2e.realtime import Realtime
from tests.e2e.running import Running
from tests.patience import DEADLINE_S, scaled
from websockets.exceptions import ConnectionClosed, WebSocketException

from ladestrom.backends.sql import open_store
from ladestrom.core.access import create_key, operator_from
from ladestrom.model import Connector, Evse, Outlet, Station, evse_key
from ladestrom.ports.registry import StationDraft
from ladestrom.ports.sources import SourceRecord

EVSES_PER_STATION = 4
WORDS = ("AVAILABLE", "CHARGING", "OUTOFORDER")
DAY_MS = 86_400_000
SETTINGS = {
    "sources.answer_s_max": str(scaled(2)),
    "sources.failures_max": "2",
    "sources.rest_s": "1",
    "sources.lost_after_s": "2",
    "stream.heartbeat_s": "2",
}


class Load(NamedTuple):
    """How much of it."""

    bulk_evses: int = 500
    """Of each of the three operators that send or offer everything, once a second."""
    single_evses: int = 400
    """Of each of the two that send one at a time."""
    plain_per_s: int = 100
    realtime_per_s: int = 40
    changes_per_s: int = 18
    """Of each operator."""


class Feed:
    """One operator: what it knows, and how it tells."""

    number: ClassVar[int]
    protocol: ClassVar[str]
    source: ClassVar[str]
    """What the server calls it."""

    def __init__(self, evses: int, load: Load) -> None:
        self.load = load
        self.party = f"FRA{self.number:02d}"
        self.operator = f"operator {self.number}"
        self.evses = [f"FR*A{self.number:02d}*E{place:06d}" for place in range(evses)]
        self.truth: dict[str, str] = {}
        self.changed_s: dict[str, float] = {}
        self.failing = False
        self.lock = threading.Lock()
        self._random = random.Random(self.number)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.protocol, daemon=True)
        self.error: BaseException | None = None
        for evse in self.evses:
            self.truth[evse] = self._random.choice(WORDS)
            self.changed_s[evse] = time.time()

    # -- what happens at its stations ----------------------------------------------------------------------

    def change(self, count: int) -> list[str]:
        """So many EVSEs change; which."""
        with self.lock:
            chosen = self._random.sample(self.evses, count)
            for evse in chosen:
                self.truth[evse] = self._random.choice([word for word in WORDS if word != self.truth[evse]])
                self.changed_s[evse] = time.time()
        return chosen

    def known(self) -> list[tuple[str, str, float]]:
        """EVSE, status, and since when, all at one moment."""
        with self.lock:
            return [(evse, self.truth[evse], self.changed_s[evse]) for evse in self.evses]

    # -- its thread ----------------------------------------------------------------------------------------

    def start(self, world: Mixing) -> None:
        self.world = world
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(DEADLINE_S)

    def _run(self) -> None:
        beats, second = 10, time.monotonic()
        beat = 0
        try:
            while not self._stopping.is_set():
                beat += 1
                if self.load.changes_per_s:
                    due = (
                        beat * self.load.changes_per_s // beats
                        - (beat - 1) * self.load.changes_per_s // beats
                    )
                    self.change(due) if due else None
                self.tell(beat)
                self._stopping.wait(max(0.0, second + beat / beats - time.monotonic()))
        except BaseException as error:  # noqa: BLE001 - the test is told
            self.error = error

    def tell(self, beat: int) -> None:
        """Ten times a second."""

    def fail(self) -> None:
        """Fails in its way, until `heal`."""
        self.failing = True

    def heal(self) -> None:
        self.failing = False

    @property
    def record(self) -> SourceRecord | None:
        """For the store, where it is asked or followed."""
        return None

    def _asked(self, address: str, **options: str) -> SourceRecord:
        at = int(time.time() * 1000)
        poll_s = None if self.protocol == "nobil-realtime" else 1
        return SourceRecord(
            name=self.source,
            operator=self.operator,
            protocol=self.protocol,
            address=address,
            options=options,
            poll_s=poll_s,
            added_at=at,
            changed_at=at,
        )


class PlainFeed(Feed):
    """Many small messages over a WebSocket. Fails by sending garbage as fast as it can."""

    number = 1
    protocol = "plain"
    source = "operator 1/plain"

    def __init__(self, evses: int, load: Load) -> None:
        super().__init__(evses, load)
        self._stack = ExitStack()
        self._socket: websockets.sync.client.ClientConnection | None = None
        self._told: dict[str, str] = {}

    def tell(self, beat: int) -> None:
        if self._socket is None:
            address = f"ws://127.0.0.1:{self.world.server.port}/api/v2/reports/stream"
            headers = {"Authorization": f"Bearer {self.world.keys[self.operator]}"}
            self._socket = self._stack.enter_context(
                websockets.sync.client.connect(
                    address, additional_headers=headers, open_timeout=DEADLINE_S, ping_timeout=DEADLINE_S
                )
            )
        if self.failing:
            self._exchange(["[{" * 100] * 50)
            return
        known = self.known()
        count = self.load.plain_per_s // 10
        due = [each for each in known if self._told.get(each[0]) != each[1]][: count * 5]
        chosen = due + self._random.sample(known, max(1, count - len(due)))
        self._told.update((evse, word) for evse, word, _ in chosen)
        self._exchange(
            [
                json.dumps({"evse": evse, "status": word, "observed_at": int(since * 1000)})
                for evse, word, since in chosen
            ]
        )

    def _exchange(self, messages: Sequence[str]) -> None:
        """Sends them all, then waits for the receipt of each."""
        assert self._socket is not None
        for message in messages:
            self._socket.send(message)
        for _ in messages:
            self._socket.recv(DEADLINE_S)

    def stop(self) -> None:
        super().stop()
        self._stack.close()


class OicpFeed(Feed):
    """Everything once a second, pushed. Fails by beginning deliveries that never end."""

    number = 2
    protocol = "oicp"
    source = "operator 2/oicp"
    SPELLED: ClassVar = {"AVAILABLE": "Available", "CHARGING": "Occupied", "OUTOFORDER": "OutOfService"}

    def __init__(self, evses: int, load: Load) -> None:
        super().__init__(evses, load)
        self._client = httpx2.Client(timeout=DEADLINE_S)
        self._hanging: list[socket.socket] = []

    def tell(self, beat: int) -> None:
        path = f"/api/oicp/evsepush/v21/operators/FR*A{self.number:02d}/status-records"
        key = self.world.keys[self.operator]
        if self.failing:
            hanging = socket.create_connection(("127.0.0.1", self.world.server.port), timeout=DEADLINE_S)
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: 9999\r\n\r\n{{"
            hanging.sendall(head.encode())
            self._hanging.append(hanging)
        elif beat % 10 == 0:
            records = [{"EvseID": evse, "EvseStatus": self.SPELLED[word]} for evse, word, _ in self.known()]
            body = {
                "ActionType": "fullLoad",
                "OperatorEvseStatus": {
                    "OperatorID": f"FR*A{self.number:02d}",
                    "OperatorName": self.operator,
                    "EvseStatusRecord": records,
                },
            }
            url = f"{self.world.server.url}{path}"
            answer = self._client.post(url, json=body, headers={"Authorization": f"Bearer {key}"})
            assert answer.json()["StatusCode"]["Code"] == "000", answer.text

    def heal(self) -> None:
        super().heal()
        time.sleep(0.2)
        while self._hanging:
            self._hanging.pop().close()

    def stop(self) -> None:
        super().stop()
        self._client.close()


class OfferingFeed(Feed):
    """Everything at an address, asked for once a second."""

    def __init__(self, evses: int, load: Load) -> None:
        super().__init__(evses, load)
        self.ends = Answering()
        self.heal()

    def body(self) -> bytes:
        raise NotImplementedError

    def heal(self) -> None:
        super().heal()

        def respond(asked: Asked, send: Callable[[bytes], None]) -> None:
            plain(200, self.body())(asked, send)

        self.ends.respond = respond

    def start(self, world: Mixing) -> None:
        self.ends.__enter__()
        super().start(world)

    def stop(self) -> None:
        super().stop()
        self.ends.__exit__(None, None, None)

    @property
    def record(self) -> SourceRecord:
        return self._asked(f"{self.ends.url}/all", extent="snapshot")


class DatexFeed(OfferingFeed):
    """DATEX II in XML. Fails by sending a byte at a time."""

    number = 3
    protocol = "datex2"
    source = "datex"
    SPELLED: ClassVar = {"AVAILABLE": "available", "CHARGING": "charging", "OUTOFORDER": "outOfOrder"}

    def body(self) -> bytes:
        points = "".join(
            f'<e:refillPointStatus><f:reference id="{evse}"/><f:lastUpdated>{iso(since)}</f:lastUpdated>'
            f"<e:status>{self.SPELLED[word]}</e:status></e:refillPointStatus>"
            for evse, word, since in self.known()
        )
        return (
            '<c xmlns:e="e" xmlns:f="f" xmlns:xsi="x">'
            '<payload xsi:type="e:EnergyInfrastructureStatusPublication"><e:energyInfrastructureSiteStatus>'
            f"<e:energyInfrastructureStationStatus>{points}</e:energyInfrastructureStationStatus>"
            "</e:energyInfrastructureSiteStatus></payload></c>"
        ).encode()

    def fail(self) -> None:
        super().fail()
        self.ends.respond = trickling(self.ends, b"<c")


class IrveFeed(OfferingFeed):
    """IRVE dynamique. Fails by offering what is no such file."""

    number = 4
    protocol = "irve"
    source = "irve"
    SPELLED: ClassVar = {
        "AVAILABLE": "en_service,libre",
        "CHARGING": "en_service,occupe",
        "OUTOFORDER": "hors_service,inconnu",
    }

    def body(self) -> bytes:
        head = "id_pdc_itinerance,etat_pdc,occupation_pdc,horodatage"
        rows = [f"{evse_key(evse)},{self.SPELLED[word]},{iso(since)}" for evse, word, since in self.known()]
        return "\n".join([head, *rows, ""]).encode()

    def fail(self) -> None:
        super().fail()
        self.ends.say(200, body=b"<html>maintenance</html>" * 1_000)


class RealtimeFeed(Feed):
    """NOBIL Real-time: each change once, by uid. Fails by being away."""

    number = 5
    protocol = "nobil-realtime"
    source = "enova"

    def __init__(self, evses: int, load: Load) -> None:
        super().__init__(evses, load)
        self.service = Realtime()
        self._told: dict[str, str] = {}

    def start(self, world: Mixing) -> None:
        self.service.__enter__()
        super().start(world)

    def stop(self) -> None:
        super().stop()
        self.service.__exit__(None, None, None)

    def tell(self, beat: int) -> None:
        if not self.service.open:
            # A new connection is told all again, so that a test can wait for what is right.
            self._told.clear()
            return
        known = self.known()
        due = [each for each in known if self._told.get(each[0]) != each[1]]
        due = due[: self.load.realtime_per_s * 2] + self._random.sample(known, self.load.realtime_per_s // 10)
        for evse, word, _ in due:
            self._told[evse] = word
            self.service.tell(nobilId="NOR_00001", evseUId=uid(evse), status=word)

    def fail(self) -> None:
        super().fail()
        self.service.refuse(503)
        self.service.drop()

    def heal(self) -> None:
        super().heal()
        self.service.admit()

    @property
    def record(self) -> SourceRecord:
        # The stream is at another port of loopback than the service that names it.
        return self._asked(f"{self.service.ends.url}/Realtime", anywhere="yes")


FEEDS: tuple[type[Feed], ...] = (PlainFeed, OicpFeed, DatexFeed, IrveFeed, RealtimeFeed)


class Mixing:
    """The server, its operators, and a consumer that sees what comes out. A context manager."""

    def __init__(self, directory: Path, load: Load) -> None:
        self.server = Running(directory, SETTINGS)
        self.feeds: dict[str, Feed] = {
            kind.protocol: kind(
                load.single_evses if kind in {PlainFeed, RealtimeFeed} else load.bulk_evses, load
            )
            for kind in FEEDS
        }
        self.keys: dict[str, str] = {}
        self.changes = 0
        """Received by the consumer."""
        self._lags: dict[str, list[float]] = defaultdict(list)
        self._owner = {evse: feed for feed in self.feeds.values() for evse in feed.evses}
        self._client = httpx2.Client(timeout=DEADLINE_S)
        self._closing = threading.Event()
        self._consumer = threading.Thread(target=self._consume, name="consumer", daemon=True)

    def __enter__(self) -> Self:
        asyncio.run(self._furnish())
        self.server.start()
        self._consumer.start()
        for feed in self.feeds.values():
            feed.start(self)
        asyncio.run(self._set_up())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for feed in self.feeds.values():
            feed.stop()
        self._closing.set()
        self.server.close()
        self._consumer.join(DEADLINE_S)
        self._client.close()

    async def _furnish(self) -> None:
        self.server.data.mkdir(parents=True, exist_ok=True)
        store = await open_store(self.server.data / "store.db")
        at = int(time.time() * 1000)
        drafts = [draft for feed in self.feeds.values() for draft in stations(feed.evses, feed.party)]
        await store.import_stations("irve", drafts, at, complete=True)
        for feed in self.feeds.values():
            await store.put_operator(operator_from(feed.operator, parties=[feed.party]), at)
            self.keys[feed.operator] = await self._key(store, at, "report", feed.operator)
        self.keys["stream"] = await self._key(store, at, "stream", None)
        await store.close()

    async def _key(self, store: Any, at: int, scope: str, operator: str | None) -> str:
        text, record = create_key(
            secrets.token_bytes(32),
            secrets.token_bytes(8),
            name=f"{scope} {operator}",
            scopes=[scope],
            operator=operator,
            created_at=at,
            expires_at=at + DAY_MS,
        )
        await store.put_key(record)
        return text

    async def _set_up(self) -> None:
        store = await open_store(self.server.data / "store.db")
        for feed in self.feeds.values():
            if feed.record is not None:
                await store.put_source(feed.record)
        await store.close()

    # -- what comes out ------------------------------------------------------------------------------------

    def _consume(self) -> None:
        address = f"ws://127.0.0.1:{self.server.port}/api/v2/stream?batch_ms=0"
        headers = {"Authorization": f"Bearer {self.keys['stream']}"}
        with (
            suppress(ConnectionClosed, WebSocketException, OSError),
            websockets.sync.client.connect(
                address,
                additional_headers=headers,
                max_size=None,
                open_timeout=DEADLINE_S,
                ping_timeout=DEADLINE_S,
            ) as stream,
        ):
            while not self._closing.is_set():
                with suppress(TimeoutError):
                    self._received(json.loads(stream.recv(0.5)))

    def _received(self, message: Mapping[str, Any]) -> None:
        now_s = time.time()
        for row in message.get("changes", ()):
            self.changes += 1
            feed = self._owner.get(row["evse"])
            if feed is not None and feed.truth[row["evse"]] == row["status"]:
                self._lags[feed.protocol].append(now_s - feed.changed_s[row["evse"]])

    def arrived(self, protocol: str) -> int:
        """Changes that arrived since the last call of `lags`."""
        return len(self._lags[protocol])

    def lags(self, protocol: str) -> Sequence[float]:
        """Seconds from a change to its arrival, since the last call."""
        return sorted(self._lags.pop(protocol, []))

    def _get(self, path: str) -> Any:
        answer = self._client.get(
            f"{self.server.url}{path}", headers={"Authorization": f"Bearer {self.keys['stream']}"}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    def board(self) -> dict[str, str]:
        """Status by EVSE."""
        found: dict[str, str] = {}
        path: str | None = "/api/v2/evses?limit=1000"
        while path is not None:
            page = self._get(path)
            found.update((each["evse"], each["status"]) for each in page["items"])
            path = f"/api/v2/evses?limit=1000&cursor={page['next']}" if page["next"] else None
        return found

    def health(self) -> dict[str, dict[str, Any]]:
        """By protocol, as `/api/v2/operators` shows it."""
        shown = {
            each["source"]: each
            for operator in self._get("/api/v2/operators")
            for each in operator["sources"]
        }
        return {name: shown[feed.source] for name, feed in self.feeds.items() if feed.source in shown}

    # -- time ----------------------------------------------------------------------------------------------

    def run_for(self, seconds: float) -> None:
        """Lets it run, and fails where an operator's own thread did."""
        ends_s = time.monotonic() + seconds
        while time.monotonic() < ends_s:
            time.sleep(0.05)
            for feed in self.feeds.values():
                if feed.error is not None:
                    raise AssertionError(f"{feed.protocol} failed by itself") from feed.error

    def run_until(self, condition: Callable[[], bool], what: str) -> None:
        """Lets it run until the condition holds."""
        ends_s = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < ends_s, f"not within {DEADLINE_S:g} s: {what}"
            self.run_for(0.1)

    def settle(self, protocols: Sequence[str] | None = None, deadline_s: float = DEADLINE_S) -> float:
        """Stops changes, and waits until the board is what the operators know; how long that took."""
        wanted = [self.feeds[name] for name in protocols or self.feeds]
        loads = {feed: feed.load for feed in wanted}
        began_s = time.monotonic()
        for feed in wanted:
            feed.load = feed.load._replace(changes_per_s=0)
        try:
            while True:
                board = self.board()
                wrong = [evse for feed in wanted for evse, word, _ in feed.known() if board.get(evse) != word]
                if not wrong:
                    return time.monotonic() - began_s
                assert time.monotonic() < began_s + deadline_s, f"{len(wrong)} wrong: {wrong[:5]}"
                self.run_for(0.2)
        finally:
            for feed, load in loads.items():
                feed.load = load


def stations(evses: Sequence[str], party: str) -> list[StationDraft]:
    """A register of these EVSEs."""
    plug = Connector("IEC_62196_T2_COMBO", 150.0)
    made = []
    for start in range(0, len(evses), EVSES_PER_STATION):
        part = evses[start : start + EVSES_PER_STATION]
        station = Station(
            uuid="",
            name=f"Station {party} {start}",
            country="FRA",
            latitude=48.0,
            longitude=2.0,
            evses=tuple(Evse(evse_key(evse), "", evse_id=evse, uid=uid(evse), party=party) for evse in part),
            outlets=tuple(Outlet(place, plug) for place in range(len(part))),
            native_id=f"{party}-{start}",
        )
        made.append(StationDraft(station))
    return made


def uid(evse: str) -> str:
    """The operator's own id of an EVSE."""
    return f"uid-{evse_key(evse)}"


def iso(at_s: float) -> str:
    """An instant to the millisecond."""
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")
