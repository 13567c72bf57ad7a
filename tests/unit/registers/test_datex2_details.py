"""What a DATEX II table says of a station beside its place, its points and their connectors' types."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
import referencing
from hypothesis import given
from hypothesis import strategies as st

from ladestrom.core.drafts import fault
from ladestrom.model import NEVER, Connector
from ladestrom.ports.registry import StationDraft
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
from ladestrom.registers import datex2
from ladestrom.registers import datex2_tables as tables

SHARED = Path(os.environ.get("LADESTROM_SHARED", Path(__file__).resolve().parents[4] / "shared"))
REFERENCE = SHARED / "reference" / "datex2"
GOLDEN = Path(__file__).parents[2] / "golden" / "registers"


def words(text: Any) -> dict[str, Any]:
    return {"values": [{"lang": "en", "value": text}]}


def where(**members: Any) -> dict[str, Any]:
    coordinates = {"pointByCoordinates": {"pointCoordinates": {"latitude": 59.9, "longitude": 10.7}}}
    return {"locPointLocation": coordinates | members}


def point(uid: str = "NO*ABC*E1", **members: Any) -> dict[str, Any]:
    return {"aegiElectricChargingPoint": {"idG": uid, **members}}


def draft(*points: Any, of_site: dict[str, Any] | None = None, **members: Any) -> StationDraft:
    station: dict[str, Any] = {"idG": "station-1", "name": words("Lade"), "locationReference": where()}
    station |= {"refillPoint": list(points) or [point()], **members}
    site: dict[str, Any] = {"idG": "site-1", "energyInfrastructureStation": [station], **(of_site or {})}
    body = json.dumps({"energyInfrastructureTable": [{"energyInfrastructureSite": [site]}]})
    (found,) = datex2.parse([body.encode()])
    assert isinstance(found, StationDraft), found
    return found


def details(*points: Any, of_site: dict[str, Any] | None = None, **members: Any) -> Details:
    return draft(*points, of_site=of_site, **members).station.details


def listed(name: str, words: Any) -> dict[str, Any]:
    return {name: [{"value": word} for word in words]}


def enumerations() -> dict[str, set[str]]:
    """The words of the schemas' enumerations, in small letters."""
    folder = REFERENCE / "v3.5-afir-json" / "table"
    if not folder.is_dir():
        pytest.skip("the DATEX II schemas are not here")
    found: dict[str, set[str]] = {}
    for path in folder.glob("*.json"):
        for name, definition in json.loads(path.read_text(encoding="utf-8"))["definitions"].items():
            if "enum" in definition:
                found.setdefault(name, set()).update(word.casefold() for word in definition["enum"])
    return found


class TestTables:
    @pytest.mark.parametrize(
        ("enumeration", "table", "without_meaning"),
        [
            ("EnergyInfrastructureSiteTypeEnum", tables.PLACES, ""),
            ("ConnectorFormatTypeEnum", tables.FORMATS, ""),
            ("MeansOfPaymentEnum", tables.MEANS, "unknown"),
            ("AuthenticationAndIdentificationEnum", tables.AUTHENTICATION, "noaccess overtheair plc"),
            ("ReservationTypeEnum", tables.RESERVATION, "unknown unspecified"),
            (
                "AccessibilityEnum",
                tables.ACCESSIBILITY,
                "marking orientationsystemforblindpeople other unknown",
            ),
            (
                "ChargingPointUsageTypeEnum",
                tables.USAGE,
                """
                electricaldevices electricboat electricvehicle motorhomeorcaravansupply other
                overheadlinedrivenvehicles
                """,
            ),
        ],
    )
    def test_a_table_has_every_word_of_its_enumeration_that_means_something(
        self, enumeration: str, table: dict[str, Any], without_meaning: str
    ) -> None:
        listed = enumerations()[enumeration] - {"extendedg"}
        assert listed - set(table) == set(without_meaning.split())
        assert set(table) <= listed

    def test_every_word_for_vehicles_users_and_currents_is_one_of_the_schemas(self) -> None:
        known = enumerations()
        assert set(tables.VEHICLES) <= known["VehicleTypeEnum"] | known["EuVehicleCategoryEnum"]
        assert (
            set(tables.USERS) | tables.DISABLED | {tables.NOBODY, tables.NAMELESS_USERS}
            <= known["UserTypeEnum"]
        )
        assert set(tables.POWER_TYPES) <= known["ChargingModeEnum"] | known["CurrentTypeEnum"]
        assert known["NutsCodeTypeEnum"] >= tables.LOCAL_AREAS

    def test_every_capability_is_one_of_ocpi(self) -> None:
        capabilities = {each for _, each in (*tables.AUTHENTICATION.values(), *tables.MEANS.values())}
        assert capabilities - {""} == {
            "CHIP_CARD_SUPPORT",
            "CONTACTLESS_CARD_SUPPORT",
            "CREDIT_CARD_PAYABLE",
            "DEBIT_CARD_PAYABLE",
            "PED_TERMINAL",
            "RFID_READER",
        }
        ways = {each for each, _ in (*tables.AUTHENTICATION.values(), *tables.MEANS.values())}
        assert ways - {""} <= set(Payment.__struct_fields__)


class TestStation:
    def test_of_what_is_not_said_nothing_is_known(self) -> None:
        found = draft()
        assert (found.station.details, found.updated_at, found.notes) == (
            Details(),
            NEVER,
            ("a point has no connectors; one of unknown type is assumed",),
        )
        (evse,) = found.station.evses
        assert (evse.label, evse.max_kw, evse.floor, evse.capabilities, evse.terms) == (
            (None,) * 3 + ((), None)
        )

    def test_a_station_is_as_new_as_the_newest_of_its_parts(self) -> None:
        of_site = {"lastUpdated": "2026-11-01T00:00:00Z"}
        assert draft(of_site=of_site).updated_at == 1_793_491_200_000
        assert draft(of_site=of_site, lastUpdated="2026-11-02T00:00:00+00:00").updated_at == 1_793_577_600_000
        newest = point(lastUpdated="2026-11-03T00:00:00")
        assert draft(newest, of_site=of_site).updated_at == 1_793_664_000_000

    @pytest.mark.parametrize(
        "said", [None, "", "soon", "1971-01-01T00:00:00Z", 7, {}, [], "2026-99-01T00:00:00Z"]
    )
    def test_a_time_that_is_none_is_not_known(self, said: Any) -> None:
        assert draft(lastUpdated=said).updated_at == NEVER

    def test_other_ids_of_a_station_are_kept_with_whose_they_are(self) -> None:
        identifiers = [
            {
                "identifier": "7",
                "typeOfIdentifier": {"value": "extendedG", "extendedValueG": "stationIdBNetzA"},
            },
            {"identifier": "platform-7"},
            {"identifier": "platform-7"},
            {"identifier": "station-1"},
            {"identifier": "x" * 65},
            {"identifier": "a\u202eb"},
            {"identifier": "9", "otherTypeOfIdentifier": "nobil"},
            {"identifier": "10", "otherTypeOfIdentifier": "Some <i>platform</i>"},
        ]
        others = (Id("datex", "platform-7"), Id("nobil", "9"), Id("datex", "10"))
        found = details(stationIdBNetzA="8", externalIdentifier=identifiers)
        assert found.ids == (Id("bnetza", "8"), Id("bnetza", "7"), *others)

    def test_ids_are_limited(self) -> None:
        assert len(details(externalIdentifier=[{"identifier": f"x{n}"} for n in range(1_000)]).ids) == 20

    def test_brand_and_owner_are_the_stations_else_the_sites(self) -> None:
        of_site = {"brand": words("Strand"), "owner": {"afacAnOrganisation": {"legalName": words("Havn AS")}}}
        found = details(of_site=of_site)
        assert (found.brand, found.owner) == ("Strand", "Havn AS")
        assert details(of_site=of_site, owner={"afacAnOrganisation": {"name": words("Eier")}}).owner == "Eier"

    def test_an_address_has_its_parts(self) -> None:
        facility: dict[str, Any] = {
            "timeZone": "europe/oslo",
            "address": {
                "postcode": "0123",
                "city": words("Oslo"),
                "countryCode": "NO",
                "addressLine": [
                    {"type": {"value": "region"}, "text": words("Østlandet")},
                    {"type": {"value": "town"}, "text": words("Grorud")},
                    {"type": {"value": "floor"}, "text": words("-2")},
                ],
            },
            "nutsArea": [
                {"nutsCodeType": {"value": "nuts1Code"}, "nutsCode": "NO0"},
                {"nutsCodeType": {"value": "nuts3Code"}, "nutsCode": "NO081"},
                {"nutsCodeType": {"value": "lau2Code"}, "nutsCode": "0301"},
            ],
        }
        found = draft(locationReference=where(locLocationExtensionG={"facilityLocation": facility})).station
        kept = found.details
        assert (kept.postal_code, kept.municipality, kept.municipality_code) == ("0123", "Grorud", "0301")
        assert (kept.region, kept.time_zone, found.city) == ("Østlandet", "Europe/Oslo", "Oslo")
        assert found.evses[0].floor == "-2"
        del facility["address"]["addressLine"], facility["address"]["city"]
        kept = details(locationReference=where(locLocationExtensionG={"facilityLocation": facility}))
        assert (kept.region, kept.municipality) == ("NO0", None)

    @pytest.mark.parametrize("said", ["+01:00", "-03:30", "Z", "", None])
    def test_a_difference_to_utc_is_no_time_zone(self, said: Any) -> None:
        found = draft(locationReference=where(facilityLocation={"timeZone": said}))
        assert found.station.details.time_zone is None
        assert not any("time zone" in note for note in found.notes)

    def test_a_time_zone_that_is_not_known_is_left_out_and_noted(self) -> None:
        found = draft(locationReference=where(facilityLocation={"timeZone": "Europe/Atlantis"}))
        assert found.station.details.time_zone is None
        assert any("Europe/Atlantis" in note for note in found.notes)

    def test_directions_are_the_stations_description_else_the_entrances(self) -> None:
        told = {
            "supplementaryPositionalDescription": {"locationDescription": words("Ring 900 00 000 og gå inn")}
        }
        entrance = {"entrance": [{"locPointLocation": told}]}
        assert details(of_site=entrance).directions == "Ring og gå inn"
        own = {"locationDescription": words("Bak låven")}
        found = details(of_site=entrance, locationReference=where(**own))
        assert found.directions == "Bak låven"
        assert details(additionalInformation=[words("Kaffe hos Kari")]).directions is None
        long = {"locationDescription": words("x" * 100_000)}
        assert len(details(locationReference=where(**long)).directions or "") == 512

    def test_pictures_are_addresses_that_a_browser_may_be_sent_to(self) -> None:
        links = [
            {"urlLinkAddress": "https://example.org/1.jpg"},
            {"urlLinkAddress": "javascript:alert(1)"},
            "http://example.org/2.jpg",
            {"urlLinkAddress": "https://example.org/1.jpg"},
            {"urlLinkAddress": {}},
            7,
        ]
        page = [{"urlLinkAddress": "https://example.org/3.png", "urlLinkType": {"value": "image"}}]
        found = details(photoUrl=links, informationWebsite=page)
        assert found.images == (
            "https://example.org/1.jpg",
            "http://example.org/2.jpg",
            "https://example.org/3.png",
        )
        many = [{"urlLinkAddress": f"https://example.org/{n}.jpg"} for n in range(1_000)]
        assert len(details(photoUrl=many).images) == 20

    @pytest.mark.parametrize(("word", "place"), tables.PLACES.items())
    def test_the_type_of_the_site_is_the_place(self, word: str, place: Place) -> None:
        assert details(of_site={"typeOfSite": {"value": word}}).place is place
        assert details(of_site={"typeOfSite": {"value": "moon"}}).place is None


class TestContact:
    @staticmethod
    def organisation(*contacts: dict[str, Any], **members: Any) -> dict[str, Any]:
        return {
            "afacAnOrganisation": {
                "name": words("Lade"),
                "organisationUnit": [{"contactInformation": list(contacts)}],
                **members,
            }
        }

    def test_the_helpdesk_comes_first_then_the_operator(self) -> None:
        operator = self.organisation(
            {"afacContactInformation": {"telephoneNumber": "+47 1111", "eMail": "post@example.org"}},
            linkToGeneralInformation="https://example.org",
        )
        helpdesk = self.organisation({"afacContactInformation": {"telephoneNumber": "+47 2222"}})
        assert details(operator=operator).contact == Contact(
            "+47 1111", "post@example.org", "https://example.org"
        )
        assert details(operator=operator, of_site={"helpdesk": helpdesk}).contact == Contact(
            "+47 2222", "post@example.org", "https://example.org"
        )

    @pytest.mark.parametrize(
        "contact",
        [
            {"afacContactPerson": {"telephoneNumber": "+47 1111", "eMail": "kari@example.org"}},
            {"@type": "fac:ContactPerson", "telephoneNumber": "+47 1111"},
            {"telephoneNumber": "+47 1111", "name": "Kari"},
            {"telephoneNumber": "+47 1111", "firstName": "Kari"},
            {"telephoneNumber": "+47 1111", "title": words("Dr.")},
            {"telephoneNumber": "+47 1111", "position": words("Boss")},
            {"afacContactInformation": {"telephoneNumber": "call us", "eMail": "nowhere"}},
        ],
    )
    def test_how_a_person_is_reached_is_never_read(self, contact: dict[str, Any]) -> None:
        found = draft(operator=self.organisation(contact), helpdesk=self.organisation(contact))
        assert found.station.details.contact is None
        assert "Kari" not in repr(found)
        assert "@" not in repr(found)

    def test_a_web_site_of_the_facility_serves_where_the_operator_names_none(self) -> None:
        page = [{"urlLinkAddress": "https://example.org/lade"}]
        assert details(informationWebsite=page).contact == Contact(web="https://example.org/lade")
        assert details(informationWebsite=[{"urlLinkAddress": "ftp://example.org"}]).contact is None


class TestTerms:
    @pytest.mark.parametrize(
        ("users", "access", "text"),
        [
            ([], None, None),
            (["unknown"], None, None),
            (["allUsers"], Access.PUBLIC, None),
            (["allUsers", "residents"], Access.PUBLIC, None),
            (["residents"], Access.RESIDENTS, None),
            (["employees", "staff"], Access.EMPLOYEES, "employees, staff"),
            (["hotelGuests"], Access.VISITORS, "hotelGuests"),
            (["subscribers"], Access.RESTRICTED, "subscribers"),
            (["other"], Access.RESTRICTED, None),
            (["other", "subscribers"], Access.RESTRICTED, "subscribers"),
            (["residents", "employees"], Access.RESTRICTED, "residents, employees"),
            (["reservationHolders"], Access.APPOINTMENT, "reservationHolders"),
        ],
    )
    def test_whom_a_site_is_for_is_its_access(
        self, users: list[str], access: Access | None, text: str | None
    ) -> None:
        found = details(of_site=listed("exclusiveUsers", users))
        assert (found.access, found.access_text) == (access, text)

    @pytest.mark.parametrize(
        ("said", "accessibility"),
        [
            (["barrierFreeAccessible"], Accessibility.ACCESSIBLE),
            (["none", "wheelChairAccessible"], Accessibility.ACCESSIBLE),
            (["none"], Accessibility.NOT_ACCESSIBLE),
            (["unknown"], None),
            (["marking"], None),
        ],
    )
    def test_accessibility_is_the_best_that_is_said(
        self, said: list[str], accessibility: Accessibility | None
    ) -> None:
        assert details(**listed("accessibility", said)).accessibility is accessibility

    def test_parking_spaces_for_disabled_people_alone_are_reserved(self) -> None:
        theirs = {"numberOfSpaces": 1, **listed("userSpecific", ["personsWithDisabilities"])}
        none = {"numberOfSpaces": 0, **listed("userSpecific", ["personsWithDisabilities"])}
        others = {"numberOfSpaces": 4}
        for spaces, expected in [
            ([theirs], Accessibility.RESERVED),
            ([theirs, others], Accessibility.ACCESSIBLE),
            ([none, others], None),
            ([none], None),
        ]:
            assert details(dedicatedParkingSpaces=spaces).accessibility is expected
        alone = details(of_site=listed("exclusiveUsers", ["wheelchairUsers"]))
        assert (alone.accessibility, alone.access) == (Accessibility.RESERVED, Access.RESTRICTED)

    def test_vehicles_are_those_of_the_station_else_of_its_parking_spaces(self) -> None:
        spaces = [
            {"numberOfSpaces": 25, "applicableForVehicles": [listed("vehicleType", ["car"])]},
            {"numberOfSpaces": 0, "applicableForVehicles": [listed("vehicleType", ["bicycle"])]},
            {"applicableForVehicles": [listed("vehicleType", ["lorry"])]},
        ]
        assert details(dedicatedParkingSpaces=spaces).vehicles == (Vehicle.CAR, Vehicle.TRUCK)
        own = [listed("vehicleType", ["twoWheeledVehicle", "tram"])]
        found = details(dedicatedParkingSpaces=spaces, applicableForVehicles=own)
        assert found.vehicles == (Vehicle.MOTORCYCLE, Vehicle.BICYCLE)
        any_ = [listed("vehicleType", ["anyVehicle", "car"])]
        assert details(applicableForVehicles=any_).vehicles == ()

    def test_vehicles_may_be_said_by_their_european_category_or_by_the_points_use(self) -> None:
        category = {"euVehicleCategory": [{"value": "n3"}]}
        extension = {"comVehicleCharacteristicsExtensionG": {"VehicleCharacteristicsExtended": category}}
        assert details(applicableForVehicles=[extension]).vehicles == (Vehicle.TRUCK,)
        assert details(applicableForVehicles=[category]).vehicles == (Vehicle.TRUCK,)
        bikes = point(**listed("usageType", ["electricBike", "electricMotorcycle"]))
        assert details(bikes).vehicles == (Vehicle.MOTORCYCLE, Vehicle.BICYCLE)
        either = point(**listed("usageType", ["electricBike", "electricVehicle"]))
        assert details(either).vehicles == ()

    @pytest.mark.parametrize(
        ("operator", "height", "max_height_m"),
        [
            ("lessThan", 2.1, 2.1),
            ("lessThanOrEqualTo", "3,5", 3.5),
            ("greaterThan", 2.1, None),
            ("lessThan", 210, None),
            ("lessThan", -1, None),
            ("lessThan", "high", None),
            ("lessThan", None, None),
        ],
    )
    def test_the_height_that_vehicles_have_to_be_below(
        self, operator: str, height: Any, max_height_m: float | None
    ) -> None:
        limit = {"comparisonOperator": {"value": operator}, "vehicleHeight": height}
        assert details(applicableForVehicles=[{"heightCharacteristic": limit}]).max_height_m == max_height_m

    def test_parking_spaces_limit_heights_where_all_of_them_do(self) -> None:
        def space(height: float) -> dict[str, Any]:
            limit = {"comparisonOperator": {"value": "lessThan"}, "vehicleHeight": height}
            return {"applicableForVehicles": [{"heightCharacteristic": [limit]}]}

        assert details(dedicatedParkingSpaces=[space(2.0), space(2.5)]).max_height_m == 2.5
        assert details(dedicatedParkingSpaces=[space(2.0), {}]).max_height_m is None

    @pytest.mark.parametrize(
        ("rate", "payment"),
        [
            ({"ratePolicy": {"value": "adHoc"}}, Payment(ad_hoc=True)),
            ({"ratePolicy": {"value": "contract"}}, None),
            ({"payment": listed("paymentMeans", ["emv", "nfc"])}, Payment(card=True, contactless=True)),
            ({"paymentMethod": listed("paymentMeans", ["qrCode", "unknown"])}, Payment(other=True)),
            ({"energyPrice": [{"priceType": {"value": "free"}, "value": 0}]}, Payment(free=True)),
            ({"energyPrice": [{"priceType": {"value": "pricePerKWh"}, "value": "0.0"}]}, Payment(free=True)),
            (
                {
                    "energyPrice": [
                        {"priceType": {"value": "free"}},
                        {"priceType": {"value": "basePrice"}, "value": 0.5},
                    ]
                },
                Payment(free=False),
            ),
            (
                {
                    "ratePolicy": {"value": "contract"},
                    "energyPrice": [{"priceType": {"value": "free"}, "value": 0}],
                },
                None,
            ),
        ],
    )
    def test_how_it_is_paid_is_said_by_the_rates(self, rate: dict[str, Any], payment: Payment | None) -> None:
        assert details(electricEnergy=[{"energyRate": [rate]}]).payment == payment

    def test_version_3_7_has_rates_in_the_object_and_in_the_energy_mix(self) -> None:
        free = {"facFreeOfCharge": {"applicableCurrency": "EUR"}}
        assert details(rates=free).payment == Payment(free=True)
        mix = {"rates": {"facRateTable": {"paymentMethod": listed("paymentMeans", ["paymentDebitCard"])}}}
        found = draft(electricEnergyMix=[mix]).station
        assert found.details.payment == Payment(card=True)
        assert found.evses[0].capabilities == ("DEBIT_CARD_PAYABLE",)

    def test_ways_to_authenticate_are_capabilities_and_ways_to_pay(self) -> None:
        said = listed("authenticationAndIdentificationMethods", ["rfid", "debitCard", "apps", "plc", "magic"])
        found = draft(
            point("NO*ABC*E1"), point("NO*ABC*E2", reservation={"value": "optional"}), **said
        ).station
        assert found.details.payment == Payment(card=True, other=True)
        assert [each.capabilities for each in found.evses] == [
            ("DEBIT_CARD_PAYABLE", "RFID_READER"),
            ("DEBIT_CARD_PAYABLE", "RESERVABLE", "RFID_READER"),
        ]

    def test_what_differs_at_a_point_is_its_own_with_all_else_of_the_station(self) -> None:
        found = draft(
            point("NO*ABC*E1", reservation={"value": "optional"}),
            point("NO*ABC*E2", reservation={"value": "notAvailable"}, **listed("accessibility", ["none"])),
            point("NO*ABC*E3"),
            **listed("accessibility", ["wheelChairAccessible"]),
            **listed("authenticationAndIdentificationMethods", ["creditCard"]),
        ).station
        card, accessible = Payment(card=True), Accessibility.ACCESSIBLE
        assert found.details == Details(accessibility=accessible, payment=card)
        assert [each.terms for each in found.evses] == [
            Terms(accessibility=accessible, payment=card, reservable=True),
            Terms(accessibility=Accessibility.NOT_ACCESSIBLE, payment=card, reservable=False),
            None,
        ]

    def test_what_all_points_say_alike_is_the_stations(self) -> None:
        rate = {"electricEnergy": [{"energyRate": [{"ratePolicy": {"value": "adHoc"}}]}]}
        free = {"energyRate": [{"energyPrice": [{"priceType": {"value": "free"}}]}]}
        found = draft(
            point("NO*ABC*E1", reservation={"value": "optional"}, **rate),
            point(
                "NO*ABC*E2", reservation={"value": "optional"}, electricEnergy=[*rate["electricEnergy"], free]
            ),
        ).station
        assert found.details == Details(payment=Payment(ad_hoc=True), reservable=True)
        assert [each.terms for each in found.evses] == [
            None,
            Terms(payment=Payment(free=True, ad_hoc=True), reservable=True),
        ]

    def test_a_points_access_is_not_mixed_with_its_sites_words(self) -> None:
        found = draft(
            point("NO*ABC*E1", **listed("exclusiveUsers", ["allUsers"])),
            point("NO*ABC*E2"),
            of_site=listed("exclusiveUsers", ["shoppers"]),
        ).station
        assert (found.details.access, found.details.access_text) == (Access.VISITORS, "shoppers")
        assert [each.terms for each in found.evses] == [Terms(access=Access.PUBLIC), None]


class TestConnectors:
    @staticmethod
    def connectors(*connectors: dict[str, Any], **of_point: Any) -> list[Connector]:
        given = [{"connectorType": {"value": "iec62196T2"}} | each for each in connectors]
        found = draft(point(connector=given, **of_point))
        return [outlet.connector for outlet in found.station.outlets]

    def test_a_connector_says_format_current_and_voltage(self) -> None:
        (found,) = self.connectors(
            {
                "connectorFormat": {"value": "cableMode3"},
                "chargingMode": {"value": "mode3AC3p"},
                "maxPowerAtSocket": 22000,
                "voltage": 400,
                "maximumCurrent": 32,
            }
        )
        assert found == Connector(
            "IEC_62196_T2", 22.0, Format.CABLE, PowerType.AC_3_PHASE, max_v=230.0, max_a=32.0
        )

    def test_what_a_point_says_is_its_connectors_where_they_are_alike(self) -> None:
        of_point = {"currentType": {"value": "dc"}, "availableVoltage": [400, 920]}
        (found,) = self.connectors({}, **of_point)
        assert (found.power_type, found.max_v) == (PowerType.DC, 920.0)
        first, second = self.connectors({}, {"connectorType": {"value": "chademo"}}, **of_point)
        assert (first.power_type, first.max_v, second.power_type, second.max_v) == (None,) * 4

    @pytest.mark.parametrize("said", ["ac", "unknown", "legacyInductive", "", None, {}])
    def test_a_current_that_tells_no_phases_is_not_known(self, said: Any) -> None:
        (found,) = self.connectors({}, currentType={"value": said})
        assert found.power_type is None

    @pytest.mark.parametrize("said", [-1, 1_000_000, "much", True, "1e99", [], {}])
    def test_numbers_that_cannot_be_are_left_out(self, said: Any) -> None:
        (found,) = self.connectors({"voltage": said, "maximumCurrent": said})
        assert (found.max_v, found.max_a) == (None, None)

    def test_a_point_has_a_label_and_its_own_power(self) -> None:
        found = draft(point(name=words("A1 kari@example.org"), availableChargingPower=[11000, 22000])).station
        assert (found.evses[0].label, found.evses[0].max_kw) == ("A1", 22.0)


DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def opening(*valid: dict[str, Any], exceptions: Any = (), **members: Any) -> Opening | None:
    overall = {"overallStartTime": "2026-01-01T00:00:00Z", "validPeriod": list(valid)}
    overall["exceptionPeriod"] = list(exceptions)
    hours = {"afacOperatingHoursSpecification": {"overallPeriod": overall, **members}}
    return details(operatingHours=hours).opening


def days(*names: str) -> dict[str, Any]:
    return {"recurringDayWeekMonthPeriod": [{"comDayWeekMonth": listed("applicableDay", names)}]}


def clocks(*times: tuple[str, str]) -> dict[str, Any]:
    return {
        "recurringTimePeriodOfDay": [
            {"startTimeOfPeriod": begin, "endTimeOfPeriod": end} for begin, end in times
        ]
    }


def span(begin: str, end: str) -> dict[str, Any]:
    return {"startOfPeriod": begin, "endOfPeriod": end}


def special(word: str = "publicHoliday", *, intersect: bool = False) -> dict[str, Any]:
    said = {"intersectWithApplicableDays": intersect, "specialDayType": {"value": word}}
    return {"recurringSpecialDay": [{"comSpecialDay": said}]}


class TestOpening:
    @pytest.mark.parametrize(
        "hours",
        [
            None,
            {},
            [],
            "always",
            {"afacUnknownOperatingHours": {}},
            {"afacUndefinedOperatingHours": {}},
            {"afacOperatingHoursByReference": {"operatingHoursReference": {"idG": "1"}}},
        ],
    )
    def test_hours_that_are_not_said_are_not_known(self, hours: Any) -> None:
        assert details(operatingHours=hours).opening is None

    def test_all_hours_are_the_stations_else_the_sites(self) -> None:
        always = {"afacOpenAllHours": {"closureInformation": {"temporarilyClosed": False}}}
        assert details(of_site={"operatingHours": always}).opening == Opening(always=True)
        assert details(operatingHours=always).opening == Opening(always=True)
        assert details(operatingHours={"afacOpenAllHours": {}}).opening == Opening(always=True)

    def test_days_and_times(self) -> None:
        assert opening(days("saturday", "monday") | clocks(("07:00:00", "12:00:00"), ("13:00", "20:30"))) == (
            Opening(
                hours=(
                    Hours(1, "07:00", "12:00"),
                    Hours(1, "13:00", "20:30"),
                    Hours(6, "07:00", "12:00"),
                    Hours(6, "13:00", "20:30"),
                )
            )
        )
        assert opening(days("sunday")) == Opening(hours=(Hours(7, "00:00", "24:00"),))

    @pytest.mark.parametrize("end", ["24:00:00", "00:00:00", "23:59:59", "23:59:59.999", "23:59"])
    def test_the_end_of_a_day_is_written_in_many_ways(self, end: str) -> None:
        found = opening(days("monday") | clocks(("06:00:00", end)))
        assert found == Opening(hours=(Hours(1, "06:00", "24:00"),))
        assert opening(clocks(("00:00:00", end))) == Opening(always=True)

    def test_a_night_ends_on_the_next_day(self) -> None:
        found = opening(days("monday") | clocks(("20:00:00", "06:00:00")))
        assert found == Opening(hours=(Hours(1, "20:00", "06:00"),))

    def test_every_day_is_all_of_them_and_no_period_is_always(self) -> None:
        found = opening(clocks(("06:00:00", "22:00:00")))
        assert found == Opening(hours=tuple(Hours(day, "06:00", "22:00") for day in range(1, 8)))
        assert opening() == Opening(always=True)
        assert opening(days(*DAYS)) == Opening(always=True)

    def test_periods_with_bounds_are_openings_and_closings(self) -> None:
        found = opening(
            days("monday"),
            span("2026-12-05T18:00:00+01:00", "2026-12-06T02:00:00+01:00"),
            exceptions=[span("2026-07-01T00:00:00Z", "2026-07-08T00:00:00Z"), days("monday")],
        )
        assert found == Opening(
            openings=(Span("2026-12-05T17:00:00Z", "2026-12-06T01:00:00Z"),),
            closings=(Span("2026-07-01T00:00:00Z", "2026-07-08T00:00:00Z"),),
        )

    @pytest.mark.parametrize(
        ("exception", "text"),
        [
            (days("sunday") | special(), "06:00-23:00; not sunday publicHoliday"),
            (special(), "06:00-23:00; not publicHoliday"),
            (clocks(("12:00", "13:00")), "06:00-23:00; not 12:00-13:00"),
            (span("2026-07-01T00:00:00", "2026-07-08T00:00:00"), None),
            (span("2026-07-08T00:00:00Z", "2026-07-01T00:00:00Z"), None),
            (span("soon", "later"), "06:00-23:00; not soon later"),
            ({"recurringDayWeekMonthPeriod": [listed("applicableMonth", ["july"])]}, "06:00-23:00; not july"),
            ({"periodName": words("winter")} | special(), "06:00-23:00; not winter"),
            ({"startOfPeriod": "2026-07-01T00:00:00Z"}, "06:00-23:00; not 2026-07-01T00:00:00Z"),
        ],
    )
    def test_of_an_exception_that_is_not_understood_no_hours_are_kept(
        self, exception: dict[str, Any], text: str | None
    ) -> None:
        found = opening(clocks(("06:00:00", "23:00:00")), exceptions=[exception])
        assert found is not None
        assert (found.always, found.hours, found.openings, found.closings) == (None, (), (), ())
        assert found.text
        assert text is None or found.text == text

    @pytest.mark.parametrize(
        "period",
        [
            days("monday") | special(),
            span("2026-05-01T00:00:00Z", "2026-09-01T00:00:00Z") | clocks(("06:00", "07:00")),
            {"recurringDayWeekMonthPeriod": [listed("applicableMonth", ["july"])]},
            {
                "recurringDayWeekMonthPeriod": [
                    {"comInstanceOfDayWithinMonth": listed("applicableDay", ["monday"])}
                ]
            },
            clocks(("06:00:00Z", "07:00:00Z")),
            clocks(("25:00", "26:00")),
            days("monday") | special(intersect=True),
            days("someday"),
        ],
    )
    def test_beside_a_period_that_is_not_understood_the_other_hours_stay_with_a_text(
        self, period: dict[str, Any]
    ) -> None:
        found = opening(days("monday"), period)
        assert found is not None
        assert found.hours == (Hours(1, "00:00", "24:00"),)
        assert found.text

    def test_a_label_is_the_text_and_is_cleaned(self) -> None:
        found = opening(days("monday"), exceptions=[special()], label="Ring 900 00 000 \u202e <b>")
        assert found == Opening(text="Ring <b>")

    def test_what_is_never_open_says_nothing(self) -> None:
        assert opening(days("monday"), exceptions=[days("monday")]) is None

    @pytest.mark.parametrize(
        ("closure", "expected"),
        [
            ({"permananentlyClosed": True}, Opening(text="closed permanently")),
            ({"temporarilyClosed": "true"}, Opening(text="closed temporarily")),
            (
                {
                    "temporarilyClosed": True,
                    "closedFrom": "2026-12-01T00:00:00Z",
                    "temporarilyClosedUntil": "2026-12-02T00:00:00Z",
                },
                Opening(always=True, closings=(Span("2026-12-01T00:00:00Z", "2026-12-02T00:00:00Z"),)),
            ),
        ],
    )
    def test_a_facility_that_is_closed_says_so(self, closure: dict[str, Any], expected: Opening) -> None:
        hours = {"afacOpenAllHours": {"closureInformation": closure}}
        assert details(operatingHours=hours).opening == expected

    def test_a_closure_stays_where_the_hours_are_unknown(self) -> None:
        closure = {
            "temporarilyClosed": True,
            "closedFrom": "2026-12-01T00:00:00Z",
            "temporarilyClosedUntil": "2026-12-02T00:00:00Z",
        }
        hours = {"afacUnknownOperatingHours": {"closureInformation": closure}}
        found = details(operatingHours=hours).opening
        assert found == Opening(closings=(Span("2026-12-01T00:00:00Z", "2026-12-02T00:00:00Z"),))

    @pytest.mark.parametrize("member", ["validPeriod", "exceptionPeriod"])
    def test_a_thousand_periods_are_not_understood(self, member: str) -> None:
        begin, end = "2026-12-01T00:00:00Z", "2026-12-02T00:00:00Z"
        overall = {member: [span(begin, end)] * 1_000}
        hours = {"afacOperatingHoursSpecification": {"overallPeriod": overall}}
        found = details(operatingHours=hours).opening
        assert found is not None
        assert found.text
        assert len(found.text) <= 512
        assert len(found.openings + found.closings) <= 100


MEMBERS = [
    "accessibility",
    "applicableForVehicles",
    "authenticationAndIdentificationMethods",
    "brand",
    "dedicatedParkingSpaces",
    "electricEnergy",
    "electricEnergyMix",
    "exclusiveUsers",
    "externalIdentifier",
    "helpdesk",
    "informationWebsite",
    "lastUpdated",
    "locationReference",
    "name",
    "operatingHours",
    "operator",
    "owner",
    "photoUrl",
    "rates",
    "reservation",
    "stationIdBNetzA",
    "typeOfSite",
    "usageType",
    "availableVoltage",
    "currentType",
    "chargingMode",
    "connector",
]
INNER = [
    "@type",
    "addressLine",
    "afacOperatingHoursSpecification",
    "applicableDay",
    "closureInformation",
    "comDayWeekMonth",
    "comparisonOperator",
    "contactInformation",
    "energyPrice",
    "energyRate",
    "exceptionPeriod",
    "extendedValueG",
    "facilityLocation",
    "heightCharacteristic",
    "locationDescription",
    "numberOfSpaces",
    "nutsArea",
    "nutsCode",
    "organisationUnit",
    "overallPeriod",
    "paymentMeans",
    "paymentMethod",
    "priceType",
    "recurringDayWeekMonthPeriod",
    "recurringSpecialDay",
    "recurringTimePeriodOfDay",
    "startOfPeriod",
    "startTimeOfPeriod",
    "telephoneNumber",
    "text",
    "timeZone",
    "type",
    "urlLinkAddress",
    "validPeriod",
    "value",
    "values",
    "vehicleHeight",
    "vehicleType",
    "voltage",
]
WORDS = [
    "",
    "adHoc",
    "extendedG",
    "monday",
    "free",
    "07:00:00",
    "2026-12-01T00:00:00Z",
    "https://example.org",
    "\u202e",
]
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(WORDS)
    | st.text(max_size=5)
)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(INNER), inner, max_size=4),
    max_leaves=20,
)


@given(
    of_site=st.dictionaries(st.sampled_from(MEMBERS), VALUES, max_size=5),
    of_station=st.dictionaries(st.sampled_from(MEMBERS), VALUES, max_size=5),
    of_point=st.dictionaries(st.sampled_from(MEMBERS), VALUES, max_size=5),
)
def test_whatever_stands_in_an_optional_member_the_station_is_read(
    of_site: dict[str, Any], of_station: dict[str, Any], of_point: dict[str, Any]
) -> None:
    of_site |= {"entrance": [where()]}
    found = draft(point(**of_point), of_site=of_site, **({"locationReference": None} | of_station))
    assert fault(found) is None


def test_more_hours_than_a_week_has_are_a_text() -> None:
    times = [
        (f"{hour:02d}:{minute:02d}", f"{hour:02d}:{minute + 1:02d}")
        for hour in range(24)
        for minute in (1, 3)
    ]
    found = opening(clocks(*times))
    assert found is not None
    assert found.hours == ()
    assert (found.text or "").startswith("00:01-00:02 00:03-00:04")


def test_our_own_sample_is_valid() -> None:
    folder = REFERENCE / "v3.5-afir-json" / "table"
    if not folder.is_dir():
        pytest.skip("the DATEX II schemas are not here")
    document = json.loads((GOLDEN / "datex-details.json").read_text(encoding="utf-8"))
    publication = document["messageContainer"]["payload"][0]["aegiEnergyInfrastructureTablePublication"]
    resources = [
        (path.name, referencing.Resource.from_contents(json.loads(path.read_text(encoding="utf-8"))))
        for path in folder.glob("*.json")
    ]
    registry: referencing.Registry[Any] = referencing.Registry().with_resources(resources)
    definition = "definitions/EnergyInfrastructureTablePublication"
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": f"DATEXII_3_AfirEnergyInfrastructure.json#/{definition}",
    }
    jsonschema.Draft202012Validator(schema, registry=registry).validate(publication)


def elements(node: ET.Element, path: str) -> Iterator[ET.Element]:
    """Elements by local names, however deep the first of them is."""
    head, _, rest = path.partition("/")
    found = (each for each in node.iter() if each is not node and each.tag.rpartition("}")[2] == head)
    for each in found:
        if rest:
            yield from (
                (inner for inner in each if inner.tag.rpartition("}")[2] == rest.partition("/")[0])
                if "/" not in rest
                else elements(each, rest)
            )
        else:
            yield each


def children(node: ET.Element, name: str) -> list[ET.Element]:
    return [each for each in node if each.tag.rpartition("}")[2] == name]


def test_the_published_sample_is_read_with_all_that_it_says() -> None:
    """Counted in its elements, by nothing of the register's."""
    path = REFERENCE / "samples" / "EnergyInfrastructureTablePublication.xml"
    if not path.is_file():
        pytest.skip("the DATEX II samples are not here")
    body = path.read_bytes()
    root = ET.fromstring(body)  # noqa: S314 - a file of our own
    (site,) = elements(root, "energyInfrastructureSite")
    stations = children(site, "energyInfrastructureStation")
    drafts = [each for each in datex2.parse([body]) if isinstance(each, StationDraft)]
    assert len(drafts) == len(stations) == 2
    said: Counter[str] = Counter()
    for node, read in zip(stations, drafts, strict=True):
        kept, evses = read.station.details, read.station.evses
        points = children(node, "refillPoint")
        assert len(evses) == len(points)
        named: list[tuple[str, object, tuple[ET.Element, ...]]] = [
            ("brand", kept.brand, (site,)),
            ("owner", kept.owner, (node, site)),
            ("operatingHours", kept.opening, (node, site)),
            ("typeOfSite", kept.place, (site,)),
            ("exclusiveUsers", kept.access, (site,)),
            ("accessibility", kept.accessibility, (node, site)),
            ("stationIdBNetzA", kept.ids, (node,)),
        ]
        for name, value, parents in named:
            is_said = any(children(parent, name) for parent in parents)
            assert bool(value) == is_said, name
            said[name] += is_said
        located: list[tuple[str, object]] = [
            ("postcode", kept.postal_code),
            ("nutsCode", kept.region),
            ("locationDescription", kept.directions),
            ("vehicleHeight", kept.max_height_m),
        ]
        for name, value in located:
            is_said = bool(list(elements(node, name))) or (
                name != "nutsCode"
                and any(list(elements(part, name)) for part in site if part not in stations)
            )
            assert bool(value) == is_said, name
            said[name] += is_said
        newest = [each.text for each in children(node, "lastUpdated")]
        assert (read.updated_at != NEVER) == bool(newest)
        methods = {each.text for each in children(node, "authenticationAndIdentificationMethods")}
        own = [{each.text for each in elements(point, "paymentMeans")} for point in points]
        common = {
            each.text
            for energy in children(node, "electricEnergy")
            for each in elements(energy, "paymentMeans")
        }
        for evse, means, point in zip(evses, own, points, strict=True):
            payment = (evse.terms or kept).payment
            assert payment is not None
            assert (payment.card is True) == bool(
                {"creditCard", "emv", "paymentCreditCard"} & (methods | means | common)
            )
            assert (payment.contactless is True) == ("nfc" in methods | means | common)
            assert ("RFID_READER" in evse.capabilities) == ("activeRFIDChip" in methods)
            powers = [float(each.text or 0) for each in children(point, "availableChargingPower")]
            assert evse.max_kw == max(powers) / 1_000
            said["availableChargingPower"] += 1
    assert said == {
        "brand": 2,
        "owner": 1,
        "operatingHours": 2,
        "typeOfSite": 2,
        "exclusiveUsers": 2,
        "accessibility": 2,
        "stationIdBNetzA": 2,
        "postcode": 2,
        "nutsCode": 1,
        "locationDescription": 2,
        "vehicleHeight": 1,
        "availableChargingPower": 4,
    }
