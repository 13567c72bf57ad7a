"""What a register delivers, and what the registry has of it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final

import msgspec

from ladestrom.model import NEVER, Millis, Reading, Station


class StationDraft(msgspec.Struct, frozen=True, gc=False):
    """A station as a register delivers it, before the store gave it its uuid.

    `station.uuid` is empty where the register has no uuids of NOBIL's form; the store allots one and
    writes it into the station and its EVSEs. EVSE keys are empty where they derive from the uuid
    (`NOR_01333_01`: the EVSE's first connector).
    """

    station: Station
    readings: tuple[tuple[int, Reading], ...] = ()
    """Index of the EVSE in the station, and what the register says of its status."""
    notes: tuple[str, ...] = ()
    """What was odd about the record and how it was read."""
    updated_at: Millis = NEVER
    """When the register says that the record was updated; `NEVER` where it does not."""


class RecordRefusal(msgspec.Struct, frozen=True, gc=False):
    """One record of a register that was refused."""

    record: str
    """Its id where it has one, else its place: `line 17`, `record 3`."""
    reason: str
    """What is wrong and what to do."""


class RecordNote(msgspec.Struct, frozen=True, gc=False):
    """Something odd about one record of a register that was taken."""

    record: str
    """Its id in the register."""
    note: str
    """What was odd, and how it was read."""


class ImportReport(msgspec.Struct, frozen=True):
    """What an import did, station by station (uuids)."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: int
    vanished: tuple[str, ...]
    returned: tuple[str, ...]
    """Had vanished, are there again; also in `changed` where something else changed too."""
    refused: tuple[RecordRefusal, ...]
    """The first 1,000."""
    refused_count: int
    evses: int
    """EVSEs of the register's stations after the import, vanished stations left out."""
    notes: tuple[RecordNote, ...] = ()
    """The first 1,000."""
    notes_count: int = 0


class Fate(StrEnum):
    """What an import did to a station."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    RETURNED = "returned"
    """Had vanished, is there again; told as changed too where something else changed."""


class Difference(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A member of a station's record that is another one now."""

    field: str
    """`operator`, `payment.card`; `evse.label` of an EVSE, `connector.max_kw` of one of its connectors;
    `evse` where the station has one more or less, `connectors` where an EVSE has."""
    before: str | int | float | bool | None
    """A long text ends in `...`; None where there was none."""
    after: str | int | float | bool | None
    evse: str = ""
    """Which EVSE, by its name."""
    connector: int | None = None
    """Which of its connectors, from 1."""


class StationOutcome(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What an import did to one station."""

    fate: Fate
    uuid: str
    native_id: str
    differences: tuple[Difference, ...] = ()
    """Of one that changed; none where it says something else than before only in what is not taken."""


Told = RecordRefusal | RecordNote | StationOutcome
"""What an import tells one by one."""
Tell = Callable[[Told], None]


TOLD_MASK: Final = 0xFFFF_FFFF
"""Of each hash of what a register told, so much is added up: a million of them stay within 53 bits."""


class RegistrySums(msgspec.Struct, frozen=True):
    """What a registry adds up to. Two with the same sums have the same stations, but for very few cases."""

    stations: int
    vanished: int
    told: int
    """Sum of what `TOLD_MASK` leaves of each station's `told`."""


class RegistryDelta(msgspec.Struct, frozen=True):
    """What changed in the registry after a revision."""

    revision: int
    stations: tuple[Station, ...]
    """Added or changed, vanished ones included (`vanished_at`)."""
    readings: tuple[Reading, ...]
