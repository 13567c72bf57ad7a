"""Rows of the published contracts: HTTP operations, channels of streams, and what they refer to.

Each output and each part of the edges has its own (`Part`); the documents are put together from all. Knows
no path and no server.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from ladestrom.core.access import Scope
from ladestrom.edges.contract.requests import KEY_HEADERS, Parameter
from ladestrom.edges.contract.schemas import Schema
from ladestrom.edges.contract.served import JSON
from ladestrom.edges.contract.words import Word
from ladestrom.errors import LadestromError

MessageType = type[msgspec.Struct]

WS: Final = "websocket"
HTTP: Final = "events"
"""Kinds of channels: servers of the AsyncAPI document."""

STATE: Final = "State and streams (version 2)"
LOOKING: Final = "Looking"
REPORTING: Final = "Reports"
OPERATION: Final = "Operation"
"""Tags under which several parts have operations."""
ADMIN: Final[Mapping[str, Any]] = {"tag": OPERATION, "scope": Scope.ADMIN}
"""What operations of those who run the server have in common."""

STREAM_REFUSALS: Final = (
    "bad_handshake",
    "invalid_filter",
    "invalid_position",
    "upgrade_required",
    "overloaded",
)
STREAM_ANSWERS: Final[Mapping[int, Schema]] = {
    101: {"description": "Switched to WebSocket; `/asyncapi.json` describes the messages."}
}


TAKING: Final = (
    "malformed_body",
    "body_timeout",
    "too_large",
    "unsupported_encoding",
    "idempotency_conflict",
    "overloaded",
    "log_failure",
    "log_misplaced",
    "deposed",
    "partly_taken",
    "not_ready",
)
"""What a delivery may be refused with, whatever the protocol."""
TAKEN_WITH: Final = ("dry_run", "idempotencyKey", "contentEncoding")
"""Parameters of a delivery, whatever the protocol."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One row: what is asked, who may, and what comes back."""

    path: str
    method: str = "get"
    id: str
    tag: str
    summary: str
    description: str = ""
    scope: Scope | None = Scope.STREAM
    keys: tuple[str, ...] = KEY_HEADERS
    of_any_scope: bool = False
    """Whether a key of whatever scope is good."""
    also: Scope | None = None
    """Another scope that is enough, for less."""
    open_to_visitors: bool = False
    """Whether one needs no key where visitors are let in."""
    parameters: tuple[str, ...] = ()
    body: Schema | None = None
    """Request Body Object, where there is one and it is always the same."""
    content: Mapping[str, Schema] = {}
    """Of a body with the limits of reports: Media Type Objects by media type."""
    status: int = 200
    """Of what is answered where all is well."""
    answer: Schema | None = None
    """Schema of what it brings then, as JSON."""
    answers: Mapping[int, Schema] = {}
    """Response Objects beside or instead of it."""
    entity_tag: str = ""
    """Which of the headers that are described is its ETag; empty: it has none that says the position."""
    headers: Mapping[str, str] = {}
    """Which of the headers that are described are others of its answer, by name."""
    cached: bool = False
    """Whether If-None-Match is honoured."""
    has_pages: bool = False
    links: Mapping[str, Schema] = {}
    refusals: tuple[str, ...] = ()
    """Codes beyond those that every operation has, and those of keys."""
    refused_as: str = ""
    """Component that refusals are, where the path's protocol has its own; empty: problem details."""
    keys_refused_within: bool = False
    """Whether a key that is not good is told so in an answer of 200, as the path's protocol has it."""
    own_key: str = ""
    """Security scheme of what is good in place of a key of this server; without `scope`, what is needed."""


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
    sent: tuple[MessageType, ...]
    received: tuple[MessageType, ...] = ()
    answers: tuple[MessageType, ...] = ()
    """What a received message is answered with."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What one part of the server adds to the contracts."""

    tags: Mapping[str, str] = {}
    """Descriptions of the tags of its operations."""
    operations: tuple[Operation, ...] = ()
    channels: tuple[Channel, ...] = ()
    parameters: Mapping[str, Parameter] = {}
    """By the names by which operations and channels call them; parameters that several parts have are in
    `requests.PARAMETERS`."""
    sent: tuple[type, ...] = ()
    """Types of answers."""
    received: tuple[type, ...] = ()
    """Types of requests' bodies."""
    samples: tuple[Any, ...] = ()
    """Objects of these types, and of messages, that are shown."""
    names: Mapping[str, str] = {}
    """What types are called where nobody knows the module that they stand in."""
    words: Mapping[str, Word] = {}
    """What members mean that no other part has (`schemas.WORDS`)."""
    credentials: Mapping[str, Schema] = {}
    """Security schemes beside this server's keys."""
    refused_as: Mapping[str, Callable[[LadestromError], bytes]] = {}
    """How a protocol puts a refusal, by the component that it is."""


def whole(parts: Iterable[Part]) -> Part:
    """All parts as one.

    Raises:
        ValueError: two of them say something else by the same name.
    """
    parts = tuple(parts)

    def joined(name: str) -> tuple[Any, ...]:
        return tuple(each for part in parts for each in getattr(part, name))

    def united(name: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for part in parts:
            for key, value in getattr(part, name).items():
                if found.setdefault(key, value) != value:
                    raise ValueError(f"two parts of the contract have other {name} of {key}")
        return found

    return Part(
        tags=united("tags"),
        operations=joined("operations"),
        channels=joined("channels"),
        parameters=united("parameters"),
        sent=joined("sent"),
        received=joined("received"),
        samples=joined("samples"),
        names=united("names"),
        words=united("words"),
        credentials=united("credentials"),
        refused_as=united("refused_as"),
    )


def link(operation: str, parameter: str, expression: str, description: str) -> Schema:
    return {"operationId": operation, "parameters": {parameter: expression}, "description": description}


def json_answer(schema: Schema, description: str) -> Schema:
    return {"description": description, "content": {JSON: {"schema": schema}}}


def text_answer(media_type: str, description: str, example: str) -> Schema:
    content = {media_type: {"schema": {"type": "string"}, "example": example}}
    return {"description": description, "content": content}


def message_name(kind: MessageType, names: Mapping[str, str]) -> str:
    """A message's name in the document: that of its type, or another one of `names`, beginning small."""
    name = names.get(kind.__name__, kind.__name__)
    return name[0].lower() + name[1:]


def type_of(kind: MessageType, names: Mapping[str, str]) -> str:
    """What the member `type` of a message says; the message's name where it has none."""
    return str(kind.__struct_config__.tag or message_name(kind, names))
