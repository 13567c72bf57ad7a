"""The addresses of a server: where it listens, where programs on its machine and where others reach it.

Knows how an address follows from settings and from the port that a server got. Must not know who asks.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ladestrom.config.table import Server

ADDRESS_FILE: Final = "address.json"
"""In the data directory while a server runs on it: its `Addresses`, for commands."""

_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - named, not listened on
"""Hosts that stand for every address of a machine, and the one by which programs on it reach it."""


class Addresses(msgspec.Struct, frozen=True):
    """Where one server is reached."""

    local: str
    """By programs on its machine."""
    public: str
    """By others: `server.url_public`, else the address that it listens on."""


def listening(server: Server, port: int | None = None) -> str:
    """The address that a server listens on; `port` is the one that it got, where the setting says any."""
    return url_of(server.host, server.port if port is None else port)


def addresses(server: Server, port: int | None = None) -> Addresses:
    """Where a server with these settings is reached."""
    local = url_of(_EVERYWHERE.get(server.host, server.host), server.port if port is None else port)
    return Addresses(local, server.url_public or listening(server, port))


def url_of(host: str, port: int) -> str:
    """The address of a host and port, as browsers write it."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
