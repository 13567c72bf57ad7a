"""The French national register of charge points: IRVE statique 2.3, JSON lines and CSV.

Knows which rows are one station, and which of them count. Must not know what the registry does with a
station.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec

from ladestrom.core.fields import Notes, Unusable, identifier, plain, quoted, too_many
from ladestrom.core.terms import split
from ladestrom.errors import InvalidRegister
from ladestrom.model import NEVER, Evse, Millis, Outlet, Station, evse_key
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.record import Contact, Details, Id, Terms
from ladestrom.registers.irve_facts import OF_STATION, Facts, Outlets, Reader
from ladestrom.registers.irve_rows import POINT_ID, STATION_ID, rows
from ladestrom.registers.irve_tables import date
from ladestrom.registers.limits import DEFAULT, Limits
from ladestrom.registers.scan import bounded
from ladestrom.registers.wordings import Wordings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


_ID_FORM: Final = re.compile(r"[A-Z]{2}[A-Z0-9]{4,33}")
"""Schema 2.3.1, `id_pdc_itinerance` and `id_station_itinerance`."""
_NO_ID: Final = frozenset({"NON CONCERNÉ", "NON CONCERNE", "NONCONCERNÉ", "NONCONCERNE"})
"""Schema 2.3.1: what stands in place of an id where a point is not open to roaming."""
_PARTY_CHARS: Final = 5
"""Schema 2.3.1: an id begins with its country and the three characters of its operational unit."""
_REGISTER: Final = "irve"
_LOCAL: Final = "irve-local"
_LICENCE: Final = "etalab-2.0"
"""Licence Ouverte 2.0, by its id at SPDX."""
_ATTRIBUTION: Final = "transport.data.gouv.fr"
"""The national access point, which publishes the register and that licence with it."""
_FIRST_YEAR: Final = 2010
"""The first French points of the register are of 2010: an older date was never entered."""


_UNNOTED: Final = Notes(0)


class _Group:
    """A station while its rows are gathered."""

    __slots__ = ("differing", "facts", "notes", "points", "said", "updated_on")

    def __init__(self, notes: Notes, facts: Facts, said: tuple[object, ...], updated_on: str) -> None:
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
    local: str
    outlets: Outlets
    terms: Terms
    updated_on: str
    """`date_maj` as `YYYY-MM-DD`; empty, and so older than any, where it is unreadable."""


def parse(chunks: Iterable[bytes], *, limits: Limits = DEFAULT) -> Iterator[StationDraft | RecordRefusal]:
    """Reads an IRVE statique file: refused rows as they come, then the stations by their first rows.

    Rows with the same `id_station_itinerance` are one station, wherever they stand in the file; each is one
    EVSE. A point that occurs twice is read from its newest row by `date_maj`, of equally new ones from the
    later; so is what a station has once, where its rows disagree. What differs from point to point
    (`record.Terms`) is the station's where all of its points say it. Stations have no uuid, and `native_id`
    is their `id_station_itinerance`. `id_pdc_local` is the EVSE's uid, unique only within its operator. A
    connector has the point's `puissance_nominale`, and beside a plug that carries more at most what its own
    kind can carry.

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
        self._reader = Reader(limits)
        self._dates = Wordings(lambda said, _: date(said[0]), limits.notes_max)

    def add(self, fields: Mapping[str, object]) -> None:
        """Takes in a row.

        Raises:
            Unusable: nothing was taken in.
        """
        station, point = _id(fields, STATION_ID), _id(fields, POINT_ID)
        updated_on = self._dates.of((fields.get("date_maj"),), _UNNOTED)
        said = tuple(map(fields.get, OF_STATION))
        group = self._groups.get(station)
        if group is None:
            notes = Notes(self._limits.notes_max)
            facts = self._reader.facts(fields, station, point, notes)
            group = self._groups[station] = _Group(notes, facts, said, updated_on)
        else:
            facts = group.facts
            if said != group.said:
                facts = self._reader.facts(fields, station, point, group.notes)
                group.differing.update(dict.fromkeys(group.facts.differing(facts)))
            if updated_on >= group.updated_on:
                group.facts, group.said, group.updated_on = facts.filled(group.facts), said, updated_on
            else:
                group.facts = group.facts.filled(facts)
        written = fields.get(POINT_ID)
        self._put(
            point,
            _Point(
                group,
                "" if written == point else identifier(written),
                self._reader.local_id(fields, point),
                self._reader.outlets(fields, group.notes),
                self._reader.terms(fields, group.notes),
                updated_on,
            ),
        )

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
        points = [(key, point) for key in group.points if (point := self._points[key]).group is group]
        if not points:
            raise Unusable("newer rows put all of its points into other stations")
        outlets = tuple(
            Outlet(place, connector)
            for place, (_, point) in enumerate(points)
            for connector in point.outlets.connectors
        )
        if len(outlets) > self._limits.outlets_max:
            raise Unusable(too_many("connectors", self._limits.outlets_max))
        if group.differing:
            what, day = ", ".join(group.differing), group.updated_on or "no date"
            group.notes.add(f"its rows disagree on its {what}; the row of {day} is taken")
        facts = group.facts
        terms, of_points = split([point.terms for _, point in points])
        evses = tuple(
            Evse(
                key,
                station="",
                evse_id=point.written or key,
                uid=point.local or None,
                party=key[:_PARTY_CHARS],
                max_kw=point.outlets.max_kw,
                terms=own,
            )
            for (key, point), own in zip(points, of_points, strict=True)
        )
        station = Station(
            uuid="",
            name=facts.name or native_id,
            country=facts.country,
            latitude=facts.position[0],
            longitude=facts.position[1],
            evses=evses,
            outlets=outlets,
            operator=facts.operator or None,
            address=facts.address or None,
            city=facts.city or None,
            register=_REGISTER,
            native_id=native_id,
            details=_details(facts, terms),
        )
        return StationDraft(station, notes=group.notes.all(), updated_at=_instant(group.updated_on))


def _details(facts: Facts, terms: Terms) -> Details:
    return Details(
        **msgspec.structs.asdict(terms),
        ids=(Id(_LOCAL, facts.local_id),) if facts.local_id else (),
        brand=facts.brand or None,
        owner=facts.owner or None,
        contact=Contact(phone=facts.phone or None, email=facts.email or None)
        if facts.phone or facts.email
        else None,
        postal_code=facts.postal_code or None,
        municipality=facts.city or None,
        municipality_code=facts.municipality_code or None,
        opening=facts.opening,
        place=facts.place,
        directions=facts.directions or None,
        licence=_LICENCE,
        attribution=_ATTRIBUTION,
    )


def _instant(day: str) -> Millis:
    """The beginning of a day in UTC: the schema has no time of day."""
    try:
        instant = datetime.fromisoformat(f"{day}T00:00:00+00:00")
    except ValueError:
        return NEVER
    return NEVER if instant.year < _FIRST_YEAR else int(instant.timestamp()) * 1_000


def _id(fields: Mapping[str, object], field: str) -> str:
    """An id of the schema as a key."""
    said = fields.get(field)
    if isinstance(said, str) and _ID_FORM.fullmatch(said) and said not in _NO_ID:
        return said
    written = plain(said)
    if not written:
        raise Unusable(f"it has no {field}")
    if written.upper() in _NO_ID:
        raise Unusable(
            f"its {field} is {quoted(written)}: nothing tells it from others; it needs one of AFIREV's"
        )
    key = evse_key(identifier(said))
    if not _ID_FORM.fullmatch(key):
        raise Unusable(f"its {field} {quoted(written)} is not of the schema's form (FRABCE123456)")
    return key
