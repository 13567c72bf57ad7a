"""The rows of a file of one's own stations: CSV, and GeoJSON taken apart into rows.

Knows how rows are written and what columns are called. Must not know what they mean. A row is the cells that
say something, by column; everything is text.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from ladestrom.core.fields import plain, quoted
from ladestrom.errors import InvalidRegister
from ladestrom.quoting import did_you_mean
from ladestrom.registers.scan import JsonScanner, decoded, decoded_list, lines
from ladestrom.registers.stations_columns import (
    CONNECTOR_MEMBERS,
    CONNECTORS_MAX,
    HINT,
    NAMES,
    column_name,
)

if TYPE_CHECKING:
    from ladestrom.registers.limits import Limits
    from ladestrom.registers.scan import Line

_DELIMITERS: Final = (",", ";", "\t")
_MANDATORY: Final = ("station_id", "name", "country", "latitude", "longitude", "connector1_standard")
_COMMENT: Final = (b"#", b'"#')
_DELIMITER_LINE: Final = b"sep="
"""What Excel reads as the file's delimiter, and writes where it was read."""
_OWN: Final = "_"
"""Begins the names of columns that are the user's own."""
_UNKNOWN_SHOWN_MAX: Final = 10
_NO_TEXT: Final = {
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"PK\x03\x04": "a spreadsheet file or a ZIP archive",
    b"\xd0\xcf\x11\xe0": "a spreadsheet file",
}
_RECORD_SEPARATOR: Final = b"\x1e"
"""RFC 8142: begins each value of a GeoJSON text sequence. Strings of JSON cannot contain it."""


class Row(NamedTuple):
    """One EVSE of a station."""

    place: str
    """`line 7`, `feature 3`."""
    cells: Mapping[str, str]
    """Those that say something, by the names of columns. What a row with a fault has may be incomplete."""
    fault: str = ""
    """Why it cannot be read."""
    notes: tuple[str, ...] = ()


def rows(chunks: Iterable[bytes], limits: Limits) -> Iterator[Row]:
    """The rows of a file, as they are read.

    Raises:
        InvalidRegister: it is empty, cut off, of another form, or has unknown columns.
    """
    begin, whole = _begin(chunks)
    for signature, what in _NO_TEXT.items():
        if begin.startswith(signature):
            raise InvalidRegister(f"the file is {what}: save it as CSV in UTF-8 (File > Save as)")
    first = begin.lstrip()[:1]
    if not first:
        raise InvalidRegister(f"the file is empty; {HINT}")
    if first in b"{[\x1e":
        return _features(whole, limits)
    if first == b"<":
        raise InvalidRegister("the file is neither CSV nor GeoJSON")
    return _csv_rows(whole, limits)


def _begin(chunks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """What the file begins with, up to the first bytes that are no white space; and all of it."""
    remaining = iter(chunks)
    held: list[bytes] = []
    begin = b""
    for chunk in remaining:
        held.append(chunk)
        begin = (begin + chunk).lstrip(b" \t\r\n")
        if len(begin) >= max(map(len, _NO_TEXT)):
            break
    return begin[:16], itertools.chain(held, remaining)


# -- CSV ----------------------------------------------------------------------------------------------------


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


class _Source:
    """Lines for the CSV reader without comments between rows, and where it is."""

    def __init__(self, every: Iterable[Line]) -> None:
        self._every = iter(every)
        self.begins = True
        """Whether the next line begins a row: only there it can be a comment."""
        self.first = 0
        """Number of the line with which the row begins."""
        self.last = 0
        self.text = ""
        """The last line."""
        self.ended = True
        self.exhausted = False
        self.over = False

    def __iter__(self) -> _Source:
        return self

    def __next__(self) -> str:
        for line in self._every:
            if self.begins and line.content is not None and line.content.lstrip().startswith(_COMMENT):
                continue
            if self.begins:
                self.first = line.number
            self.begins = False
            self.last = line.number
            self.ended = line.ended
            if line.content is None:
                self.over = True
                return "\n"
            self.text = _text(line.content) + "\n"
            return self.text
        self.exhausted = True
        raise StopIteration


def _csv_rows(chunks: Iterable[bytes], limits: Limits) -> Iterator[Row]:
    every = lines(chunks, limits)
    delimiter = ""
    for head in every:
        content = head.content
        if content is None:
            raise InvalidRegister(f"the file has no line end in {limits.record_bytes_max} bytes")
        if content.lower().startswith(_DELIMITER_LINE):
            delimiter = _text(content)[len(_DELIMITER_LINE) :][:1]
        elif content.strip() and not content.lstrip().startswith(_COMMENT):
            break
    else:
        raise InvalidRegister(f"the file has comments only and no line of column names; {HINT}")
    if b"\r" in content:
        raise InvalidRegister("the lines of the file end with CR only: save it as CSV in UTF-8")
    written = _text(content)
    if delimiter not in _DELIMITERS:
        delimiter = max(_DELIMITERS, key=written.count)
    source = _Source(itertools.chain((head,), every))
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    try:
        header = next(reader)
    except (csv.Error, StopIteration) as error:
        raise InvalidRegister(f"the file's column names cannot be read as CSV: {error}") from error
    columns = _columns(header)
    found = False
    for row in _read(source, reader, _Layout(delimiter, len(header), columns), limits):
        found = True
        yield row
    if not found:
        raise InvalidRegister("the file has column names and no rows: write one row for each EVSE below them")


class _Layout(NamedTuple):
    """How the rows of a file of CSV are laid out."""

    delimiter: str
    width: int
    columns: Mapping[int, str]
    """The columns that are read, by their places."""

    def cells(self, row: list[str]) -> dict[str, str]:
        columns = self.columns
        return {columns[i]: text for i, cell in enumerate(row) if i in columns and (text := cell.strip())}

    def is_rows(self, cell: str) -> bool:
        """Whether a cell of several lines is rather the rest of one row and the beginning of another."""
        return "\n" in cell and cell.count(self.delimiter) >= self.width - 1

    def leniently(self, line: str) -> dict[str, str]:
        """The cells of a line that is no valid CSV, as far as they can be told apart."""
        try:
            return self.cells(next(csv.reader([line], delimiter=self.delimiter), []))
        except csv.Error:
            return {}


def _read(source: _Source, reader: Iterator[list[str]], layout: _Layout, limits: Limits) -> Iterator[Row]:
    while True:
        source.begins, source.over = True, False
        try:
            row = next(reader, None)
        except csv.Error as error:
            if source.exhausted or source.last > source.first:
                # What follows a quotation mark that is nowhere closed belongs to no row: it would be lost.
                raise InvalidRegister(_unclosed(source, str(error))) from error
            # Its station is not to lose an EVSE for it: it is refused with its station.
            cells = layout.leniently(source.text)
            yield Row(f"line {source.first}", cells, f"it is no valid CSV: {error}")
            continue
        if row is None:
            return
        place = f"line {source.first}"
        if source.over:
            yield Row(place, {}, f"it is larger than {limits.record_bytes_max} bytes")
            continue
        if not any(row):
            continue
        yield _checked(row, source, layout)


def _checked(row: list[str], source: _Source, layout: _Layout) -> Row:
    """A row that is valid CSV.

    Raises:
        InvalidRegister: it ends with the file, or it is rather several rows.
    """
    width, place = layout.width, f"line {source.first}"
    is_one_line = source.last == source.first
    if not is_one_line and any(map(layout.is_rows, row)):
        raise InvalidRegister(_unclosed(source, "one of its fields has the separators of a whole row"))
    if len(row) == width or (len(row) > width and not any(row[width:])):
        return Row(place, layout.cells(row))
    if len(row) < width and not source.ended:
        raise InvalidRegister(
            f"the file ends within {place}, which has {len(row)} fields of {width}: it is cut off"
        )
    told = f"it has {len(row)} fields, and the header {width}"
    if not is_one_line:
        raise InvalidRegister(_unclosed(source, told))
    return Row(place, layout.cells(row), f"{told}; put texts with a separator in quotes")


def _unclosed(source: _Source, reason: str) -> str:
    return (
        f"the row that begins in line {source.first} and ends in line {source.last} cannot be read as CSV"
        f" ({reason}): the file is cut off, or a quotation mark is missing or too many there"
    )


def _columns(header: list[str]) -> dict[int, str]:
    """The names of columns that are read, by their places."""
    found: dict[int, str] = {}
    unknown: list[str] = []
    for place, written in enumerate(header):
        name = column_name(plain(written))
        if not name or name.startswith(_OWN):
            continue
        if name not in NAMES:
            unknown.append(f"{quoted(written)}{did_you_mean(name, NAMES)}")
        elif name in found.values():
            raise InvalidRegister(f"the file has the column {name} twice; remove one of them")
        else:
            found[place] = name
    if not found:
        raise InvalidRegister(
            f"the first line of the file has no name of a column, but {quoted(','.join(header), 80)}; {HINT}"
        )
    if unknown:
        shown = "".join(f"\n  {each}" for each in unknown[:_UNKNOWN_SHOWN_MAX])
        more = (
            f"\n  and {len(unknown) - _UNKNOWN_SHOWN_MAX} more" if len(unknown) > _UNKNOWN_SHOWN_MAX else ""
        )
        raise InvalidRegister(
            f"the file has unknown columns:{shown}{more}\n"
            f"{HINT}. Begin the name of a column of your own with {_OWN}: it is not read"
        )
    names = set(found.values())
    missing = [name for name in _MANDATORY if name not in names]
    if not names & {"evse_id", "uid"}:
        missing.append("evse_id or uid")
    if missing:
        raise InvalidRegister(f"the file has no column {', '.join(missing)}; {HINT}")
    return found


# -- GeoJSON ------------------------------------------------------------------------------------------------

_FEATURES: Final = "features"
_CUT: Final = 200


def _features(chunks: Iterable[bytes], limits: Limits) -> Iterator[Row]:
    """Features of a FeatureCollection, of a text sequence (RFC 8142) or one after the other (RFC 7946)."""
    scanner = JsonScanner((chunk.replace(_RECORD_SEPARATOR, b" ") for chunk in chunks), limits)
    found = False
    for number, feature in enumerate(_records(scanner), 1):
        place = f"feature {number}"
        if isinstance(feature, str):
            yield Row(place, {}, feature)
        else:
            found = found or feature.get("type") == "Feature"
            yield from _of_feature(place, feature)
    if not found:
        raise InvalidRegister("the file has no Feature: it is not GeoJSON, or it is empty")


def _records(scanner: JsonScanner) -> Iterator[dict[str, object] | str]:
    while first := scanner.peek():
        if first == b"[":
            yield from decoded_list(scanner)
        elif first == b"{":
            yield from _object(scanner)
        else:
            raise InvalidRegister(
                f"the file is not GeoJSON: {quoted(first.decode('latin-1'))} begins a value"
            )


def _object(scanner: JsonScanner) -> Iterator[dict[str, object] | str]:
    """The features of a collection as they come, or one feature."""
    scanner.expect(b"{")
    members: dict[str, object] = {}
    is_collection = False
    while not scanner.take(b"}"):
        name = decoded(scanner.value())
        scanner.expect(b":")
        if name == _FEATURES and scanner.peek() == b"[":
            is_collection = True
            yield from decoded_list(scanner)
        else:
            value = scanner.value()
            if isinstance(value, str):
                raise InvalidRegister(f"{quoted(name)} of the file's object cannot be read: {value}")
            members[name if isinstance(name, str) else ""] = decoded(value)
        if not scanner.take(b","):
            scanner.expect(b"}")
            break
    if not is_collection:
        yield members


def _of_feature(place: str, feature: Mapping[str, object]) -> Iterator[Row]:
    properties = feature.get("properties")
    own = properties if isinstance(properties, dict) else {}
    notes: list[str] = []
    cells = _cells({name: value for name, value in own.items() if name != "evses"}, notes)
    if "station_id" not in cells and (written := _cell(feature.get("id"))):
        cells["station_id"] = written
    fault = _position(feature, cells)
    evses = own.get("evses")
    if fault:
        yield Row(place, cells, fault)
    elif evses is None:
        yield Row(place, cells, notes=tuple(notes))
    elif not isinstance(evses, list) or not evses:
        yield Row(place, cells, "its property evses is no list of EVSEs, or an empty one")
    else:
        for number, evse in enumerate(evses, 1):
            where = f"{place}, EVSE {number}"
            if not isinstance(evse, dict):
                yield Row(where, cells, "it is no object")
                continue
            of_evse: list[str] = []
            own_cells, fault = _evse(evse, of_evse)
            yield Row(where, {**cells, **own_cells}, fault, (*notes, *of_evse))


def _position(feature: Mapping[str, object], cells: dict[str, str]) -> str:
    """Adds the position of the feature's Point to the cells; says what is wrong with it."""
    if feature.get("type") != "Feature":
        return f"it is no Feature: its type is {quoted(feature.get('type'))}"
    geometry = feature.get("geometry")
    if geometry is None:
        return "" if {"latitude", "longitude"} <= cells.keys() else "it has no geometry; a Point is needed"
    if not isinstance(geometry, dict) or geometry.get("type") != "Point":
        return "its geometry is no Point"
    coordinates = geometry.get("coordinates")
    if not isinstance(coordinates, list) or len(coordinates) not in {2, 3}:
        return "its coordinates are no [longitude, latitude]"
    cells["longitude"], cells["latitude"] = map(_cell, coordinates[:2])
    return ""


def _evse(evse: Mapping[str, object], notes: list[str]) -> tuple[dict[str, str], str]:
    """The cells of a member of `evses`, and what is wrong with it."""
    cells = _cells({name: value for name, value in evse.items() if name != "connectors"}, notes)
    connectors = evse.get("connectors")
    if connectors is None:
        return cells, ""
    if not isinstance(connectors, list) or not all(isinstance(each, dict) for each in connectors):
        return cells, "its connectors are no list of objects"
    if len(connectors) > CONNECTORS_MAX:
        return cells, f"it has {len(connectors)} connectors; at most {CONNECTORS_MAX} are taken"
    for number, connector in enumerate(connectors, 1):
        for name, value in connector.items():
            form = column_name(name)
            if form in CONNECTOR_MEMBERS:
                if text := _cell(value):
                    cells[f"connector{number}_{form}"] = text
            elif not form.startswith(_OWN):
                notes.append(_unknown("member of connectors", name, form, CONNECTOR_MEMBERS))
    return cells, ""


def _cells(properties: Mapping[str, object], notes: list[str]) -> dict[str, str]:
    cells: dict[str, str] = {}
    for written, value in properties.items():
        name = column_name(written)
        if name in NAMES:
            if text := _cell(value):
                cells[name] = text
        elif value is not None and not name.startswith(_OWN):
            notes.append(_unknown("property", written, name, NAMES))
    return cells


def _unknown(what: str, written: str, name: str, known: Iterable[str]) -> str:
    return f"the {what} {quoted(written)} is unknown and was left out{did_you_mean(name, known)}"


def _cell(value: object) -> str:
    """A value of JSON as a cell of CSV has it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return "|".join(filter(None, map(_cell, value)))
    if isinstance(value, dict):
        return msgspec.json.encode(value).decode(errors="replace")[:_CUT]
    return plain(value)
