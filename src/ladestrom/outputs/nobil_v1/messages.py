"""Version 1's messages and REST bodies as types.

`encoder` puts their bytes together by hand; these say what the bytes are, for the published contract,
and for whoever wants to read them. Knows nothing of states and stations.

Source: NOBIL real-time stream API (2013 to 2017), message and data model; `epoch` and `seq` are added.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from ladestrom.formats.wire import EPOCH, STATION_UUID
from ladestrom.model import Millis

CONNECTOR_UUID: Final = "^[A-Z]{3}_[0-9]{5,}_[0-9]{2,4}$"

Uuid = Annotated[str, Meta(pattern=STATION_UUID)]
ConnectorCode = Literal[-1, 0, 1]
ErrorFlag = Literal[0, 1]
ChangedAt = Annotated[Millis, Meta(ge=-1)]
Epoch = Annotated[str, Meta(pattern=EPOCH)]
Seq = Annotated[int, Meta(ge=0)]


class ConnectorStatus(Struct, frozen=True):
    """A connector in its station's list."""

    status: ConnectorCode
    error: ErrorFlag
    timestamp: ChangedAt


class StationStatus(Struct, frozen=True):
    """A station with all its connectors in registry order."""

    uuid: Uuid
    status: Literal[-1, 0, 1, 2]
    connectors: tuple[ConnectorStatus, ...]


class NamedConnectorStatus(Struct, frozen=True):
    """A connector by itself."""

    uuid: Annotated[str, Meta(pattern=CONNECTOR_UUID)]
    status: ConnectorCode
    error: ErrorFlag
    timestamp: ChangedAt


class HeardStatus(Struct, frozen=True):
    """What an operator said of a connector, and when."""

    uuid: Uuid
    connector: Annotated[int, Meta(ge=0)]
    status: ConnectorCode
    error: ErrorFlag
    timestamp: Annotated[Millis, Meta(ge=0)]


class SnapshotInit(Struct, frozen=True, tag_field="type", tag="snapshot:init"):
    """All selected stations: the first message, unless `since` could be resumed."""

    epoch: Epoch
    seq: Seq
    data: tuple[StationStatus, ...]


class StatusUpdate(Struct, frozen=True, tag_field="type", tag="status:update"):
    """Status or error of a connector changed: its whole station. One without connectors is listed no more."""

    epoch: Epoch
    seq: Seq
    data: StationStatus


class StatusRaw(Struct, frozen=True, tag_field="type", tag="status:raw"):
    """A report was heard, change or not. The only message that may be dropped under load."""

    code: Literal[1]
    data: HeardStatus


StreamMessage = SnapshotInit | StatusUpdate | StatusRaw
