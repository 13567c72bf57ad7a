"""The published contracts of one server, put together from the rows of outputs and edges."""

from __future__ import annotations

import msgspec

from ladestrom.edges.contract.asyncapi import asyncapi
from ladestrom.edges.contract.keys import CONTRACT as KEYS
from ladestrom.edges.contract.openapi import openapi
from ladestrom.edges.contract.operation import CONTRACT as OPERATION
from ladestrom.edges.contract.protocols import CONTRACT as PROTOCOLS
from ladestrom.edges.contract.reports import CONTRACT as REPORTS
from ladestrom.edges.contract.rows import Part, whole
from ladestrom.edges.contract.served import Served
from ladestrom.outputs import OUTPUTS


def contract() -> Part:
    """All rows."""
    return whole([*(output.contract for output in OUTPUTS), REPORTS, PROTOCOLS, KEYS, OPERATION])


def documents(served: Served) -> dict[str, bytes]:
    """Both documents by path, encoded.

    Raises:
        LookupError: a row names an error that no loaded module defines.
    """
    rows = contract()
    made = {"/openapi.json": openapi(served, rows), "/asyncapi.json": asyncapi(served, rows)}
    return {path: msgspec.json.encode(document) for path, document in made.items()}
