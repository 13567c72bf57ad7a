"""Version 2 of the stream in the published contracts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ladestrom import __version__
from ladestrom.core import digests
from ladestrom.credentials import TICKET_S
from ladestrom.edges.contract.requests import KEY_HEADERS, TICKET, V2_FILTERS, Parameter
from ladestrom.edges.contract.rows import (
    HTTP,
    STATE,
    STREAM_ANSWERS,
    STREAM_REFUSALS,
    Channel,
    Operation,
    Part,
    type_of,
)
from ladestrom.edges.contract.samples import (
    CHANGED_AT,
    EPOCH,
    EVSE,
    OBSERVED_AT,
    OPERATOR,
    SEQ,
    STATION,
)
from ladestrom.edges.contract.schemas import Schema, reference
from ladestrom.edges.contract.served import JSON
from ladestrom.edges.contract.words import Word
from ladestrom.edges.events import Close
from ladestrom.errors import Unauthenticated
from ladestrom.formats.station_record import Position
from ladestrom.formats.wire import POSITION
from ladestrom.model import Cause, Connector, Status
from ladestrom.outputs.stream_v2.edge import (
    BATCH_MS,
    BATCH_MS_MAX,
    EVENTS_PATH,
    INCLUDED,
    MODES,
    RESETS,
    STREAM_PATH,
    Ticket,
)
from ladestrom.outputs.stream_v2.encoder import (
    ChangeRow,
    Changes,
    Drain,
    EvseRow,
    Heartbeat,
    Hello,
    Limits,
    RecordEvse,
    Refused,
    Reset,
    Select,
    Selected,
    Snapshot,
    StationRecord,
    Stations,
    Was,
)

STREAM: Final = (*V2_FILTERS, "resumeFrom", "onReset", "mode", "include", "batch_ms")
V2_SENT: Final = (Hello, Reset, Snapshot, Stations, Changes, Heartbeat, Drain)
SERVER_SENT: Final = (*V2_SENT, Close)
"""Those of its messages that server-sent events carry."""
V2_DESCRIPTION: Final = """\
`hello` comes first; then a `snapshot` in parts, or with `since` what was missed; then `changes`, and a
`heartbeat` every {heartbeat_s} s. `prev` of a message is the `seq` of the one before: when it is not,
something was lost. `count` and `digest` of a heartbeat prove that the state is the server's. With
`include=stations`, `stations` tells records in the same chain, and `stations_digest` proves them.
`mode=latest`: a consumer that reads too slowly gets the newest state of what changed. `mode=every`: each
change, or it is closed with {slow}.
"""
EVENT: Final[Schema] = {
    "type": "object",
    "properties": {
        "id": {
            "type": "string",
            "description": "Position of a consumer that has taken the event; missing where it stays.",
            "pattern": POSITION,
        },
        "event": {"type": "string", "enum": [type_of(kind, {}) for kind in SERVER_SENT]},
        "data": {
            "type": "string",
            "contentMediaType": JSON,
            "contentSchema": {"oneOf": [reference(kind.__name__) for kind in SERVER_SENT]},
        },
    },
    "required": ["event", "data"],
}

_ROW: Final = EvseRow(
    station=STATION,
    evse=EVSE,
    uid="4711",
    status=Status.CHARGING,
    error=0,
    changed_at=CHANGED_AT,
    observed_at=CHANGED_AT,
    source=OPERATOR,
    cause=Cause.REPORTED,
)
_CHANGE: Final = ChangeRow(
    station=STATION,
    evse=EVSE,
    uid="4711",
    status=Status.CHARGING,
    error=0,
    changed_at=CHANGED_AT,
    observed_at=CHANGED_AT,
    source=OPERATOR,
    cause=Cause.REPORTED,
    was=Was(Status.AVAILABLE, 0),
)
_RECORD_EVSE: Final = RecordEvse(
    evse=EVSE, uid="4711", party="NOFJL", connectors=(Connector("IEC_62196_T2", 22.0),)
)
_RECORD: Final = StationRecord(
    uuid=STATION,
    revision=SEQ - 1,
    name="Storgata 1",
    operator=OPERATOR,
    country="NOR",
    position=Position(59.91, 10.75),
    address="Storgata 1",
    city="Oslo",
    register="nobil",
    native_id="NOR_01333",
    evses=(RecordEvse(evse=EVSE, uid="4711", party="NOFJL", connectors=(Connector("IEC_62196_T2", 22.0),)),),
)
_DIGEST: Final = digests.written(digests.term(EVSE, Status.CHARGING.value, 0, CHANGED_AT))
_HELLO: Final = Hello(
    server=f"ladestrom/{__version__}",
    epoch=EPOCH,
    limits=Limits(
        history_seq=0,
        message_bytes_max=196_608,
        inbound_bytes_max=65_536,
        inbound_messages_per_minute_max=100,
        heartbeat_s=20,
    ),
    licence="",
    attribution="",
)


OPERATIONS: Final = (
    Operation(
        path=STREAM_PATH,
        id="streamV2",
        tag=STATE,
        summary="The stream, version 2",
        description="A WebSocket: a snapshot, then every change, chained and provable.",
        keys=(*KEY_HEADERS, TICKET),
        parameters=STREAM,
        answers=STREAM_ANSWERS,
        refusals=("bad_request", "position_lost", *STREAM_REFUSALS),
    ),
    Operation(
        path=EVENTS_PATH,
        id="eventsV2",
        tag=STATE,
        summary="The stream, version 2, as server-sent events",
        description=(
            "The messages of `/api/v2/stream`, one an event: `event` is the message's type, `id` the "
            "position after it, `data` the message. The answer ends with the connection; the last event, "
            "`close`, says why. `/asyncapi.json` describes the messages."
        ),
        keys=(*KEY_HEADERS, TICKET),
        parameters=(*STREAM, "lastEventId"),
        answers={
            200: {
                "description": "Events, without end. The schema is that of one.",
                "content": {"text/event-stream": {"schema": EVENT}},
            }
        },
        refusals=("invalid_filter", "invalid_position", "position_lost", "overloaded"),
    ),
    Operation(
        path="/api/v2/tickets",
        open_to_visitors=True,
        method="post",
        id="createTicket",
        tag=STATE,
        summary="A single-use ticket for a stream",
        description=(
            "For pages in browsers, which cannot send a key in a header of a stream's request. The ticket is "
            "for pages of the origin that asks. The request has no body. Where visitors are let in, pages of "
            "the server itself get one without a key."
        ),
        answer=reference("Ticket"),
        refusals=("invalid_filter",),
    ),
)
CHANNELS: Final = (
    Channel(
        name="streamV2",
        path=STREAM_PATH,
        title="The stream, version 2",
        description=V2_DESCRIPTION
        + "`select` changes the selection: it is answered by `selected` and a snapshot, or by `error`.\n",
        keys=(*KEY_HEADERS, TICKET),
        parameters=STREAM,
        sent=(*V2_SENT, Selected, Refused),
        received=(Select,),
        answers=(Selected, Refused),
    ),
    Channel(
        name="eventsV2",
        path=EVENTS_PATH,
        title="The stream, version 2, as server-sent events",
        description=V2_DESCRIPTION
        + "Each message is one event: `event` is its type, `id` the position after it, `data` the message.\n",
        server=HTTP,
        keys=(*KEY_HEADERS, TICKET),
        parameters=STREAM,
        headers=("lastEventId",),
        sent=SERVER_SENT,
    ),
)
PARAMETERS: Final[Mapping[str, Parameter]] = {
    "mode": Parameter(
        name="mode",
        description=(
            "`latest`: a consumer that cannot keep up gets the newest state of what changed. `every`: each "
            "change in order; a consumer that cannot keep up is closed with 4108."
        ),
        schema={"type": "string", "enum": sorted(MODES), "default": "latest"},
        example="every",
    ),
    "resumeFrom": Parameter(
        name="since",
        description=(
            "Resume from a position, `EPOCH-SEQ` as a message gave it, or from an instant, ISO 8601 with its "
            "zone: from the last position before it. What was missed comes instead of a snapshot."
        ),
        schema={"type": "string", "anyOf": [{"pattern": POSITION}, {"format": "date-time"}]},
        example="k3v9q2xa-481",
    ),
    "onReset": Parameter(
        name="on_reset",
        description=(
            "Where the position cannot be resumed: `snapshot` sends `reset` and a snapshot; `refuse` answers "
            "410 before the stream begins, with the oldest position that can be resumed."
        ),
        schema={"type": "string", "enum": sorted(RESETS), "default": "snapshot"},
        example="snapshot",
    ),
    "include": Parameter(
        name="include",
        description=(
            "`stations`: records of the selected stations, too: in the snapshot, and when one changes, comes "
            "into the selection or leaves it."
        ),
        schema={"type": "string", "enum": sorted(INCLUDED)},
        example=["stations"],
        values_max=len(INCLUDED),
    ),
    "batch_ms": Parameter(
        name="batch_ms",
        description="How long changes are gathered into one message, in milliseconds.",
        schema={"type": "integer", "minimum": 0, "maximum": BATCH_MS_MAX, "default": BATCH_MS},
        example=0,
    ),
    "lastEventId": Parameter(
        name="Last-Event-ID",
        place="header",
        description="Like `since`, and wins over it: browsers send it when they reconnect.",
        schema={"type": "string", "pattern": f"{POSITION}|^$"},
        example="k3v9q2xa-481",
    ),
}
SAMPLES: Final = (
    Ticket("lst_ticket_0123456789abcdef0123456789abcdef0123456789abcdef", TICKET_S),
    _HELLO,
    Snapshot(EPOCH, SEQ - 1, 1, 1, (_ROW,)),
    Stations(EPOCH, SEQ - 1, SEQ, (_RECORD,), ("NOR_01342",)),
    Changes(EPOCH, SEQ - 1, SEQ, (_CHANGE,)),
    Heartbeat(EPOCH, SEQ, SEQ, OBSERVED_AT, 1, _DIGEST),
    Reset(EPOCH, "epoch"),
    Drain(4_200),
    Selected(EPOCH, SEQ),
    Refused("invalid_filter", 'country="XX" is not a country'),
    Select(country="NOR,SWE", status="AVAILABLE"),
    Close(Unauthenticated.close_code, "the key was revoked or has expired"),
)

WORDS: Final[Mapping[str, Word]] = {
    "RecordEvse.party": Word("Country and party of its operator, without separator; null if unknown."),
    "Snapshot.stations": Word("With `include=stations`: records, all of them in the first parts."),
    "Stations.stations": Word("Records that changed, and of stations that came into the selection."),
    "Stations.gone": Word("Uuids of stations that left the selection. `changes` tells of their EVSEs."),
    "Heartbeat.stations_digest": Word(
        "With `include=stations`: like `digest`, the sum modulo 2^32 over all records of the mixed CRC-32 of "
        "`uuid|revision`, in eight hexadecimal digits.",
        {"pattern": "^[0-9a-f]{8}$"},
    ),
}

CONTRACT: Final = Part(
    tags={STATE: "Stations and EVSEs as they are, and the streams of what changes."},
    operations=OPERATIONS,
    channels=CHANNELS,
    parameters=PARAMETERS,
    sent=(Ticket, Cause, *SERVER_SENT),
    samples=SAMPLES,
    words=WORDS,
)
