"""Where a publication stands in a document: all forms that senders give it, and hostile ones."""

from __future__ import annotations

import json
import time
import tracemalloc
from typing import Any

import pytest

from ladestrom.errors import MalformedBody, TooLarge
from ladestrom.model import Reason, Status
from ladestrom.protocols import datex2
from ladestrom.protocols.datex2_xml import DEPTH_MAX
from ladestrom.protocols.delivery import RAW_CHARACTERS_MAX, Delivery, ParseLimits

MIB = 1024 * 1024
POINT = {"reference": {"idG": "NO*ABC*E1"}, "status": {"value": "charging"}}
SITES: list[Any] = [{"energyInfrastructureStationStatus": [{"refillPointStatus": [POINT]}]}]
STATUS = {"energyInfrastructureSiteStatus": SITES}
AEGI, EGI = "aegiEnergyInfrastructureStatusPublication", "egiEnergyInfrastructureStatusPublication"


def receive(document: Any, **limits: Any) -> Delivery:
    if isinstance(document, str):
        document = document.encode()
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return datex2.receive(body, "abc", ParseLimits(**limits))


def told(document: Any) -> list[tuple[str, Status]]:
    delivery = receive(document)
    assert delivery.refused == []
    return [(report.evse, report.status) for report in delivery.reports]


ONE = [("NO*ABC*E1", Status.CHARGING)]


class TestJson:
    @pytest.mark.parametrize(
        "document",
        [
            {"messageContainer": {"payload": [{AEGI: STATUS}], "exchangeInformation": {}}},
            {"messageContainer": {"payload": {AEGI: STATUS}}},
            {"messageContainer": {"payload": [{}, None, {AEGI: STATUS}]}, "exchangeInformation": None},
            {"payload": {AEGI: STATUS}},
            {"payload": [{AEGI: STATUS}], "exchangeInformation": {"exchangeContext": "?"}},
            {"payload": {EGI: STATUS}},
            {"payload": {"energyInfrastructureStatusPublication": STATUS}},
            {"payload": STATUS},
            {"d2LogicalModel": {"payloadPublication": STATUS}},
            {AEGI: STATUS},
            {AEGI: [STATUS]},
            {AEGI: STATUS, "aegiEnergyInfrastructureTablePublication": {"energyInfrastructureTable": []}},
            [{"payload": {AEGI: STATUS}}],
            STATUS,
            {"energyInfrastructureSiteStatus": SITES[0]},
        ],
    )
    def test_the_publication_is_found_in_every_wrapper(self, document: Any) -> None:
        assert told(document) == ONE

    @pytest.mark.parametrize(
        "point",
        [
            {"aegiElectricChargingPointStatus": POINT},
            {"egiElectricChargingPointStatus": POINT},
            {"electricChargingPointStatus": POINT},
            {"aegiRefillPointStatus": POINT},
            {"egiRefillPointStatus": POINT},
            POINT,
            POINT | {"status": "charging"},
            POINT | {"reference": "NO*ABC*E1"},
            POINT | {"reference": {"id": "NO*ABC*E1"}},
            POINT | {"reference": {"idG": " NO*ABC*E1 ", "targetClass": "x", "versionG": "1"}},
            POINT | {"energyRateUpdate": [{"status": "available", "lastUpdated": "x"}]},
            POINT | {"plannedRefillPointStatus": [{"status": {"value": "reserved"}}]},
            POINT | {"lastUpdated": None, "openingStatus": None, "operationStatus": None, "fault": None},
        ],
    )
    def test_a_point_is_read_in_all_its_forms(self, point: Any) -> None:
        station = {"refillPointStatus": [point]}
        assert (
            told({"energyInfrastructureSiteStatus": [{"energyInfrastructureStationStatus": [station]}]})
            == ONE
        )

    def test_one_object_stands_for_a_list_of_one(self) -> None:
        site = {"energyInfrastructureStationStatus": {"refillPointStatus": POINT}}
        assert told({AEGI: {"energyInfrastructureSiteStatus": site}}) == ONE

    def test_all_publications_of_a_message_are_one_delivery(self) -> None:
        assert told({"payload": [{AEGI: STATUS}, {EGI: STATUS}]}) == ONE * 2

    @pytest.mark.parametrize(
        "odd",
        [
            7,
            "x",
            [],
            None,
            {"aegiElectricChargingPointStatus": 7},
            {"reference": []},
            {"reference": {"idG": []}, "status": "available"},
            {"lastUpdated": {"a": []}, **POINT} | {"lastUpdated": []},
            POINT | {"fault": 7},
        ],
    )
    def test_a_point_that_cannot_be_read_costs_no_other(self, odd: Any) -> None:
        points = [POINT, odd, POINT]
        sites = [*SITES, {"energyInfrastructureStationStatus": [{"refillPointStatus": points}]}, *SITES]
        delivery = receive({AEGI: {"energyInfrastructureSiteStatus": sites}})
        assert len(delivery.reports) == 4
        assert [(refusal.index, refusal.reason) for refusal in delivery.refused] == [(2, Reason.INVALID_ITEM)]

    @pytest.mark.parametrize("odd", [7, "x", [], None, {"refillPointStatus": 7}, {"isAvailable": []}])
    def test_a_station_that_cannot_be_read_costs_no_other(self, odd: Any) -> None:
        sites = [{"energyInfrastructureStationStatus": [{"refillPointStatus": [POINT]}, odd]}, *SITES]
        delivery = receive({AEGI: {"energyInfrastructureSiteStatus": sites}})
        assert len(delivery.reports) == 2
        assert [refusal.index for refusal in delivery.refused] == [1]

    @pytest.mark.parametrize("odd", [7, "x", [], None, {"energyInfrastructureStationStatus": 7}])
    def test_a_site_that_cannot_be_read_costs_no_other(self, odd: Any) -> None:
        delivery = receive({AEGI: {"energyInfrastructureSiteStatus": [*SITES, odd, *SITES]}})
        assert len(delivery.reports) == 2
        assert [refusal.index for refusal in delivery.refused] == [1]

    def test_words_of_a_station_with_an_odd_point_still_count(self) -> None:
        station = {"isAvailable": False, "refillPointStatus": [POINT | {"status": "available"}, 7]}
        delivery = receive(
            {AEGI: {"energyInfrastructureSiteStatus": {"energyInfrastructureStationStatus": station}}}
        )
        assert [report.status for report in delivery.reports] == [Status.INOPERATIVE]

    @pytest.mark.parametrize(
        "body",
        [
            b'{"payload":',
            b'{"payload": {"aegiEnergyInfrastructureStatusPublication": 7}}',
            b'{"messageContainer": "x"}',
            b"7",
            b'"x"',
            b"{} {}",
            b'{"a": "\xff"}',
            '{"payload": {}}'.encode("utf-16"),
            b"[" * 100_000,
            b'{"payload":' * 100_000,
            b'{"payload":' * 9 + b"{}" + b"}" * 9,
        ],
    )
    def test_what_cannot_be_read_at_all_is_malformed(self, body: bytes) -> None:
        with pytest.raises(MalformedBody):
            receive(body)


HEAD = '<x:payload xmlns:x="u" xmlns:i="s" i:type="e:EnergyInfrastructureStatusPublication">'
A_POINT = (
    '<x:refillPointStatus><y:reference id="NO*ABC*E1"/><x:status>charging</x:status></x:refillPointStatus>'
)
A_SITE = (
    "<x:energyInfrastructureSiteStatus><x:energyInfrastructureStationStatus>"
    f"{A_POINT}</x:energyInfrastructureStationStatus></x:energyInfrastructureSiteStatus>"
)


class TestXml:
    @pytest.mark.parametrize(
        "document",
        [
            f"{HEAD}{A_SITE}</x:payload>",
            f"{HEAD}{A_SITE}</x:payload>".replace("x:", "").replace("y:", ""),
            f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n{HEAD}\n{A_SITE}\n</x:payload>\n',
            f"<c:messageContainer xmlns:c='c'>{HEAD}{A_SITE}</x:payload></c:messageContainer>",
            (
                f"<s:Envelope><s:Header/><s:Body><d:putSnapshotDataInput>{HEAD}{A_SITE}</x:payload>"
                "</d:putSnapshotDataInput></s:Body></s:Envelope>"
            ),
            (
                f"<d2LogicalModel><payloadPublication i:type='EnergyInfrastructureStatusPublication'>{A_SITE}"
                "</payloadPublication></d2LogicalModel>"
            ),
            f"<a>{A_SITE}</a>",
            A_POINT,
            f"<x:energyInfrastructureSiteStatus>{A_POINT}</x:energyInfrastructureSiteStatus>",
            f"<x:energyInfrastructureStationStatus>{A_POINT}</x:energyInfrastructureStationStatus>",
        ],
    )
    def test_the_publication_is_found_in_every_wrapper(self, document: str) -> None:
        assert told(document) == ONE

    @pytest.mark.parametrize(
        "inside",
        [
            '<reference id="NO*ABC*E1"/><status>charging</status>',
            "<status>\n  charging\n</status><reference id=' NO*ABC*E1 ' version='1'/>",
            '<reference id="NO*ABC*E1"/><status>char<!-- -->ging</status>',
            '<reference id="NO*ABC*E1"/><status><![CDATA[charging]]></status>',
            '<reference id="NO*ABC*E1"/><status>&#99;harging</status>',
            '<reference id="NO*ABC*E1"/><status _extendedValue="charging">_extended</status>',
            (
                '<reference id="NO*ABC*E1"/><status>charging</status>'
                "<plannedRefillPointStatus><status>reserved</status></plannedRefillPointStatus>"
            ),
            (
                '<reference id="NO*ABC*E1"/><energyRateUpdate><lastUpdated>x</lastUpdated>'
                '<reference id="no"/><status>available</status></energyRateUpdate><status>charging</status>'
            ),
            (
                '<reference id="NO*ABC*E1"/><status>charging</status><supplementalFacilityStatus>'
                '<reference id="no"/><lastUpdated>x</lastUpdated><operationStatus>technicalDefect</operationStatus>'
                "</supplementalFacilityStatus>"
            ),
            (
                '<reference id="NO*ABC*E1"/><status>charging</status><refillPointStatus><reference id="no"/>'
                "</refillPointStatus>"
            ),
        ],
    )
    def test_only_what_stands_in_the_point_itself_counts(self, inside: str) -> None:
        document = f"{HEAD}<refillPointStatus>{inside}</refillPointStatus></x:payload>"
        assert told(document) == ONE

    def test_words_of_all_levels_are_read(self) -> None:
        delivery = receive(
            f"{HEAD}<publicationTime>2026-11-17T10:00:00Z</publicationTime><energyInfrastructureSiteStatus>"
            "<reference id='s'/><lastUpdated>2026-11-17T11:00:00Z</lastUpdated><openingStatus>closed</openingStatus>"
            "<energyInfrastructureStationStatus><isAvailable>true</isAvailable>"
            "<refillPointStatus><reference id='1'/><status>available</status></refillPointStatus>"
            "<refillPointStatus><reference id='2'/><fault><faultImpactSeverity>high</faultImpactSeverity></fault>"
            "<status>charging</status></refillPointStatus>"
            "</energyInfrastructureStationStatus></energyInfrastructureSiteStatus>"
            "<refillPointStatus><reference id='3'/><status>available</status></refillPointStatus></x:payload>"
        )
        assert [(report.evse, report.status, report.observed_at) for report in delivery.reports] == [
            ("1", Status.INOPERATIVE, 1_794_913_200_000),
            ("2", Status.OUTOFORDER, 1_794_913_200_000),
            ("3", Status.AVAILABLE, 1_794_909_600_000),
        ]

    @pytest.mark.parametrize(
        "body",
        [
            f"{HEAD}{A_SITE}",
            f"{HEAD}{A_SITE}</x:payload",
            f"{HEAD}{A_SITE}</x:payload><more/>",
            f"{HEAD}{A_SITE}</payload>",
            f"{HEAD}{A_SITE}</x:payload>".encode("utf-16")[:-40],
            f"{HEAD}{A_SITE}</x:payload>".encode().replace(b"charging", b"char\xffging"),
            f'<?xml version="1.0" encoding="no-such"?>{HEAD}{A_SITE}</x:payload>',
            b"\0<\0a",
        ],
    )
    def test_of_a_document_that_is_broken_anywhere_nothing_is_used(self, body: str | bytes) -> None:
        with pytest.raises(MalformedBody, match="none of it was accepted"):
            receive(body)


BILLION_LAUGHS = (
    "<!DOCTYPE lolz [<!ENTITY l0 'lol'>"
    + "".join(f"<!ENTITY l{n} '{f'&l{n - 1};' * 10}'>" for n in range(1, 10))
    + f"]>{HEAD}<refillPointStatus><reference id='E'/><status>&l9;</status></refillPointStatus></x:payload>"
)
QUADRATIC = f"<!DOCTYPE a [<!ENTITY b '{'x' * 100_000}'>]><a>{'&b;' * 10_000}</a>"
EXTERNAL = f'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/hostname">]>{HEAD}<status>&b;</status></x:payload>'
PARAMETER = '<!DOCTYPE a [<!ENTITY % b SYSTEM "http://127.0.0.1:9/x.dtd"> %b;]><a/>'


class TestHostile:
    @pytest.mark.parametrize("body", [BILLION_LAUGHS, QUADRATIC, EXTERNAL, PARAMETER])
    def test_entities_are_never_declared(self, body: str) -> None:
        with pytest.raises(MalformedBody, match="document type declaration"):
            receive(body)

    @pytest.mark.parametrize(
        "begin",
        [
            "",
            HEAD,
            f"{HEAD}<x:energyInfrastructureSiteStatus>",
            f"{HEAD}<refillPointStatus>",
            f"{HEAD}<refillPointStatus><fault>",
        ],
    )
    @pytest.mark.parametrize("element", ["<a>", "<x:refillPointStatus>", "<x:status>"])
    def test_deep_nesting_is_refused(self, begin: str, element: str) -> None:
        with pytest.raises(MalformedBody, match="nests deeper"):
            receive(begin + element * 100_000)

    def test_depths_that_are_real_are_read(self) -> None:
        depth = DEPTH_MAX - 4
        assert told("<a>" * depth + A_POINT + "</a>" * depth) == ONE

    @pytest.mark.parametrize(
        "tag",
        [
            f'<reference id="{"x" * MIB}"/>',
            "<reference " + " ".join(f'a{n}="1"' for n in range(100_000)) + "/>",
            f"<{'x' * MIB}/>",
            f"<!-- {'x' * MIB} -->",
        ],
    )
    def test_huge_tags_are_refused(self, tag: str) -> None:
        with pytest.raises(MalformedBody, match="a tag or comment of more than"):
            receive(f"{HEAD}<refillPointStatus>{tag}</refillPointStatus></x:payload>")

    @pytest.mark.parametrize("characters", [255, 256, 60_000])
    def test_an_id_that_is_too_long_is_refused_alone(self, characters: int) -> None:
        odd = A_POINT.replace("NO*ABC*E1", "x" * characters)
        delivery = receive(f"{HEAD}{A_POINT}{odd}</x:payload>")
        assert len(delivery.reports) == 1 + (characters <= 255)

    def test_a_word_that_is_too_long_is_kept_in_short(self) -> None:
        body = f"{HEAD}{A_POINT.replace('charging', 'x' * MIB)}</x:payload>"
        (report,) = receive(body).reports
        assert (report.status, report.raw) == (Status.UNKNOWN, "x" * RAW_CHARACTERS_MAX)

    @pytest.mark.parametrize(
        "element",
        ["<energyInfrastructureSiteStatus/>", "<energyInfrastructureStationStatus/>", "<refillPointStatus/>"],
    )
    def test_empty_facilities_are_counted_too(self, element: str) -> None:
        with pytest.raises(TooLarge):
            receive(f"<a>{element * 60_000}</a>")

    @pytest.mark.parametrize(
        "body",
        [
            f"{HEAD}{'<a/>' * 500_000}</x:payload>",
            f"{HEAD}<x:status>{'x' * 6 * MIB}</x:status></x:payload>",
            f"{HEAD}{A_SITE * 9_000}</x:payload>",
            f"{HEAD}{'<refillPointStatus/>' * 9_000}</x:payload>",
            "<a>" + "".join(f"<a{n}/>" for n in range(200_000)) + "</a>" + A_POINT,
        ],
    )
    def test_memory_and_time_are_bounded_by_the_message(self, body: str) -> None:
        packed = body.encode()
        tracemalloc.start()
        began = time.perf_counter()
        try:
            receive(packed)
        except MalformedBody:
            pass
        finally:
            took_s = time.perf_counter() - began
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < 12 * len(packed) + 8 * MIB
        assert took_s < 30

    def test_a_full_load_is_read_well_within_a_second(self) -> None:
        body = f"{HEAD}{A_SITE * 7_700}</x:payload>".encode()
        began = time.perf_counter()
        assert len(receive(body).reports) == 7_700
        assert time.perf_counter() - began < 5


def test_xml_and_json_of_one_publication_say_the_same() -> None:
    xml = f"{HEAD}<publicationTime>2026-11-17T10:00:00Z</publicationTime>{A_SITE}</x:payload>"
    as_json = {AEGI: STATUS | {"publicationTime": "2026-11-17T10:00:00Z"}}
    assert receive(xml).reports == receive(as_json).reports
