"""Which process of its server one is, and what it was given by the one that started it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final, Literal

import msgspec

WRITER: Final = "writer"
READER: Final = "reader"
SOCKET_FILE: Final = "writer.sock"
"""In the data directory: where the process that writes is reached by the others."""

Duty = Literal["all", "writer", "reader"]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Of a process: alone it does everything; else it writes, for others that read, or is one of these."""

    duty: Duty = "all"
    name: str = ""
    """Such as `reader-1`; empty where it is alone."""
    listener: socket.socket | None = None
    """Bound to the public address."""
    metrics: socket.socket | None = None
    """Bound to that of metrics."""


def inner_path(data: Path) -> Path:
    """The Unix socket of the process that writes."""
    return data / SOCKET_FILE


def inner_url(data: Path) -> str:
    """Its address."""
    return f"unix:{inner_path(data)}"


ALONE: Final = Place()
