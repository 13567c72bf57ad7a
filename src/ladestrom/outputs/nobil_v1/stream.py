"""What requests for version 1 of the stream say, over WebSocket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from litestar import get
from litestar.handlers import HTTPRouteHandler

from ladestrom.core.selection import STATION_FILTERS, selection, values
from ladestrom.edges.connection import Accepted, StreamEdge, check_origin, pairs_of, peer_of, query_of
from ladestrom.edges.websocket import WebSocketConnection
from ladestrom.errors import BadRequest, UpgradeRequired
from ladestrom.model import Position
from ladestrom.quoting import quoted
from ladestrom.reader.subscriptions import Subscription

PATHS: Final = frozenset({"/api/v1/stream", "/api/v1/stream/realtime"})
TYPES: Final = frozenset({"snapshot", "update", "raw"})


def handlers() -> list[HTTPRouteHandler]:
    """What plain requests to the stream's paths are told."""

    @get(sorted(PATHS), sync_to_thread=False)
    def plain() -> None:
        """This is a WebSocket."""
        raise UpgradeRequired("this path is a WebSocket; connect with ws:// or wss://")

    return [plain]


def read_request(edge: StreamEdge, target: str, headers: Mapping[str, str], peer: str) -> Accepted:
    """Checks an upgrade request: key, origin, filters, limits. Names of headers are in lower case.

    Raises:
        LadestromError: refused before the upgrade, with the error's HTTP status.
    """
    query = query_of(pairs_of(target))
    credential = edge.credential(headers, query, key_in_query=True)
    check_origin(headers, edge.origins.__contains__)
    asker = edge.admit(credential, headers, peer)
    wanted = selection(query, names=STATION_FILTERS)
    listed = query.get("types", "")
    types = frozenset(values("types", listed)) if listed.strip() else TYPES
    if not types <= TYPES:
        raise BadRequest(
            f"types={quoted(listed, 60)} has an unknown word; the words are snapshot, update, raw"
        )
    since = query.get("since")
    return Accepted(
        asker=asker,
        subscription=Subscription(wanted, updates="update" in types, raw="raw" in types, dialect="v1"),
        since=Position.parse(since) if since else None,
        # Who asks to resume and cannot needs the snapshot, whatever else was chosen.
        snapshot="snapshot" in types or bool(since),
    )


class NobilConnection(WebSocketConnection):
    """One consumer of version 1, which has nothing to say."""

    kind = "v1"

    def asked(self, target: str, headers: Mapping[str, str]) -> Accepted:
        """What the upgrade request asks for."""
        return read_request(self._edge, target, headers, peer_of(self._transport))
