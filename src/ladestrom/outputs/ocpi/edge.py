"""Locations of the Sender interface: lists in pages, and single objects. OCPI's router asks for them.

Source: OCPI 2.2.1 and 2.3.0, sections 4.1.4 (pagination) and 8.2.1; 2.1.1 likewise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode

import msgspec

from ladestrom.core.choice import Choice
from ladestrom.core.locations import party_of
from ladestrom.edges.documents import FILTERS, MINUTE_MS, Document, Documents, application
from ladestrom.edges.listings import Entry, Item, Listing, Listings, Offer
from ladestrom.edges.output import Opened, Reading
from ladestrom.edges.query import known
from ladestrom.errors import BadRequest, NotAllowed, PositionLost, Unauthenticated
from ladestrom.formats.ocpi_location import Version
from ladestrom.ingest.ocpi_handlers import Asked, Handler, ModuleServices, Ready
from ladestrom.model import Millis, Position, local_key
from ladestrom.outputs.ocpi.encoder import JSON, id_of, lister, part_of, wrapping
from ladestrom.protocols import ocpi, ocpi_modules
from ladestrom.protocols.delivery import millis
from ladestrom.protocols.ocpi import Refused
from ladestrom.quoting import quoted
from ladestrom.tasks import Turns

PARAMETERS: Final = FILTERS | {"date_from", "date_to", "offset", "limit", "at"}
LIMIT_MAX: Final = 500
"""Locations in a page, and where nobody says how many: some 1 MiB."""
DIGITS_MAX: Final = 18
DEPTH_MAX: Final = 3
"""Location, EVSE, connector."""
STATIONS_PER_TURN: Final = 500
"""Looked at before other work of the loop gets its turn: some 0.5 ms."""
OFFERS: Final[Mapping[str, Offer]] = {
    version.value: Offer(name=f"ocpi_{version.value}", media_type=JSON, lister=lister(version))
    for version in Version
}


class Window(msgspec.Struct, frozen=True):
    """Which part of a list is asked for."""

    begin: Millis | None = None
    """Updated then or later."""
    end: Millis | None = None
    """Updated before."""
    offset: int = 0
    limit: int = LIMIT_MAX


def open(reading: Reading) -> Opened:  # noqa: A001 - what every output's edge is opened by
    """Nothing of its own: OCPI has one router, which asks `locations`."""
    del reading
    return Opened()


def locations(services: ModuleServices) -> Handler:
    """The module's handler."""
    made: Handler = services.over_view("ladestrom.outputs.ocpi.edge:LocationsSender")
    return made


class LocationsSender:
    """Handles the module, over a view."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._documents: Documents = reading.documents
        self._listings = Listings(reading.documents, reading.view, reading.door)
        self._names = _Names(reading)

    async def answer(self, asked: Asked) -> Ready:
        """Implements `Handler.answer`."""
        if asked.peer.state == "invited":
            raise Unauthenticated("this token is for the registration only; POST your credentials first")
        if asked.peer.state != ocpi_modules.READING and not self._reading.door.visitors:
            # A peer delivers; what others deliver is not for everybody here.
            raise NotAllowed(
                "the token of a peer does not read Locations here; use a key with the scope `stream`"
            )
        offer = OFFERS[asked.version]
        parts = [unquote(part) for part in asked.path.split("/") if part]
        try:
            return await (self._object(asked, offer, parts) if parts else self._list(asked, offer))
        except BadRequest as error:
            raise Refused(str(error), ocpi.INVALID_PARAMETERS, HTTPStatus.BAD_REQUEST) from error
        except PositionLost as error:
            raise Refused(str(error), ocpi.INVALID_PARAMETERS, HTTPStatus.GONE) from error

    # -- lists -------------------------------------------------------------------------------------------

    async def _list(self, asked: Asked, offer: Offer) -> Ready:
        query = known(asked.query, PARAMETERS)
        wanted, window = self._documents.chosen(query), _window(query)
        at = query.get("at")
        if at is None:
            listing = await self._listings.newest(offer, wanted, asked.peer.id)
        else:
            position, wanted = _moment(at, wanted)
            listing = self._listings.at(offer, wanted, position)
        items = listing.within(window.begin, window.end)
        found = items[window.offset : window.offset + window.limit]
        before, behind = wrapping(listing.begun_at)
        page = self._listings.page(listing, (wanted, window), found, (before + b"[", b",\n", b"]" + behind))
        headers = {"x-total-count": str(len(items)), "x-limit": str(LIMIT_MAX)}
        if listing.licences:
            # `Link` is the next page to readers of OCPI, whatever its relation says.
            headers["ladestrom-licence"] = ", ".join(listing.licences)
        following = window.offset + len(found)
        if found and following < len(items):
            listing.is_crawled = True
            headers["link"] = f'<{_next(asked, query, listing, wanted, window, following)}>; rel="next"'
        return await self._sent(asked, page, headers)

    # -- objects -----------------------------------------------------------------------------------------

    async def _object(self, asked: Asked, offer: Offer, parts: list[str]) -> Ready:
        known(asked.query, ())
        for party, name, below in _meant(parts):
            item = await self._location(offer, party or _addressed(asked), name, is_sure=bool(party))
            if item is None:
                continue
            body = part_of(item[1].body, *below) if below else item[1].body
            if body is None:
                raise Refused(
                    f"the Location {quoted(name, 40)} has no {' '.join(quoted(each, 40) for each in below)}",
                    ocpi.UNKNOWN_LOCATION,
                    HTTPStatus.NOT_FOUND,
                )
            return await self._one(asked, offer, *item, body)
        raise Refused(
            f"there is no Location {quoted('/'.join(parts), 100)}",
            ocpi.UNKNOWN_LOCATION,
            HTTPStatus.NOT_FOUND,
        )

    async def _one(self, asked: Asked, offer: Offer, entry: Entry, item: Item, body: bytes) -> Ready:
        view = self._reading.view
        at = self._reading.clock()
        made = Listing(offer, Position(view.epoch, entry.seq), ())
        updated_s = item.updated_at // 1000
        # Within the same second it may change again.
        made.begun_at, made.modified_s = at, updated_s + (at // 1000 > updated_s)
        before, behind = wrapping(at)
        single = msgspec.structs.replace(item, body=body, held=0)
        # One path may mean Locations of several parties.
        content = asked.request.path, id_of(item.body)
        page = self._listings.page(made, content, (single,), (before, b"", behind))
        headers = {"ladestrom-position": str(view.position)}
        return await self._sent(asked, page, headers)

    async def _sent(self, asked: Asked, page: Document, headers: Mapping[str, str]) -> Ready:
        answer = await self._documents.sent(asked.request, page, is_conditional=True, headers=headers)
        return Ready(application(answer))

    async def _location(
        self, offer: Offer, party: str | None, name: str, *, is_sure: bool
    ) -> tuple[Entry, Item] | None:
        """The Location of this name: of the party, if it has one, or with `is_sure`, only then."""
        own = local_key(name)
        found: list[tuple[str, Entry, Item]] = []
        for uuid in await self._names.uuids(own):
            entry = self._listings.entry(offer, uuid)
            for item in () if entry is None else entry.items:
                called, owner = id_of(item.body)
                if called == own and entry is not None:
                    found.append((owner or (party if is_sure else None) or "", entry, item))
        theirs = [each for each in found if each[0] == party]
        chosen = theirs or ([] if is_sure else found)
        return chosen[0][1:] if chosen else None


class _Names:
    """Stations by what their Locations may be called."""

    def __init__(self, reading: Reading) -> None:
        self._view = reading.view
        self._records_seq = -1
        self._by_own: dict[str, list[str]] = {}

    async def uuids(self, name: str) -> list[str]:
        """Those whose Locations may have this name, as it compares."""
        for uuid in (name, name.partition("-")[0]):
            if self._view.get(uuid) is not None:
                return [uuid]
        await self._renew()
        return self._by_own.get(name, [])

    async def _renew(self) -> None:
        view = self._view
        if self._records_seq == view.records_seq:
            return
        records_seq, turns, made = view.records_seq, Turns(), dict[str, list[str]]()
        uuids = view.uuids()
        for start in range(0, len(uuids), STATIONS_PER_TURN):
            for uuid in uuids[start : start + STATIONS_PER_TURN]:
                row = view.records.get(uuid)
                if row is not None and row.station.register.startswith("ocpi"):
                    own = row.station.native_id.split("*", 2)[-1]
                    made.setdefault(local_key(own), []).append(uuid)
            await turns.rest()
        self._records_seq, self._by_own = records_seq, made


def _meant(parts: list[str]) -> Iterator[tuple[str | None, str, list[str]]]:
    """What a path may mean: party, Location and what is below; some readers write whose a Location is."""
    if len(parts) <= DEPTH_MAX:
        yield None, parts[0], parts[1:]
    party = party_of(*parts[:2]) if 2 < len(parts) <= 2 + DEPTH_MAX else None  # noqa: PLR2004 - country, party
    if party is not None:
        yield party, parts[2], parts[3:]


def _addressed(asked: Asked) -> str | None:
    """Whom a request is for (OCPI 2.2.1, section 4.1.3.2)."""
    given = asked.request.headers
    return party_of(given.get("ocpi-to-country-code"), given.get("ocpi-to-party-id"))


def _window(query: Mapping[str, str]) -> Window:
    begin, end = (_instant(query, name) for name in ("date_from", "date_to"))
    limit = _number(query, "limit", LIMIT_MAX)
    if not limit:
        raise BadRequest("limit=0 asks for nothing; write a number from 1 on, or omit it")
    return Window(begin, end, _number(query, "offset", 0), min(limit, LIMIT_MAX))


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= DIGITS_MAX):
        raise BadRequest(f"{name}={quoted(text, 20)} is not a number; write it in digits, without a sign")
    return int(text)


def _instant(query: Mapping[str, str], name: str) -> Millis | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        # A plus sign that was not escaped arrives as a space.
        said = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text)
        return millis(said if said.tzinfo is not None else said.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise BadRequest(
            f"{name}={quoted(text, 40)} is not a time; write it as 2026-11-22T10:00:00Z"
        ) from None


def _moment(at: str, wanted: Choice) -> tuple[Position, Choice]:
    """The position of a crawl, and what it chose: what is open is of the minute in which it began."""
    text, _, minute = at.partition(".")
    position = Position.parse(text)
    if minute and not (minute.isascii() and minute.isdecimal() and len(minute) <= DIGITS_MAX):
        raise BadRequest(f"at={quoted(at, 40)} is not from a link of this server")
    if wanted.features.open_now:
        wanted = msgspec.structs.replace(wanted, at=int(minute or 0) * MINUTE_MS)
    return position, wanted


def _next(
    asked: Asked, query: Mapping[str, str], listing: Listing, wanted: Choice, window: Window, offset: int
) -> str:
    """The address of the next page: the same filters, and the same state."""
    minute = f".{wanted.at // MINUTE_MS}" if wanted.features.open_now else ""
    said: dict[str, Any] = {name: value for name, value in query.items() if name not in {"offset", "at"}}
    said |= {"limit": window.limit, "offset": offset, "at": f"{listing.position}{minute}"}
    return f"{asked.root}{ocpi.PREFIX}/{asked.request.path}?{urlencode(said, quote_via=quote, safe=':,*')}"
