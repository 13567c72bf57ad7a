"""What whoever runs the server is told over HTTP: the process, settings, sources, what could not be read.

Knows words and numbers. Must not know where they come from.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ladestrom.formats.documents import LeftOutEvse
from ladestrom.formats.freshness import SourceFreshness


class LogState(msgspec.Struct, frozen=True, kw_only=True):
    """The log as it is now."""

    position: str
    first_seq: int
    last_seq: int
    bytes: int
    retention_days: int
    retention_mib: int
    checkpoint_seq: int


class DiskState(msgspec.Struct, frozen=True):
    """The file system of the data directory."""

    total_bytes: int
    free_bytes: int
    """What the server may still write."""


class StoreState(msgspec.Struct, frozen=True):
    """The store as the server knows it."""

    address: str
    revision: int


class BoardState(msgspec.Struct, frozen=True):
    """How much there is to tell of."""

    stations: int
    evses: int


class ConsumersState(msgspec.Struct, frozen=True):
    """Those who follow streams, and what they were given."""

    total: int
    channels: int
    bytes_out: int
    frames: int


class ServerState(msgspec.Struct, frozen=True, kw_only=True):
    """The process, as whoever runs it sees it."""

    version: str
    started_at: str | None
    uptime_s: int
    ready: bool
    reasons: dict[str, str]
    """Why it is not, by check of `/readyz`."""
    durability: Literal["full", "relaxed", "none"]
    memory_bytes: int
    log: LogState
    store: StoreState
    disk: DiskState | None
    """None where nothing is known of it yet."""
    board: BoardState
    consumers: ConsumersState


class ShownSetting(msgspec.Struct, frozen=True, kw_only=True):
    """One setting, and where its value came from."""

    name: str
    value: int | bool | str | tuple[str, ...]
    unit: str
    default: int | bool | str | tuple[str, ...]
    origin: Literal["default", "file", "environment", "flag", "demo"]
    where: str = msgspec.field(name="from")
    help: str


class SettingList(msgspec.Struct, frozen=True):
    """All settings, in the order of their table."""

    items: list[ShownSetting]


class OutputState(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of documents of one form since the server started."""

    output: str
    made: int
    worked_s: float
    """Time of the server's loop that making them took."""
    made_at: str | None
    age_s: float
    position: str | None
    """This and all that follows is of the last one without filters; there may have been none."""
    bytes: int
    evses: int
    left_out: dict[str, int]
    """EVSEs that it cannot tell of, by reason."""
    examples: list[LeftOutEvse]


class OutputList(msgspec.Struct, frozen=True):
    """Documents by their form."""

    items: list[OutputState]


class ToldSource(SourceFreshness, frozen=True, kw_only=True):
    """One source, whoever begins: how it does, and how it is set up."""

    operator: str
    address: str
    paused: bool
    error_detail: str
    """The last error in words; empty where there was none."""
    delay_minutes: list[float | None]
    """Mean delay in seconds of each of the last 60 minutes, the oldest first; None where nothing changed."""


class ToldSources(msgspec.Struct, frozen=True):
    """All sources, by name."""

    items: list[ToldSource]


class LogLine(msgspec.Struct, frozen=True):
    """One line of what the server logged, without secrets."""

    at: str
    level: str
    event: str
    values: dict[str, str]
    """What it says beside, as text."""


class LogLines(msgspec.Struct, frozen=True):
    """The last lines, the newest first."""

    items: list[LogLine]


class Unread(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that could not be read and is kept."""

    id: str
    source: str
    protocol: str
    at: str | None
    bytes: int
    code: str
    detail: str


class UnreadList(msgspec.Struct, frozen=True):
    """Deliveries that could not be read, the newest first; the last 200."""

    items: list[Unread]


class ReadAgain(msgspec.Struct, frozen=True):
    """What became of a delivery that could be read after all."""

    id: str
    accepted: int
    unchanged: int
    refused: int
