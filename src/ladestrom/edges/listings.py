"""Listings: all objects of an output in an order that stays, given page by page, each crawl of one position.

Knows views and bytes; not what any object says (`formats.documents.Lister`). A crawl is of the position at
which it began, however long it takes and whatever changes meanwhile: its listing is kept while pages of it
are asked for. That costs little, as listings share the objects of stations that did not change.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from ladestrom.core.choice import Choice
from ladestrom.core.view import StationState, View
from ladestrom.credentials import Doorkeeper
from ladestrom.edges.bodies import CHUNK_BYTES, Body
from ladestrom.edges.documents import (
    EVERYTHING,
    INTERVAL_S_MIN,
    KEPT_IDLE_S,
    Document,
    Documents,
    Kind,
    Making,
    Tally,
    modified_s,
)
from ladestrom.edges.once import Once
from ladestrom.edges.walks import Walks
from ladestrom.errors import LadestromError, PositionLost
from ladestrom.formats.documents import LeftOut, Lister
from ladestrom.model import Evse, Millis, Position, Station
from ladestrom.ports.log import StationRow
from ladestrom.tasks import Turns

T = TypeVar("T")

LISTED_BYTES_MAX: Final = 256 * 1024 * 1024
"""Of all listings, with their objects of some 2 KiB. What was not asked for longest is dropped first."""
LISTINGS_MAX: Final = 200
"""Likewise. A crawl of its own a second, for some minutes."""
CRAWL_IDLE_S: Final = 600.0
"""A listing is kept so long after its last page, where that led on to another one."""
PAGES_BYTES_MAX: Final = 32 * 1024 * 1024
"""Of pages that are kept for others who ask for the same, packed and as they are."""
PAGES_MAX: Final = 500
"""Likewise."""
STATIONS_PER_LOOK: Final = 500
"""Put in order, or taken, between two looks at the clock: some 0.5 ms."""
POINTER_BYTES: Final = 8


class Item(msgspec.Struct, gc=False, eq=False):
    """One object of a listing."""

    body: bytes
    updated_at: Millis
    """On our clock: what changes later is updated later."""
    evses: tuple[str, ...]
    """Keys of those that it has."""
    is_gone: bool = False
    """Whether its station left its register: who has all that there is does not get it, who asks for what
    was updated since does."""
    held: int = 0
    """Listings that have it, and whether it is the newest."""


class Entry(msgspec.Struct, frozen=True, gc=False, eq=False):
    """What a station came to, at one state of it."""

    seq: int
    items: tuple[Item, ...]
    left_out: tuple[tuple[Evse, str], ...]
    """EVSEs that cannot be told of, and why."""


class Offer(Kind, frozen=True, kw_only=True, eq=False):
    """A kind of listing."""

    lister: Lister


class Listing:
    """One that was made."""

    def __init__(
        self,
        offer: Offer,
        position: Position,
        items: tuple[Item, ...],
        present: tuple[Item, ...] | None = None,
    ) -> None:
        self.offer = offer
        self.position = position
        self.items = items
        """In the order of the stations' uuids."""
        self.present = items if present is None else present
        """Those that are not gone."""
        self.licences: Sequence[str] = ()
        self.begun_at: Millis = 0
        self.modified_s = 0
        self.begun_s = self.used_s = 0.0
        self.interval_s = INTERVAL_S_MIN
        self.is_crawled = False
        """Whether a page of it led on to another one."""

    def within(self, begin: Millis | None, end: Millis | None) -> Sequence[Item]:
        """The objects that were updated from `begin` on and before `end`; of all of them, those present."""
        if begin is None and end is None:
            return self.present
        items = self.present if begin is None else self.items
        low, high = begin or 0, end
        return [item for item in items if low <= item.updated_at and (high is None or item.updated_at < high)]


Key = tuple[str, Choice]
Made = Listing | LadestromError


class Listings:
    """All listings over one view."""

    def __init__(self, documents: Documents, view: View, door: Doorkeeper) -> None:
        """None is made yet. `documents` sends pages, and tells whoever runs the server what was made."""
        self._documents = documents
        self._view = view
        self._walks = Walks(view, door)
        self._kept: OrderedDict[tuple[Key, Position], Listing] = OrderedDict()
        """The one that was not asked for longest comes first."""
        self._newest: dict[Key, Listing] = {}
        """Those of them that began last."""
        self._once: Once[Key, Listing] = Once("listing")
        self._entries: dict[str, dict[str, Entry]] = {}
        """By name of the offer and uuid; of offers that have a listing."""
        self.kept_bytes = 0
        self._pages: OrderedDict[tuple[Hashable, Position], Document] = OrderedDict()
        """The one that was not asked for longest comes first."""
        self._last: dict[Hashable, Document] = {}
        """Of the same place in a list, those of the newest position."""
        documents.swept.append(self.sweep)

    # -- listings ----------------------------------------------------------------------------------------

    async def newest(self, offer: Offer, wanted: Choice, key_id: str) -> Listing:
        """The listing: one that is kept and is not older than may be, or a new one.

        Raises:
            TooManyRequests: this key has too many other listings made.
        """
        key = (offer.name, wanted)
        while True:
            now_s = asyncio.get_running_loop().time()
            kept = self._newest.get(key)
            if kept is not None and (
                kept.position == self._view.position or now_s - kept.begun_s < kept.interval_s
            ):
                return self._used(key, kept)
            made = await self._once.made(key, lambda: self._make(offer, wanted, key_id))
            if made is not None:
                return self._used(key, made)

    def at(self, offer: Offer, wanted: Choice, position: Position) -> Listing:
        """The listing of a crawl that began at a position.

        Raises:
            PositionLost: it is not kept any more, or there was none.
        """
        key = (offer.name, wanted)
        kept = self._kept.get((key, position))
        if kept is None:
            raise PositionLost(
                f"the list as it was at {position} is not kept any more, or was asked for with other "
                "filters; begin again with the first page, without at and offset"
            )
        return self._used(key, kept)

    def _used(self, key: Key, listing: Listing) -> Listing:
        place = (key, listing.position)
        if self._kept.get(place) is listing:
            listing.used_s = asyncio.get_running_loop().time()
            self._kept.move_to_end(place)
        return listing

    def entry(self, offer: Offer, uuid: str) -> Entry | None:
        """What a station comes to now; None where there is none."""
        state, row = self._view.get(uuid), self._view.records.get(uuid)
        if state is None or row is None:
            return None
        kept = self._entries.get(offer.name, {}).get(uuid)
        return kept if kept is not None and kept.seq == state.seq else _entry(offer, row, state)

    # -- pages -------------------------------------------------------------------------------------------

    def page(
        self, listing: Listing, content: Hashable, items: Sequence[Item], wrapped: tuple[bytes, bytes, bytes]
    ) -> Document:
        """A page of a listing: made once for all who ask for the same.

        Args:
            listing: whose.
            content: which page it is, among those of the same offer.
            items: its objects.
            wrapped: what stands before, between and behind them; does not count where pages are compared.
        """
        place = (listing.offer.name, content)
        kept = self._pages.get((place, listing.position))
        if kept is not None:
            self._pages.move_to_end((place, listing.position))
            return kept
        before = self._last.get(place)
        digest = hashlib.blake2b(digest_size=8)
        for item in items:
            digest.update(item.body)
        body = Body.of(_chunks(items, *wrapped))
        made = Document(listing.offer, body, digest.digest(), listing.position)
        made.modified_s = listing.modified_s
        made.interval_s = listing.interval_s
        if before is not None and before.digest == made.digest:
            # The position moved on, and nothing of this changed: those who have it have it still.
            made.chunks, made.size, made.gzip = before.chunks, before.size, before.gzip
            made.tag, made.modified_s = before.tag, before.modified_s
        if before is None or before.position < made.position:
            self._last[place] = made
        self._pages[place, made.position] = made
        self._drop_pages()
        return made

    def _drop_pages(self) -> None:
        size = sum(each.kept_bytes for each in self._pages.values())
        while len(self._pages) > (PAGES_MAX if size <= PAGES_BYTES_MAX else 1):
            (place, _), dropped = self._pages.popitem(last=False)
            size -= dropped.kept_bytes
            if self._last.get(place) is dropped:
                del self._last[place]

    # -- making ------------------------------------------------------------------------------------------

    async def _make(self, offer: Offer, wanted: Choice, key_id: str) -> Made:
        documents = self._documents
        making = _Making(self._view, offer, wanted, self._entries.setdefault(offer.name, {}))
        try:
            await self._walks.through(
                key_id,
                lambda: making.begin(documents.clock(), documents.changed_at),
                making.visit,
                lambda _: "",
            )
        except LadestromError as error:
            return error
        if making.fault is not None:
            raise making.fault
        made = await making.assembled()
        turns = Turns()
        await self._take(making, turns)
        for some in _parts(made.items):
            self._hold(some)
            await turns.rest()
        made.licences = documents.licences(making.licences)
        made.begun_at, made.begun_s = making.begun_at, making.begun_s
        made.modified_s = modified_s(making.begun_at, None if wanted.features.open_now else making.changed_at)
        made.interval_s = making.interval_s
        self._keep((offer.name, wanted), made)
        self._note(making, made)
        return made

    async def _take(self, making: _Making, turns: Turns) -> None:
        """Those that were made anew are the newest from now on."""
        name = making.offer.name
        for some in _parts(list(making.renewed.items())):
            # Between two parts, all of them may be dropped.
            entries = self._entries.setdefault(name, {})
            for uuid, entry in some:
                before = entries.get(uuid)
                if before is not None and before.seq >= entry.seq:
                    continue
                entries[uuid] = entry
                self._hold(entry.items)
                if before is not None:
                    self._let_go(before.items)
            await turns.rest()

    def _hold(self, items: Sequence[Item]) -> None:
        for item in items:
            if not item.held:
                self.kept_bytes += len(item.body)
            item.held += 1

    def _let_go(self, items: Sequence[Item]) -> None:
        for item in items:
            item.held -= 1
            if not item.held:
                self.kept_bytes -= len(item.body)

    def _keep(self, key: Key, made: Listing) -> None:
        """Keeps one whose objects are held."""
        place = (key, made.position)
        before, same = self._newest.get(key), self._kept.get(place)
        made.used_s = asyncio.get_running_loop().time()
        self._newest[key] = self._kept[place] = made
        self.kept_bytes += POINTER_BYTES * len(made.items)
        if same is not None:
            made.is_crawled = same.is_crawled
            self._release(same)
        elif before is not None and not before.is_crawled:
            self._forget(key, before)
        while len(self._kept) > (LISTINGS_MAX if self.kept_bytes <= LISTED_BYTES_MAX else 1):
            (oldest, _), listing = next(iter(self._kept.items()))
            self._forget(oldest, listing)

    def _forget(self, key: Key, listing: Listing) -> None:
        del self._kept[key, listing.position]
        self._release(listing)
        if self._newest.get(key) is listing:
            del self._newest[key]
        name = listing.offer.name
        if not any(each == name for (each, _), _ in self._kept):
            for entry in self._entries.pop(name, {}).values():
                self._let_go(entry.items)

    def _release(self, listing: Listing) -> None:
        self._let_go(listing.items)
        self.kept_bytes -= POINTER_BYTES * len(listing.items)

    def _note(self, making: _Making, made: Listing) -> None:
        tally = self._documents.tallies.setdefault(made.offer.name, Tally())
        tally.made += 1
        tally.worked_s += making.worked_s
        tally.made_at = making.begun_at
        if making.wanted == EVERYTHING:
            tally.position, tally.whole_at = str(made.position), making.begun_at
            tally.bytes, tally.evses, tally.left_out = making.size, making.evses, making.left_out

    def sweep(self) -> None:
        """Drops what nobody asks for any more."""
        now_s = asyncio.get_running_loop().time()
        for (key, _), listing in list(self._kept.items()):
            if now_s - listing.used_s >= (CRAWL_IDLE_S if listing.is_crawled else KEPT_IDLE_S):
                self._forget(key, listing)
        if not self._kept:
            self._pages.clear()
            self._last.clear()


class _Making(Making):
    """A listing in the making."""

    def __init__(self, view: View, offer: Offer, wanted: Choice, entries: dict[str, Entry]) -> None:
        super().__init__(view, wanted)
        self.offer = offer
        self.left_out = LeftOut()
        self.size = 0
        """Of what is present, as `evses`."""
        self.renewed: dict[str, Entry] = {}
        """Of stations that changed since the last listing."""
        self._entries = entries
        self._chosen: dict[str, tuple[Item, ...]] = {}

    def take(self, state: StationState) -> None:
        """Takes a station: its objects."""
        uuid = state.uuid
        row = self._view.records.get(uuid)
        if row is None:
            return
        station, wanted = row.station, self.wanted
        if wanted != EVERYTHING and not wanted.selection.covers(station, (), state.sources()):
            return
        entry = self._entries.get(uuid)
        if entry is None or entry.seq != state.seq:
            entry = self.renewed[uuid] = _entry(self.offer, row, state)
        for evse, reason in entry.left_out:
            self.left_out.add(evse, reason)
        items = entry.items
        if wanted.by_evse or wanted.selection.evse:
            items = tuple(_chosen(items, station, state, wanted))
        if items:
            self._chosen[uuid] = items
            self.licensed(station)

    async def assembled(self) -> Listing:
        """The listing. To be asked for once."""
        turns, items, gone = Turns(), list[Item](), 0
        for some in _parts(self._order):
            for uuid in some:
                for item in self._chosen.pop(uuid, ()):
                    items.append(item)
                    if item.is_gone:
                        gone += 1
                    else:
                        self.size += len(item.body)
                        self.evses += len(item.evses)
            await turns.rest()
        present = tuple(item for item in items if not item.is_gone) if gone else None
        self.worked_s += turns.worked_s
        return Listing(self.offer, self.position, tuple(items), present)


def _parts(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[first : first + STATIONS_PER_LOOK] for first in range(0, len(items), STATIONS_PER_LOOK))


def _entry(offer: Offer, row: StationRow, state: StationState) -> Entry:
    left_out: list[tuple[Evse, str]] = []
    items = tuple(
        Item(each.body, each.updated_at, each.evses, row.station.vanished_at is not None)
        for each in offer.lister(row, state, left_out)
    )
    return Entry(state.seq, items, tuple(left_out))


def _chosen(items: Sequence[Item], station: Station, state: StationState, wanted: Choice) -> Iterator[Item]:
    """Objects with an EVSE that passes all filters."""
    found = {evse.key for evse, _ in wanted.evses(station, state)}
    return (item for item in items if not found.isdisjoint(item.evses))


def _chunks(items: Sequence[Item], head: bytes, between: bytes, end: bytes) -> Sequence[bytes]:
    """A page's bytes."""
    chunks: list[bytes] = []
    gathered, size = [head], 0
    for number, item in enumerate(items):
        if number:
            gathered.append(between)
        gathered.append(item.body)
        size += len(item.body)
        if size >= CHUNK_BYTES:
            chunks.append(b"".join(gathered))
            gathered, size = [], 0
    gathered.append(end)
    chunks.append(b"".join(gathered))
    return tuple(chunks)
