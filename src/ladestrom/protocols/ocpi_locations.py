"""The module Locations of OCPI: the statuses in Location objects, of any version.

Knows which members of a Location decide a status, and reads nothing else of it; what static members say
is for `core.locations`. Strict on what decides: without uid and status an EVSE is refused. Lenient on all
else: null is as good as absent, numbers stand for ids, `last_updated` may be missing.

Source: OCPI 2.2.1 and 2.3.0, section 8; 2.1.1, `mod_locations`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from ladestrom.core.location_hours import instant
from ladestrom.core.locations import (
    ID_CHARACTERS_MAX,
    draft,
    is_hidden,
    native_id,
    party_of,
    status_of,
)
from ladestrom.errors import MalformedBody, TooLarge
from ladestrom.model import NEVER, Ids, Millis, Order, Reason, Status, evse_key, local_key
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.protocols.delivery import UNREADABLE, Delivery, Gathering, Left, ParseLimits, millis, shown


class Evse(msgspec.Struct, frozen=True, gc=False):
    """What decides of an EVSE object; unknown members are ignored."""

    uid: str
    status: str
    evse_id: str | None = None
    last_updated: datetime | None = None


class _Named(msgspec.Struct, frozen=True, gc=False):
    """What says which Location an object is."""

    id: Any = None
    country_code: Any = None
    party_id: Any = None


class Location(msgspec.Struct, frozen=True, gc=False):
    """What decides of a Location object."""

    id: str
    evses: list[Evse] | None = None
    publish: bool | None = None
    country_code: str | None = None
    party_id: str | None = None
    last_updated: datetime | None = None


class Page(msgspec.Struct, frozen=True):
    """What a list of Locations brought."""

    delivery: Delivery
    locations: int
    newest_at: Millis
    """The largest `last_updated` of its Locations; `NEVER` where none has one."""
    named: list[Ids]
    """Every EVSE that it has."""
    parties: set[str]
    """Whose its Locations are, where they say so."""
    ids: list[str]
    """Of its Locations, as they compare; of those that have one."""


DOCUMENT_BYTES_MAX: Final = 1024 * 1024
"""Of one stored Location: a thousand EVSEs of 1 KiB each."""

_encode = msgspec.json.Encoder().encode
_decode_named = msgspec.json.Decoder(_Named).decode
_decode_page = msgspec.json.Decoder(list[Location]).decode
_decode_raws = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_location = msgspec.json.Decoder(Location).decode
_decode_raw_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, object]).decode


def read_page(
    data: bytes | msgspec.Raw,
    source: str,
    limits: ParseLimits,
    *,
    party: str | None = None,
    with_documents: bool = False,
    with_stations: bool = False,
) -> Page:
    """A list of Locations, as a Sender answers it. One EVSE that cannot be read costs no other.

    Args:
        data: the list.
        source: name of the operator.
        limits: what it may be.
        party: whose Locations are that do not say so (2.1.1).
        with_documents: whether the Locations themselves are wanted too.
        with_stations: whether the stations that it describes are wanted too, which takes longer.

    Raises:
        MalformedBody: it is no list.
        TooLarge: it has more EVSEs than `items_max`.
    """
    gathered = Statuses(source, limits)
    newest_at = NEVER
    locations: Iterable[Location | dict[str, object]]
    try:
        locations = _decode_page(data)
    except msgspec.ValidationError:
        locations = _one_by_one(data)
    except UNREADABLE as error:
        raise MalformedBody(
            f"the list of Locations is not JSON ({error}); none of it was accepted"
        ) from error
    count = 0
    owners: set[tuple[object, object]] = set()
    ids: list[str] = []
    owner: tuple[str | None, str | None]
    own: str
    for each in locations:
        count += 1
        if isinstance(each, Location):
            gathered.add(each)
            owner, own = (each.country_code, each.party_id), each.id
            at = NEVER if each.last_updated is None else millis(each.last_updated)
        else:
            gathered.add_object(each)
            owner = (_text(each.get("country_code")), _text(each.get("party_id")))
            own = _text(each.get("id"))
            at = instant(each.get("last_updated")) or NEVER
        owners.add(owner)
        if own:
            ids.append(local_key(f"{owner[0] or ''}*{owner[1] or ''}*{own}"))
        newest_at = max(newest_at, at)
    stations = _stations(data, party) if with_stations else []
    parties = set(filter(None, (party_of(*each) for each in owners)))
    delivery = gathered.delivery(stations)
    if with_documents:
        delivery = msgspec.structs.replace(delivery, documents=_documents(data, party))
    return Page(delivery, count, newest_at, gathered.named, parties, ids)


def _documents(data: bytes | msgspec.Raw, party: str | None) -> dict[str, bytes]:
    """The Locations of a list as they are kept. Those that nobody could ask for are left out."""
    found: dict[str, bytes] = {}
    for raw in _items(data):
        try:
            said = _decode_named(raw)
            text = bytes(raw)
            text.decode()
        except UNREADABLE:
            continue
        if b"\\" in text and not _object(raw):
            # An escape that is none is seen where a text is wanted only.
            continue
        own, name = party_of(said.country_code, said.party_id), _text(said.id)
        if own is None or name != said.id:
            own = own or party
            if own is None or not name:
                continue
            filled = {"id": name, "country_code": own[:2], "party_id": own[2:]}
            text = _encode({**_object(raw), **filled})
        if len(text) <= DOCUMENT_BYTES_MAX and len(name) <= ID_CHARACTERS_MAX:
            found[native_id(own, name)] = text
    return found


def is_news(before: bytes | None, document: bytes) -> bool:
    """Whether a Location that was pulled is to be kept in place of the one that is there.

    Not where it is older, nor where nothing but times is another: some Senders update all times each time.
    """
    if before is None or before == document:
        return before is None
    old, new = _object(before), _object(document)
    old_at, new_at = instant(old.get("last_updated")), instant(new.get("last_updated"))
    if old_at is not None and new_at is not None and old_at > new_at:
        return False
    return _timeless(old) != _timeless(new)


def _timeless(said: dict[str, object], lists: tuple[str, ...] = ("evses", "connectors")) -> dict[str, object]:
    """An object, and those that it lists, without the times of updates."""
    made = {name: value for name, value in said.items() if name != "last_updated"}
    for name in lists:
        found = made.get(name)
        if isinstance(found, list):
            made[name] = [_timeless(each, lists[1:]) if isinstance(each, dict) else each for each in found]
    return made


def _one_by_one(data: bytes | msgspec.Raw) -> list[Location | dict[str, object]]:
    raws = _items(data)
    found: list[Location | dict[str, object]] = []
    for raw in raws:
        try:
            found.append(_decode_location(raw))
        except UNREADABLE:
            # Text that is no UTF-8 is seen where a text is wanted, not where the list is cut into its items.
            found.append(_object(raw))
    return found


def _items(data: bytes | msgspec.Raw) -> list[msgspec.Raw]:
    """The items of a list. One Location that stands without its list is taken, and nothing for no Locations:
    where there are none, `data` may be left out (OCPI 2.2.1, section 4.1.7), and some write null or `{}`.
    Some writers in PHP make an object of a list from which they took items: its members are numbers.
    """
    try:
        return _decode_raws(data)
    except UNREADABLE as error:
        if bytes(data).strip() == b"null":
            return []
        found = _object(data)
        if found and all(name.isdecimal() for name in found):
            return list(_decode_raw_members(data).values())
        if "id" in found or bytes(data).split() in ([b"{}"], [b"{", b"}"]):
            return [msgspec.Raw(data)] if found else []
        raise MalformedBody(f"the answer has no list of Locations ({error})") from error


def _object(raw: bytes | msgspec.Raw) -> dict[str, object]:
    """The object; an empty one for what is none."""
    try:
        return _decode_object(raw)
    except UNREADABLE:
        return {}


def _stations(data: bytes | msgspec.Raw, party: str | None) -> list[StationDraft | RecordRefusal]:
    # What the delivery reports is not told a second time.
    return [draft(_object(raw), party, with_readings=False) for raw in _items(data)]


class Shared:
    """Which EVSE ids the EVSEs of one Location share; those that are REMOVED do not count.

    Peers whose chargers speak OCPP 1.x make an EVSE of each connector, and some give all of them one id:
    these are told from each other by their uids. A peer that replaces a uid lists the id twice for a while.
    """

    def __init__(self) -> None:
        self._listed: dict[str, tuple[int, Millis, str]] = {}
        """By EVSE id: how many there are, and time and uid of the newest."""

    def add(self, uid: str, evse_id: str | None, word: object, at: Millis | None) -> None:
        """The next EVSE."""
        key = evse_key(evse_id) if evse_id else ""
        if not key or (isinstance(word, str) and status_of(word) is Status.REMOVED):
            return
        count, newest_at, newest = self._listed.get(key, (0, NEVER, uid))
        at = NEVER if at is None else at
        self._listed[key] = (count + 1, at, uid) if at >= newest_at else (count + 1, newest_at, newest)

    def is_listed(self, key: str) -> bool:
        """Whether an EVSE that is there has this id."""
        return key in self._listed

    def newest(self, key: str) -> str | None:
        """The uid of the newest EVSE of those that share an id; None where it is not shared."""
        count, _, newest = self._listed.get(key, (0, NEVER, ""))
        return newest if count > 1 else None


def shared_ids(evses: Iterable[Mapping[str, object]]) -> Shared:
    """Which EVSE ids some EVSE objects share."""
    shared = Shared()
    for each in evses:
        shared.add(
            _text(each.get("uid")),
            _text(each.get("evse_id")),
            each.get("status"),
            instant(each.get("last_updated")),
        )
    return shared


class Statuses:
    """The statuses of Locations, one after the other."""

    def __init__(self, source: str, limits: ParseLimits) -> None:
        self.named: list[Ids] = []
        """Every EVSE that was read."""
        self._gathering = Gathering(source, Order.UPDATES)
        self._left: list[Left] = []
        self._items_max = limits.items_max
        self._items = 0

    def delivery(self, stations: list[StationDraft | RecordRefusal]) -> Delivery:
        """All of it."""
        made = self._gathering.delivery(stations=stations)
        return msgspec.structs.replace(made, left=self._left) if self._left else made

    def add(self, location: Location) -> None:
        """The EVSEs of a Location. Of one that must not be shown, nothing is known from now on."""
        evses = location.evses
        if not evses:
            return
        if location.publish is False:
            for evse in evses:
                self.hide(evse.uid, evse.evse_id)
            return
        stamps = [None if evse.last_updated is None else millis(evse.last_updated) for evse in evses]
        shared = None
        if len(evses) > 1:
            keys = [evse_key(evse.evse_id) for evse in evses if evse.evse_id]
            if len({*keys}) < len(keys):
                shared = Shared()
                for evse, at in zip(evses, stamps, strict=True):
                    shared.add(evse.uid, evse.evse_id, evse.status, at)
        for evse, at in zip(evses, stamps, strict=True):
            self._report(evse.uid, evse.evse_id, evse.status, at, shared)

    def add_object(self, location: dict[str, object]) -> None:
        """The same of a Location of which something is not of its type."""
        found = location.get("evses")
        if not location.get("id") or not isinstance(found, list | None):
            self._refuse(Reason.INVALID_ITEM, "it is no Location: it has no id, or its evses are no list")
            return
        evses = found or []
        hides = is_hidden(location.get("publish"))
        shared = shared_ids(each for each in evses if isinstance(each, dict))
        for each in evses:
            if not isinstance(each, dict):
                self._refuse(Reason.INVALID_ITEM, "it is no EVSE object")
            elif hides:
                self.hide(_text(each.get("uid")), _text(each.get("evse_id")))
            else:
                self.add_evse(each, shared)

    def add_evse(self, evse: dict[str, object], shared: Shared) -> None:
        """One EVSE object of which something is not of its type, or that stands alone."""
        uid, word = _text(evse.get("uid")), evse.get("status")
        if not uid:
            self._refuse(Reason.INVALID_ITEM, "an EVSE has no uid")
            return
        if not isinstance(word, str):
            self._refuse(Reason.INVALID_STATUS, f"EVSE {shown(uid)} has no status")
            return
        said = evse.get("last_updated")
        at = instant(said)
        if said is not None and at is None:
            self._refuse(
                Reason.INVALID_TIME,
                f"last_updated of EVSE {shown(uid)} is {shown(said)}; write it as 2026-11-22T10:00:00Z",
            )
            return
        self._report(uid, _text(evse.get("evse_id")) or None, word, at, shared)

    def hide(self, uid: str, evse_id: str | None, kept: str = "") -> None:
        """An EVSE that must not be shown. `kept` is an EVSE id that it had and another record has now."""
        if uid or evse_id:
            self._left.append((evse_id or "", uid, kept))

    def _report(
        self, uid: str, evse_id: str | None, word: str, at: Millis | None, ids: Shared | None
    ) -> None:
        self._count()
        status = status_of(word)
        key = evse_key(evse_id) if evse_id and ids is not None else ""
        newest = None if ids is None else ids.newest(key)
        if not evse_id or newest is not None:
            # The newest of those that share an EVSE id has it, where nothing is known by its uid.
            also = evse_id if evse_id and newest == uid and status is not Status.REMOVED else ""
            shared = "" if also else evse_id or ""
            self.named.append((uid, also, shared))
            self._gathering.word(uid, status, at, word, also, shared)
        elif ids is None or status is not Status.REMOVED or not ids.is_listed(key):
            self.named.append((evse_id, uid, ""))
            self._gathering.word(evse_id, status, at, word, uid)

    def _refuse(self, reason: Reason, detail: str) -> None:
        self._count()
        self._gathering.refuse(reason, detail)

    def _count(self) -> None:
        self._items += 1
        if self._items > self._items_max:
            raise TooLarge(
                f"the Locations have more than {self._items_max} EVSEs; send them in smaller parts"
            )


def _text(value: object) -> str:
    """An id; numbers are taken as they are written."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""


def evse_ids(document: bytes) -> list[str]:
    """All ids of the EVSEs of a stored Location; those that cannot be read are left out."""
    found = _object(document).get("evses")
    evses = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    ids = (_text(evse.get(member)) for evse in evses for member in ("evse_id", "uid"))
    return [each for each in ids if each]
