from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from tests.documents import ROOT

from ladestrom.errors import InvalidRegister
from ladestrom.model import Connector, Evse, Outlet, Station
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.record import (
    Access,
    Accessibility,
    Contact,
    Details,
    Format,
    Hours,
    Id,
    Opening,
    Payment,
    Place,
    PowerType,
    Span,
    Terms,
    Vehicle,
)
from ladestrom.registers import stations
from ladestrom.registers.limits import DEFAULT, Limits
from ladestrom.registers.stations_columns import COLUMNS, in_template, template

FULL = {column.name: column.example for column in COLUMNS} | {
    "connector2_standard": "Type 2",
    "connector2_format": "socket",
    "connector2_power_type": "ac 3 phase",
    "connector2_max_kw": "22,0",
    "connector2_max_v": "230",
    "connector2_max_a": "32",
    "openings": "2026-12-24T10:00Z/2026-12-24T14:00:00Z | 2026-12-31T10:00:00+01:00/2026-12-31T14:00+01:00",
}


def row(evse: str = "NO*FJL*E1", station: str = "harbour-1", **cells: str) -> dict[str, str]:
    return {
        "station_id": station,
        "name": "Harbour",
        "country": "NO",
        "latitude": "59.9075",
        "longitude": "10.7229",
        "evse_id": evse,
        "connector1_standard": "CCS",
    } | cells


def as_csv(*rows: dict[str, str], delimiter: str = ",", end: str = "\n") -> bytes:
    out = io.StringIO()
    names = list(dict.fromkeys(name for one in rows for name in one))
    writer = csv.DictWriter(out, names, delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def feature(properties: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [10.7229, 59.9075]},
        "properties": properties,
    } | members


def collection(*features: object) -> bytes:
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


STATION = {"station_id": "harbour-1", "name": "Harbour", "country": "NO"}
EVSE = {"evse_id": "NO*FJL*E1", "connectors": [{"standard": "CCS"}]}


def read(data: bytes, limits: Limits = DEFAULT) -> list[StationDraft | RecordRefusal]:
    return list(stations.parse([data], limits=limits))


def drafts(data: bytes) -> list[StationDraft]:
    found = read(data)
    assert all(isinstance(one, StationDraft) for one in found), found
    return [one for one in found if isinstance(one, StationDraft)]


def draft(*rows: dict[str, str]) -> StationDraft:
    (one,) = drafts(as_csv(*rows))
    return one


def refusals(data: bytes) -> dict[str, str]:
    return {one.record: one.reason for one in read(data) if isinstance(one, RecordRefusal)}


def refusal(*rows: dict[str, str]) -> str:
    """Why the one station, or the one row, of these is refused."""
    found = refusals(as_csv(*rows))
    assert len(found) == 1
    return next(iter(found.values()))


def invalid(data: bytes) -> str:
    with pytest.raises(InvalidRegister) as caught:
        read(data)
    return str(caught.value)


# The template


def test_a_template_that_is_filled_in_gives_every_field_of_the_record() -> None:
    names = [column.name for column in in_template()]
    assert template().splitlines()[-1].split(",") == names
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow([FULL[name] for name in names])
    (found,) = drafts((template() + out.getvalue()).encode())
    assert found.notes == ()
    assert found.updated_at == 1_795_996_800_000
    assert found.station == Station(
        uuid="",
        name="Harbour",
        country="NOR",
        latitude=59.9075,
        longitude=10.7229,
        evses=(
            Evse(
                "NOFJLE12341",
                "",
                evse_id="NO*FJL*E1234*1",
                uid="1",
                party="NOFJL",
                label="A1",
                max_kw=150.0,
                floor="-1",
                capabilities=("RFID_READER", "REMOTE_START_STOP_CAPABLE"),
            ),
        ),
        outlets=(
            Outlet(0, Connector("IEC_62196_T2_COMBO", 150.0, Format.CABLE, PowerType.DC, 920.0, 200.0)),
            Outlet(0, Connector("IEC_62196_T2", 22.0, Format.SOCKET, PowerType.AC_3_PHASE, 230.0, 32.0)),
        ),
        operator="Fjordlys AS",
        address="Havnegata 7",
        city="Oslo",
        register="stations",
        native_id="harbour-1",
        details=Details(
            access=Access.PUBLIC,
            access_text="Guests of the hotel first",
            accessibility=Accessibility.ACCESSIBLE,
            vehicles=(Vehicle.CAR, Vehicle.MOTORCYCLE),
            max_height_m=2.1,
            payment=Payment(free=False, card=True, contactless=True, ad_hoc=True, other=False),
            tariff_text="NOK 4.50 per kWh",
            reservable=False,
            ids=(Id("nobil", "NOR_01333"),),
            brand="Fjordlys",
            owner="Port of Oslo",
            contact=Contact("+47 22 00 00 00", "post@example.org", "https://example.org"),
            postal_code="0150",
            municipality="Oslo",
            municipality_code="0301",
            region="Oslo",
            time_zone="Europe/Oslo",
            opening=Opening(
                hours=(
                    *(Hours(day, "07:00", "22:00") for day in range(1, 6)),
                    Hours(6, "09:00", "18:00"),
                ),
                openings=(
                    Span("2026-12-24T10:00:00Z", "2026-12-24T14:00:00Z"),
                    Span("2026-12-31T09:00:00Z", "2026-12-31T13:00:00Z"),
                ),
                closings=(Span("2026-12-24T23:00:00Z", "2026-12-25T23:00:00Z"),),
            ),
            place=Place.CAR_PARK,
            parking_fee=True,
            time_limit_min=120,
            images=("https://example.org/1.jpg",),
            directions="Behind the fish market",
            licence="CC-BY-4.0",
            attribution="Fjordlys AS",
        ),
    )


def test_every_field_of_the_record_has_a_column() -> None:
    def members(struct: type[msgspec.Struct], *without: str) -> set[str]:
        return set(struct.__struct_fields__) - set(without)

    names = {column.name for column in COLUMNS}
    assert members(Details, "payment", "contact", "derived") <= names
    assert members(Contact) <= names
    assert {f"payment_{name}" for name in Payment.__struct_fields__} <= names
    assert members(Evse, "key", "station", "terms") <= names
    assert {f"connector1_{name}" for name in members(Connector, "derived")} <= names
    assert members(Terms, "payment") <= names
    unset = {"uuid", "evses", "outlets", "register", "native_id", "told", "vanished_at", "details"}
    assert members(Station, *unset) <= names


def test_the_template_says_of_each_column_what_it_is_and_whether_it_has_to_be_filled_in() -> None:
    lines = template().splitlines()
    assert all(line.startswith("#") for line in lines[:-1])
    assert template().isascii()
    for column in in_template():
        (comment,) = [line for line in lines if line.startswith(f"# {column.name}: ")]
        assert ("MANDATORY" in comment) is bool(column.mandatory)
        assert column.example in comment


def test_a_template_that_was_not_filled_in_is_said_to_be_empty() -> None:
    assert "no rows: write one row for each EVSE" in invalid(template().encode())
    commented = "".join(f"{line}\n" for line in template().splitlines()[:-1])
    assert "no line of column names" in invalid(commented.encode())


def test_a_template_that_a_spreadsheet_wrote_again_is_read() -> None:
    """It quotes comments with a separator, pads them, and writes its own line ends and separators."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
    names = [column.name for column in in_template()]
    for line in template().splitlines()[:-1]:
        writer.writerow([line, *[""] * (len(names) - 1)])
    writer.writerow(['# more; and a "quotation"', *[""] * (len(names) - 1)])
    writer.writerow(names)
    writer.writerow([FULL[name] for name in names])
    (found,) = drafts(b"\xef\xbb\xbfsep=;\r\n" + out.getvalue().encode())
    assert found.station.name == "Harbour"
    assert found.notes == ()


# Rows and stations


def test_rows_with_the_same_id_are_one_station_wherever_they_stand() -> None:
    first, second = drafts(
        as_csv(row(), row("NO*FJL*E2", "harbour-2"), row("NO*FJL*E3"), row("NO*FJL*E4", "harbour-2"))
    )
    assert [evse.key for evse in first.station.evses] == ["NOFJLE1", "NOFJLE3"]
    assert [evse.key for evse in second.station.evses] == ["NOFJLE2", "NOFJLE4"]
    assert [outlet.evse for outlet in first.station.outlets] == [0, 1]


def test_what_a_station_has_once_may_stand_in_one_of_its_rows() -> None:
    empty = dict.fromkeys(("name", "country", "latitude", "longitude"), "")
    found = draft(row(**empty), row("NO*FJL*E2", operator="Fjordlys"), row("NO*FJL*E3", **empty))
    assert (found.station.name, found.station.operator, len(found.station.evses)) == (
        "Harbour",
        "Fjordlys",
        3,
    )
    assert found.notes == ()


def test_of_rows_that_disagree_the_first_counts() -> None:
    found = draft(row(), row("NO*FJL*E2", name="Haven", brand="B"), row("NO*FJL*E3", name="Haven", brand="C"))
    assert (found.station.name, found.station.details.brand) == ("Harbour", "B")
    assert found.notes == (
        "line 3: name differs from earlier rows of the station, which count",
        "line 4: name, brand differs from earlier rows of the station, which count",
    )


def test_terms_of_evses_that_differ_are_theirs_and_empty_ones_are_the_stations() -> None:
    found = draft(
        row(access="public", payment_card="yes", vehicles="car"),
        row("NO*FJL*E2", payment_card="no"),
        row("NO*FJL*E3"),
        row("NO*FJL*E4", access="public", payment_card="yes"),
        row("NO*FJL*E5", reservable="yes"),
    )
    shared = Terms(access=Access.PUBLIC, vehicles=(Vehicle.CAR,), reservable=True)
    details = found.station.details
    assert {name: getattr(details, name) for name in Terms.__struct_fields__} == msgspec.structs.asdict(
        shared
    )
    assert [evse.terms for evse in found.station.evses] == [
        msgspec.structs.replace(shared, payment=Payment(card=number != 1)) for number in range(5)
    ]
    same = draft(row(access="public"), row("NO*FJL*E2", access=""), row("NO*FJL*E3"))
    assert same.station.details.access is Access.PUBLIC
    assert [evse.terms for evse in same.station.evses] == [None, None, None]


def test_an_evse_without_an_evse_id_has_a_uid_and_maybe_a_party() -> None:
    found = draft(row("", uid="Left", party="no*fjl"), row("", uid="right"))
    assert [(evse.key, evse.evse_id, evse.uid, evse.party) for evse in found.station.evses] == [
        ("", None, "Left", "NOFJL"),
        ("", None, "right", None),
    ]


def test_a_uid_that_is_the_evse_id_is_none_and_a_party_does_not_contradict_the_evse_id() -> None:
    found = draft(row(uid="no*fjl*e1", party="SE*BET"))
    (evse,) = found.station.evses
    assert (evse.uid, evse.party) == (None, "NOFJL")
    assert found.notes == ('line 2: party "SE*BET" is not that of its evse_id, which counts',)
    assert "is none" in draft(row(party="Fjordlys")).notes[0]


def test_a_connector_may_be_any_of_eight() -> None:
    found = draft(row(connector8_standard="Schuko", connector8_max_kw="3.7"))
    assert [outlet.connector for outlet in found.station.outlets] == [
        Connector("IEC_62196_T2_COMBO"),
        Connector("DOMESTIC_F", 3.7),
    ]


@pytest.mark.parametrize(
    ("written", "standard"),
    [
        ("IEC_62196_T2_COMBO", "IEC_62196_T2_COMBO"),
        ("iec 62196 t2", "IEC_62196_T2"),
        ("iec_60309_2_THREE_32", "IEC_60309_2_three_32"),
        ("Type 2", "IEC_62196_T2"),
        ("typ-2", "IEC_62196_T2"),
        ("ccs2", "IEC_62196_T2_COMBO"),
        ("CCS Combo 1", "IEC_62196_T1_COMBO"),
        ("chademo", "CHADEMO"),
        ("unknown", "UNKNOWN"),
    ],
)
def test_connectors_are_called_by_ocpis_words_or_peoples(written: str, standard: str) -> None:
    found = draft(row(connector1_standard=written))
    assert found.station.outlets[0].connector.standard == standard
    assert found.notes == ()


def test_a_connector_that_nobody_knows_is_unknown() -> None:
    found = draft(row(connector1_standard="IEC_62196_T2COMBI"))
    assert found.station.outlets[0].connector.standard == "UNKNOWN"
    (note,) = found.notes
    assert note.startswith('line 2: connector1_standard "IEC_62196_T2COMBI" is unknown, and UNKNOWN is taken')
    assert note.endswith("; did you mean IEC_62196_T2_COMBO?")


# Cells


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        ({"access": "pulbic"}, 'access "pulbic" is unknown and was left out; did you mean public?'),
        ({"place": "on the moon"}, 'place "on the moon" is unknown and was left out; write one of: street,'),
        ({"vehicles": "car|hovercraft"}, 'vehicles "hovercraft" is unknown and was left out'),
        ({"payment_card": "NOK 5"}, 'payment_card "NOK 5" is neither yes nor no, and was left out'),
        ({"max_kw": "150 kW"}, 'max_kw "150 kW" is no number of kW above 0 and up to 10,000'),
        ({"max_kw": "-3"}, 'max_kw "-3" is no number of kW above 0'),
        ({"connector1_max_v": "9e9"}, 'connector1_max_v "9e9" is no number of V'),
        ({"connector1_format": "hose"}, 'connector1_format "hose" is unknown and was left out'),
        ({"connector1_power_type": "AC"}, 'connector1_power_type "AC" is unknown and was left out'),
        ({"time_limit_min": "2 h"}, 'time_limit_min "2 h" is no number of minutes, and was left out'),
        ({"max_height_m": "0"}, 'max_height_m "0" is no number of metres'),
        ({"updated_at": "yesterday"}, 'updated_at "yesterday" is no date, and was left out'),
        ({"updated_at": "2026-02-30"}, 'updated_at "2026-02-30" is no date, and was left out'),
        ({"updated_at": "0001-01-01T00:00:00+14:00"}, "is no date, and was left out"),
        ({"updated_at": "1969-02-03"}, 'updated_at "1969-02-03" is no date, and was left out'),
        ({"ids": "NOR_01333"}, 'ids "NOR_01333" is no register and id, and was left out'),
        ({"openings": "2026-12-24/2026-12-25"}, "is no begin and end with time zones, and was left out"),
        (
            {"closings": "2026-12-25T00:00Z/2026-12-24T00:00Z"},
            "is no begin and end with time zones, and was left out",
        ),
        ({"images": "file:///etc/passwd"}, "the address of its images is neither https nor http"),
        ({"web": "javascript:alert(1)"}, "the address of its operator"),
        ({"phone": "call us"}, "the telephone number of its operator is none, and was left out"),
        ({"email": "at the desk"}, "the e-mail address of its operator is none, and was left out"),
        ({"time_zone": "two hours ahead"}, 'its time zone "two hours ahead" is not in the tz database'),
        (
            {"capabilities": "RFID-READ"},
            'capabilities "RFID-READ" is no word of OCPI 2.2.1; did you mean RFID_',
        ),
        ({"capabilities": "läser"}, "is no word of OCPI, and was left out"),
        ({"directions": "ask kari@example.org"}, "contact data was left out of its directions"),
        ({"longitude": "19.0", "latitude": "19.0"}, "its position lies outside the register's countries"),
    ],
)
def test_a_cell_that_cannot_be_read_is_left_out_and_noted(cells: dict[str, str], note: str) -> None:
    found = draft(row(**cells))
    assert len(found.notes) == 1
    assert note in found.notes[0]


def test_access_in_other_words_is_kept_as_text() -> None:
    found = draft(row(access="guests of the hotel"))
    assert (found.station.details.access, found.station.details.access_text) == (None, "guests of the hotel")
    found = draft(row(access="guests", access_text="Guests only"))
    assert found.station.details.access_text == "Guests only"


@pytest.mark.parametrize("written", ["yes", "TRUE", "1", "ja", "Oui", "WAHR", "x"])
def test_yes_is_understood_in_many_languages(written: str) -> None:
    assert draft(row(parking_fee=written)).station.details.parking_fee is True


@pytest.mark.parametrize("written", ["no", "FALSE", "0", "nei", "FALSCH"])
def test_no_is_understood_in_many_languages_and_nothing_is_not_no(written: str) -> None:
    assert draft(row(parking_fee=written)).station.details.parking_fee is False
    assert draft(row(parking_fee="")).station.details.parking_fee is None


def test_hours_around_the_clock_are_always_and_others_are_kept() -> None:
    assert draft(row(opening="24/7")).station.details.opening == Opening(always=True)
    found = draft(row(opening="as the shop; ask")).station.details.opening
    assert found == Opening(text="as the shop; ask")
    assert draft(row()).station.details.opening is None
    contradicting = "Mo-Fr 08:00-12:00; Mo-Fr 14:00-18:00"
    assert draft(row(opening=contradicting)).station.details.opening == Opening(text=contradicting)


def test_a_tariff_is_text() -> None:
    assert (
        draft(row(tariff_text="4,50 kr/kWh; 1 kr/min")).station.details.tariff_text == "4,50 kr/kWh; 1 kr/min"
    )


def test_an_instant_without_a_time_zone_is_none() -> None:
    assert draft(row(updated_at="2026-11-30T12:00:00")).notes
    assert draft(row(updated_at="2026-11-30T12:00+01:00")).updated_at == 1_796_036_400_000


def test_addresses_of_pictures_are_separated_by_bars_spaces_or_semicolons() -> None:
    first, second = "https://a.example/1;v=2.jpg", "https://a.example/2.jpg"
    for between in ("|", " ", "; ", ";"):
        assert draft(row(images=first + between + second)).station.details.images == (first, second)


# Positions


def test_exchanged_latitude_and_longitude_are_put_right_and_noted() -> None:
    for land, position in {"NO": ("59.9", "10.7"), "DE": ("52.5", "13.4"), "PT": ("38.7", "-9.1")}.items():
        found = draft(row(country=land, latitude=position[1], longitude=position[0]))
        assert (found.station.latitude, found.station.longitude) == tuple(map(float, position))
        assert found.notes == ("latitude and longitude were exchanged",)


@pytest.mark.parametrize(
    ("latitude", "longitude", "reason"),
    [
        ("0", "0", "line 2: its position is (0, 0), which means that none was entered"),
        ("599075", "107229", "line 2: its position (latitude 599075, longitude 107229) is nowhere on Earth"),
        ("59°54'N", "10.7", 'line 2: latitude "59°54\'N" and longitude "10.7" are not two numbers: write'),
        ("59.9", "", 'line 2: latitude "59.9" and longitude "" are not two numbers: write degrees'),
        ("", "", "line 2: it has no latitude and no longitude; no row of the station says it"),
    ],
)
def test_a_station_without_a_position_is_refused(latitude: str, longitude: str, reason: str) -> None:
    assert refusal(row(latitude=latitude, longitude=longitude)).startswith(reason)


def test_a_decimal_comma_is_understood() -> None:
    (found,) = drafts(as_csv(row(latitude="59,9075", longitude="10,7229"), delimiter=";"))
    assert (found.station.latitude, found.station.longitude) == (59.9075, 10.7229)


# Refusals


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"name": ""}, "line 2: it has no name; no row of the station says it"),
        ({"country": ""}, "line 2: it has no country; no row of the station says it"),
        (
            {"country": "Norge"},
            'line 2: "Norge" is no country: write two or three letters of ISO 3166-1, as NO',
        ),
        ({"evse_id": ""}, "line 2: it has neither evse_id nor uid; write one of them"),
        ({"evse_id": "left"}, 'line 2: its evse_id "left" is none: it has country, party and number'),
        ({"evse_id": "", "uid": "a\u200bb"}, "line 2: its uid"),
        (
            {"connector1_standard": ""},
            "line 2: it has no connector1_standard: which kind of connector is it?",
        ),
        (
            {"connector2_max_kw": "22"},
            "line 2: its connector2_standard is missing: which kind of connector is it?",
        ),
    ],
)
def test_a_refusal_says_what_is_missing_in_which_line_and_what_to_do(
    cells: dict[str, str], reason: str
) -> None:
    assert refusals(as_csv(row(**cells)))["harbour-1"].startswith(reason)


def test_a_row_without_a_station_id_is_refused_by_its_line() -> None:
    found = read(as_csv(row(station=""), row("NO*FJL*E2"), row("NO*FJL*E3", station="x" * 65)))
    assert [one for one in found if isinstance(one, RecordRefusal)] == [
        RecordRefusal("line 2", "it has no station_id"),
        RecordRefusal(
            "line 4",
            f'its station_id "{"x" * 40}..." is no id: up to 64 characters that can be seen, and no e-mail address',
        ),
    ]
    assert len(found) == 3


def test_a_station_is_taken_whole_or_refused_with_all_that_is_wrong() -> None:
    rows = [row(), row("NO*FJL*E2", connector1_standard=""), row(""), row("NO*FJL*E9", "harbour-2")]
    reasons = refusals(as_csv(*rows))
    assert reasons == {
        "harbour-1": "line 3: it has no connector1_standard: which kind of connector is it?;"
        " line 4: it has neither evse_id nor uid; write one of them"
    }
    many = [row("", name="")] * 9
    assert refusal(*many).endswith("; and 5 more")


def test_an_evse_that_stands_twice_is_refused_with_both_lines() -> None:
    assert refusal(row(), row("no-fjl-e1")) == (
        'line 3: its EVSE "no-fjl-e1" is in line 2 already; more connectors of one EVSE are connector2_standard'
        " and so on"
    )
    assert 'its EVSE "A" is in line 2 already' in refusal(row("", uid="a"), row("", uid="A"))
    reasons = refusals(as_csv(row(), row(station="harbour-2")))
    assert list(reasons) == ["harbour-2"]
    assert draft(row("", uid="a"), row(uid="b")).notes == ()


def test_a_station_with_too_many_connectors_is_refused() -> None:
    limits = Limits(outlets_max=1)
    (found,) = read(as_csv(row(), row("NO*FJL*E2")), limits)
    assert found == RecordRefusal(
        "harbour-1",
        "it has more than 1 connectors; one station has at most 1: split it into several stations",
    )


def test_a_country_that_one_row_writes_wrongly_is_noted_where_another_has_it() -> None:
    found = draft(row(country="Norge"), row("NO*FJL*E2", country="NOR"))
    assert found.station.country == "NOR"
    assert found.notes[0].endswith("as NO; another row counts")


# Files of CSV


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_separator_and_line_ends_are_found_out(delimiter: str, end: str) -> None:
    data = as_csv(row(name="A, B; C"), row("NO*FJL*E2"), delimiter=delimiter, end=end)
    assert drafts(data)[0].station.name == "A, B; C"
    assert drafts(b"\xef\xbb\xbf" + data) == drafts(data)


def test_lines_that_are_not_utf_8_are_windows_1252() -> None:
    utf, other = as_csv(row(name="Sjøgata")), as_csv(row("NO*FJL*E2", "b", name="Sjøgata"))
    data = utf + other.decode().splitlines()[1].encode("cp1252") + b"\n"
    assert [one.station.name for one in drafts(data)] == ["Sjøgata", "Sjøgata"]


def test_names_of_columns_are_read_leniently_and_ones_own_are_passed_over() -> None:
    data = as_csv(row(_remark="x", **{"": ""})).replace(b"station_id", b"Station ID")
    assert drafts(data.replace(b"connector1_standard", b"Connector1 Standard"))[0].notes == ()


def test_unknown_columns_are_named_with_the_nearest_one() -> None:
    told = invalid(as_csv(row(longitute="10", remarque="red")))
    assert '\n  "longitute"; did you mean longitude?\n  "remarque"\n' in told
    assert "Begin the name of a column of your own with _" in told
    many = invalid(as_csv(row(**{f"q{number}": "" for number in range(30)})))
    assert "and 20 more" in many


def test_missing_columns_are_named() -> None:
    told = invalid(b"station_id,name,latitude\nx,y,1\n")
    assert "no column country, longitude, connector1_standard, evse_id or uid; `ladestrom import" in told


def test_a_column_that_stands_twice_is_refused() -> None:
    assert "has the column name twice" in invalid(b"station_id,name,Name\nx,y,z\n")


def test_a_file_without_column_names_is_told_so() -> None:
    data = as_csv(row()).split(b"\n", 1)[1]
    assert invalid(data).startswith("the first line of the file has no name of a column, but")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"\n \n", "the file is empty"),
        (b"\xff\xfes\x00", "the file is UTF-16: save it as CSV in UTF-8"),
        (b"PK\x03\x04rest", "the file is a spreadsheet file or a ZIP archive: save it as CSV"),
        (b"<html>", "the file is neither CSV nor GeoJSON"),
        (b"station_id,name\rx,y\r", "end with CR only"),
        (b'"station_id', "column names cannot be read as CSV"),
        (b"# only this", "has comments only"),
    ],
)
def test_what_is_no_such_file_is_told_so(data: bytes, reason: str) -> None:
    assert reason in invalid(data)


def test_a_file_that_is_cut_off_is_not_read() -> None:
    data = as_csv(row(), row("NO*FJL*E2", directions="x" * 50, name='"quoted"'))
    whole = len(data) - 1
    for kept in range(data.index(b"\n") + 2, whole):
        try:
            found = read(data[:kept])
        except InvalidRegister:
            continue
        # Cut off at the end of a row, or within its last cell.
        assert data[kept : kept + 1] == b"\n" or len(data[:kept].splitlines()[-1].split(b",")) == 8, found


def test_a_quotation_mark_that_is_never_closed_costs_the_file_and_not_the_rows_behind_it() -> None:
    lines = as_csv(*(row(f"NO*FJL*E{number}", f"h{number}") for number in range(9))).decode().splitlines()
    lines[3] = lines[3].replace("Harbour", '"Harbour')
    told = invalid("\n".join(lines).encode())
    assert "the row that begins in line 4 and ends in line 10 cannot be read as CSV" in told
    closed = [*lines[:5], lines[5].replace("Harbour", 'Harbour"'), *lines[6:]]
    told = invalid("\n".join(closed).encode())
    assert (
        "begins in line 4 and ends in line 6 cannot be read as CSV (one of its fields has the separators of"
        in told
    )
    lost = [closed[0], 'h0,"Harb', 'our",NO,59.9']
    assert "(it has 4 fields, and the header 7)" in invalid("\n".join([*lost, ""]).encode())
    lines[6] = lines[6].replace("Harbour", '"Harbour"')
    assert "the row that begins in line 4 and ends in line 7" in invalid("\n".join(lines).encode())


def test_a_row_with_too_few_or_too_many_cells_is_refused_with_its_station() -> None:
    data = as_csv(row(), row("NO*FJL*E2", "harbour-2")).replace(b",CCS\n", b",CCS,more\n", 1)
    assert list(refusals(data)) == ["harbour-1"]
    assert "line 2: it has 8 fields, and the header 7" in refusals(data)["harbour-1"]
    data = as_csv(row(), row("NO*FJL*E2", "harbour-2")).replace(b",CCS\n", b"\n", 1)
    assert "line 2: it has 6 fields, and the header 7" in refusals(data)["harbour-1"]
    assert drafts(as_csv(row()).replace(b",CCS\n", b",CCS,,,\n"))


def test_a_broken_quotation_within_a_line_costs_its_row() -> None:
    data = as_csv(row(name="N"), row("NO*FJL*E2", "harbour-2")).replace(b",N,", b',"N"x,')
    assert "line 2: it is no valid CSV" in refusals(data)["harbour-1"]
    assert len(read(data)) == 2


def test_a_cell_may_have_several_lines_and_lines_that_look_like_comments() -> None:
    found = draft(row(directions="first\n# second\nthird"))
    assert found.station.details.directions == "first # second third"


def test_a_comment_may_stand_anywhere_and_empty_rows_are_passed_over() -> None:
    lines = as_csv(row(), row("NO*FJL*E2")).decode().splitlines()
    data = "\n".join(["#a", "", lines[0], "# b, c", lines[1], ",,,,,,", '"# d"', lines[2], "# e"])
    assert len(drafts(data.encode())[0].station.evses) == 2
    broken = data.replace("NO*FJL*E2", "")
    assert refusals(broken.encode())["harbour-1"].startswith("line 8: ")


def test_a_row_over_a_limit_is_refused_and_a_file_over_one_is_invalid() -> None:
    small = Limits(record_bytes_max=200)
    found = read(as_csv(row(), row("NO*FJL*E2", directions="x" * 300)), small)
    assert RecordRefusal("line 3", "it is larger than 200 bytes") in found
    with pytest.raises(InvalidRegister, match="more than 1 rows"):
        read(as_csv(row(), row("NO*FJL*E2")), Limits(records_max=1))
    with pytest.raises(InvalidRegister, match="no line end in 50 bytes"):
        read(as_csv(row()), Limits(record_bytes_max=50))


def test_texts_are_cut_to_a_limit() -> None:
    found = draft(row(name="x" * 300, directions="y" * 3_000))
    assert (len(found.station.name), len(found.station.details.directions or "")) == (255, 512)
    assert len(found.notes) == 2


# GeoJSON


def test_a_feature_is_a_station_with_its_evses() -> None:
    properties = STATION | {
        "images": ["https://a.example/1.jpg", "https://a.example/2.jpg"],
        "payment_card": True,
        "reservable": False,
        "time_limit_min": 120,
        "brand": None,
        "_fid": 7,
        "evses": [
            EVSE | {"capabilities": ["RFID_READER"], "label": 1},
            {
                "uid": "b",
                "payment_card": False,
                "connectors": [{"standard": "Type 2", "max_kw": 22, "max_v": None, "_a": 1}] * 2,
            },
        ],
    }
    (found,) = drafts(collection(feature(properties)))
    station = found.station
    assert found.notes == ()
    assert (station.native_id, station.latitude, station.longitude) == ("harbour-1", 59.9075, 10.7229)
    assert station.details.images == ("https://a.example/1.jpg", "https://a.example/2.jpg")
    assert (station.details.payment, station.details.reservable) == (None, False)
    assert station.details.time_limit_min == 120
    assert [(evse.evse_id, evse.uid, evse.label) for evse in station.evses] == [
        ("NO*FJL*E1", None, "1"),
        (None, "b", None),
    ]
    assert [evse.terms for evse in station.evses] == [
        Terms(payment=Payment(card=card), reservable=False) for card in (True, False)
    ]
    assert [outlet.evse for outlet in station.outlets] == [0, 1, 1]
    assert station.outlets[1].connector == Connector("IEC_62196_T2", 22.0)


def test_a_feature_without_evses_is_read_as_a_row_of_csv() -> None:
    flat = STATION | {"connector1_standard": "CCS"}
    first = feature(flat | {"uid": "a"})
    second = feature(flat | {"uid": "b", "station_id": None}, id="harbour-1")
    (found,) = drafts(collection(first, second))
    assert [evse.uid for evse in found.station.evses] == ["a", "b"]


@pytest.mark.parametrize(
    "write",
    [
        lambda features: collection(*features),
        lambda features: json.dumps(features).encode(),
        lambda features: b"\n".join(json.dumps(each).encode() for each in features),
        lambda features: b"".join(b"\x1e" + json.dumps(each).encode() + b"\n" for each in features),
        lambda features: b"\xef\xbb\xbf" + collection(*features),
    ],
    ids=["collection", "list", "lines", "text sequence", "mark"],
)
def test_features_may_be_in_a_collection_or_a_sequence(write: Any) -> None:
    features = [
        feature(STATION | {"station_id": f"h{number}", "evses": [EVSE | {"evse_id": f"NO*FJL*E{number}"}]})
        for number in range(3)
    ]
    assert [one.station.native_id for one in drafts(write(features))] == ["h0", "h1", "h2"]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (feature(STATION | {"evses": [EVSE]}, geometry=None), "it has no geometry; a Point is needed"),
        (
            feature(STATION | {"evses": [EVSE]}, geometry={"type": "LineString", "coordinates": []}),
            "its geometry is no Point",
        ),
        (
            feature(STATION | {"evses": [EVSE]}, geometry={"type": "Point", "coordinates": [1]}),
            "its coordinates are no [longitude, latitude]",
        ),
        (feature(STATION | {"evses": [EVSE]}, type="Thing"), 'it is no Feature: its type is "Thing"'),
        (feature(STATION | {"evses": {}}), "its property evses is no list of EVSEs, or an empty one"),
        (feature(STATION | {"evses": []}), "its property evses is no list of EVSEs, or an empty one"),
        (feature(STATION | {"evses": [3]}), "EVSE 1: it is no object"),
        (
            feature(STATION | {"evses": [EVSE | {"connectors": 3}]}),
            "its connectors are no list of objects",
        ),
        (
            feature(STATION | {"evses": [EVSE | {"connectors": [{"standard": "CCS"}] * 9}]}),
            "it has 9 connectors; at most 8 are taken",
        ),
        (feature(STATION | {"evses": [{"uid": "a"}]}), "it has no connector1_standard"),
    ],
)
def test_a_feature_that_cannot_be_used_is_refused_with_its_place(broken: object, reason: str) -> None:
    other = feature(STATION | {"station_id": "other", "evses": [EVSE | {"evse_id": "NO*FJL*E9"}]})
    data = collection(other, broken)
    (told,) = refusals(data).values()
    assert told.startswith("feature 2")
    assert reason in told
    assert len(read(data)) == 2


def test_a_feature_without_a_station_id_is_refused_by_its_place() -> None:
    found = refusals(collection(feature({"evses": [EVSE]}), 3, feature({})))
    assert found == {
        "feature 1, EVSE 1": "it has no station_id",
        "feature 2": "it is no object",
        "feature 3": "it has no station_id",
    }


def test_positions_may_be_properties_where_there_is_no_geometry() -> None:
    own = STATION | {"latitude": 59.9, "longitude": 10.7, "evses": [EVSE]}
    (found,) = drafts(collection(feature(own, geometry=None)))
    assert found.station.latitude == 59.9


def test_unknown_members_are_noted_with_the_nearest_one() -> None:
    evse = EVSE | {"lable": "A1", "connectors": [{"standard": "CCS", "max_kwh": 150}]}
    (found,) = drafts(collection(feature(STATION | {"remarque": {"a": 1}, "evses": [evse]})))
    assert found.notes == (
        'feature 1, EVSE 1: the property "remarque" is unknown and was left out',
        'feature 1, EVSE 1: the property "lable" is unknown and was left out; did you mean label?',
        'feature 1, EVSE 1: the member of connectors "max_kwh" is unknown and was left out; did you mean max_kw?',
    )


def test_a_value_of_another_kind_is_noted() -> None:
    (found,) = drafts(collection(feature(STATION | {"parking_fee": {"a": 1}, "evses": [EVSE]})))
    assert "parking_fee" in found.notes[0]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"[]", "the file has no Feature"),
        (b'{"type": "FeatureCollection", "features": []}', "the file has no Feature"),
        (b'{"type": "FeatureCollection", "features": [', "cut off"),
        (b'{"features": [] "x"}', "is not JSON"),
        (b"{} x", "is not GeoJSON"),
        (b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}", "cannot be read"),
    ],
)
def test_what_is_no_geojson_is_told_so(data: bytes, reason: str) -> None:
    assert reason in invalid(data)


def test_the_examples_are_read_without_a_note_and_say_the_same() -> None:
    found: list[Iterable[StationDraft | RecordRefusal]] = []
    for name in ("stations.csv", "stations.geojson"):
        found.append(read((ROOT / "examples" / name).read_bytes()))
        assert all(isinstance(one, StationDraft) and not one.notes for one in found[-1]), found
    assert found[0] == found[1]


def test_a_row_with_a_text_without_measure_is_not_lost_to_its_station() -> None:
    long = row("NO*FJL*E2", directions="x" * 200_000)
    (found,) = stations.parse([as_csv(row(directions=""), long)])
    assert isinstance(found, StationDraft), found
    assert len(found.station.evses) == 2
    assert any("was cut to" in note for note in found.notes), found.notes
