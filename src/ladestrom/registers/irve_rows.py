"""The rows of an IRVE statique file, JSON lines or CSV.

Knows how a row is written and which of its fields are read. Must not know what they mean.
"""

from __future__ import annotations

import csv
import itertools
from typing import TYPE_CHECKING, Any, Final, TypedDict

import msgspec

from ladestrom.core.fields import plain
from ladestrom.errors import InvalidRegister
from ladestrom.registers.scan import Line, lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ladestrom.registers.limits import Limits

STATION_ID: Final = "id_station_itinerance"
POINT_ID: Final = "id_pdc_itinerance"
POSITION: Final = "coordonneesXY"

_REQUIRED: Final = (STATION_ID, POINT_ID, POSITION)
_DELIMITERS: Final = (",", ";", "\t", "|")
_UNCLOSED: Final = (
    "{} and the lines before it are one field with the separators of a whole row: a quotation mark is missing"
)
"""A row that swallows others is refused with the file: in a complete one their stations would be removed."""
_CUT_OFF: Final = "the file ends within its last row: it is cut off; fetch it again"


class _Fields(TypedDict, total=False):
    """What is read of a row; a source may write anything into them."""

    id_station_itinerance: Any
    id_station_local: Any
    id_pdc_itinerance: Any
    id_pdc_local: Any
    nom_station: Any
    nom_enseigne: Any
    nom_operateur: Any
    nom_amenageur: Any
    contact_operateur: Any
    telephone_operateur: Any
    adresse_station: Any
    code_postal: Any
    consolidated_code_postal: Any
    code_insee_commune: Any
    consolidated_commune: Any
    coordonneesXY: Any
    implantation_station: Any
    horaires: Any
    condition_acces: Any
    accessibilite_pmr: Any
    restriction_gabarit: Any
    station_deux_roues: Any
    gratuit: Any
    paiement_acte: Any
    paiement_cb: Any
    paiement_autre: Any
    tarification: Any
    reservation: Any
    observations: Any
    puissance_nominale: Any
    prise_type_ef: Any
    prise_type_2: Any
    prise_type_combo_ccs: Any
    prise_type_chademo: Any
    prise_type_autre: Any
    cable_t2_attache: Any
    date_maj: Any


def rows(chunks: Iterable[bytes], limits: Limits) -> Iterator[tuple[str, Mapping[str, object] | str]]:
    """Each row's place in the file, and its fields; or the reason why it cannot be read."""
    every = lines(chunks, limits)
    head = next((line for line in every if line.content is None or line.content.strip()), None)
    if head is None:
        raise InvalidRegister("the file is empty")
    if head.content is None:
        raise InvalidRegister(f"the file has no line end in its first {limits.record_bytes_max} bytes")
    begin = head.content.lstrip()[:1]
    if begin in b"[<":
        raise InvalidRegister("the file is neither CSV nor JSON lines (one object in each line)")
    rest = itertools.chain((head,), every)
    return _json_rows(rest, limits) if begin == b"{" else _csv_rows(rest, head.content, limits)


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _over(limits: Limits) -> str:
    return f"it is larger than {limits.record_bytes_max} bytes"


def _json_rows(every: Iterable[Line], limits: Limits) -> Iterator[tuple[str, Mapping[str, object] | str]]:
    decoder = msgspec.json.Decoder(_Fields)
    for line in every:
        where = f"line {line.number}"
        if line.content is None:
            yield where, _over(limits)
        elif line.content.strip():
            try:
                row: Mapping[str, object] | str = decoder.decode(_text(line.content))
            except (ValueError, RecursionError) as error:
                if not line.ended:
                    raise InvalidRegister(_CUT_OFF) from error
                row = f"it is not valid JSON object: {error}"
            yield where, row


class _CsvSource:
    """Lines for the CSV reader, and where it is."""

    def __init__(self, every: Iterable[Line]) -> None:
        self._every = iter(every)
        self.number = 0
        self.ended = True
        self.exhausted = False
        self.over = False

    def __iter__(self) -> _CsvSource:
        return self

    def __next__(self) -> str:
        line = next(self._every, None)
        if line is None:
            self.exhausted = True
            raise StopIteration
        self.number = line.number
        self.ended = line.ended
        if line.content is None:
            self.over = True
            return "\n"
        return _text(line.content) + "\n"


def _csv_rows(
    every: Iterable[Line], head: bytes, limits: Limits
) -> Iterator[tuple[str, Mapping[str, object] | str]]:
    source = _CsvSource(every)
    delimiter = max(_DELIMITERS, key=_text(head).count)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    try:
        header = next(reader)
    except (csv.Error, StopIteration) as error:
        raise InvalidRegister(f"the file's header cannot be read as CSV: {error}") from error
    columns = _columns(header)
    while True:
        source.over = False
        try:
            row = next(reader, None)
        except csv.Error as error:
            if source.exhausted:
                raise InvalidRegister(_CUT_OFF) from error
            yield f"line {source.number}", f"it is no valid CSV: {error}"
            continue
        if row is None:
            return
        if len(row) < len(header) and any(row) and not source.ended:
            raise InvalidRegister(_CUT_OFF)
        if any("\n" in cell and cell.count(delimiter) >= len(header) - 1 for cell in row):
            raise InvalidRegister(_UNCLOSED.format(f"line {source.number}"))
        if source.over:
            yield f"line {source.number}", _over(limits)
        elif any(row):
            yield f"line {source.number}", _projected(row, len(header), columns)


def _columns(header: list[str]) -> dict[str, int]:
    """Where in a row the fields that are read stand."""
    names = {field.casefold(): field for field in _Fields.__annotations__}
    columns = {names[name]: i for i, word in enumerate(header) if (name := plain(word).casefold()) in names}
    missing = [field for field in _REQUIRED if field not in columns]
    if missing:
        raise InvalidRegister(f"the file has no column {', '.join(missing)}: it is not IRVE statique")
    return columns


def _projected(row: list[str], width: int, columns: dict[str, int]) -> Mapping[str, object] | str:
    if len(row) < width or any(row[width:]):
        return f"it has {len(row)} fields, and the header {width}"
    return {field: row[i] for field, i in columns.items()}
