"""What is published of stations and statuses as DATEX II, and whether the schemas allow it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lxml import etree
from tests.building import CCS, NOW, TYPE_2, make_change, make_evse, make_station
from tests.datex2 import DELTA, DETAILS, MAKING, SCHEMAS, fault, status_publications, tables

from ladestrom.core.drafts import completed
from ladestrom.formats.wire import instant
from ladestrom.model import NEVER, Cause, Change, Connector, Evse, Millis, Outlet, Station, Status
from ladestrom.outputs.datex2 import table, words
from ladestrom.ports.registry import StationDraft
from ladestrom.record import (
    NO_DETAILS,
    Access,
    Accessibility,
    Contact,
    Details,
    Format,
    Hours,
    Opening,
    Payment,
    Place,
    PowerType,
    Span,
    Terms,
    Vehicle,
)
from ladestrom.registers import REGISTERS
from ladestrom.registers.datex2_tables import STANDARDS

HOSTILE = "\x00\x07<b a='1'>&amp;\"]]>\u2028\ufffe\U0001f50c" + 2_000 * "é"
AC = Connector("IEC_62196_T2", 22.0, Format.CABLE, PowerType.AC_3_PHASE, 230, 32)
DC = Connector("IEC_62196_T2_COMBO", 150.5, Format.CABLE, PowerType.DC, 920, 164)
SCHUKO = Connector("DOMESTIC_F", 3.7, Format.SOCKET, PowerType.AC_1_PHASE, 230, 16)

EVERYTHING = make_station(
    "NOR_00001",
    (
        make_evse(
            "NO*ABC*E1*1",
            uid="7381cc78",
            label="A",
            max_kw=150.5,
            floor="-1",
            capabilities=("RFID_READER", "UNHEARD_OF"),
            terms=Terms(
                access=Access.EMPLOYEES,
                accessibility=Accessibility.NOT_ACCESSIBLE,
                vehicles=(Vehicle.TRUCK,),
                reservable=False,
            ),
        ),
        make_evse("NO*ABC*E1*2"),
        # Another EVSE has the EVSE id, so that this one is held by another key.
        make_evse("NO*ABC*E1*1", key="NOR_00001_03"),
    ),
    outlets=(Outlet(0, DC), Outlet(0, AC), Outlet(1, SCHUKO), Outlet(2, Connector("GBT_AC", 7.0))),
    operator="Fjord Lading AS",
    address="Storgata 1",
    city="Moss",
    register="nobil",
    native_id="17",
    updated_at=NOW,
    details=DETAILS,
)
NOTHING = make_station(
    "SWE_00002",
    (make_evse("x", "SWE_00002", key="SWE_00002_01", evse_id=None, party=None),),
    outlets=(Outlet(0, Connector("UNKNOWN", 11.0)),),
)
MARKED = make_station(
    "FRA_00003",
    (make_evse(HOSTILE, "FRA_00003", key='F"<&', uid=HOSTILE, label=HOSTILE, party=HOSTILE),),
    name=HOSTILE,
    outlets=(Outlet(0, Connector(HOSTILE, 22.0)),),
    operator=HOSTILE,
    address=HOSTILE,
    city=HOSTILE,
    register=HOSTILE,
    native_id=HOSTILE,
    details=Details(
        access_text=HOSTILE,
        tariff_text=HOSTILE,
        brand=HOSTILE,
        owner=HOSTILE,
        contact=Contact(HOSTILE, HOSTILE, "https://example.org/%zz%[]#a#b"),
        postal_code=HOSTILE,
        region=HOSTILE,
        time_zone=HOSTILE,
        opening=Opening(text=HOSTILE),
        images=("https://example.org/é|%",),
        directions=HOSTILE,
    ),
)
STATIONS = {"everything": EVERYTHING, "nothing": NOTHING, "hostile": MARKED}


def changes(*stations: Station) -> dict[str, Change]:
    """Every status in turn; the first EVSE was never reported, and one has an error beside its status."""
    evses = [evse for station in stations for evse in station.evses]
    made = {
        evse.key: make_change(evse, status, error=status in {Status.CHARGING, Status.OUTOFORDER})
        for evse, status in zip(evses, list(Status) * len(evses), strict=False)
    }
    first = evses[0]
    made[first.key] = make_change(
        first, Status.UNKNOWN, NEVER, cause=Cause.REGISTERED, received_at=NOW, source="", raw=""
    )
    return made


def site(station: Station, *, is_xml: bool = False) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(
        msgspec.json.encode(table.site(station, 7, station.evses, is_xml=is_xml))
    )
    return made


def shown(station: Station) -> dict[str, Any]:
    (made,) = site(station)["energyInfrastructureStation"]
    return dict(made)


def point(evse: Evse, *plugs: Connector) -> dict[str, Any]:
    station = make_station(evse.station, (evse,), outlets=tuple(Outlet(0, plug) for plug in plugs))
    (made,) = shown(station)["refillPoint"]
    return dict(made["aegiElectricChargingPoint"])


def with_details(**members: Any) -> Station:
    return make_station(details=Details(**members))


def read(shared: Path, register: str, path: Path) -> list[Station]:
    parts = enumerate(REGISTERS[register]([path.read_bytes()]), 1)
    return [
        completed(part, register, f"NOR_{number:05d}")[0]
        for number, part in parts
        if isinstance(part, StationDraft)
    ]


class TestSchemas:
    @pytest.fixture(autouse=True)
    def _are_there(self, shared: Path) -> None:
        if not (shared / SCHEMAS).is_dir():
            pytest.skip("the schemas of DATEX II are not here")

    @pytest.mark.parametrize("name", STATIONS)
    def test_a_table_is_valid(self, shared: Path, name: str) -> None:
        for body in tables([STATIONS[name]]):
            assert fault(shared, "table", body) is None

    @pytest.mark.parametrize("name", STATIONS)
    @pytest.mark.parametrize("making", [MAKING, DELTA], ids=["snapshot", "delta"])
    def test_a_status_publication_is_valid(self, shared: Path, name: str, making: Any) -> None:
        station = STATIONS[name]
        for body in status_publications([station], changes(station), making):
            assert fault(shared, "status", body) is None

    def test_a_status_publication_of_nothing_is_valid(self, shared: Path) -> None:
        for body in status_publications([], {}):
            assert fault(shared, "status", body) is None

    def test_so_is_all_where_the_publisher_is_not_known(self, shared: Path) -> None:
        making = msgspec.structs.replace(MAKING, publisher=type(MAKING.publisher)())
        for body in tables([EVERYTHING], making=making):
            assert fault(shared, "table", body) is None

    def test_they_notice_what_is_wrong(self, shared: Path) -> None:
        as_json, as_xml = tables([NOTHING])
        assert fault(shared, "table", as_json.replace(b"totalMaximumPower", b"totalPower")) is not None
        assert fault(shared, "table", as_xml.replace(b"totalMaximumPower", b"totalPower")) is not None

    def test_stations_of_nobil_are_valid(self, shared: Path, shared_file: Any) -> None:
        stations = read(shared, "nobil", shared_file("data/nobil/nobil-v3-sample.json"))
        assert len(stations) == 27
        for body in tables(stations):
            assert fault(shared, "table", body) is None
        for body in status_publications(stations, changes(*stations)):
            assert fault(shared, "status", body) is None

    def test_stations_of_the_french_register_are_valid(self, shared: Path, shared_file: Any) -> None:
        found = gzip.decompress(shared_file("data/france/irve-statique.json.gz").read_bytes())
        drafts = (part for part in REGISTERS["irve"]([found]) if isinstance(part, StationDraft))
        stations = [completed(part, "irve", f"FRA_{n:05d}")[0] for n, part in enumerate(drafts, 1)]
        assert len(stations) > 5_000
        assert all(table.lacks(station, station.evses) is None for station in stations)
        for body in tables(stations):
            assert fault(shared, "table", body) is None
        for body in status_publications(stations, changes(*stations)):
            assert fault(shared, "status", body) is None


class TestStations:
    def test_ids_of_a_site_and_its_station_differ_and_all_have_the_revision(self) -> None:
        made = site(EVERYTHING)
        (station,) = made["energyInfrastructureStation"]
        points = [each["aegiElectricChargingPoint"] for each in station["refillPoint"]]
        assert (made["idG"], station["idG"]) == ("NOR_00001-site", "NOR_00001")
        assert [each["idG"] for each in points] == ["NO*ABC*E1*1", "NO*ABC*E1*2", "NOR_00001_03"]
        assert {each["versionG"] for each in (made, station, *points)} == {"7"}

    def test_what_is_not_said_is_absent(self) -> None:
        assert set(shown(NOTHING)) == {
            "idG",
            "versionG",
            "name",
            "locationReference",
            "totalMaximumPower",
            "numberOfRefillPoints",
            "serviceType",
            "refillPoint",
        }

    def test_what_the_schemas_demand_and_nobody_said_is_unknown(self) -> None:
        unknown = {"value": "extendedG", "extendedValueG": "unknown"}
        assert shown(NOTHING)["serviceType"] == [{"serviceType": unknown}]
        (made,) = shown(NOTHING)["refillPoint"]
        assert made["aegiElectricChargingPoint"]["currentType"] == unknown
        assert made["aegiElectricChargingPoint"]["connector"][0]["connectorType"] == unknown
        (as_xml,) = site(NOTHING, is_xml=True)["energyInfrastructureStation"]
        assert as_xml["stationIdBNetzA"] == ""
        assert as_xml["userInterfaceLanguage"] == "und"
        assert as_xml["authenticationAndIdentificationMethods"] == [unknown]

    def test_its_power_is_that_of_its_evses_together(self) -> None:
        assert shown(EVERYTHING)["totalMaximumPower"] == 150_500 + 3_700 + 7_000

    def test_the_operator_has_its_contact_and_its_party_where_all_evses_are_of_one(self) -> None:
        operator = shown(EVERYTHING)["operator"]["afacAnOrganisation"]
        assert operator["name"]["values"] == [{"lang": "no", "value": "Fjord Lading AS"}]
        assert operator["externalIdentifier"] == [
            {
                "identifier": "NOABC",
                "typeOfIdentifier": {"value": "extendedG", "extendedValueG": "operatorId"},
            }
        ]
        assert operator["linkToGeneralInformation"] == "https://example.org/%C3%B8?a%5B%5D=1#b%23c"
        reached = operator["organisationUnit"][0]["contactInformation"][0]["afacContactInformation"]
        assert reached == {"telephoneNumber": "+47 12 34 56 78", "eMail": "post@example.org"}

    def test_an_operator_of_several_parties_has_none(self) -> None:
        evses = (make_evse("NO*ABC*E1"), make_evse("NO*DEF*E1", party="NODEF"))
        assert "externalIdentifier" not in shown(make_station(evses=evses, operator="Fjord"))["operator"]

    @pytest.mark.parametrize(
        ("time_zone", "offset"),
        [
            ("Europe/Oslo", "+01:00"),
            ("Europe/Dublin", "+00:00"),
            ("America/St_Johns", "-03:30"),
            ("Pacific/Auckland", "+12:00"),
            ("Nowhere/Else", None),
            ("../etc", None),
            (None, None),
        ],
    )
    def test_the_time_zone_is_its_standard_time(self, time_zone: str | None, offset: str | None) -> None:
        place = shown(with_details(time_zone=time_zone))["locationReference"]["locPointLocation"]
        assert place["locLocationExtensionG"]["facilityLocation"].get("timeZone") == offset

    def test_its_address_names_what_is_known(self) -> None:
        place = shown(EVERYTHING)["locationReference"]["locPointLocation"]["locLocationExtensionG"]
        address = place["facilityLocation"]["address"]
        assert (address["postcode"], address["countryCode"]) == ("1530", "NO")
        assert [(line["order"], line["type"]["value"]) for line in address["addressLine"]] == [
            (0, "street"),
            (1, "region"),
        ]

    def test_where_no_city_is_said_the_municipality_is(self) -> None:
        place = shown(with_details(municipality="Moss"))["locationReference"]["locPointLocation"]
        address = place["locLocationExtensionG"]["facilityLocation"]["address"]
        assert address["city"]["values"][0]["value"] == "Moss"

    @pytest.mark.parametrize(
        ("place", "word"),
        [(Place.STREET, "onstreet"), (Place.CAR_PARK, "openSpace"), (Place.FUEL_STATION, "other")],
    )
    def test_a_site_is_of_a_type(self, place: Place, word: str) -> None:
        assert site(with_details(place=place))["typeOfSite"] == {"value": word}

    @pytest.mark.parametrize(
        ("terms", "users"),
        [
            ({"access": Access.PUBLIC}, ["allUsers"]),
            ({"access": Access.RESTRICTED}, ["other"]),
            ({"access": Access.PUBLIC, "accessibility": Accessibility.RESERVED}, ["allUsers"]),
            ({"accessibility": Accessibility.RESERVED}, []),
            ({"accessibility": Accessibility.ACCESSIBLE}, []),
        ],
    )
    def test_a_site_is_for_some_users(self, terms: dict[str, Any], users: list[str]) -> None:
        made = site(with_details(**terms)).get("exclusiveUsers", [])
        assert [each["value"] for each in made] == users

    @pytest.mark.parametrize(
        ("payment", "means"),
        [
            (None, None),
            (Payment(), None),
            (Payment(free=True, ad_hoc=True), None),
            (Payment(card=True), ["creditCard", "debitCard"]),
            (Payment(contactless=True), ["nfc"]),
            (Payment(card=False, contactless=False), None),
        ],
    )
    def test_it_says_how_one_identifies_oneself(
        self, payment: Payment | None, means: list[str] | None
    ) -> None:
        made = shown(with_details(payment=payment)).get("authenticationAndIdentificationMethods")
        assert means == (None if made is None else [each["value"] for each in made])

    def test_capabilities_of_its_evses_say_so_too(self) -> None:
        evses = (make_evse(capabilities=("RFID_READER", "RESERVABLE")), make_evse("NO*ABC*E2"))
        made = shown(make_station(evses=evses))["authenticationAndIdentificationMethods"]
        assert made == [{"value": "rfid"}]


class TestHours:
    def hours(self, opening: Opening) -> Any:
        return shown(with_details(opening=opening)).get("operatingHours")

    def period(self, opening: Opening) -> dict[str, Any]:
        made = self.hours(opening)["afacOperatingHoursSpecification"]
        return dict(made["overallPeriod"])

    def test_always(self) -> None:
        assert self.hours(Opening(always=True)) == {"afacOpenAllHours": {}}

    def test_always_but_for_some_days(self) -> None:
        span = Span("2026-12-25T00:00:00Z", "2026-12-26T00:00:00Z")
        assert self.period(Opening(always=True, closings=(span,))) == {
            "overallStartTime": table.SINCE_EVER,
            "exceptionPeriod": [{"startOfPeriod": span.begin, "endOfPeriod": span.end}],
        }

    def test_hours_that_are_alike_are_one_period_and_the_day_ends_at_midnight(self) -> None:
        hours = (Hours(1, "07:00", "24:00"), Hours(6, "22:00", "02:00"), Hours(7, "07:00", "24:00"))
        periods = self.period(Opening(hours=hours))["validPeriod"]
        assert [
            (
                [
                    day["value"]
                    for day in each["recurringDayWeekMonthPeriod"][0]["comDayWeekMonth"]["applicableDay"]
                ],
                *each["recurringTimePeriodOfDay"][0].values(),
            )
            for each in periods
        ] == [(["monday", "sunday"], "07:00:00", "00:00:00"), (["saturday"], "22:00:00", "02:00:00")]

    def test_some_days_beside_the_hours(self) -> None:
        span = Span("2026-12-24T08:00:00Z", "2026-12-24T12:00:00Z")
        assert self.period(Opening(openings=(span,)))["validPeriod"] == [
            {"startOfPeriod": span.begin, "endOfPeriod": span.end}
        ]

    def test_a_text_is_a_remark(self) -> None:
        made = shown(with_details(opening=Opening(text="By arrangement")))
        assert "operatingHours" not in made
        assert made["additionalInformation"][0]["values"][0]["value"] == "By arrangement"


class TestPoints:
    def test_powers_begin_with_the_highest(self) -> None:
        made = point(make_evse(max_kw=100.0), AC, DC)
        assert made["availableChargingPower"] == [150_500, 100_000, 22_000]
        assert made["availableVoltage"] == [230, 920]
        assert made["numberOfConnectors"] == 2

    @pytest.mark.parametrize(
        ("plugs", "current"),
        [
            ((AC, SCHUKO), {"value": "ac"}),
            ((DC,), {"value": "dc"}),
            ((AC, DC), {"value": "extendedG", "extendedValueG": "acAndDc"}),
            ((TYPE_2,), {"value": "ac"}),
            ((CCS,), {"value": "dc"}),
            ((CCS, Connector("TESLA_S", 120.0)), {"value": "extendedG", "extendedValueG": "unknown"}),
            ((), {"value": "extendedG", "extendedValueG": "unknown"}),
        ],
    )
    def test_its_current(self, plugs: tuple[Connector, ...], current: dict[str, str]) -> None:
        assert point(make_evse(max_kw=50.0), *plugs)["currentType"] == current

    @pytest.mark.parametrize(
        ("plugs", "mode"),
        [
            ((AC,), "mode3AC3p"),
            ((DC, CCS), "mode4DC"),
            ((AC, DC), None),
            ((SCHUKO,), None),
            ((TYPE_2,), None),
        ],
    )
    def test_its_charging_mode_where_all_plugs_have_the_same(
        self, plugs: tuple[Connector, ...], mode: str | None
    ) -> None:
        made = point(make_evse(), *plugs).get("chargingMode")
        assert made == (None if mode is None else {"value": mode})

    @pytest.mark.parametrize(
        ("plug", "form"),
        [(AC, "cableMode3"), (DC, "otherCable"), (SCHUKO, "socket"), (TYPE_2, None)],
    )
    def test_the_form_of_a_plug(self, plug: Connector, form: str | None) -> None:
        (made,) = point(make_evse(), plug)["connector"]
        assert made.get("connectorFormat") == (None if form is None else {"value": form})

    def test_a_plug_whose_power_is_not_said_has_its_points(self) -> None:
        (made,) = point(make_evse(max_kw=22.0), Connector("IEC_62196_T2"))["connector"]
        assert made["maxPowerAtSocket"] == 22_000

    def test_a_plug_that_datex_has_no_word_for_is_named(self) -> None:
        (made,) = point(make_evse(), Connector("GBT_DC", 60.0))["connector"]
        assert made["connectorType"] == {"value": "other"}
        assert made["otherConnector"] == "GBT_DC"

    def test_every_word_of_datex_for_a_plug_is_one_that_our_reader_understands(self) -> None:
        for standard, word in words.CONNECTORS.items():
            assert STANDARDS[word.casefold()] == standard

    def test_terms_of_its_own_are_said_of_the_point(self) -> None:
        evse = make_evse(
            terms=Terms(accessibility=Accessibility.ACCESSIBLE, vehicles=(Vehicle.BUS,), reservable=True)
        )
        made = point(evse, AC)
        assert made["accessibility"] == [{"value": "disabilityAccessible"}]
        assert made["applicableForVehicles"] == [{"vehicleType": [{"value": "bus"}]}]
        assert made["reservation"] == {"value": "optional"}

    def test_else_those_of_the_station_hold(self) -> None:
        (made,) = shown(with_details(reservable=False, accessibility=Accessibility.ACCESSIBLE))["refillPoint"]
        assert made["aegiElectricChargingPoint"]["reservation"] == {"value": "notAvailable"}
        assert "accessibility" not in made["aegiElectricChargingPoint"]


class TestLacking:
    @pytest.mark.parametrize(
        ("evse", "plugs", "reason"),
        [
            (make_evse(), (TYPE_2,), None),
            (make_evse(), (), "no_power"),
            (make_evse(), (Connector("IEC_62196_T2"),), "no_power"),
            (make_evse(), (TYPE_2, Connector("CHADEMO")), None),
            (make_evse(), (Connector("CHADEMO"), TYPE_2), None),
            (make_evse(max_kw=22.0), (Connector("IEC_62196_T2"),), None),
            (make_evse(max_kw=22.0), (), None),
        ],
    )
    def test_a_station_whose_powers_are_not_known_is_not_published(
        self, evse: Evse, plugs: tuple[Connector, ...], reason: str | None
    ) -> None:
        station = make_station(evses=(evse,), outlets=tuple(Outlet(0, plug) for plug in plugs))
        assert table.lacks(station, station.evses) == reason

    def test_evses_that_are_not_shown_do_not_count(self) -> None:
        evses = (make_evse("NO*ABC*E1"), make_evse("NO*ABC*E2"))
        station = make_station(evses=evses, outlets=(Outlet(0, TYPE_2),))
        assert table.lacks(station, evses) is None
        assert table.lacks(station, evses[:1]) is None
        assert table.lacks(station, evses[1:]) == "no_power"

    def test_a_plug_without_a_power_is_left_out_and_what_is_known_is_summed_up(self) -> None:
        evses = (make_evse("NO*ABC*E1"), make_evse("NO*ABC*E2"), make_evse("NO*ABC*E3", max_kw=50.0))
        plugs = ((0, TYPE_2), (0, Connector("CHADEMO")), (1, Connector("CHADEMO")), (2, Connector("CHADEMO")))
        station = make_station(evses=evses, outlets=tuple(Outlet(*each) for each in plugs))
        made = table.site(station, 7, evses, is_xml=False)["energyInfrastructureStation"][0]
        powers = [
            [plug["maxPowerAtSocket"] for plug in each["aegiElectricChargingPoint"].get("connector", ())]
            for each in made["refillPoint"]
        ]
        assert powers == [[22_000], [], [50_000]]
        assert (made["totalMaximumPower"], made["numberOfRefillPoints"]) == (72_000, 3)


class TestStatuses:
    @pytest.mark.parametrize("status", list(Status))
    def test_each_status_has_its_word(self, status: Status) -> None:
        assert words.status(make_change(status=status)) == words.STATUSES[status]

    @pytest.mark.parametrize(
        "raw",
        ["Occupied", "1/0", "en_service/occupe", "inconnu/occupé", "Preparing", "SuspendedEVSE", "Finishing"],
    )
    def test_who_only_said_occupied_is_not_taken_for_charging(self, raw: str) -> None:
        assert words.status(make_change(status=Status.CHARGING, raw=raw)) == "occupied"
        assert words.status(make_change(status=Status.BLOCKED, raw=raw)) == "blocked"

    @pytest.mark.parametrize("raw", ["CHARGING", "Charging", "", "1/1"])
    def test_who_said_charging_is(self, raw: str) -> None:
        assert words.status(make_change(status=Status.CHARGING, raw=raw)) == "charging"

    def test_they_say_when_a_status_was_first_observed(self) -> None:
        (evse,) = make_station().evses
        as_json, as_xml = status_publications(
            [make_station()], {evse.key: make_change(evse, Status.CHARGING, NOW, observed_at=NOW - 5)}
        )
        at: Millis = NOW - 5
        assert f'"lastUpdated":"{instant(at)}"'.encode() in as_json
        assert f"<fac:lastUpdated>{instant(at)}</fac:lastUpdated>".encode() in as_xml

    def test_a_table_and_statuses_name_the_same_ids_and_versions(self) -> None:
        as_json, as_xml = tables([EVERYTHING])
        told_json, told_xml = status_publications([EVERYTHING], changes(EVERYTHING))
        (payload,) = json.loads(told_json)["messageContainer"]["payload"]
        told = payload["aegiEnergyInfrastructureStatusPublication"]
        published = json.loads(as_json)["payload"]["aegiEnergyInfrastructureTablePublication"]
        (made,) = published["energyInfrastructureTable"]
        (reference,) = told["tableReference"]
        assert (reference["idG"], reference["versionG"]) == (made["idG"], made["versionG"])
        assert _references(told["energyInfrastructureSiteStatus"]) == _objects(
            made["energyInfrastructureSite"]
        )
        ids = {
            (each.get("id"), each.get("version"))
            for each in etree.fromstring(told_xml).iter("{*}reference", "{*}tableReference")
        }
        assert ids <= {(each.get("id"), each.get("version")) for each in etree.fromstring(as_xml).iter()}


def _references(node: Any) -> set[tuple[str, str]]:
    if isinstance(node, list):
        return {pair for each in node for pair in _references(each)}
    if not isinstance(node, dict):
        return set()
    own = node.get("reference")
    found = set() if own is None else {(own["idG"], own["versionG"])}
    return found.union(*(_references(each) for each in node.values()))


def _objects(sites: Any) -> set[tuple[str, str]]:
    found = set()
    for each in sites:
        found.add((each["idG"], each["versionG"]))
        for station in each["energyInfrastructureStation"]:
            found.add((station["idG"], station["versionG"]))
            for wrapped in station["refillPoint"]:
                made = wrapped["aegiElectricChargingPoint"]
                found.add((made["idG"], made["versionG"]))
    return found


def test_every_kind_of_details_is_met_here() -> None:
    """A member that records get is either published or known to be lost."""
    lost = {"parking_fee", "time_limit_min", "licence", "attribution", "derived", "municipality_code"}
    named = {
        name for name in Details.__struct_fields__ if getattr(DETAILS, name) != getattr(NO_DETAILS, name)
    }
    assert named == set(Details.__struct_fields__)
    without = msgspec.structs.replace(EVERYTHING, details=NO_DETAILS)
    for name in named - lost:
        details = msgspec.structs.replace(NO_DETAILS, **{name: getattr(DETAILS, name)})
        with_it = msgspec.structs.replace(without, details=details)
        is_city = name == "municipality"
        base = msgspec.structs.replace(without, city=None) if is_city else without
        with_it = msgspec.structs.replace(with_it, city=None) if is_city else with_it
        assert tables([with_it]) != tables([base]), name
