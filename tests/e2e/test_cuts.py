"""Consumers made of our own client lose nothing, wherever their connections are cut."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from bench.fold import Seen
from tests.e2e.cutting import Boundary, CuttingProxy, Ending, Fate, Place, Weather, fate
from tests.e2e.serving import Serving, now
from tests.e2e.surviving import Address, Ledger, Outcome, Plan, survive
from tests.e2e.wire import TEXT, frame
from tests.patience import DEADLINE_S, until
from tests.simulation.faults import FAULTS
from tests.simulation.planting import planted

from ladestrom.client.v2_aio import Transport
from ladestrom.client.v2_session import Mode
from ladestrom.core.view import View
from ladestrom.model import Operator
from ladestrom.ports.registry import StationDraft
from ladestrom.simulator.country import build
from ladestrom.simulator.traffic import Traffic

pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
"""A consumer that is ended while it connects for the hundredth time may leave its socket to the collector. What
is told of here is what it heard."""

SEED: Final = 20261122
STATIONS: Final = 60
OBSERVATIONS: Final = 4_000
DAYS: Final = 3
CUTS: Final = 40
DAY_MS: Final = 86_400_000
SOUTH: Final = (4.0, 57.0, 12.0, 61.0)
"""Of Norway; longitudes and latitudes."""
WEATHER: Final = Weather(
    seconds_max=0.4, bytes_max=300_000, long_share=0, half_open_s_max=0.1, stall_s_max=0.1
)


def observations(drafts: Sequence[StationDraft], days: int, count: int) -> list[Seen]:
    """What operators would have seen at these stations in the last days."""
    began = now() - days * DAY_MS
    traffic = Traffic([draft.station for draft in drafts], random.Random(SEED), began)
    events = [*traffic.board(), *traffic.until(now(), count)][:count]
    names = [point.evse.name for point in traffic.points]
    return [Seen(each.at, names[each.point], each.status.value, int(each.error)) for each in events]


def on_board(view: View) -> int:
    """EVSEs that the view has."""
    return sum(len(state.changes) for uuid in view.uuids() if (state := view.get(uuid)) is not None)


def survived(directory: Path, *, cuts: int, count: int, seed: int = SEED) -> list[Outcome]:
    """Four consumers in a simulated country."""
    drafts = build(STATIONS, random.Random(SEED))
    evses = {evse.name for draft in drafts for evse in draft.station.evses}
    west, south, east, north = SOUTH
    southern = {
        evse.name
        for draft in drafts
        for evse in draft.station.evses
        if west <= draft.station.longitude <= east and south <= draft.station.latitude <= north
    }
    assert 0 < len(southern) < len(evses)
    box = {"bbox": ",".join(map(str, SOUTH))}
    plans = [
        Plan(Transport.WEBSOCKET, Mode.LATEST, box, southern),
        Plan(Transport.EVENTS, Mode.EVERY, {}, evses),
        Plan(Transport.WEBSOCKET, Mode.EVERY, box, southern),
        Plan(Transport.EVENTS, Mode.LATEST, {}, evses),
    ]
    with Serving(directory, {"stream.heartbeat_s": 1}, stations=drafts) as server:
        server.write(lambda store: store.put_operator(Operator("national", all=True), now()))
        key = server.make_key("national", ["report"], operator="national")
        view = server.app.reader.view
        until(lambda: server.call(lambda: on_board(view)) == len(evses), "all EVSEs are on the board")
        surviving = survive(
            Address(server.port, key, server.keys["stream"]),
            observations(drafts, DAYS, count),
            Ledger(evses),
            plans,
            cuts=cuts,
            seed=seed,
            batch=100,
            weather=WEATHER,
            deadline_s=DEADLINE_S,
        )
        return asyncio.run(surviving)


def test_consumers_that_are_cut_all_the_time_lose_nothing_and_hear_nothing_twice(tmp_path: Path) -> None:
    outcomes = survived(tmp_path, cuts=CUTS, count=OBSERVATIONS)
    assert len(outcomes) == 4
    for survivor, proxy, wrongs in outcomes:
        assert wrongs == [], survivor.plan.name
        assert proxy.total >= CUTS // 4
    assert sum(outcome.survivor.resumed for outcome in outcomes) > 0


@pytest.mark.parametrize("what", ["a change is told twice", "a resume begins one too late"])
def test_a_consumer_that_loses_or_repeats_something_is_found(what: str, tmp_path: Path) -> None:
    (fault,) = [each for each in FAULTS if each.what == what]
    with planted(fault):
        outcomes = survived(tmp_path, cuts=16, count=1_000)
    assert any(outcome.wrongs for outcome in outcomes)


# -- a proxy that did not cut would prove nothing ------------------------------------------------------------


class Talker:
    """A server that says the same to everybody, and no more."""

    def __init__(self, said: bytes) -> None:
        self.said = said
        self.heard: list[bytes] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self.said)
        heard = bytearray()
        self.heard.append(b"")
        try:
            while data := await reader.read(1000):
                heard += data
                self.heard[-1] = bytes(heard)
        except ConnectionError:
            pass
        finally:
            writer.close()


async def cut(said: bytes, monkeypatch: pytest.MonkeyPatch, drawn: Fate) -> tuple[bytes, str, CuttingProxy]:
    """What one connection of this fate hears, how it ends, and the proxy."""
    monkeypatch.setattr("tests.e2e.cutting.fate", lambda *_: drawn)
    listener = await asyncio.start_server(Talker(said).answer, "127.0.0.1", 0)
    async with listener, CuttingProxy(listener.sockets[0].getsockname()[1], seed=1, cuts_max=1) as proxy:
        reader, writer = await asyncio.open_connection(*proxy.url.removeprefix("http://").split(":"))
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        heard = bytearray()
        try:
            async with asyncio.timeout(1.0 if drawn.ending is Ending.DEAD else DEADLINE_S):
                while data := await reader.read(1000):
                    heard += data
            ended = "end"
        except ConnectionResetError:
            ended = "reset"
        except TimeoutError:
            ended = "nothing"
        writer.close()
        return bytes(heard), ended, proxy


HEAD: Final = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize(
    ("ending", "ended"),
    [
        (Ending.FIN, "end"),
        (Ending.RESET, "reset"),
        (Ending.HALF_OPEN, "reset"),
        (Ending.DEAD, "nothing"),
    ],
)
async def test_a_connection_is_cut_after_exactly_so_many_bytes(
    ending: Ending, ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = Fate(ending, -1, len(HEAD) + 8, DEADLINE_S, 0.05, 3, 0.05, piece_bytes=7)
    heard, how, proxy = await cut(HEAD + b"data: 1\n\ndata: 2\n\n", monkeypatch, drawn)
    assert how == ended
    assert heard in {HEAD + b"data: 1\n", b""} if ended == "reset" else heard == HEAD + b"data: 1\n"
    assert proxy.cuts == {ending: 1}
    assert proxy.places == {Place.FRAME: 1}
    assert proxy.stalls == 1


async def test_a_connection_may_be_cut_while_it_asks_and_when_its_time_has_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, _, proxy = await cut(HEAD, monkeypatch, Fate(Ending.RESET, 4, 1_000, DEADLINE_S, 0.0, -1, 0.0))
    assert proxy.places == {Place.REQUEST: 1}
    heard, _, proxy = await cut(HEAD, monkeypatch, Fate(Ending.FIN, -1, 1_000, 0.2, 0.0, -1, 0.0))
    assert heard == HEAD
    assert proxy.places == {Place.BETWEEN: 1}


def test_fates_follow_from_the_seed_and_have_every_ending() -> None:
    drawn = [
        [fate(rng, Weather(dead_every=50), number) for number in range(1, 201)]
        for rng in (random.Random(1), random.Random(1), random.Random(2))
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert [each.ending for each in drawn[0]].count(Ending.DEAD) == 4
    assert {each.ending for each in drawn[0]} == set(Ending)
    sizes = [each.down_bytes for each in drawn[0]]
    assert min(sizes) < 100
    assert max(sizes) > 100_000


@pytest.mark.parametrize("size", [0, 1, 125, 126, 70_000])
def test_it_is_known_whether_a_cut_falls_into_a_frame(size: int) -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
    made = frame(TEXT, bytes(size), mask=False)
    boundary = Boundary()
    places = []
    for data in (head[:-1], head[-1:] + made + made[:1], made[1:]):
        boundary.feed(data)
        places.append(boundary.place)
    assert places == [Place.HEAD, Place.FRAME, Place.BETWEEN]
