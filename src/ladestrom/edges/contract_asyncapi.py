"""The AsyncAPI 3.0 document: every message of every stream, as one table of channels.

Payloads are described by the types that encode and decode them. The document speaks as the server: it sends
what consumers get, and receives what operators and consumers say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, get_args
from urllib.parse import urlsplit

import msgspec

from ladestrom import __version__
from ladestrom.core.access import Scope
from ladestrom.edges.connection import RETRY_MS_MAX, SLOW
from ladestrom.edges.contract_examples import REPORTS, examples
from ladestrom.edges.contract_requests import (
    KEY_HEADERS,
    KEY_QUERY,
    KEYS,
    PARAMETERS,
    RECEIPT,
    TICKET,
    V1_STREAM,
    V2_STREAM,
    WIRE_NAMES,
    schemas,
)
from ladestrom.edges.contract_served import Served
from ladestrom.edges.v2 import EVENTS_PATH, STREAM_PATH
from ladestrom.errors import TooManyRequests, Unauthenticated
from ladestrom.formats.contract_events import Close
from ladestrom.formats.contract_nobil import SnapshotInit, StatusRaw, StatusUpdate, StreamMessage
from ladestrom.formats.contract_schemas import Schema, reference
from ladestrom.formats.v2_stream import (
    Changes,
    Drain,
    Heartbeat,
    Hello,
    Refused,
    Reset,
    Select,
    Selected,
    ServerMessage,
    Snapshot,
)
from ladestrom.problem import Problem
from ladestrom.protocols.plain import Item, _Answer

Message = type[msgspec.Struct]

WS: Final = "websocket"
HTTP: Final = "events"


SENT: Final = (*get_args(StreamMessage), *get_args(ServerMessage), Close, _Answer, Problem)
RECEIVED: Final = (Select, Item)


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One row: where it is, who may, what is said in either direction."""

    name: str
    path: str
    title: str
    description: str
    server: str = WS
    scope: Scope = Scope.STREAM
    keys: tuple[str, ...] = KEY_HEADERS
    parameters: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    sent: tuple[Message, ...]
    received: tuple[Message, ...] = ()
    answers: tuple[Message, ...] = ()
    """What a received message is answered with."""


V2_SENT: Final = (Hello, Reset, Snapshot, Changes, Heartbeat, Drain)
SERVER_SENT: Final = (*V2_SENT, Close)
"""Of version 2's messages, those that server-sent events carry."""
V1_DESCRIPTION: Final = """\
`snapshot:init` comes first, then a `status:update` for each change and a `status:raw` for each report heard.
A station's message carries the whole station, so that applying one twice does no harm. With `since`, what
was missed comes instead of the snapshot. A consumer that reads too slowly gets the newest state of each
station that changed instead of every step. What a consumer says is not looked at.
"""
V2_DESCRIPTION: Final = """\
`hello` comes first; then a `snapshot` in parts, or with `since` what was missed; then `changes`, and a
`heartbeat` every {heartbeat_s} s. `prev` of a message is the `seq` of the one before: when it is not,
something was lost. `count` and `digest` of a heartbeat prove that the state is the server's. `mode=latest`: a
consumer that reads too slowly gets the newest state of what changed. `mode=every`: each change, or it is
closed with {slow}.
"""
REPORTS_DESCRIPTION: Final = """\
Each message is one report or a list of them, and is answered by its receipt once what was accepted is
durable; a message that cannot be read at all, by a problem. Answers come in the order of messages; up to
{pipeline} may be without one. A message has at most {items} reports and {message_bytes} bytes.
"""

CHANNELS: Final = (
    *(
        Channel(
            name=name,
            path=path,
            title="The NOBIL stream",
            description=V1_DESCRIPTION,
            keys=(*KEY_HEADERS, *KEY_QUERY, TICKET),
            parameters=V1_STREAM,
            sent=(SnapshotInit, StatusUpdate, StatusRaw),
        )
        for name, path in (("streamV1", "/api/v1/stream"), ("streamV1Realtime", "/api/v1/stream/realtime"))
    ),
    Channel(
        name="streamV2",
        path=STREAM_PATH,
        title="The stream, version 2",
        description=V2_DESCRIPTION
        + "`select` changes the selection: it is answered by `selected` and a snapshot, or by `error`.\n",
        keys=(*KEY_HEADERS, TICKET),
        parameters=V2_STREAM,
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
        parameters=V2_STREAM,
        headers=("lastEventId",),
        sent=SERVER_SENT,
    ),
    Channel(
        name="reportsStream",
        path="/api/v2/reports/stream",
        title="Reports",
        description=REPORTS_DESCRIPTION,
        scope=Scope.REPORT,
        sent=(),
        received=(Item,),
        answers=(_Answer, Problem),
    ),
)

DESCRIPTION: Final = """\
Which EV charger is free: operators' status reports in, one durable ordered log, streams out.

Messages are text frames, one JSON object each. Members may be added; ignore those that you do not know.
permessage-deflate is used where the other side offers it. A request for a stream is refused before the
upgrade, with problem details (RFC 9457); `/openapi.json` has the codes.

| close code | means | reconnect |
|---|---|---|
| 1001 | the server stops | yes, with `since` |
| 1012 | the server restarts | yes, with `since` |
| 1007 | text that is not UTF-8 | not with such text |
| 1008 | a frame did not arrive in time | yes |
| 1009 | a message was larger than {inbound_bytes} bytes (reports: {message_bytes}) | not with such messages |
| {slow} | too slow for `mode=every`; the reason has the position | yes, with `since` |
| {many} | more than {inbound_messages} messages a minute | yes |
| {revoked} | the key was revoked or has expired | not with this key |

Codes from 4100 to 4199 say: reconnect; from 4400 to 4499: do not, before something was changed. A consumer
that does not answer a ping within {ping_timeout_s} s (one comes every {ping_interval_s} s), or that takes
nothing for {stalled_s} s, is cut off.
"""


def asyncapi(served: Served) -> Schema:
    """The document, for one server."""
    names = [message for channel in CHANNELS for message in _messages(channel)]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "ladestrom",
            "version": __version__,
            "description": _told(DESCRIPTION, served),
            "license": {"name": "Apache License 2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": _servers(served),
        "channels": {channel.name: _channel(channel, served) for channel in CHANNELS},
        "operations": {name: made for channel in CHANNELS for name, made in _operations(channel).items()},
        "components": {
            "schemas": schemas(served, SENT, RECEIVED, examples(WIRE_NAMES)),
            "messages": {message_name(kind): _message(kind) for kind in dict.fromkeys(names)},
            "securitySchemes": {
                f"{scope.value}.{name}": _scheme(name, scope)
                for scope, name in dict.fromkeys(
                    (channel.scope, name) for channel in CHANNELS for name in channel.keys
                )
            },
        },
    }


def message_name(kind: Message) -> str:
    """A message's name in the document: that of its type, beginning small."""
    name = WIRE_NAMES.get(kind.__name__, kind.__name__)
    return name[0].lower() + name[1:]


def _messages(channel: Channel) -> list[Message]:
    return list(dict.fromkeys((*channel.sent, *channel.received, *channel.answers)))


def _told(text: str, served: Served) -> str:
    stream = served.stream
    return text.format(
        heartbeat_s=served.heartbeat_s,
        slow=SLOW,
        many=TooManyRequests.close_code,
        revoked=Unauthenticated.close_code,
        inbound_bytes=stream.inbound_bytes_max,
        inbound_messages=stream.inbound_messages_per_minute_max,
        message_bytes=served.report_message_bytes_max,
        items=served.report_items_max,
        pipeline=served.report_messages_max,
        ping_timeout_s=f"{stream.ping_timeout_s:g}",
        ping_interval_s=f"{stream.ping_interval_s:g}",
        stalled_s=f"{stream.stalled_s:g}",
        retry_ms=RETRY_MS_MAX,
    )


def _servers(served: Served) -> Schema:
    given = urlsplit(served.url_public)
    secure = "s" if given.scheme == "https" else ""
    made: Schema = {}
    for name, protocol, about in (
        (WS, f"ws{secure}", "Streams."),
        (HTTP, f"http{secure}", "Server-sent events."),
    ):
        server: Schema = {"host": given.netloc or "{host}", "protocol": protocol, "description": about}
        if not given.netloc:
            server["variables"] = {
                "host": {"description": "Where this document was asked for.", "default": "127.0.0.1:8383"}
            }
        if given.path:
            server["pathname"] = given.path
        made[name] = server
    return made


def _channel(channel: Channel, served: Served) -> Schema:
    return {
        "address": channel.path,
        "title": channel.title,
        "description": _told(channel.description, served),
        "servers": [{"$ref": f"#/servers/{channel.server}"}],
        "messages": {
            message_name(kind): {"$ref": f"#/components/messages/{message_name(kind)}"}
            for kind in _messages(channel)
        },
        **({"bindings": {"ws": _binding(channel)}} if channel.server == WS else {}),
    }


def _binding(channel: Channel) -> Schema:
    made: Schema = {"method": "GET", "bindingVersion": "0.1.0"}
    if channel.parameters:
        made["query"] = _members(channel.parameters)
    return made


def _members(names: Iterable[str]) -> Schema:
    found = [PARAMETERS[name] for name in names]
    return {"type": "object", "properties": {one.name: one.text() for one in found}}


def _operations(channel: Channel) -> Schema:
    security = [
        {"$ref": f"#/components/securitySchemes/{channel.scope.value}.{name}"} for name in channel.keys
    ]
    made: Schema = {}
    for action, kinds in (("send", channel.sent), ("receive", channel.received)):
        if not kinds:
            continue
        operation: Schema = {
            "action": action,
            "channel": {"$ref": f"#/channels/{channel.name}"},
            "summary": f"{channel.title}: what the server {action}s",
            "messages": _listed(channel, kinds),
            "security": security,
        }
        if channel.server == HTTP:
            operation["bindings"] = {
                "http": {"method": "GET", "query": _members(channel.parameters), "bindingVersion": "0.3.0"}
            }
        if action == "receive":
            operation["reply"] = {
                "channel": {"$ref": f"#/channels/{channel.name}"},
                "messages": _listed(channel, channel.answers),
            }
        made[f"{action}{channel.name[0].upper()}{channel.name[1:]}"] = operation
    return made


def _listed(channel: Channel, kinds: Iterable[Message]) -> list[Schema]:
    return [{"$ref": f"#/channels/{channel.name}/messages/{message_name(kind)}"} for kind in kinds]


def _message(kind: Message) -> Schema:
    name = WIRE_NAMES.get(kind.__name__, kind.__name__)
    payload: Schema = reference(name)
    shown: list[Any] = [examples(WIRE_NAMES)[name]] if kind is not Item else list(REPORTS)
    if kind is Item:
        payload = {"oneOf": [payload, {"type": "array", "items": payload}]}
        shown.append(list(REPORTS))
    return {
        "name": type_of(kind),
        "title": name,
        "summary": " ".join((kind.__doc__ or RECEIPT).split()),
        "contentType": "application/json",
        "payload": payload,
        "examples": [{"payload": one} for one in shown],
    }


def type_of(kind: Message) -> str:
    """What the member `type` of a message says; the message's name where it has none."""
    return str(kind.__struct_config__.tag or message_name(kind))


def _scheme(name: str, scope: Scope) -> Mapping[str, str]:
    key = KEYS[name].asyncapi
    return {**key, "description": f"{key['description']} The key has the scope `{scope.value}`."}
