"""The server for end-to-end tests, in this process: in a thread and loop of its own, on loopback.

    with Serving(tmp_path, {"stream.consumers_max": 1}) as server:
        server.report([{"evse": "NO*ALF*E1333*1", "status": "CHARGING"}])
        with server.stream() as wire:
            assert wire.message()["type"] == "snapshot:init"
        assert server.get("/api/v1/rest/chargers").status_code == 200

Its registry is `STATIONS`; the operator `alfa` may report on those of Norway, `beta` on those of Sweden and
Denmark, nobody on the one of Finland. `keys` has a key for each name of `KEYS`.
At the end it fails the test where the server logged an error or lost an exception that the test does not expect
(`expects`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx2
import msgspec
import pytest
import structlog
import uvloop
from structlog.testing import LogCapture
from tests.e2e.running import PATIENT
from tests.e2e.wire import Wire
from tests.patience import DEADLINE_S, until

from ladestrom.app import App, running
from ladestrom.backends.sql import SqlStore, open_store
from ladestrom.backends.sqlite import SqliteLog
from ladestrom.config import load, value_of
from ladestrom.config.table import BY_KEY
from ladestrom.core.access import create_key, operator_from
from ladestrom.ingest.ocpp_server import OcppServer
from ladestrom.ingest.quarantine import Kept, Quarantine
from ladestrom.model import Connector, Evse, Outlet, Station, evse_key
from ladestrom.ports.registry import ImportReport, StationDraft
from ladestrom.protocols import Transport
from ladestrom.transports.charge_points import ChargePointConnections
from ladestrom.transports.pushes import Pushes

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS

T = TypeVar("T")
Board = dict[str, dict[str, Any]]
"""Station uuid to the station object of version 1."""


def evse(evse_id: str | None, *, party: str | None = None, uid: str | None = None) -> Evse:
    """An EVSE of a draft; without an id of its own its key derives from its station."""
    return Evse(key=evse_key(evse_id or ""), station="", evse_id=evse_id, uid=uid, party=party)


def station(
    uuid: str,
    country: str,
    place: tuple[float, float],
    evses: Sequence[Evse],
    *,
    operator: str = "",
    outlets: Sequence[int] | None = None,
) -> StationDraft:
    """A station of the registry; `place` is longitude and latitude, `outlets` the EVSE of each connector."""
    plug = Connector("IEC_62196_T2_COMBO", 150.0)
    return StationDraft(
        Station(
            uuid=uuid,
            name=f"Station {uuid}",
            country=country,
            longitude=place[0],
            latitude=place[1],
            evses=tuple(evses),
            outlets=tuple(Outlet(index, plug) for index in outlets or range(len(evses))),
            operator=operator or None,
            native_id=uuid,
        )
    )


UID: Final = "7381cc78-a032-4f23-a46f-3e0ebe4590ff"
STATIONS: Final = (
    station(
        "NOR_01333",
        "NOR",
        (10.75, 59.91),
        [evse("NO*ALF*E1333*1", party="NOALF"), evse("NO*ALF*E1333*2", party="NOALF")],
        operator="Alfa Lading",
        outlets=(0, 1, 1),
    ),
    station("NOR_01342", "NOR", (5.32, 60.39), [evse("NO*ALF*E1342", party="NOALF", uid=UID)]),
    station("NOR_01523", "NOR", (18.95, 69.65), [evse(None), evse(None)]),
    station(
        "SWE_00007", "SWE", (18.07, 59.33), [evse("SE*BET*E7*1", party="SEBET")], operator="Beta Laddning"
    ),
    station("DAN_00011", "DAN", (12.57, 55.68), [evse("DK*BET*E11*1", party="DKBET")]),
    station(
        "FIN_00021", "FIN", (24.94, 60.17), [evse("FI*GAM*E21*1", party="FIGAM")], operator="Gamma Lataus"
    ),
)
LISTED: Final = ("DAN_00011", "NOR_01333", "NOR_01342", "NOR_01523", "SWE_00007")
"""Stations on which somebody may report."""
OPERATORS: Final = (
    operator_from("alfa", parties=["NO*ALF"], prefixes=["NOR_01523"]),
    operator_from("beta", parties=["SE*BET", "DK*BET"]),
)
KEYS: Final[Mapping[str, tuple[tuple[str, ...], str | None, int]]] = {
    "stream": (("stream",), None, 1),
    "alfa": (("report",), "alfa", 1),
    "beta": (("report",), "beta", 1),
    "both": (("stream", "report"), "alfa", 1),
    "admin": (("admin",), None, 1),
    "expired": (("stream", "report", "admin"), "alfa", -1),
    "revoked": (("stream", "report", "admin"), "alfa", 1),
}
"""Scopes, operator, and days until it expires."""


def write(data: Path, work: Callable[[SqlStore], Awaitable[T]], url: str = "sqlite:") -> T:
    """Writes to the store of a server; in a thread, as a test's own may have a loop (playwright)."""

    async def done() -> T:
        store = await open_store(url if "//" in url else data / "store.db")
        try:
            return await work(store)
        finally:
            await store.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: asyncio.run(done())).result()


async def put_key(
    store: SqlStore, name: str, scopes: Iterable[str], operator: str | None, expires_at: int
) -> tuple[str, str]:
    """Makes a key: its text and its id."""
    text, record = create_key(
        secrets.token_bytes(32),
        secrets.token_bytes(8),
        name=name,
        scopes=scopes,
        operator=operator,
        created_at=now() - 2 * DAY_MS,
        expires_at=expires_at,
    )
    await store.put_key(record)
    return text, record.id


def furnish(
    data: Path, stations: Sequence[StationDraft] = STATIONS, url: str = "sqlite:"
) -> dict[str, tuple[str, str]]:
    """Makes a data directory with stations, operators and keys: text and id of each key by its name."""

    async def done(store: SqlStore) -> dict[str, tuple[str, str]]:
        await store.import_stations("nobil", stations, now(), complete=True)
        for operator in OPERATORS:
            await store.put_operator(operator, now())
        made = {
            name: await put_key(store, name, scopes, operator_name, now() + days * DAY_MS)
            for name, (scopes, operator_name, days) in KEYS.items()
        }
        await store.revoke_key(made["revoked"][1], now())
        return made

    data.mkdir(parents=True, exist_ok=True)
    return write(data, done, url)


SLOW: Final = ("the disk has kept the log waiting for", "the store has not answered for")
"""What a server rightly says on a machine whose disk is busy with other work; tests of it ask for readiness."""


class Serving:
    """One server, its data directory and its keys. A context manager."""

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, object] | None = None,
        *,
        stations: Sequence[StationDraft] = STATIONS,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop,
    ) -> None:
        """Nothing runs yet.

        Args:
            directory: where `data` is made.
            settings: by `section.name`.
            stations: what the registry has.
            loop_factory: of the server's thread.
        """
        self.data = directory / "data"
        self.keys: dict[str, str] = {}
        self.key_ids: dict[str, str] = {}
        self._expected: list[str] = []
        """Parts of the errors that the test wants the server to log."""
        self.app: App
        given = {
            **{name: int(value) for name, value in PATIENT.items()},
            "server.data": str(self.data),
            "server.port": 0,
            "registry.poll_ms": 50,
            **(settings or {}),
        }
        self._settings = load(None, {}, given).settings
        self._stations = stations
        self._loop_factory = loop_factory
        self._loop: asyncio.AbstractEventLoop
        self._stopped: asyncio.Event
        self._started = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._lost: list[str] = []
        self._log = LogCapture()
        self._records = _Records()
        self._client = httpx2.Client(timeout=DEADLINE_S)

    # -- the server ----------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._keep(furnish(self.data, self._stations, self._settings.store.url))
        self._processors = structlog.get_config()["processors"]
        structlog.configure(processors=[self._log])
        logging.getLogger().addHandler(self._records)
        try:
            self.start()
        except BaseException:
            self._finish()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            self._finish()
        if error is None:
            errors = self.unexpected()
            assert not errors, "\n".join(errors)

    def _finish(self) -> None:
        self._client.close()
        logging.getLogger().removeHandler(self._records)
        structlog.configure(processors=self._processors)

    def start(self) -> None:
        """Starts the server; after `stop`, on the same data and port."""
        self._started.clear()
        self._error = None
        self._thread = threading.Thread(target=self._main, name="serving")
        self._thread.start()
        assert self._started.wait(DEADLINE_S)
        if self.error is not None:
            self._thread.join(DEADLINE_S)
            self._thread = None
            raise self.error
        server = msgspec.structs.replace(self._settings.server, port=self.port)
        self._settings = msgspec.structs.replace(self._settings, server=server)

    def stop(self) -> None:
        """Stops the server, as SIGTERM does."""
        if self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(DEADLINE_S)
        if self._thread.is_alive():
            pytest.fail(f"the server does not stop: {asyncio.all_tasks(self._loop)}")
        self._thread = None
        if self.error is not None:
            raise self.error

    def _main(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._loop_factory) as runner:
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - the test is told
            self._error = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._loop.set_exception_handler(lambda _, context: self._lost.append(repr(context)))
        async with running(self._settings) as app:
            self.app = app
            self._started.set()
            await self._stopped.wait()

    def logged(self) -> list[MutableMapping[str, Any]]:
        """What the server has logged."""
        return list(self._log.entries)

    def expects(self, *parts: str) -> None:
        """Says of which errors the test is: those whose text has one of these parts."""
        self._expected.extend(parts)

    def unexpected(self) -> list[str]:
        """Errors logged, and exceptions that nobody caught."""
        logged = [str(each) for each in self._log.entries if each["log_level"] in {"error", "critical"}]
        found = [*self._lost, *logged, *self._records.errors]
        return [text for text in found if not any(part in text for part in (*SLOW, *self._expected))]

    @property
    def error(self) -> BaseException | None:
        """What ended the server."""
        return self._error

    @property
    def log(self) -> SqliteLog:
        """The server's log, for what no port says."""
        log = self.app.log
        assert isinstance(log, SqliteLog)
        return log

    @property
    def url(self) -> str:
        return self.app.url

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def call(self, work: Callable[[], T]) -> T:
        """Does something in the server's loop."""

        async def done() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(DEADLINE_S)

    def look_after(self, setting: str = "", *, seconds: float = 0.0) -> None:
        """Looks after consumers (pings, stalls, late frames) as the server will when a time has passed.

        Args:
            setting: the time is that of this setting, and a second more.
            seconds: this.
        """
        if setting:
            seconds = value_of(self._settings, BY_KEY[setting]) + 1
        self.call(lambda: self.app.reader.stream.sweep(self._loop.time() + seconds))

    # -- the store, as the command line writes it ----------------------------------------------------------

    def write(self, work: Callable[[SqlStore], Awaitable[T]]) -> T:
        """Writes to the store beside the server."""
        return write(self.data, work, self._settings.store.url)

    def _keep(self, made: Mapping[str, tuple[str, str]]) -> None:
        self.keys.update((name, text) for name, (text, _) in made.items())
        self.key_ids.update((name, key_id) for name, (_, key_id) in made.items())

    def make_key(
        self, name: str, scopes: Iterable[str], *, operator: str | None = None, expires_at: int | None = None
    ) -> str:
        """Makes a key, and waits until the server knows it."""
        at = now() + DAY_MS if expires_at is None else expires_at
        self._keep({name: self.write(lambda store: put_key(store, name, scopes, operator, at))})
        self.in_step()
        return self.keys[name]

    def revoke(self, name: str) -> None:
        """Revokes a key; the server learns of it by itself."""
        self.write(lambda store: store.revoke_key(self.key_ids[name], now()))

    def import_stations(self, stations: Sequence[StationDraft], *, complete: bool = True) -> ImportReport:
        """Imports a register; the server learns of it by itself."""
        return self.write(lambda store: store.import_stations("nobil", stations, now(), complete=complete))

    def in_step(self) -> None:
        """Returns when the server knows what the store has, and readers what the log has."""
        newest = self.write(lambda store: store.revision())
        until(
            lambda: self.app.following.revision >= newest,
            "the server follows the store: stations, and rights",
        )
        until(lambda: self.app.reader.view.seq == self.app.log.last.seq, "readers are in step with the log")

    # -- the outside ---------------------------------------------------------------------------------------

    def bearer(self, key: str = "stream") -> dict[str, str]:
        """Headers with a key of `keys`."""
        return {"Authorization": f"Bearer {self.keys[key]}"}

    def get(
        self, path: str, *, key: str | None = "stream", headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        """A GET with a key of `keys`, or with none."""
        carried = {**(self.bearer(key) if key else {}), **(headers or {})}
        return self._client.get(f"{self.url}{path}", headers=carried)

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Any request."""
        return self._client.request(method, f"{self.url}{path}", **options)

    def post(
        self,
        body: object,
        *,
        key: str | None = "alfa",
        headers: Mapping[str, str] | None = None,
        path: str = "/api/v2/reports",
    ) -> httpx2.Response:
        """A delivery of reports: bytes as they are, all else as JSON."""
        carried = {**(self.bearer(key) if key else {}), **(headers or {})}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._client.post(f"{self.url}{path}", content=content, headers=carried)

    def report(self, *items: Mapping[str, object], key: str = "alfa") -> dict[str, Any]:
        """A delivery that has to be taken: its receipt."""
        answer = self.post(list(items), key=key)
        assert answer.status_code == 200, answer.text
        receipt: dict[str, Any] = answer.json()
        return receipt

    def keep_unread(self, content: bytes) -> None:
        """Puts a push of `alfa` into the quarantine, as if the parser of then could not read it."""
        kept = Kept(
            source="alfa/plain",
            operator="alfa",
            protocol="plain",
            kind="push",
            received_at=now(),
            code="malformed_body",
            detail="the parser of then",
        )
        Quarantine(self.data).keep(kept, content)

    def stream(self, query: str = "", *, key: str | None = "stream", **options: Any) -> Wire:
        """A consumer, after its handshake."""
        wire = Wire(self.port, **options)
        try:
            target = f"/api/v1/stream{'?' if query else ''}{query}"
            return wire.open(target, self.bearer(key) if key else {})
        except BaseException:
            wire.close()
            raise

    def board(self) -> tuple[Board, int]:
        """All stations over REST, and the sequence at which they are so."""
        answer = self.get("/api/v1/rest/chargers")
        assert answer.status_code == 200, answer.text
        return {each["uuid"]: each for each in answer.json()}, seq(answer)

    def settled(self) -> tuple[Board, int]:
        """`board`, once readers were told of everything that is logged, and of confirmations."""
        until(lambda: self.app.reader.view.seq == self.app.log.last.seq, "readers are in step with the log")
        telling = self.app.writer.confirmations.tell()
        asyncio.run_coroutine_threadsafe(telling, self._loop).result(DEADLINE_S)
        return self.board()


class _Records(logging.Handler):
    """Keeps what libraries log as errors."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self.errors.append(f"{record.name}: {text} {record.exc_info[1]!r}" if record.exc_info else text)


class Fold:
    """What a consumer knows, folded from what it was told. Fails on what no server may say."""

    def __init__(self) -> None:
        self.board: Board = {}
        self.seq = -1
        self.epoch = ""
        self.raws = 0

    @property
    def since(self) -> str:
        return f"{self.epoch}-{self.seq}"

    def take(self, message: Mapping[str, Any]) -> None:
        """The next message."""
        kind = message["type"]
        if kind == "status:raw":
            self.raws += 1
            return
        if kind == "snapshot:init":
            self.board = {each["uuid"]: each for each in message["data"]}
            assert len(self.board) == len(message["data"]), "a station stands twice in a snapshot"
        else:
            assert kind == "status:update"
            assert self.seq >= 0, "an update came before the snapshot"
            assert message["epoch"] == self.epoch
            assert message["seq"] > self.seq, "the sequence did not grow"
            self.board[message["data"]["uuid"]] = message["data"]
            if not message["data"]["connectors"]:
                del self.board[message["data"]["uuid"]]
        self.epoch, self.seq = message["epoch"], message["seq"]

    def follow(self, wire: Wire, seq: int) -> Self:
        """Takes messages until the sequence was reached."""
        while self.seq < seq:
            self.take(wire.message())
        return self


def charge_points(server: Serving) -> OcppServer:
    """What charge points connect to."""
    found = server.app.ingest.servings[Transport.WEBSOCKET]
    assert isinstance(found, ChargePointConnections)
    return found.server


def pushes(server: Serving) -> Pushes:
    """The endpoints of all pushes."""
    found = server.app.ingest.servings[Transport.HTTP_PUSH]
    assert isinstance(found, Pushes)
    return found


def seq(answer: httpx2.Response) -> int:
    """The sequence in an ETag of either version."""
    return int(answer.headers["etag"].removeprefix("W/").strip('"').split("-")[1])


def now() -> int:
    return time.time_ns() // 1_000_000


class _Clock:
    """Instants that only grow, so that no two reports tie, and that have come, so that none is capped.

    Takes a millisecond each: many reports of different EVSEs share one.
    """

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def __call__(self) -> int:
        with self._lock:
            while (instant := now()) <= self._last:
                time.sleep(0.0005)
            self._last = instant
            return instant


tick: Final = _Clock()
