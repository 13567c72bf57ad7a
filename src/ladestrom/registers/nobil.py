"""NOBIL's register of stations, API version 3: `datadump.php` and `search.php`, JSON and XML.

Knows NOBIL's stations, EVSEs and connectors. Must not know what the registry does with a station. NOBIL's
`Contact_info`, `User_comment` and the names of people who enter stations are never read.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from ladestrom.core.coordinates import NORDIC, pair, place
from ladestrom.core.fields import Notes, Unusable, clean, identifier, plain, quoted, too_many
from ladestrom.core.terms import split
from ladestrom.countries import country
from ladestrom.errors import InvalidRegister
from ladestrom.model import (
    NEVER,
    Evse,
    Outlet,
    Reading,
    Station,
    Status,
    evse_key,
    local_key,
)
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.record import Terms
from ladestrom.registers import nobil_json, nobil_xml
from ladestrom.registers import nobil_tables as tables
from ladestrom.registers.limits import DEFAULT, Limits
from ladestrom.registers.nobil_facts import Reader, choice, entered, instant, mapping, updated_at
from ladestrom.registers.scan import bounded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_NORDIC_COUNTRIES: Final = frozenset({"NOR", "SWE", "FIN", "DAN", "ISL", "FRO", "GRL", "SJM", "ALA"})

_UUID: Final = re.compile(r"([A-Za-z]{3})_([0-9]{1,12})")
_ID: Final = re.compile(r"[0-9]{1,12}")
_ORDINAL: Final = re.compile(r"[0-9]{1,9}")
_OPERATOR_FORM: Final = re.compile(
    r"(?i:([A-Z]{2})([*-])([A-Z0-9]{3})\2E[A-Z0-9*-]{1,31})|(?!CHARGE)([A-Z]{2})([A-Z0-9]{3})E[A-Z0-9]{1,31}",
    re.ASCII,
)
"""ISO 15118-1 and eMI3: country, operator, `E`, the point, in any case, the separators optional. Without them
any word may look so, and upper case is asked for: `charger-77` is no id of the Swiss operator ARG."""
_STARRED_FORM: Final = re.compile(
    r"[A-Z]{2}\*[A-Z0-9]{1,8}\*[A-Z0-9*]{1,40}|\+\d{1,3}\*\d{3,6}\*[\d*]{1,32}", re.IGNORECASE | re.ASCII
)
"""Ids that are plainly EVSE ids without being of the operator form; `+49*810*000*438` is DIN 91286."""
_UID_FORM: Final = re.compile(r"(?i:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})|[0-9a-f]{24,}")
"""UUIDs and other hexadecimal ids, some of which would read as the operator form (`de4bce12-...`)."""
_ID_CHARACTERS: Final = re.compile(r"[!-?A-~][ -?A-~]*")
"""Printable ASCII without `@`."""
_OCPI_LOCATION: Final = re.compile(r"([A-Z]{2})#([A-Z0-9]{3})#.*", re.IGNORECASE | re.ASCII)
_UID_CHARS_MIN: Final = 6
"""A shorter uid is a number within its station, as dumps of 2021 have them."""


class _Identity(NamedTuple):
    """What attributes 27 and 28 of a connector say of its EVSE."""

    evse_id: str
    uid: str


class _Point(NamedTuple):
    """An EVSE and the connectors that it has, by their places in the station."""

    evse: Evse
    connectors: list[int]


def parse(chunks: Iterable[bytes], *, limits: Limits = DEFAULT) -> Iterator[StationDraft | RecordRefusal]:
    """Reads a NOBIL document, JSON or XML, in the order of its stations.

    A station without connectors is refused: there is nothing that could have a status. So is one that
    dispenses only hydrogen or biogas, and the second of two with the same uuid. Text is UTF-8, or what an
    XML declaration says. It has been read to its end only when the iterator is exhausted.

    Args:
        chunks: the document, decompressed, in pieces of any size.
        limits: how much of it is read.

    Raises:
        InvalidRegister: while iterating: the document is cut off, neither JSON nor XML, over a limit, has no
            list of stations, or is an error of NOBIL's, whose text it tells. What was given before must
            then not be used.

    Source: NOBIL API version 3 (`chargerstations`, `csmd`, `attr`).
    """
    seen: set[str] = set()
    reader = Reader(limits)
    for number, record in enumerate(_records(bounded(chunks, limits), limits), start=1):
        if number > limits.records_max:
            raise InvalidRegister(f"the file has more than {limits.records_max} stations")
        if isinstance(record, str):
            yield RecordRefusal(f"record {number}", record)
            continue
        name = f"record {number}"
        try:
            metadata = _lowered(mapping(mapping(record).get("csmd")))
            name, land = _identity(metadata)
            draft = _draft(metadata, mapping(mapping(record).get("attr")), name, land, reader, limits)
        except Unusable as reason:
            yield RecordRefusal(name, str(reason))
            continue
        if name in seen:
            yield RecordRefusal(name, "another station of the file has the same id; the first is taken")
            continue
        seen.add(name)
        yield draft


def _records(chunks: Iterator[bytes], limits: Limits) -> Iterator[object]:
    """The stations as the document has them; a text for one that was skipped, and says why."""
    head = next(filter(None, (chunk.lstrip(b" \t\r\n") for chunk in chunks)), b"")
    if not head:
        raise InvalidRegister("the file is empty")
    document = itertools.chain((head,), chunks)
    if head[:1] in b"{[":
        return nobil_json.records(document, limits)
    if head[:1] in b"<\xfe\xff":
        return nobil_xml.records(document, limits)
    raise InvalidRegister("the file is neither JSON nor XML")


def _lowered(metadata: Mapping[str, object]) -> dict[str, object]:
    return {name.casefold(): value for name, value in metadata.items()}


def _identity(metadata: Mapping[str, object]) -> tuple[str, str | None]:
    """The uuid, and the letters of the country that `Land_code` names.

    `International_id` is the uuid; where it is missing, `Land_code` and `id` make it.
    """
    written = plain(metadata.get("international_id"))
    land = country(plain(metadata.get("land_code")))
    match = _UUID.fullmatch(written)
    if match and int(match[2]):
        return f"{match[1].upper()}_{int(match[2]):05d}", land or country(match[1])
    number = plain(metadata.get("id"))
    if not _ID.fullmatch(number) or not int(number):
        raise Unusable("it has neither an International_id nor an id")
    if land is None:
        raise Unusable("it has no International_id, and no Land_code that names a country")
    return f"{land}_{int(number):05d}", land


def _draft(
    metadata: Mapping[str, object],
    attributes: Mapping[str, object],
    uuid: str,
    land: str | None,
    reader: Reader,
    limits: Limits,
) -> StationDraft:
    notes = Notes(limits.notes_max)
    if land is None:
        raise Unusable("neither its Land_code nor its International_id names a country")
    if land != country(uuid[:3]):
        notes.add(f"its Land_code says {land}, its International_id {uuid[:3]}; the Land_code is taken")
    latitude, longitude = pair(metadata.get("position"))
    where = place(latitude, longitude, NORDIC if land in _NORDIC_COUNTRIES else ())
    if where.note:
        notes.add(where.note)

    connectors = _connectors(attributes.get("conn"), limits, notes)
    own = _by_type(attributes.get("st"))
    points = _points(connectors, uuid, _party_of_location(metadata), limits, notes)
    terms, of_evses, capabilities = _terms(points, connectors, own, reader, notes)
    evse_of = {index: number for number, point in enumerate(points) for index in point.connectors}

    def text(field: str, what: str) -> str:
        return clean(metadata.get(field), what, limits.text_chars_max, notes)

    address = " ".join(filter(None, (text("street", "address"), text("house_number", "address"))))
    name = text("name", "name")
    if not name:
        notes.add("it has no name; its address, else its id, stands for it")
    outlets = [
        reader.connector(connector, f"connector {index}", notes)
        for index, connector in enumerate(connectors, start=1)
    ]
    station = Station(
        uuid=uuid,
        name=name or address or uuid,
        country=land,
        latitude=where.latitude,
        longitude=where.longitude,
        evses=tuple(
            msgspec.structs.replace(
                point.evse,
                capabilities=can,
                terms=of_evse,
            )
            for point, of_evse, can in zip(points, of_evses, capabilities, strict=True)
        ),
        outlets=tuple(Outlet(evse_of[index], connector) for index, connector in enumerate(outlets)),
        operator=text("operator", "operator") or text("owned_by", "operator") or None,
        address=address[: limits.text_chars_max] or None,
        city=text("city", "city") or None,
        register="nobil",
        native_id=native if _ID.fullmatch(native := plain(metadata.get("id"))) else uuid,
        details=reader.details(metadata, own, terms, notes),
    )
    updated = updated_at(metadata.get("updated"))
    return StationDraft(
        station, _readings(points, connectors, notes), notes.all(), NEVER if updated is None else updated
    )


def _terms(
    points: Sequence[_Point],
    connectors: Sequence[Mapping[str, object]],
    station: Mapping[str, object],
    reader: Reader,
    notes: Notes,
) -> tuple[Terms, tuple[Terms | None, ...], list[tuple[str, ...]]]:
    """The terms of the station; those of its EVSEs, where they differ; the EVSEs' capabilities.

    What the connectors of an EVSE say differently, the EVSE does not say.
    """
    every: list[Terms] = []
    capabilities: list[tuple[str, ...]] = []
    for point in points:
        said = [reader.of_connector(connectors[index], notes) for index in point.connectors]
        terms, _ = split([one.terms for one in said])
        every.append(reader.with_access(station, terms, notes))
        capabilities.append(tuple(dict.fromkeys(word for one in said for word in one.capabilities)))
    return *split(every), capabilities


def _connectors(conn: object, limits: Limits, notes: Notes) -> list[Mapping[str, object]]:
    """The connectors' attributes in the order of the connectors' numbers.

    A connector that is no object still counts: the numbers of those after it depend on it.
    """
    if isinstance(conn, Mapping):
        numbered = sorted(conn.items(), key=lambda item: _rank(item[0]))
        if [number for number, _ in numbered] != [str(place) for place in range(1, len(numbered) + 1)]:
            notes.add("its connectors are not numbered from 1 without gaps; they were numbered anew")
        found = [connector for _, connector in numbered]
    else:
        # PHP writes an empty object, and one numbered from 0, as a list.
        found = conn if isinstance(conn, list) else []
    if not found:
        raise Unusable("it has no connectors, so there is nothing that could have a status")
    if len(found) > limits.outlets_max:
        raise Unusable(too_many("connectors", limits.outlets_max))
    connectors = [_by_type(connector) for connector in found]
    if all(choice(connector, tables.CONNECTOR)[0] in tables.FUELS for connector in connectors):
        raise Unusable("it dispenses fuel, not electricity")
    return connectors


def _rank(number: str) -> tuple[int, str]:
    return (int(number), "") if _ORDINAL.fullmatch(number) else (1_000_000_000, number)


def _by_type(connector: object) -> Mapping[str, object]:
    """A connector's attributes by their type's id."""
    if isinstance(connector, Mapping):
        return connector
    if isinstance(connector, list):
        return {plain(mapping(one).get("attrtypeid")): one for one in connector}
    return {}


def _points(
    connectors: Sequence[Mapping[str, object]],
    uuid: str,
    party_of_location: str | None,
    limits: Limits,
    notes: Notes,
) -> list[_Point]:
    """The EVSEs in the order of their first connectors.

    Connectors with the same EVSE id are one EVSE, and so are those with the same uid, unless they have
    different EVSE ids: then the uid is that of their charger. A connector without either is an EVSE.
    """
    identities = [_ids(connector, limits, notes) for connector in connectors]
    ids_of_uid: dict[str, set[str]] = {}
    for identity in identities:
        if identity.uid and identity.evse_id:
            ids_of_uid.setdefault(local_key(identity.uid), set()).add(evse_key(identity.evse_id))

    grouped: dict[str, list[int]] = {}
    for index, identity in enumerate(identities):
        uid = local_key(identity.uid)
        known = ids_of_uid.get(uid, set())
        group = evse_key(identity.evse_id) or (next(iter(known)) if len(known) == 1 else f"uid {uid}")
        grouped.setdefault(group if uid or identity.evse_id else f"connector {index + 1}", []).append(index)

    points: list[_Point] = []
    for members in grouped.values():
        evse_id = next((identities[i].evse_id for i in members if identities[i].evse_id), "")
        uids = {local_key(identities[i].uid): identities[i].uid for i in members if identities[i].uid}
        own = [uid for key, uid in uids.items() if len(ids_of_uid.get(key, ())) <= 1]
        if len(own) < len(uids):
            notes.add("several EVSE ids share a uid, which is taken for that of their charger and left out")
        if len(own) > 1:
            notes.add(f"EVSE {evse_id} has several uids; the first is taken")
        uid = own[0] if own else ""
        if uid and len(uid) < _UID_CHARS_MIN:
            notes.add("its EVSE uids are numbers within the station; they only tell what belongs together")
            uid = ""
        evse = Evse(
            key=evse_key(evse_id),
            station=uuid,
            evse_id=evse_id or None,
            uid=uid or None,
            party=_party(evse_id) or party_of_location,
        )
        points.append(_Point(evse, members))
    return points


def _ids(connector: Mapping[str, object], limits: Limits, notes: Notes) -> _Identity:
    """Attributes 27 and 28, told apart by the form of their values.

    In 2021 NOBIL's list had the EVSE id under 27 and an id of the charger under 28; today 27 is the
    operator's uid and 28 the EVSE id.
    """
    evse_id = uid = ""
    for kind in (tables.EVSE_ID, tables.EVSE_UID):
        said = mapping(connector.get(kind)).get("attrval")
        value = identifier(said)
        if not plain(said):
            continue
        if len(value) > limits.id_chars_max or not _ID_CHARACTERS.fullmatch(value) or not value.strip("*- "):
            notes.add(f"attribute {kind} {quoted(said)} is not a valid id and was ignored")
        elif not _UID_FORM.fullmatch(value) and (_party(value) or _STARRED_FORM.fullmatch(value)):
            evse_id = evse_id or value
        else:
            uid = value
    return _Identity(evse_id, "" if evse_id and evse_key(uid) == evse_key(evse_id) else uid)


def _party(evse_id: str) -> str | None:
    """Country and operator of an EVSE id of the operator form (`NOABC`)."""
    match = _OPERATOR_FORM.fullmatch(evse_id)
    if match is None:
        return None
    letters, operator = (match[1], match[3]) if match[1] else (match[4], match[5])
    return (letters + operator).upper() if country(letters) else None


def _party_of_location(metadata: Mapping[str, object]) -> str | None:
    """Country and party of the OCPI location that newer dumps name (`US#TSL#335b...`)."""
    match = _OCPI_LOCATION.fullmatch(plain(metadata.get("ocpidb_mapping_stasjon_id")))
    return (match[1] + match[2]).upper() if match else None


def _readings(
    points: Sequence[_Point], connectors: Sequence[Mapping[str, object]], notes: Notes
) -> tuple[tuple[int, Reading], ...]:
    """The newest status of each EVSE's connectors; of equally new ones an error, else an occupied one."""
    readings: list[tuple[int, Reading]] = []
    for number, (evse, members) in enumerate(points):
        found = [_reading(connectors[i], evse.key, f"connector {i + 1}", notes) for i in members]
        newest = max(
            (reading for reading in found if reading),
            key=lambda reading: (reading.observed_at, reading.error, reading.status is not Status.AVAILABLE),
            default=None,
        )
        if newest:
            readings.append((number, newest))
    return tuple(readings)


def _reading(connector: Mapping[str, object], key: str, what: str, notes: Notes) -> Reading | None:
    """Attributes 8, 9 and 16; None where they do not say what was the case when."""
    said, failed = (
        entered(connector, kind) or choice(connector, kind)[0]
        for kind in (tables.CONNECTOR_STATUS, tables.ERROR_STATUS)
    )
    if not said and not failed:
        return None
    error = failed == "1"
    status = Status.OUTOFORDER if error else tables.STATUSES.get(said)
    if status is None:
        if said:
            notes.add(f"{what} has an unknown status {quoted(said)}; it is not used")
        return None
    observed_at = instant(entered(connector, tables.TIMESTAMP))
    if observed_at is None:
        notes.add(f"{what} has a status without a readable time; it is not used")
        return None
    return Reading(key, status, error, observed_at, clean(f"{said}/{failed}", "status", 40, notes))
