"""Keys over HTTP in the published contracts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from ladestrom.edges.contract.requests import Parameter, path_parameter
from ladestrom.edges.contract.rows import ADMIN, Operation, Part
from ladestrom.edges.contract.samples import CHANGED_AT
from ladestrom.edges.contract.schemas import Schema, reference
from ladestrom.edges.contract.served import JSON
from ladestrom.edges.keys import (
    BODY_BYTES_MAX,
    KeyLimits,
    KeyList,
    KeyRequest,
    KeyRow,
    KeyUse,
    MadeKey,
    OwnKey,
    RotatedKey,
)

OWN_KEYS: Final = "Keys"
ENDED: Final[Mapping[int, Schema]] = {204: {"description": "It has ended; its connections are cut."}}
KEY_BODY: Final[Schema] = {
    "required": True,
    "description": f"Who wants a key; at most {BODY_BYTES_MAX} bytes.",
    "content": {
        JSON: {
            "schema": reference("KeyRequest"),
            "examples": {
                "short": {"value": {"name": "My charging map"}},
                "whole": {
                    "value": {
                        "name": "My charging map",
                        "email": "name@example.org",
                        "purpose": "shows free chargers along a route",
                    }
                },
            },
        }
    },
}
_KEY: Final = {
    "id": "4fTq0ZbN1x",
    "key": "lst_4fTq0ZbN1x_0123456789ABCDEFGHIJKLMNOPQRST0aBcDe",
    "name": "My charging map",
    "state": "live",
    "scopes": ("stream",),
    "expires_at": "2027-11-22T10:00:00.000Z",
    "limits": KeyLimits(5_000, 65_536, 100),
}
_KEY_ROW: Final = KeyRow(
    id="4fTq0ZbN1x",
    name="My charging map",
    email="name@example.org",
    purpose="shows free chargers along a route",
    self_made=True,
    state="pending",
    scopes=("stream",),
    operator=None,
    created_at=CHANGED_AT,
    expires_at="2027-11-22T10:00:00.000Z",
    last_used_at=None,
)

OPERATIONS: Final = (
    Operation(
        path="/api/v2/keys",
        method="post",
        id="createKey",
        tag=OWN_KEYS,
        summary="A key that reads, for whoever asks",
        description=(
            "Where the server gives out keys: good at once, or once somebody has approved it; until then it "
            "is refused with `key_pending`. Pages of other origins may not. An address gets so many an hour."
        ),
        scope=None,
        body=KEY_BODY,
        status=201,
        answer=reference("MadeKey"),
        refusals=(
            "keys_closed",
            "not_allowed",
            "malformed_body",
            "too_large",
            "unsupported_media_type",
            "not_ready",
        ),
    ),
    Operation(
        path="/api/v2/keys/self",
        id="getOwnKey",
        tag=OWN_KEYS,
        summary="The key that the request carries: what it is good for, and what was done with it",
        description="A key that waits to be approved is told so here.",
        of_any_scope=True,
        answer=reference("OwnKey"),
    ),
    Operation(
        path="/api/v2/keys/self",
        method="delete",
        id="endOwnKey",
        tag=OWN_KEYS,
        summary="Ends the key that the request carries, for good",
        of_any_scope=True,
        status=204,
        answers=ENDED,
        refusals=("not_ready",),
    ),
    Operation(
        path="/api/v2/keys/self/rotate",
        method="post",
        id="rotateOwnKey",
        tag=OWN_KEYS,
        summary="A second key with the same rights; the one that the request carries ends a day later",
        description="The new one expires when the old one was to. The request has no body.",
        of_any_scope=True,
        status=201,
        answer=reference("RotatedKey"),
        refusals=("not_ready",),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/keys",
        id="listKeys",
        summary="All keys, those that ended too, without what is secret of them",
        answer=reference("KeyList"),
        refusals=("not_ready",),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/keys/{key_id}/approve",
        method="post",
        id="approveKey",
        summary="Makes a key good that waits; one that does not wait stays as it is",
        parameters=("keyPath",),
        answer=reference("KeyRow"),
        refusals=("not_found", "conflict", "not_ready"),
    ),
    Operation(
        **ADMIN,
        path="/api/v2/keys/{key_id}",
        method="delete",
        id="revokeKey",
        summary="Ends a key for good; its connections are cut",
        parameters=("keyPath",),
        status=204,
        answers=ENDED,
        refusals=("not_found", "not_ready"),
    ),
)
PARAMETERS: Final[Mapping[str, Parameter]] = {
    "keyPath": path_parameter(
        "key_id",
        "The public id of a key: the ten characters behind its first `_`.",
        "4fTq0ZbN1x",
    ),
}
SAMPLES: Final = (
    msgspec.convert(_KEY, MadeKey),
    msgspec.convert({**_KEY, "overlap_until": "2026-11-23T10:00:00.000Z"}, RotatedKey),
    OwnKey(
        id="4fTq0ZbN1x",
        name="My charging map",
        state="live",
        scopes=("stream",),
        operator=None,
        created_at=CHANGED_AT,
        expires_at="2027-11-22T10:00:00.000Z",
        last_used_at="2026-11-22T10:04:00.000Z",
        limits=KeyLimits(5_000, 65_536, 100),
        use=KeyUse(1, 3, 412, 81_250, 9, 0, "2026-11-22T08:00:00.000Z"),
    ),
    _KEY_ROW,
    KeyList([_KEY_ROW]),
)

CONTRACT: Final = Part(
    tags={OWN_KEYS: "Whoever wants to read gets a key, where the server gives them out, and looks after it."},
    operations=OPERATIONS,
    parameters=PARAMETERS,
    sent=(MadeKey, RotatedKey, OwnKey, KeyList),
    received=(KeyRequest,),
    samples=SAMPLES,
)
