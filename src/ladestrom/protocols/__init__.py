"""What operators speak, pure: one file each. Messages to reports, receipts to answers.

These are the tables of those that can be had by name. A row says where the protocol is and how it is carried;
nothing is imported before it is wanted. Packages of others add rows through entry points of the group
`ladestrom.protocols` (`ingest.extensions`). `protocols._blueprint` is an example of all that a protocol
needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from ladestrom.targets import load

if TYPE_CHECKING:
    from ladestrom.protocols.interfaces import Pull, Push, Stream


class Transport(StrEnum):
    """What carries a protocol between us and the system that speaks it."""

    HTTP_PUSH = "HTTP push"
    """Operators' systems send requests to the row's path."""
    HTTP_POLL = "HTTP poll"
    """We ask, again and again."""
    STREAM = "stream"
    """We keep a connection, and are told."""
    WEBSOCKET = "WebSocket conversation"
    """Charge points keep a connection to the row's path, and converse on it."""
    PEERS = "HTTP between peers"
    """Peers register at the row's path, send requests to it, and are sent requests."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One protocol: where it is, how it is carried, and what those who set up a source have to know."""

    target: str
    """`module:attribute`."""
    help: str
    transport: Transport | None = None
    """None: that of the table in which the row is (`filled`)."""
    path: str = ""
    """Where it is served, without its last slash. Empty: at `/push/NAME` where it is pushed, else nowhere. A
    package's protocol is served below `/push/`."""
    ordered: bool = False
    """Whether the order of a sender's messages tells which of two is newer: they are taken one after the
    other, then."""
    read_back: str = ""
    """Of a push: `module:attribute` of what makes the answers to GET on its path, where its senders may read
    what they sent (`interfaces.ReadBack`; `roles.reader` makes it); empty where nothing does."""
    exact: bool = False
    """Whether only the path itself is the protocol's, and nothing below it."""
    basic: bool = True
    """Of a push: whether a key may be shown as the password of HTTP Basic too."""
    compressed: bool = True
    """Whether answers may be compressed for those who accept it."""
    socket: str = ""
    """Of a push: path of a WebSocket on which its messages may be sent too; empty where there is none."""
    line: str = ""
    """Of a stream: `module:attribute` of what keeps its connection (`ingest.lines.MakeLine`)."""
    tokens: str = ""
    """Of a push: path at which its senders exchange a key for an access token, which is the same key; empty
    where they show keys only."""
    options: Mapping[str, str] = {}
    """What it needs beside address and secret, and what each means."""
    required: tuple[str, ...] = ()
    """Options without which it cannot work."""
    secret: str = ""
    """What the secret is, and how it is shown; empty where there is none."""
    poll_s: int = 60
    """Of a pull: how often, where nobody says otherwise."""


def filled(name: str, row: Row, transport: Transport) -> Row:
    """A row with all that it leaves to the table in which it is: its transport, and the path of a push."""
    path = row.path or (f"/push/{name}" if transport is Transport.HTTP_PUSH else "")
    return msgspec.structs.replace(row, transport=row.transport or transport, path=path)


PUSHES: Final[Mapping[str, Row]] = {
    "plain": Row(
        target="ladestrom.protocols.plain:Plain",
        help="The plain JSON interface, `POST /api/v2/reports`.",
        transport=Transport.HTTP_PUSH,
        path="/api/v2/reports",
        exact=True,
        basic=False,
        compressed=False,  # receipts are small and many
        socket="/api/v2/reports/stream",
    ),
    "oicp": Row(
        target="ladestrom.protocols.oicp:Oicp",
        help="OICP 2.3 at `/api/oicp`: status and data records, as they are pushed to Hubject.",
        transport=Transport.HTTP_PUSH,
        path="/api/oicp",
        ordered=True,  # OICP 2.3, "Data push operations": they must be used sequentially.
    ),
    "irve": Row(
        target="ladestrom.protocols.irve_dynamique:IrveDynamique",
        help="IRVE dynamique, the French status file, at `/push/irve`.",
        transport=Transport.HTTP_PUSH,
        path="/push/irve",
    ),
    "qualicharge": Row(
        target="ladestrom.protocols.qualicharge:Qualicharge",
        help="The French national API (QualiCharge), at `/dynamique/status/` with `/auth/token`.",
        transport=Transport.HTTP_PUSH,
        path="/dynamique",
        read_back="ladestrom.edges.qualicharge:reader",
        tokens="/auth/token",
    ),
    "datex2": Row(
        target="ladestrom.protocols.datex2:Datex2",
        help="DATEX II status publications, version 3.5 or later, XML or JSON, at `/push/datex2`.",
        transport=Transport.HTTP_PUSH,
        path="/push/datex2",
        ordered=True,
    ),
}
"""Operators' systems send, over HTTP."""

PULLS: Final[Mapping[str, Row]] = {
    "ocpi": Row(
        target="ladestrom.protocols.ocpi_pull:pull",
        help="Locations of an OCPI Sender (2.1.1 to 2.3.0). The address is its versions or Locations URL.",
        transport=Transport.HTTP_POLL,
        options={
            "party": "Party of the Locations if they do not name one (OCPI 2.1.1), such as NO*ABC.",
            "whole_every_s": "Seconds between polls that fetch all Locations. Default: 43200. 0: every poll.",
            "page": "Number of Locations requested per page. Default: 500.",
        },
        secret="The Sender's token, without the word Token and not encoded in Base64.",  # noqa: S106 - says what it is
        poll_s=60,
    ),
    "datex2": Row(
        target="ladestrom.protocols.datex2:pull",
        help="DATEX II status publications, version 3.5 or later, XML or JSON. The address is its URL.",
        transport=Transport.HTTP_POLL,
        options={
            "extent": "snapshot or delta. Overrides what the publication says.",
            "header": "Header in which the secret is sent. Default: Authorization.",
            "scheme": "Word before the secret in that header. Default: Bearer. Empty: none.",
        },
        secret="A token, if the server requires one (`Authorization: Bearer ...`).",  # noqa: S106 - says what it is
    ),
    "irve": Row(
        target="ladestrom.protocols.irve_dynamique:pull",
        help="IRVE dynamique, the French status file. The address is its URL.",
        transport=Transport.HTTP_POLL,
        options={"extent": "delta if the file does not contain all points of the source. Default: snapshot."},
        secret="A token, if the server requires one (`Authorization: Bearer ...`).",  # noqa: S106 - says what it is
    ),
    "oicp": Row(
        target="ladestrom.protocols.oicp_pull:pull",
        help="OICP 2.3: Hubject, or a service with the same interface. The address is `https://HOST`.",
        transport=Transport.HTTP_POLL,
        ordered=True,
        options={
            "provider_id": "Your provider id, such as NO-ABC.",
            "operator_ids": "Only these operators, separated by commas.",
            "evse_ids": "Only these EVSEs, separated by commas. They are requested 100 at a time.",
        },
        required=("provider_id",),
        secret="A token, if the server requires one (`Authorization: Bearer ...`).",  # noqa: S106 - says what it is
    ),
    "oicp-file": Row(
        target="ladestrom.protocols.oicp_pull:pull_file",
        help="A file of OICP status records, as Switzerland publishes it. The address is its URL.",
        transport=Transport.HTTP_POLL,
        ordered=True,
        secret="A token, if the server requires one (`Authorization: Bearer ...`).",  # noqa: S106 - likewise
    ),
}
"""We ask, over HTTP."""

STREAMS: Final[Mapping[str, Row]] = {
    "ladestrom": Row(
        target="ladestrom.protocols.ladestrom_stream:receive",
        line="ladestrom.ingest.lines:board_line",
        help="Another ladestrom server (version 2 of its stream). The address is `https://HOST`.",
        transport=Transport.STREAM,
        ordered=True,
        options={
            "country": "Only these countries, separated by commas.",
            "operator": "Only these operators, separated by commas.",
            "station": "Only these stations, separated by commas.",
            "bbox": "Only stations within minLon,minLat,maxLon,maxLat.",
        },
        secret="A key of that server with the scope `stream`.",  # noqa: S106 - says what it is
    ),
    "nobil-stream": Row(
        target="ladestrom.protocols.nobil_stream:receive",
        line="ladestrom.ingest.lines:nobil_line",
        help="Any server that offers the NOBIL stream (version 1). The address is `https://HOST`.",
        transport=Transport.STREAM,
        ordered=True,
        options={
            "country": "Only these countries, separated by commas.",
            "operator": "Only these operators, separated by commas.",
            "station": "Only these stations, separated by commas.",
            "bbox": "Only stations within minLon,minLat,maxLon,maxLat.",
        },
        secret="A key of that server.",  # noqa: S106 - likewise
    ),
    "nobil-realtime": Row(
        target="ladestrom.protocols.nobil_realtime:receive",
        line="ladestrom.ingest.lines:realtime_line",
        help="NOBIL Real-time, Enova's service. The address is the URL that returns a connection (POST).",
        transport=Transport.STREAM,
        ordered=True,
        options={"key_header": "Header in which the key is sent. Default: x-api-key."},
        secret="Your key for the product NOBIL Real-time.",  # noqa: S106 - likewise
    ),
}
"""We keep a connection, and are told."""


CONVERSATIONS: Final[Mapping[str, Row]] = {
    "ocpp": Row(
        target="ladestrom.protocols.ocpp:Conversation",
        help="OCPP 1.6, 2.0.1 and 2.1 over JSON, at `/ocpp/ID` for the charge point ID.",
        transport=Transport.WEBSOCKET,
        path="/ocpp",
        ordered=True,
    ),
    "ocpi": Row(
        target="ladestrom.protocols.ocpi_modules:MODULES",
        help="OCPI 2.1.1, 2.2.1 and 2.3.0 at `/ocpi/versions`: Locations, as they are pushed to a Receiver.",
        transport=Transport.PEERS,
        path="/ocpi",
        compressed=False,
    ),
}
"""Systems that are known one by one connect or register, and then tell of themselves."""


def push(row: Row) -> Push:
    """The protocol of a row of `PUSHES`: the target, or one of it where it is a class."""
    found = load(row.target)
    made: Push = found() if isinstance(found, type) else found
    return made


def pull(row: Row) -> Pull:
    """The protocol of a row of `PULLS`."""
    found: Pull = load(row.target)
    return found


def stream(row: Row) -> Stream:
    """The protocol of a row of `STREAMS`."""
    found: Stream = load(row.target)
    return found
