"""Where version 1 is asked for."""

from __future__ import annotations

from ladestrom.edges.output import Opened, Reading
from ladestrom.outputs.nobil_v1 import rest, stream
from ladestrom.outputs.nobil_v1.encoder import NobilFormat


def open(reading: Reading) -> Opened:  # noqa: A001 - what every output's edge is opened by
    """The stream and REST."""
    encoder = NobilFormat(reading.style.inoperative)
    return Opened(
        routes=[*stream.handlers(), *rest.handlers(reading.view, encoder, reading.door)],
        sockets=dict.fromkeys(stream.PATHS, stream.NobilConnection),
    )
