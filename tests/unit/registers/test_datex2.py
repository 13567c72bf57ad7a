from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ladestrom.countries import country
from ladestrom.errors import InvalidRegister
from ladestrom.ports.registry import RecordRefusal, StationDraft
from ladestrom.registers import datex2
from ladestrom.registers.datex2_tables import STANDARDS
from ladestrom.registers.limits import DEFAULT, Limits

SHARED = Path(os.environ.get("LADESTROM_SHARED", Path(__file__).resolve().parents[4] / "shared"))
REFERENCE = SHARED / "reference" / "datex2"
MIB = 1024 * 1024


def words(text: str) -> dict[str, Any]:
    return {"values": [{"lang": "en", "value": text}]}


def place(latitude: Any = 59.9, longitude: Any = 10.7) -> dict[str, Any]:
    coordinates = {"latitude": latitude, "longitude": longitude}
    return {"locPointLocation": {"pointByCoordinates": {"pointCoordinates": coordinates}}}


def point(name: Any = "NO*ABC*E1", **members: Any) -> dict[str, Any]:
    return {"aegiElectricChargingPoint": {"idG": name, **members}}


def station(*points: dict[str, Any], uid: Any = "station-1", **members: Any) -> dict[str, Any]:
    given = {"name": words("Lade"), "locationReference": place(), "refillPoint": list(points or [point()])}
    return {"idG": uid, **given, **members}


def site(*stations: Any, uid: str = "site-1", **members: Any) -> dict[str, Any]:
    return {"idG": uid, "energyInfrastructureStation": list(stations or [station()]), **members}


def table(*sites: Any) -> dict[str, Any]:
    return {
        "payload": {
            "aegiEnergyInfrastructureTablePublication": {
                "publicationCreator": {"country": "no", "nationalIdentifier": "x"},
                "energyInfrastructureTable": [{"idG": "t", "energyInfrastructureSite": list(sites)}],
            }
        }
    }


def read(document: Any, limits: Limits = DEFAULT, step: int = 0) -> list[StationDraft | RecordRefusal]:
    body = document.encode() if isinstance(document, str) else document
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    step = step or max(len(body), 1)
    return list(datex2.parse([body[i : i + step] for i in range(0, len(body), step)], limits=limits))


def one(*points: dict[str, Any], of_site: dict[str, Any] | None = None, **members: Any) -> StationDraft:
    (draft,) = read(table(site(station(*points, **members), **(of_site or {}))))
    assert isinstance(draft, StationDraft), draft
    return draft


def refused(*points: dict[str, Any], **members: Any) -> str:
    (refusal,) = read(table(site(station(*points, **members))))
    assert isinstance(refusal, RecordRefusal)
    return refusal.reason


class TestStations:
    def test_a_station_has_what_it_says_and_else_what_its_site_says(self) -> None:
        address = {
            "city": words("Oslo"),
            "countryCode": "NO",
            "addressLine": [{"order": 0, "type": {"value": "street"}, "text": words("Havnegata 7")}],
        }
        of_site = {
            "name": words("Havna"),
            "operator": {"afacAnOrganisation": {"name": words("Strandvik")}},
            "locationReference": place(60.0, 11.0)["locPointLocation"]
            | {"locLocationExtensionG": {"facilityLocation": {"address": address}}},
        }
        found = one(of_site=of_site, name=None).station
        assert (found.name, found.operator, found.country) == ("Havna", "Strandvik", "NOR")
        assert (found.address, found.city) == ("Havnegata 7", "Oslo")
        assert (found.latitude, found.longitude) == (59.9, 10.7)
        own = one(of_site=of_site, uid="station-2", operator={"name": words("Lade")}).station
        assert (own.operator, own.native_id, own.register, own.uuid) == ("Lade", "station-2", "datex", "")

    def test_the_country_is_the_addresss_else_the_evse_ids_else_the_publishers(self) -> None:
        address = {"locationReference": place() | {"address": {"countryCode": "SE"}}}
        assert one(point("DE*ABC*E1"), **address).station.country == "SWE"
        assert one(point("DE*ABC*E1")).station.country == "DEU"
        assert one(point("charger-77")).station.country == "NOR"

    def test_a_station_of_no_country_is_refused(self) -> None:
        document = {
            "energyInfrastructureTable": {"energyInfrastructureSite": site(station(point("charger-77")))}
        }
        (refusal,) = read(document)
        assert isinstance(refusal, RecordRefusal)
        assert "names a country" in refusal.reason

    @pytest.mark.parametrize(
        "where",
        [
            place(),
            place("59.9", "10.7"),
            {"locAreaLocation": {"coordinatesForDisplay": {"latitude": 59.9, "longitude": 10.7}}},
            {"coordinatesForDisplay": {"latitude": 1, "longitude": 1}} | place(),
            {
                "openlrPointLocationReference": {
                    "locOpenlrGeoCoordinate": {"c": {"latitude": 59.9, "longitude": 10.7}}
                }
            },
            [place(), place(1.0, 1.0)],
        ],
    )
    def test_a_position_is_found_where_it_stands_and_the_exact_one_is_taken(self, where: Any) -> None:
        found = one(locationReference=where).station
        assert (found.latitude, found.longitude) == (59.9, 10.7)

    def test_a_position_may_be_the_points_or_the_entrances(self) -> None:
        assert one(point(locationReference=place(1.5, 2.5)), locationReference=None).station.latitude == 1.5
        entrance = {"entrance": [place(3.5, 4.5)]}
        assert one(of_site=entrance, locationReference=None).station.latitude == 3.5

    @pytest.mark.parametrize("where", [None, {}, place(None), place("x"), place(True), 7, "59.9,10.7"])
    def test_a_station_without_a_position_is_refused(self, where: Any) -> None:
        assert "has a position" in refused(locationReference=where)

    def test_a_position_that_cannot_be_is_refused(self) -> None:
        assert "(0, 0)" in refused(locationReference=place(0, 0))
        assert "nowhere on Earth" in refused(locationReference=place(99, 0))

    @pytest.mark.parametrize("name", [None, "", [], "a@b", "x" * 65, "ø"])
    def test_a_station_without_an_id_that_can_be_one_is_refused(self, name: Any) -> None:
        assert refused(uid=name) == "the station has no id"

    def test_the_second_station_of_an_id_is_refused(self) -> None:
        found = read(table(site(station(), station(point("NO*ABC*E2")))))
        assert [type(each) for each in found] == [StationDraft, RecordRefusal]

    @pytest.mark.parametrize("points", [[], None, [7], [{"aegiHydrogenRefillPoint": {"idG": "h"}}]])
    def test_a_station_without_charging_points_is_refused(self, points: Any) -> None:
        assert "no" in refused(refillPoint=points)

    @pytest.mark.parametrize("odd", [7, "x", [], None, {"energyInfrastructureStation": 7}])
    def test_a_site_that_cannot_be_read_costs_no_other(self, odd: Any) -> None:
        found = read(table(site(), odd, site(station(point("NO*ABC*E2"), uid="station-2"))))
        assert [type(each) for each in found] == [StationDraft, RecordRefusal, StationDraft]

    def test_contact_data_and_persons_are_never_read(self) -> None:
        person = {"afacContactPerson": {"name": "Nobody Atall", "eMail": "nobody@example.org"}}
        organisation = {
            "name": words("Strandvik post@example.org"),
            "organisationUnit": [{"contactInformation": [person]}],
        }
        told = repr(
            one(
                operator=organisation,
                uid="s",
                of_site={"owner": organisation, "name": words("Tel. 22 00 00 00")},
            )
        )
        assert "Strandvik" in told
        for contact in ("Nobody", "@", "example.org", "22 00 00"):
            assert contact not in told


class TestPoints:
    def test_a_points_id_is_its_uid_and_its_evse_id_comes_beside_it(self) -> None:
        identifier = {
            "identifier": "NO*ABC*E7",
            "typeOfIdentifier": {"value": "extendedG", "extendedValueG": "evseId"},
        }
        (evse,) = one(point("cp-0007", externalIdentifier=[identifier])).station.evses
        assert (evse.key, evse.evse_id, evse.uid, evse.party) == ("NOABCE7", "NO*ABC*E7", "cp-0007", "NOABC")

    @pytest.mark.parametrize(
        "members",
        [
            {"evseId": "NO*ABC*E7"},
            {"externalIdentifier": "NO*ABC*E7"},
            {"externalIdentifier": {"identifier": "NO*ABC*E7"}},
            {"externalIdentifier": {"identifier": "NO*ABC*E7", "typeOfIdentifier": "evseId"}},
            {"externalIdentifier": [{"identifier": "x", "typeOfIdentifier": "other"}, "NO*ABC*E7"]},
            {
                "connector": [
                    {"externalIdentifier": [{"identifier": "NO*ABC*E7", "typeOfIdentifier": "evseId"}]}
                ]
            },
        ],
    )
    def test_the_evse_id_is_found_where_senders_put_it(self, members: dict[str, Any]) -> None:
        assert one(point("cp-0007", **members)).station.evses[0].evse_id == "NO*ABC*E7"

    @pytest.mark.parametrize("written", ["NO*ABC*E7", "no-abc-e7", "NOABCE7"])
    def test_an_id_of_the_form_is_the_evse_id(self, written: str) -> None:
        (evse,) = one(point(written)).station.evses
        assert (evse.evse_id, evse.uid, evse.key) == (written, None, "NOABCE7")

    @pytest.mark.parametrize(
        "written", ["charger-77", "BE-ENE-EENECO_G4-1", "7e3b2c11-0000-4000-8000-000000000001"]
    )
    def test_other_ids_are_uids(self, written: str) -> None:
        (evse,) = one(point(written)).station.evses
        assert (evse.evse_id, evse.uid) == (None, written)

    def test_an_id_that_is_short_is_no_key(self) -> None:
        (evse,) = one(point("3")).station.evses
        assert (evse.key, evse.uid) == ("", "3")

    def test_the_party_is_the_operators_id_else_the_evse_ids_else_the_neighbours(self) -> None:
        kind = {"value": "extendedG", "extendedValueG": "operatorId"}
        operator = {
            "afacAnOrganisation": {"externalIdentifier": [{"identifier": "SE*XYZ", "typeOfIdentifier": kind}]}
        }
        points = (point("NO*ABC*E1"), point("charger-77"))
        assert {evse.party for evse in one(*points, operator=operator).station.evses} == {"SEXYZ"}
        assert {evse.party for evse in one(*points).station.evses} == {"NOABC"}
        two = one(point("NO*ABC*E1"), point("NO*DEF*E1"), point("charger-77")).station.evses
        assert [evse.party for evse in two] == ["NOABC", "NODEF", None]

    def test_of_a_point_that_occurs_twice_the_first_is_taken(self) -> None:
        draft = one(point("NO*ABC*E1", connector=[{"connectorType": "chademo"}]), point("no-abc-e1"))
        assert len(draft.station.evses) == 1
        assert draft.station.outlets[0].connector.standard == "CHADEMO"
        assert draft.notes == ('point "no-abc-e1" occurs more than once; the first is taken',)

    def test_a_point_without_an_id_is_left_out_with_a_note(self) -> None:
        draft = one(point(), point(None), point("a@b"))
        assert len(draft.station.evses) == 1
        assert draft.notes[1:] == ("point 2 has no id and was ignored", "point 3 has no id and was ignored")

    def test_an_evse_id_that_cannot_be_one_is_left_out_and_of_several_the_first_is_taken(self) -> None:
        draft = one(
            point("cp-0007", evseId="ø" * 70, externalIdentifier=["NO*ABC*E7", {"identifier": ""}, ""])
        )
        assert draft.station.evses[0].evse_id == "NO*ABC*E7"
        assert "an invalid EVSE id was ignored" in draft.notes
        two = [{"externalIdentifier": f"NO*ABC*E{number}"} for number in (7, 8)]
        draft = one(point("cp-0007", connector=two))
        assert draft.station.evses[0].evse_id == "NO*ABC*E7"
        assert 'a point has several EVSE ids; "NO*ABC*E7" is taken' in draft.notes

    @pytest.mark.parametrize("written", ["XX*ABC", "ABCD", "A", "[three letters]"])
    def test_an_operators_id_that_cannot_be_one_is_no_party(self, written: str) -> None:
        operator = {"operatorId": written, "name": words("Lade")}
        assert one(point("charger-77"), operator=operator).station.evses[0].party is None
        assert one(point("charger-77"), operator=[]).station.evses[0].party is None


class TestConnectors:
    @pytest.mark.parametrize(("word", "standard"), STANDARDS.items())
    def test_every_word_is_an_ocpi_connector_type(self, word: str, standard: str) -> None:
        for written in (word, word.upper(), {"value": word}, {"value": "extendedG", "extendedValueG": word}):
            (outlet,) = one(point(connector=[{"connectorType": written}])).station.outlets
            assert outlet.connector.standard == standard

    def test_the_words_are_those_of_the_schemas(self) -> None:
        path = REFERENCE / "v3.5-afir-json" / "table" / "DATEXII_3_AfirEnergyInfrastructure.json"
        if not path.is_file():
            pytest.skip("the DATEX II schemas are not here")
        schema = json.loads(path.read_text(encoding="utf-8"))
        listed = {word.casefold() for word in schema["definitions"]["ConnectorTypeEnum"]["enum"]}
        assert listed - set(STANDARDS) == {"domestic", "other", "yazaki", "extendedg"}
        assert set(STANDARDS) <= listed

    @pytest.mark.parametrize(
        ("said", "power_kw"),
        [
            (22000, 22.0),
            ("22000.0", 22.0),
            (22, 22.0),
            (350, 350.0),
            (1_000, 1.0),
            (3_750_000, 3750.0),
            (0, None),
            (-5, None),
            (1e300, None),
            ("lots", None),
            (None, None),
            ({"value": 11000}, 11.0),
        ],
    )
    def test_powers_are_watts_and_small_ones_kilowatts(self, said: Any, power_kw: float | None) -> None:
        (outlet,) = one(point(connector=[{"connectorType": "mcs", "maxPowerAtSocket": said}])).station.outlets
        assert outlet.connector.max_kw == power_kw

    def test_a_connector_without_power_has_the_points(self) -> None:
        draft = one(point(availableChargingPower=[3700, 11000], connector=[{"connectorType": "iec62196T2"}]))
        assert draft.station.outlets[0].connector.max_kw == 11.0

    def test_a_point_without_connectors_has_one_of_an_unknown_kind(self) -> None:
        draft = one(point(availableChargingPower=22000))
        assert draft.station.outlets[0].connector.standard == "UNKNOWN"
        assert "unknown type" in draft.notes[0]

    @pytest.mark.parametrize(
        ("word", "notes"), [("other", 0), ("domestic", 0), ("plasma", 1), ("", 1), (None, 1)]
    )
    def test_an_unknown_type_is_noted(self, word: Any, notes: int) -> None:
        assert len(one(point(connector=[{"connectorType": word}])).notes) == notes

    def test_more_connectors_than_a_station_can_have_are_refused(self) -> None:
        connectors = [{"connectorType": "mcs"}] * (DEFAULT.outlets_max + 1)
        assert "more than 1000 connectors" in refused(point(connector=connectors))


class TestDocuments:
    @pytest.mark.parametrize(
        "document",
        [
            table(site()),
            {"messageContainer": {"payload": [table(site())["payload"]], "exchangeInformation": {}}},
            {
                "egiEnergyInfrastructureTablePublication": {
                    "energyInfrastructureTable": {"energyInfrastructureSite": site()}
                }
            },
            [{"big": "x" * 5 * MIB, **table(site())}],
            table(site())
            | {"aegiEnergyInfrastructureStatusPublication": {"energyInfrastructureSiteStatus": [{}]}},
        ],
    )
    def test_the_sites_are_found_in_every_wrapper(self, document: Any) -> None:
        for step in (0, 7_001):
            (draft,) = read(document, step=step)
            assert isinstance(draft, StationDraft)

    @pytest.mark.parametrize(
        ("document", "told"),
        [
            ("", "empty"),
            (" \n", "empty"),
            ("id_pdc_itinerance,x\n", "neither JSON nor XML"),
            ("{}", "no EnergyInfrastructureTablePublication"),
            ('{"aegiEnergyInfrastructureStatusPublication": {}}', "no EnergyInfrastructureTablePublication"),
            ("<payload/>", "no EnergyInfrastructureTablePublication"),
            ("<energyInfrastructureTable>", "cannot be read as XML"),
            ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "document type declaration"),
            ("<a>" * 2_000, "nests deeper"),
            ("[" * 2_000, "wrapped in more than"),
            ('{"payload": [' * 100, "wrapped in more than"),
            (json.dumps(table(site()))[:-1], "cut off"),
            (json.dumps(table(site())) + "{}", "goes on"),
            ('{"payload": {7: 1}}', "no text"),
            ('{"' + "x" * 5 * MIB + '": 1}', "no text"),
            ('{"payload": {"a\\x": 1}}', "not valid JSON"),
            ('{"publicationCreator": {"country": no}}', "not valid JSON"),
            ('{"payload": [1, 2', "no JSON|cut off"),
            ("<a b='" + "x" * 5 * MIB + "'/>", "a tag or comment"),
        ],
    )
    def test_what_is_no_table_as_a_whole_is_invalid(self, document: str, told: str) -> None:
        for step in (0, 70_001):
            with pytest.raises(InvalidRegister, match=told):
                read(document, step=step)

    def test_a_table_without_sites_is_read(self) -> None:
        assert read(table()) == []
        assert read({"payload": [], "a": {}, "energyInfrastructureTable": [{}, 7, []]}) == []
        assert read("<energyInfrastructureTable id='x'/>") == []

    def test_a_site_that_is_no_json_is_refused_and_a_creator_that_is_too_large_passed_over(self) -> None:
        large = json.dumps({"publicationCreator": {"country": "x" * 5 * MIB}})[:-1]
        told = f'{large}, "energyInfrastructureSite": [{{"a": nul}}, {json.dumps(site())}]}}'
        assert [type(each) for each in read(told, step=70_001)] == [RecordRefusal, StationDraft]

    def test_texts_and_objects_nested_too_deep_say_nothing(self) -> None:
        deep: Any = "Lade"
        for _ in range(20):
            deep = [deep]
        assert one(name=deep).station.name == "station-1"
        assert "has a position" in refused(locationReference=nested(20) | {"x": [[nested(20)]]})

    @pytest.mark.parametrize("form", ["json", "xml"])
    def test_a_site_over_a_limit_is_refused_and_costs_no_other(self, form: str) -> None:
        limits = Limits(record_bytes_max=20_000, record_depth_max=20)
        large: dict[str, Any] = {"x": "y" * 30_000}
        deep: dict[str, Any] = {"x": nested(30)}
        sites = [
            site(),
            site(station(point("NO*ABC*E2"), uid="s2"), **large),
            site(**deep),
            site(station(point("NO*ABC*E3"), uid="s3")),
        ]
        document = table(*sites) if form == "json" else in_xml(sites)
        found = read(document, limits, step=5_000)
        assert [type(each) for each in found] == [StationDraft, RecordRefusal, RecordRefusal, StationDraft]
        assert [each.reason[:13] for each in found if isinstance(each, RecordRefusal)] == [
            "it is larger ",
            "it nests deep",
        ]

    def test_more_stations_than_a_register_has_are_too_many(self) -> None:
        with pytest.raises(InvalidRegister, match="more than 1 stations"):
            read(table(site(station(), station(uid="s2"))), Limits(records_max=1))

    def test_xml_and_json_of_one_table_are_the_same_stations(self) -> None:
        sites = [
            site(
                station(
                    point("NO*ABC*E1", connector=[{"connectorType": "chademo", "maxPowerAtSocket": 50000}]),
                    point("cp-2", evseId="NO*ABC*E2"),
                ),
                uid="s",
                operator={"afacAnOrganisation": {"name": words("Strandvik")}},
            )
        ]
        for each in sites:
            each["energyInfrastructureStation"][0]["locationReference"] |= {
                "address": {"countryCode": "NO", "city": words("By")}
            }
        assert read(in_xml(sites)) == read(table(*sites))


def nested(depth: int) -> dict[str, Any]:
    return {"x": nested(depth - 1)} if depth else {}


def in_xml(sites: list[dict[str, Any]]) -> str:
    body = "".join(element("energyInfrastructureSite", each) for each in sites)
    return f"<p type='EnergyInfrastructureTablePublication'><energyInfrastructureTable>{body}</energyInfrastructureTable></p>"


def element(name: str, value: Any) -> str:
    """The same in XML: wrappers that name a type are attributes there."""
    if isinstance(value, list):
        return "".join(element(name, each) for each in value)
    if not isinstance(value, dict):
        return f"<e:{name}>{value}</e:{name}>"
    if name == "values":
        return f"<values><value lang='{value['lang']}'>{value['value']}</value></values>"
    kind = ""
    for key, inner in value.items():
        if key.startswith(("aegi", "afac", "loc")) and key[4:5].isupper() | key[3:4].isupper():
            kind = f" xsi:type='x:{key.removeprefix('aegi').removeprefix('afac').removeprefix('loc')}'"
            value = inner | {other: each for other, each in value.items() if other != key}
            break
    own = f" id='{value['idG']}'" if "idG" in value else ""
    inside = "".join(element(key, each) for key, each in value.items() if key != "idG")
    return f"<e:{name}{own}{kind}>{inside}</e:{name}>"


@pytest.mark.parametrize("name", ["EnergyInfrastructureTablePublication.xml"])
def test_the_published_sample_is_read(name: str) -> None:
    path = REFERENCE / "samples" / name
    if not path.is_file():
        pytest.skip("the DATEX II samples are not here")
    found = read(path.read_bytes(), step=1_000)
    assert [type(each) for each in found] == [StationDraft, StationDraft]
    for draft in found:
        assert isinstance(draft, StationDraft)
        assert draft.station.country == country("de")
        assert len(draft.station.evses) == 2
        contact = draft.station.details.contact
        assert contact is not None
        assert repr(draft).count("@") == 1, "the operator's own address"
        assert contact.email == "email@operator.com"
    assert found == read(path.read_bytes())
