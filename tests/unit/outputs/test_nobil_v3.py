"""NOBIL's documents: that NOBIL's importer and other readers of theirs understand them, and nothing is lost."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest
from lxml import etree
from msgspec.structs import replace
from tests.building import CCS, NOW, make_change, make_evse, make_station

from ladestrom.core.drafts import completed
from ladestrom.core.rules import Inoperative, nobil_pairs
from ladestrom.formats.dialect import Style
from ladestrom.formats.documents import Seen
from ladestrom.formats.wire import as_logged
from ladestrom.model import (
    NEVER,
    Cause,
    Connector,
    Evse,
    Outlet,
    Position,
    Reading,
    Station,
    Status,
    StatusChanged,
)
from ladestrom.outputs.nobil_v3 import table, words
from ladestrom.outputs.nobil_v3.encoder import (
    ANYTHING,
    Kind,
    Stations,
    Statistics,
    Wanted,
    distance_m,
)
from ladestrom.ports.registry import StationDraft
from ladestrom.record import (
    Access,
    Details,
    Format,
    Hours,
    Id,
    Opening,
    Payment,
    Place,
    PowerType,
    Span,
    Vehicle,
)
from ladestrom.registers import irve, nobil
from ladestrom.registers import nobil_tables as tables

SharedFile = Callable[[str], Path]
STYLE: Final = Style(
    inoperative=Inoperative.ERROR,
    licence="",
    attribution="",
    heartbeat_s=20,
    inbound_bytes_max=1,
    inbound_messages_per_minute_max=1,
    observed_at=as_logged,
)
FORMS: Final = pytest.mark.parametrize("as_xml", [False, True], ids=["json", "xml"])
Known = tuple[Station, dict[str, tuple[Status, bool, int]]]
"""A station, and what a register says of its EVSEs' statuses."""


def seen(station: Station, readings: Iterable[Reading] = ()) -> Seen:
    found = {each.evse: each for each in readings}
    rows = []
    for number, evse in enumerate(station.evses, 1):
        reading = found.get(evse.key)
        change = (
            make_change(evse, Status.UNKNOWN, NEVER, cause=Cause.REGISTERED)
            if reading is None
            else make_change(evse, reading.status, reading.observed_at, error=reading.error)
        )
        rows.append((evse, StatusChanged(number, change)))
    return Seen(station, 1, rows, rows, as_logged)


def with_status(station: Station, *statuses: Status) -> Seen:
    readings = [
        Reading(evse.key, status, status is Status.OUTOFORDER, NOW, "")
        for evse, status in zip(station.evses, statuses, strict=False)
    ]
    return seen(station, readings)


def made(
    *stations: Seen, as_xml: bool = False, wanted: Wanted = ANYTHING, style: Style = STYLE
) -> tuple[bytes, Stations]:
    encoder = Stations(style, wanted, as_xml=as_xml)
    parts = [part for part in map(encoder.part, stations) if part is not None]
    pieces = list(encoder.pieces(parts))
    return encoder.head(Position("abc", 1)) + b"".join(pieces), encoder


def told(*stations: Seen, wanted: Wanted = ANYTHING) -> list[Any]:
    found: list[Any] = json.loads(made(*stations, wanted=wanted)[0])["chargerstations"]
    return found


def imported(body: bytes) -> list[tuple[Station, list[Reading]]]:
    found = []
    for draft in nobil.parse([body]):
        assert isinstance(draft, StationDraft), draft
        station, readings = completed(draft, "nobil", draft.station.uuid)
        found.append((replace(station, told=0), list(readings)))
    return found


def essence(found: Iterable[tuple[Station, list[Reading]]]) -> list[Known]:
    """Without what a document says of a status word for word."""
    return [
        (station, {each.evse: (each.status, each.error, each.observed_at) for each in readings})
        for station, readings in found
    ]


# -- read back ---------------------------------------------------------------------------------------------


@FORMS
def test_nobils_own_stations_are_read_back_as_they_were(shared_file: SharedFile, *, as_xml: bool) -> None:
    before = imported(shared_file("data/nobil/nobil-v3-sample.json").read_bytes())
    body, encoder = made(*(seen(station, readings) for station, readings in before), as_xml=as_xml)
    assert essence(imported(body)) == essence(before)
    assert len(before) == 27
    assert sum(len(readings) for _, readings in before) > 10
    assert not encoder.left_out.counts


def attribute(kind: str, number: str = "", text: str = "", value: object = "") -> dict[str, Any]:
    return {kind: {"attrtypeid": kind, "attrname": "", "attrvalid": number, "trans": text, "attrval": value}}


TEXTS: Final = ("Kaia & brygga", 'den "gamle"', "l'été <b>", "a &amp; b", "æøå 1", "")


def generated(number: int, chance: random.Random) -> dict[str, Any]:
    """A station as NOBIL might have it."""

    def some(*choices: Any) -> Any:
        return chance.choice(choices)

    def numbered(kind: str, choices: Iterable[tuple[str, str]]) -> dict[str, Any]:
        found: dict[str, Any] = some({}, attribute(kind, *chance.choice(list(choices))))
        return found

    st: dict[str, Any] = {
        **numbered("2", words.ACCESS.values()),
        **numbered("3", tables_of_places()),
        **numbered("7", [("1", "Yes"), ("2", "No")]),
        **some(
            {}, attribute("6", "1", "Yes", some("90 min", "2 timer", "Max. 3 t")), attribute("6", "2", "No")
        ),
        **some(
            {},
            attribute("24", "1", "Yes", "1"),
            attribute(
                "24", "2", "No", some("Mo-Fr 08:00-18:00; Sa 22:00-02:00", "05:00-01:00", "", "ring oss")
            ),
            attribute("24", "", "", "Mo-Su 06:00-24:00"),
            attribute("24", "", "", "etter avtale"),
        ),
    }
    conn = {}
    for place in range(1, chance.randrange(2, 6)):
        evse = chance.randrange(3)
        capacity = some(
            *words.CAPACITIES.items(), ("24", "150 kW DC"), ("11", "22 kW"), ("10", ""), ("99", "90 kW DC")
        )
        conn[str(place)] = {
            **attribute(
                "4", *some(*words.CONNECTORS.values(), ("50", "Type 2 + Schuko"), ("38", "Marechal"))
            ),
            **some(
                {}, attribute("5", *capacity), attribute("5", "0", "7,5 kW"), attribute("5", "0", "3-phase")
            ),
            **some({}, attribute("20", "4", "Mode 4"), attribute("20", "3", "Mode 3")),
            **numbered("1", [("1", "Open"), ("4", "RFID"), ("5", "Payment"), ("6", "Cellular phone")]),
            **numbered("17", [*words.VEHICLES.values(), ("15", "All vehicles")]),
            **numbered("18", [("1", "Yes"), ("2", "No")]),
            **numbered(
                "19",
                [
                    ("2", "Bank card"),
                    ("10", "Miscellaneous"),
                    ("1", "Cellular phone"),
                    ("21", "Bank card and Charging card"),
                ],
            ),
            **numbered("25", [("1", "Yes"), ("2", "No")]),
            **some(
                {},
                attribute("28", value=f"NO*ABC*E{number}*{evse}"),
                {
                    **attribute("27", value=f"uid-{number}-{evse}"),
                    **attribute("28", value=f"NO*ABC*E{number}*{evse}"),
                },
                attribute("27", value=str(evse)),
            ),
            **some(
                {},
                {
                    **attribute("8", some("0", "1", "2"), "", ""),
                    **attribute("9", some("0", "1"), "", ""),
                    **attribute("16", "5", "timestamp", f"2026-11-0{place}T05:55:28{some('', '.125')}Z"),
                },
            ),
        }
    return {
        "csmd": {
            "id": number,
            "name": some(*TEXTS[:-1]),
            "ocpidb_mapping_stasjon_id": some(None, f"US#TSL#{number}-a"),
            "Street": some(*TEXTS),
            "House_number": some("", "4 B"),
            "Zipcode": some("", "1789"),
            "City": some(*TEXTS),
            "Municipality_ID": some("", "0101"),
            "Municipality": some(*TEXTS),
            "County": some(*TEXTS),
            "Description_of_location": some(*TEXTS, "Ved døra\r\ntil høyre"),
            "Owned_by": some(*TEXTS),
            "Operator": some(*TEXTS),
            "Position": f"({chance.uniform(57, 70)!r},{chance.uniform(5, 25)!r})",
            "Image": some("Kommer", f"{number}.jpg"),
            "Contact_info": "Kari Nordmann 22 33 44 55",
            "Updated": f"{chance.randrange(2011, 2026)}-0{chance.randrange(1, 10)}-17 1{chance.randrange(10)}:00:07",
            "Land_code": some("NOR", "SWE"),
        },
        "attr": {"st": st, "conn": conn},
    }


def tables_of_places() -> list[tuple[str, str]]:
    return [*words.PLACES.values(), ("3", "Airport")]


@FORMS
def test_whatever_nobil_says_is_read_back_as_it_was(*, as_xml: bool) -> None:
    chance = random.Random(7)
    document = {"chargerstations": [generated(number, chance) for number in range(1, 400)]}
    before = imported(json.dumps(document).encode())
    body, _ = made(*(seen(station, readings) for station, readings in before), as_xml=as_xml)
    after = essence(imported(body))
    for known, read in zip(essence(before), after, strict=True):
        assert read == known
    assert b"Kari" not in body


# -- what others read --------------------------------------------------------------------------------------


def evmap(station: dict[str, Any]) -> None:
    """Takes what EVMap's reader takes: members that may not be null, and their forms."""
    data, attributes = station["csmd"], station["attr"]
    for name in ("name", "House_number", "Municipality_ID", "Municipality", "County_ID", "County", "Image"):
        assert isinstance(data[name], str), name
    for name in ("id", "Number_charging_points", "Available_charging_points", "Station_status"):
        assert type(data[name]) is int, name
    for name in ("Created", "Updated"):
        datetime.strptime(data[name], "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - local time
    assert re.fullmatch(r"\((\d+(\.\d+)?), *(-?\d+(\.\d+)?)\)", data["Position"]), data["Position"]
    assert {
        "Land_code",
        "International_id",
        "Operator",
        "Owned_by",
        "ocpidb_mapping_stasjon_id",
    } <= data.keys()
    for found in (attributes["st"], *attributes["conn"].values()):
        for kind, each in found.items():
            assert each.keys() == {"attrtypeid", "attrname", "attrvalid", "trans", "attrval"}
            assert all(isinstance(value, str) for value in each.values())
            assert each["attrtypeid"] == kind
            if kind not in {"27", "28"}:
                int(each["attrvalid"])


def test_other_readers_of_nobil_find_what_they_demand(shared_file: SharedFile) -> None:
    stations = [
        completed(draft, "irve", f"FRA_{number:05d}")[0]
        for number, draft in enumerate(
            irve.parse([(Path(__file__).parents[2] / "golden/registers/irve.jsonl").read_bytes()]), 1
        )
        if isinstance(draft, StationDraft)
    ]
    before = imported(shared_file("data/nobil/nobil-v3-sample.json").read_bytes())
    assert stations
    found = told(*map(seen, stations), *(seen(*each) for each in before), seen(BARE))
    for station in found:
        evmap(station)
    assert {station["csmd"]["Land_code"] for station in found} == {"FRA", "NOR", "SWE"}
    document = json.loads(made(seen(BARE))[0])
    assert list(document) == ["Provider", "Rights", "apiver", "chargerstations"]
    (count,) = rows(Kind.SUM, seen(BARE))
    assert count == {"count": 1}


BARE: Final = make_station(
    "FRA_00003",
    (make_evse("FR*ABC*E1", "FRA_00003"), make_evse("FR*ABC*E2", "FRA_00003")),
    country="FRA",
    outlets=(Outlet(0, Connector("DOMESTIC_E", 2.3, Format.SOCKET, PowerType.AC_2_PHASE)),),
    register="irve",
)


def test_what_nobil_has_no_word_for_is_left_out_and_an_evse_without_connector_is_counted() -> None:
    details = Details(
        access=Access.RESTRICTED,
        place=Place.MOTORWAY,
        images=("https://example.org/1.jpg",),
        vehicles=(Vehicle.BICYCLE,),
        payment=Payment(free=True),
        ids=(Id("irve", "x"),),
        opening=Opening(
            hours=(Hours(1, "08:00", "12:00"), Hours(1, "14:00", "24:00")), closings=(Span("a", "b"),)
        ),
    )
    body, encoder = made(with_status(replace(BARE, details=details), Status.CHARGING))
    (station,) = json.loads(body)["chargerstations"]
    assert station["attr"]["st"].keys() == {"21", "24"}
    assert station["attr"]["st"]["24"]["attrval"] == "Mo 08:00-12:00,14:00-24:00"
    (connector,) = station["attr"]["conn"].values()
    assert {kind: each["attrvalid"] for kind, each in connector.items()} == {
        "4": "0",
        "5": "0",
        "25": "2",
        "26": "1",
        "28": "",
        "8": "1",
        "9": "0",
        "16": "5",
    }
    assert connector["5"]["trans"] == "2,3 kW"
    assert station["csmd"]["Image"] == "no.image.svg"
    assert (station["csmd"]["Number_charging_points"], station["csmd"]["Available_charging_points"]) == (1, 1)
    assert encoder.left_out.counts == {"no_connector": 1}
    assert told(seen(replace(BARE, outlets=()))) == []


def test_of_stations_that_are_not_nobils_what_follows_has_a_number_too() -> None:
    """Readers look at numbers; NOBIL's own stations keep theirs."""
    plug = completed(
        StationDraft(
            replace(BARE, evses=BARE.evses[:1], outlets=(Outlet(0, Connector("IEC_62196_T2", 22.0)),))
        ),
        "irve",
        "FRA_00003",
    )[0]
    assert plug.outlets[0].connector.derived
    (station,) = told(seen(plug))
    assert station["attr"]["conn"]["1"]["5"]["attrvalid"] == "11"
    (station,) = told(seen(replace(plug, register="nobil")))
    assert (station["attr"]["conn"]["1"]["5"]["attrvalid"], "25" in station["attr"]["conn"]["1"]) == (
        "0",
        False,
    )


@pytest.mark.parametrize(
    ("status", "inoperative", "expected"),
    [
        (Status.AVAILABLE, Inoperative.ERROR, ("0", "0")),
        (Status.BLOCKED, Inoperative.ERROR, ("1", "0")),
        (Status.CHARGING, Inoperative.ERROR, ("1", "0")),
        (Status.RESERVED, Inoperative.ERROR, ("2", "0")),
        (Status.OUTOFORDER, Inoperative.ERROR, (None, "1")),
        (Status.INOPERATIVE, Inoperative.ERROR, (None, "1")),
        (Status.INOPERATIVE, Inoperative.OCCUPIED, ("1", "0")),
        (Status.UNKNOWN, Inoperative.ERROR, (None, None)),
    ],
)
def test_statuses_are_attributes_of_connectors(
    status: Status, inoperative: Inoperative, expected: tuple[str | None, str | None]
) -> None:
    found = table.told(with_status(BARE, status), nobil_pairs(inoperative))
    assert found is not None
    kinds = {each.kind: each for each in found.connectors[0]}
    assert tuple(kinds[kind].number if kind in kinds else None for kind in ("8", "9")) == expected
    assert ("16" in kinds) == (expected != (None, None))


def test_numbers_and_texts_are_those_that_the_importer_reads() -> None:
    for standard, (number, text) in words.CONNECTORS.items():
        assert tables.standard(number, text) == tables.standard(number, "") == standard
    for vehicles, (_, text) in words.VEHICLES.items():
        assert tables.vehicles(text) == vehicles
    for number, power_kw in tables.POWERS_KW.items():
        kind = tables.current(number, "", "", "").power_type
        found = words.capacity(Connector("UNKNOWN", power_kw, power_type=kind))
        assert found is not None
        assert tables.power_kw(found.number, found.text) == power_kw
    assert words.capacity(Connector("UNKNOWN")) is None


# -- what is asked for -------------------------------------------------------------------------------------


def place(number: int, latitude: float, longitude: float = 10.0, **members: Any) -> Station:
    uuid = f"NOR_{number:05d}"
    return make_station(
        uuid,
        (make_evse(f"NO*ABC*E{number}", uuid),),
        latitude=latitude,
        longitude=longitude,
        register="nobil",
        native_id=str(number),
        outlets=(Outlet(0, CCS),),
        **members,
    )


NEAR: Final = [seen(place(number, 60 + number / 100)) for number in (3, 1, 2)]


def ids(*stations: Seen, wanted: Wanted) -> list[int]:
    return [station["csmd"]["id"] for station in told(*stations, wanted=wanted)]


def test_the_nearest_come_first_as_many_as_are_wanted_and_no_farther() -> None:
    here = (60.0, 10.0)
    assert ids(*NEAR, wanted=Wanted(near=here, limit=2)) == [1, 2]
    assert ids(*NEAR, wanted=Wanted(near=here, distance_m=2_500)) == [1, 2]
    assert ids(*NEAR, wanted=Wanted(near=here, distance_m=2_500, limit=1)) == [1]
    assert distance_m(here, (60.01, 10.0)) == pytest.approx(1_111.95, abs=0.1)
    assert distance_m((0, 0), (0, 180)) == pytest.approx(math.pi * 6_371_008.8)


def test_a_list_may_be_cut_and_be_without_what_the_client_has() -> None:
    assert ids(*NEAR, wanted=Wanted(limit=2)) == [3, 1]
    assert ids(*NEAR, wanted=Wanted(existing=frozenset({1, 3}))) == [2]


def test_only_what_is_newer_is_told_and_what_nobody_dates() -> None:
    old = seen(place(1, 60, updated_at=NOW - 1_000))
    new = seen(place(2, 60, updated_at=NOW))
    live = with_status(place(3, 60, updated_at=NOW - 1_000), Status.CHARGING)
    undated = seen(place(4, 60))
    all_of_them = (old, new, live, undated)
    assert ids(*all_of_them, wanted=Wanted(since=NOW)) == [2, 3, 4]
    assert ids(*all_of_them, wanted=Wanted(since=NOW, by_record=True)) == [2, 4]
    assert ids(*all_of_them, wanted=Wanted(without_live=True)) == [1, 2, 4]


def test_whose_data_it_is() -> None:
    own = replace(STYLE, publisher="NO-NAP & co", licence="CC0-1.0")
    body, _ = made(seen(BARE), style=own)
    assert [json.loads(body)[name] for name in ("Provider", "Rights")] == ["NO-NAP & co", "CC0-1.0"]
    details = Details(licence="CC-BY-4.0", attribution="NOBIL.no")
    body, _ = made(seen(place(1, 60, details=details)))
    assert [json.loads(body)[name] for name in ("Provider", "Rights")] == ["NOBIL.no", "CC-BY-4.0"]
    root = etree.fromstring(made(seen(BARE), style=own, as_xml=True)[0])
    assert [root.findtext(name) for name in ("Provider", "Rights", "apiver")] == [
        "NO-NAP & co",
        "CC0-1.0",
        "3",
    ]
    assert json.loads(made()[0])["chargerstations"] == []
    assert etree.fromstring(made(as_xml=True)[0]).findall("chargerstation") == []


def rows(kind: Kind, *stations: Seen, code: str = "") -> list[Any]:
    encoder = Statistics(STYLE, kind, code)
    parts = [part for part in map(encoder.part, stations) if part is not None]
    body = encoder.head(Position("abc", 1)) + b"".join(encoder.pieces(parts))
    found: list[Any] = json.loads(body)["chargerstations"]
    return found


def test_numbers_of_stations_by_county_and_municipality() -> None:
    def lying(number: int, code: str, municipality: str, county: str) -> Seen:
        details = Details(municipality_code=code, municipality=municipality, region=county)
        return seen(place(number, 60, details=details))

    world = (
        lying(1, "0101", "HALDEN", "Østfold"),
        lying(2, "0101", "HALDEN", "Østfold"),
        lying(3, "0105", "SARPSBORG & co", "Østfold"),
        lying(4, "0301", "OSLO", "Oslo"),
        seen(BARE),
    )
    assert rows(Kind.SUM, *world) == [{"count": 5}]
    assert rows(Kind.SUM) == [{"count": 0}]
    counties = [
        {"County_ID": "01", "County": "Østfold", "count": 3, "Number_charging_points": 3},
        {"County_ID": "03", "County": "Oslo", "count": 1, "Number_charging_points": 1},
    ]
    assert rows(Kind.COUNTIES, *world) == counties
    assert rows(Kind.COUNTY, *world, code="03") == counties[1:]
    found = rows(Kind.MUNICIPALITIES, *world, code="01")
    assert [(row["Municipality"], row["count"]) for row in found] == [
        ("HALDEN", 2),
        ("SARPSBORG &amp; co", 1),
    ]
    assert [row["count"] for row in rows(Kind.MUNICIPALITY, *world, code="0101")] == [2]


def test_ids_are_written_as_they_are_and_texts_with_entities() -> None:
    hostile = make_station(
        "NOR_00009",
        (make_evse("NO*ABC*E9", "NOR_00009", uid="a&b<c>"),),
        name='</name>\x00 & "x"',
        outlets=(Outlet(0, CCS),),
    )
    for as_xml in (False, True):
        ((station, _),) = imported(made(seen(hostile), as_xml=as_xml)[0])
        assert (station.evses[0].uid, station.name) == ("a&b<c>", '</name> & "x"')


def test_evses_without_ids_keep_their_connectors() -> None:
    station = make_station(
        "NOR_00009",
        (Evse("NOR_00009_01", "NOR_00009"), Evse("NOR_00009_03", "NOR_00009")),
        outlets=(Outlet(0, CCS), Outlet(0, CCS), Outlet(1, CCS)),
        register="nobil",
    )
    ((read, _),) = imported(made(seen(station))[0])
    assert [outlet.evse for outlet in read.outlets] == [0, 0, 1]
    assert [evse.key for evse in read.evses] == ["NOR_00009_01", "NOR_00009_03"]
