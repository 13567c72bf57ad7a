"""The French national register of charge points: IRVE statique 2.3, JSON lines and CSV.

Knows the schema's fields. Must not know what the registry does with a station. The schema's contact fields
(`contact_amenageur`, `contact_operateur`, `telephone_operateur`) are never read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from ladestrom.core.coordinates import FRANCE, pair, place
from ladestrom.core.fields import Notes, Unusable, clean, decimal, identifier, plain, quoted, truth
from ladestrom.countries import country
from ladestrom.errors import InvalidRegister
from ladestrom.model import Connector, Evse, Outlet, Station, evse_key
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.registers.irve_rows import POINT_ID, POSITION, STATION_ID, rows
from ladestrom.registers.limits import DEFAULT, Limits
from ladestrom.registers.scan import bounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


_OF_STATION: Final = (
    "nom_station",
    "nom_enseigne",
    "nom_operateur",
    "adresse_station",
    "consolidated_commune",
    POSITION,
)
"""Repeated in every row of a station. `consolidated_commune` is added by the national consolidation."""

_ID_FORM: Final = re.compile(r"[A-Z]{2}[A-Z0-9]{4,33}")
"""Schema 2.3.1, `id_pdc_itinerance` and `id_station_itinerance`."""
_NO_ID: Final = frozenset({"NON CONCERNÉ", "NON CONCERNE", "NONCONCERNÉ", "NONCONCERNE"})
"""Schema 2.3.1: what stands in place of an id where a point is not open to roaming."""
_PARTY_CHARS: Final = 5
"""Schema 2.3.1: an id begins with its country and the three characters of its operational unit."""
_FRENCH: Final = frozenset({"FRA", "MCO"})

_PLUGS: Final = (
    ("prise_type_ef", "DOMESTIC_E", 3.7),
    ("prise_type_2", "IEC_62196_T2", 43.0),
    ("prise_type_combo_ccs", "IEC_62196_T2_COMBO", float("inf")),
    ("prise_type_chademo", "CHADEMO", float("inf")),
    ("prise_type_autre", "UNKNOWN", float("inf")),
)
"""The schema's plugs, their OCPI 2.2.1 ConnectorType, and the kW that each can carry as alternating current
(16 A at 230 V in one phase, 63 A at 400 V in three)."""

_WATTS_FROM: Final = 1_000.0
"""`puissance_nominale` is in kW; a greater number is one that was entered in W."""
_POWER_KW_MAX: Final = 10_000.0
"""The largest plug there is, MCS, is specified for 3,750 kW."""

_DATE: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?!\d).*|(\d\d)/(\d\d)/(\d{4})(?!\d).*", re.DOTALL)


class _Facts(msgspec.Struct, frozen=True):
    """What the rows of a station repeat."""

    name: str
    operator: str
    address: str
    city: str
    position: tuple[float, float]
    """Latitude and longitude."""
    country: str


class _Group:
    """A station while its rows are gathered."""

    __slots__ = ("differing", "facts", "notes", "points", "said", "updated_on")

    def __init__(self, notes: Notes, facts: _Facts, said: tuple[object, ...], updated_on: str) -> None:
        self.notes = notes
        self.facts = facts
        self.said = said
        """The fields that `facts` was made of."""
        self.updated_on = updated_on
        self.points: dict[str, None] = {}
        self.differing: dict[str, None] = {}


class _Point(msgspec.Struct, frozen=True, gc=False):
    """A charge point as its row says it."""

    group: _Group
    written: str
    """Its id; empty where that is the key."""
    connectors: tuple[Connector, ...]
    updated_on: str
    """`date_maj` as `YYYY-MM-DD`; empty, and so older than any, where it is unreadable."""


def parse(chunks: Iterable[bytes], *, limits: Limits = DEFAULT) -> Iterator[StationDraft | RecordRefusal]:
    """Reads an IRVE statique file: refused rows as they come, then the stations by their first rows.

    Rows with the same `id_station_itinerance` are one station, wherever they stand in the file; each is one
    EVSE. A point that occurs twice is read from its newest row by `date_maj`, of equally new ones from the
    later; so are name, operator, address and position where the rows of a station disagree. Stations have no
    uuid, and `native_id` is their `id_station_itinerance`. `id_pdc_local` is not kept: it is unique only
    within its operator. A connector has the point's `puissance_nominale`, and beside a plug that carries more
    at most what its own kind can carry.

    Text is UTF-8; a line that is not is read as Windows-1252. All points are held until the end.

    Args:
        chunks: the file, decompressed, in pieces of any size.
        limits: how much of it is read.

    Raises:
        InvalidRegister: while iterating: the file is cut off, over a limit, neither CSV with the schema's
            columns nor JSON lines. What was given before must then not be used.

    Source: schema-irve-statique 2.3.1.
    """
    gathering = _Gathering(limits)
    found = False
    for number, (where, fields) in enumerate(rows(bounded(chunks, limits), limits), start=1):
        if number > limits.records_max:
            raise InvalidRegister(f"the file has more than {limits.records_max} rows")
        if isinstance(fields, str):
            yield RecordRefusal(where, fields)
            continue
        found = found or POINT_ID in fields
        try:
            gathering.add(fields)
        except Unusable as reason:
            key = evse_key(identifier(fields.get(POINT_ID)))
            yield RecordRefusal(key if _ID_FORM.fullmatch(key) else where, str(reason))
    if not found:
        raise InvalidRegister(f"no row of the file has an {quoted(POINT_ID)}: it is not IRVE statique")
    yield from gathering.stations()


class _Gathering:
    """The points of a file, by station."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._points: dict[str, _Point] = {}
        self._groups: dict[str, _Group] = {}
        self._connectors: dict[tuple[Connector, ...], tuple[Connector, ...]] = {}
        self._dates: dict[str, str] = {}

    def add(self, fields: Mapping[str, object]) -> None:
        """Takes in a row.

        Raises:
            Unusable: nothing was taken in.
        """
        station, point = _id(fields, STATION_ID), _id(fields, POINT_ID)
        updated_on = _date(fields.get("date_maj"))
        updated_on = self._dates.setdefault(updated_on, updated_on)
        said = tuple(fields.get(field) for field in _OF_STATION)
        group = self._groups.get(station)
        if group is None:
            notes = Notes(self._limits.notes_max)
            facts = _facts(fields, station, point, self._limits, notes)
            group = self._groups[station] = _Group(notes, facts, said, updated_on)
        else:
            facts = group.facts
            if said != group.said:
                facts = _facts(fields, station, point, self._limits, group.notes)
                group.differing.update(dict.fromkeys(_differing(group.facts, facts)))
            if updated_on >= group.updated_on:
                group.facts, group.said, group.updated_on = _filled(facts, group.facts), said, updated_on
            else:
                group.facts = _filled(group.facts, facts)
        connectors = _plugs(fields, group.notes)
        connectors = self._connectors.setdefault(connectors, connectors)
        written = identifier(fields.get(POINT_ID))
        self._put(point, _Point(group, "" if written == point else written, connectors, updated_on))

    def _put(self, key: str, point: _Point) -> None:
        point.group.points[key] = None
        other = self._points.get(key)
        if other is not None:
            newest = point if point.updated_on >= other.updated_on else other
            for group in (other.group, point.group):
                group.notes.add(
                    f"point {key} occurs more than once; the row of {newest.updated_on or 'no date'} is taken"
                )
            point = newest
        self._points[key] = point

    def stations(self) -> Iterator[StationDraft | RecordRefusal]:
        """The stations in the order of their first rows."""
        for native_id, group in self._groups.items():
            try:
                yield self._draft(native_id, group)
            except Unusable as reason:
                yield RecordRefusal(native_id, str(reason))

    def _draft(self, native_id: str, group: _Group) -> StationDraft:
        evses: list[Evse] = []
        outlets: list[Outlet] = []
        for key in group.points:
            point = self._points[key]
            if point.group is not group:
                continue
            outlets.extend(Outlet(len(evses), connector) for connector in point.connectors)
            evses.append(Evse(key, station="", evse_id=point.written or key, party=key[:_PARTY_CHARS]))
        if not evses:
            raise Unusable("newer rows put all of its points into other stations")
        if len(outlets) > self._limits.outlets_max:
            raise Unusable(f"it has more than {self._limits.outlets_max} connectors")
        if group.differing:
            what, date = ", ".join(group.differing), group.updated_on or "no date"
            group.notes.add(f"its rows disagree on its {what}; the row of {date} is taken")
        facts = group.facts
        station = Station(
            uuid="",
            name=facts.name or native_id,
            country=facts.country,
            latitude=facts.position[0],
            longitude=facts.position[1],
            evses=tuple(evses),
            outlets=tuple(outlets),
            operator=facts.operator or None,
            address=facts.address or None,
            city=facts.city or None,
            register="irve",
            native_id=native_id,
        )
        return StationDraft(station, notes=group.notes.all())


def _id(fields: Mapping[str, object], field: str) -> str:
    """An id of the schema as a key."""
    written = plain(fields.get(field))
    if not written:
        raise Unusable(f"it has no {field}")
    if written.upper() in _NO_ID:
        raise Unusable(
            f"its {field} is {quoted(written)}: nothing tells it from others; it needs one of AFIREV's"
        )
    key = evse_key(identifier(fields.get(field)))
    if not _ID_FORM.fullmatch(key):
        raise Unusable(f"its {field} {quoted(written)} is not of the schema's form (FRABCE123456)")
    return key


def _facts(fields: Mapping[str, object], station: str, point: str, limits: Limits, notes: Notes) -> _Facts:
    land = country(station[:2]) or country(point[:2])
    if land is None:
        raise Unusable(
            f"its ids begin with {quoted(station[:2])} and {quoted(point[:2])}, which are no countries"
        )
    longitude, latitude = pair(fields.get(POSITION))
    where = place(latitude, longitude, FRANCE if land in _FRENCH else ())
    if where.note:
        notes.add(where.note)

    def text(field: str, what: str) -> str:
        return clean(fields.get(field), what, limits.text_chars_max, notes)

    brand = text("nom_enseigne", "brand")
    return _Facts(
        name=text("nom_station", "name") or brand,
        operator=text("nom_operateur", "operator") or brand,
        address=text("adresse_station", "address"),
        city=text("consolidated_commune", "city"),
        position=(where.latitude, where.longitude),
        country=land,
    )


def _differing(these: _Facts, those: _Facts) -> list[str]:
    """What both say, and say differently."""
    return [
        field
        for field in _Facts.__struct_fields__
        if getattr(these, field) and getattr(those, field) and getattr(these, field) != getattr(those, field)
    ]


def _filled(newer: _Facts, older: _Facts) -> _Facts:
    """The newer, with what it does not say filled in from the older."""
    if newer is older:
        return newer
    return _Facts(*(getattr(newer, field) or getattr(older, field) for field in _Facts.__struct_fields__))


def _plugs(fields: Mapping[str, object], notes: Notes) -> tuple[Connector, ...]:
    power_kw = _power_kw(fields.get("puissance_nominale"), notes)
    plugs: list[tuple[str, float]] = []
    for field, standard, carries_kw in _PLUGS:
        has = truth(fields.get(field))
        if has is None:
            notes.add(f"{field} {quoted(fields.get(field))} is neither true nor false; false is taken")
        elif has:
            plugs.append((standard, carries_kw))
    if not plugs:
        notes.add("a point names no plug; it has one of an unknown kind")
        return (Connector("UNKNOWN", power_kw),)
    most_kw = max(carries_kw for _, carries_kw in plugs)
    return tuple(
        Connector(standard, min(power_kw, carries_kw) if power_kw and carries_kw < most_kw else power_kw)
        for standard, carries_kw in plugs
    )


def _power_kw(said: object, notes: Notes) -> float | None:
    if said is None or said == "":
        return None
    power_kw = decimal(said)
    if power_kw is not None and power_kw > _WATTS_FROM:
        notes.add(f"the power {quoted(said)} is taken for watts")
        power_kw /= 1_000
    if power_kw is None or not 0 < power_kw <= _POWER_KW_MAX:
        notes.add(f"the power {quoted(said)} is not valid and was ignored")
        return None
    return round(power_kw, 3)


def _date(said: object) -> str:
    match = _DATE.fullmatch(plain(said))
    if match is None:
        return ""
    year, month, day = match.group(1, 2, 3) if match[1] else match.group(6, 5, 4)
    return f"{year}-{month}-{day}"
