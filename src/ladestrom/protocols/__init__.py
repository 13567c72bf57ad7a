"""What operators speak, pure: one file each. Messages to reports, receipts to answers.

This is the table of those that can be had by name. A row says where the protocol is; nothing is imported
before it is wanted. Packages of others add rows through entry points of the group `ladestrom.protocols`
(`ingest.extensions`); `protocols._blueprint` is an example of all that a protocol needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from ladestrom.protocols.conversation import Pull, Push, Stream


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One protocol: where it is, and what those who set up a source have to know."""

    target: str
    """`module:attribute`."""
    help: str
    options: Mapping[str, str] = {}
    """What it needs beside address and secret, and what each means."""
    required: tuple[str, ...] = ()
    """Options without which it cannot work."""
    secret: str = ""
    """What the secret is, and how it is shown; empty where there is none."""
    poll_s: int = 60
    """Of a pull: how often, where nobody says otherwise."""


PUSHES: Final[Mapping[str, Row]] = {
    "plain": Row(
        target="ladestrom.protocols.plain:Plain",
        help="The plain JSON interface, `POST /api/v2/reports`.",
    ),
    "oicp": Row(
        target="ladestrom.protocols.oicp:Oicp",
        help="OICP 2.3 at `/api/oicp`: status and data records, as they are pushed to Hubject.",
    ),
    "irve": Row(
        target="ladestrom.protocols.irve_dynamique:IrveDynamique",
        help="IRVE dynamique, the French file of statuses, at `/push/irve`.",
    ),
    "qualicharge": Row(
        target="ladestrom.protocols.qualicharge:Qualicharge",
        help="The French national API's shape, at `/dynamique/status/` with `/auth/token`.",
    ),
    "datex2": Row(
        target="ladestrom.protocols.datex2:Datex2",
        help="DATEX II status publications, version 3.5 or later, XML or JSON, at `/push/datex2`.",
    ),
}
"""Operators' systems send, over HTTP."""

PULLS: Final[Mapping[str, Row]] = {
    "ocpi": Row(
        target="ladestrom.protocols.ocpi_pull:pull",
        help="Locations of a Sender of OCPI 2.1.1 to 2.3.0. The address is its versions, or its Locations.",
        options={
            "party": "Whose the Locations of OCPI 2.1.1 are, such as NO*ABC.",
            "whole_every_s": "How often everything is asked for; a day where left out, 0: each time.",
            "page": "Locations asked for at once; 500 where left out.",
        },
        secret="The token that the Sender gave out, without the word Token and without Base64.",  # noqa: S106 - says what it is
        poll_s=60,
    ),
    "datex2": Row(
        target="ladestrom.protocols.datex2:pull",
        help="DATEX II status publications from version 3.5, XML or JSON. The address is the publication's.",
        options={
            "extent": "snapshot or delta, where the publication does not say which it is, or is wrong.",
            "header": "Header that shows the secret; Authorization where left out.",
            "scheme": "What stands before the secret; Bearer where left out, nothing where empty.",
        },
        secret="A token, where the server wants one: `Authorization: Bearer ...`.",  # noqa: S106 - says what it is
    ),
    "irve": Row(
        target="ladestrom.protocols.irve_dynamique:pull",
        help="IRVE dynamique, the French file of statuses. The address is the file's.",
        options={
            "extent": "delta where the file does not have all points of its source; snapshot otherwise."
        },
        secret="A token, where the server wants one: `Authorization: Bearer ...`.",  # noqa: S106 - says what it is
    ),
    "oicp": Row(
        target="ladestrom.protocols.oicp_pull:pull",
        help="OICP 2.3: Hubject, or who offers the same. The address is the server's, `https://HOST`.",
        options={
            "provider_id": "Who asks, such as NO-ABC.",
            "operator_ids": "Only of these operators, joined by commas.",
            "evse_ids": "Only these EVSEs, joined by commas; asked for in hundreds.",
        },
        required=("provider_id",),
        secret="A token, where the server wants one: `Authorization: Bearer ...`.",  # noqa: S106 - says what it is
    ),
    "oicp-file": Row(
        target="ladestrom.protocols.oicp_pull:pull_file",
        help="A file of OICP status records, as Switzerland publishes it. The address is the file's.",
        secret="A token, where the server wants one: `Authorization: Bearer ...`.",  # noqa: S106 - likewise
    ),
}
"""We ask, over HTTP."""

STREAMS: Final[Mapping[str, Row]] = {
    "ladestrom": Row(
        target="ladestrom.protocols.ladestrom_stream:receive",
        help="Another ladestrom, by version 2 of its stream. The address is the server's, `https://HOST`.",
        options={
            "country": "Only of these countries, joined by commas.",
            "operator": "Only of these operators.",
            "station": "Only these stations.",
            "bbox": "Only within minLon,minLat,maxLon,maxLat.",
        },
        secret="Its key, with the scope `stream`.",  # noqa: S106 - says what it is
    ),
    "nobil-stream": Row(
        target="ladestrom.protocols.nobil_stream:receive",
        help="Any server of the NOBIL real-time stream, version 1. The address is the server's, `https://HOST`.",
        options={
            "country": "Only of these countries, joined by commas.",
            "operator": "Only of these operators.",
            "station": "Only these stations.",
            "bbox": "Only within minLon,minLat,maxLon,maxLat.",
        },
        secret="Its key.",  # noqa: S106 - likewise
    ),
    "nobil-realtime": Row(
        target="ladestrom.protocols.nobil_realtime:receive",
        help="NOBIL Real-time of Enova. The address is where a connection is asked for (POST).",
        options={"key_header": "Header that carries the key; x-api-key where left out."},
        secret="The key of the product NOBIL Real-time, shown in the header x-api-key.",  # noqa: S106 - likewise
    ),
}
"""We keep a connection, and are told."""


def push(row: Row) -> Push:
    """The protocol of a row of `PUSHES`: the target, or one of it where it is a class."""
    found = _load(row)
    made: Push = found() if isinstance(found, type) else found
    return made


def pull(row: Row) -> Pull:
    """The protocol of a row of `PULLS`."""
    found: Pull = _load(row)
    return found


def stream(row: Row) -> Stream:
    """The protocol of a row of `STREAMS`."""
    found: Stream = _load(row)
    return found


def _load(row: Row) -> Any:  # noqa: ANN401 - what it is, the table that the row is from says
    module, _, attribute = row.target.partition(":")
    return getattr(import_module(module), attribute)
