"""What serves the protocols of each transport, built from the settings. One file each.

A row of `ladestrom.protocols` says which transport carries it; this table says what serves a transport. A
role builds all of them (`serve`) and knows none by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ladestrom.ingest.extensions import Table
from ladestrom.protocols import Row, Transport
from ladestrom.transports import charge_points, peers, pushes
from ladestrom.transports.serving import Services, Serving

TRANSPORTS: Final[Mapping[Transport, Callable[[Mapping[str, Row], Services], Serving]]] = {
    Transport.HTTP_PUSH: pushes.Pushes,
    Transport.WEBSOCKET: charge_points.ChargePointConnections,
    Transport.PEERS: peers.PeerRequests,
}
"""Those in which others begin. Where we begin, `ingest.sources` runs each source."""


def serve(table: Table, services: Services) -> Mapping[Transport, Serving]:
    """What serves the protocols of a table in which others begin, by the transport that carries them."""
    rows = {**table.conversations, **table.pushes}
    return {
        transport: build({name: row for name, row in rows.items() if row.transport is transport}, services)
        for transport, build in TRANSPORTS.items()
    }
