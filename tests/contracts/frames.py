"""Whether frames are as the AsyncAPI document says, for any test that sees one.

    message = checked(wire.text())

Strict where a consumer has to be lenient: a member that the document does not name is a fault of the server.
`wire.Wire` and `following.Events` check every frame that they read, so that no end-to-end test sees another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

from jsonschema_rs import Draft202012Validator

from ladestrom.config import Settings
from ladestrom.edges.contract.asyncapi import asyncapi
from ladestrom.problem import PAGES_PATH
from ladestrom.roles.contracts import contract
from ladestrom.roles.limits import served

LENIENT: Final = frozenset({"Report", "Select"})
"""What is received: members that nobody knows are ignored."""


@cache
def document() -> dict[str, Any]:
    """The document of a server with default settings."""
    return asyncapi(served(Settings()), contract())


@cache
def validator(message: str) -> Draft202012Validator:
    """Validates payloads of one message, by its name among the document's components."""
    schemas = {name: closed(name, schema) for name, schema in document()["components"]["schemas"].items()}
    payload = document()["components"]["messages"][message]["payload"]
    return Draft202012Validator({**payload, "components": {"schemas": schemas}})


def closed(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema without members beyond those that it names."""
    if "properties" not in schema or name in LENIENT:
        return dict(schema)
    return {**schema, "additionalProperties": False}


def checked(frame: bytes | str | Mapping[str, Any], message: str | None = None) -> dict[str, Any]:
    """A frame, parsed; fails the test where it is not as the document says.

    `message` is its name in the document; else the frame's own type says which it is.
    """
    read = dict(frame) if isinstance(frame, Mapping) else json.loads(frame)
    name = message or kind(read)
    for fault in validator(name).iter_errors(read):
        raise AssertionError(f"{name} at {fault.instance_path}: {fault.message}")
    found: dict[str, Any] = read
    return found


def kind(frame: Any) -> str:
    """Which message a frame is, in either direction."""
    if isinstance(frame, list):
        return "report"
    said = frame.get("type")
    if said is None:
        return "receipt" if "accepted" in frame else "report"
    if said.startswith(f"{PAGES_PATH}/"):
        return "problem"
    assert said in names(), f"the document has no message of type {said!r}"
    return names()[said]


@cache
def names() -> dict[str, str]:
    """Names of the document's messages, by the type that their frames say."""
    return {message["name"]: name for name, message in document()["components"]["messages"].items()}
