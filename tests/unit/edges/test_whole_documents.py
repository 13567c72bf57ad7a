"""Documents: made once for all who ask, kept within limits, sent to each as fast as it takes them."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.building import NOW, make_change, make_evse, make_station
from tests.patience import DEADLINE_S, come_true

from ladestrom.core.access import Keyring
from ladestrom.core.choice import Choice
from ladestrom.core.directory import Directory
from ladestrom.core.features import Features
from ladestrom.core.selection import Selection
from ladestrom.core.view import View
from ladestrom.credentials import Doorkeeper
from ladestrom.edges import bodies, documents
from ladestrom.edges.documents import CUT, EVERYTHING, Document, Documents, Form, _DocumentResponse
from ladestrom.edges.walks import WAITING_PER_KEY_MAX
from ladestrom.errors import TooManyRequests
from ladestrom.formats.documents import HIDDEN, LeftOut, Seen
from ladestrom.model import Millis, Position, Status, StatusChanged
from ladestrom.ports.log import BoardRow, StationRow

STATIONS: Final = 60
HEAD: Final = b"head\n"


class Lines:
    """A line for each selected EVSE."""

    def __init__(self) -> None:
        self.left_out = LeftOut()

    def part(self, seen: Seen) -> bytes | None:
        return b"".join(
            f"{evse.key} {held.change.status} {seen.observed(held.seq, held.change)}\n".encode()
            for evse, held in seen.chosen
        )

    def head(self, position: Position) -> bytes:
        return HEAD + f"{position}\n".encode()

    def pieces(self, parts: Iterable[bytes]) -> Iterator[bytes]:
        yield from parts


class Faulty(Lines):
    """Has a defect, which shows at the last station."""

    def part(self, seen: Seen) -> bytes | None:
        if seen.station.uuid == f"NOR_{STATIONS:05d}":
            raise RuntimeError(f"no part of {seen.station.uuid}")
        return super().part(seen)


FORM: Final = Form(name="lines", media_type="text/plain", encoder=Lines)
TIMED: Final = Form(name="timed", media_type="text/plain", encoder=Lines, is_timed=True)
FAULTY: Final = Form(name="faulty", media_type="text/plain", encoder=Faulty)


class World:
    """A view, and documents over it."""

    def __init__(self) -> None:
        self.at = NOW
        self.view = View(Directory(), "abc")
        self.stations = [
            make_station(uuid, (make_evse(f"NO*ABC*E{number}", uuid),))
            for number, uuid in ((number, f"NOR_{number:05d}") for number in range(1, STATIONS + 1))
        ]
        rows = [
            BoardRow(1, make_change(station.evses[0], Status.AVAILABLE), NOW, NOW, "abc")
            for station in self.stations
        ]
        self.view.load(rows, 1, [StationRow(1, station) for station in self.stations])
        self.door = Doorkeeper(Keyring([], []), self.clock)
        self.documents = Documents(self.view, self.door, self.clock)

    def clock(self) -> Millis:
        return self.at

    def change(self, number: int, status: Status) -> None:
        change = make_change(self.stations[number - 1].evses[0], status)
        self.view.apply(StatusChanged(self.view.seq + 1, change))
        self.documents.moved()

    async def get(self, wanted: Choice = EVERYTHING, *, form: Form[Any] = FORM, key: str = "a") -> Document:
        return await self.documents.get(form, wanted, key)

    def age(self) -> None:
        """What is kept is a second old."""
        self.at += 1_000
        for kept in self.documents._kept.values():
            kept.begun_s -= kept.interval_s


@pytest.fixture
async def world() -> World:
    return World()


def text(document: Document) -> str:
    assert document.chunks is not None
    return b"".join(document.chunks).decode()


def of(number: int) -> Choice:
    return Choice(Selection(station=frozenset({f"NOR_{number:05d}"})))


async def test_a_document_has_all_stations_in_order_and_is_of_one_position(world: World) -> None:
    made = await world.get()
    lines = text(made).splitlines()
    assert lines[:2] == ["head", "abc-1"]
    assert [line.split()[0] for line in lines[2:]] == [each.evses[0].key for each in world.stations]
    assert str(made.position) == "abc-1"


async def test_it_is_of_the_position_at_which_it_began(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ladestrom.tasks.TURN_S", 0.0)
    making = asyncio.create_task(world.get())
    while not world.view._walks:
        await asyncio.sleep(0)
    world.change(STATIONS, Status.CHARGING)
    made = await making
    assert text(made).count("AVAILABLE") == STATIONS
    assert str(made.position) == "abc-1"
    world.age()
    assert text(await world.get()).count("CHARGING") == 1


async def test_a_thousand_who_ask_at_once_get_the_one_that_is_made(world: World) -> None:
    found = await asyncio.gather(*(world.get(key=f"key-{number}") for number in range(1_000)))
    assert len({id(each) for each in found}) == 1
    assert world.documents.tallies["lines"].made == 1


async def test_it_is_made_once_a_second_at_most_however_much_changes(world: World) -> None:
    first = await world.get()
    world.change(1, Status.CHARGING)
    assert await world.get() is first
    world.age()
    second = await world.get()
    assert second is not first
    assert "CHARGING" in text(second)
    assert second.tag != first.tag
    assert second.modified_s > first.modified_s


async def test_while_nothing_changes_it_is_not_made_again(world: World) -> None:
    first = await world.get()
    world.age()
    assert await world.get() is first
    assert world.documents.tallies["lines"].made == 1


async def test_what_takes_long_is_made_less_often(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAKING_SHARE", 1e9)
    assert (await world.get()).interval_s > documents.INTERVAL_S_MIN


async def test_a_selection_that_did_not_change_keeps_its_tag_while_the_position_moves_on(
    world: World,
) -> None:
    first = await world.get(of(1))
    tag, modified_s = first.tag, first.modified_s
    world.change(2, Status.CHARGING)
    world.age()
    second = await world.get(of(1))
    assert (second.tag, second.modified_s) == (tag, modified_s)
    assert str(second.position) == "abc-2"


async def test_a_confirmation_makes_another_document_of_a_form_that_tells_times(world: World) -> None:
    evse = world.stations[0].evses[0]
    untimed, timed = await world.get(), await world.get(form=TIMED)
    world.view.confirm([(evse.station, evse.key, 1, NOW + 5_000)])
    world.age()
    assert await world.get() is untimed
    again = await world.get(form=TIMED)
    assert f"{evse.key} AVAILABLE {NOW + 5_000}" in text(again)
    assert again.tag != timed.tag
    assert again.modified_s > timed.modified_s


async def test_an_idle_document_says_when_the_last_change_was(world: World) -> None:
    world.documents.moved(NOW - 3_600_000)
    assert (await world.get()).modified_s == (NOW - 3_600_000) // 1000 + 1


async def test_what_is_open_now_is_as_new_as_its_minute(world: World) -> None:
    world.documents.moved(NOW - 3_600_000)
    made = await world.get(Choice(features=Features(open_now=True), at=NOW))
    assert made.modified_s == NOW // 1000


async def test_what_is_hidden_is_counted_and_examples_are_told(world: World) -> None:
    world.change(3, Status.PLANNED)
    made = await world.get()
    assert len(text(made).splitlines()) == 2 + STATIONS - 1
    tally = world.documents.tallies["lines"]
    assert tally.left_out.counts == {HIDDEN: 1}
    assert [(each.evse, each.station) for each in tally.left_out.examples] == [("NO*ABC*E3", "NOR_00003")]


async def test_what_a_selection_leaves_out_is_not_told_of_the_whole(world: World) -> None:
    await world.get(of(1))
    tally = world.documents.tallies["lines"]
    assert (tally.made, tally.position) == (1, "")


async def test_filters_that_contradict_each_other_give_an_empty_document(world: World) -> None:
    made = await world.get(Choice(Selection(country=frozenset({"SWE"}), station=frozenset({"NOR_00001"}))))
    assert text(made) == "head\nabc-1\n"


async def test_a_defect_of_an_encoder_costs_those_who_ask_and_not_the_view(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ladestrom.tasks.TURN_S", 0.0)
    making = asyncio.create_task(world.get(form=FAULTY))
    while not world.view._walks:
        await asyncio.sleep(0)
    # The station is visited before it changes, by whoever changes it.
    world.change(STATIONS, Status.CHARGING)
    with pytest.raises(RuntimeError, match="no part of"):
        await making
    assert world.view.seq == 2
    assert not world.view._walks


async def test_a_key_has_so_many_documents_made_and_others_are_not_refused(world: World) -> None:
    async with asyncio.timeout(DEADLINE_S):
        async with world.documents._walks._turn("a"):
            mine = [
                asyncio.create_task(world.get(of(number % STATIONS + 1), form=form))
                for form in (FORM, TIMED)
                for number in range(WAITING_PER_KEY_MAX // 2)
            ]
            assert isinstance(await world.get(key="b"), Document)
        found = await asyncio.gather(*mine, return_exceptions=True)
        assert [type(each) for each in found].count(TooManyRequests) == 1


async def test_who_waits_for_what_another_key_may_not_have_gets_its_own(world: World) -> None:
    turn = world.documents._walks._turns
    async with asyncio.timeout(DEADLINE_S):
        async with world.documents._walks._turn("a"):
            turn["a"].waiting = WAITING_PER_KEY_MAX
            refused = asyncio.create_task(world.get(key="a"))
            waiting = asyncio.create_task(world.get(key="b"))
            found = await asyncio.gather(refused, waiting, return_exceptions=True)
            turn["a"].waiting = 1
    assert isinstance(found[0], TooManyRequests)
    assert isinstance(found[1], Document)


async def test_what_is_kept_has_a_limit_and_what_was_not_asked_for_longest_goes_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (await world.get(of(1))).size
    monkeypatch.setattr(documents, "KEPT_BYTES_MAX", 3 * size)
    for number in (2, 3, 1, 4):
        await world.get(of(number))
    assert {next(iter(wanted.selection.station)) for *_, wanted in world.documents._kept} == {
        "NOR_00001",
        "NOR_00003",
        "NOR_00004",
    }
    assert world.documents.kept_bytes <= 3 * size


async def test_there_are_so_many_documents_at_most(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "KEPT_MAX", 2)
    for number in range(1, 6):
        await world.get(of(number))
    assert len(world.documents._kept) == 2


async def test_one_that_is_larger_than_all_may_be_is_kept_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "KEPT_BYTES_MAX", 1)
    await world.get(of(1))
    made = await world.get()
    assert list(world.documents._kept.values()) == [made]


async def test_what_nobody_asks_for_is_dropped(world: World) -> None:
    await world.get()
    world.documents.sweep()
    assert world.documents.kept_bytes
    for kept in world.documents._kept.values():
        kept.used_s -= documents.KEPT_IDLE_S
    world.documents.sweep()
    assert not world.documents.kept_bytes


@pytest.mark.parametrize("chunk_bytes", [7, 1_000, 10_000_000])
async def test_packed_and_in_whatever_chunks_it_is_the_same(
    world: World, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = text(await world.get())
    monkeypatch.setattr(bodies, "CHUNK_BYTES", chunk_bytes)
    world.documents._kept.clear()
    made = await world.get()
    assert text(made) == whole
    first, second = await asyncio.gather(made.packed(), made.packed())
    assert first is second
    assert gzip.decompress(b"".join(first)).decode() == whole


@pytest.mark.parametrize("chunk_bytes", [7, 1_000, 10_000_000])
async def test_a_large_one_is_kept_packed_alone_and_is_the_same(
    world: World, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = await world.get()
    monkeypatch.setattr(bodies, "CHUNK_BYTES", chunk_bytes)
    monkeypatch.setattr(bodies, "PLAIN_BYTES_MAX", 100)
    world.documents._kept.clear()
    made = await world.get()
    assert made.chunks is None
    assert (made.size, made.digest) == (whole.size, whole.digest)
    packed = await made.packed()
    assert gzip.decompress(b"".join(packed)).decode() == text(whole)
    assert b"".join(bodies.unpacked(packed)).decode() == text(whole)
    assert made.kept_bytes == sum(map(len, packed)) < made.size
    consumer = Consumer(world, made)
    for _ in range(made.size):
        consumer.room.release()
    await asyncio.wait_for(consumer.task, DEADLINE_S)
    assert consumer.taken == made.size


@given(st.lists(st.binary(max_size=3_000), max_size=30), st.integers(1, 5_000))
def test_whatever_pieces_a_body_is_made_of_it_is_unpacked_as_it_was(
    pieces: list[bytes], unpacked_bytes: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bodies, "CHUNK_BYTES", 2_000)
        patch.setattr(bodies, "PLAIN_BYTES_MAX", 4_000)
        patch.setattr(bodies, "UNPACKED_BYTES", unpacked_bytes)
        body = bodies.Body()
        for piece in pieces:
            body.add(piece)
        body.end()
        whole = b"".join(pieces)
        assert body.size == len(whole)
        assert (body.chunks is None) == (len(whole) > 4_000)
        assert (
            b"".join(body.chunks if body.chunks is not None else bodies.unpacked(body.packed or ())) == whole
        )
        assert all(len(each) <= unpacked_bytes for each in bodies.unpacked(body.packed or ()))


async def test_two_large_ones_do_not_push_each_other_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (await world.get()).size
    world.documents._kept.clear()
    monkeypatch.setattr(bodies, "PLAIN_BYTES_MAX", 100)
    monkeypatch.setattr(documents, "KEPT_BYTES_MAX", size)
    for _ in range(3):
        await world.get()
        await world.get(form=TIMED)
    assert {name: tally.made for name, tally in world.documents.tallies.items()} == {"lines": 2, "timed": 1}
    assert world.documents.kept_bytes < size


class Consumer:
    """Takes a response, a chunk at a time."""

    def __init__(self, world: World, document: Document) -> None:
        self.taken = 0
        self.cuts = 0
        self.room = asyncio.Semaphore(0)
        self._gone = asyncio.Event()
        chunks, size = document.chunks, None
        if chunks is None:
            chunks, size = document.gzip or (), document.size
        response = _DocumentResponse(world.documents, chunks, "text/plain", {}, size)
        self._scope: MutableMapping[str, Any] = {"extensions": {CUT: {"cut": self._cut}}}
        self.task = asyncio.create_task(
            response.to_asgi_response()(self._scope, self._receive, self._send)  # type: ignore[arg-type]
        )

    def _cut(self) -> None:
        self.cuts += 1
        self._gone.set()

    async def _receive(self) -> Any:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            await self.room.acquire()
            self.taken += len(message["body"])


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "CHUNK_BYTES", 100)


@pytest.mark.usefixtures("small_chunks")
async def test_a_chunk_is_sent_when_the_one_before_was_taken(world: World) -> None:
    made = await world.get()
    consumer = Consumer(world, made)
    await come_true(lambda: bool(world.documents._sending), "it is being sent")
    consumer.room.release()
    await come_true(lambda: consumer.taken > 0, "a chunk was taken")
    assert consumer.taken < made.size
    for _ in made.chunks or ():
        consumer.room.release()
    await asyncio.wait_for(consumer.task, DEADLINE_S)
    assert consumer.taken == made.size
    assert not world.documents._sending


@pytest.mark.usefixtures("small_chunks")
async def test_who_takes_too_little_is_cut_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "SENT_GRACE_S", 0.0)
    monkeypatch.setattr(documents, "SENT_BYTES_PER_S_MIN", 10**9)
    consumer = Consumer(world, await world.get())
    await asyncio.wait_for(consumer.task, DEADLINE_S)
    assert consumer.cuts == 1
    assert not world.documents._sending


@pytest.mark.usefixtures("small_chunks")
async def test_who_holds_old_documents_for_long_is_cut_off_when_these_are_too_much(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (await world.get()).size
    monkeypatch.setattr(documents, "SENDING_BYTES_MAX", 2 * size)
    consumers = []
    for number in range(1, 6):
        consumers.append(Consumer(world, await world.get()))
        for _ in range(10):
            await asyncio.sleep(0)
        world.change(number, Status.CHARGING)
        world.age()
        await world.get()
        for _ in range(10):
            await asyncio.sleep(0)
        consumers = [each for each in consumers if not each.cuts]
    assert len(consumers) == 2
    for each in consumers:
        each.task.cancel()
    await asyncio.gather(*(each.task for each in consumers), return_exceptions=True)
    assert not world.documents._sending
