"""What operations have in common that give a document (`edges.documents`), in the published contracts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ladestrom.edges.contract.requests import LIST_FILTERS
from ladestrom.edges.contract.rows import Operation
from ladestrom.edges.contract.schemas import Schema

DOCUMENTS: Final = "Documents"
"""Tag of their operations."""
DOCUMENTS_TEXT: Final = (
    "The whole state, or what is selected of it, as one file. A file is made once for all who ask, at most "
    "once a second; `Cache-Control` says how long it may be used without asking again. Without a key where "
    "visitors are let in."
)
HEADERS: Final[Mapping[str, str]] = {
    "Last-Modified": "LastModified",
    "Ladestrom-Position": "Position",
    "Link": "Licence",
}


def document(
    *, path: str, name: str, summary: str, description: str, content: Mapping[str, Schema]
) -> Operation:
    """The row of one; `content` is its Media Type Objects by media type."""
    return Operation(
        path=path,
        id=name,
        tag=DOCUMENTS,
        summary=summary,
        description=description,
        open_to_visitors=True,
        parameters=(*LIST_FILTERS, "ifModifiedSince"),
        answers={200: {"description": "The document.", "content": dict(content)}},
        entity_tag="DocumentTag",
        headers=HEADERS,
        cached=True,
        refusals=("invalid_filter",),
    )
