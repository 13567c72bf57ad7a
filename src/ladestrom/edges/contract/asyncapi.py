"""The AsyncAPI 3.0 document: every message of every stream, from the channels of all parts.

Payloads are described by the types that encode and decode them. The document speaks as the server: it sends
what consumers get, and receives what operators and consumers say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from ladestrom import __version__
from ladestrom.core.access import Scope
from ladestrom.edges.connection import RETRY_MS_MAX, SLOW
from ladestrom.edges.contract.requests import KEYS, PARAMETERS, RECEIPT, schemas
from ladestrom.edges.contract.rows import HTTP, WS, Channel, MessageType, Part, message_name, type_of
from ladestrom.edges.contract.samples import REPORTS, examples
from ladestrom.edges.contract.schemas import Schema, reference
from ladestrom.edges.contract.served import Served
from ladestrom.errors import TooManyRequests, Unauthenticated
from ladestrom.protocols.plain import Item

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


def asyncapi(served: Served, part: Part) -> Schema:
    """The document, for one server; `part` is all parts (`rows.whole`)."""
    messages = list(dict.fromkeys(message for channel in part.channels for message in _messages(channel)))
    received = tuple(dict.fromkeys(message for channel in part.channels for message in channel.received))
    sent = tuple(message for message in messages if message not in received)
    shown = examples(part.names, part.samples)
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
        "channels": {channel.name: _channel(channel, served, part) for channel in part.channels},
        "operations": {
            name: made for channel in part.channels for name, made in _operations(channel, part).items()
        },
        "components": {
            "schemas": schemas(served, sent, received, shown, part.names, part.words),
            "messages": {message_name(kind, part.names): _message(kind, part, shown) for kind in messages},
            "securitySchemes": {
                f"{scope.value}.{name}": _scheme(name, scope)
                for scope, name in dict.fromkeys(
                    (channel.scope, name) for channel in part.channels for name in channel.keys
                )
            },
        },
    }


def _messages(channel: Channel) -> list[MessageType]:
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


def _channel(channel: Channel, served: Served, part: Part) -> Schema:
    return {
        "address": channel.path,
        "title": channel.title,
        "description": _told(channel.description, served),
        "servers": [{"$ref": f"#/servers/{channel.server}"}],
        "messages": {
            name: {"$ref": f"#/components/messages/{name}"}
            for name in (message_name(kind, part.names) for kind in _messages(channel))
        },
        **({"bindings": {"ws": _binding(channel, part)}} if channel.server == WS else {}),
    }


def _binding(channel: Channel, part: Part) -> Schema:
    made: Schema = {"method": "GET", "bindingVersion": "0.1.0"}
    if channel.parameters:
        made["query"] = _members(channel.parameters, part)
    return made


def _members(names: Iterable[str], part: Part) -> Schema:
    known = {**PARAMETERS, **part.parameters}
    found = [known[name] for name in names]
    return {"type": "object", "properties": {one.name: one.text() for one in found}}


def _operations(channel: Channel, part: Part) -> Schema:
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
            "messages": _listed(channel, kinds, part),
            "security": security,
        }
        if channel.server == HTTP:
            operation["bindings"] = {
                "http": {
                    "method": "GET",
                    "query": _members(channel.parameters, part),
                    "bindingVersion": "0.3.0",
                }
            }
        if action == "receive":
            operation["reply"] = {
                "channel": {"$ref": f"#/channels/{channel.name}"},
                "messages": _listed(channel, channel.answers, part),
            }
        made[f"{action}{channel.name[0].upper()}{channel.name[1:]}"] = operation
    return made


def _listed(channel: Channel, kinds: Iterable[MessageType], part: Part) -> list[Schema]:
    names = (message_name(kind, part.names) for kind in kinds)
    return [{"$ref": f"#/channels/{channel.name}/messages/{name}"} for name in names]


def _message(kind: MessageType, part: Part, examples: Mapping[str, Schema]) -> Schema:
    name = part.names.get(kind.__name__, kind.__name__)
    payload: Schema = reference(name)
    shown: list[Any] = [examples[name]] if kind is not Item else list(REPORTS)
    if kind is Item:
        payload = {"oneOf": [payload, {"type": "array", "items": payload}]}
        shown.append(list(REPORTS))
    return {
        "name": type_of(kind, part.names),
        "title": name,
        "summary": " ".join((kind.__doc__ or RECEIPT).split()),
        "contentType": "application/json",
        "payload": payload,
        "examples": [{"payload": one} for one in shown],
    }


def _scheme(name: str, scope: Scope) -> Mapping[str, str]:
    key = KEYS[name].asyncapi
    return {**key, "description": f"{key['description']} The key has the scope `{scope.value}`."}
