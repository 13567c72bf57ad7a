"""The NOBIL real-time stream, version 1, as its consumer reports it on: snapshots, updates and keep-alives.

    {"type": "snapshot:init", "data": [{"uuid": "NOR_01333", "connectors": [{"status": 0, ...}]}]}
    {"type": "status:update", "data": {"uuid": "NOR_01333", "connectors": [...]}}
    {"type": "status:raw", "data": {"uuid": "NOR_01333", "connector": 0, "status": 0, ...}}

Whether a message may come at all is the session's to say (`client.session`); here it is read by itself. What
the stream calls unknown is nothing that somebody observed, and so no report: the EVSE is given up.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ladestrom.core.rules import UNKNOWN_PAIR, from_nobil_pair
from ladestrom.errors import MalformedBody, TooLarge
from ladestrom.model import Millis, Order, Reason, connector_place
from ladestrom.protocols.delivery import UNREADABLE, Delivery, Gathering, ParseLimits, json_text, shown
from ladestrom.quoting import quoted

SNAPSHOT: Final = "snapshot:init"
UPDATE: Final = "status:update"
RAW: Final = "status:raw"


class Connector(msgspec.Struct, frozen=True, gc=False):
    """One connector."""

    status: int
    error: int
    timestamp: Millis = -1


class Station(msgspec.Struct, frozen=True):
    """One station, its connectors in registry order."""

    uuid: str
    connectors: tuple[Connector, ...]


class Heard(msgspec.Struct, frozen=True, gc=False):
    """One connector of a station, counted from 0."""

    uuid: str
    connector: int
    status: int
    error: int
    timestamp: Millis = -1


class _Head(msgspec.Struct):
    type: str
    data: msgspec.Raw = msgspec.Raw(b"null")


_decode_head = msgspec.json.Decoder(_Head).decode
_decode_stations = msgspec.json.Decoder(list[Station]).decode
_decode_station = msgspec.json.Decoder(Station).decode
_decode_heard = msgspec.json.Decoder(Heard).decode


def receive(frame: bytes, source: str, limits: ParseLimits) -> Delivery:
    """Reads one message. A snapshot is complete; one of another type tells of nothing.

    Raises:
        MalformedBody: it is no message of the stream.
        TooLarge: it has more than `limits.items_max` connectors.
    """
    try:
        head = _decode_head(json_text(frame))
        match head.type:
            case "snapshot:init":
                stations = _decode_stations(head.data)
            case "status:update":
                stations = [_decode_station(head.data)]
            case "status:raw":
                return _heard(_decode_heard(head.data), source)
            case _:
                stations = []
    except (*UNREADABLE, msgspec.ValidationError) as error:
        raise MalformedBody(f"the message is not one of the stream ({error})") from error
    connectors = sum(len(station.connectors) for station in stations)
    if connectors > limits.items_max:
        raise TooLarge(f"the message has {connectors} connectors; at most {limits.items_max} are taken")
    statuses = _ConnectorStatuses(source)
    for station in stations:
        for place, each in enumerate(station.connectors):
            statuses.add(station.uuid, place, each.status, each.error, each.timestamp)
    return statuses.delivery(complete=head.type == SNAPSHOT)


def _heard(heard: Heard, source: str) -> Delivery:
    statuses = _ConnectorStatuses(source)
    statuses.add(heard.uuid, heard.connector, heard.status, heard.error, heard.timestamp)
    return statuses.delivery(complete=False)


class _ConnectorStatuses:
    def __init__(self, source: str) -> None:
        self._gathering = Gathering(source, Order.ARRIVAL)
        self._unknown: list[str] = []
        self._refused: list[str] = []

    def add(self, uuid: str, place: int, status: int, error: int, at: Millis) -> None:
        if (status, error) == UNKNOWN_PAIR:
            self._unknown.append(connector_place(uuid, place + 1))
            return
        if place < 0:
            self._gathering.refuse(Reason.INVALID_ITEM, f"connector {shown(place)} of {quoted(shown(uuid))}")
            return
        pair = from_nobil_pair(status, error)
        connector = connector_place(uuid, place + 1)
        is_taken = self._gathering.word(
            connector, None if pair is None else pair[0], at if at >= 0 else None, f"{status}/{error}"
        )
        if not is_taken:
            self._refused.append(connector)

    def delivery(self, *, complete: bool) -> Delivery:
        made = self._gathering.delivery(complete=complete)
        # Of a connector that is told of, and cannot be read, what was told before is not taken back.
        named = [(connector, "", "") for connector in self._refused] if complete else []
        return msgspec.structs.replace(made, unknown=self._unknown, named=named)
