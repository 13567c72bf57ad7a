"""Statuses by operator in the words of OICP 2.3: in the shape of the federal file of Switzerland, and as
eRoamingEvseStatus, which is what EMPs pull.

Members are written `EVSE...` in that file. Neither says how old a status is. Whose an EVSE is follows from
its id, as OICP has it; an EVSE whose id has not OICP's form cannot be told.

Sources: OICP 2.3 for EMPs, "Data Types" (EvseIDType, OperatorIDType, EvseStatusType), eRoamingEVSEStatus; the
file itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from ladestrom.core.oicp import DESCRIPTIONS, SUCCESS
from ladestrom.formats.documents import LeftOut, Seen
from ladestrom.model import Evse, Position, Status, evse_key
from ladestrom.outputs.oicp.circles import Circle

JSON: Final = "application/json"
WORDS: Final = {
    Status.AVAILABLE: "Available",
    Status.BLOCKED: "Occupied",
    Status.CHARGING: "Occupied",
    Status.RESERVED: "Reserved",
    Status.INOPERATIVE: "OutOfService",
    Status.OUTOFORDER: "OutOfService",
    Status.UNKNOWN: "Unknown",
}
"""EvseStatusType; PLANNED and REMOVED are not listed."""
NO_ID: Final = "no_oicp_id"
NAME_CHARACTERS_MAX: Final = 100
"""OperatorNameType."""
PARTS_PER_TURN: Final = 64
"""Sorted by operator between two turns of others."""
_ID: Final = re.compile(
    r"([A-Z]{2})(\*?)([A-Z0-9]{3})\*?E[A-Z0-9*]{1,30}|(\+?[0-9]{1,3}\*[0-9]{3})\*[0-9*]{1,32}", re.ASCII
)
_encode = msgspec.json.Encoder().encode


class EvseStatusRecord(msgspec.Struct, frozen=True, gc=False):
    """An EVSE."""

    evse_id: str = msgspec.field(name="EvseID")
    status: str = msgspec.field(name="EVSEStatus")


class PulledRecord(msgspec.Struct, frozen=True, gc=False):
    """EvseStatusRecordType."""

    evse_id: str = msgspec.field(name="EvseID")
    status: str = msgspec.field(name="EvseStatus")


class OperatorStatuses(msgspec.Struct, frozen=True):
    """The EVSEs of an operator, in order of their stations."""

    operator_id: str = msgspec.field(name="OperatorID")
    operator_name: str = msgspec.field(name="OperatorName")
    records: list[EvseStatusRecord] = msgspec.field(name="EVSEStatusRecord")


class StatusFile(msgspec.Struct, frozen=True):
    """The whole file: operators in order of their ids."""

    operators: list[OperatorStatuses] = msgspec.field(name="EVSEStatuses")


def identified(evse: Evse) -> tuple[str, str] | None:
    """An EVSE's operator and its own id, as OICP writes them; None where it has no such id."""
    written = evse.name.upper().replace("-", "*")
    match = _ID.fullmatch(written)
    if match is None:
        return None
    return match[4] or f"{match[1]}*{match[3]}", written


class StatusCode(msgspec.Struct, frozen=True, omit_defaults=True):
    """StatusCodeType."""

    code: str = msgspec.field(name="Code")
    description: str = msgspec.field(name="Description")
    additional: str = msgspec.field(default="", name="AdditionalInfo")


DONE: Final = StatusCode(SUCCESS, DESCRIPTIONS[SUCCESS])
Part = list[tuple[str, str, bytes]]
"""Operator, its name, and an EVSE's record."""


class Shape(msgspec.Struct, frozen=True):
    """How a list of statuses by operator is written."""

    head: bytes
    end: bytes
    record: type[EvseStatusRecord | PulledRecord]
    records: str
    """What an operator's records are called."""


FILE: Final = Shape(b'{"EVSEStatuses":[', b"]}\n", EvseStatusRecord, "EVSEStatusRecord")
PULLED: Final = Shape(
    b'{"EvseStatuses":{"OperatorEvseStatus":[',
    b']},"StatusCode":%b}\n' % _encode(DONE),
    PulledRecord,
    "EvseStatusRecord",
)


class Asked(msgspec.Struct, frozen=True):
    """What is asked for beside the selection; empty lets everything pass."""

    operators: frozenset[str] = frozenset()
    """OICP's operator ids, as keys (`NOABC`, `49810`)."""
    within: Circle | None = None

    def wants(self, seen: Seen) -> bool:
        """Whether a station is in it."""
        return self.within is None or self.within.holds(seen.station.latitude, seen.station.longitude)


ALL: Final = Asked()


class Statuses:
    """The file, or an answer of the same."""

    def __init__(self, shape: Shape = FILE, asked: Asked = ALL) -> None:
        self.left_out = LeftOut()
        self._shape = shape
        self._asked = asked

    def part(self, seen: Seen) -> Part | None:
        """What there is of a station."""
        if not self._asked.wants(seen):
            return None
        operators, record = self._asked.operators, self._shape.record
        found: Part = []
        name = (seen.station.operator or "")[:NAME_CHARACTERS_MAX]
        for evse, held in seen.chosen:
            ids = identified(evse)
            if ids is None:
                self.left_out.add(evse, NO_ID)
            elif not operators or evse_key(ids[0]) in operators:
                found.append((ids[0], name, _encode(record(ids[1], WORDS[held.change.status]))))
        return found or None

    def head(self, position: Position) -> bytes:  # noqa: ARG002 - the form has no place for it
        """The beginning."""
        return self._shape.head

    def pieces(self, parts: Iterable[Part]) -> Iterator[bytes]:
        """Operator by operator. The name of one is that of its first station that has any."""
        records: dict[str, list[bytes]] = {}
        names: dict[str, str] = {}
        for number, part in enumerate(parts):
            for operator, name, record in part:
                records.setdefault(operator, []).append(record)
                if name:
                    names.setdefault(operator, name)
            if number % PARTS_PER_TURN == 0:
                yield b""
        separator = b""
        for operator in sorted(records):
            empty = {
                "OperatorID": operator,
                "OperatorName": names.get(operator, operator),
                self._shape.records: [],
            }
            yield separator + _encode(empty).removesuffix(b"]}")
            separator = b"\n"
            for record in records[operator]:
                yield separator + record
                separator = b",\n"
            yield b"]}"
        yield self._shape.end
