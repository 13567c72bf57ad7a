"""The columns of a file of one's own stations: what each means, how it is written, and the empty file.

What people read of a column is said here and nowhere else: the template, the document and refusals take it
from here. How a cell is read is in `stations_values`.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, NamedTuple

from ladestrom.record import Access, Accessibility, Format, Place, PowerType, Vehicle

CONNECTORS_MAX: Final = 8
"""Of one EVSE. Those in the registers have at most four."""
CONNECTORS_IN_TEMPLATE: Final = 2


class Of(StrEnum):
    """What a column says something of."""

    STATION = "station"
    """Once for a station: in its first row, or in all."""
    TERMS = "terms"
    """Of the row's EVSE; an empty cell means: as in the first row of the station that says it."""
    EVSE = "EVSE"
    CONNECTOR = "connector"


class Column(NamedTuple):
    """A column, for people."""

    name: str
    of: Of
    meaning: str
    form: str
    example: str
    mandatory: str = ""
    """When it has to be filled in; empty where it never has to."""


_YES_OR_NO: Final = "yes or no"
_LIST: Final = ", several with | between"


def _words(words: type[StrEnum]) -> str:
    return ", ".join(words)


_OF_STATION: Final = (
    Column(
        "station_id",
        Of.STATION,
        "Your id of the station. Rows with the same id are one station",
        "up to 64 characters; it should never change",
        "harbour-1",
        "in every row",
    ),
    Column("name", Of.STATION, "Name of the station", "text", "Harbour", "once per station"),
    Column("country", Of.STATION, "Country", "two or three letters of ISO 3166-1", "NO", "once per station"),
    Column("latitude", Of.STATION, "Latitude, WGS 84", "degrees", "59.9075", "once per station"),
    Column("longitude", Of.STATION, "Longitude, WGS 84", "degrees", "10.7229", "once per station"),
    Column("operator", Of.STATION, "Organisation that operates the station", "text", "Fjordlys AS"),
    Column("brand", Of.STATION, "Brand of the station", "text", "Fjordlys"),
    Column("owner", Of.STATION, "Organisation that owns the station", "text", "Port of Oslo"),
    Column(
        "phone",
        Of.STATION,
        "Telephone number of the operator, never of a person",
        "number",
        "+47 22 00 00 00",
    ),
    Column(
        "email",
        Of.STATION,
        "E-mail address of the operator, never of a person",
        "address",
        "post@example.org",
    ),
    Column("web", Of.STATION, "Web site of the operator", "https address", "https://example.org"),
    Column("address", Of.STATION, "Street and number", "text", "Havnegata 7"),
    Column("postal_code", Of.STATION, "Postal code", "text", "0150"),
    Column("city", Of.STATION, "City", "text", "Oslo"),
    Column("municipality", Of.STATION, "Municipality", "text", "Oslo"),
    Column(
        "municipality_code", Of.STATION, "Its number at the statistics office of the country", "text", "0301"
    ),
    Column("region", Of.STATION, "Region, county or state", "text", "Oslo"),
    Column(
        "time_zone",
        Of.STATION,
        "Time zone of the opening hours; empty, it follows from the position",
        "IANA name",
        "Europe/Oslo",
    ),
    Column(
        "opening",
        Of.STATION,
        "Opening hours",
        "24/7, or opening_hours of OpenStreetMap; other text is kept as text",
        "Mo-Fr 07:00-22:00; Sa 09:00-18:00",
    ),
    Column(
        "openings",
        Of.STATION,
        "Open beside these hours",
        f"begin/end in ISO 8601 with time zone{_LIST}",
        "2026-12-24T10:00Z/2026-12-24T14:00Z",
    ),
    Column(
        "closings",
        Of.STATION,
        "Closed in spite of these hours",
        f"begin/end in ISO 8601 with time zone{_LIST}",
        "2026-12-25T00:00+01:00/2026-12-26T00:00+01:00",
    ),
    Column("place", Of.STATION, "Where the station stands", f"one of: {_words(Place)}", "car_park"),
    Column("parking_fee", Of.STATION, "Whether parking costs money", _YES_OR_NO, "yes"),
    Column("time_limit_min", Of.STATION, "How long a vehicle may stay", "minutes", "120"),
    Column(
        "images",
        Of.STATION,
        "Pictures of the station",
        f"https addresses{_LIST}",
        "https://example.org/1.jpg",
    ),
    Column("directions", Of.STATION, "How the station is found", "text", "Behind the fish market"),
    Column(
        "ids",
        Of.STATION,
        "Ids of the station in other registers",
        f"register=id{_LIST}",
        "nobil=NOR_01333",
    ),
    Column(
        "updated_at",
        Of.STATION,
        "When you last changed the record",
        "date, or date and time with time zone, of ISO 8601",
        "2026-11-30",
    ),
    Column("licence", Of.STATION, "Licence of these data", "id of SPDX, else name", "CC-BY-4.0"),
    Column("attribution", Of.STATION, "Who has to be named by that licence", "text", "Fjordlys AS"),
)

_TERMS: Final = (
    Column("access", Of.TERMS, "Who may charge", f"one of: {_words(Access)}", "public"),
    Column("access_text", Of.TERMS, "Who may charge, in your words", "text", "Guests of the hotel first"),
    Column(
        "accessibility",
        Of.TERMS,
        "For people with reduced mobility",
        f"one of: {_words(Accessibility)}",
        "accessible",
    ),
    Column("vehicles", Of.TERMS, "What may be charged", f"{_words(Vehicle)}{_LIST}", "car|motorcycle"),
    Column("max_height_m", Of.TERMS, "Greatest height of a vehicle", "metres", "2.1"),
    Column("payment_free", Of.TERMS, "Whether charging costs nothing", _YES_OR_NO, "no"),
    Column("payment_card", Of.TERMS, "Whether a bank card pays at the station", _YES_OR_NO, "yes"),
    Column("payment_contactless", Of.TERMS, "Whether a card or telephone held near pays", _YES_OR_NO, "yes"),
    Column("payment_ad_hoc", Of.TERMS, "Whether it works without a contract", _YES_OR_NO, "yes"),
    Column("payment_other", Of.TERMS, "Whether there is another way to pay", _YES_OR_NO, "no"),
    Column("tariff_text", Of.TERMS, "What charging costs, in your words", "text", "NOK 4.50 per kWh"),
    Column("reservable", Of.TERMS, "Whether it can be reserved", _YES_OR_NO, "no"),
)

_OF_EVSE: Final = (
    Column(
        "evse_id",
        Of.EVSE,
        "EVSE id, where it has one",
        "country, party, E and number",
        "NO*FJL*E1234*1",
        "in every row, unless uid is",
    ),
    Column(
        "uid",
        Of.EVSE,
        "Your own id of the EVSE; within its station no other has it",
        "up to 64 characters",
        "1",
        "in every row, unless evse_id is",
    ),
    Column("party", Of.EVSE, "Who operates it, where there is no evse_id", "country and party", "NO*FJL"),
    Column("label", Of.EVSE, "What is painted on it", "text", "A1"),
    Column("max_kw", Of.EVSE, "Highest power of the EVSE", "kW", "150"),
    Column("floor", Of.EVSE, "Floor on which it is", "text", "-1"),
    Column(
        "capabilities",
        Of.EVSE,
        "What the EVSE can do",
        f"words of OCPI 2.2.1, Capability{_LIST}",
        "RFID_READER|REMOTE_START_STOP_CAPABLE",
    ),
)

_OF_CONNECTOR: Final = (
    Column(
        "standard",
        Of.CONNECTOR,
        "Kind of the connector",
        "Type 2, CCS, CHAdeMO, Type 1, Schuko, or a word of OCPI 2.2.1, ConnectorType",
        "CCS",
    ),
    Column("format", Of.CONNECTOR, "Fixed cable or socket", _words(Format), "CABLE"),
    Column("power_type", Of.CONNECTOR, "Kind of current", f"one of: {_words(PowerType)}", "DC"),
    Column("max_kw", Of.CONNECTOR, "Highest power", "kW", "150"),
    Column("max_v", Of.CONNECTOR, "Highest voltage, to neutral where there are three phases", "V", "920"),
    Column("max_a", Of.CONNECTOR, "Highest current of one phase", "A", "200"),
)
CONNECTOR_MEMBERS: Final = tuple(column.name for column in _OF_CONNECTOR)


def _of_connector(number: int) -> tuple[Column, ...]:
    return tuple(
        column._replace(
            name=f"connector{number}_{column.name}",
            mandatory="in every row" if number == 1 and column.name == "standard" else "",
        )
        for column in _OF_CONNECTOR
    )


COLUMNS: Final[tuple[Column, ...]] = (
    *_OF_STATION,
    *_TERMS,
    *_OF_EVSE,
    *(column for number in range(1, CONNECTORS_MAX + 1) for column in _of_connector(number)),
)
"""In the order of the template."""
NAMES: Final = {column.name: column for column in COLUMNS}
OF_STATION: Final = tuple(column.name for column in _OF_STATION if column.name != "station_id")
OF_TERMS: Final = tuple(column.name for column in _TERMS)

HINT: Final = "`ladestrom import stations --template` writes all columns with their meanings"
_SEPARATORS: Final = re.compile(r"[\s_-]+")


def column_name(written: str) -> str:
    """A name as the table has it: `Station ID` is `station_id`."""
    return _SEPARATORS.sub("_", written.strip().casefold())


def in_template() -> tuple[Column, ...]:
    """The columns of the template: those of the third connector and further ones are left to the user."""
    last = 1 + max(
        place
        for place, column in enumerate(COLUMNS)
        if column.name.startswith(f"connector{CONNECTORS_IN_TEMPLATE}_")
    )
    return COLUMNS[:last]


def template() -> str:
    """The empty file: a comment for each column, then the line with their names."""
    lines = [
        "# Stations for ladestrom. Write one row for each EVSE below the line of column names.",
        "# Lines that begin with # are not read. You may leave out columns that are not mandatory.",
        f"# For an EVSE with more connectors, add columns up to connector{CONNECTORS_MAX}_standard.",
        "# Check the file: ladestrom import stations FILE --dry-run",
        "#",
    ]
    for column in in_template():
        mandatory = f" MANDATORY {column.mandatory}." if column.mandatory else ""
        lines.append(
            f"# {column.name}: {column.meaning}. Form: {column.form}. Example: {column.example}.{mandatory}"
        )
    lines.append(",".join(column.name for column in in_template()))
    return "\n".join(lines) + "\n"
