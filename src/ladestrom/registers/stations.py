"""A register of one's own: stations that an operator writes down itself, as CSV or GeoJSON.

Knows what the columns of such a file mean (`stations_columns`). Must not know what the registry does with a
station.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ladestrom.core import fields, opening, records, time_zones
from ladestrom.core.areas import BY_COUNTRY
from ladestrom.core.coordinates import place
from ladestrom.core.fields import Notes, Unusable, clean, decimal, identifier, quoted, too_many
from ladestrom.core.standards import POWER_KW_MAX
from ladestrom.core.terms import NO_TERMS, payment, split
from ladestrom.countries import country
from ladestrom.errors import InvalidRegister
from ladestrom.model import (
    NEVER,
    Connector,
    Evse,
    Millis,
    Outlet,
    Station,
    evse_key,
    local_key,
    party_in,
)
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.record import (
    Access,
    Accessibility,
    Contact,
    Details,
    Format,
    Opening,
    Payment,
    Place,
    PowerType,
    Terms,
)
from ladestrom.registers import stations_values as values
from ladestrom.registers.limits import DEFAULT, Limits
from ladestrom.registers.scan import bounded
from ladestrom.registers.stations_columns import CONNECTORS_MAX, NAMES, OF_STATION, OF_TERMS
from ladestrom.registers.stations_rows import rows
from ladestrom.registers.wordings import Wordings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ladestrom.registers.stations_rows import Row

REGISTER: Final = "stations"
FAULTS_TOLD_MAX: Final = 5
"""Of one station."""

_EVSE_ID: Final = re.compile(r"[A-Z]{2}[A-Z0-9]{4,33}|[0-9]{5,34}")
"""eMI3 and ISO 15118-2, annex H, without separators; DIN 91286."""
_OF_CONNECTORS: Final = frozenset(name for name in NAMES if name.startswith("connector"))
_PARTY: Final = re.compile(r"[A-Z]{2}[A-Z0-9]{3}")


class _Facts(msgspec.Struct, frozen=True):
    """What the rows of a station say of it. None is what none of them says."""

    name: str | None = None
    country: str | None = None
    position: tuple[float, float] | None = None
    """Latitude and longitude as they are written."""
    operator: str | None = None
    address: str | None = None
    city: str | None = None
    updated_at: Millis = NEVER
    details: Details = Details()


class _Point(msgspec.Struct, frozen=True, gc=False):
    """An EVSE as its row says it; of its terms only what the row says."""

    evse: Evse
    connectors: tuple[Connector, ...]


class _Group:
    """A station while its rows are gathered."""

    __slots__ = ("facts", "faults", "is_read", "notes", "place", "points", "uids", "wrong")

    def __init__(self, place: str, notes_max: int) -> None:
        self.place = place
        """Of its first row."""
        self.facts = _Facts()
        self.is_read = False
        """Whether one of its rows could be read."""
        self.notes = Notes(notes_max)
        self.points: list[_Point] = []
        self.uids: dict[str, str] = {}
        """Places of uids, as they compare."""
        self.faults: list[str] = []
        self.wrong: dict[str, str] = {}
        """Mandatory columns whose cell cannot be used, and why."""


def parse(chunks: Iterable[bytes], *, limits: Limits = DEFAULT) -> Iterator[StationDraft | RecordRefusal]:
    """Reads a file of stations: rows without a station refused as they come, then the stations by their first
    rows.

    Rows with the same `station_id` are one station, wherever they stand; each is one EVSE. A station is taken
    whole or not at all: where one of its rows cannot be used, the refusal says everything that is wrong with
    it, and the registry keeps what it has. What a station has once is taken from its first row that says it;
    of the terms of EVSEs an empty cell means the same. Stations have no uuid, and `native_id` is their
    `station_id`.

    Text is UTF-8; a line of CSV that is not is read as Windows-1252. All rows are held until the end.

    Args:
        chunks: the file, decompressed, in pieces of any size.
        limits: how much of it is read.

    Raises:
        InvalidRegister: while iterating: the file is empty, cut off, over a limit, has unknown columns or
            lacks mandatory ones. What was given before must then not be used.
    """
    gathering = _Gathering(limits)
    for number, row in enumerate(rows(bounded(chunks, limits), limits), start=1):
        if number > limits.records_max:
            raise InvalidRegister(f"the file has more than {limits.records_max} rows")
        refusal = gathering.add(row)
        if refusal is not None:
            yield refusal
    yield from gathering.stations()


class _Gathering:
    """The rows of a file, by station."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._groups: dict[str, _Group] = {}
        self._places: dict[str, str] = {}
        """Where each EVSE key stands."""
        self._last: _Group | None = None
        self._said: tuple[str | None, ...] = ()
        """What the last row said of its station, which most rows repeat."""
        self._connectors = Wordings(_connectors, limits.notes_max)
        self._capabilities = Wordings(_capabilities, limits.notes_max)
        self._terms = Wordings(partial(_terms, limits), limits.notes_max)

    def add(self, row: Row) -> RecordRefusal | None:
        """Takes in a row; refuses one that names no station."""
        try:
            station_id = self._own_id(row.cells, "station_id")
        except Unusable as reason:
            return RecordRefusal(row.place, row.fault or str(reason))
        if not station_id:
            return RecordRefusal(row.place, row.fault or values.missing(["station_id"]))
        group = self._groups.get(station_id)
        if group is None:
            group = self._groups[station_id] = _Group(row.place, self._limits.notes_max)
        if row.fault:
            group.faults.append(f"{row.place}: {row.fault}")
            return None
        notes = Notes(self._limits.notes_max)
        for note in row.notes:
            notes.add(note)
        self._take_station(group, row, notes)
        try:
            self._take_evse(group, row, notes)
        except Unusable as reason:
            group.faults.append(f"{row.place}: {reason}")
        for note in notes.all():
            group.notes.add(f"{row.place}: {note}")
        return None

    def _take_station(self, group: _Group, row: Row, notes: Notes) -> None:
        cells = tuple(map(row.cells.get, OF_STATION))
        if group is self._last and cells == self._said:
            return
        self._last, self._said = group, cells
        group.is_read = True
        said = _Station(row, self._limits, notes, group.wrong).facts()
        group.facts, differing = _filled(group.facts, said)
        if differing:
            notes.add(f"{', '.join(differing)} differs from earlier rows of the station, which count")

    def _take_evse(self, group: _Group, row: Row, notes: Notes) -> None:
        cells = row.cells
        evse_id, uid = self._ids(cells)
        key = evse_key(evse_id)
        local = local_key(uid)
        if not key and not uid:
            raise Unusable("it has neither evse_id nor uid; write one of them")
        for known, form, name in ((self._places, key, evse_id), (group.uids, local, uid)):
            if form in known:
                raise Unusable(
                    f"its EVSE {quoted(name)} is in {known[form]} already; more connectors of one EVSE are"
                    " connector2_standard and so on"
                )
        connectors = self._connectors.of(
            tuple(each for each in cells.items() if each[0] in _OF_CONNECTORS), notes
        )
        terms = self._terms.of(tuple(map(cells.get, OF_TERMS)), notes)
        power = cells.get("max_kw")
        if key:
            self._places[key] = row.place
        if uid:
            group.uids[local] = row.place
        own = Evse(
            key,
            station="",
            evse_id=evse_id or None,
            uid=uid or None,
            party=_party(cells, key, notes),
            label=self._text(cells, "label", notes),
            max_kw=values.number(power, "max_kw", POWER_KW_MAX, "kW", notes) if power else None,
            floor=self._text(cells, "floor", notes),
            capabilities=self._capabilities.of((cells.get("capabilities", ""),), notes),
            terms=terms,
        )
        group.points.append(_Point(records.evse(own, ""), connectors))

    def _ids(self, cells: Mapping[str, str]) -> tuple[str, str]:
        evse_id, uid = identifier(cells.get("evse_id", "")), self._own_id(cells, "uid")
        if cells.get("evse_id") and (
            len(evse_id) > self._limits.id_chars_max or not _EVSE_ID.fullmatch(evse_key(evse_id))
        ):
            raise Unusable(
                f"its evse_id {quoted(cells['evse_id'])} is none: it has country, party and number, as"
                " NO*FJL*E1234; an id of your own is a uid"
            )
        if uid and local_key(uid) == local_key(evse_id):
            uid = ""
        return evse_id, uid

    def _own_id(self, cells: Mapping[str, str], name: str) -> str:
        """An id that the file's owner gives out itself; empty where there is none."""
        written = cells.get(name)
        if not written:
            return ""
        own = identifier(written)
        if not 0 < len(own) <= self._limits.id_chars_max or "@" in own:
            raise Unusable(
                f"its {name} {quoted(written)} is no id: up to {self._limits.id_chars_max} characters that"
                " can be seen, and no e-mail address"
            )
        return own

    def _text(self, cells: Mapping[str, str], name: str, notes: Notes) -> str | None:
        return clean(cells.get(name, ""), name, self._limits.text_chars_max, notes) or None

    def stations(self) -> Iterator[StationDraft | RecordRefusal]:
        """The stations in the order of their first rows; each is forgotten once it is given."""
        self._places.clear()
        for station_id in list(self._groups):
            group = self._groups.pop(station_id)
            try:
                yield self._draft(station_id, group)
            except Unusable as reason:
                yield RecordRefusal(station_id, str(reason))

    def _draft(self, station_id: str, group: _Group) -> StationDraft:
        facts = group.facts
        latitude, longitude = self._position(group)
        faults = [*_lacking(group), *group.faults]
        outlets = tuple(
            Outlet(index, connector)
            for index, point in enumerate(group.points)
            for connector in point.connectors
        )
        if len(outlets) > self._limits.outlets_max:
            faults.append(too_many("connectors", self._limits.outlets_max))
        if faults or facts.name is None or facts.country is None:
            more = len(faults) - FAULTS_TOLD_MAX
            told = faults[:FAULTS_TOLD_MAX] + ([f"and {more} more"] if more > 0 else [])
            raise Unusable("; ".join(told))
        for reason in dict.fromkeys(group.wrong.values()):
            group.notes.add(f"{reason}; another row counts")
        common, own = split(_whole([point.evse.terms or NO_TERMS for point in group.points]))
        station = Station(
            uuid="",
            name=facts.name,
            country=facts.country,
            latitude=latitude,
            longitude=longitude,
            evses=tuple(
                msgspec.structs.replace(point.evse, terms=terms)
                for point, terms in zip(group.points, own, strict=True)
            ),
            outlets=outlets,
            operator=facts.operator,
            address=facts.address,
            city=facts.city,
            register=REGISTER,
            native_id=station_id,
            details=msgspec.structs.replace(facts.details, **msgspec.structs.asdict(common)),
        )
        return StationDraft(station, notes=group.notes.all(), updated_at=facts.updated_at)

    def _position(self, group: _Group) -> tuple[float, float]:
        facts = group.facts
        if facts.position is None:
            return 0.0, 0.0
        try:
            found = place(*facts.position, BY_COUNTRY.get(facts.country or "", ()))
        except Unusable as reason:
            group.wrong["latitude"] = group.wrong["longitude"] = f"{group.place}: {reason}"
            group.facts = msgspec.structs.replace(facts, position=None)
            return 0.0, 0.0
        if found.note:
            group.notes.add(found.note)
        return found.latitude, found.longitude


class _Station:
    """What one row says of its station."""

    def __init__(self, row: Row, limits: Limits, notes: Notes, wrong: dict[str, str]) -> None:
        self._cells = row.cells
        self._place = row.place
        self._limits = limits
        self._notes = notes
        self._wrong = wrong

    def facts(self) -> _Facts:
        cells, notes = self._cells, self._notes
        contact = Contact(
            phone=fields.phone(cells.get("phone", ""), "operator", notes) or None,
            email=fields.email(cells.get("email", ""), "operator", notes) or None,
            web=fields.web_address(cells.get("web", ""), "operator", notes) or None,
        )
        updated = cells.get("updated_at")
        limit = cells.get("time_limit_min")
        kind = cells.get("place")
        fee = cells.get("parking_fee")
        details = Details(
            ids=values.ids(cells.get("ids", ""), "ids", self._limits.id_chars_max, notes),
            brand=self._text("brand"),
            owner=self._text("owner"),
            contact=None if contact == Contact() else contact,
            postal_code=self._text("postal_code"),
            municipality=self._text("municipality"),
            municipality_code=self._text("municipality_code"),
            region=self._text("region"),
            time_zone=time_zones.said(cells.get("time_zone"), notes),
            opening=self._opening(),
            place=values.word(kind, "place", Place, notes) if kind else None,
            parking_fee=values.truth(fee, "parking_fee", notes) if fee else None,
            time_limit_min=values.minutes(limit, "time_limit_min", notes) if limit else None,
            images=self._images(),
            directions=self._prose("directions"),
            licence=self._text("licence"),
            attribution=self._text("attribution"),
        )
        return _Facts(
            name=self._text("name"),
            country=self._country(),
            position=self._position(),
            operator=records.interned(self._text("operator")),
            address=self._text("address"),
            city=records.interned(self._text("city")),
            updated_at=values.updated_at(updated, "updated_at", notes) if updated else NEVER,
            details=records.details(details),
        )

    def _text(self, name: str) -> str | None:
        return clean(self._cells.get(name, ""), name, self._limits.text_chars_max, self._notes) or None

    def _prose(self, name: str) -> str | None:
        return clean(self._cells.get(name, ""), name, self._limits.prose_chars_max, self._notes) or None

    def _country(self) -> str | None:
        written = self._cells.get("country")
        if not written:
            return None
        land = country(written)
        if land is None:
            told = f"{quoted(written)} is no country: write two or three letters of ISO 3166-1, as NO"
            self._wrong.setdefault("country", f"{self._place}: {told}")
        return land

    def _position(self) -> tuple[float, float] | None:
        written = [self._cells.get(name, "") for name in ("latitude", "longitude")]
        if not any(written):
            return None
        latitude, longitude = map(decimal, written)
        if latitude is None or longitude is None:
            told = f"latitude {quoted(written[0])} and longitude {quoted(written[1])} are not two numbers:"
            for name in ("latitude", "longitude"):
                self._wrong.setdefault(name, f"{self._place}: {told} write degrees, as 59.9075 and 10.7229")
            return None
        return latitude, longitude

    def _opening(self) -> Opening | None:
        cells, notes = self._cells, self._notes
        openings = values.spans(cells.get("openings", ""), "openings", notes)
        closings = values.spans(cells.get("closings", ""), "closings", notes)
        said = opening.parse(cells.get("opening", "")[: opening.TEXT_CHARS_MAX + 1]) or Opening()
        if said.text is not None:
            said = Opening(text=self._prose("opening"))
        said = msgspec.structs.replace(said, openings=openings, closings=closings)
        return None if said == Opening() else said

    def _images(self) -> tuple[str, ...]:
        written = values.addresses(self._cells.get("images", ""))
        found = (fields.web_address(each, "images", self._notes) for each in written)
        return tuple(dict.fromkeys(filter(None, found)))


def _lacking(group: _Group) -> list[str]:
    """What is mandatory once per station, and is in none of its rows."""
    if not group.is_read:
        return []
    facts = group.facts
    lacks = [
        *(["name"] if facts.name is None else []),
        *(["country"] if facts.country is None else []),
        *(["latitude", "longitude"] if facts.position is None else []),
    ]
    told = list(dict.fromkeys(group.wrong[name] for name in lacks if name in group.wrong))
    silent = [name for name in lacks if name not in group.wrong]
    if silent:
        told.append(f"{group.place}: {values.missing(silent)}; no row of the station says it")
    return told


def _filled(older: _Facts, newer: _Facts) -> tuple[_Facts, list[str]]:
    """The older, with what it does not say filled in from the newer; and what both say differently."""
    differing: list[str] = []

    def filled(these: Any, those: Any, none: Any, skipped: frozenset[str] = frozenset()) -> dict[str, Any]:  # noqa: ANN401 - structs
        found: dict[str, Any] = {}
        for name in these.__struct_fields__:
            if name in skipped:
                continue
            first, second, nothing = (getattr(each, name) for each in (these, those, none))
            if first == nothing:
                found[name] = second
            else:
                found[name] = first
                if second not in {nothing, first}:
                    differing.append(name)
        return found

    if older == _Facts():
        return newer, differing
    found = filled(older, newer, _Facts(), frozenset({"details"}))
    details = Details(**filled(older.details, newer.details, Details()))
    return _Facts(**found, details=details), differing


def _terms(limits: Limits, cells: tuple[object, ...], notes: Notes) -> Terms:
    """What a row says of its EVSE's terms."""
    said = {name: cell for name, cell in zip(OF_TERMS, cells, strict=True) if isinstance(cell, str)}
    if not said:
        return NO_TERMS

    def text(name: str) -> str | None:
        return clean(said.get(name, ""), name, limits.prose_chars_max, notes) or None

    def truth(name: str) -> bool | None:
        return values.truth(said[name], name, notes) if name in said else None

    access = values.word(said["access"], "access", Access, notes) if "access" in said else None
    access_text = text("access_text")
    if access is None and access_text is None:
        access_text = text("access")
    height = said.get("max_height_m")
    accessibility = said.get("accessibility")
    return Terms(
        access=access,
        access_text=access_text,
        accessibility=(
            values.word(accessibility, "accessibility", Accessibility, notes) if accessibility else None
        ),
        vehicles=values.vehicles(said.get("vehicles", ""), "vehicles", notes),
        max_height_m=(
            values.number(height, "max_height_m", values.HEIGHT_M_MAX, "metres", notes) if height else None
        ),
        payment=payment(**{name: truth(f"payment_{name}") for name in Payment.__struct_fields__}),
        tariff_text=text("tariff_text"),
        reservable=truth("reservable"),
    )


def _whole(terms: list[Terms]) -> list[Terms]:
    """The terms of EVSEs; what one does not say is what the first of them says that says it."""
    if all(each is terms[0] for each in terms):
        return terms
    first = terms[0]
    for each in terms[1:]:
        first = _over(first, each)
    return [_over(each, first) for each in terms]


def _over(upper: Terms, lower: Terms) -> Terms:
    """The upper, with what it does not say filled in from the lower."""
    if upper == lower:
        return upper
    found = {
        name: getattr(lower, name) if getattr(upper, name) in {None, ()} else getattr(upper, name)
        for name in Terms.__struct_fields__
    }
    if upper.payment is not None and lower.payment is not None:
        found["payment"] = Payment(
            *(
                getattr(lower.payment, name)
                if getattr(upper.payment, name) is None
                else getattr(upper.payment, name)
                for name in Payment.__struct_fields__
            )
        )
    return Terms(**found)


def _party(cells: Mapping[str, str], key: str, notes: Notes) -> str | None:
    """Who operates an EVSE: what its EVSE id says, else the column."""
    of_id = party_in(key)
    written = cells.get("party")
    if not written:
        return of_id
    said = evse_key(written)
    if not _PARTY.fullmatch(said):
        notes.add(f"party {quoted(written)} is none, and was left out; write country and party, as NO*FJL")
        return of_id
    if of_id is not None and of_id != said:
        notes.add(f"party {quoted(written)} is not that of its evse_id, which counts")
        return of_id
    return said


def _capabilities(cell: tuple[Any, ...], notes: Notes) -> tuple[str, ...]:
    return values.capabilities(str(cell[0]), "capabilities", notes)


def _connectors(items: tuple[Any, ...], notes: Notes) -> tuple[Connector, ...]:
    cells: dict[str, str] = dict(items)
    found: list[Connector] = []
    for number in range(1, CONNECTORS_MAX + 1):
        prefix = f"connector{number}_"
        written = cells.get(f"{prefix}standard")
        if written:
            found.append(_connector(cells, written, prefix, notes))
        elif any(name.startswith(prefix) for name in cells):
            raise Unusable(f"its {prefix}standard is missing: which kind of connector is it?")
    if not found:
        raise Unusable(f"{values.missing(['connector1_standard'])}: which kind of connector is it?")
    return tuple(found)


def _connector(cells: Mapping[str, str], standard: str, prefix: str, notes: Notes) -> Connector:
    def number(name: str, greatest: float, unit: str) -> float | None:
        written = cells.get(prefix + name)
        return values.number(written, prefix + name, greatest, unit, notes) if written else None

    kind = cells.get(f"{prefix}format")
    power_type = cells.get(f"{prefix}power_type")
    return Connector(
        values.standard(standard, f"{prefix}standard", notes),
        number("max_kw", POWER_KW_MAX, "kW"),
        values.word(kind, f"{prefix}format", Format, notes) if kind else None,
        values.word(power_type, f"{prefix}power_type", PowerType, notes) if power_type else None,
        number("max_v", values.VOLTS_MAX, "V"),
        number("max_a", values.AMPERES_MAX, "A"),
    )
