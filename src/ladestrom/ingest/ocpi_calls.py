"""Calls to a peer of OCPI while it registers.

A peer names its own addresses: unless a setting says otherwise, they have to be HTTPS on the public network.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

from ladestrom.model import Millis
from ladestrom.outbound.addresses import Guard
from ladestrom.outbound.calls import Calls
from ladestrom.protocols.ocpi import request_ids


def calls(clock: Callable[[], Millis], *, anywhere: bool = False) -> Calls:
    """What makes the requests of a registration, each with ids of its own.

    Args:
        clock: gives the receive times.
        anywhere: HTTP and private addresses are allowed too.
    """
    return Calls(clock, Guard(anywhere=anywhere, secure=True), lambda: request_ids(str(uuid4())))
