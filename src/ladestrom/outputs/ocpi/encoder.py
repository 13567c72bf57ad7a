"""Locations of a station, encoded, and messages around them.

A station has one for each party that operates EVSEs of it. OCPI has words for all nine statuses: EVSEs that
are PLANNED or REMOVED are in a Location like all others. `last_updated` of a Location is when something of
it changed on our clock, so that whoever asks for what was updated since misses nothing that was observed
before and told later; that of an EVSE is when its status was observed, or when the record came.

Source: OCPI 2.2.1 and 2.3.0, sections 4.1.7 (responses) and 8.3; 2.1.1 likewise.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ladestrom.core.view import StationState, is_listed
from ladestrom.formats.documents import Listed, Lister
from ladestrom.formats.ocpi_location import State, Version, left_out, owners, written
from ladestrom.formats.wire import instant
from ladestrom.model import NEVER, Evse, Millis, Status, local_key
from ladestrom.ports.log import StationRow

JSON: Final = "application/json"
SUCCESS: Final = 1000
"""OCPI 2.2.1, section 5.1."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class _Ids(msgspec.Struct):
    id: str
    country_code: str = ""
    party_id: str = ""


_decode_ids = msgspec.json.Decoder(_Ids).decode


def lister(version: Version) -> Lister:
    """What gives the Locations of a station in this version."""

    def locations(row: StationRow, state: StationState, omitted: list[tuple[Evse, str]]) -> Iterator[Listed]:
        return _locations(version, row, state, omitted)

    return locations


def _locations(
    version: Version, row: StationRow, state: StationState, omitted: list[tuple[Evse, str]]
) -> Iterator[Listed]:
    station = row.station
    is_gone = station.vanished_at is not None
    states = {}
    for key, held in state.changes.items():
        change = held.change
        status = Status.REMOVED if is_gone else change.status
        changed_at = change.observed_at if change.changed_at == NEVER else change.changed_at
        states[key] = State(status, changed_at, change.received_at)
    if not states:
        return
    recorded_at = row.received_at
    if recorded_at == NEVER:
        # No entry of the log says when it came: EVSEs come onto the board with their record.
        recorded_at = min(each.told_at or NEVER for each in states.values())
    reasons = {} if is_gone else left_out(station, version)
    for evse in station.evses if reasons else ():
        known = state.changes.get(evse.key)
        if evse.key in reasons and known is not None and is_listed(known.change):
            omitted.append((evse, reasons[evse.key].value))
    for owner in owners(station):
        made = written(station, owner, states, recorded_at, version, is_whole=False)
        if made is not None:
            yield Listed(_encode(made.location), made.updated_at, made.evses)


def part_of(location: bytes, uid: str, connector_id: str = "") -> bytes | None:
    """An EVSE of a Location, or one of its connectors; None where it has none of that id."""
    evse = _named(_decode(location)["evses"], "uid", uid)
    found = evse if evse is None or not connector_id else _named(evse["connectors"], "id", connector_id)
    return None if found is None else _encode(found)


def id_of(location: bytes) -> tuple[str, str]:
    """What a Location is called, and its party where it says that; as they compare."""
    said = _decode_ids(location)
    return local_key(said.id), local_key(said.country_code + said.party_id)


def _named(objects: list[dict[str, Any]], member: str, name: str) -> dict[str, Any] | None:
    own = local_key(name)
    return next((each for each in objects if local_key(each[member]) == own), None)


def wrapping(at: Millis) -> tuple[bytes, bytes]:
    """What stands before and behind the data of an answer."""
    end = {"status_code": SUCCESS, "status_message": "Success", "timestamp": instant(at)}
    return b'{"data":', b"," + _encode(end)[1:]
