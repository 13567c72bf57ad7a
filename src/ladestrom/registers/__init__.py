"""Registers of stations: what each publishes in, stations for the registry out.

Pure parsers, each with one line in `REGISTERS`. They know the registers' formats; they must not know where
the bytes are from (a caller opens, decompresses and feeds them), nor what the registry does with a station.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from ladestrom.registers import datex2, irve, nobil, ocpi, stations
from ladestrom.registers.limits import DEFAULT, Limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ladestrom.ports.registry import RecordRefusal, StationDraft

__all__ = ["DEFAULT", "REGISTERS", "Limits", "Parser"]


class Parser(Protocol):
    """How every register is read."""

    def __call__(
        self, chunks: Iterable[bytes], *, limits: Limits = DEFAULT
    ) -> Iterator[StationDraft | RecordRefusal]:
        """Each record of the document, as a station or refused with a reason; one never costs another.

        Raises:
            InvalidRegister: while iterating: the document as a whole cannot be read. Use nothing of it.
        """
        ...


REGISTERS: Final[Mapping[str, Parser]] = {
    "datex": datex2.parse,
    "irve": irve.parse,
    "nobil": nobil.parse,
    "ocpi": ocpi.parse,
    "stations": stations.parse,
}
