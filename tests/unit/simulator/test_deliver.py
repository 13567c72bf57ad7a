"""The recording server here speaks just enough HTTP: requests with a length, answers with a length."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from random import Random
from typing import Any, NamedTuple

import msgspec
import pytest
from tests.patience import DEADLINE_S, come_true

from ladestrom.errors import BadRequest, LadestromError, NotAllowed, Unauthenticated
from ladestrom.model import Connector, Evse, Outlet, Station, Status, evse_key
from ladestrom.simulator.companies import COMPANIES
from ladestrom.simulator.country import build
from ladestrom.simulator.deliver import SPEED_MAX, Clock, Tally, drive
from ladestrom.simulator.reporting import Kind
from ladestrom.simulator.traffic import Event, Traffic


class Recorded(NamedTuple):
    headers: dict[str, str]
    items: list[dict[str, Any]]
    alone: bool
    arrived_at: int
    status: int


class Recorder:
    """Takes reports as the report interface does, and keeps them. `answer` decides what is said to each."""

    def __init__(self) -> None:
        self.requests: list[Recorded] = []
        self.answer: Callable[[], int | None] = lambda: 200
        """HTTP status; None cuts the connection without one."""
        self.headers: dict[str, str] = {}
        self.connections = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._take_one(reader, writer):
                pass
        writer.close()

    async def _take_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")
        assert first == "POST /api/v2/reports HTTP/1.1"
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        content = msgspec.json.decode(body)
        items = content if isinstance(content, list) else [content]
        status = self.answer()
        now = int(time.time() * 1000)
        self.requests.append(Recorded(headers, items, isinstance(content, dict), now, status or 0))
        if status is None:
            return False
        receipt = {"accepted": len(items), "unchanged": 0, "refused": [], "position": "E-1"}
        answer = msgspec.json.encode(receipt if status == 200 else {"code": "overloaded"})
        extra = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        writer.write(f"HTTP/1.1 {status} X\r\n{extra}Content-Length: {len(answer)}\r\n\r\n".encode() + answer)
        await writer.drain()
        return True

    def taken(self) -> list[Recorded]:
        return [request for request in self.requests if request.status == 200]


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    recorder = Recorder()
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    recorder.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield recorder
    server.close()


class EndingTraffic(Traffic):
    """Traffic in which nothing happens after `end`."""

    end = 0

    def until(self, at: int, events_max: int = 1_000_000) -> list[Event]:
        return super().until(min(at, self.end), events_max)


def country(stations: int) -> list[Station]:
    return [draft.station for draft in build(stations, Random(31))]


def keys() -> dict[str, str]:
    return {company.name: f"key-of-{company.party}" for company in COMPANIES}


def ending_traffic(stations: int, hours: float) -> EndingTraffic:
    start = int(time.time() * 1000)
    traffic = EndingTraffic(country(stations), Random(32), start)
    traffic.end = start + int(hours * 3_600_000)
    return traffic


@contextlib.asynccontextmanager
async def driving(
    recorder: Recorder, traffic: Traffic, speed: float, tally: Tally | None = None
) -> AsyncIterator[asyncio.Event]:
    opened = asyncio.Event()
    task = asyncio.create_task(
        drive(recorder.url, keys(), traffic, speed, rng=Random(33), tally=tally, opened=opened)
    )
    try:
        yield opened
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def instant(item: dict[str, Any]) -> int:
    at = item.get("observed_at", item.get("timestamp"))
    return round(datetime.fromisoformat(at).timestamp() * 1000) if isinstance(at, str) else int(at or 0)


NOBIL_OF = {Status.AVAILABLE: 0, Status.CHARGING: 1, Status.BLOCKED: 1, Status.RESERVED: 1}


class Server:
    """What a server that lets the newest observation win would know from the requests taken."""

    def __init__(self, traffic: Traffic, requests: list[Recorded]) -> None:
        newest: dict[str, dict[str, Any]] = {}
        for request in requests:
            for item in request.items:
                name = self._name(item)
                if name not in newest or instant(item) >= instant(newest[name]):
                    newest[name] = item
        self.agrees = all(self._same(newest, traffic, event) for event in traffic.board())

    @staticmethod
    def _name(item: dict[str, Any]) -> str:
        return f"{item['uuid']}/{item['connector']}" if "uuid" in item else evse_key(item["evse"])

    @staticmethod
    def _same(newest: dict[str, dict[str, Any]], traffic: Traffic, event: Event) -> bool:
        point = traffic.points[event.point]
        names = (
            point.evse.key,
            evse_key(point.evse.uid or ""),
            f"{point.station.uuid}/{point.connector}",
        )
        item = next((newest[name] for name in names if name in newest), None)
        if item is None:
            return False
        if "uuid" in item:
            return bool(item["status"] == NOBIL_OF.get(event.status, -1))
        return (item["status"], item["error"]) == (event.status, int(event.error))


async def test_every_operator_opens_with_all_its_evses_and_its_own_key(recorder: Recorder) -> None:
    traffic = ending_traffic(120, 0)
    tally = Tally()
    async with driving(recorder, traffic, 1, tally) as opened:
        await asyncio.wait_for(opened.wait(), DEADLINE_S)
    sizes: dict[str, int] = defaultdict(int)
    for point in traffic.points:
        sizes[point.evse.party or ""] += 1
    assert len(sizes) == len(COMPANIES)
    told: dict[str, int] = {}
    for request in recorder.requests:
        told.setdefault(request.headers["authorization"], len(request.items))
    assert told == {f"Bearer key-of-{party}": size for party, size in sizes.items()}
    assert all(request.headers["content-encoding"] == "gzip" for request in recorder.requests)
    assert tally.requests[Kind.OPENING] == len(COMPANIES)
    assert tally.items == tally.accepted >= len(traffic.points)
    assert Server(traffic, recorder.taken()).agrees


async def test_operators_report_in_their_own_way(recorder: Recorder) -> None:
    traffic = ending_traffic(250, 24)
    tally = Tally()
    async with driving(recorder, traffic, 1_800, tally):
        await come_true(lambda: set(tally.requests) == set(Kind) and tally.requests[Kind.LATE] > 5)
    of: dict[str, list[Recorded]] = defaultdict(list)
    for request in recorder.taken():
        of[request.headers["authorization"].removeprefix("Bearer key-of-")].append(request)
    assert all(request.alone for request in of["NOFJL"][2:])
    assert not any(request.alone for request in of["NONSM"])
    assert {len(request.items) for request in of["NOELV"]} == {len(of["NOELV"][0].items)}
    assert all("content-encoding" in request.headers for request in of["NOELV"])
    assert all(
        set(item) == {"uuid", "connector", "status", "error", "timestamp"} for item in of["NOHVD"][0].items
    )
    assert all(len(item["evse"]) == 36 for item in of["NOBLM"][0].items)
    assert all(item["evse"].startswith("novdle") for item in of["NOVDL"][0].items)
    assert all(item["evse"].startswith("NO*TDL*E") for item in of["NOTDL"][0].items)
    assert all(isinstance(item["observed_at"], int) for item in of["NOELV"][0].items)


async def test_no_observation_lies_in_the_future_of_the_server(recorder: Recorder) -> None:
    traffic = ending_traffic(150, 24)
    async with driving(recorder, traffic, SPEED_MAX):
        await come_true(lambda: len(recorder.requests) > 300)
    assert all(instant(item) <= request.arrived_at for request in recorder.requests for item in request.items)


async def test_observations_of_an_evse_keep_the_order_of_events_at_any_speed(recorder: Recorder) -> None:
    traffic = ending_traffic(80, 12)
    async with driving(recorder, traffic, SPEED_MAX):
        await come_true(lambda: Server(traffic, recorder.taken()).agrees and len(recorder.requests) > 200)


async def test_a_503_is_tried_again_with_the_same_body_until_it_is_taken(recorder: Recorder) -> None:
    traffic = ending_traffic(60, 0)
    answers = iter([503, 503])
    recorder.answer = lambda: next(answers, 200)
    tally = Tally()
    async with driving(recorder, traffic, 1, tally) as opened:
        await asyncio.wait_for(opened.wait(), DEADLINE_S)
    refused = [request for request in recorder.requests if request.status == 503]
    assert tally.retries == len(refused) == 2
    for request in refused:
        key = request.headers["idempotency-key"]
        again = [other for other in recorder.taken() if other.headers["idempotency-key"] == key]
        assert [other.items for other in again] == [request.items]
    assert Server(traffic, recorder.taken()).agrees


async def test_an_outage_loses_the_last_state_of_no_evse(recorder: Recorder) -> None:
    traffic = ending_traffic(80, 2)
    trouble = Random(34)
    down = False
    recorder.answer = lambda: trouble.choice([503, None]) if down else 200
    async with driving(recorder, traffic, 3_600) as opened:
        await asyncio.wait_for(opened.wait(), DEADLINE_S)
        down = True
        before = traffic.board()
        await come_true(lambda: traffic.until(0) == [] and _ended(traffic))
        assert traffic.board() != before
        down = False
        await come_true(lambda: Server(traffic, recorder.taken()).agrees)
    assert {0, 503} <= {request.status for request in recorder.requests}


def _ended(traffic: EndingTraffic) -> bool:
    return (
        traffic._due[0][0] > traffic.end
        and max(event.at for event in traffic.board()) > traffic.end - 600_000
    )


async def test_a_server_that_names_a_time_is_left_alone_for_so_long(recorder: Recorder) -> None:
    traffic = ending_traffic(60, 0)
    answers = iter([503] * len(COMPANIES))
    recorder.answer = lambda: next(answers, 200)
    recorder.headers = {"Retry-After": "1"}
    began = time.monotonic()
    async with driving(recorder, traffic, 1) as opened:
        await asyncio.wait_for(opened.wait(), DEADLINE_S)
    assert time.monotonic() - began >= 1


async def test_a_server_that_is_not_there_yet_is_waited_for() -> None:
    recorder = Recorder()
    server = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    recorder.url = f"http://127.0.0.1:{port}"
    tally = Tally()
    async with driving(recorder, ending_traffic(40, 0), 1, tally) as opened:
        await come_true(lambda: tally.retries > 0)
        server = await asyncio.start_server(recorder.serve, "127.0.0.1", port)
        await asyncio.wait_for(opened.wait(), DEADLINE_S)
    server.close()


@pytest.mark.parametrize(
    ("status", "kind"), [(401, Unauthenticated), (403, NotAllowed), (400, BadRequest), (500, LadestromError)]
)
async def test_a_refusal_for_good_ends_the_drive_and_names_the_operator(
    recorder: Recorder, status: int, kind: type[LadestromError]
) -> None:
    recorder.answer = lambda: status
    with pytest.raises(LadestromError, match=rf"(?s): the server answers {status} to a report") as raised:
        async with asyncio.timeout(DEADLINE_S):
            await drive(recorder.url, keys(), ending_traffic(40, 0), 1, rng=Random(1))
    assert type(raised.value) is kind
    assert str(raised.value).split(":")[0] in keys()


async def test_connections_are_kept_and_few(recorder: Recorder) -> None:
    traffic = ending_traffic(250, 24)
    async with driving(recorder, traffic, SPEED_MAX):
        await come_true(lambda: len(recorder.requests) > 400)
    assert recorder.connections <= 4 * len(COMPANIES)


async def test_only_operators_with_a_key_report(recorder: Recorder) -> None:
    opened = asyncio.Event()
    only = {"Nordstrøm": "the-key"}
    task = asyncio.create_task(
        drive(recorder.url, only, ending_traffic(80, 0), 1, rng=Random(1), opened=opened)
    )
    await asyncio.wait_for(opened.wait(), DEADLINE_S)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert {request.headers["authorization"] for request in recorder.requests} == {"Bearer the-key"}


async def test_operators_of_any_register_report_by_the_default_habit(recorder: Recorder) -> None:
    evse = Evse("FRABCE1", "FRA_00001", evse_id="FR*ABC*E1")
    outlets = (Outlet(0, Connector("CHADEMO", 50.0)),)
    station = Station("FRA_00001", "Gare", "FRA", 48.8, 2.3, (evse,), outlets, operator="Gare")
    opened = asyncio.Event()
    traffic = Traffic([station], Random(1), int(time.time() * 1000))
    task = asyncio.create_task(
        drive(recorder.url, {"Gare": "its-key"}, traffic, 1, rng=Random(1), opened=opened)
    )
    await asyncio.wait_for(opened.wait(), DEADLINE_S)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert [item["evse"] for item in recorder.requests[0].items] == ["FR*ABC*E1"]


@pytest.mark.parametrize("speed", [0, -1, SPEED_MAX * 1.01, float("nan")])
async def test_a_speed_out_of_range_is_refused(recorder: Recorder, speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        await drive(recorder.url, keys(), ending_traffic(10, 0), speed, rng=Random(1))


async def test_traffic_without_any_operator_with_a_key_is_refused(recorder: Recorder) -> None:
    with pytest.raises(ValueError, match="no EVSE"):
        await drive(recorder.url, {}, ending_traffic(10, 0), 1, rng=Random(1))


def test_a_simulated_instant_is_told_as_the_real_one_at_which_it_was_reached() -> None:
    wall_s, monotonic_s = [1_000.0], [5.0]
    clock = Clock(777_000, 10, lambda: wall_s[0], lambda: monotonic_s[0])
    assert clock.simulated() == 777_000
    wall_s[0] += 2
    monotonic_s[0] += 2
    assert clock.simulated() == 797_000
    assert clock.observed_at(777_000) == 1_000_000
    assert clock.observed_at(797_000) == 1_002_000
    assert clock.observed_at(767_000) == 999_000


def test_where_the_real_clock_is_set_back_observations_stay_in_its_past() -> None:
    wall_s, monotonic_s = [1_000.0], [5.0]
    clock = Clock(0, 1, lambda: wall_s[0], lambda: monotonic_s[0])
    wall_s[0] -= 60
    monotonic_s[0] += 2
    assert clock.observed_at(clock.simulated()) == 940_000
