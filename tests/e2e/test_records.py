"""Stations whose records change: everybody has the same afterwards, however and whenever it was told.

Each story is what a register comes to say, in one or several imports. Its audience is consumers of both versions,
over all transports, with filters and without. They follow it live, or they were away meanwhile and resume, with
a restart of the server in between or without. Afterwards each has what REST shows of its selection, and version 2's
digests hold.
"""

from __future__ import annotations

import itertools
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx2
import msgspec
import pytest
from tests.e2e.following import E1, E2, SWEDISH, Follower, State, Transport, listed, settled
from tests.e2e.running import LADESTROM, Running, environment
from tests.e2e.serving import STATIONS, Board, Fold, Serving, evse, station, tick
from tests.e2e.wire import Wire
from tests.importing import irve
from tests.patience import DEADLINE_S, until
from tests.programs import run

from ladestrom.client.v2_events import Fault
from ladestrom.client.v2_session import Mode, V2Session
from ladestrom.core.digests import wire_key
from ladestrom.model import Evse, Outlet
from ladestrom.outputs.stream_v2.edge import STREAM_PATH
from ladestrom.ports.log import StationRow
from ladestrom.ports.registry import StationDraft

Registry = tuple[StationDraft, ...]

FIRST, SECOND, THIRD, *_ = STATIONS
E3, E4 = "NO*ALF*E1342", "NO*ALF*E1342*2"
ALFA, BETA = "Alfa Lading", "Beta Laddning"
IN_BERGEN: Final = "5,60,6,61"


def written(draft: StationDraft, **members: Any) -> StationDraft:
    """The same record with other members."""
    return StationDraft(msgspec.structs.replace(draft.station, **members))


def instead(*drafts: StationDraft) -> Registry:
    """The registry of before, with these records instead of those of the same stations."""
    new = {draft.station.uuid: draft for draft in drafts}
    return tuple(new.pop(draft.station.uuid, draft) for draft in STATIONS) + tuple(new.values())


def named(draft: StationDraft, *ids: str | Evse) -> StationDraft:
    """The same record with these EVSEs, a connector each."""
    evses = tuple(evse(each, party="NOALF") if isinstance(each, str) else each for each in ids)
    plug = FIRST.station.outlets[0].connector
    return written(draft, evses=evses, outlets=tuple(Outlet(place, plug) for place in range(len(evses))))


def plugged(draft: StationDraft, *places: int) -> StationDraft:
    """The same record, whose connectors belong to these of its EVSEs."""
    plug = draft.station.outlets[0].connector
    return written(draft, outlets=tuple(Outlet(place, plug) for place in places))


STORIES: Final[Mapping[str, Sequence[Registry]]] = {
    "an operator": [instead(written(FIRST, operator=BETA))],
    "an operator and back": [instead(written(FIRST, operator=BETA)), STATIONS],
    "three operators": [
        instead(written(FIRST, operator=name), written(THIRD, operator=ALFA))
        for name in (BETA, "Gamma", BETA)
    ],
    "a country": [instead(written(FIRST, country="SWE"))],
    "a country and back": [instead(written(FIRST, country="SWE")), STATIONS],
    "a place": [instead(written(FIRST, longitude=5.33, latitude=60.38))],
    "a name that no filter sees": [instead(written(FIRST, name="Another name"))],
    "everything at once": [
        instead(
            written(FIRST, operator=BETA, country="SWE", longitude=5.33, latitude=60.38, name="Other"),
            written(SECOND, operator=ALFA, country="DAN", longitude=10.0, latitude=55.0),
        )
    ],
    "an id is spelled otherwise": [instead(named(FIRST, "NO-ALF-E1333-1", "no*alf*e13332"))],
    "an id is another one": [instead(named(FIRST, "NO*ALF*E9999", E2))],
    "an EVSE moves": [instead(named(FIRST, E1), named(SECOND, E3, E2))],
    "an EVSE moves and back": [instead(named(FIRST, E1), named(SECOND, E3, E2)), STATIONS],
    "an EVSE moves to an operator's other country": [
        instead(named(FIRST, E1), written(named(SECOND, E3, E2), country="SWE", operator=BETA))
    ],
    "all EVSEs move and the station is gone": [
        tuple(draft for draft in instead(named(SECOND, E3, E2, E1)) if draft is not FIRST)
    ],
    "a second plug": [instead(plugged(FIRST, 0, 0, 1, 1))],
    "a plug less": [instead(plugged(FIRST, 0, 1))],
    "EVSEs change places": [instead(named(FIRST, E2, E1))],
    "an EVSE comes": [instead(named(SECOND, E3, E4))],
    "an EVSE goes": [instead(named(FIRST, E1))],
    "an EVSE goes and comes back": [instead(named(FIRST, E1)), STATIONS],
    "a station comes": [
        instead(
            station("NOR_02000", "NOR", (5.4, 60.4), [evse("NO*ALF*E2000*1", party="NOALF")], operator=BETA)
        )
    ],
    "a station is withdrawn": [STATIONS[1:]],
    "a station is withdrawn and returns": [STATIONS[1:], STATIONS],
    "a station is withdrawn and returns as another": [
        STATIONS[1:],
        instead(written(named(FIRST, E2), country="SWE", operator=BETA)),
    ],
    "the whole register is withdrawn and returns": [STATIONS[-1:], STATIONS],
    "two stations swap their ids": [instead(named(FIRST, E3, E2), named(SECOND, E1))],
    "two stations swap all that they have": [instead(named(FIRST, E3), named(SECOND, E1, E2))],
    "ids go round": [instead(named(FIRST, E3, E1), named(SECOND, E2))],
    "an id goes to a station that is new, the old one is withdrawn": [
        (
            station("NOR_02000", "SWE", (5.4, 60.4), [evse(E1), evse(E2)], operator=BETA),
            *STATIONS[1:],
        )
    ],
}

SELECTIONS: Final[Sequence[Mapping[str, str]]] = (
    {},
    {"country": "NOR"},
    {"country": "SWE"},
    {"operator": ALFA},
    {"operator": BETA},
    {"bbox": IN_BERGEN},
    {"station": "NOR_01333"},
    {"evse": E1},
    {"evse": E2, "country": "NOR"},
    {"status": "AVAILABLE"},
)
BY_STATION: Final = tuple(each for each in SELECTIONS if not each.keys() & {"evse", "status"})
"""Those that version 1 has."""
WAYS: Final[Sequence[tuple[Transport, Mode]]] = (
    ("websocket", Mode.LATEST),
    ("events", Mode.LATEST),
    ("websocket", Mode.EVERY),
    ("events", Mode.EVERY),
)
UNKNOWN: Final = {-1}


def bare(board: Mapping[str, State]) -> dict[str, State]:
    """A board by the form in which ids compare: a consumer keeps the spelling that it was told last."""
    return {wire_key(name): state for name, state in board.items()}


class Modern:
    """A consumer of version 2."""

    def __init__(self, server: Serving, selection: Mapping[str, str], over: Transport, mode: Mode) -> None:
        self._server = server
        self._query = urlencode(selection)
        self._over = over
        self._session = V2Session(selection, mode=mode, batch_ms=0)
        self._follower: Follower | None = None
        self.name = f"version 2, {selection}, {over}, {mode}"

    def connect(self) -> None:
        self._follower = Follower(self._server, over=self._over, session=self._session)

    def leave(self) -> None:
        if self._follower is not None:
            self._follower.__exit__(None, None, None)
        self._follower = None

    def settle(self, *, resumes: bool = False) -> None:
        """Takes what there is; fails where it is not what REST shows, or what the digest says."""
        follower = self._follower
        assert follower is not None
        follower.confirmed(self._server)
        assert bare(follower.board) == bare(listed(self._server, self._query))
        kinds = {each["type"] for each in follower.told}
        assert not resumes or not kinds & {"snapshot", "reset"}, "it resumes"


class Nobil:
    """A consumer of version 1."""

    def __init__(self, server: Serving, selection: Mapping[str, str], query: str = "") -> None:
        self._server = server
        self._query = urlencode(selection)
        self._more = query
        self._wire: Wire | None = None
        self._fold = Fold()
        self.kinds: list[str] = []
        self.name = f"version 1, {selection}"

    def connect(self) -> None:
        since = {"since": self._fold.since} if self._fold.seq >= 0 else {}
        self.kinds.clear()
        self._wire = self._server.stream("&".join(filter(None, (self._query, urlencode(since)))))

    def leave(self) -> None:
        if self._wire is not None:
            self._wire.close()
        self._wire = None

    def settle(self, *, resumes: bool = False) -> None:
        """Takes messages until it has what REST shows; of what left its selection nothing is known."""
        assert self._wire is not None
        settled(self._server)
        answer = self._server.get(f"/api/v1/rest/chargers?{self._query}")
        assert answer.status_code == 200, answer.text
        expected: Board = {each["uuid"]: each for each in answer.json()}
        while self._fold.seq < 0 or not self._has(expected):
            message = self._wire.message()
            self.kinds.append(message["type"])
            self._fold.take(message)
        assert not resumes or "snapshot:init" not in self.kinds, "it resumes"

    def _has(self, expected: Board) -> bool:
        board = self._fold.board
        return all(board.get(uuid) == body for uuid, body in expected.items()) and all(
            {plug["status"] for plug in board[uuid]["connectors"]} <= UNKNOWN
            for uuid in board.keys() - expected.keys()
        )


class Tags:
    """Remembers answers of REST by their ETag: one that changed has another."""

    PATHS: Final = (
        "/api/v1/rest/chargers",
        "/api/v1/rest/chargers?country=NOR",
        "/api/v2/stations?limit=1000",
        "/api/v2/stations?limit=1000&operator=Alfa+Lading",
        "/api/v2/stations/NOR_01333",
        "/api/v2/stations/NOR_01342",
        "/api/v2/evses?limit=1000",
        "/api/v2/evses?limit=1000&country=NOR",
        "/api/v2/evses/NO*ALF*E1333*2",
    )

    def __init__(self, server: Serving) -> None:
        self._server = server
        self._told: dict[tuple[str, str], bytes] = {}
        self._last: dict[str, tuple[str, bytes]] = {}

    def look(self) -> None:
        settled(self._server)
        for path in self.PATHS:
            answer = self._server.get(path)
            if answer.status_code == 404:
                self._last.pop(path, None)
                continue
            assert answer.status_code == 200, answer.text
            tag, body = answer.headers["etag"], self._body(answer)
            assert self._told.setdefault((path, tag), body) == body, (
                f"{path} has another body and the same tag"
            )
            if path in self._last:
                had_tag, had = self._last[path]
                again = self._server.get(path, headers={"If-None-Match": had_tag})
                assert again.status_code == (304 if had_tag == tag else 200)
                assert again.status_code == 200 or had == body
            self._last[path] = tag, body

    def _body(self, answer: httpx2.Response) -> bytes:
        content: bytes = answer.content
        return content


Consumer = Modern | Nobil


def audience(server: Serving) -> list[Consumer]:
    found: list[Consumer] = [Nobil(server, selection) for selection in BY_STATION]
    ways = itertools.cycle(WAYS)
    # An odd number of ways on: each selection has both transports, and both modes.
    pairs = [(selection, next(ways)) for _ in range(2) for selection in (*SELECTIONS, {})]
    return found + [Modern(server, selection, *way) for selection, way in pairs]


def told_each(consumers: Sequence[Consumer], *, resumes: bool = False) -> None:
    for consumer in consumers:
        try:
            consumer.settle(resumes=resumes)
        except BaseException as error:
            error.add_note(consumer.name)
            raise


def speak(server: Serving, *, again: bool = False) -> None:
    """Operators tell of their EVSEs."""
    words = ("CHARGING", "OUTOFORDER", "AVAILABLE") if again else ("AVAILABLE", "CHARGING", "AVAILABLE")
    answer = server.post(
        [
            {"evse": name, "status": word, "observed_at": tick()}
            for name, word in zip((E1, E2, E3), words, strict=True)
        ]
    )
    assert answer.status_code in {200, 207, 422}, answer.text
    server.post([{"evse": SWEDISH, "status": words[1], "observed_at": tick()}], key="beta")


def register(server: Serving, registry: Registry) -> None:
    server.import_stations(registry)
    server.in_step()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path) as running:
        speak(running)
        yield running


@pytest.mark.parametrize("is_new", [True, False], ids=["server_that_runs", "server_that_began_anew"])
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.replace(" ", "_"))
def test_whoever_follows_or_comes_back_has_what_the_registry_says(
    server: Serving, story: str, is_new: bool
) -> None:
    # Half of those who were away come back before a restart, the others after it.
    live, away, later = audience(server), audience(server)[::2], audience(server)[1::2]
    tags = Tags(server)
    with ExitStack() as stack:
        for consumer in (*live, *away, *later):
            stack.callback(consumer.leave)
            consumer.connect()
        told_each([*live, *away, *later])
        tags.look()
        for consumer in (*away, *later):
            consumer.leave()
        if not is_new:
            restart(server, live)
        for registry in STORIES[story]:
            register(server, registry)
            tags.look()
            told_each(live, resumes=not is_new)
        for consumer in away:
            consumer.connect()
        told_each(away, resumes=True)
        before = rows_of(server)
        restart(server, [*live, *away])
        assert rows_of(server) == before, "a start recovers what was there"
        tags.look()
        for consumer in later:
            consumer.connect()
        told_each([*live, *away, *later], resumes=True)
        speak(server, again=True)
        told_each([*live, *away, *later], resumes=True)
        tags.look()


def restart(server: Serving, consumers: Sequence[Consumer]) -> None:
    for consumer in consumers:
        consumer.leave()
    server.stop()
    server.start()
    for consumer in consumers:
        consumer.connect()


def rows_of(server: Serving) -> dict[str, StationRow]:
    """What the writer keeps of stations."""
    rows = server.app.writer.hub.records.rows
    return {row.station.uuid: row for row in rows(list(server.app.reader.view.records), 1)}


# -- what one story needs beside ---------------------------------------------------------------------------


def test_a_second_plug_is_told_to_version_1_at_once_with_the_status_of_its_evse(server: Serving) -> None:
    with server.stream("station=NOR_01333") as wire:
        fold = Fold()
        fold.take(wire.message())
        register(server, STORIES["a second plug"][0])
        message = wire.message()
        assert message["type"] == "status:update"
        assert [plug["status"] for plug in message["data"]["connectors"]] == [0, 0, 1, 1]
        fold.take(message)
        assert fold.board == {"NOR_01333": server.board()[0]["NOR_01333"]}
        assert message["seq"] == settled(server), "nobody reported anything"


def test_a_record_that_says_the_same_is_no_entry(server: Serving) -> None:
    before = settled(server)
    for _ in range(2):
        register(server, STATIONS)
    assert settled(server) == before
    server.stop()
    server.start()
    assert settled(server) == before


def test_what_a_register_says_of_the_past_of_a_withdrawn_evse_is_over_when_it_returns(
    server: Serving,
) -> None:
    with Follower(server) as follower:
        follower.synced()
        register(server, STATIONS[1:])
        follower.confirmed(server)
        assert E1 not in follower.board
        register(server, STATIONS)
        follower.confirmed(server)
        assert follower.board[E1][1] == "UNKNOWN"
        assert server.report({"evse": E1, "status": "AVAILABLE", "observed_at": tick()})["accepted"] == 1
        follower.confirmed(server)
        assert follower.board[E1][:2] == ("NOR_01333", "AVAILABLE")


def test_two_imports_at_once_are_both_told_whole(server: Serving) -> None:
    consumers = audience(server)
    rounds = 12

    def first() -> None:
        for number in range(rounds):
            country = ("NOR", "SWE")[number % 2]
            server.import_stations([written(FIRST, operator=f"A{number}", country=country)], complete=False)

    def second() -> None:
        for number in range(rounds):
            moved = [named(SECOND, E3, E4), SECOND][number % 2]
            server.import_stations([moved, written(THIRD, name=f"B{number}")], complete=False)

    with ExitStack() as stack:
        for consumer in consumers:
            stack.callback(consumer.leave)
            consumer.connect()
        told_each(consumers)
        imports = [threading.Thread(target=work) for work in (first, second)]
        for thread in imports:
            thread.start()
        for thread in imports:
            thread.join(DEADLINE_S)
        server.in_step()
        told_each(consumers)
        found = rows_of(server)
        assert found["NOR_01333"].station.operator == f"A{rounds - 1}"
        assert [each.evse_id for each in found["NOR_01342"].station.evses] == [E3]
        assert found["NOR_01523"].station.name == f"B{rounds - 1}"
        restart(server, consumers)
        told_each(consumers, resumes=True)
        assert rows_of(server) == found


# -- kills -------------------------------------------------------------------------------------------------

STATIONS_COUNT: Final = 12
KILLED_AT_APPEND: Final = """
import os, signal, sys
from ladestrom.backends.sqlite import SqliteLog
from ladestrom.model import StationChange
from ladestrom.writer import reconciliation
reconciliation.STATIONS_PER_GROUP = 3
append, left = SqliteLog.append, [{appends}]
async def killed(self, changes):
    has_records = self.last.seq and any(isinstance(change, StationChange) for change in changes)
    if has_records and not {after}: left[0] -= 1
    if left[0] < 0: os.kill(os.getpid(), signal.SIGKILL)
    entries = await append(self, changes)
    if has_records and {after}: left[0] -= 1
    if left[0] < 0: os.kill(os.getpid(), signal.SIGKILL)
    return entries
SqliteLog.append = killed
from ladestrom.cli import main
sys.exit(main())
"""
KILLED_AT_WRITE: Final = """
import os, signal, sys
from ladestrom.backends import registry
left = [{writes}]
def killing(write):
    async def done(*arguments):
        if not left[0]: os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return await write(*arguments)
    return done
for name in ("stations", "evses", "readings", "numbers"):
    setattr(registry._Writer, name, killing(getattr(registry._Writer, name)))
from ladestrom.cli import main
sys.exit(main())
"""


class Distant:
    """A consumer of version 2 of a server in another process, by what it was told alone."""

    def __init__(self, running: Running, key: str) -> None:
        self._running = running
        self._headers = {"Authorization": f"Bearer {key}"}
        self.session = V2Session(batch_ms=0)

    def follow(self) -> dict[str, State]:
        """Connects, from where it stood, until a heartbeat proves that it has everything."""
        asked = self.session.ask()
        if self.session.since is not None:
            asked["since"] = self.session.since
        with Wire(self._running.port) as wire:
            wire.open(f"{STREAM_PATH}?{urlencode(asked)}", self._headers)
            self.session.open()
            confirmed = self.session.confirmed
            while self.session.confirmed == confirmed:
                event = self.session.receive(wire.text())
                assert not isinstance(event, Fault), event
        return {
            row.evse: (row.station, row.status, row.error, row.changed_at)
            for row in self.session.board.values()
        }

    def stations(self) -> dict[str, dict[str, Any]]:
        """What REST lists."""
        answer = httpx2.get(
            f"{self._running.url}/api/v2/stations?limit=1000", headers=self._headers, timeout=DEADLINE_S
        )
        assert answer.status_code == 200, answer.text
        return {each["uuid"]: each for each in answer.json()["items"]}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    settings = {"registry.poll_ms": "50", "stream.heartbeat_s": "1"}
    with Running(tmp_path, settings) as found:
        found.import_register("irve", irve(tmp_path / "before.jsonl", STATIONS_COUNT))
        found.operator("acme", all_evses=True)
        yield found


def as_imported(stations: Mapping[str, Mapping[str, Any]], operator: str) -> bool:
    return {each["operator"] for each in stations.values()} == {operator}


@pytest.mark.parametrize("writes", [0, 2, 4])
def test_an_import_that_is_killed_is_imported_whole_or_not_at_all(
    running: Running, tmp_path: Path, writes: int
) -> None:
    running.start()
    consumer = Distant(running, running.key("stream"))
    before = consumer.follow()
    assert len(before) == 2 * STATIONS_COUNT
    file = irve(tmp_path / "after.jsonl", STATIONS_COUNT)
    file.write_text(file.read_text().replace("Acme", "Zenith"))
    code = KILLED_AT_WRITE.format(writes=writes)
    arguments = ["import", "irve", str(file), "--data", str(running.data)]
    done = run([sys.executable, "-c", code, *arguments], env=environment({}), deadline_s=DEADLINE_S)
    assert done.returncode == (-signal.SIGKILL if writes < 4 else 0), done.stdout + done.stderr
    expected = "Acme" if writes < 4 else "Zenith"
    until(lambda: as_imported(consumer.stations(), expected), "the import is taken, or nothing of it")
    assert consumer.follow().keys() == before.keys()
    running.restart()
    assert as_imported(consumer.stations(), expected)
    assert consumer.follow() == before
    running.import_register("irve", file)
    until(lambda: as_imported(consumer.stations(), "Zenith"), "the next import is taken")
    assert consumer.follow() == before


@pytest.mark.parametrize(("appends", "is_after"), [(0, False), (1, True), (3, False)])
def test_a_server_that_is_killed_while_it_takes_an_import_takes_the_rest_at_its_next_start(
    tmp_path: Path, running: Running, appends: int, is_after: bool
) -> None:
    running.start()
    consumer = Distant(running, running.key("stream"))
    before = consumer.follow()
    running.stop()
    code = KILLED_AT_APPEND.format(appends=appends, after=is_after)
    running._program = (sys.executable, "-c", code)
    running.start()
    assert consumer.follow() == before
    # Half of the stations are withdrawn, the others are another operator's.
    file = irve(tmp_path / "after.jsonl", STATIONS_COUNT // 2)
    file.write_text(file.read_text().replace("Acme", "Zenith"))
    running.import_register("irve", file)
    until(lambda: not running.alive, "the server is killed")
    assert running.process is not None
    assert running.process.returncode == -signal.SIGKILL
    running._close_output()
    running._program = LADESTROM
    running.start()
    after = consumer.follow()
    assert after == {name: state for name, state in before.items() if name in after}
    assert len(after) == STATIONS_COUNT
    found = {uuid: each for uuid, each in consumer.stations().items() if each["vanished_at"] is None}
    assert as_imported(found, "Zenith")
    assert len(found) == STATIONS_COUNT // 2
    running.kill9()
    running.start()
    assert consumer.follow() == after
