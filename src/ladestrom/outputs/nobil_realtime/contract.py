"""NOBIL Real-time in the published contracts."""

from __future__ import annotations

from typing import Final

from ladestrom.credentials import TICKET_S
from ladestrom.edges.contract.requests import KEY_HEADERS, TICKET, V1_FILTERS, Parameter
from ladestrom.edges.contract.rows import STREAM_ANSWERS, STREAM_REFUSALS, Channel, Operation, Part
from ladestrom.edges.contract.samples import POSITION, STATION
from ladestrom.edges.contract.schemas import INSTANT, reference
from ladestrom.edges.contract.words import Word
from ladestrom.model import Status
from ladestrom.outputs.nobil_realtime.edge import PATH, STREAM_PATH, RealtimeAddress
from ladestrom.outputs.nobil_realtime.encoder import RealtimeChange

REALTIME: Final = "NOBIL Real-time"
UID: Final = "7381cc78-a032-4f23-a46f-3e0ebe4590ff"
ASKED: Final = (*V1_FILTERS, "realtimeSnapshot", "realtimeTimestamp", "realtimeSeq", "since")
DESCRIPTION: Final = """\
Each message is about one EVSE: its status is another one. EVSEs without a uid are left out. With `snapshot=1`
the state of every EVSE comes first, in the same messages. With `since`, what was missed comes instead. A
consumer that reads too slowly gets the newest state of the EVSEs of each station that changed. What it says
is not looked at.
"""


def _flag(name: str, description: str) -> Parameter:
    return Parameter(
        name=name,
        description=description,
        schema={"type": "integer", "enum": [0, 1], "default": 0},
        example=1,
    )


CONTRACT: Final = Part(
    tags={REALTIME: "What consumers of Enova's service NOBIL Real-time code against."},
    operations=(
        Operation(
            path=PATH,
            method="post",
            id="createRealtimeConnection",
            tag=REALTIME,
            summary="An address for one connection",
            description=(
                f"The address is good once and for {TICKET_S} s. Parameters of this request are those of the "
                "connection; they may as well be added to the address. The request has no body."
            ),
            parameters=ASKED,
            answer=reference("RealtimeAddress"),
            refusals=("bad_request", "invalid_filter", "invalid_position"),
        ),
        Operation(
            path=STREAM_PATH,
            id="streamRealtime",
            tag=REALTIME,
            summary="The connection that an address opens",
            description="A WebSocket: each change of an EVSE's status.",
            keys=(*KEY_HEADERS, TICKET),
            parameters=ASKED,
            answers=STREAM_ANSWERS,
            refusals=("bad_request", *STREAM_REFUSALS),
        ),
    ),
    channels=(
        Channel(
            name="streamRealtime",
            path=STREAM_PATH,
            title="NOBIL Real-time",
            description=DESCRIPTION,
            keys=(*KEY_HEADERS, TICKET),
            parameters=ASKED,
            sent=(RealtimeChange,),
        ),
    ),
    parameters={
        "realtimeSnapshot": _flag(
            "snapshot", "1: the state of every EVSE comes first, in the same messages."
        ),
        "realtimeTimestamp": _flag("timestamp", "1: messages have the member `timestamp`."),
        "realtimeSeq": _flag(
            "seq",
            "1: messages have the members `epoch` and `seq`; `EPOCH-SEQ` is the position for `since`.",
        ),
    },
    sent=(RealtimeAddress,),
    samples=(
        RealtimeAddress(f"wss://status.example.org{STREAM_PATH}?ticket=lst_ticket_{48 * '0'}"),
        RealtimeChange(STATION, UID, Status.AVAILABLE),
    ),
    words={
        "RealtimeAddress.accessToken": Word("Where to connect: `wss://` or `ws://`.", {"format": "uri"}),
        "nobilId": Word("The registry's uuid of the station."),
        "evseUId": Word("The operator's own id of the EVSE.", {"minLength": 1}),
        "RealtimeChange.timestamp": Word(
            "With `timestamp=1`: when the status was observed, ISO 8601, UTC. Absent while it was never.",
            {"format": "date-time", "pattern": INSTANT},
        ),
        "RealtimeChange.epoch": Word("With `seq=1`: the log's epoch."),
        "RealtimeChange.seq": Word(
            f"With `seq=1`: a consumer that has taken the message stands at `EPOCH-SEQ`, as in `{POSITION}`. "
            "Of messages that belong together only the last one has it.",
            {"format": "int64", "minimum": 0},
        ),
    },
)
