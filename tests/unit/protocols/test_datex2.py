"""What a status publication decides, whatever carries it; how it is answered, and asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
import referencing
from tests.building import NOW, make_operator

from ladestrom.core.rules import RANK
from ladestrom.errors import BadRequest, LadestromError, MalformedBody, Overloaded, SourceFailure, TooLarge
from ladestrom.model import Position, Reason, Receipt, Refusal, Status, StatusReport
from ladestrom.ports.calls import Answered, Ask
from ladestrom.protocols import datex2
from ladestrom.protocols.datex2_status import WORDS, Extent
from ladestrom.protocols.delivery import Delivery, ParseLimits
from ladestrom.protocols.interfaces import PullSettings, Request, inline

SHARED = Path(os.environ.get("LADESTROM_SHARED", Path(__file__).resolve().parents[4] / "shared"))
REFERENCE = SHARED / "reference" / "datex2"
LIMITS = ParseLimits()
OPERATOR = make_operator()
T0, T1, T2 = "2026-11-17T10:00:00Z", "2026-11-17T11:00:00Z", "2026-11-17T12:00:00Z"
AT = {T0: 1_794_909_600_000, T1: 1_794_913_200_000, T2: 1_794_916_800_000}
EXCHANGE_NS = "{http://datex2.eu/schema/3/exchangeInformation}"


def point(name: str = "NO*ABC*E1", status: Any = "available", **members: Any) -> dict[str, Any]:
    status = {"value": status} if isinstance(status, str) else status
    return {"aegiElectricChargingPointStatus": {"reference": {"idG": name}, "status": status, **members}}


def station(*points: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"refillPointStatus": list(points), **members}


def site(*stations: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"energyInfrastructureStationStatus": list(stations), **members}


def message(
    *sites: dict[str, Any], protocol: str | None = None, published: str | None = T0
) -> dict[str, Any]:
    publication: dict[str, Any] = {"energyInfrastructureSiteStatus": list(sites)}
    if published is not None:
        publication["publicationTime"] = published
    payload = {"aegiEnergyInfrastructureStatusPublication": publication}
    if protocol is None:
        return {"payload": payload}
    context = {"codedExchangeProtocol": {"value": protocol}, "exchangeSpecificationVersion": "3.0"}
    return {"messageContainer": {"payload": [payload], "exchangeInformation": {"exchangeContext": context}}}


def receive(document: Any, extent: Extent | None = None, limits: ParseLimits = LIMITS) -> Delivery:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return datex2.receive(body, "abc", limits, extent)


def one(
    point_status: dict[str, Any], of_station: Mapping[str, Any] | None = None, **of_site: Any
) -> StatusReport:
    delivery = receive(message(site(station(point_status, **(of_station or {})), **of_site)))
    assert delivery.refused == []
    (report,) = delivery.reports
    return report


class TestStatuses:
    @pytest.mark.parametrize(("word", "status"), WORDS.items())
    def test_every_word_of_the_enumeration_is_a_status(self, word: str, status: Status) -> None:
        report = one(point(status=word))
        assert (report.status, report.error, report.raw) == (status, status is Status.OUTOFORDER, word)

    def test_the_words_are_those_of_the_schema(self) -> None:
        path = REFERENCE / "v3.5-afir-json" / "status" / "DATEXII_3_AfirEnergyInfrastructure.json"
        if not path.is_file():
            pytest.skip("the DATEX II schemas are not here")
        schema = json.loads(path.read_text(encoding="utf-8"))
        assert {*WORDS, "extendedG"} == set(schema["definitions"]["RefillPointStatusEnum"]["enum"])

    def test_the_words_are_mapped_as_is_agreed_for_all_protocols(self) -> None:
        path = SHARED / "spec" / "status-mapping.json"
        if not path.is_file():
            pytest.skip("the table of statuses is not here")
        agreed = json.loads(path.read_text(encoding="utf-8"))["datex2_RefillPointStatusEnum"]
        assert {word: status for word, (status, *_) in agreed.items() if word != "extended"} == WORDS

    @pytest.mark.parametrize("word", ["AVAILABLE", "Available", " available "])
    def test_capitals_and_spaces_do_not_matter(self, word: str) -> None:
        assert one(point(status=word)).status is Status.AVAILABLE

    @pytest.mark.parametrize("stand_in", ["extendedG", "extended", "_extended"])
    def test_an_extended_word_is_read_where_it_is_known_and_unknown_otherwise(self, stand_in: str) -> None:
        known = one(point(status={"value": stand_in, "extendedValueG": "Reserved"}))
        assert (known.status, known.raw) == (Status.RESERVED, "Reserved")
        other = one(point(status={"value": stand_in, "extendedValueG": "asleep"}))
        assert (other.status, other.raw) == (Status.UNKNOWN, "asleep")
        assert one(point(status=stand_in)).status is Status.UNKNOWN

    @pytest.mark.parametrize("status", ["", None, {}, {"value": None}])
    def test_a_status_that_is_missing_is_refused_and_costs_no_other(self, status: Any) -> None:
        delivery = receive(message(site(station(point("E-1", status), point("E-2")))))
        assert [(refusal.index, refusal.reason) for refusal in delivery.refused] == [
            (0, Reason.INVALID_STATUS)
        ]
        assert [report.evse for report in delivery.reports] == ["E-2"]

    @pytest.mark.parametrize("status", ["busy", 7, True, {"value": "busy"}])
    def test_a_word_that_is_none_makes_the_point_unknown_and_is_counted(self, status: Any) -> None:
        delivery = receive(message(site(station(point("E-1", status), point("E-2")))))
        assert [(report.evse, report.status) for report in delivery.reports] == [
            ("E-1", Status.UNKNOWN),
            ("E-2", Status.AVAILABLE),
        ]
        assert (delivery.unmapped, delivery.refused) == (1, [])

    @pytest.mark.parametrize("written", ["OUTOFORDER", "out of order", "Out_Of_Order", "öutOfOrder"])
    def test_words_compare_without_case_accents_spaces_and_underscores(self, written: str) -> None:
        delivery = receive(message(site(station(point("E-1", written)))))
        assert [(report.status, report.raw) for report in delivery.reports] == [(Status.OUTOFORDER, written)]
        assert delivery.unmapped == 0

    @pytest.mark.parametrize("reference", [None, {}, "", {"idG": ""}, {"versionG": "1"}, {"idG": " "}])
    def test_a_status_of_nothing_is_refused(self, reference: Any) -> None:
        status = {"reference": reference, "status": "available"}
        delivery = receive(message(site(station(status, point("E-2")))))
        assert [refusal.reason for refusal in delivery.refused] == [Reason.INVALID_ITEM]
        assert len(delivery.reports) == 1


class TestOverlays:
    """Where point, station or site say that they do not work, or are closed."""

    @pytest.mark.parametrize("level", ["point", "station", "site"])
    @pytest.mark.parametrize(
        ("word", "status"),
        [
            ("inOperation", Status.AVAILABLE),
            ("limitedOperation", Status.AVAILABLE),
            ("unknown", Status.AVAILABLE),
            ("extendedG", Status.AVAILABLE),
            ("notInOperation", Status.INOPERATIVE),
            ("notInOperationAbnormal", Status.INOPERATIVE),
            ("technicalDefect", Status.OUTOFORDER),
        ],
    )
    def test_what_does_not_operate_is_not_available(self, level: str, word: str, status: Status) -> None:
        report = at_level(level, "available", operationStatus={"value": word})
        assert (report.status, report.error) == (status, status is Status.OUTOFORDER)
        assert report.raw == ("available" if status is Status.AVAILABLE else f"available/{word}")

    @pytest.mark.parametrize("level", ["point", "station", "site"])
    @pytest.mark.parametrize(
        ("word", "closed"),
        [
            ("open", False),
            ("openWithServiceLimitation", False),
            ("statusUnknown", False),
            ("other", False),
            ("closed", True),
            ("closedOnHoliday", True),
            ("closedOnMaintenance", True),
            ("temporarilyClosed", True),
        ],
    )
    def test_what_is_closed_is_not_available(self, level: str, word: str, closed: bool) -> None:
        report = at_level(level, "available", openingStatus={"value": word})
        assert report.status is (Status.INOPERATIVE if closed else Status.AVAILABLE)

    @pytest.mark.parametrize("word", [word for word in WORDS if word != "available"])
    def test_closing_says_nothing_of_a_point_that_is_not_free(self, word: str) -> None:
        assert at_level("site", word, openingStatus="closed").status is WORDS[word]

    @pytest.mark.parametrize("word", WORDS)
    def test_the_less_usable_of_two_statuses_holds(self, word: str) -> None:
        report = at_level("station", word, operationStatus="technicalDefect")
        own = WORDS[word]
        if own in {Status.PLANNED, Status.REMOVED}:
            assert report.status is own
        else:
            assert report.status is max(own, Status.OUTOFORDER, key=RANK.__getitem__)

    @pytest.mark.parametrize(
        ("word", "serves"), [(True, True), (False, False), ("false", False), ("0", False)]
    )
    def test_a_station_that_is_not_available_serves_nobody(self, word: Any, serves: bool) -> None:
        report = at_level("station", "available", isAvailable=word)
        assert report.status is (Status.AVAILABLE if serves else Status.INOPERATIVE)

    def test_the_worst_of_all_levels_holds(self) -> None:
        report = one(
            point(operationStatus="inOperation"),
            {"operationStatus": "technicalDefect"},
            operationStatus="notInOperation",
        )
        assert (report.status, report.raw) == (Status.OUTOFORDER, "available/technicalDefect")

    def test_a_fault_is_told_beside_the_status_unless_it_renders_the_point_unusable(self) -> None:
        for severity in ("low", "medium", "unknown", None):
            fault = {"faultLastUpdateTime": T0, "faultImpactSeverity": {"value": severity}}
            report = one(point(fault=fault))
            assert (report.status, report.error) == (Status.AVAILABLE, True)
        report = one(point(fault=[{"faultImpactSeverity": "high"}]))
        assert (report.status, report.error, report.raw) == (Status.OUTOFORDER, True, "available/fault")
        assert one(point(fault=[])).error is False


def at_level(level: str, status: str, **members: Any) -> StatusReport:
    if level == "point":
        return one(point(status=status, **members))
    if level == "station":
        return one(point(status=status), members)
    return one(point(status=status), **members)


class TestInstants:
    @pytest.mark.parametrize(
        ("of_point", "of_station", "of_site", "published", "expected"),
        [
            (T0, T1, T2, T2, T0),
            (None, T1, T2, T2, T1),
            (None, None, T1, T2, T1),
            (None, None, None, T1, T1),
            (None, "never", None, T1, T1),
        ],
    )
    def test_the_nearest_instant_that_is_told_is_when_it_was_observed(
        self,
        of_point: str | None,
        of_station: str | None,
        of_site: str | None,
        published: str | None,
        expected: str,
    ) -> None:
        document = message(
            site(station(point(lastUpdated=of_point), lastUpdated=of_station), lastUpdated=of_site),
            published=published,
        )
        assert [report.observed_at for report in receive(document).reports] == [AT[expected]]

    def test_without_any_instant_it_was_observed_when_it_was_received(self) -> None:
        document = message(site(station(point())), published=None)
        assert [report.observed_at for report in receive(document).reports] == [None]

    def test_a_station_that_works_again_puts_an_older_status_of_its_points_right(self) -> None:
        """The point is as it was at T0, the station failed at T1 and is back at T2."""
        failed = one(point(lastUpdated=T0), {"operationStatus": "notInOperation", "lastUpdated": T1})
        back = one(point(lastUpdated=T0), {"operationStatus": "inOperation", "lastUpdated": T2})
        assert (failed.status, failed.observed_at) == (Status.INOPERATIVE, AT[T1])
        assert (back.status, back.observed_at) == (Status.AVAILABLE, AT[T2])

    def test_what_is_said_without_an_instant_was_said_on_publication(self) -> None:
        document = message(site(station(point(lastUpdated=T0), operationStatus="inOperation")), published=T2)
        assert receive(document).reports[0].observed_at == AT[T2]

    @pytest.mark.parametrize("written", ["2026-11-17T11:00:00+01:00", "2026-11-17T10:00:00", T0, f" {T0}"])
    def test_an_instant_is_read_in_its_zone_and_is_utc_without_one(self, written: str) -> None:
        assert one(point(lastUpdated=written)).observed_at == AT[T0]

    @pytest.mark.parametrize(
        "written", ["yesterday", "2026-11-17", "17.11.2026 10:00:00", 1, "2026-13-17T10:00:00Z"]
    )
    def test_an_instant_that_is_none_is_refused(self, written: Any) -> None:
        delivery = receive(message(site(station(point(lastUpdated=written)))))
        assert [refusal.reason for refusal in delivery.refused] == [Reason.INVALID_TIME]

    def test_an_instant_ahead_of_our_clock_is_handed_on_as_it_is_written(self) -> None:
        (report,) = receive(message(site(station(point(lastUpdated="2027-01-01T00:00:00Z"))))).reports
        assert report.observed_at == 1_798_761_600_000


class TestExtent:
    TWO = (site(station(point("E-1")), station(point("E-2"))),)

    @pytest.mark.parametrize(
        ("protocol", "complete"),
        [
            ("snapshotPush", True),
            ("snapshotPull", True),
            ("SNAPSHOTPUSH", True),
            ("deltaPush", False),
            ("deltaPull", False),
            ("simplePush", False),
            ("statefulPush", False),
            ("other", False),
            (None, False),
        ],
    )
    def test_a_snapshot_is_complete(self, protocol: str | None, complete: bool) -> None:
        assert receive(message(*self.TWO, protocol=protocol)).complete is complete

    def test_a_snapshot_of_a_single_station_is_not_taken_for_all_that_there_is(self) -> None:
        document = message(site(station(point("E-1"), point("E-2"))), protocol="snapshotPush")
        assert receive(document).complete is False
        assert receive(document, Extent.SNAPSHOT).complete is True

    def test_the_receivers_word_overrules_the_container(self) -> None:
        assert receive(message(*self.TWO, protocol="snapshotPush"), Extent.DELTA).complete is False
        assert receive(message(*self.TWO), Extent.SNAPSHOT).complete is True

    def test_a_snapshot_with_a_point_that_is_not_named_is_not_complete(self) -> None:
        document = message(site(station(point("E-1")), station({"status": "available"})))
        assert receive(document, Extent.SNAPSHOT).complete is False

    def test_a_container_without_a_publication_changes_nothing(self) -> None:
        document: dict[str, Any] = {"messageContainer": {"exchangeInformation": {"exchangeContext": {}}}}
        delivery = receive(document, Extent.SNAPSHOT)
        assert (delivery.reports, delivery.refused, delivery.complete) == ([], [], False)

    def test_more_points_than_are_taken_are_too_many(self) -> None:
        for body in (json.dumps(message(*self.TWO)).encode(), XML_OF_TWO):
            with pytest.raises(TooLarge, match="the publication has more than"):
                receive(body, limits=ParseLimits(items_max=1))


XML_OF_TWO = b"""<p type="EnergyInfrastructureStatusPublication"><energyInfrastructureSiteStatus>
<energyInfrastructureStationStatus>
<refillPointStatus><reference id="E-1"/><status>available</status></refillPointStatus>
<refillPointStatus><reference id="E-2"/><status>charging</status></refillPointStatus>
</energyInfrastructureStationStatus></energyInfrastructureSiteStatus></p>"""


class TestPush:
    RECEIPT = Receipt(
        1,
        2,
        (Refusal(3, Reason.UNKNOWN_EVSE, "<no> 'E-9' \x01"),),
        Position("abc", 7),
        stale=1,
        received_at=NOW,
    )

    def taken(self, body: bytes, **query: str) -> tuple[Request, datex2.Datex2Delivery]:
        request = Request("POST", "", query, {}, body)
        return request, datex2.Datex2().receive(request, OPERATOR, LIMITS)

    def test_reports_are_the_operators(self) -> None:
        _, delivery = self.taken(XML_OF_TWO)
        assert {report.source for report in delivery.reports} == {"abc"}

    @pytest.mark.parametrize(("extent", "complete"), [("snapshot", True), ("delta", False)])
    def test_the_query_says_what_a_message_holds(self, extent: str, complete: bool) -> None:
        assert self.taken(XML_OF_TWO, extent=extent)[1].complete is complete

    def test_a_query_that_says_something_else_is_a_bad_request(self) -> None:
        with pytest.raises(BadRequest, match="snapshot or delta"):
            self.taken(XML_OF_TWO, extent="all")

    def test_a_message_without_a_container_gets_a_plain_receipt(self) -> None:
        answer = datex2.Datex2().answer(*self.taken(XML_OF_TWO), self.RECEIPT)
        assert (answer.status, answer.media_type) == (200, "application/json")
        assert json.loads(answer.body)["accepted"] == 1

    def test_a_container_in_json_gets_a_plain_receipt(self) -> None:
        """The profile's schema has no return information."""
        body = json.dumps(message(site(station(point())), protocol="deltaPush")).encode()
        answer = datex2.Datex2().answer(*self.taken(body), self.RECEIPT)
        assert (answer.status, answer.media_type) == (200, "application/json")
        told = json.loads(answer.body)
        assert (told["accepted"], told["unchanged"]) == (1, 2)
        assert told["refused"][0]["index"] == 3

    CONTAINER = (
        b"<m:messageContainer xmlns:m='m'><m:exchangeInformation><m:codedExchangeProtocol>a&lt;b"
        b"</m:codedExchangeProtocol></m:exchangeInformation></m:messageContainer>"
    )

    def test_a_container_in_xml_is_acknowledged_by_one(self) -> None:
        answer = datex2.Datex2().answer(*self.taken(self.CONTAINER), self.RECEIPT)
        assert (answer.status, answer.media_type) == (200, "application/xml")
        root = ET.fromstring(answer.body)  # noqa: S314 - made by us
        said = {element.tag.removeprefix(EXCHANGE_NS): element.text for element in root.iter()}
        assert said["codedExchangeProtocol"] == "a<b"
        assert said["exchangeSpecificationVersion"] == "2020"
        assert said["returnStatus"] == "ack"
        assert "<no> 'E-9'" in (said["{http://datex2.eu/schema/3/common}value"] or "")

    def test_a_message_of_no_use_at_all_fails(self) -> None:
        receipt = Receipt(0, 0, (Refusal(0, Reason.NOT_ALLOWED, ""),) * 99, Position("abc", 7))
        answer = datex2.Datex2().answer(*self.taken(self.CONTAINER), receipt)
        root = ET.fromstring(answer.body)  # noqa: S314 - made by us
        said = {element.tag.removeprefix(EXCHANGE_NS): element.text for element in root.iter()}
        assert said["returnStatus"] == "fail"
        assert (said["{http://datex2.eu/schema/3/common}value"] or "").count("not_allowed") == 10

    @pytest.mark.parametrize("error", [MalformedBody("no"), Overloaded("later")])
    def test_what_is_not_taken_is_told_by_the_status_of_http(self, error: LadestromError) -> None:
        answer = datex2.Datex2().refuse(Request("POST", "", {}, {}, b""), error)
        assert (answer.status, answer.media_type) == (error.status, "application/problem+json")
        assert json.loads(answer.body)["code"] == error.code

    @pytest.mark.parametrize("begin", [b"", b"\xef\xbb\xbf", b" \r\n\t", b"\xef\xbb\xbf\n"])
    def test_xml_and_json_are_told_apart_by_how_they_begin(self, begin: bytes) -> None:
        assert len(receive(begin.rstrip() + XML_OF_TWO).reports) == 2
        assert len(receive(begin + json.dumps(message(site(station(point())))).encode()).reports) == 1

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "iso-8859-1"])
    def test_xml_is_read_in_its_encoding(self, encoding: str) -> None:
        text = f'<?xml version="1.0" encoding="{encoding[:6] if "16" in encoding else encoding}"?>'
        body = (text + XML_OF_TWO.decode().replace("E-1", "Ø-1")).encode(encoding)
        assert [report.evse for report in receive(body).reports] == ["Ø-1", "E-2"]

    @pytest.mark.parametrize(
        ("body", "told"),
        [
            (b"", "not DATEX II in JSON"),
            (b"available", "not DATEX II in JSON"),
            (b"{}", "holds no EnergyInfrastructureStatusPublication"),
            (b"[]", "holds no EnergyInfrastructureStatusPublication"),
            (b'{"payload": {}}', "holds no EnergyInfrastructureStatusPublication"),
            (b'{"aegiEnergyInfrastructureTablePublication": {}}', "ladestrom import datex"),
            (
                b'<payload xmlns:x="x" x:type="EnergyInfrastructureTablePublication"/>',
                "ladestrom import datex",
            ),
            (b"<payload/>", "holds no EnergyInfrastructureStatusPublication"),
            (b"<html><body>Sign in</body></html>", "holds no EnergyInfrastructureStatusPublication"),
        ],
    )
    def test_what_holds_no_status_publication_is_malformed(self, body: bytes, told: str) -> None:
        with pytest.raises(MalformedBody, match=told):
            receive(body)


class TestPull:
    BODY = json.dumps(message(site(station(point("E-1")), station(point("E-2"))))).encode()

    def ask(self, memory: Mapping[str, str], *, secret: str | None = None, **options: str) -> tuple[Any, Ask]:
        settings = PullSettings(source="abc", address="https://nap.example", secret=secret, options=options)
        round_ = inline(datex2.pull(settings, memory, NOW))
        ask = next(round_)
        assert isinstance(ask, Ask)
        return round_, ask

    def answered(self, status: int = 200, body: bytes = BODY, **headers: str) -> Answered:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Answered("https://nap.example", status, named, body, NOW)

    def finish(self, round_: Any, answered: Answered) -> tuple[Delivery | None, Mapping[str, str]]:
        delivery: Delivery | None = None
        try:
            delivery = round_.send(answered)
            round_.send(Receipt(1, 0, (), Position("abc", 1)))
        except StopIteration as end:
            return delivery, end.value
        raise AssertionError

    def test_a_publication_is_delivered_and_its_validators_are_remembered(self) -> None:
        round_, ask = self.ask({})
        assert (ask.url, ask.method) == ("https://nap.example", "GET")
        assert set(ask.headers) == {"accept"}
        delivery, memory = self.finish(round_, self.answered(etag='"1"', last_modified="yesterday"))
        assert delivery is not None
        assert [report.evse for report in delivery.reports] == ["E-1", "E-2"]
        assert memory == {"read_at": str(NOW), "etag": '"1"', "last-modified": "yesterday"}

    @pytest.mark.parametrize("status", [304, 204])
    def test_only_what_is_new_is_asked_for(self, status: int) -> None:
        memory = {"read_at": str(NOW - 60_000), "etag": '"1"', "last-modified": "yesterday"}
        round_, ask = self.ask(memory)
        assert ask.headers["if-none-match"] == '"1"'
        assert ask.headers["if-modified-since"] == "yesterday"
        assert self.finish(round_, self.answered(status, b"")) == (None, memory)

    @pytest.mark.parametrize("read_at", [NOW - 900_000, NOW + 10 * 365 * 86_400_000])
    def test_the_whole_is_asked_for_now_and_then_and_where_the_clock_was_ahead(self, read_at: int) -> None:
        _, ask = self.ask({"read_at": str(read_at), "etag": '"1"'})
        assert "if-none-match" not in ask.headers

    @pytest.mark.parametrize(
        ("options", "name", "shown"),
        [
            ({}, "authorization", "Bearer s3"),
            ({"header": "X-Api-Key", "scheme": ""}, "x-api-key", "s3"),
            ({"scheme": "Basic"}, "authorization", "Basic s3"),
        ],
    )
    def test_the_secret_is_shown_as_the_source_wants_it(
        self, options: dict[str, str], name: str, shown: str
    ) -> None:
        assert self.ask({}, secret="s3", **options)[1].headers[name] == shown

    @pytest.mark.parametrize(("extent", "complete"), [("snapshot", True), ("delta", False)])
    def test_an_option_says_what_the_publication_holds(self, extent: str, complete: bool) -> None:
        delivery, _ = self.finish(self.ask({}, extent=extent)[0], self.answered())
        assert delivery is not None
        assert delivery.complete is complete

    @pytest.mark.parametrize("status", [201, 301, 401, 404, 500, 503])
    def test_any_other_answer_is_a_failure_of_the_source(self, status: int) -> None:
        with pytest.raises(SourceFailure, match=str(status)):
            self.ask({})[0].send(self.answered(status))

    def test_an_answer_that_is_no_publication_is_malformed(self) -> None:
        with pytest.raises(MalformedBody):
            self.ask({})[0].send(self.answered(body=b"<html/>"))


@pytest.mark.parametrize(
    "name",
    [
        "EnergyInfrastructureStatusPublication.xml",
        "sample_status_3.5.xml",
        "sample_status_AFIR_01-00-00.json",
    ],
)
def test_the_published_samples_are_read(name: str) -> None:
    path = REFERENCE / "samples" / name
    if not path.is_file():
        pytest.skip("the DATEX II samples are not here")
    delivery = receive(path.read_bytes())
    assert (len(delivery.reports), delivery.refused) == (1, [])
    assert delivery.reports[0].status is Status.CHARGING
    assert delivery.reports[0].observed_at is not None
    assert delivery.reports[0].observed_at < NOW


def test_our_own_samples_are_valid() -> None:
    folder = REFERENCE / "v3.5-afir-json" / "status"
    if not folder.is_dir():
        pytest.skip("the DATEX II schemas are not here")
    path = Path(__file__).parents[2] / "golden" / "datex2" / "delta-afir.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    publication = document["messageContainer"]["payload"][0]["aegiEnergyInfrastructureStatusPublication"]
    points = publication["energyInfrastructureSiteStatus"][0]["energyInfrastructureStationStatus"][0]
    # Those that are wrong on purpose, and the version that a reference has to have.
    points["refillPointStatus"] = points["refillPointStatus"][:2]
    validator(folder, "DATEXII_3_MessageContainer.json").validate(document)


def validator(folder: Path, name: str) -> jsonschema.Draft202012Validator:
    resources = [
        (path.name, referencing.Resource.from_contents(json.loads(path.read_text(encoding="utf-8"))))
        for path in folder.glob("*.json")
    ]
    registry: referencing.Registry[Any] = referencing.Registry().with_resources(resources)
    return jsonschema.Draft202012Validator(
        json.loads((folder / name).read_text(encoding="utf-8")), registry=registry
    )
