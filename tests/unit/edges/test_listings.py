"""Listings: every crawl is of one position, whatever changes meanwhile, and what is kept is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

import pytest
from tests.building import NOW, make_change, make_evse, make_station

from ladestrom.core.access import Keyring
from ladestrom.core.choice import Choice
from ladestrom.core.directory import Directory
from ladestrom.core.selection import Selection
from ladestrom.core.view import StationState, View
from ladestrom.credentials import Doorkeeper
from ladestrom.edges import listings as edge
from ladestrom.edges.documents import EVERYTHING, KEPT_IDLE_S, Document, Documents
from ladestrom.edges.listings import Item, Listing, Listings, Offer
from ladestrom.errors import PositionLost
from ladestrom.formats.documents import Listed
from ladestrom.model import Evse, Millis, Status, StatusChanged
from ladestrom.ports.log import BoardRow, StationRow

STATIONS: Final = 120
WRAPPED: Final = (b"[", b",", b"]")


def lines(row: StationRow, state: StationState, left_out: list[tuple[Evse, str]]) -> Iterator[Listed]:
    """A line for each station."""
    if row.station.uuid == "NOR_00099":
        left_out += [(evse, "odd") for evse in row.station.evses]
        return
    said = ",".join(held.change.status.value for held in state.changes.values())
    updated_at = max(held.change.received_at for held in state.changes.values())
    yield Listed(f"{row.station.uuid} {said}".encode(), updated_at, tuple(state.changes))


def faulty(row: StationRow, state: StationState, left_out: list[tuple[Evse, str]]) -> Iterator[Listed]:
    if row.station.uuid == f"NOR_{STATIONS:05d}":
        raise RuntimeError(f"no line of {row.station.uuid}")
    return lines(row, state, left_out)


OFFER: Final = Offer(name="lines", media_type="text/plain", lister=lines)


class World:
    """A view, and listings over it."""

    def __init__(self) -> None:
        self.at = NOW
        self.view = View(Directory(), "abc")
        uuids = [f"NOR_{number:05d}" for number in range(1, STATIONS + 1)]
        self.stations = [make_station(uuid, (make_evse(f"NO*ABC*E{uuid[4:]}", uuid),)) for uuid in uuids]
        rows = [BoardRow(1, make_change(station.evses[0]), NOW, NOW, "abc") for station in self.stations]
        self.view.load(rows, 1, [StationRow(1, station) for station in self.stations])
        door = Doorkeeper(Keyring([], []), self.clock)
        self.documents = Documents(self.view, door, self.clock)
        self.listings = Listings(self.documents, self.view, door)

    def clock(self) -> Millis:
        return self.at

    def change(self, number: int, status: Status = Status.CHARGING) -> None:
        change = make_change(self.stations[number - 1].evses[0], status, self.at)
        self.view.apply(StatusChanged(self.view.seq + 1, change))
        self.documents.moved()

    async def newest(self, wanted: Choice = EVERYTHING, offer: Offer = OFFER) -> Listing:
        return await self.listings.newest(offer, wanted, "key")

    async def crawled(self) -> Listing:
        """A listing, the first page of which led on."""
        made = await self.newest()
        made.is_crawled = True
        return made

    def age(self, seconds: float = 0.0) -> None:
        """What is kept is so much older."""
        self.at += 1_000
        for listing in self.listings._kept.values():
            listing.begun_s -= listing.interval_s
            listing.used_s -= seconds

    def page(self, listing: Listing, offset: int = 0, limit: int = 10) -> Document:
        items = listing.within(None, None)[offset : offset + limit]
        return self.listings.page(listing, (offset, limit), items, WRAPPED)

    @property
    def held_bytes(self) -> int:
        """What everything that is kept takes, counted one by one."""
        kept = self.listings._kept.values()
        items = {id(item): item for listing in kept for item in listing.items}
        for entries in self.listings._entries.values():
            items |= {id(item): item for entry in entries.values() for item in entry.items}
        return sum(len(item.body) for item in items.values()) + sum(
            edge.POINTER_BYTES * len(listing.items) for listing in kept
        )


@pytest.fixture
async def world() -> World:
    return World()


def words(listing: Listing) -> list[str]:
    return [item.body.decode() for item in listing.present]


async def test_a_crawl_is_of_the_position_at_which_it_began_whatever_changes_meanwhile(world: World) -> None:
    first = await world.crawled()
    before = words(first)
    assert before == sorted(before)
    for number in range(1, 20):
        world.change(number)
        world.age()
        assert words(await world.newest()) != before
        assert words(world.listings.at(OFFER, EVERYTHING, first.position)) == before


async def test_it_is_of_the_position_at_which_it_began_to_be_made(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ladestrom.tasks.TURN_S", 0.0)
    making = asyncio.create_task(world.newest())
    while not world.view._walks:
        await asyncio.sleep(0)
    world.change(STATIONS)
    made = await making
    assert (made.position.seq, words(made)[-1]) == (1, f"NOR_{STATIONS:05d} AVAILABLE")


async def test_those_who_ask_at_once_share_one_listing_and_its_pages(world: World) -> None:
    found = await asyncio.gather(*(world.newest() for _ in range(1_000)))
    assert len({id(each) for each in found}) == 1
    assert world.documents.tallies["lines"].made == 1
    assert len({id(world.page(each)) for each in found}) == 1


async def test_objects_of_stations_that_did_not_change_are_shared(world: World) -> None:
    first = await world.crawled()
    world.change(7)
    world.age()
    second = await world.newest()
    differ = [one for one, other in zip(first.items, second.items, strict=True) if one is not other]
    assert [item.body for item in differ] == [b"NOR_00007 AVAILABLE"]


async def test_every_byte_is_counted_and_given_back(world: World) -> None:
    chosen = Choice(Selection(station=frozenset({"NOR_00003", "NOR_00007"})))
    for number in range(1, 15):
        await world.crawled()
        assert len((await world.newest(chosen)).items) == 2
        assert world.listings.kept_bytes == world.held_bytes
        world.change(number)
        world.age()
    world.age(edge.CRAWL_IDLE_S)
    world.listings.sweep()
    assert (world.listings.kept_bytes, world.listings._kept, world.listings._entries) == (0, {}, {})
    assert not world.listings._newest


async def test_what_was_not_asked_for_longest_is_lost_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "LISTINGS_MAX", 3)
    crawls = []
    for number in range(1, 5):
        crawls.append(await world.crawled())
        if number == 3:
            world.listings.at(OFFER, EVERYTHING, crawls[0].position)
        world.change(number)
        world.age()
    lost = [each.position.seq for each in crawls if not is_there(world, each)]
    assert lost == [crawls[1].position.seq]
    monkeypatch.setattr(edge, "LISTED_BYTES_MAX", 1)
    newest = await world.crawled()
    assert [is_there(world, each) for each in (*crawls, newest)] == [*[False] * 4, True]
    assert world.listings.kept_bytes == world.held_bytes


def is_there(world: World, listing: Listing) -> bool:
    try:
        return world.listings.at(OFFER, EVERYTHING, listing.position) is listing
    except PositionLost:
        return False


async def test_a_listing_that_nobody_crawls_goes_with_the_next_one_and_one_that_is_crawled_stays_longer(
    world: World,
) -> None:
    first = await world.newest()
    world.change(1)
    world.age()
    second = await world.crawled()
    assert [is_there(world, each) for each in (first, second)] == [False, True]
    world.age(KEPT_IDLE_S)
    world.listings.sweep()
    assert is_there(world, second)
    world.age(edge.CRAWL_IDLE_S)
    world.listings.sweep()
    assert not is_there(world, second)


async def test_a_crawl_goes_on_with_its_own_filters_only(world: World) -> None:
    made = await world.crawled()
    with pytest.raises(PositionLost, match="begin again"):
        world.listings.at(OFFER, Choice(Selection(country=frozenset({"NOR"}))), made.position)


async def test_a_page_keeps_its_tag_while_nothing_of_it_changes(world: World) -> None:
    first = world.page(await world.crawled())
    world.change(50)
    world.age()
    same = world.page(await world.newest())
    assert (same.tag, same.chunks is first.chunks, same.modified_s) == (first.tag, True, first.modified_s)
    assert (first.position.seq, same.position.seq) == (1, 2)
    world.change(5)
    world.age()
    other = world.page(await world.newest())
    assert (other.tag == first.tag, other.modified_s > first.modified_s) == (False, True)
    assert b"".join(other.chunks or ()).count(b"CHARGING") == 1


async def test_few_pages_are_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "PAGES_MAX", 5)
    listing = await world.newest()
    for offset in range(20):
        world.page(listing, offset)
    assert len(world.listings._pages) == len(world.listings._last) == 5
    monkeypatch.setattr(edge, "PAGES_BYTES_MAX", 1)
    world.page(listing, 30)
    assert len(world.listings._pages) == len(world.listings._last) == 1


async def test_what_is_gone_is_only_told_to_those_who_ask_for_what_was_updated(world: World) -> None:
    items = (Item(b"a", 10, ("A",)), Item(b"b", 20, ("B",), is_gone=True), Item(b"c", 30, ("C",)))
    listing = Listing(OFFER, world.view.position, items, (items[0], items[2]))

    def within(begin: int | None, end: int | None) -> bytes:
        return b"".join(item.body for item in listing.within(begin, end))

    assert [within(*each) for each in ((None, None), (None, 30), (10, None), (20, 30), (21, None))] == [
        b"ac",
        b"a",
        b"abc",
        b"b",
        b"c",
    ]


async def test_a_defect_is_told_to_those_who_wait_and_the_next_one_is_whole(world: World) -> None:
    offer = Offer(name="faulty", media_type="text/plain", lister=faulty)
    with pytest.raises(RuntimeError, match="no line"):
        await world.newest(offer=offer)
    world.change(1)
    assert len((await world.newest()).items) == STATIONS - 1


async def test_what_cannot_be_told_is_counted_each_time(world: World) -> None:
    for number in (1, 2):
        await world.newest()
        told = world.documents.tallies["lines"]
        assert (told.left_out.counts, told.evses) == ({"odd": 1}, STATIONS - 1)
        world.change(number)
        world.age()
