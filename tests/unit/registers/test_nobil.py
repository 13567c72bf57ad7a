from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import msgspec
import pytest

from ladestrom.errors import InvalidRegister
from ladestrom.model import Connector, Status
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.registers import nobil
from ladestrom.registers.limits import DEFAULT, Limits

Json = object


def attribute(
    number: str, *, choice: object = "", text: object = "", entered: object = ""
) -> dict[str, Json]:
    return {
        number: {"attrtypeid": number, "attrname": "", "attrvalid": choice, "trans": text, "attrval": entered}
    }


def connector(
    kind: object = "32",
    *,
    power: object = "11",
    uid: object = "",
    evse_id: object = "",
    status: tuple[object, object, object] | None = None,
) -> dict[str, Json]:
    found = attribute("4", choice=kind) | attribute("5", choice=power)
    found |= attribute("27", entered=uid) | attribute("28", entered=evse_id)
    if status:
        for number, entered in zip(("8", "9", "16"), status, strict=True):
            found |= attribute(number, entered=entered)
    return found


def station(*connectors: object, conn: Json = None, **fields: object) -> dict[str, Json]:
    metadata: dict[str, Json] = {
        "id": 17,
        "name": "Kaia",
        "Street": "Havnegata",
        "House_number": "7",
        "City": "STRANDVIK",
        "Owned_by": "Strandvik Lading",
        "Position": "(59.5,10.25)",
        "Land_code": "NOR",
        "International_id": "NOR_00017",
    }
    numbered = {str(number): one for number, one in enumerate(connectors or [connector()], start=1)}
    return {"csmd": metadata | fields, "attr": {"st": {}, "conn": numbered if conn is None else conn}}


def document(*stations: object) -> bytes:
    return json.dumps({"Provider": "NOBIL.no", "apiver": "3", "chargerstations": stations}).encode()


def read(data: bytes, limits: Limits = DEFAULT) -> list[StationDraft | RecordRefusal]:
    return list(nobil.parse([data], limits=limits))


def draft(*connectors: object, conn: Json = None, **fields: object) -> StationDraft:
    (one,) = read(document(station(*connectors, conn=conn, **fields)))
    assert isinstance(one, StationDraft), one
    return one


def refusal(*connectors: object, conn: Json = None, **fields: object) -> RecordRefusal:
    (one,) = read(document(station(*connectors, conn=conn, **fields)))
    assert isinstance(one, RecordRefusal), one
    return one


# The document


@pytest.mark.parametrize(
    "envelope",
    [
        lambda stations: {"chargerstations": stations},
        lambda stations: [{"chargerstations": stations}],
        lambda stations: {"a": {"b": ["]", "}"]}, "CHARGERSTATIONS": stations, "Rights": "x"},
        lambda stations: [{"chargerstations": []}, {"chargerstations": stations}],
        lambda stations: {"chargerstations": {str(number): one for number, one in enumerate(stations)}},
        lambda stations: {"error": None, "chargerstations": stations},
    ],
)
def test_every_envelope_gives_its_stations(envelope: Callable[[object], object]) -> None:
    data = json.dumps(envelope([station(), station(International_id="NOR_00018")])).encode()
    drafts = [one for one in read(b"\xef\xbb\xbf \r\n" + data + b"\n") if isinstance(one, StationDraft)]
    assert [one.station.uuid for one in drafts] == ["NOR_00017", "NOR_00018"]


def test_a_document_without_stations_is_read() -> None:
    assert read(b'{"chargerstations": []}') == []
    assert read(b'{"chargerstations": {}}') == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b" \n\t ", "empty"),
        (b"PK\x03\x04", "neither JSON nor XML"),
        (b"\x1f\x8b\x08\x00", "neither JSON nor XML"),
        (b"{}", 'has no "chargerstations"'),
        (b"[{}]", 'has no "chargerstations"'),
        (b"[]", "expected"),
        (b'{"chargerstations": null}', "expected"),
        (b'{"chargerstations": []} x', "goes on after the end"),
        (b'{"chargerstations": []}{"chargerstations": []}', "goes on after the end"),
        (b'{"Provider": nobil, "chargerstations": []}', "not valid JSON"),
        (b'{"chargerstations": [}]}', "not JSON"),
        (b'{"chargerstations": [,]}', "not JSON"),
        (b'{"chargerstations" []}', '":" expected'),
        (b'{"error": "Invalid key: tell post@example.org"}', '"Invalid key: tell"'),
        (b'[{"error": {"code": 7}}]', "NOBIL answered with an error"),
    ],
)
def test_what_is_no_document_of_stations_is_invalid(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidRegister, match=reason):
        read(data)


def test_a_document_that_is_cut_off_anywhere_is_invalid() -> None:
    data = json.dumps([{"Provider": 'N"]}\\', "chargerstations": [station(), station()], "n": 1.5}]).encode()
    for end in range(len(data)):
        with pytest.raises(InvalidRegister):
            read(data[:end])
    assert len(read(data)) == 2


def test_what_else_the_envelope_holds_does_not_matter_however_large_it_is() -> None:
    data = (
        b'{"Rights": "' + b"x" * 5_000_000 + b'", "chargerstations": [], "n": [' + b"1," * 3_000_000 + b"1]}"
    )
    assert read(data) == []


def test_a_document_over_a_limit_is_invalid() -> None:
    data = document(station(), station(International_id="NOR_00018"))
    with pytest.raises(InvalidRegister, match="more than 1 stations"):
        read(data, msgspec.structs.replace(DEFAULT, records_max=1))
    with pytest.raises(InvalidRegister, match="larger than 100 bytes"):
        read(data, msgspec.structs.replace(DEFAULT, document_bytes_max=100))
    with pytest.raises(InvalidRegister, match="nests deeper"):
        read(b'{"chargerstations": [' + b'{"a":' * 100_000)


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b'{"csmd": nothing}', "not valid JSON"),
        (b'{"csmd": {"id": 1}, }', "not valid JSON"),
        (b'{"csmd": {"name": "\xff"}}', "not valid JSON"),
        (b'{"csmd": {"name": "\\ud800"}}', "not valid JSON"),
        (b'{"csmd": {"id": ' + b"9" * 5_000 + b"}}", "not valid JSON"),
        (b'{"csmd": {"id": 1e999}}', "not valid JSON"),
        (b'{"csmd": {"Position": NaN}}', "not valid JSON"),
        (b'{"csmd": ' + b'{"a":' * 100 + b"1" + b"}" * 101, "nests deeper than 32"),
        (b"[" * 100 + b"]" * 100, "nests deeper than 32"),
        (b'{"csmd": {"name": "' + b"x" * 5_000_000 + b'"}}', "larger than 4194304 bytes"),
        (b"17", "no object"),
        (b"null", "no object"),
        (b'"text"', "no object"),
        (b"[]", "no object"),
        (b"{}", "neither an International_id nor an id"),
        (b'{"csmd": [], "attr": 7}', "neither an International_id nor an id"),
    ],
)
def test_a_bad_record_is_refused_and_costs_no_other(record: bytes, reason: str) -> None:
    good = json.dumps(station()).encode()
    found = read(b'{"chargerstations": [' + record + b", " + good + b"," + record + b"]}")
    assert [type(one) for one in found] == [RecordRefusal, StationDraft, RecordRefusal]
    assert isinstance(found[0], RecordRefusal)
    assert found[0].record == "record 1"
    assert reason in found[0].reason


# Identity


@pytest.mark.parametrize(
    ("fields", "uuid", "letters"),
    [
        ({}, "NOR_00017", "NOR"),
        ({"International_id": "swe_00017", "Land_code": "swe"}, "SWE_00017", "SWE"),
        ({"International_id": "NOR_17"}, "NOR_00017", "NOR"),
        ({"International_id": "NOR_123456"}, "NOR_123456", "NOR"),
        ({"International_id": "SWE_00017", "Land_code": ""}, "SWE_00017", "SWE"),
        ({"International_id": None, "Land_code": "FIN"}, "FIN_00017", "FIN"),
        ({"International_id": "", "Land_code": "dan"}, "DAN_00017", "DAN"),
        ({"International_id": "?", "Land_code": "DNK", "id": "123456"}, "DAN_123456", "DAN"),
        ({"International_id": "DAN_00017", "Land_code": "DNK"}, "DAN_00017", "DAN"),
        (
            {"International_id": "ISL_00017", "Land_code": "IS", "Position": "(64.1,-21.9)"},
            "ISL_00017",
            "ISL",
        ),
    ],
)
def test_the_uuid_is_the_international_id_else_country_and_id(
    fields: dict[str, object], uuid: str, letters: str
) -> None:
    one = draft(**fields).station
    assert (one.uuid, one.country) == (uuid, letters)
    assert all(evse.station == uuid for evse in one.evses)


@pytest.mark.parametrize(
    "fields",
    [
        {"International_id": None, "Land_code": "XX"},
        {"International_id": None, "Land_code": None},
        {"International_id": None, "id": None},
        {"International_id": None, "id": 0},
        {"International_id": None, "id": True},
        {"International_id": None, "id": "1; 2"},
        {"International_id": "NOR_00000", "id": None},
        {"International_id": "XXX_00017", "Land_code": ""},
    ],
)
def test_a_station_without_identity_is_refused(fields: dict[str, object]) -> None:
    refusal(**fields)


def test_countries_that_contradict_each_other_are_noted() -> None:
    one = draft(Land_code="SWE")
    assert (one.station.uuid, one.station.country) == ("NOR_00017", "SWE")
    assert one.notes == ("its Land_code says SWE, its International_id NOR; the Land_code is taken",)


def test_the_first_of_two_stations_with_one_id_is_taken() -> None:
    first, second = read(document(station(name="First"), station(name="Second")))
    assert isinstance(first, StationDraft)
    assert first.station.name == "First"
    assert second == RecordRefusal(
        "NOR_00017", "another station of the file has the same id; the first is taken"
    )


def test_a_station_that_was_refused_does_not_take_its_id_from_the_next() -> None:
    first, second = read(document(station(Position=""), station()))
    assert isinstance(first, RecordRefusal)
    assert isinstance(second, StationDraft)


def test_the_native_id_is_nobils_number() -> None:
    assert draft().station.native_id == "17"
    assert draft(id=None).station.native_id == "NOR_00017"
    assert draft().station.register == "nobil"


# What is kept of the text


def test_text_fields_are_cleaned() -> None:
    one = draft(
        name="Kaia &amp; \r\n brygga",
        Operator="Str&oslash;m",
        Street="Havnegata\r\n",
        House_number=7,
        City=" BY ",
    )
    assert one.station.name == "Kaia & brygga"
    assert one.station.operator == "Strøm"
    assert one.station.address == "Havnegata 7"
    assert one.station.city == "BY"
    assert one.notes == ()


def test_the_owner_stands_for_an_operator_that_is_not_named() -> None:
    assert draft(Operator="").station.operator == "Strandvik Lading"
    assert draft(Operator=None, Owned_by=False).station.operator is None


def test_a_station_without_name_is_called_by_its_address_else_by_its_id() -> None:
    assert draft(name="").station.name == "Havnegata 7"
    assert draft(name=None, Street="", House_number="").station.name == "NOR_00017"
    assert draft(name=False).notes == ("it has no name; its address, else its id, stands for it",)


def test_names_are_cut_to_the_limit() -> None:
    one = draft(name="x" * 1_000, Street="y" * 1_000)
    assert (len(one.station.name), len(one.station.address or "")) == (255, 255)
    assert one.notes == ("its address was cut to 255 characters", "its name was cut to 255 characters")


@pytest.mark.parametrize(
    "field",
    ["Contact_info", "User_comment", "Image", "Created_by", "contact_email"],
)
def test_contact_data_and_comments_are_not_kept(field: str) -> None:
    assert draft(**{field: "post@example.org +47 90 00 00 00"}) == draft()


def test_contact_data_in_other_fields_is_taken_out_of_them() -> None:
    one = draft(name="Kaia tlf 90 00 00 00", Owned_by="post@example.org", City="BY tel:+4790000000")
    assert (one.station.name, one.station.operator, one.station.city) == ("Kaia", None, "BY")
    assert one.notes == tuple(
        f"contact data was left out of its {what}" for what in ("name", "operator", "city", "owner")
    )
    one = draft(Description_of_location="Ved kaia. Ring Kari, 90 00 00 00")
    assert one.station.details.directions == "Ved kaia. Ring Kari"


# Position


def test_a_position_whose_numbers_are_exchanged_is_put_right_and_noted() -> None:
    one = draft(Position="(10.25,59.5)")
    assert (one.station.latitude, one.station.longitude) == (59.5, 10.25)
    assert one.notes == ("latitude and longitude were exchanged",)


def test_a_position_outside_the_north_is_kept_and_noted_for_a_nordic_station() -> None:
    assert draft(Position="(48.0,2.0)").notes == ("its position lies outside the register's countries",)
    assert draft(Position="(48.0,2.0)", Land_code="FRA", International_id="FRA_00017").notes == ()


@pytest.mark.parametrize(
    "position", ["(0,0)", "", None, "(,)", "(NaN,NaN)", "(59.5)", "(200,300)", 59.5, {}, True]
)
def test_a_station_without_position_is_refused(position: object) -> None:
    assert "position" in refusal(Position=position).reason


# Connectors


def test_connectors_are_in_the_order_of_their_numbers() -> None:
    kinds = ["30", "39", "32", "14", "31", "40", "29", "87", "60", "50", "41"]
    conn = {str(number): connector(kind) for number, kind in enumerate(kinds, start=1)}
    one = draft(conn=dict(sorted(conn.items())))
    assert list(dict(sorted(conn.items()))) != list(conn)
    assert [outlet.connector.standard for outlet in one.station.outlets] == [
        "CHADEMO",
        "IEC_62196_T2_COMBO",
        "IEC_62196_T2",
        "DOMESTIC_F",
        "IEC_62196_T1",
        "TESLA_S",
        "TESLA_R",
        "MCS",
        "IEC_62196_T2",
        "IEC_62196_T2",
        "IEC_62196_T2_COMBO",
    ]
    assert [outlet.evse for outlet in one.station.outlets] == list(range(11))


@pytest.mark.parametrize("numbers", [("1", "3"), ("0", "1"), ("a", "1"), ("2", "1", "x", ""), ("01", "1")])
def test_connectors_with_other_numbers_are_kept_and_noted(numbers: Sequence[str]) -> None:
    one = draft(conn={number: connector() for number in numbers})
    assert len(one.station.outlets) == len(numbers)
    assert one.notes == ("its connectors are not numbered from 1 without gaps; they were numbered anew",)


@pytest.mark.parametrize("broken", [None, 7, "text", [], {}, {"4": 7}, {"4": {"attrvalid": []}}, [None, 7]])
def test_a_broken_connector_keeps_its_place(broken: object) -> None:
    one = draft(connector("30"), broken, connector("39"))
    assert [outlet.connector.standard for outlet in one.station.outlets] == [
        "CHADEMO",
        "UNKNOWN",
        "IEC_62196_T2_COMBO",
    ]
    assert one.station.outlets[1].connector == Connector("UNKNOWN", None)


def test_attributes_in_a_list_are_found_by_their_type() -> None:
    one = draft(list(connector("30").values()))
    assert one.station.outlets[0].connector == Connector("CHADEMO", 22.0)
    own = station()
    own["attr"] = {"st": list(attribute("7", choice="1").values()), "conn": {"1": connector()}}
    (found,) = read(document(own))
    assert isinstance(found, StationDraft)
    assert found.station.details.parking_fee is True


@pytest.mark.parametrize("conn", [{}, [], "", 7])
def test_a_station_without_connectors_is_refused(conn: object) -> None:
    assert refusal(conn=conn).reason == "it has no connectors, so there is nothing that could have a status"


def test_a_station_that_dispenses_only_fuel_is_refused() -> None:
    assert refusal(connector("70"), connector("82")).reason == "it dispenses fuel, not electricity"
    assert len(draft(connector("70"), connector("32")).station.outlets) == 2


def test_a_station_with_more_connectors_than_the_limit_is_refused() -> None:
    limits = msgspec.structs.replace(DEFAULT, outlets_max=2)
    assert len(read(document(station(*[connector()] * 2)), limits)) == 1
    (one,) = read(document(station(*[connector()] * 3)), limits)
    assert one == RecordRefusal(
        "NOR_00017",
        "it has more than 2 connectors; one station has at most 2: split it into several stations",
    )


@pytest.mark.parametrize(
    ("number", "text", "standard"),
    [
        ("", "Type 2", "IEC_62196_T2"),
        ("999", "CCS/Combo", "IEC_62196_T2_COMBO"),
        (None, "CHAdeMO + Combo + AC-Type2", "IEC_62196_T2_COMBO"),
        ("", "CHAdeMO + Type 2", "CHADEMO"),
        ("", "Type1/Type2", "IEC_62196_T2"),
        ("", "Type 1", "IEC_62196_T1"),
        ("", "Type 2 + Schuko", "IEC_62196_T2"),
        ("", "Schuko CEE 7/4", "DOMESTIC_F"),
        ("", "Tesla Connector Roadster", "TESLA_R"),
        ("", "Tesla Connector Model", "TESLA_S"),
        ("", "MCS", "MCS"),
        (32, "", "IEC_62196_T2"),
        ("0", "Unspecified", "UNKNOWN"),
        ("", "Marechal", "UNKNOWN"),
    ],
)
def test_a_connector_type_is_known_by_its_id_else_by_its_text(
    number: object, text: str, standard: str
) -> None:
    one = draft(attribute("4", choice=number, text=text))
    assert one.station.outlets[0].connector.standard == standard


def test_several_plugs_in_one_connector_stay_one_connector_and_are_noted() -> None:
    one = draft(connector("43"), connector("43"), connector("42"))
    assert [outlet.connector.standard for outlet in one.station.outlets] == [
        "IEC_62196_T2_COMBO",
        "IEC_62196_T2_COMBO",
        "CHADEMO",
    ]
    assert len(one.notes) == 2


@pytest.mark.parametrize(
    ("number", "text", "power_kw"),
    [
        ("11", "22 kW - 400V 3-phase max 32A", 22.0),
        ("7", "230V 1-phase max 16A", 3.6),
        ("38", "62,5 kW DC", 62.5),
        ("999", "62,5 kW DC", 62.5),
        ("999", "135 kW DC", 135.0),
        ("", "22 kW - 400V 3-phase max 32A", 22.0),
        (11, "", 22.0),
        ("20", "Less then 100 kW + 43 kW - 500VDC max 200A + 400V 3-phase max 63A", 43.0),
        ("999", "1.2 MW / 1200kW", 1200.0),
        ("0", "Unspecified", None),
        ("26", "350 bar", None),
        ("999", "0 kW", None),
        ("999", "99999 kW", None),
        ("999", "999999999 kW", None),
        (None, None, None),
        ([], {}, None),
    ],
)
def test_power_is_known_by_its_id_else_read_out_of_the_text(
    number: object, text: object, power_kw: float | None
) -> None:
    one = draft(attribute("4", choice="32") | attribute("5", choice=number, text=text))
    assert one.station.outlets[0].connector.max_kw == power_kw


# EVSEs

UID = "7f0c2b1e-5d6a-4c7b-8e9f-0a1b2c3d4e5f"
OTHER = "de4bce12-5d6a-4c7b-8e9f-0a1b2c3d4e5f"


def points(one: StationDraft) -> list[tuple[str, str | None, str | None, str | None]]:
    return [(evse.key, evse.evse_id, evse.uid, evse.party) for evse in one.station.evses]


def places(one: StationDraft) -> list[int]:
    return [outlet.evse for outlet in one.station.outlets]


def test_a_connector_without_ids_is_an_evse_whose_key_the_registry_makes() -> None:
    one = draft(connector(), connector())
    assert points(one) == [("", None, None, None)] * 2
    assert places(one) == [0, 1]


def test_connectors_with_the_same_evse_id_in_any_form_are_one_evse() -> None:
    one = draft(
        connector(evse_id="NO*ABC*E1"),
        connector(evse_id="NO*ABC*E2"),
        connector(evse_id="no-abc-e1"),
        connector(),
    )
    assert points(one) == [
        ("NOABCE1", "NO*ABC*E1", None, "NOABC"),
        ("NOABCE2", "NO*ABC*E2", None, "NOABC"),
        ("", None, None, None),
    ]
    assert places(one) == [0, 1, 0, 2]


def test_connectors_with_the_same_uid_are_one_evse() -> None:
    one = draft(connector(uid=UID), connector(uid=OTHER), connector(uid=UID.upper()))
    assert points(one) == [("", None, UID.upper(), None), ("", None, OTHER, None)]
    assert places(one) == [0, 1, 0]


def test_a_connector_with_only_the_uid_joins_the_evse_that_has_it() -> None:
    one = draft(connector(uid=UID), connector(uid=UID, evse_id="NO*ABC*E1"))
    assert points(one) == [("NOABCE1", "NO*ABC*E1", UID, "NOABC")]
    assert places(one) == [0, 0]


def test_a_uid_that_several_evse_ids_share_is_their_chargers() -> None:
    one = draft(connector(uid=UID, evse_id="NO*ABC*E1"), connector(uid=UID, evse_id="NO*ABC*E2"))
    assert points(one) == [("NOABCE1", "NO*ABC*E1", None, "NOABC"), ("NOABCE2", "NO*ABC*E2", None, "NOABC")]
    assert one.notes == (
        "several EVSE ids share a uid, which is taken for that of their charger and left out",
    )


def test_an_evse_id_with_several_uids_keeps_the_first() -> None:
    one = draft(connector(uid=UID, evse_id="NO*ABC*E1"), connector(uid=OTHER, evse_id="NO*ABC*E1"))
    assert points(one) == [("NOABCE1", "NO*ABC*E1", UID, "NOABC")]
    assert one.notes == ("EVSE NO*ABC*E1 has several uids; the first is taken",)


@pytest.mark.parametrize(
    ("attribute_27", "attribute_28", "evse_id", "uid"),
    [
        (UID, "NO*ABC*E1", "NO*ABC*E1", UID),
        ("NO*ABC*E1", "charger-77", "NO*ABC*E1", "charger-77"),
        ("NO*ABC*E1", "", "NO*ABC*E1", None),
        ("", "NO*ABC*E1", "NO*ABC*E1", None),
        ("NO*ABC*E1", "NO*ABC*E1", "NO*ABC*E1", None),
        ("NO*ABC*E1", "NOABCE1", "NOABCE1", None),
        ("", UID, None, UID),
        (OTHER, "", None, OTHER),
        (UID, "CHARGER77", None, UID),
        ("deabce0123456789abcdef01", "", None, "deabce0123456789abcdef01"),
        ("", "+49*810*000*438", "+49*810*000*438", None),
        ("", "NO*LONG1*E77", "NO*LONG1*E77", None),
    ],
)
def test_evse_id_and_uid_are_told_apart_by_their_form(
    attribute_27: str, attribute_28: str, evse_id: str | None, uid: str | None
) -> None:
    one = draft(connector(uid=attribute_27, evse_id=attribute_28))
    assert (one.station.evses[0].evse_id, one.station.evses[0].uid) == (evse_id, uid)


def test_a_short_uid_groups_connectors_but_is_no_key() -> None:
    one = draft(connector(uid="1"), connector(uid="1"), connector(uid=2))
    assert points(one) == [("", None, None, None)] * 2
    assert places(one) == [0, 0, 1]
    assert one.notes == (
        "its EVSE uids are numbers within the station; they only tell what belongs together",
    )


@pytest.mark.parametrize("value", ["a@b.example", "x" * 65, "æøå-æøå", "-", "*-*"])
def test_what_cannot_be_an_id_is_left_out_and_noted(value: str) -> None:
    one = draft(connector(uid=value))
    assert points(one) == [("", None, None, None)]
    assert "is not a valid id" in one.notes[0]
    assert "@" not in one.notes[0]


@pytest.mark.parametrize(
    ("evse_id", "party"),
    [
        ("NO*ABC*E1", "NOABC"),
        ("no-abc-e1", "NOABC"),
        ("NOABCE1", "NOABC"),
        ("FR*PD1*ECORGLG*2", "FRPD1"),
        ("+49*810*000*438", None),
        ("NO*LONG1*E77", None),
        ("XX*ABC*E1", None),
    ],
)
def test_the_party_is_that_of_an_evse_id_of_the_operator_form(evse_id: str, party: str | None) -> None:
    assert draft(connector(evse_id=evse_id)).station.evses[0].party == party


def test_the_party_of_the_ocpi_location_stands_in_where_the_evse_id_names_none() -> None:
    location = {"ocpidb_mapping_stasjon_id": "US#TSL#335b4f24-0000-4000-8000-000000000000"}
    assert draft(connector(), **location).station.evses[0].party == "USTSL"
    assert draft(connector(evse_id="NO*ABC*E1"), **location).station.evses[0].party == "NOABC"
    assert draft(connector(), ocpidb_mapping_stasjon_id="335b4f24").station.evses[0].party is None


# Readings

AT = "2024-05-06T05:00:00Z"
AT_MS = 1_714_971_600_000


def readings(*connectors: object) -> list[tuple[int, Status, bool, int, str]]:
    return [(i, r.status, r.error, r.observed_at, r.raw) for i, r in draft(*connectors).readings]


@pytest.mark.parametrize(
    ("said", "failed", "status", "error"),
    [
        ("0", "0", Status.AVAILABLE, False),
        ("1", "0", Status.CHARGING, False),
        ("2", "0", Status.RESERVED, False),
        ("0", "1", Status.OUTOFORDER, True),
        ("1", "1", Status.OUTOFORDER, True),
        ("", "1", Status.OUTOFORDER, True),
        ("9", "1", Status.OUTOFORDER, True),
        ("0", "", Status.AVAILABLE, False),
    ],
)
def test_attributes_8_and_9_are_a_status(said: str, failed: str, status: Status, error: bool) -> None:
    assert readings(connector(status=(said, failed, AT))) == [(0, status, error, AT_MS, f"{said}/{failed}")]


def test_a_status_may_stand_in_the_list_of_values_alone() -> None:
    one = connector() | attribute("8", choice="1", entered=False) | attribute("9", choice=0)
    assert readings(one | attribute("16", entered=AT)) == [(0, Status.CHARGING, False, AT_MS, "1/0")]


@pytest.mark.parametrize(
    "at", [AT, "2024-05-06T07:00:00+02:00", "2024-05-06T05:00:00", "2024-05-06 05:00:00.000Z"]
)
def test_the_time_of_a_status_is_iso_8601_and_utc_where_it_says_nothing_else(at: str) -> None:
    assert readings(connector(status=("0", "0", at)))[0][3] == AT_MS


@pytest.mark.parametrize(
    "at",
    [
        "",
        None,
        False,
        1714971600,
        "yesterday",
        "2024-05-06",
        "2024-13-06T05:00:00Z",
        "1970-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "x" * 9_999,
    ],
)
def test_a_status_without_a_readable_time_is_not_used_and_noted(at: object) -> None:
    one = draft(connector(status=("0", "0", at)))
    assert one.readings == ()
    assert one.notes == ("connector 1 has a status without a readable time; it is not used",)


def test_an_unknown_status_is_not_used_and_noted() -> None:
    one = draft(connector(status=("7", "0", AT)), connector(status=("", "0", AT)))
    assert one.readings == ()
    assert one.notes == ('connector 1 has an unknown status "7"; it is not used',)


def test_of_several_connectors_of_an_evse_the_newest_status_counts() -> None:
    same = {"evse_id": "NO*ABC*E1"}
    first = connector(**same, status=("1", "0", "2024-05-06T05:00:01Z"))
    assert readings(first, connector(**same, status=("0", "0", AT)))[0][1] is Status.CHARGING
    assert (
        readings(first, connector(**same, status=("0", "0", "2024-05-06T05:00:02Z")))[0][1]
        is Status.AVAILABLE
    )


def test_of_equally_new_statuses_an_error_counts_else_an_occupied_one() -> None:
    same = {"evse_id": "NO*ABC*E1"}
    vacant, busy, broken = (
        connector(**same, status=(*said, AT)) for said in (("0", "0"), ("1", "0"), ("0", "1"))
    )
    for order in ((vacant, busy), (busy, vacant)):
        assert readings(*order)[0][1] is Status.CHARGING
    for order in ((busy, broken), (broken, busy)):
        assert readings(*order)[0][1] is Status.OUTOFORDER


def test_a_reading_names_its_evse_by_place_and_by_key() -> None:
    one = draft(
        connector(), connector(evse_id="NO*ABC*E1", status=("0", "0", AT)), connector(status=("0", "0", AT))
    )
    assert [(i, reading.evse) for i, reading in one.readings] == [(1, "NOABCE1"), (2, "")]


def test_a_document_reads_the_same_however_it_is_cut() -> None:
    data = document(station(), station(id=1, International_id="SWE_1", name='"]}\\'), {"csmd": 1}, "x")
    whole = read(data)
    for step in (1, 2, 3, 5, 64):
        assert list(nobil.parse(data[i : i + step] for i in range(0, len(data), step))) == whole
