"""What the published contracts say of one server. Knows no document, so that a start need not load them."""

from __future__ import annotations

from typing import Final

import msgspec

from ladestrom.edges.connection import StreamLimits

JSON: Final = "application/json"
OPENAPI_TYPE: Final = "application/vnd.oai.openapi+json;version=3.1"
ASYNCAPI_TYPE: Final = "application/vnd.aai.asyncapi+json;version=3.0.0"


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """What a server's settings and the modules beside the edges decide."""

    url_public: str
    """Address under which others reach the server; empty: the one that the document was asked of."""
    visitors: bool
    """Whether one may look without a key."""
    head_bytes_max: int
    stream: StreamLimits
    heartbeat_s: int
    report_items_max: int
    report_body_bytes_max: int
    """Of a request's body, before and after it was unpacked."""
    report_message_bytes_max: int
    """Of a message over WebSocket."""
    report_messages_max: int
    """Messages of one connection without a receipt yet."""
    idempotency_key_characters_max: int
    idempotency_hours: int
    skew_s: int
    """How far an observation may be ahead of the server's clock."""
