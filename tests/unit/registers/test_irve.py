from __future__ import annotations

import csv
import io
import json

import msgspec
import pytest

from ladestrom.errors import InvalidRegister
from ladestrom.model import Connector
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.registers import irve
from ladestrom.registers.limits import DEFAULT, Limits


def row(point: object = "FRABCE1", station: object = "FRABCP1", **fields: object) -> dict[str, object]:
    return {
        "nom_operateur": "Recharge Rivemont",
        "id_station_itinerance": station,
        "nom_station": "Gare",
        "adresse_station": "1 place de la Gare",
        "coordonneesXY": "[2.5, 48.5]",
        "id_pdc_itinerance": point,
        "puissance_nominale": "22.0",
        "prise_type_2": "True",
        "date_maj": "2025-03-01",
    } | fields


def json_lines(*rows: object) -> bytes:
    return b"".join(json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in rows)


def as_csv(*rows: dict[str, object], delimiter: str = ",", end: str = "\n") -> bytes:
    out = io.StringIO()
    names = list(dict.fromkeys(name for one in rows for name in one))
    writer = csv.DictWriter(out, names, delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def read(data: bytes, limits: Limits = DEFAULT) -> list[StationDraft | RecordRefusal]:
    return list(irve.parse([data], limits=limits))


def drafts(*rows: object) -> list[StationDraft]:
    found = read(json_lines(*rows))
    assert all(isinstance(one, StationDraft) for one in found), found
    return [one for one in found if isinstance(one, StationDraft)]


def draft(*rows: object) -> StationDraft:
    (one,) = drafts(*rows)
    return one


def refusal(one: object) -> RecordRefusal:
    found = [
        refused for refused in read(json_lines(one, row("FRZZZE9"))) if isinstance(refused, RecordRefusal)
    ]
    assert len(found) == 1
    return found[0]


def connectors(**fields: object) -> list[Connector]:
    return [outlet.connector for outlet in draft(row(**fields)).station.outlets]


# Stations and points


def test_rows_of_one_station_are_one_station_wherever_they_stand() -> None:
    first, second = drafts(
        row("FRABCE1"), row("FRABCE2", "FRABCP2"), row("FRABCE3"), row("FRABCE4", "FRABCP2")
    )
    assert (first.station.native_id, [evse.key for evse in first.station.evses]) == (
        "FRABCP1",
        ["FRABCE1", "FRABCE3"],
    )
    assert (second.station.native_id, [evse.key for evse in second.station.evses]) == (
        "FRABCP2",
        ["FRABCE2", "FRABCE4"],
    )
    assert [outlet.evse for outlet in first.station.outlets] == [0, 1]


def test_a_station_is_as_its_rows_say() -> None:
    one = draft(row(consolidated_commune="Rivemont", nom_enseigne="Éclair", id_pdc_local="77"))
    assert one.notes == ()
    assert one.readings == ()
    station = one.station
    assert (station.uuid, station.register, station.native_id) == ("", "irve", "FRABCP1")
    assert (station.name, station.operator, station.address) == (
        "Gare",
        "Recharge Rivemont",
        "1 place de la Gare",
    )
    assert (station.city, station.country, station.latitude, station.longitude) == (
        "Rivemont",
        "FRA",
        48.5,
        2.5,
    )
    (evse,) = station.evses
    assert (evse.key, evse.station, evse.evse_id, evse.uid, evse.party) == (
        "FRABCE1",
        "",
        "FRABCE1",
        "77",
        "FRABC",
    )


def test_the_brand_stands_for_a_name_or_operator_that_is_missing() -> None:
    one = draft(row(nom_station="", nom_operateur=None, nom_enseigne="Éclair")).station
    assert (one.name, one.operator) == ("Éclair", "Éclair")
    one = draft(row(nom_station=None, nom_operateur=None, adresse_station=None)).station
    assert (one.name, one.operator, one.address, one.city) == ("FRABCP1", None, None, None)


def test_ids_compare_without_separators_and_case_and_are_kept_as_written() -> None:
    one = draft(row("FR*ABC*E1", "FR*ABC*P1"), row("frabce2", "frabcp1"))
    assert one.station.native_id == "FRABCP1"
    assert [(evse.key, evse.evse_id) for evse in one.station.evses] == [
        ("FRABCE1", "FR*ABC*E1"),
        ("FRABCE2", "frabce2"),
    ]


@pytest.mark.parametrize(
    ("station", "letters"),
    [("FRABCP1", "FRA"), ("MCABCP1", "MCO"), ("ESABCP1", "ESP"), ("DKABCP1", "DAN"), ("XXABCP1", "FRA")],
)
def test_the_country_is_that_of_the_stations_id_else_of_the_points(station: str, letters: str) -> None:
    assert draft(row("FRABCE1", station)).station.country == letters


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"id_pdc_itinerance": None}, "it has no id_pdc_itinerance"),
        ({"id_station_itinerance": ""}, "it has no id_station_itinerance"),
        ({"id_pdc_itinerance": "Non concerné"}, "nothing tells it from others"),
        ({"id_pdc_itinerance": "NON CONCERNE"}, "nothing tells it from others"),
        ({"id_station_itinerance": "non-concerné"}, "not of the schema's form"),
        ({"id_station_itinerance": "Nonconcerné"}, "nothing tells it from others"),
        ({"id_pdc_itinerance": "77"}, "not of the schema's form"),
        ({"id_pdc_itinerance": "FRABCE1,FRABCE2"}, "not of the schema's form"),
        ({"id_pdc_itinerance": "FR" + "A" * 50}, "not of the schema's form"),
        ({"id_pdc_itinerance": ["FRABCE1"]}, "it has no id_pdc_itinerance"),
        ({"id_pdc_itinerance": "XXABCE1", "id_station_itinerance": "XXABCP1"}, "no countries"),
        ({"coordonneesXY": None}, "cannot be read"),
        ({"coordonneesXY": "[NaN, NaN]"}, "cannot be read"),
        ({"coordonneesXY": "[0, 0]"}, "none was entered"),
        ({"coordonneesXY": "[200, 100]"}, "nowhere on Earth"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_and_costs_no_other(
    fields: dict[str, object], reason: str
) -> None:
    assert reason in refusal(row() | fields).reason


def test_a_refused_row_is_named_by_its_point_else_by_its_line() -> None:
    assert refusal(row("FR*ABC*E1", coordonneesXY="")).record == "FRABCE1"
    assert refusal(row("Non concerné")).record == "line 1"


# Rows that contradict each other


def test_a_point_that_occurs_twice_is_read_from_its_newest_row() -> None:
    old = row(puissance_nominale="7", date_maj="2024-12-31")
    new = row(puissance_nominale="11", date_maj="2025-01-01")
    for rows in ((old, new), (new, old)):
        one = draft(*rows)
        assert [outlet.connector.max_kw for outlet in one.station.outlets] == [11.0]
        assert one.notes == ("point FRABCE1 occurs more than once; the row of 2025-01-01 is taken",)


@pytest.mark.parametrize("date", ["2025-01-01", "", None, "soon"])
def test_of_equally_new_rows_of_a_point_the_later_counts(date: object) -> None:
    one = draft(row(puissance_nominale="7", date_maj=date), row(puissance_nominale="11", date_maj=date))
    assert [outlet.connector.max_kw for outlet in one.station.outlets] == [11.0]
    assert len(one.notes) == 1


def test_a_point_in_two_stations_belongs_to_that_of_the_newest_row() -> None:
    rows = [
        row("FRABCE1", "FRABCP1", date_maj="2025-01-01"),
        row("FRABCE2", "FRABCP1"),
        row("FRABCE1", "FRABCP2", date_maj="2025-02-01"),
        row("FRABCE1", "FRABCP1", date_maj="2024-01-01"),
    ]
    first, second = drafts(*rows)
    assert [evse.key for evse in first.station.evses] == ["FRABCE2"]
    assert [evse.key for evse in second.station.evses] == ["FRABCE1"]
    assert (
        first.notes
        == second.notes
        == ("point FRABCE1 occurs more than once; the row of 2025-02-01 is taken",)
    )


def test_a_station_that_lost_all_its_points_is_refused() -> None:
    found = read(json_lines(row(date_maj="2025-01-01"), row(station="FRABCP2", date_maj="2025-02-01")))
    assert found[0] == RecordRefusal("FRABCP1", "newer rows put all of its points into other stations")
    assert isinstance(found[1], StationDraft)


def test_where_rows_of_a_station_disagree_the_newest_counts_and_it_is_noted() -> None:
    old = row("FRABCE1", nom_station="Gare", coordonneesXY="[2.5, 48.5]", date_maj="2024-12-31")
    new = row("FRABCE2", nom_station="Gare nord", coordonneesXY="[2.6, 48.6]", date_maj="01/01/2025")
    for rows in ((old, new), (new, old), (old, new, old)):
        one = draft(*rows)
        assert (one.station.name, one.station.latitude, one.station.longitude) == ("Gare nord", 48.6, 2.6)
        assert one.notes[-1] == "its rows disagree on its name, position; the row of 2025-01-01 is taken"


def test_what_the_newest_row_does_not_say_is_taken_from_the_older() -> None:
    old = row("FRABCE1", adresse_station="1 place", date_maj="2024-12-31")
    new = row("FRABCE2", adresse_station="", date_maj="2025-01-01")
    for rows in ((old, new), (new, old)):
        one = draft(*rows)
        assert (one.station.address, one.notes) == ("1 place", ())


# Fields


@pytest.mark.parametrize(
    "written", ["[2.5, 48.5]", "2.5,48.5", "[48.5, 2.5]", "48.5, 2.5", "(2.5 48.5)", [2.5, 48.5]]
)
def test_positions_in_every_form_and_order_are_read(written: object) -> None:
    one = draft(row(coordonneesXY=written))
    assert (one.station.latitude, one.station.longitude) == (48.5, 2.5)


@pytest.mark.parametrize(("longitude", "latitude"), [(55.5, -21.1), (-61.5, 16.2), (166.4, -22.3)])
def test_positions_overseas_are_read_in_either_order(longitude: float, latitude: float) -> None:
    for written in (f"[{longitude}, {latitude}]", f"[{latitude}, {longitude}]"):
        one = draft(row(coordonneesXY=written)).station
        assert (one.latitude, one.longitude) == (latitude, longitude)


def test_a_position_elsewhere_is_kept_and_noted_for_a_french_station() -> None:
    elsewhere = "[-3.75, 40.5]"
    assert draft(row(coordonneesXY=elsewhere)).notes == (
        "its position lies outside the register's countries",
    )
    assert draft(row("ESABCE1", "ESABCP1", coordonneesXY=elsewhere)).notes == ()


@pytest.mark.parametrize(
    ("said", "power_kw"),
    [
        ("50.0", 50.0),
        ("7,4", 7.4),
        (22, 22.0),
        ("2.299999952316284", 2.3),
        ("1000", 1000.0),
        ("22000", 22.0),
        (3700, 3.7),
        ("0", None),
        ("-22", None),
        ("1e9", None),
        ("22 kW", None),
        (True, None),
        ([22], None),
        ("", None),
        (None, None),
    ],
)
def test_power_is_in_kilowatts_and_great_numbers_are_watts(said: object, power_kw: float | None) -> None:
    assert connectors(puissance_nominale=said) == [Connector("IEC_62196_T2", power_kw)]


def test_powers_that_were_not_taken_as_written_are_noted() -> None:
    assert draft(row(puissance_nominale="22000")).notes == ('the power "22000" is taken for watts',)
    assert draft(row(puissance_nominale="beaucoup")).notes == (
        'the power "beaucoup" is not valid and was ignored',
    )
    assert draft(row(puissance_nominale=None)).notes == ()


def test_each_plug_is_a_connector() -> None:
    plugs = dict.fromkeys(
        ("prise_type_ef", "prise_type_2", "prise_type_combo_ccs", "prise_type_chademo", "prise_type_autre"),
        "True",
    )
    found = connectors(**plugs, puissance_nominale="150")
    assert found == [
        Connector("DOMESTIC_E", 3.7),
        Connector("IEC_62196_T2", 43.0),
        Connector("IEC_62196_T2_COMBO", 150.0),
        Connector("CHADEMO", 150.0),
        Connector("UNKNOWN", 150.0),
    ]


def test_a_plug_that_is_the_fastest_of_its_point_has_the_power_of_the_point() -> None:
    assert connectors(prise_type_ef=True, puissance_nominale=22) == [
        Connector("DOMESTIC_E", 3.7),
        Connector("IEC_62196_T2", 22.0),
    ]
    assert connectors(puissance_nominale=150) == [Connector("IEC_62196_T2", 150.0)]
    assert connectors(prise_type_2=False, prise_type_ef=True, puissance_nominale=4) == [
        Connector("DOMESTIC_E", 4.0)
    ]
    assert connectors(prise_type_combo_ccs=True, puissance_nominale=None) == [
        Connector("IEC_62196_T2", None),
        Connector("IEC_62196_T2_COMBO", None),
    ]


def test_a_point_without_plugs_has_one_of_an_unknown_kind() -> None:
    one = draft(row(prise_type_2="False"))
    assert [outlet.connector for outlet in one.station.outlets] == [Connector("UNKNOWN", 22.0)]
    assert one.notes == ("a point names no plug; it has one of an unknown kind",)


def test_what_is_no_truth_value_is_false_and_noted() -> None:
    assert draft(row(prise_type_chademo="peut-être")).notes == (
        'prise_type_chademo "peut-être" is neither true nor false; false is taken',
    )


def test_contacts_of_owners_are_not_read() -> None:
    assert draft(row(contact_amenageur="aide@example.org +33 1 02 03 04 05")) == draft(row())


def test_contact_data_in_other_fields_is_taken_out_of_them() -> None:
    one = draft(row(nom_station="Gare aide@example.org", adresse_station="1 place, tél. tel:+33100000000"))
    assert one.station.name == "Gare"
    assert "+33" not in (one.station.address or "")
    assert len(one.notes) == 2


def test_a_station_with_more_connectors_than_the_limit_is_refused() -> None:
    limits = msgspec.structs.replace(DEFAULT, outlets_max=1)
    found = read(json_lines(row("FRABCE1"), row("FRABCE2"), row("FRABCE3", "FRABCP2")), limits)
    assert found[0] == RecordRefusal(
        "FRABCP1", "it has more than 1 connectors; one station has at most 1: split it into several stations"
    )
    assert isinstance(found[1], StationDraft)


# Files


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_csv_reads_as_json_lines(delimiter: str, end: str, mark: bytes) -> None:
    rows = [row(nom_station='Gare "est", voie; 2'), row("FRABCE2", "FRABCP2", adresse_station="deux\nlignes")]
    assert read(mark + as_csv(*rows, delimiter=delimiter, end=end)) == drafts(*rows)


def test_column_names_are_read_in_any_case_and_others_left_alone() -> None:
    data = (
        as_csv(row(zzz="x"))
        .replace(b"id_pdc_itinerance", b" ID_PDC_Itinerance ")
        .replace(b"coordonneesXY", b"coordonneesxy")
    )
    assert read(data) == drafts(row())


def test_empty_lines_and_rows_are_left_out() -> None:
    assert read(b"\n \n" + json_lines(row()).replace(b"\n", b"\n\n  \n")) == drafts(row())
    data = as_csv(row())
    assert read(data + b"\n,,,,,,,,\n\n") == drafts(row())


def test_a_last_line_needs_no_end() -> None:
    assert read(json_lines(row()).rstrip()) == drafts(row())
    assert read(as_csv(row()).rstrip()) == drafts(row())


def test_text_that_is_no_utf_8_is_windows_1252() -> None:
    rows = [row(nom_station="Gare œuvre n° 2"), row("FRABCE2", "FRABCP2")]
    for data in (json_lines(*rows), as_csv(*rows)):
        assert read(data.decode().encode("cp1252")) == drafts(*rows)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not valid JSON"),
        (b'{"id_pdc_itinerance": }', "not valid JSON"),
        (b"[1]", "not valid JSON object"),
        (b"null", "not valid JSON object"),
        (b"7", "not valid JSON object"),
        (b"{}", "it has no id_station_itinerance"),
        (b'{"a": ' * 5_000 + b"1" + b"}" * 5_000, "not valid JSON"),
        (b'{"id_pdc_itinerance": ' + b"9" * 5_000 + b"}", "not valid JSON"),
        (b'{"coordonneesXY": [NaN, NaN]}', "not valid JSON"),
        (b'{"nom_station": "' + b"x" * 5_000_000 + b'"}', "larger than 4194304 bytes"),
    ],
)
def test_a_line_that_is_no_row_is_refused_and_costs_no_other(line: bytes, reason: str) -> None:
    found = read(json_lines(row()) + line + b"\n" + json_lines(row("FRABCE2")))
    assert isinstance(found[0], RecordRefusal)
    assert found[0].record == "line 2"
    assert reason in found[0].reason
    assert found[1:] == drafts(row(), row("FRABCE2"))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a,b,c", "it has 3 fields, and the header 9"),
        (b"a,b,c,d,e,f,g,h,i,j", "it has 10 fields, and the header 9"),
        (b'"a"b,c', "no valid CSV"),
        (b"a\rb,c", "no valid CSV"),
        (b"x" * 200_000, "it has 1 fields, and the header 9"),
        (b"x" * 5_000_000, "larger than 4194304 bytes"),
    ],
)
def test_a_csv_line_that_is_no_row_is_refused_and_costs_no_other(line: bytes, reason: str) -> None:
    head, first, second = as_csv(row(), row("FRABCE2")).splitlines(keepends=True)
    found = read(head + first + line + b"\n" + second)
    assert isinstance(found[0], RecordRefusal)
    assert found[0].record == "line 3"
    assert reason in found[0].reason
    assert found[1:] == drafts(row(), row("FRABCE2"))


def test_a_quotation_mark_that_is_missing_never_costs_the_rows_behind_it() -> None:
    data = (
        b"id_station_itinerance;id_pdc_itinerance;coordonneesXY;nom_station\n"
        b"FRABCP1;FRABCE1;[2.3, 48.8];Un\n"
        b'FRABCP2;FRABCE2;[2.3, 48.8];"Deux\n'
        b"FRABCP3;FRABCE3;[2.3, 48.8];Trois\n"
        b'FRABCP4;FRABCE4;[2.3, 48.8];Quatre"\n'
    )
    with pytest.raises(InvalidRegister, match=r"line 5 .* quotation mark is missing"):
        read(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\n \r\n", "empty"),
        (b"[{}]", "neither CSV nor JSON lines"),
        (b"<html>", "neither CSV nor JSON lines"),
        (b"a,b\n1,2\n", "no column id_station_itinerance, id_pdc_itinerance, coordonneesXY"),
        (b"id_pdc_itinerance;coordonneesXY\n", "no column id_station_itinerance"),
        (b'"id_pdc', "header"),
        (b'"a"b\n', "header"),
        (b'{"a": 1}\n{"b": 2}\n', 'no row of the file has an "id_pdc_itinerance"'),
        (b"x" * 5_000_000, "no line end in its first 4194304 bytes"),
        (b"\x1f\x8b\x08\x00\x00", "no column"),
    ],
)
def test_what_is_no_file_of_charge_points_is_invalid(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidRegister, match=reason):
        read(data)


@pytest.mark.parametrize("data", [json_lines(row(), row("FRABCE2")), as_csv(row(), row("FRABCE2"))])
def test_a_file_that_is_cut_off_within_a_row_is_invalid(data: bytes) -> None:
    last = data.rstrip().rfind(b"\n") + 1
    ends = range(last + 1, len(data) - 1)
    fields = data[last:].split(b",")
    if not data.startswith(b"{"):
        # Within its last field, a row that is cut off cannot be told from one that is whole.
        ends = range(last + 1, len(data) - len(fields[-1]))
    for end in ends:
        with pytest.raises(InvalidRegister, match="cut off"):
            read(data[:end])


def test_a_file_that_is_cut_off_within_quotes_is_invalid() -> None:
    with pytest.raises(InvalidRegister, match="cut off"):
        read(as_csv(row()) + b'FRABC,"quoted\nand, never, closed\n')


def test_a_file_over_a_limit_is_invalid() -> None:
    data = json_lines(row(), row("FRABCE2"))
    with pytest.raises(InvalidRegister, match="more than 1 rows"):
        read(data, msgspec.structs.replace(DEFAULT, records_max=1))
    with pytest.raises(InvalidRegister, match="larger than 100 bytes"):
        read(data, msgspec.structs.replace(DEFAULT, document_bytes_max=100))


@pytest.mark.parametrize("data", [json_lines(row(), {}, row("FRABCE2")), as_csv(row(), row("FRABCE2"))])
def test_a_file_reads_the_same_however_it_is_cut(data: bytes) -> None:
    whole = read(data)
    for step in (1, 2, 3, 64):
        assert list(irve.parse(data[i : i + step] for i in range(0, len(data), step))) == whole
