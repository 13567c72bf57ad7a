"""The Receiver interface of Locations: GET, PUT and PATCH on Location, EVSE and Connector.

Knows what a request does to the stored Location and which statuses it brings. Must not know where Locations
are stored nor who may send them: the document that is there is an argument, the one to keep is returned.

Source: OCPI 2.2.1 and 2.3.0, section 8.2.2; 2.1.1, `mod_locations`, 2.2. PATCH merges as RFC 7396 does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from ladestrom.core.location_hours import instant
from ladestrom.core.locations import ID_CHARACTERS_MAX, draft, is_hidden, party_of, status_of
from ladestrom.model import Millis, Receipt, Status, evse_key, local_key
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.protocols.delivery import UNREADABLE, Delivery, ParseLimits, json_text, shown
from ladestrom.protocols.ocpi import (
    CLIENT_ERROR,
    HTTP_BAD_REQUEST,
    HTTP_CREATED,
    HTTP_NOT_FOUND,
    HTTP_OK,
    INVALID_PARAMETERS,
    UNKNOWN_LOCATION,
    Refused,
    Reply,
    written,
)
from ladestrom.protocols.ocpi_forms import Kind, misfit
from ladestrom.protocols.ocpi_locations import DOCUMENT_BYTES_MAX, Statuses, shared_ids
from ladestrom.quoting import quoted

UNDATED: Final = frozenset({"2.1.1"})
"""Versions in which a PATCH need not say `last_updated`."""
_TOLD_MAX: Final = 5
"""Refused EVSEs that an answer tells one by one."""
_LEVELS: Final = (3, 4, 5)
"""Parts of the path of a Location, an EVSE, a Connector."""
_DYNAMIC: Final = frozenset({"status", "last_updated", "status_schedule"})
"""Members of an EVSE that say nothing of the station."""

Object = dict[str, Any]


class Target(msgspec.Struct, frozen=True):
    """The object that a path names."""

    party: str
    """`NOABC`."""
    location: str
    evse: str | None = None
    connector: str | None = None


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What a request brought beside its path."""

    body: bytes
    version: str
    source: str
    """Name of the operator."""
    received_at: Millis
    limits: ParseLimits = ParseLimits()
    with_stations: bool = False
    """Whether the station that the Location describes is wanted."""


class Outcome(msgspec.Struct, frozen=True):
    """What a request makes: the answer, the document to keep, and what it brought to report."""

    reply: Reply
    delivery: Delivery
    document: bytes | None = None
    """None where the one that is there stays."""


_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def target(path: str) -> Target:
    """The object of `NO/ABC/LOC1/EVSE/1`, percent-encoded as it came; slashes may be doubled.

    Raises:
        Refused: with HTTP 404; a path of this form names no object.
    """
    parts = [unquote(part) for part in path.split("/") if part]
    party = party_of(parts[0], parts[1]) if len(parts) in _LEVELS else None
    if party is None or any(len(part) > ID_CHARACTERS_MAX for part in parts):
        raise Refused(
            "write locations/COUNTRY/PARTY/LOCATION, followed by EVSE and CONNECTOR if needed",
            CLIENT_ERROR,
            HTTP_NOT_FOUND,
        )
    return Target(party, *parts[2:])


def get(document: bytes | None, where: Target) -> Reply:
    """The object as it is stored.

    Raises:
        Refused: with HTTP 404; it is not.
    """
    return Reply(_StoredLocation(document, where).named())


def put(document: bytes | None, where: Target, sent: Sent) -> Outcome:
    """Stores an object in place of what was there.

    An EVSE or a Connector needs its Location. What is older than what is stored is not stored; of its
    statuses the board decides by their own times.

    Raises:
        Refused: nothing is stored and nothing is reported.
    """
    given = _read(sent.body, where, is_whole=True)
    at = _dated(given, sent)
    if where.evse is None:
        before = None if document is None else _decode(document)
        if before is not None and _is_newer(before, at, sent):
            return _made(sent, where, given, before, None, "older than the stored object, and not stored")
        document = _kept(given, where)
        return _made(sent, where, given, before, document, created=before is None)
    place = _StoredLocation(document, where)
    parent, name, key, own = place.parent()
    index = _index(parent, name, key, own)
    replaced: list[Object] = [] if index is None else [parent[name][index]]
    given.setdefault(key, own)
    is_old = bool(replaced) and _is_newer(replaced[0], at, sent)
    if index is None:
        _listed(parent, name).append(given)
    else:
        parent[name][index] = given
    statuses = _none(sent)
    if where.connector is None:
        statuses = _statuses(sent, place.location, [] if is_old else replaced, [given])
    if is_old:
        return Outcome(Reply(message="older than the stored object, and not stored"), statuses.delivery([]))
    place.touch(at, sent.received_at)
    reply = Reply(status=HTTP_CREATED if index is None else HTTP_OK)
    return Outcome(
        reply, statuses.delivery(_stations(sent, where, place.location)), _kept(place.location, where)
    )


def patch(document: bytes | None, where: Target, sent: Sent) -> Outcome:
    """Merges members into an object.

    Raises:
        Refused: nothing is changed and nothing is reported; with HTTP 404, the object is not there, and the
            sender is to PUT it.
    """
    place = _StoredLocation(document, where)
    own = place.named()
    given = _read(sent.body, where, is_whole=False)
    at = _dated(given, sent)
    if at is None and sent.version not in UNDATED:
        raise Refused("last_updated is missing; a PATCH requires it", INVALID_PARAMETERS)
    before, is_old = dict(own), _is_newer(own, at, sent)
    if is_old and where.evse is None:
        given.pop("publish", None)
    place.merge(given)
    after: list[Object] = []
    if where.evse is None:
        evses = _evses(before)
        if given.keys() & {"evses", "publish"}:
            after = _evses(place.location)
    else:
        evses = [] if where.connector is not None else [before]
        if where.connector is None and ("status" in given or ("evse_id" in given and "status" in own)):
            after = [{**own, "last_updated": given.get("last_updated")}]
    statuses = _statuses(sent, place.location, [] if is_old else evses, after)
    if is_old:
        return Outcome(Reply(message="older than the stored object, and not stored"), statuses.delivery([]))
    place.touch(at, sent.received_at)
    is_static = bool(given.keys() - _DYNAMIC) or _is_removed(before) != _is_removed(own)
    stations = _stations(sent, where, place.location) if is_static else []
    return Outcome(Reply(), statuses.delivery(stations), _kept(place.location, where))


def told(outcome: Outcome, receipt: Receipt) -> Reply:
    """The answer, once what was reported is durable: success, and which EVSEs were not taken."""
    if not receipt.refused:
        return outcome.reply
    details = "; ".join(refusal.detail for refusal in receipt.refused[:_TOLD_MAX])
    return msgspec.structs.replace(
        outcome.reply, message=f"stored; statuses refused: {len(receipt.refused)} ({details})"[:500]
    )


def merge(target_object: Object, given: Mapping[str, Any]) -> Object:
    """RFC 7396: members replace, objects merge, null removes; lists are replaced as a whole."""
    made = dict(target_object)
    for name, value in given.items():
        if value is None:
            made.pop(name, None)
        elif isinstance(value, dict):
            inner = made.get(name)
            made[name] = merge(inner if isinstance(inner, dict) else {}, value)
        else:
            made[name] = value
    return made


class _StoredLocation:
    """The stored Location, and the object in it that a path names."""

    def __init__(self, document: bytes | None, where: Target) -> None:
        if document is None:
            raise _missing(f"there is no Location {shown(where.location)}; PUT it first")
        self.location: Object = _decode(document)
        self._where = where

    def named(self) -> Object:
        """The object itself."""
        where = self._where
        if where.evse is None:
            return self.location
        evse = self._evse()
        if where.connector is None:
            return evse
        index = _index(evse, "connectors", "id", where.connector)
        if index is None:
            raise _missing(f"there is no Connector {shown(where.connector)}; PUT it first")
        connector: Object = evse["connectors"][index]
        return connector

    def parent(self) -> tuple[Object, str, str, str]:
        """Of an EVSE or a Connector: what it is in, the list there, its id's member, its id."""
        where = self._where
        if where.connector is None:
            return self.location, "evses", "uid", where.evse or ""
        return self._evse(), "connectors", "id", where.connector

    def merge(self, given: Mapping[str, Any]) -> None:
        """Merges members into the object."""
        own = self.named()
        made = merge(own, given)
        own.clear()
        own.update(made)

    def touch(self, at: Millis | None, now: Millis) -> None:
        """An object and all that it is in were updated then (OCPI 2.2.1, section 8.2.2.2); now, where it does
        not say when.
        """
        at = now if at is None else at
        where = self._where
        touched = [self.location]
        if where.evse is not None:
            touched.append(self._evse())
        if where.connector is not None:
            touched.append(self.named())
        for each in touched:
            known = instant(each.get("last_updated"))
            if known is None or known < at or known > now:
                each["last_updated"] = written(at)

    def _evse(self) -> Object:
        written_uid = self._where.evse or ""
        index = _index(self.location, "evses", "uid", written_uid)
        if index is None:
            raise _missing(f"the Location has no EVSE {shown(written_uid)}; PUT it first")
        evse: Object = self.location["evses"][index]
        return evse


def _index(parent: Object, name: str, key: str, own: str) -> int | None:
    """Where a list of an object has the one with this id; ids compare without case."""
    wanted = local_key(own)
    for index, each in enumerate(_listed(parent, name)):
        if isinstance(each, dict) and local_key(str(each.get(key, ""))) == wanted:
            return index
    return None


def _listed(parent: Object, name: str) -> list[Any]:
    found = parent.get(name)
    if not isinstance(found, list):
        found = parent[name] = []
    return found


def _missing(what: str) -> Refused:
    return Refused(what, UNKNOWN_LOCATION, HTTP_NOT_FOUND)


def _read(body: bytes, where: Target, *, is_whole: bool) -> Object:
    """The object that a body is, of the kind and with the ids that the path says."""
    try:
        given = _decode(json_text(body))
    except msgspec.ValidationError as error:
        raise Refused("the body is not a JSON object", INVALID_PARAMETERS) from error
    except UNREADABLE as error:
        raise Refused(f"the body is not JSON: {error}", CLIENT_ERROR, HTTP_BAD_REQUEST) from error
    kind = Kind.LOCATION if where.evse is None else Kind.EVSE if where.connector is None else Kind.CONNECTOR
    if reason := misfit(given, kind, is_whole=is_whole):
        raise Refused(reason, INVALID_PARAMETERS)
    _check_ids(given, where)
    return given


def _check_ids(given: Object, where: Target) -> None:
    """Whether the ids in an object are those of its path."""
    if where.connector is not None:
        pairs = [("id", where.connector)]
    elif where.evse is not None:
        pairs = [("uid", where.evse)]
    else:
        pairs = [
            ("id", where.location),
            ("country_code", where.party[:2]),
            ("party_id", where.party[2:]),
        ]
    for member, own in pairs:
        said = given.get(member)
        if said is None:
            given.pop(member, None)
        elif local_key(str(said)) != local_key(own):
            raise Refused(
                f"{member} is {quoted(shown(said))}, and the path says {quoted(own)}", INVALID_PARAMETERS
            )


def _dated(given: Object, sent: Sent) -> Millis | None:
    said = given.get("last_updated")
    if said is None:
        given.pop("last_updated", None)
        return None
    at = instant(said)
    if at is None:
        raise Refused(
            f"last_updated is {quoted(shown(said))}; write it as {written(sent.received_at)}",
            INVALID_PARAMETERS,
        )
    return at


def _is_newer(stored: Object, at: Millis | None, sent: Sent) -> bool:
    """Whether what is stored is newer; not where its time is ahead of us, as a wrong clock gave that."""
    known = instant(stored.get("last_updated"))
    return known is not None and at is not None and at < known <= sent.received_at


def _is_removed(evse: Object) -> bool:
    word = evse.get("status")
    return isinstance(word, str) and status_of(word) is Status.REMOVED


def _none(sent: Sent) -> Statuses:
    return Statuses(sent.source, sent.limits)


def _statuses(sent: Sent, location: Object, before: list[Object], after: list[Object]) -> Statuses:
    """The statuses of EVSEs of a Location. One EVSE that stands alone has to have one.

    Args:
        sent: the request.
        location: as it is with the request.
        before: EVSEs that the request replaces.
        after: EVSEs that it tells of.

    Raises:
        Refused: it has not, or its time cannot be read.
    """
    gathered = _none(sent)
    all_of = _evses(location)
    shared = shared_ids(all_of)
    # An EVSE whose uid is replaced has the status of its new record, once the old one says nothing of it.
    keys = _listed_keys(before) - _listed_keys(after)
    told = {local_key(_ids(evse)[0]) for evse in after}
    heirs = [
        evse
        for evse in all_of
        if not keys.isdisjoint(_listed_keys([evse])) and local_key(_ids(evse)[0]) not in told
    ]
    for place, evse in enumerate((*after, *(heirs if after else ()))):
        if is_hidden(location.get("publish")):
            gathered.hide(*_ids(evse))
        else:
            gathered.add_evse(evse, shared)
        if place == 0 and len(after) == 1 and (refused := gathered.delivery([]).refused):
            raise Refused(refused[0].detail, INVALID_PARAMETERS)
    for each in _gone(before, location):
        gathered.hide(*each)
    return gathered


def _made(
    sent: Sent,
    where: Target,
    given: Object,
    before: Object | None,
    document: bytes | None,
    message: str = "Success",
    *,
    created: bool = False,
) -> Outcome:
    """The outcome of a PUT of a Location: EVSEs that it had and has no more are unknown from now on."""
    statuses = _none(sent)
    # Whether it is to be published is what the newest word says, which is the stored one where that stays.
    newest = before if before is not None and document is None else given
    statuses.add_object({**given, "id": where.location, "publish": newest.get("publish")})
    if before is not None and document is not None:
        for each in _gone(_evses(before), given):
            statuses.hide(*each)
    stations = _stations(sent, where, given) if document is not None else []
    status = HTTP_CREATED if created else HTTP_OK
    return Outcome(Reply(message=message, status=status), statuses.delivery(stations), document)


def _gone(before: list[Object], after: Object) -> list[tuple[str, str | None, str]]:
    """Ids that EVSEs of a Location had and that it does not have any more: uid and EVSE id of each, and the
    EVSE id that another has instead.
    """
    evses = list(map(_ids, _evses(after)))
    uids = {local_key(uid) for uid, _ in evses}
    keys = {evse_key(evse_id) for _, evse_id in evses if evse_id}
    found = []
    for uid, evse_id in (_ids(evse) for evse in before if not _is_removed(evse)):
        is_here = local_key(uid) in uids
        is_kept = evse_key(evse_id or "") in keys
        gone = "" if is_here else uid, None if is_kept else evse_id
        if any(gone):
            found.append((*gone, evse_id or "" if is_kept else ""))
    return found


def _listed_keys(evses: list[Object]) -> set[str]:
    """EVSE ids of those that are not REMOVED, as they compare."""
    ids = (_ids(evse)[1] for evse in evses if not _is_removed(evse))
    return {evse_key(each) for each in ids if each}


def _evses(location: Object) -> list[Object]:
    found = location.get("evses")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _ids(evse: Object) -> tuple[str, str | None]:
    evse_id = evse.get("evse_id")
    return str(evse.get("uid", "")), evse_id if isinstance(evse_id, str) else None


def _stations(sent: Sent, where: Target, location: Object) -> list[StationDraft | RecordRefusal]:
    if not sent.with_stations:
        return []
    made = draft({**location, "id": where.location}, where.party)
    return [msgspec.structs.replace(made, readings=()) if isinstance(made, StationDraft) else made]


def _kept(location: Object, where: Target) -> bytes:
    """The Location as it is stored: what only its path says is in it, whatever version it came in."""
    for member, own in (
        ("id", where.location),
        ("country_code", where.party[:2]),
        ("party_id", where.party[2:]),
    ):
        location.setdefault(member, own)
    document = _encode(location)
    if len(document) > DOCUMENT_BYTES_MAX:
        raise Refused(f"the Location would have {len(document)} bytes; at most {DOCUMENT_BYTES_MAX} are kept")
    return document
